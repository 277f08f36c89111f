//! Random operations on a clock that does not go backwards.

use std::collections::{BTreeMap, BTreeSet};
use std::vec;

use proptest::prelude::*;

use super::*;

/// What the adapter was asked for, and what it could not take off.
#[derive(Default)]
struct Adapter {
    owned: BTreeMap<HostId, bool>,
    failed: BTreeSet<HostId>,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Insert(u16, u8, bool),
    Remove(usize),
    Enable(usize, bool),
    HandOver(usize),
    Force(usize, State),
    Demote(u16),
    Clear,
    Link(u16, LinkState),
    Hear(u8, u8),
    Noise(u8),
    Timeout,
    Drained,
    /// At most this many actions, with this result.
    Drain(usize, TransmitResult, bool),
    TakeAway(usize),
    Maintain(bool),
    Shutdown,
}

fn operation() -> impl Strategy<Value = Operation> {
    let states = vec![State::Init, State::Backup, State::Master];
    let links = vec![LinkState::Up, LinkState::Up, LinkState::Down, LinkState::Unknown];
    let results = vec![TransmitResult::Sent, TransmitResult::Busy, TransmitResult::Error];
    prop_oneof![
        4 => (0..2_u16, 6..9_u8, any::<bool>()).prop_map(|(a, b, c)| Operation::Insert(a, b, c)),
        1 => (0..8_usize).prop_map(Operation::Remove),
        2 => (0..8_usize, any::<bool>()).prop_map(|(a, b)| Operation::Enable(a, b)),
        2 => (0..8_usize).prop_map(Operation::HandOver),
        2 => (0..8_usize, prop::sample::select(states)).prop_map(|(a, b)| Operation::Force(a, b)),
        1 => (0..300_u16).prop_map(Operation::Demote),
        1 => Just(Operation::Clear),
        1 => (0..8_usize).prop_map(Operation::TakeAway),
        1 => any::<bool>().prop_map(Operation::Maintain),
        2 => (0..2_u16, prop::sample::select(links)).prop_map(|(a, b)| Operation::Link(a, b)),
        6 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Operation::Hear(a, b)),
        1 => any::<u8>().prop_map(Operation::Noise),
        10 => Just(Operation::Timeout),
        6 => Just(Operation::Drained),
        10 => (1..20_usize, prop::sample::select(results), any::<bool>())
            .prop_map(|(a, b, c)| Operation::Drain(a, b, c)),
        1 => prop::bool::weighted(0.05).prop_map(|b| if b { Operation::Shutdown } else { Operation::Timeout }),
    ]
}

fn apply(bench: &mut Bench, adapter: &mut Adapter, operation: Operation) {
    let Adapter { owned, failed } = adapter;
    let hosts: Vec<HostId> = bench.node.hosts().collect();
    let host = |index: usize| hosts.get(index).copied();
    let (node, now) = (&mut bench.node, bench.now);
    match operation {
        Operation::Insert(iface, number, plain) => {
            let mode = if plain { LinkMode::Plain } else { LinkMode::Vmac };
            let preempt = number == 8;
            let _ = node.insert(
                now,
                HostConfig {
                    iface: IfaceId(iface),
                    mode,
                    preempt,
                    ..config(number)
                },
            );
        }
        Operation::Remove(index) => {
            let _ = host(index).map(|id| node.remove(now, id));
        }
        Operation::Enable(index, enabled) => {
            let _ = host(index).map(|id| node.set_enabled(now, id, enabled));
        }
        Operation::HandOver(index) => {
            let _ = host(index).map(|id| node.hand_over(now, id));
        }
        Operation::Force(index, state) => {
            let _ = host(index).map(|id| node.force_state(now, id, state));
        }
        Operation::Demote(weight) => {
            let _ = node.demote(now, GROUP0, Cause::Operator, weight);
        }
        Operation::Clear => {
            let _ = node.clear(now, GROUP0, Cause::Operator);
        }
        Operation::Link(iface, link) => {
            node.handle_interface(now, IfaceId(iface), interface(IfaceId(iface), link));
        }
        Operation::Hear(base, skew) => {
            let _ = node.handle_packet(now, ETH0, &from_peer(), &advertisement(base, skew));
        }
        Operation::Noise(byte) => {
            let _ = node.handle_packet(now, ETH1, &from_peer(), &[byte; 40]);
        }
        Operation::Timeout => node.handle_timeout(now),
        Operation::Drained => node.handle_drained(now),
        Operation::Drain(limit, result, granted) => {
            let mut frame = [0; MAX_FRAME_LEN];
            for _ in 0..limit {
                let Some(action) = node.poll_action(now, &mut frame) else {
                    break;
                };
                match action {
                    Action::Transmit { host, tx, len, .. } => {
                        assert!(len <= MAX_FRAME_LEN);
                        assert_eq!(owned.get(&host), Some(&true), "only an owner speaks");
                        node.handle_transmit_result(now, tx, result);
                    }
                    Action::SetOwner { host, owner, seq } => {
                        let before = owned.insert(host, owner);
                        let again = failed.remove(&host);
                        assert!(before != Some(owner) || again, "ownership actions alternate");
                        assert!(before.is_some() || !owner, "the first one takes off");
                        let result = if granted { Ok(()) } else { Err(OwnerError) };
                        if !granted {
                            failed.insert(host);
                        }
                        node.handle_owner_result(now, host, seq, result);
                    }
                }
            }
        }
        Operation::TakeAway(index) => {
            if let Some(id) = host(index) {
                node.handle_taken_away(now, id);
                failed.insert(id); // may be asked for again
            }
        }
        Operation::Maintain(maintenance) => node.set_maintenance(now, maintenance),
        Operation::Shutdown => node.shutdown(now),
    }
}

proptest! {
    #[test]
    fn random_operations_keep_the_promises(
        operations in prop::collection::vec((0..1_500_000_u64, operation()), 1..250),
    ) {
        let storage = borrowed(4, 2, 1, 8);
        let mut bench = Bench::with_storage(Policy::HARDENED, storage);
        let mut adapter = Adapter::default();
        for (pause, operation) in operations {
            bench.now = bench.now + Duration::from_micros(pause);
            apply(&mut bench, &mut adapter, operation);
            if matches!(operation, Operation::Drained) {
                prop_assert!(bench.node.next_deadline().is_none_or(|deadline| deadline > bench.now));
            }
            for host in bench.node.hosts() {
                prop_assert_eq!(bench.node.is_owner(host), adapter.owned.get(&host) == Some(&true));
            }
        }

        // Left alone and drained, every host ends up owning what it is MASTER of, and nothing else.
        bench.link(ETH0, LinkState::Up);
        bench.link(ETH1, LinkState::Up);
        bench.run_for(Duration::from_secs(200));
        for host in bench.node.hosts() {
            prop_assert_eq!(bench.node.is_owner(host), bench.state(host) == State::Master);
            let off = bench.node.status(host).unwrap().init_reason;
            prop_assert!(
                matches!(
                    off,
                    None | Some(InitReason::Disabled | InitReason::ShuttingDown | InitReason::NoInterface)
                ),
                "{host}: {off:?}"
            );
        }
        bench.node.shutdown(bench.now);
        bench.run_for(Duration::from_secs(5));
        prop_assert!(bench.node.is_quiet());
        // Who could not send to the end is forgiven on trial.
        bench.run_for(Policy::HARDENED.senderr_retry.unwrap());
        prop_assert_eq!(bench.node.next_deadline(), None);
    }
}
