//! Calls the public API of `carp-fsm` with input that the compiler knows nothing about.

use core::fmt::Write as _;
use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};

use carp_fsm::machine::{Departure, HandOver, Input, View, Wishes};
use carp_fsm::{
    Action, Cause, CounterSlot, Dscp, Duration, EventSlot, Family, GroupId, GroupSlot, HostConfig, HostId,
    HostSlot, IfaceId, InitReason, Instant, InterfaceInfo, InterfaceSlot, KeySlot, LedgerError, LinkMode,
    LinkState, Machine, NeighbourSlot, Node, OwnerError, Peer, PeerSlot, Policy, Profile, Reason, State,
    Storage, TransmitResult,
};
use carp_proto::{AdvBase, AdvSkew, Interval, Key, MAX_FRAME_LEN, MacAddr, RxMeta, Vhid};

use crate::{
    ADDRESSES, Sink, any, any_bytes, any_dialect, any_ip, any_ipv4, any_ipv6, any_key, any_mac, any_meta,
    any_set, any_vhid, hide,
};

/// Peers, spare keys and neighbours that are remembered.
const SPARE: usize = 2;

fn any_instant() -> Instant {
    Instant::from_micros(any())
}

fn any_state() -> State {
    black_box(State::Init)
}

fn any_policy() -> Policy {
    black_box(Policy::HARDENED)
}

fn any_interval() -> Interval {
    Interval::new(AdvBase::new(any()), AdvSkew::new(any()))
}

fn any_info() -> InterfaceInfo {
    InterfaceInfo {
        mac: any_mac(),
        ipv4: any::<bool>().then(any_ipv4),
        ipv6: any::<bool>().then(any_ipv6),
        link: black_box(LinkState::Up),
    }
}

fn any_config() -> HostConfig<ADDRESSES> {
    HostConfig {
        advbase: AdvBase::new(any()),
        advskew: AdvSkew::new(any()),
        profile: black_box(Profile::fast(3)),
        preempt: any(),
        preempt_delay: Duration::from_micros(any()),
        group: GroupId(any()),
        dialect: any_dialect(),
        peers_repeat_counter: any(),
        dscp: Dscp::new(any()),
        mode: black_box(LinkMode::Plain),
        addresses: any_set(),
        ..HostConfig::new(IfaceId(any()), any_vhid(), any_key())
    }
}

/// One virtual host's election by itself.
pub fn machine() {
    let mut machine = Machine::new(any_instant(), black_box(InitReason::Disabled));
    let view = View {
        dialect: any_dialect(),
        policy: any_policy(),
        advbase: AdvBase::new(any()),
        advskew: AdvSkew::new(any()),
        dead_ratio: black_box(Some(3)),
        demotion: any(),
        preempt: any(),
        preempt_delay: Duration::from_micros(any()),
        mac: any_mac(),
        maintenance: any(),
        ipv4: any(),
        ipv6: any(),
    };
    let input = black_box(Input::Heard {
        family: Family::Ipv4,
        interval: any_interval(),
        demotion: view.demotion_byte(),
        lower_source: any(),
    });
    let effects = machine.step(any_instant(), input, &view);
    hide(&(
        effects.wishes.contains(Wishes::OWN),
        effects.transition,
        effects.hand_over,
    ));
    hide(&(machine.state(), machine.init_reason(), machine.is_leaving()));
    hide(&(machine.deadline(), machine.since(), view.interval()));
    hide(&black_box(Departure::HandOver));
    hide(&black_box(HandOver::NotMaster));
}

/// A node with memory for everything, every method of it, in any order.
pub fn everything() {
    let mut hosts = [const { HostSlot::<ADDRESSES>::EMPTY }; 2];
    let (mut interfaces, mut groups) = ([InterfaceSlot::EMPTY; 2], [const { GroupSlot::EMPTY }; 2]);
    let (mut events, mut counters) = ([EventSlot::EMPTY; 4], [CounterSlot::EMPTY; 16]);
    let (mut keys, mut peers) = ([const { KeySlot::EMPTY }; SPARE], [PeerSlot::EMPTY; SPARE]);
    let mut neighbours = [NeighbourSlot::EMPTY; SPARE];
    let storage = Storage::borrowed(&mut hosts, &mut interfaces, &mut groups, &mut events)
        .with_replay_memory(&mut counters, any())
        .with_spare_keys(&mut keys, any())
        .with_peers(&mut peers, any())
        .with_neighbours(&mut neighbours);
    let mut node = Node::new(any_policy(), any(), storage);
    let mut frame = [0; MAX_FRAME_LEN];
    let Ok(mut host) = node.insert(any_instant(), any_config()) else {
        return;
    };
    while any() {
        inputs(black_box(&mut node), host);
        commands(black_box(&mut node), host);
        inspection(black_box(&node), host);
        if let Some(id) = node.hosts().last() {
            host = id;
        }
        outputs(black_box(&mut node), &mut frame);
    }
}

