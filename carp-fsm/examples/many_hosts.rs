//! A node with 4096 virtual hosts on a stack of 256 KiB: whatever it does to all of them takes no stack for each.
//!
//! Meant to be built without any optimisation, where frames are largest:
//! `cargo run --profile debug-stack -p carp-fsm --features alloc --example many_hosts`.

use std::thread;

use carp_fsm::{
    Action, CounterSlot, Duration, EventSlot, GroupId, GroupSlot, HostConfig, HostId, HostSlot, IfaceId,
    Instant, InterfaceInfo, InterfaceSlot, LinkState, Node, Policy, State, Storage, TransmitKind,
    TransmitResult,
};
use carp_proto::frame::{FrameClass, classify};
use carp_proto::{Key, MAX_FRAME_LEN, MacAddr, Vhid};

const HOSTS: usize = 4096;
const STACK: usize = 256 * 1024;
const ADDRS: usize = 4;

fn main() {
    // The memory of the node itself is the caller's, and not on the stack that is tried.
    let borrowed = || {
        Storage::borrowed(
            leak(HOSTS, || HostSlot::EMPTY),
            leak(17, || InterfaceSlot::EMPTY),
            leak(1, || GroupSlot::EMPTY),
            leak(64, || EventSlot::EMPTY),
        )
        .with_replay_memory(leak(8 * HOSTS, || CounterSlot::EMPTY), 8)
    };
    on_a_small_stack("borrowed", borrowed);
    on_a_small_stack("growing", || Storage::growing_with(64, 8));
}

fn leak<T>(len: usize, empty: impl Fn() -> T) -> &'static mut [T] {
    (0..len).map(|_| empty()).collect::<Vec<T>>().leak()
}

fn on_a_small_stack(storage: &str, make: impl FnOnce() -> Storage<'static, ADDRS> + Send + 'static) {
    let thread = thread::Builder::new().stack_size(STACK);
    let run = thread.spawn(move || life(Node::new(Policy::HARDENED, 1, make())));
    let frames = run.expect("a thread").join().expect("a node's life");
    println!("{storage}: {HOSTS} hosts on {STACK} bytes of stack, {frames} frames");
}

/// All of them start, become MASTER, lose their link, hear a better master, are demoted, and are removed.
fn life(mut node: Node<'static, ADDRS>) -> usize {
    let mut now = Instant::ZERO;
    // One vhid on each of 16 interfaces and one: 255 vhids fit an interface.
    let place = |number: usize| (number / 255, number % 255 + 1);
    let iface = |number: usize| IfaceId(u16::try_from(number).unwrap_or(u16::MAX));
    for number in 0..17 {
        node.handle_interface(now, iface(number), interface(LinkState::Up));
    }
    let ids: Vec<HostId> = (0..HOSTS)
        .map(|number| {
            let (interface, vhid) = place(number);
            let vhid = u8::try_from(vhid).ok().and_then(Vhid::new).expect("1 to 255");
            let mut config = HostConfig::new(iface(interface), vhid, Key::NONE);
            config.advskew = carp_proto::AdvSkew::new(100);
            config.addresses.insert([192, 0, 2, 1].into()).expect("room");
            node.insert(now, config).expect("room")
        })
        .collect();
    let mut frames = drain(&mut node, now, None);
    now = now + Duration::from_secs(4);
    node.handle_timeout(now);
    node.handle_drained(now);
    let mut advertisement = Vec::new();
    frames += drain(&mut node, now, Some(&mut advertisement));
    assert!(ids.iter().all(|id| node.state(*id) == Some(State::Master)));

    if let FrameClass::Carp { meta, payload } = classify(&advertisement) {
        for number in 0..17 {
            // Its own counter, on another interface: no replay there, but an equal.
            let _ = node.handle_packet(now, iface(number), &meta, payload);
        }
    }
    node.demote(now, GroupId(0), carp_fsm::Cause::Operator, 100)
        .expect("a group");
    frames += drain(&mut node, now, None);
    for link in [LinkState::Down, LinkState::Up] {
        for number in 0..17 {
            node.handle_interface(now, iface(number), interface(link));
        }
        frames += drain(&mut node, now, None);
    }
    now = now + Duration::from_secs(4);
    node.handle_timeout(now);
    node.handle_drained(now);
    frames += drain(&mut node, now, None);
    for id in ids {
        node.remove(now, id).expect("it exists");
    }
    frames += drain(&mut node, now, None);
    now = now + Duration::from_secs(10);
    node.handle_timeout(now);
    node.handle_drained(now);
    frames += drain(&mut node, now, None);
    assert_eq!(node.hosts().count(), 0);
    frames
}

fn interface(link: LinkState) -> InterfaceInfo {
    InterfaceInfo {
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        ipv4: Some([10, 0, 0, 1].into()),
        ipv6: None,
        link,
    }
}

/// Frames sent; an advertisement, where one is wanted.
fn drain(node: &mut Node<'static, ADDRS>, now: Instant, mut wanted: Option<&mut Vec<u8>>) -> usize {
    let (mut frame, mut frames) = ([0; MAX_FRAME_LEN], 0);
    while let Some(action) = node.poll_action(now, &mut frame) {
        match action {
            Action::SetOwner { host, seq, .. } => node.handle_owner_result(now, host, seq, Ok(())),
            Action::Transmit { len, tx, kind, .. } => {
                if let (TransmitKind::Advertisement, Some(wanted)) = (kind, wanted.take()) {
                    wanted.extend_from_slice(&frame[..len]);
                }
                node.handle_transmit_result(now, tx, TransmitResult::Sent);
                frames += 1;
            }
        }
    }
    while node.poll_event().is_some() {}
    frames
}
