//! Accept mode: a second network stack for the virtual host, which is there only while MASTER.

mod support;

use std::task::{Context, Waker};

use carp_embassy::{Seat, SeatDriver, SeatPackets, SeatState};
use carp_fsm::{HostConfig, HostId, InitReason, LinkMode, State};
use carp_proto::MacAddr;
use carp_proto::frame::{FrameClass, classify};
use embassy_net_driver::{Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_time::{Duration, MockDriver};
use support::{Lab, Member, VHID, adapter, host};

/// Buffers of a seat.
const PACKETS: usize = 3;

type Second = SeatDriver<NoopRawMutex, PACKETS>;

fn seat() -> (Seat<NoopRawMutex, PACKETS>, Second) {
    let packets = Box::leak(Box::new(SeatPackets::<PACKETS>::EMPTY));
    Box::leak(Box::new(SeatState::new(VHID, packets))).split()
}

fn member(lab: &mut Lab, config: HostConfig<2>) -> (Member, HostId, Second) {
    let port = lab.port();
    let (number, mac) = (port.number(), port.mac());
    let (seat, driver) = seat();
    let carp = adapter(mac);
    let (member, hosts) = lab.start(number, mac, carp, carp.accept(port, [seat]), vec![config]);
    (member, hosts[0], driver)
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn receive(driver: &mut Second) -> Option<Vec<u8>> {
    let (frame, _) = driver.receive(&mut cx())?;
    Some(frame.consume(|frame| frame.to_vec()))
}

/// Says whether there was room.
fn send(driver: &mut Second, frame: &[u8]) -> bool {
    let Some(token) = driver.transmit(&mut cx()) else {
        return false;
    };
    token.consume(frame.len(), |room| room.copy_from_slice(frame));
    true
}

fn is_up(driver: &mut Second) -> bool {
    driver.link_state(&mut cx()) == LinkState::Up
}

fn packet(destination: MacAddr, mark: u8) -> [u8; 60] {
    let mut frame = [mark; 60];
    frame[..6].copy_from_slice(&destination.0);
    frame[6..12].copy_from_slice(&[6, 0, 0, 0, 0, 9]);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame
}

#[test]
fn only_the_master_has_a_second_link() {
    let mut lab = Lab::new();
    let (a, ha, mut second_a) = member(&mut lab, host(0));
    let (b, hb, mut second_b) = member(&mut lab, host(100));
    assert_eq!(
        second_a.hardware_address(),
        HardwareAddress::Ethernet(VHID.mac().0)
    );
    assert!(!is_up(&mut second_a) && !is_up(&mut second_b));
    lab.run_for_millis(3_100);
    assert_eq!((a.state(ha), b.state(hb)), (State::Master, State::Backup));
    assert!(is_up(&mut second_a) && !is_up(&mut second_b));
    a.control.hand_over(ha).unwrap();
    lab.run_for_millis(100);
    assert_eq!((a.state(ha), b.state(hb)), (State::Backup, State::Master));
    assert!(!is_up(&mut second_a) && is_up(&mut second_b));
}

#[test]
fn frames_reach_the_stack_they_are_for() {
    let mut lab = Lab::new();
    let (a, _, mut second_a) = member(&mut lab, host(0));
    let (_b, _, mut second_b) = member(&mut lab, host(100));
    lab.run_for_millis(3_100);
    while receive(&mut second_a).is_some() {}
    a.seen.borrow_mut().clear();

    let (for_vip, for_all, for_a) = (
        packet(VHID.mac(), 1),
        packet(MacAddr::BROADCAST, 2),
        packet(a.mac, 3),
    );
    lab.inject(&for_vip);
    lab.inject(&for_all);
    lab.inject(&for_a);
    assert_eq!(*a.seen.borrow(), [vec![], for_all.to_vec(), for_a.to_vec()]);
    assert_eq!(receive(&mut second_a).as_deref(), Some(&for_vip[..]));
    assert_eq!(receive(&mut second_a).as_deref(), Some(&for_all[..]));
    assert_eq!(receive(&mut second_a), None);
    assert_eq!(receive(&mut second_b), None, "a backup accepts nothing");
}

#[test]
fn what_the_second_stack_sends_leaves_only_while_master() {
    let mut lab = Lab::new();
    let (a, ha, mut second) = member(&mut lab, host(0));
    let _other = member(&mut lab, host(100));
    let frame = packet(MacAddr::BROADCAST, 1);
    assert!(
        send(&mut second, &frame),
        "a card without carrier takes frames, too"
    );
    lab.run_for_millis(3_100);
    lab.take_log();
    assert!(send(&mut second, &frame));
    lab.settle();
    assert_eq!(lab.take_log(), [(a.port, frame.to_vec())]);

    a.control.hand_over(ha).unwrap();
    lab.run_for_millis(100);
    lab.take_log();
    assert!(send(&mut second, &frame));
    lab.settle();
    assert_eq!(lab.take_log(), []);
}

/// Else it would follow the new master's announcement, and lead the switches back.
#[test]
fn nothing_leaves_from_the_virtual_mac_address_once_a_better_one_was_heard() {
    let mut lab = Lab::new();
    let port = lab.port();
    let (number, carp) = (port.number(), adapter(port.mac()));
    let (seat, mut second) = seat();
    let (mut shim, control) = (carp.accept(port, [seat]), carp.control());
    assert!(shim.receive(&mut cx()).is_none(), "nothing but the link is seen");
    control.set_addresses(Some([10, 0, 0, 1].into()), None);
    let id = control.insert(host(100)).unwrap();
    MockDriver::get().advance(Duration::from_secs(4));
    for _ in 0..3 {
        assert!(shim.receive(&mut cx()).is_none());
    }
    assert_eq!(control.state(id), Some(State::Master));
    assert!(is_up(&mut second));

    let (b, hb) = lab.member(vec![host(0)]);
    lab.run_for_millis(3_100);
    assert_eq!(b.state(hb[0]), State::Master);
    let (frame, _) = shim.receive(&mut cx()).expect("its advertisement");
    assert!(
        send(&mut second, &packet(MacAddr::BROADCAST, 1)),
        "of a task on another executor"
    );
    frame.consume(|_| ());
    assert_eq!(control.state(id), Some(State::Backup));
    lab.take_log();
    while shim.receive(&mut cx()).is_some() {}
    let sent: Vec<_> = lab
        .take_log()
        .into_iter()
        .filter(|(port, _)| *port == number)
        .collect();
    assert_eq!(sent, []);
    assert!(!is_up(&mut second));
}

/// Room for one frame comes every millisecond, and the second stack always has one.
#[test]
fn an_advertisement_goes_before_what_the_second_stack_sends() {
    let mut lab = Lab::new();
    let (a, _, mut second) = member(&mut lab, host(0));
    lab.run_for_millis(3_100);
    lab.wire.borrow_mut().ports[a.port].room = 0;
    let out = packet(MacAddr::BROADCAST, 1);
    while send(&mut second, &out) {}
    while a.control.stats().onomem == 0 {
        lab.run_for_millis(1);
    }
    lab.take_log();
    for _ in 0..100 {
        while send(&mut second, &out) {}
        lab.wire.borrow_mut().ports[a.port].room = 1;
        lab.wire.borrow_mut().ports[a.port].wake();
        lab.run_for_millis(1);
    }
    let log = lab.take_log();
    let is_carp = |frame: &[u8]| matches!(classify(frame), FrameClass::Carp { .. });
    assert!(is_carp(&log[0].1), "{log:?}");
    assert!(
        log.len() > 90,
        "the second stack has all other room: {} frames",
        log.len()
    );
}

#[test]
fn neither_direction_takes_all_buffers() {
    let mut lab = Lab::new();
    let (a, _, mut second) = member(&mut lab, host(0));
    lab.run_for_millis(3_100);
    lab.wire.borrow_mut().ports[a.port].room = 0;
    let out = packet(MacAddr::BROADCAST, 1);
    let sent = (0..10).take_while(|_| send(&mut second, &out)).count();
    assert_eq!(sent, PACKETS - 1);
    lab.wire.borrow_mut().ports[a.port].room = usize::MAX;
    lab.wire.borrow_mut().ports[a.port].wake();
    lab.settle();

    for mark in 0..10 {
        lab.inject(&packet(VHID.mac(), mark));
    }
    assert!(send(&mut second, &out), "there is room in the other direction");
    lab.settle();
    let received: Vec<_> = std::iter::from_fn(|| receive(&mut second))
        .map(|frame| frame[20])
        .collect();
    assert_eq!(received, [0, 1], "what does not fit is dropped");
    lab.inject(&packet(VHID.mac(), 42));
    assert_eq!(receive(&mut second).unwrap()[20], 42);
}

/// ARP for the address is the second stack's to answer.
#[test]
fn questions_go_to_the_second_stack() {
    let mut lab = Lab::new();
    let (_a, _, mut second) = member(&mut lab, host(0));
    lab.run_for_millis(3_100);
    while receive(&mut second).is_some() {}
    let mut question = packet(MacAddr::BROADCAST, 0);
    question[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    question[38..42].copy_from_slice(&support::VIP.octets());
    lab.take_log();
    lab.inject(&question);
    assert_eq!(lab.take_log().len(), 1, "no answer from the shim");
    assert_eq!(receive(&mut second).as_deref(), Some(&question[..]));
}

#[test]
fn a_second_stack_cannot_have_the_interfaces_own_mac_address() {
    let mut lab = Lab::new();
    let mut config = host(0);
    config.mode = LinkMode::Plain;
    let (a, ha, mut second) = member(&mut lab, config);
    lab.run_for_millis(3_100);
    assert_eq!(
        a.control.status(ha).unwrap().init_reason,
        Some(InitReason::AddressRefused)
    );
    assert!(!is_up(&mut second));
}