/// A node with one virtual host of one family, and no more calls than a firmware cannot do without.
pub fn smallest() {
    let mut hosts = [HostSlot::<ADDRESSES>::EMPTY];
    let (mut interface, mut groups) = ([InterfaceSlot::EMPTY], [GroupSlot::EMPTY]);
    let mut events = [EventSlot::EMPTY; 4];
    let storage = Storage::on_one_interface(&mut hosts, &mut interface, &mut groups, &mut events);
    let mut node = Node::new(Policy::HARDENED, given().seed, storage);
    let mut frame = [0; MAX_FRAME_LEN];
    let mut config = HostConfig::new(IFACE, given().vhid, given().key.clone());
    hide(&config.addresses.insert(given().address));
    let Ok(host) = node.insert(given().now, config) else {
        return;
    };
    loop {
        let given = given();
        node.handle_interface(given.now, IFACE, given.info);
        node.handle_timeout(given.now);
        hide(
            &node
                .handle_packet(given.now, IFACE, &given.meta, given.payload)
                .is_ok(),
        );
        node.handle_drained(given.now);
        outputs(&mut node, &mut frame);
        hide(&(node.state(host), node.next_deadline()));
    }
}

/// What a node is given. It lies ready, so that as little as possible of the image is ours.
struct Given {
    now: Instant,
    seed: u64,
    vhid: Vhid,
    key: Key,
    address: IpAddr,
    info: InterfaceInfo,
    meta: RxMeta,
    payload: &'static [u8],
    owner_result: Result<(), OwnerError>,
    transmit_result: TransmitResult,
}

const IFACE: IfaceId = IfaceId(0);

fn given() -> &'static Given {
    static GIVEN: Given = Given {
        now: Instant::ZERO,
        seed: 0,
        vhid: Vhid::new(1).unwrap(),
        key: Key::NONE,
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        info: InterfaceInfo {
            mac: MacAddr::BROADCAST,
            ipv4: None,
            ipv6: None,
            link: LinkState::Up,
        },
        meta: RxMeta {
            src: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            dst: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            ttl: 255,
            link: None,
        },
        payload: &[],
        owner_result: Ok(()),
        transmit_result: TransmitResult::Sent,
    };
    black_box(&GIVEN)
}

fn inputs(node: &mut Node<'_, ADDRESSES>, host: HostId) {
    let (now, iface) = (any_instant(), IfaceId(any()));
    hide(&node.handle_packet(now, iface, &any_meta(), any_bytes()));
    node.handle_timeout(now);
    node.handle_drained(now);
    node.handle_interface(now, iface, any_info());
    node.handle_taken_away(now, host);
    node.handle_ready(now);
}

fn commands(node: &mut Node<'_, ADDRESSES>, host: HostId) {
    let (now, group) = (any_instant(), GroupId(any()));
    let cause = black_box(Cause::Operator);
    let peer = Peer {
        address: any_ip(),
        min_ttl: any(),
    };
    hide(&node.insert(now, any_config()));
    hide(&node.reconfigure(now, host, any_config()));
    hide(&node.set_peers(now, host, any(), black_box(&[peer])));
    hide(&node.remove(now, host));
    hide(&node.set_enabled(now, host, any()));
    hide(&node.hand_over(now, host));
    node.set_maintenance(now, any());
    node.set_policy(now, any_policy());
    hide(&node.force_state(now, host, any_state()));
    hide(&node.demote(now, group, cause, any()));
    hide(&node.clear(now, group, cause));
    hide(&node.clear_all(now, group, any()));
    node.shutdown(now);
}

fn outputs(node: &mut Node<'_, ADDRESSES>, frame: &mut [u8; MAX_FRAME_LEN]) {
    let given = given();
    while let Some(action) = node.poll_action(given.now, frame) {
        hide(frame);
        match action {
            Action::SetOwner { host, seq, .. } => {
                node.handle_owner_result(given.now, host, seq, given.owner_result);
            }
            Action::Transmit { tx, .. } => {
                node.handle_transmit_result(given.now, tx, given.transmit_result);
            }
        }
    }
    while let Some(event) = node.poll_event() {
        hide(&event);
    }
}

fn inspection(node: &Node<'_, ADDRESSES>, host: HostId) {
    let group = GroupId(any());
    hide(&(node.state(host), node.is_owner(host), node.status(host)));
    hide(&(node.config(host), node.maintenance(), node.policy()));
    hide(&node.find(IfaceId(any()), any_vhid()));
    hide(&node.interface(IfaceId(any())));
    hide(&node.demotion(group));
    node.causes(group).for_each(|holding| hide(&holding));
    node.neighbours().for_each(hide);
    node.peers(host).for_each(hide);
    node.stats().iter().for_each(|counter| hide(&counter));
    hide(&(node.next_deadline(), node.is_quiet()));
}

/// All of `carp-fsm` that prints, but for what prints an IP address, as errors of configuration do.
pub fn text() {
    // Not what is wrong with a configuration: that may print the address of a peer.
    let _ = write!(Sink, "{} {}", any_instant(), Duration::from_micros(any()));
    let _ = write!(Sink, "{} {}", any_state(), black_box(Reason::MasterTimedOut));
    let _ = write!(Sink, "{}", black_box(Reason::Stopped(InitReason::Disabled)));
    let _ = write!(Sink, "{} {}", black_box(Cause::Operator), black_box(OwnerError));
    let _ = write!(Sink, "{}", black_box(LedgerError::Full));
    let _ = write!(Sink, "{:?}", black_box(Wishes::OWN));
}
