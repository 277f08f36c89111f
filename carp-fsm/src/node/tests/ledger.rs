//! Striking causes, by force too, and what must hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::host::Destination;
use crate::ledger::LedgerError;
use crate::random::SplitMix64;

const GROUP1: GroupId = GroupId(1);

/// Hosts 7 and 8 on eth0, 7 on eth1.
fn two_links() -> Bench {
    let mut bench = Bench::new(Policy::HARDENED);
    bench.link(ETH1, LinkState::Up);
    for config in [
        config(7),
        config(8),
        HostConfig {
            iface: ETH1,
            ..config(7)
        },
    ] {
        bench.insert(config);
    }
    bench
}

impl Bench {
    fn clear_all(&mut self, force: bool) -> Result<(), LedgerError> {
        let cleared = self.node.clear_all(self.now, GROUP0, force);
        self.drain();
        cleared
    }

    fn demote(&mut self, cause: Cause, weight: u16) {
        self.node.demote(self.now, GROUP0, cause, weight).unwrap();
    }

    fn report(&mut self, host: HostId, result: TransmitResult) {
        // It was to advertise, and has.
        let output = Output::Advertise(Destination::IPV4, Signature::InForce);
        if let Some(slot) = self.node.hosts.resolve(host) {
            let host = self.node.hosts.get_mut(slot).unwrap();
            host.wish(Wishes::ADVERTISE);
            host.pending.silence();
        }
        let tx = TxId { host, output };
        self.node.handle_transmit_result(self.now, tx, result);
    }
}

#[test]
fn clearing_all_strikes_what_the_operator_entered() {
    let mut bench = two_links();
    bench.demote(Cause::Operator, 100);
    bench.demote(Cause::External(1), 0);
    bench.clear_all(false).unwrap();
    assert_eq!(bench.node.demotion(GROUP0), 0);
    assert_eq!(bench.node.causes(GROUP0).count(), 0);
}

#[test]
fn clearing_all_is_refused_while_something_holds_and_names_it() {
    let mut bench = two_links();
    bench.demote(Cause::Operator, 100);
    bench.link(ETH1, LinkState::Down);
    assert_eq!(
        bench.clear_all(false),
        Err(LedgerError::StillHolds(Cause::LinkDown(ETH1)))
    );
    assert_eq!(bench.node.demotion(GROUP0), 340, "nothing was changed");
    bench.link(ETH1, LinkState::Up);
    for cause in [Cause::NotReady, Cause::External(3)] {
        bench.demote(cause, 1);
        assert_eq!(bench.clear_all(false), Err(LedgerError::StillHolds(cause)));
        bench.node.clear(bench.now, GROUP0, cause).unwrap();
    }
    bench.clear_all(false).unwrap();
    assert_eq!(
        bench.node.clear_all(bench.now, GroupId(9), true),
        Err(LedgerError::NoSuchGroup(GroupId(9)))
    );
}

#[test]
fn force_strikes_everything_with_an_event_for_each() {
    let mut bench = two_links();
    let eight = bench.node.find(ETH0, vhid(8)).unwrap();
    for _ in 0..3 {
        bench.report(eight, TransmitResult::Error);
    }
    bench.link(ETH1, LinkState::Down);
    bench.demote(Cause::External(3), 5);
    assert_eq!(bench.node.demotion(GROUP0), 485);
    bench.drain();
    bench.forget();
    bench.clear_all(true).unwrap();
    assert_eq!(bench.node.demotion(GROUP0), 0);
    let struck: Vec<_> = bench
        .events
        .iter()
        .filter_map(|event| match event {
            EventKind::Demotion { cause, from, to, .. } => Some((*cause, from - to)),
            _ => None,
        })
        .collect();
    assert_eq!(
        struck,
        [
            (Cause::External(3), 5),
            (Cause::LinkDown(ETH1), 240),
            (Cause::SendErrors(eight), 240)
        ]
    );
    let listed: Vec<_> = bench
        .node
        .causes(GROUP0)
        .map(|held| (held.cause, held.weight))
        .collect();
    assert_eq!(
        listed,
        [(Cause::LinkDown(ETH1), 0), (Cause::SendErrors(eight), 0)],
        "what still holds is still listed"
    );
    bench.clear_all(false).unwrap();
}

