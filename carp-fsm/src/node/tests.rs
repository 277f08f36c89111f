//! A node and an adapter that does what it is told, and remembers it.

use core::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;

use carp_proto::{
    AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, HmacVariant, Key, MULTICAST_V4,
    MacAddr, Rejection, RxMeta, Vhid,
};

use super::*;
use crate::config::LinkState;
use crate::event::EventKind;
use crate::id::GroupId;
use crate::state::{InitReason, Reason};
use crate::{Duration, EventSlot, GroupSlot, HostSlot, InterfaceSlot, LinkMode, TransmitKind};

mod announcements;
mod commands;
mod demotion;
mod groups;
#[cfg(feature = "sim")]
mod hashes;
mod ledger;
mod maintenance;
mod neighbours;
mod owning;
mod packets;
mod properties;
mod reconfigure;
mod replays;
mod sending;
mod settings;
mod unicast;

const ETH0: IfaceId = IfaceId(0);
const ETH1: IfaceId = IfaceId(1);
const GROUP0: GroupId = GroupId(0);

struct Bench {
    node: Node<'static, 4>,
    now: Instant,
    /// What happens to frames.
    result: TransmitResult,
    actions: Vec<Action>,
    events: Vec<EventKind>,
}

impl Bench {
    fn new(policy: Policy) -> Self {
        Self::with_storage(policy, growing())
    }

    fn with_storage(policy: Policy, storage: Storage<'static, 4>) -> Self {
        let mut bench = Self {
            node: Node::new(policy, 1, storage),
            now: Instant::ZERO,
            result: TransmitResult::Sent,
            actions: Vec::new(),
            events: Vec::new(),
        };
        bench.link(ETH0, LinkState::Up);
        bench
    }

    /// One host on `eth0`, drained.
    fn with_host(policy: Policy, config: HostConfig<4>) -> (Self, HostId) {
        let mut bench = Self::new(policy);
        let host = bench.insert(config);
        bench.forget();
        (bench, host)
    }

    /// The same, MASTER.
    fn with_master(policy: Policy, config: HostConfig<4>) -> (Self, HostId) {
        let (mut bench, host) = Self::with_host(policy, config);
        bench.run_to_deadline();
        assert_eq!(bench.node.state(host), Some(State::Master));
        bench.forget();
        (bench, host)
    }

    fn insert(&mut self, config: HostConfig<4>) -> HostId {
        let host = self.node.insert(self.now, config).unwrap();
        self.drain();
        host
    }

    fn link(&mut self, iface: IfaceId, link: LinkState) {
        self.node
            .handle_interface(self.now, iface, interface(iface, link));
        self.drain();
    }

    fn drain(&mut self) {
        let mut frame = [0; MAX_FRAME_LEN];
        while let Some(action) = self.node.poll_action(self.now, &mut frame) {
            self.actions.push(action);
            match action {
                Action::Transmit { tx, .. } => self.node.handle_transmit_result(self.now, tx, self.result),
                Action::SetOwner { host, seq, .. } => {
                    self.node.handle_owner_result(self.now, host, seq, Ok(()));
                }
            }
        }
        self.events
            .extend(core::iter::from_fn(|| self.node.poll_event()).map(|event| event.kind));
    }

    fn forget(&mut self) {
        self.actions.clear();
        self.events.clear();
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(deadline) = self.node.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.wake();
        }
        self.now = end;
    }

    fn run_to_deadline(&mut self) {
        self.now = self.node.next_deadline().unwrap();
        self.wake();
    }

    fn wake(&mut self) {
        self.node.handle_timeout(self.now);
        self.node.handle_drained(self.now);
        self.drain();
    }

    fn hear(&mut self, payload: &[u8]) -> Result<HostId, Rejection> {
        let heard = self.node.handle_packet(self.now, ETH0, &from_peer(), payload);
        self.drain();
        heard
    }

    /// Hears an advertisement of vhid 7 as `config(7)` would send it.
    fn hear_peer(&mut self, base: u8, skew: u8) {
        self.hear(&advertisement(base, skew)).unwrap();
    }

    fn state(&self, host: HostId) -> State {
        self.node.state(host).unwrap()
    }

    /// Ownership and frames, in order.
    fn said(&self) -> Vec<&'static str> {
        self.actions
            .iter()
            .map(|action| match action {
                Action::SetOwner { owner: true, .. } => "own",
                Action::SetOwner { owner: false, .. } => "disown",
                Action::Transmit {
                    kind: TransmitKind::Advertisement,
                    ..
                } => "ad",
                Action::Transmit {
                    kind: TransmitKind::BowOut,
                    ..
                } => "bow-out",
                Action::Transmit {
                    kind: TransmitKind::Announcement,
                    ..
                } => "announce",
            })
            .collect()
    }

    fn reasons(&self) -> Vec<Reason> {
        self.events
            .iter()
            .filter_map(|event| match event {
                EventKind::Transition { reason, .. } => Some(*reason),
                _ => None,
            })
            .collect()
    }
}

