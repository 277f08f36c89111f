use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::ledger::{LEDGER_LEN, LedgerError};

#[test]
fn a_lost_link_demotes_the_group_once_however_many_hosts_it_has() {
    let mut bench = Bench::new(Policy::HARDENED);
    bench.link(ETH1, LinkState::Up);
    for number in 1..=12 {
        bench.insert(config(number));
    }
    let other = bench.insert(HostConfig {
        iface: ETH1,
        ..config(1)
    });
    bench.run_for(Duration::from_secs(4));
    bench.forget();
    bench.link(ETH0, LinkState::Down);
    assert_eq!(bench.node.demotion(GROUP0), 240);
    assert_eq!(
        bench.said().iter().filter(|said| **said == "ad").count(),
        1,
        "told at once on eth1"
    );
    assert_eq!(bench.node.status(other).unwrap().advskew.get(), 240);
    let cause = Cause::LinkDown(ETH0);
    let demotion = |from, to, holds| EventKind::Demotion {
        group: GROUP0,
        from,
        to,
        cause,
        holds,
    };
    assert!(bench.events.contains(&demotion(0, 240, true)));
    bench.link(ETH0, LinkState::Down);
    assert_eq!(bench.node.demotion(GROUP0), 240);
    bench.link(ETH0, LinkState::Up);
    assert_eq!(bench.node.demotion(GROUP0), 0);
    assert!(bench.events.contains(&demotion(240, 0, false)));
}

#[test]
fn groups_do_not_share_demotion() {
    let mut bench = Bench::new(Policy::HARDENED);
    bench.link(ETH1, LinkState::Up);
    bench.insert(config(1));
    bench.insert(HostConfig {
        iface: ETH1,
        group: GroupId(1),
        ..config(1)
    });
    bench.link(ETH1, LinkState::Down);
    assert_eq!(
        (bench.node.demotion(GROUP0), bench.node.demotion(GroupId(1))),
        (0, 240)
    );
}

#[test]
fn the_last_of_all_groups_is_one_like_the_others() {
    let mut bench = Bench::with_storage(Policy::HARDENED, borrowed(1, 1, 256, 8));
    let last = GroupId(255);
    bench.insert(HostConfig {
        group: last,
        ..config(7)
    });
    bench.link(ETH0, LinkState::Down);
    assert_eq!(bench.node.demotion(last), 240);
    bench.link(ETH0, LinkState::Up);
    assert_eq!(bench.node.demotion(last), 0);
}

#[test]
fn a_host_on_a_dead_interface_demotes_while_it_is_there() {
    let mut bench = Bench::new(Policy::HARDENED);
    bench.link(ETH1, LinkState::Down);
    assert_eq!(bench.node.demotion(GROUP0), 0, "nobody uses it");
    let host = bench.insert(HostConfig {
        iface: ETH1,
        ..config(1)
    });
    assert_eq!(bench.node.demotion(GROUP0), 240);
    bench.forget();
    bench.node.remove(bench.now, host).unwrap();
    bench.drain();
    assert_eq!(bench.node.demotion(GROUP0), 0);
}

#[test]
fn a_removed_host_takes_its_send_errors_along_and_the_event_says_so() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.result = TransmitResult::Error;
    bench.run_for(Duration::from_secs(5));
    assert_eq!(bench.node.demotion(GROUP0), 240);
    bench.node.remove(bench.now, host).unwrap();
    bench.run_for(Duration::from_secs(2));
    assert_eq!(bench.node.demotion(GROUP0), 0);
    let cause = Cause::SendErrors(host);
    let gone = EventKind::Demotion {
        group: GROUP0,
        from: 240,
        to: 0,
        cause,
        holds: false,
    };
    assert!(bench.events.contains(&gone));
}

#[test]
fn entered_causes_add_up_saturate_and_keep_their_age() {
    let (mut bench, _) = Bench::with_host(Policy::HARDENED, config(7));
    let since = bench.now;
    bench.node.demote(bench.now, GROUP0, Cause::Operator, 10).unwrap();
    bench.run_for(Duration::from_secs(1));
    bench.node.demote(bench.now, GROUP0, Cause::Operator, 20).unwrap();
    bench
        .node
        .demote(bench.now, GROUP0, Cause::External(1), 5)
        .unwrap();
    assert_eq!(bench.node.demotion(GROUP0), 25, "a cause has one weight");
    let held: Vec<_> = bench.node.causes(GROUP0).collect();
    assert_eq!(
        (held[0].cause, held[0].weight, held[0].since),
        (Cause::Operator, 20, since)
    );
    assert_eq!(held[1].since, bench.now);
    bench
        .node
        .demote(bench.now, GROUP0, Cause::External(2), u16::MAX)
        .unwrap();
    assert_eq!(bench.node.demotion(GROUP0), u16::MAX);
    bench.node.clear(bench.now, GROUP0, Cause::External(2)).unwrap();
    assert_eq!(bench.node.demotion(GROUP0), 25);
    bench.node.clear(bench.now, GROUP0, Cause::External(2)).unwrap();
    assert_eq!(bench.node.demotion(GROUP0), 25, "clearing twice is clearing once");
}

