//! Any sequence of packets, time, results and commands, on a node in a few slots of the caller's memory.
//!
//! Nothing panics; draining comes to an end; the addresses are asked for and given up in turn, and only their owner
//! speaks; what was due is done; the demotion is the sum of what holds.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carp_fsm::{
    Action, Cause, CounterSlot, Duration, EventSlot, GroupId, GroupSlot, HostConfig, HostId, HostSlot,
    IfaceId, Instant, InterfaceInfo, InterfaceSlot, LinkMode, LinkState, Node, OwnerError, Policy, State,
    Storage, TransmitKind, TransmitResult,
};
use carp_proto::{
    AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, Envelope, FrameClass, Key,
    MAX_FRAME_LEN, MacAddr, RxMeta, Vhid, frame,
};
use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};

const ADDRESSES: usize = 2;
const HOSTS: usize = 3;
const IFACES: usize = 2;
const GROUPS: usize = 2;

/// A host asks for its addresses, says goodbye and hello in both families, announces each address, and lets go.
const ACTIONS_PER_HOST: usize = 8 + ADDRESSES;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    hardened: bool,
    seed: u64,
    steps: Vec<Step<'a>>,
}

#[derive(Arbitrary, Debug)]
struct Step<'a> {
    /// Microseconds; now and then a long time.
    pause: u32,
    operation: Operation<'a>,
    /// Drained afterwards?
    drain: Option<Drain>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Drain {
    sending: u8,
    takes_addresses: bool,
    gives_addresses_up: bool,
}

#[derive(Arbitrary, Debug)]
enum Operation<'a> {
    Insert(Host),
    Reconfigure(u8, Host),
    Remove(u8),
    Enable(u8, bool),
    HandOver(u8),
    Force(u8, u8),
    TakeAway(u8),
    Demote(u8, u8, u16),
    Clear(u8, u8),
    Interface(u8, u8, Option<[u8; 4]>),
    /// Signed as a peer would, of the host with this index.
    Heard {
        host: u8,
        interval: (u8, u8),
        demotion: u8,
        counter: u64,
        ipv6: bool,
    },
    /// A frame of our own comes back.
    Loop {
        iface: u8,
        interval: Option<(u8, u8)>,
    },
    Noise {
        iface: u8,
        src: IpAddr,
        dst: IpAddr,
        ttl: u8,
        payload: &'a [u8],
    },
    /// Until the next deadline.
    Sleep,
    Timeout,
    Drained,
    /// The clock went back.
    Earlier(u32),
    Shutdown,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Host {
    iface: u8,
    vhid: u8,
    base: u8,
    skew: u8,
    preempt: Option<u16>,
    group: u8,
    dialect: u8,
    vmac: bool,
    key: bool,
    addresses: u8,
}

impl Host {
    fn config(self) -> HostConfig<ADDRESSES> {
        let vhid = Vhid::new(self.vhid % 4 + 1).unwrap();
        let key = Key::from_bytes([self.key.into(); 20]);
        // One interface, and one group, more than there is room for.
        let iface = IfaceId(u16::from(self.iface) % 3);
        let mut config = HostConfig::new(iface, vhid, key);
        config.advbase = AdvBase::new(self.base % 4);
        config.advskew = AdvSkew::new(self.skew);
        config.preempt = self.preempt.is_some();
        config.preempt_delay = Duration::from_millis(self.preempt.unwrap_or(0).into());
        config.group = GroupId(self.group % 3);
        config.dialect = Dialect::ALL[usize::from(self.dialect) % 4];
        config.mode = if self.vmac {
            LinkMode::Vmac
        } else {
            LinkMode::Plain
        };
        for (bit, address) in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "fe80::1"]
            .into_iter()
            .enumerate()
        {
            if self.addresses >> bit & 1 == 1 {
                let _ = config.addresses.insert(address.parse().unwrap());
            }
        }
        config
    }
}