fn interface(iface: IfaceId, link: LinkState) -> InterfaceInfo {
    let number = u8::try_from(iface.0).unwrap();
    InterfaceInfo {
        mac: MacAddr([2, 0, 0, 0, 0, number]),
        ipv4: Some([10, 0, number, 1].into()),
        ipv6: Some("fe80::1".parse().unwrap()),
        link,
    }
}

fn vhid(number: u8) -> Vhid {
    Vhid::new(number).unwrap()
}

fn key() -> Key {
    Key::from_passphrase(b"secret").unwrap()
}

/// 1/100, one IPv4 address.
fn config(number: u8) -> HostConfig<4> {
    let mut config = HostConfig::new(ETH0, vhid(number), key());
    config.advskew = AdvSkew::new(100);
    config.mode = LinkMode::Vmac;
    config.addresses.insert([192, 0, 2, number].into()).unwrap();
    config
}

/// With a counter that no other has.
fn advertisement(base: u8, skew: u8) -> [u8; 36] {
    static NEXT: AtomicU64 = AtomicU64::new(0x1234_5678_9abc_def0);
    signed(base, skew, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn signed(base: u8, skew: u8, counter: u64) -> [u8; 36] {
    let config = config(7);
    let authenticator = Authenticator::new(&key(), vhid(7), &config.addresses, HmacVariant::Plain);
    signed_by(&authenticator, base, skew, counter)
}

fn signed_by(authenticator: &Authenticator, base: u8, skew: u8, counter: u64) -> [u8; 36] {
    let counter = Counter::new(counter);
    let mut bytes = [0; 36];
    Advertisement {
        vhid: vhid(7),
        advbase: AdvBase::new(base),
        advskew: AdvSkew::new(skew),
        demotion: Demotion::new(0),
        counter,
        digest: authenticator.sign(counter),
    }
    .emit(&mut bytes);
    bytes
}

fn from_peer() -> RxMeta {
    RxMeta {
        src: [10, 0, 0, 2].into(),
        dst: MULTICAST_V4.into(),
        ttl: 255,
        link: None,
    }
}

/// Storage that lives as long as the test run; hosts, interfaces, groups, events.
fn borrowed(hosts: usize, interfaces: usize, groups: usize, events: usize) -> Storage<'static, 4> {
    fn leak<T>(len: usize, empty: impl Fn() -> T) -> &'static mut [T] {
        (0..len).map(|_| empty()).collect::<Vec<T>>().leak()
    }
    Storage::borrowed(
        leak(hosts, || HostSlot::EMPTY),
        leak(interfaces, || InterfaceSlot::EMPTY),
        leak(groups, || GroupSlot::EMPTY),
        leak(events, || EventSlot::EMPTY),
    )
}

#[cfg(feature = "alloc")]
fn growing() -> Storage<'static, 4> {
    Storage::growing()
}

#[cfg(not(feature = "alloc"))]
fn growing() -> Storage<'static, 4> {
    let memory = (0..16 * 64)
        .map(|_| crate::CounterSlot::EMPTY)
        .collect::<Vec<_>>();
    let keys = (0..16 * 3).map(|_| crate::KeySlot::EMPTY).collect::<Vec<_>>();
    borrowed(16, 8, 8, 64)
        .with_replay_memory(memory.leak(), 64)
        .with_spare_keys(keys.leak(), 3)
        .with_peers([crate::PeerSlot::EMPTY; 16 * 8].to_vec().leak(), 8)
        .with_neighbours([crate::NeighbourSlot::EMPTY; 64].to_vec().leak())
}