#[test]
fn what_the_node_sees_itself_cannot_be_entered_or_struck() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    for cause in [Cause::LinkDown(ETH0), Cause::SendErrors(host)] {
        assert_eq!(
            bench.node.demote(bench.now, GROUP0, cause, 1),
            Err(LedgerError::Observed)
        );
        assert_eq!(
            bench.node.clear(bench.now, GROUP0, cause),
            Err(LedgerError::Observed)
        );
    }
    let nowhere = GroupId(9);
    let error = Err(LedgerError::NoSuchGroup(nowhere));
    assert_eq!(bench.node.demote(bench.now, nowhere, Cause::Operator, 1), error);
    assert_eq!(bench.node.clear(bench.now, nowhere, Cause::Operator), error);
    assert_eq!(bench.node.demotion(nowhere), 0);
}

#[test]
fn a_full_ledger_says_so_and_changes_nothing() {
    let (mut bench, _) = Bench::with_host(Policy::HARDENED, config(7));
    for number in 0..LEDGER_LEN {
        let cause = Cause::External(u8::try_from(number).unwrap());
        bench.node.demote(bench.now, GROUP0, cause, 1).unwrap();
    }
    assert_eq!(
        bench.node.demote(bench.now, GROUP0, Cause::Operator, 1),
        Err(LedgerError::Full)
    );
    assert_eq!(bench.node.demotion(GROUP0), 8);
    bench
        .node
        .demote(bench.now, GROUP0, Cause::External(3), 2)
        .unwrap();
    assert_eq!(bench.node.demotion(GROUP0), 9);
}

#[test]
fn a_demoted_backup_still_takes_over_when_nobody_else_is_heard() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench
        .node
        .demote(bench.now, GROUP0, Cause::NotReady, 240)
        .unwrap();
    bench.run_for(Duration::from_secs(4));
    assert_eq!(bench.state(host), State::Master);
}

// --- the sum always equals what holds ---

#[derive(Clone, Copy, Debug)]
enum Happening {
    Link(u16, bool),
    Demote(u8, u8, u16),
    Clear(u8, u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..4_u16, any::<bool>()).prop_map(|(iface, up)| Happening::Link(iface, up)),
        1 => (0..2_u8, 0..3_u8, 0..1000_u16)
            .prop_map(|(group, cause, weight)| Happening::Demote(group, cause, weight)),
        1 => (0..2_u8, 0..3_u8).prop_map(|(group, cause)| Happening::Clear(group, cause)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn after_ten_thousand_events_the_sum_is_what_holds(
        events in prop::collection::vec(happening(), 10_000),
    ) {
        let mut bench = Bench::new(Policy::HARDENED);
        // Interface n is of group n / 2; every one has three hosts.
        for iface in 0..4 {
            bench.link(IfaceId(iface), LinkState::Up);
            for number in 1..4 {
                let group = GroupId(u8::try_from(iface / 2).unwrap());
                bench.insert(HostConfig { iface: IfaceId(iface), group, ..config(number) });
            }
        }
        let mut down: BTreeSet<u16> = BTreeSet::new();
        let mut entered: BTreeMap<(u8, u8), u16> = BTreeMap::new();
        for event in events {
            bench.now = bench.now + Duration::from_millis(10);
            match event {
                Happening::Link(iface, true) => {
                    bench.link(IfaceId(iface), LinkState::Up);
                    down.remove(&iface);
                }
                Happening::Link(iface, false) => {
                    bench.link(IfaceId(iface), LinkState::Down);
                    down.insert(iface);
                }
                Happening::Demote(group, cause, weight) => {
                    bench.node.demote(bench.now, GroupId(group), Cause::External(cause), weight).unwrap();
                    entered.insert((group, cause), weight);
                }
                Happening::Clear(group, cause) => {
                    bench.node.clear(bench.now, GroupId(group), Cause::External(cause)).unwrap();
                    entered.remove(&(group, cause));
                }
            }
            for group in 0..2 {
                let links = down.iter().filter(|iface| **iface / 2 == u16::from(group)).count();
                let others: u16 = entered.iter().filter(|((of, _), _)| *of == group).map(|(_, w)| *w).sum();
                let expected = u16::try_from(links).unwrap() * 240 + others;
                prop_assert_eq!(bench.node.demotion(GroupId(group)), expected);
            }
        }
        for iface in 0..4 {
            bench.link(IfaceId(iface), LinkState::Up);
        }
        for (group, cause) in entered.into_keys() {
            bench.node.clear(bench.now, GroupId(group), Cause::External(cause)).unwrap();
        }
        prop_assert_eq!((bench.node.demotion(GROUP0), bench.node.demotion(GroupId(1))), (0, 0));
    }
}