#[test]
fn a_link_that_was_reset_counts_nothing_until_it_comes_back_and_counts_again_after() {
    let mut bench = two_links();
    bench.link(ETH0, LinkState::Down);
    bench.clear_all(true).unwrap();
    // Told again, joined by a host, left by one: the same outage.
    bench.link(ETH0, LinkState::Down);
    let six = bench.insert(config(6));
    let seven = bench.node.find(ETH0, vhid(7)).unwrap();
    bench.node.remove(bench.now, seven).unwrap();
    bench.drain();
    assert_eq!(bench.node.demotion(GROUP0), 0);
    bench.link(ETH0, LinkState::Up);
    assert_eq!(
        bench.node.demotion(GROUP0),
        0,
        "the late recovery takes nothing off"
    );
    bench.link(ETH0, LinkState::Down);
    assert_eq!(bench.node.demotion(GROUP0), 240);
    bench.link(ETH0, LinkState::Up);
    assert_eq!(
        (bench.node.demotion(GROUP0), bench.state(six)),
        (0, State::Backup)
    );
}

#[test]
fn a_reset_of_one_group_is_none_of_another() {
    let mut bench = two_links();
    bench.insert(HostConfig {
        group: GROUP1,
        ..config(9)
    });
    bench.link(ETH0, LinkState::Down);
    bench.clear_all(true).unwrap();
    assert_eq!(
        (bench.node.demotion(GROUP0), bench.node.demotion(GROUP1)),
        (0, 240)
    );
}

#[test]
fn send_errors_that_were_reset_count_again_once_sending_has_worked() {
    let mut bench = two_links();
    let host = bench.node.find(ETH0, vhid(7)).unwrap();
    let report = |bench: &mut Bench, result| {
        for _ in 0..3 {
            bench.report(host, result);
        }
        bench.node.demotion(GROUP0)
    };
    assert_eq!(report(&mut bench, TransmitResult::Error), 240);
    bench.clear_all(true).unwrap();
    assert_eq!(report(&mut bench, TransmitResult::Error), 0);
    assert_eq!(report(&mut bench, TransmitResult::Sent), 0);
    assert_eq!(report(&mut bench, TransmitResult::Error), 240);
    assert_eq!(report(&mut bench, TransmitResult::Sent), 0);
}

// --- until services are up ---

const STARTING: Policy = Policy {
    not_ready_demotion_factor: 240,
    ..Policy::HARDENED
};

#[test]
fn a_node_that_is_not_ready_leaves_a_living_master_alone_until_it_is() {
    let config = HostConfig {
        preempt: true,
        ..config(7)
    };
    let (mut bench, host) = Bench::with_host(STARTING, config);
    let held: Vec<_> = bench.node.causes(GROUP0).collect();
    assert_eq!(
        (held.len(), held[0].cause, held[0].weight),
        (1, Cause::NotReady, 240)
    );
    bench.hear_peer(1, 200);
    assert_eq!(bench.state(host), State::Backup);
    bench.node.handle_ready(bench.now);
    assert_eq!(bench.node.demotion(GROUP0), 0);
    bench.hear_peer(1, 200);
    assert_eq!(bench.state(host), State::Master);
    bench.insert(HostConfig {
        group: GROUP1,
        ..super::config(8)
    });
    assert_eq!(bench.node.demotion(GROUP1), 0, "ready is ready");
}

#[test]
fn a_node_that_is_not_ready_takes_over_when_nobody_else_is_heard() {
    let (mut bench, host) = Bench::with_host(STARTING, config(7));
    bench.run_for(Duration::from_secs(4));
    assert_eq!(bench.state(host), State::Master);
    assert_eq!(bench.node.status(host).unwrap().advskew.get(), 240);
    bench.forget();
    bench.node.handle_ready(bench.now);
    bench.drain();
    assert_eq!(bench.said(), ["ad"], "told at once");
    assert_eq!(bench.node.status(host).unwrap().advskew.get(), 100);
}

// --- a million events ---

/// What demotes, kept apart from the node.
#[derive(Default)]
struct Expected {
    down: BTreeSet<IfaceId>,
    /// Links that were reset, by group.
    reset: BTreeSet<(GroupId, IfaceId)>,
    entered: BTreeMap<(GroupId, u8), u16>,
    /// By interface and vhid.
    hosts: BTreeMap<(IfaceId, u8), Member>,
}

#[derive(Clone, Copy)]
struct Member {
    id: HostId,
    group: GroupId,
    errors: u8,
    successes: u8,
    failing: bool,
    reset: bool,
}