/// What the adapter and the operator know, apart from the node.
#[derive(Default)]
struct World {
    owned: BTreeMap<HostId, bool>,
    /// May be asked for the same again: it could not, or the addresses changed.
    again: BTreeSet<HostId>,
    entered: BTreeMap<(GroupId, u8), u16>,
    down: BTreeSet<IfaceId>,
    sent: Option<Vec<u8>>,
}

fuzz_target!(|input: Input<'_>| {
    let mut hosts = [const { HostSlot::<ADDRESSES>::EMPTY }; HOSTS];
    let mut interfaces = [InterfaceSlot::EMPTY; IFACES];
    let mut groups = [const { GroupSlot::EMPTY }; GROUPS];
    let mut events = [EventSlot::EMPTY; 4];
    let mut counters = [CounterSlot::EMPTY; HOSTS * 4];
    let storage = Storage::borrowed(&mut hosts, &mut interfaces, &mut groups, &mut events);
    let policy = if input.hardened {
        Policy::HARDENED
    } else {
        Policy::KERNEL
    };
    let mut node = Node::new(policy, input.seed, storage.with_replay_memory(&mut counters, 4));
    let mut world = World::default();
    let mut now = Instant::ZERO;
    for step in &input.steps {
        now = now + Duration::from_micros(u64::from(step.pause % 5_000_000));
        world.operate(&mut node, &mut now, &policy, &step.operation);
        if let Some(how) = step.drain {
            world.drain(&mut node, now, how);
        }
        while node.poll_event().is_some() {}
        world.check(&node, &policy);
    }
});

