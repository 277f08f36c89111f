//! Seeded runs at the size that every change has to pass; `docs/proof.md` says what they show, and how to run more.

use carp_fsm::sim::{ADDRS, Network, NodePlan, Sim, TraceKind, virtual_host};
use carp_fsm::{Cause, Duration, EventKind, GroupId, HostConfig, Policy, State};
use carp_proto::{AdvBase, Dialect, Vhid};
use carp_tests::runs::{run, tell};

#[test]
fn a_thousand_runs_keep_every_promise() {
    for seed in 0..1_000 {
        if let Some(violation) = run(seed).violation {
            panic!("seed {seed}: {violation}\ncargo run --release -p carp-tests --bin sim -- --seed {seed}");
        }
    }
}

/// Two nodes in maintenance, and one that is slower than they: they handed over in a circle without a pause.
#[test]
fn a_run_that_never_ended() {
    let report = run(992_246);
    assert!(report.violation.is_none(), "{:?}", report.violation);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (log, report) = tell(7);
    assert_eq!(tell(7).0, log);
    assert_ne!(tell(8).0, log);
    assert!(report.faults > 0 && report.events > 10 && report.settled_after <= report.bound);
}

/// What never happens is not tested.
#[test]
fn the_runs_meet_everything_that_can_happen() {
    let logs: Vec<String> = (0..300).flat_map(|seed| tell(seed).0).collect();
    let log = logs.join("\n");
    for expected in [
        "freebsd hardened",
        "openbsd hardened",
        "netbsd hardened",
        "ucarp hardened",
        "openbsd as the kernel",
        ", fast with dead ratio",
        "2 unicast peers only",
        "2 unicast peers and multicast",
        "two virtual hosts in a group",
        "keys change",
        "somebody plays recordings",
        "1 IPv4 and 1 IPv6",
        "0 IPv4 and 1 IPv6",
        "INIT -> BACKUP (initialization complete)",
        "BACKUP -> MASTER (master timed out)",
        "BACKUP -> MASTER (preempting a slower master)",
        "BACKUP -> MASTER (preempting a more demoted master)",
        "BACKUP -> MASTER (master will time out)",
        "BACKUP -> MASTER (following its group)",
        "split: MASTER on one interface",
        "no longer split",
        "leaves the fast profile",
        "-  key",
        "-  replays",
        "-  forgeries",
        "plays recorded advertisements again",
        "BACKUP -> MASTER (user requested)",
        "MASTER -> BACKUP (more frequent advertisement received)",
        "MASTER -> BACKUP (handed over)",
        "MASTER -> BACKUP (user requested)",
        "-  maintenance",
        "MASTER -> INIT (hardware interface down)",
        "MASTER -> INIT (disabled)",
        "MASTER -> INIT (shutting down)",
        "MASTER -> INIT (address refused)",
        "hand-over called off",
        "bows out",
        "fails to advertise",
        "has no room to advertise",
        "hears that again",
        "hears 255/255",
        "(send error)",
        "(interface down)",
        "cannot take the addresses",
        "crash",
        "stops to run",
        "no longer reaches",
    ] {
        assert!(log.contains(expected), "in 300 runs, {expected:?} never happened");
    }
}

/// OpenBSD's two ways of comparing contradict each other where advbases differ: by demotion the slow master is better,
/// but it is so slow that it "will time out". All nodes of a virtual host should have one advbase.
#[test]
fn a_demoted_openbsd_backup_and_a_master_three_times_slower_never_settle() {
    let vhid = Vhid::new(7).unwrap();
    let host = |base| -> HostConfig<ADDRS> {
        HostConfig {
            dialect: Dialect::OpenBsd,
            advbase: AdvBase::new(base),
            ..virtual_host(vhid, 100)
        }
    };
    let changes = |slow| {
        let mut sim = Sim::new(1);
        let a = sim.add(NodePlan::new("a", [10, 0, 0, 1]).host(host(1))).unwrap();
        sim.add(NodePlan::new("b", [10, 0, 0, 2]).host(host(slow)))
            .unwrap();
        sim.command(a, |node, now| {
            node.demote(now, GroupId(0), Cause::Operator, 1).unwrap();
        });
        takeovers_in_a_minute(&mut sim, 1)
    };
    assert_eq!(changes(1), 0);
    assert_eq!(changes(2), 0);
    assert!(changes(4) > 10);
}

/// A third node, which is demoted but waits the shortest time for silence, becomes MASTER again and again as long as
/// both equals preempt it at the moment at which they hear it. Who has tied does not.
#[test]
fn two_equals_that_preempt_a_demoted_third_at_the_same_moment_part_unless_they_are_kernels() {
    assert_eq!(changes_beside_a_demoted_third(Policy::HARDENED), 0);
    assert!(changes_beside_a_demoted_third(Policy::KERNEL) > 30);
}

/// How often somebody becomes MASTER in the sixth minute.
fn changes_beside_a_demoted_third(policy: Policy) -> usize {
    let vhid = Vhid::new(7).unwrap();
    let mut sim = Sim::new(1);
    // As on a switch: what is sent at one moment crosses.
    let delay = Duration::from_micros(100);
    sim.set_network(Network {
        delay_min: delay,
        delay_max: delay,
        ..Network::default()
    });
    let ids = [("a", 86), ("b", 86), ("c", 40)].map(|(name, skew)| {
        let last = name.as_bytes()[0] - b'a' + 1;
        let host: HostConfig<ADDRS> = HostConfig {
            preempt: true,
            ..virtual_host(vhid, skew)
        };
        let plan = NodePlan::new(name, [10, 0, 0, last]).host(host);
        sim.add(plan.policy(policy)).unwrap()
    });
    sim.command(ids[2], |node, now| {
        node.demote(now, GroupId(0), Cause::Operator, 100).unwrap();
    });
    takeovers_in_a_minute(&mut sim, 5)
}

/// How often somebody becomes MASTER in the minute after these.
fn takeovers_in_a_minute(sim: &mut Sim, after: u64) -> usize {
    sim.run_for(Duration::from_secs(60 * after));
    sim.take_trace();
    sim.run_for(Duration::from_secs(60));
    let to_master = |kind| {
        matches!(
            kind,
            TraceKind::Event(EventKind::Transition {
                to: State::Master,
                ..
            })
        )
    };
    let trace = sim.take_trace().into_iter();
    trace.filter(|entry| to_master(entry.kind)).count()
}
