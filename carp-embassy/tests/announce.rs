//! Announce mode: one network stack, and the virtual addresses answered for by the shim.

mod support;

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use carp_fsm::{Cause, EventKind, HandOver, Peer, PeersError, State};
use carp_proto::frame::{FrameClass, classify};
use carp_proto::{MAX_FRAME_LEN, MacAddr, frame};
use embassy_net_driver::{Driver, RxToken};
use embassy_time::MockDriver;
use support::{Flag, Lab, Member, VHID, VIP, adapter, host};

const CLIENT: (MacAddr, Ipv4Addr) = (MacAddr([6, 0, 0, 0, 0, 9]), Ipv4Addr::new(10, 0, 0, 9));

/// "Who has the virtual address?", padded as a network card does it.
fn question() -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&CLIENT.0.0);
    frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&CLIENT.0.0);
    frame[28..32].copy_from_slice(&CLIENT.1.octets());
    frame[38..42].copy_from_slice(&VIP.octets());
    frame
}

/// The answers to one question, with the port that each came from.
fn ask(lab: &mut Lab) -> Vec<(usize, Vec<u8>)> {
    lab.take_log();
    lab.inject(&question());
    let mut log = lab.take_log();
    log.remove(0);
    log
}

fn expected_answer() -> Vec<u8> {
    let mut buffer = [0; MAX_FRAME_LEN];
    let mac = VHID.mac();
    let len = frame::emit_arp_reply(mac, mac, VIP, CLIENT.0, CLIENT.1, &mut buffer);
    buffer[..len].to_vec()
}

fn is_carp(frame: &[u8]) -> bool {
    matches!(classify(frame), FrameClass::Carp { .. })
}

fn events(member: &Member) -> Vec<EventKind> {
    let mut events = Vec::new();
    while let Some(event) = member.control.with_node(|_, node| node.poll_event()).flatten() {
        events.push(event.kind);
    }
    events
}

#[test]
fn two_elect_one_and_only_that_one_answers() {
    let mut lab = Lab::new();
    let (a, ha) = lab.member(vec![host(0)]);
    let (b, hb) = lab.member(vec![host(100)]);
    lab.run_for_millis(2_990);
    assert_eq!((a.state(ha[0]), b.state(hb[0])), (State::Backup, State::Backup));
    assert_eq!(ask(&mut lab), [], "nobody owns it yet");
    lab.run_for_millis(20);
    assert_eq!((a.state(ha[0]), b.state(hb[0])), (State::Master, State::Backup));
    assert_eq!(ask(&mut lab), [(a.port, expected_answer())]);

    lab.wire.borrow_mut().ports[a.port].cut = true;
    // Its next advertisement was due within a second; then 3 s and 100/256 s.
    lab.run_for_millis(4_400);
    assert_eq!(b.state(hb[0]), State::Master);
    assert_eq!(ask(&mut lab), [(b.port, expected_answer())]);

    lab.wire.borrow_mut().ports[a.port].cut = false;
    lab.run_for_millis(1_100);
    assert_eq!((a.state(ha[0]), b.state(hb[0])), (State::Master, State::Backup));
    assert_eq!(ask(&mut lab), [(a.port, expected_answer())]);
}

#[test]
fn what_is_sent() {
    let mut lab = Lab::new();
    let (a, _) = lab.member(vec![host(0)]);
    lab.run_for_millis(3_900);
    let log = lab.take_log();
    assert_eq!(log.len(), 2);
    assert!(is_carp(&log[0].1), "an advertisement first");
    assert_eq!(log[0].1[6..12], VHID.mac().0, "from the virtual MAC address");
    assert!(
        matches!(classify(&log[1].1), FrameClass::ArpRequest { target, sender, .. } if target == VIP && sender == VIP)
    );
    assert_eq!(a.control.stats().opackets, 1);
}

/// DHCP may be slower than the election.
#[test]
fn without_an_address_of_its_own_it_sends_from_the_virtual_one() {
    let mut lab = Lab::new();
    let (a, ha) = lab.member(vec![host(0)]);
    a.control.set_addresses(None, None);
    let (b, hb) = lab.member(vec![host(100)]);
    b.control.set_addresses(None, None);
    lab.run_for_millis(10_000);
    assert_eq!((a.state(ha[0]), b.state(hb[0])), (State::Master, State::Backup));
    let log = lab.take_log();
    let mut advertisements = log.iter().filter(|(_, frame)| is_carp(frame));
    assert!(advertisements.all(|(_, frame)| frame[26..30] == VIP.octets()));
}