impl World {
    fn operate(
        &mut self,
        node: &mut Node<'_, ADDRESSES>,
        now: &mut Instant,
        policy: &Policy,
        what: &Operation<'_>,
    ) {
        let hosts: Vec<HostId> = node.hosts().collect();
        let host = |index: &u8| hosts.get(usize::from(*index) % HOSTS).copied();
        let group = |number: &u8| GroupId(number % 3);
        match what {
            Operation::Insert(new) => {
                let inserted = node.insert(*now, new.config());
                if let Ok(id) = inserted {
                    assert!(
                        !hosts.contains(&id) && !self.owned.contains_key(&id),
                        "ids are not used again"
                    );
                }
            }
            Operation::Reconfigure(index, new) => {
                if let Some(id) = host(index) {
                    let old = node.config(id).unwrap().clone();
                    let wanted = HostConfig {
                        iface: old.iface,
                        vhid: old.vhid,
                        group: old.group,
                        dialect: old.dialect,
                        mode: old.mode,
                        ..new.config()
                    };
                    if node.reconfigure(*now, id, wanted).is_ok() {
                        self.again.insert(id);
                    }
                }
            }
            Operation::Remove(index) => {
                let _ = host(index).map(|id| node.remove(*now, id));
            }
            Operation::Enable(index, enabled) => {
                let _ = host(index).map(|id| node.set_enabled(*now, id, *enabled));
            }
            Operation::HandOver(index) => {
                let _ = host(index).map(|id| node.hand_over(*now, id));
            }
            Operation::Force(index, state) => {
                let state = [State::Init, State::Backup, State::Master][usize::from(*state) % 3];
                let _ = host(index).map(|id| node.force_state(*now, id, state));
            }
            Operation::TakeAway(index) => {
                if let Some(id) = host(index) {
                    node.handle_taken_away(*now, id);
                    self.again.insert(id);
                }
            }
            Operation::Demote(number, cause, weight) => {
                if node
                    .demote(*now, group(number), Cause::External(*cause), *weight)
                    .is_ok()
                {
                    self.entered.insert((group(number), *cause), *weight);
                }
            }
            Operation::Clear(number, cause) => {
                if node.clear(*now, group(number), Cause::External(*cause)).is_ok() {
                    self.entered.remove(&(group(number), *cause));
                }
            }
            Operation::Interface(number, link, ipv4) => {
                let iface = IfaceId(u16::from(*number) % 3);
                let link = [LinkState::Up, LinkState::Up, LinkState::Down, LinkState::Unknown]
                    [usize::from(*link) % 4];
                let info = InterfaceInfo {
                    mac: MacAddr([2, 0, 0, 0, 0, *number]),
                    ipv4: ipv4.map(Into::into),
                    ipv6: None,
                    link,
                };
                node.handle_interface(*now, iface, info);
                let usable = link == LinkState::Up || link == LinkState::Unknown && policy.unknown_link_is_up;
                if usable {
                    self.down.remove(&iface);
                } else if usize::from(iface.0) < IFACES {
                    self.down.insert(iface);
                }
            }
            Operation::Heard {
                host: index,
                interval,
                demotion,
                counter,
                ipv6,
            } => {
                if let Some(config) = host(index).and_then(|id| node.config(id)) {
                    let mut buffer = [0; MAX_FRAME_LEN];
                    let len = signed(config, *interval, *demotion, *counter, *ipv6, &mut buffer);
                    let iface = config.iface;
                    let FrameClass::Carp { meta, payload } = frame::classify(&buffer[..len]) else {
                        panic!("what is emitted is recognised");
                    };
                    let _ = node.handle_packet(*now, iface, &meta, payload);
                }
            }
            Operation::Loop { iface, interval } => {
                if let Some(FrameClass::Carp { meta, payload }) = self.sent.as_deref().map(frame::classify) {
                    let mut payload = payload.to_vec();
                    if let Some((base, skew)) = interval {
                        // Nobody signs these, but the checksum must be right.
                        let before = u32::from(payload[2]) << 8 | u32::from(payload[5]);
                        (payload[2], payload[5]) = (*skew, *base);
                        let after = u32::from(*skew) << 8 | u32::from(*base);
                        let sum = u32::from(u16::from_be_bytes([payload[6], payload[7]]))
                            + before
                            + (0xffff - after);
                        let sum = (sum & 0xffff) + (sum >> 16);
                        let sum = (sum & 0xffff) + (sum >> 16);
                        payload[6..8].copy_from_slice(&u16::try_from(sum).unwrap().to_be_bytes());
                    }
                    let _ = node.handle_packet(*now, IfaceId(u16::from(*iface) % 3), &meta, &payload);
                }
            }
            Operation::Noise {
                iface,
                src,
                dst,
                ttl,
                payload,
            } => {
                let meta = RxMeta {
                    src: *src,
                    dst: *dst,
                    ttl: *ttl,
                    link: None,
                };
                let _ = node.handle_packet(*now, IfaceId((*iface).into()), &meta, payload);
            }
            Operation::Sleep => *now = node.next_deadline().map_or(*now, |deadline| deadline.max(*now)),
            Operation::Timeout => node.handle_timeout(*now),
            Operation::Drained => {
                node.handle_timeout(*now);
                node.handle_drained(*now);
                assert!(
                    node.next_deadline().is_none_or(|deadline| deadline > *now),
                    "what was due is done"
                );
            }
            Operation::Earlier(micros) => {
                node.handle_timeout(Instant::from_micros(
                    now.as_micros().saturating_sub((*micros).into()),
                ));
            }
            Operation::Shutdown => node.shutdown(*now),
        }
    }