impl Expected {
    fn on(&self, group: GroupId, iface: IfaceId) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|((on, _), member)| *on == iface && member.group == group)
    }

    fn links(&self, group: GroupId) -> usize {
        let counts = |iface: &&IfaceId| self.on(group, **iface) && !self.reset.contains(&(group, **iface));
        self.down.iter().filter(counts).count()
    }

    fn senders(&self, group: GroupId) -> usize {
        let counts = |member: &&Member| member.group == group && member.failing && !member.reset;
        self.hosts.values().filter(counts).count()
    }

    fn sum(&self, group: GroupId) -> u16 {
        let observed = u16::try_from(self.links(group) + self.senders(group)).unwrap();
        let entered = self.entered.iter().filter(|((of, _), _)| *of == group);
        observed * 240 + entered.map(|(_, weight)| weight).sum::<u16>()
    }
}

impl Member {
    fn count(&mut self, sent: bool) {
        if sent {
            self.successes += 1;
            if self.successes == 3 {
                (self.errors, self.successes, self.failing, self.reset) = (0, 0, false, false);
            }
        } else {
            self.successes = 0;
            self.errors = (self.errors + 1).min(3);
            self.failing |= self.errors == 3;
        }
    }
}

#[test]
fn after_a_million_events_the_sum_is_exactly_what_holds() {
    const EVENTS: u32 = 1_000_000;
    let policy = Policy {
        senderr_retry: None,
        ..Policy::HARDENED
    };
    let mut bench = Bench::with_storage(policy, borrowed(12, 4, 2, 64));
    for iface in 0..4 {
        bench.link(IfaceId(iface), LinkState::Up);
    }
    let mut expected = Expected::default();
    let mut random = SplitMix64::new(7);
    for _ in 0..EVENTS {
        let mut pick = |of: u64| u8::try_from(random.draw() % of).unwrap();
        let (iface, group) = (IfaceId(pick(4).into()), GroupId(pick(2)));
        let place = (iface, 1 + pick(3));
        let now = bench.now;
        match (pick(100), expected.hosts.get_mut(&place)) {
            (0..20, _) => {
                let up = pick(2) == 0;
                if up {
                    expected.down.remove(&iface);
                    expected.reset.retain(|(_, on)| *on != iface);
                } else {
                    expected.down.insert(iface);
                }
                let link = if up { LinkState::Up } else { LinkState::Down };
                bench.node.handle_interface(now, iface, interface(iface, link));
            }
            (20..70, Some(member)) => {
                let sent = pick(2) == 0;
                let result = if sent {
                    TransmitResult::Sent
                } else {
                    TransmitResult::Error
                };
                member.count(sent);
                let id = member.id;
                bench.report(id, result);
            }
            (70..78, None) => {
                let config = HostConfig {
                    iface,
                    group,
                    ..config(place.1)
                };
                let id = bench.insert(config);
                let member = Member {
                    id,
                    group,
                    errors: 0,
                    successes: 0,
                    failing: false,
                    reset: false,
                };
                expected.hosts.insert(place, member);
            }
            (78..82, Some(member)) => {
                let (id, group) = (member.id, member.group);
                bench.node.remove(now, id).unwrap();
                bench.drain();
                expected.hosts.remove(&place);
                if !expected.on(group, iface) {
                    expected.reset.remove(&(group, iface));
                }
            }
            (82..90, _) => {
                let (number, weight) = (pick(3), u16::from(pick(200)));
                let entered = bench.node.demote(now, group, Cause::External(number), weight);
                entered.unwrap();
                expected.entered.insert((group, number), weight);
            }
            (90..96, _) => {
                let number = pick(3);
                bench.node.clear(now, group, Cause::External(number)).unwrap();
                expected.entered.remove(&(group, number));
            }
            (96..98, _) => {
                let cleared = bench.node.clear_all(now, group, false);
                assert_eq!(cleared.is_ok(), expected.sum(group) == 0);
            }
            (98.., _) => {
                bench.node.clear_all(now, group, true).unwrap();
                expected.entered.retain(|(of, _), _| *of != group);
                for iface in &expected.down {
                    let on =
                        |((of, _), member): (&(IfaceId, u8), &Member)| of == iface && member.group == group;
                    if expected.hosts.iter().any(on) {
                        expected.reset.insert((group, *iface));
                    }
                }
                for member in expected.hosts.values_mut() {
                    member.reset |= member.group == group && member.failing;
                }
            }
            _ => {}
        }
        for group in [GROUP0, GROUP1] {
            assert_eq!(bench.node.demotion(group), expected.sum(group));
        }
        bench.drain();
        bench.forget();
    }
}