#[test]
fn the_stack_sees_nothing_of_it() {
    let mut lab = Lab::new();
    let (a, _) = lab.member(vec![host(0)]);
    let (b, _) = lab.member(vec![host(100)]);
    lab.run_for_millis(3_500);
    let announcement = b.seen.borrow().iter().filter(|frame| !frame.is_empty()).count();
    assert_eq!(
        announcement, 1,
        "the gratuitous ARP: whoever has spoken to the address must learn"
    );
    assert!(b.seen.borrow().len() > 1, "an advertisement is an empty frame");
    a.seen.borrow_mut().clear();
    lab.inject(&question());
    assert_eq!(*a.seen.borrow(), [Vec::new()]);
    let mut other = question();
    other[38..42].copy_from_slice(&[10, 0, 0, 1]);
    lab.inject(&other);
    assert_eq!(
        a.seen.borrow()[1],
        other,
        "a question for another address is the stack's"
    );
}

#[test]
fn what_is_sent_to_the_virtual_mac_address_reaches_the_stack_of_the_master() {
    let mut lab = Lab::new();
    let (a, _) = lab.member(vec![host(0)]);
    let (b, _) = lab.member(vec![host(100)]);
    lab.run_for_millis(3_500);
    let mut packet = [0x42; 64];
    packet[..6].copy_from_slice(&VHID.mac().0);
    packet[12..14].copy_from_slice(&[8, 0]);
    lab.inject(&packet);
    let seen = a.seen.borrow().last().unwrap().clone();
    assert_eq!(seen[..6], a.mac.0);
    assert_eq!(seen[6..], packet[6..]);
    assert_eq!(
        *b.seen.borrow().last().unwrap(),
        packet,
        "which the stack of a backup drops"
    );
}

#[test]
fn no_room_to_send_is_no_error() {
    let mut lab = Lab::new();
    let (a, ha) = lab.member(vec![host(0)]);
    lab.run_for_millis(3_100);
    lab.take_log();
    lab.wire.borrow_mut().ports[a.port].room = 0;
    lab.run_for_millis(2_000);
    assert_eq!(lab.take_log(), []);
    lab.wire.borrow_mut().ports[a.port].room = usize::MAX;
    lab.wire.borrow_mut().ports[a.port].wake();
    lab.run_for_millis(50);
    assert!(is_carp(&lab.take_log()[0].1));
    assert_eq!(a.state(ha[0]), State::Master);
    assert_eq!((a.control.demotion(), a.control.stats().senderr), (0, 0));
    assert!(a.control.stats().onomem > 0);
}

#[test]
fn a_dead_link_is_init_and_a_new_one_starts_over() {
    let mut lab = Lab::new();
    let (a, ha) = lab.member(vec![host(0)]);
    lab.run_for_millis(3_100);
    lab.set_link(a.port, false);
    assert_eq!(a.state(ha[0]), State::Init);
    assert_eq!(a.control.demotion(), 240);
    lab.set_link(a.port, true);
    assert_eq!((a.state(ha[0]), a.control.demotion()), (State::Backup, 0));
    lab.run_for_millis(3_100);
    assert_eq!(a.state(ha[0]), State::Master);
}

#[test]
fn the_operator_has_a_say() {
    let mut lab = Lab::new();
    let (a, ha) = lab.member(vec![host(0)]);
    let (b, hb) = lab.member(vec![host(100)]);
    lab.run_for_millis(3_500);

    a.control.set_maintenance(true);
    lab.run_for_millis(1_500);
    assert_eq!((a.state(ha[0]), b.state(hb[0])), (State::Backup, State::Master));
    a.control.set_maintenance(false);
    lab.run_for_millis(1_500);
    assert_eq!((a.state(ha[0]), b.state(hb[0])), (State::Master, State::Backup));

    events(&a);
    a.control.hand_over(ha[0]).unwrap();
    lab.run_for_millis(100);
    assert_eq!((a.state(ha[0]), b.state(hb[0])), (State::Backup, State::Master));
    let done = |event: &EventKind| {
        matches!(
            event,
            EventKind::HandOver {
                outcome: HandOver::Done(_),
                ..
            }
        )
    };
    assert!(events(&a).iter().any(done));

    b.control.set_enabled(hb[0], false).unwrap();
    lab.run_for_millis(100);
    assert_eq!((a.state(ha[0]), b.state(hb[0])), (State::Master, State::Init));
    b.control.set_enabled(hb[0], true).unwrap();
    b.control.set_ready(false);
    assert_eq!(b.control.demotion(), 240);
    b.control.set_ready(true);
    assert_eq!(b.control.demotion(), 0);

    // What the application says of itself moves the role there and back.
    let causes = |member: &Member| {
        let mut causes = Vec::new();
        member
            .control
            .causes(|holding| causes.push((holding.cause, holding.weight)));
        causes
    };
    a.control.demote(Cause::External(3), 200).unwrap();
    lab.run_for_millis(1_500);
    assert_eq!((a.state(ha[0]), b.state(hb[0])), (State::Backup, State::Master));
    assert_eq!(causes(&a), [(Cause::External(3), 200)]);
    a.control.clear(Cause::External(3)).unwrap();
    lab.run_for_millis(1_500);
    assert_eq!((a.state(ha[0]), b.state(hb[0])), (State::Master, State::Backup));
    assert_eq!(causes(&a), []);

    a.control.shutdown();
    lab.run_for_millis(1_000);
    assert!(a.control.is_quiet());
    assert_eq!(b.state(hb[0]), State::Master);
}