    fn drain(&mut self, node: &mut Node<'_, ADDRESSES>, now: Instant, how: Drain) {
        let sending =
            [TransmitResult::Sent, TransmitResult::Busy, TransmitResult::Error][usize::from(how.sending) % 3];
        let mut frame = [0; MAX_FRAME_LEN];
        let mut actions = 0;
        loop {
            let (deadline, members) = (node.next_deadline(), node.hosts().count());
            let Some(action) = node.poll_action(now, &mut frame) else {
                break;
            };
            actions += 1;
            // Once more for what a refusal leads to.
            assert!(
                actions <= 2 * HOSTS * ACTIONS_PER_HOST,
                "draining comes to an end"
            );
            // Who is forgotten demotes no more, and without demotion intervals are shorter.
            assert!(
                node.hosts().count() < members
                    || node
                        .next_deadline()
                        .is_none_or(|after| deadline.is_some_and(|before| before <= after)),
                "draining does not bring the deadline forward"
            );
            match action {
                Action::SetOwner { host, owner, seq } => {
                    let before = self.owned.insert(host, owner);
                    let again = self.again.remove(&host);
                    assert!(before != Some(owner) || again, "ownership actions alternate");
                    assert!(before.is_some() || !owner, "the first one takes off");
                    let granted = if owner {
                        how.takes_addresses
                    } else {
                        how.gives_addresses_up
                    };
                    if !granted {
                        self.again.insert(host);
                    }
                    node.handle_owner_result(now, host, seq, if granted { Ok(()) } else { Err(OwnerError) });
                }
                Action::Transmit {
                    host, kind, len, tx, ..
                } => {
                    assert_eq!(self.owned.get(&host), Some(&true), "only an owner speaks");
                    if kind != TransmitKind::Announcement {
                        assert!(matches!(frame::classify(&frame[..len]), FrameClass::Carp { .. }));
                        self.sent = Some(frame[..len].to_vec());
                    }
                    node.handle_transmit_result(now, tx, sending);
                }
            }
        }
    }

    fn check(&self, node: &Node<'_, ADDRESSES>, policy: &Policy) {
        let mut cannot_send = 0;
        for host in node.hosts() {
            assert_eq!(node.is_owner(host), self.owned.get(&host) == Some(&true));
            let status = node.status(host).unwrap();
            let deadline = node.next_deadline();
            assert!(
                status.state == State::Init || deadline.is_some(),
                "who takes part has a deadline"
            );
        }
        for group in (0..2).map(GroupId) {
            let members = node
                .hosts()
                .filter_map(|id| node.config(id))
                .filter(|config| config.group == group);
            let down: BTreeSet<IfaceId> = members
                .map(|config| config.iface)
                .filter(|iface| self.down.contains(iface))
                .collect();
            let links = down.iter().map(|_| policy.ifdown_demotion_factor);
            let entered = self
                .entered
                .iter()
                .filter(|((of, _), _)| *of == group)
                .map(|(_, weight)| *weight);
            let failing = node
                .causes(group)
                .filter(|holding| matches!(holding.cause, Cause::SendErrors(_)));
            let senders: Vec<u16> = failing.map(|holding| holding.weight).collect();
            cannot_send += senders.len();
            let holds = links
                .chain(entered)
                .chain(senders)
                .fold(0_u16, u16::saturating_add);
            assert_eq!(
                node.demotion(group),
                holds,
                "the demotion is the sum of what holds"
            );
        }
        assert!(cannot_send <= node.hosts().count());
    }
}

/// The frame of a peer with the same configuration, but these values.
fn signed(
    config: &HostConfig<ADDRESSES>,
    (base, skew): (u8, u8),
    demotion: u8,
    counter: u64,
    ipv6: bool,
    buffer: &mut [u8; MAX_FRAME_LEN],
) -> usize {
    let variant = config.dialect.rules().hmac_sent;
    let authenticator = Authenticator::new(&config.key, config.vhid, &config.addresses, variant);
    let counter = Counter::new(counter % 64);
    let advertisement = Advertisement {
        vhid: config.vhid,
        advbase: AdvBase::new(base),
        advskew: AdvSkew::new(skew),
        demotion: Demotion::new(demotion),
        counter,
        digest: authenticator.sign(counter),
    };
    let envelope = if ipv6 {
        Envelope::multicast_v6(config.vhid, "fe80::2".parse().unwrap(), config.dialect)
    } else {
        Envelope::multicast_v4(config.vhid, [10, 0, 0, 2].into(), config.dialect)
    };
    frame::emit_advertisement(&advertisement, &envelope, config.dialect, buffer).unwrap()
}
