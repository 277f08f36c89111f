//! Equal nodes, started at the same moment: their advertisements cross, and both yield.

use super::*;

/// Nodes of these policies, all 1/0.
fn equals(seed: u64, dialect: Dialect, first: u8, policies: &[Policy]) -> Sim {
    let mut sim = Sim::new(seed);
    // All delays the same.
    sim.set_network(Network {
        delay_min: Duration::from_micros(100),
        delay_max: Duration::from_micros(100),
        ..Network::default()
    });
    for ((name, number), policy) in ["a", "b", "c", "d"].into_iter().zip(first..).zip(policies) {
        let mut host = virtual_host(vhid(), 0);
        host.dialect = dialect;
        // Kernels count on after what they heard: two of them may send one counter (protocol.md §6).
        let policy = Policy {
            ignores_replays: false,
            ..*policy
        };
        let plan = NodePlan::new(name, [10, 0, 0, number]).policy(policy).host(host);
        sim.add(plan).unwrap();
    }
    sim
}

fn yields(sim: &Sim) -> usize {
    let to_backup = |entry: &&TraceEntry| {
        let from_master = |kind| {
            matches!(
                kind,
                TraceKind::Event(EventKind::Transition {
                    from: State::Master,
                    ..
                })
            )
        };
        from_master(entry.kind)
    };
    sim.trace().iter().filter(to_backup).count()
}

#[test]
fn kernels_meet_again_and_again() {
    for dialect in [Dialect::FreeBsd, Dialect::OpenBsd, Dialect::NetBsd] {
        let mut sim = equals(1, dialect, 1, &[Policy::KERNEL; 2]);
        sim.run_for(seconds(3600));
        assert!(yields(&sim) > 2000, "{dialect}");
    }
}

/// Also beside a kernel, which always waits equally long.
#[test]
fn equals_part_after_a_few_ties_and_stay_apart() {
    let (hardened, kernel) = (Policy::HARDENED, Policy::KERNEL);
    let mut most = 0;
    for dialect in [Dialect::FreeBsd, Dialect::OpenBsd, Dialect::NetBsd] {
        for first in 1..40 {
            for policies in [
                &[hardened, hardened][..],
                &[hardened, kernel],
                &[kernel, hardened],
                &[hardened, hardened, kernel],
                &[hardened; 4],
            ] {
                let mut sim = equals(u64::from(first), dialect, first, policies);
                sim.run_for(seconds(100));
                let ties = yields(&sim);
                most = most.max(ties / policies.len());
                let master = masters(&sim);
                assert_eq!(master.len(), 1, "{dialect}, from 10.0.0.{first}: {ties} yields");
                let settled = last_change(&sim, master[0]).0;
                assert!(settled < Instant::ZERO + seconds(50), "{dialect}: {settled}");
            }
        }
    }
    assert!(most <= 5, "{most} ties in a row");
}

/// Detection is that of the formula as soon as somebody is MASTER.
#[test]
fn after_a_tie_a_dead_master_is_noticed_as_soon_as_ever() {
    let mut sim = equals(1, Dialect::FreeBsd, 1, &[Policy::HARDENED; 2]);
    sim.run_for(seconds(60));
    assert!(yields(&sim) >= 2);
    let master = masters(&sim)[0];
    sim.crash(master);
    let crashed = sim.now();
    sim.run_for(seconds(4));
    let heir = masters(&sim)[0];
    assert!(became_master(&sim, heir) - crashed <= seconds(3));
}