#[test]
fn events_wake_who_waits_for_them() {
    let mut lab = Lab::new();
    let (a, ha) = lab.member(vec![host(0)]);
    let heard = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let (mut stream, log) = (a.control.events(), std::rc::Rc::clone(&heard));
    lab.spawn(async move {
        loop {
            let event = stream.next().await;
            log.borrow_mut().push(event.kind);
        }
    });
    lab.run_for_millis(3_100);
    let heard = heard.borrow();
    let states: Vec<_> = heard
        .iter()
        .filter_map(|kind| match kind {
            EventKind::Transition { host, to, .. } if *host == ha[0] => Some(*to),
            _ => None,
        })
        .collect();
    assert_eq!(states, [State::Backup, State::Master]);
}

#[test]
fn a_flood_keeps_nobody_from_taking_over_nor_other_tasks_from_running() {
    let mut lab = Lab::new();
    let port = lab.port();
    let carp = adapter(port.mac());
    let (mut shim, control) = (carp.announce(port), carp.control());
    let woken = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    assert!(shim.receive(&mut cx).is_none(), "nothing but the link is seen");
    control.set_addresses(Some([10, 0, 0, 1].into()), None);
    let id = control.insert(host(0)).unwrap();
    MockDriver::get().advance(embassy_time::Duration::from_secs(4));
    for _ in 0..100 {
        lab.inject(&question());
    }
    lab.take_log();
    let mut poll = |taken: &mut usize| {
        woken.take();
        while let Some((frame, _)) = shim.receive(&mut cx) {
            frame.consume(|_| *taken += 1);
        }
    };
    let mut taken = 0;
    poll(&mut taken);
    assert!((16..64).contains(&taken), "{taken} frames in one poll");
    assert_eq!(control.state(id), Some(State::Master));
    assert!(is_carp(&lab.take_log()[0].1));
    // The stack would sleep otherwise, with frames in the card.
    while woken.take() {
        poll(&mut taken);
    }
    assert_eq!(taken, 100);
}

/// It is asked over a slow bus, 26 us on an STM32.
#[test]
fn the_link_is_read_once_for_a_poll_not_for_each_frame() {
    let mut lab = Lab::new();
    let (a, _) = lab.member(vec![host(0)]);
    lab.run_for_millis(3_100);
    for _ in 0..20 {
        lab.wire.borrow_mut().send(usize::MAX, &question());
    }
    let wire = Rc::clone(&lab.wire);
    let reads = || std::mem::take(&mut wire.borrow_mut().ports[a.port].link_reads);
    assert!(reads() > 0);
    lab.settle();
    assert_eq!(reads(), 1);
}

/// 3 s of waiting, then one advertisement a second, with four polls each: the runner sees that it is time, the stack
/// that no frame waits, then it sends, and the runner sets its timer. Nobody polls for anything else.
#[test]
fn an_idle_second_costs_a_few_polls() {
    let mut lab = Lab::new();
    let _member = lab.member(vec![host(0)]);
    lab.run_for_millis(10_000);
    lab.polls = 0;
    lab.run_for_millis(100_000);
    assert!(lab.polls <= 400, "{} polls in 100 s", lab.polls);
}

/// `tests/unicast.rs` has room for them.
#[test]
fn unicast_peers_are_refused() {
    let mut lab = Lab::new();
    let (a, ha) = lab.member(vec![host(0)]);
    let peer = Peer {
        address: CLIENT.1.into(),
        min_ttl: 255,
    };
    let refused = a
        .control
        .with_node(|now, node| node.set_peers(now, ha[0], false, &[peer]));
    assert_eq!(refused, Some(Err(PeersError::NoRoom)));
}
