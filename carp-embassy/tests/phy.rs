//! Over smoltcp's own devices, without embassy.
#![cfg(feature = "smoltcp")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;

use carp_embassy::phy::PhyShim;
use carp_embassy::{Engine, Seat, SeatDriver, SeatPackets, SeatState, Seats, Slots, virtual_host};
use carp_fsm::{HostId, Instant, LinkState, Policy, State};
use carp_proto::{AdvSkew, Key, MacAddr, Vhid};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

const VHID: Vhid = Vhid::new(7).unwrap();
const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// A cable between two cards.
struct Card {
    incoming: Queue,
    outgoing: Queue,
    log: Rc<RefCell<Vec<Vec<u8>>>>,
    /// Frames that can be sent before there is no room any more.
    room: Rc<Cell<usize>>,
}

struct Received(Vec<u8>);

struct Room(Queue, Rc<RefCell<Vec<Vec<u8>>>>, Rc<Cell<usize>>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Room {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.2.update(|room| room - 1);
        self.1.borrow_mut().push(frame.clone());
        self.0.borrow_mut().push_back(frame);
        result
    }
}

impl Card {
    fn room(&self) -> Option<Room> {
        let room = || {
            Room(
                Rc::clone(&self.outgoing),
                Rc::clone(&self.log),
                Rc::clone(&self.room),
            )
        };
        (self.room.get() > 0).then(room)
    }
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room;

    fn receive(&mut self, _: time::Instant) -> Option<(Received, Room)> {
        let room = self.room()?;
        let frame = self.incoming.borrow_mut().pop_front()?;
        Some((Received(frame), room))
    }

    fn transmit(&mut self, _: time::Instant) -> Option<Room> {
        self.room()
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// One machine: its shim, and smoltcp on it.
struct Machine<S> {
    shim: PhyShim<'static, Card, S, 2>,
    interface: Interface,
    host: HostId,
}

impl<S: Seats> Machine<S> {
    fn new(card: Card, last: u8, advskew: u8, seats: S) -> Self {
        let slots = Box::leak(Box::new(Slots::<1, 2>::EMPTY));
        let mac = MacAddr([2, 0, 0, 0, 0, last]);
        let mut engine = Engine::new(slots, Policy::HARDENED, last.into(), mac);
        let own = Ipv4Addr::new(10, 0, 0, last);
        engine.set_addresses(Instant::ZERO, Some(own), None);
        engine.set_link(Instant::ZERO, LinkState::Up);
        let mut config = virtual_host(VHID, Key::from_passphrase(b"secret").unwrap());
        config.advskew = AdvSkew::new(advskew);
        config.preempt = true;
        config.addresses.insert(VIP.into()).unwrap();
        let host = engine.node_mut().insert(Instant::ZERO, config).unwrap();
        let mut shim = PhyShim::new(card, engine, seats);
        let interface = interface(&mut shim, mac, own);
        Self {
            shim,
            interface,
            host,
        }
    }

    fn poll(&mut self, now: time::Instant) {
        self.interface
            .poll(now, &mut self.shim, &mut SocketSet::new(&mut [][..]));
        self.shim.drained(now);
    }

    fn state(&mut self) -> State {
        self.shim.engine().node().state(self.host).unwrap()
    }
}

fn interface(device: &mut impl Device, mac: MacAddr, address: Ipv4Addr) -> Interface {
    let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac.0)));
    let mut interface = Interface::new(config, device, time::Instant::ZERO);
    interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(address.into(), 24)).unwrap());
    interface
}

fn cable() -> (Card, Card) {
    let (left, right, log) = (Queue::default(), Queue::default(), Rc::default());
    let card = |incoming: &Queue, outgoing: &Queue| Card {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        log: Rc::clone(&log),
        room: Rc::new(Cell::new(usize::MAX)),
    };
    (card(&left, &right), card(&right, &left))
}

fn seat() -> (Seat<NoopRawMutex, 3>, SeatDriver<NoopRawMutex, 3>) {
    let packets = Box::leak(Box::new(SeatPackets::EMPTY));
    Box::leak(Box::new(SeatState::new(VHID, packets))).split()
}

fn question() -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&[6, 0, 0, 0, 0, 9]);
    frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&[6, 0, 0, 0, 0, 9]);
    frame[28..32].copy_from_slice(&[10, 0, 0, 9]);
    frame[38..42].copy_from_slice(&VIP.octets());
    frame
}

/// ARP replies among the frames, with their Ethernet source.
fn answers(log: &RefCell<Vec<Vec<u8>>>) -> Vec<[u8; 6]> {
    let log = log.borrow();
    let replies = log
        .iter()
        .filter(|frame| frame[12..14] == [8, 6] && frame[20..22] == [0, 2]);
    replies.map(|frame| frame[6..12].try_into().unwrap()).collect()
}

#[test]
fn two_machines_elect_one_and_that_one_answers() {
    let (left, right) = cable();
    let (log, to_left, to_right) = (
        Rc::clone(&left.log),
        Rc::clone(&left.incoming),
        Rc::clone(&right.incoming),
    );
    let (mut a, mut b) = (Machine::new(left, 1, 0, ()), Machine::new(right, 2, 100, ()));
    for millis in 0..3_100 {
        let now = time::Instant::from_millis(millis);
        a.poll(now);
        b.poll(now);
    }
    assert_eq!((a.state(), b.state()), (State::Master, State::Backup));
    let next = a.shim.poll_at().unwrap();
    assert!(next <= time::Instant::from_millis(4_001), "{next}");

    to_left.borrow_mut().push_back(question());
    to_right.borrow_mut().push_back(question());
    let now = time::Instant::from_millis(3_100);
    a.poll(now);
    b.poll(now);
    assert_eq!(answers(&log), [VHID.mac().0]);

    // The other one alone, for 3 s and 100/256 s after the last advertisement.
    for millis in 3_100..7_450 {
        b.poll(time::Instant::from_millis(millis));
    }
    assert_eq!(b.state(), State::Master);
}

#[test]
fn a_flood_keeps_nobody_from_taking_over_nor_the_rest_of_the_program_from_running() {
    let (card, _peer) = cable();
    let (incoming, outgoing) = (Rc::clone(&card.incoming), Rc::clone(&card.outgoing));
    let mut machine = Machine::new(card, 1, 0, ());
    for _ in 0..100 {
        incoming.borrow_mut().push_back(question());
    }
    let now = time::Instant::from_millis(4_000);
    let mut polls = 0;
    while !incoming.borrow().is_empty() {
        machine
            .interface
            .poll(now, &mut machine.shim, &mut SocketSet::new(&mut [][..]));
        polls += 1;
        assert_eq!(machine.state(), State::Master);
        assert!(!outgoing.borrow().is_empty(), "its advertisement");
        let left = incoming.borrow().len();
        assert_eq!(
            machine.shim.poll_at() <= Some(now),
            left > 0,
            "{left} frames left"
        );
    }
    assert!((2..8).contains(&polls), "{polls} polls");
}

/// Else it would follow the new master's announcement, and lead the switches back.
#[test]
fn nothing_leaves_from_the_virtual_mac_address_once_a_better_one_was_heard() {
    let (left, right) = cable();
    let to_right = Rc::clone(&right.incoming);
    let (seat, mut second) = seat();
    let mut a = Machine::new(left, 1, 100, [seat]);
    let mut b = Machine::new(right, 2, 0, ());
    // Each alone, so that both are MASTER.
    for millis in 0..3_500 {
        a.poll(time::Instant::from_millis(millis));
    }
    to_right.borrow_mut().clear();
    for millis in 0..3_100 {
        b.poll(time::Instant::from_millis(millis));
    }
    assert_eq!((a.state(), b.state()), (State::Master, State::Master));
    to_right.borrow_mut().clear();

    let now = time::Instant::from_millis(3_500);
    let (frame, _) = a.shim.receive(now).expect("an advertisement");
    let room = second.transmit(now).expect("the seat is up");
    room.consume(60, |frame| frame.fill(0x42));
    frame.consume(|_| ());
    assert_eq!(a.state(), State::Backup);
    a.poll(now);
    let sent = to_right.borrow();
    assert!(sent.is_empty(), "{sent:?}");
}

/// Room for one frame comes every millisecond, and the second stack always has one.
#[test]
fn an_advertisement_goes_before_what_the_second_stack_sends() {
    let (left, _right) = cable();
    let (log, room) = (Rc::clone(&left.log), Rc::clone(&left.room));
    let (seat, mut second) = seat();
    let mut machine = Machine::new(left, 1, 0, [seat]);
    for millis in 0..3_900 {
        machine.poll(time::Instant::from_millis(millis));
    }
    assert_eq!(machine.state(), State::Master);
    log.borrow_mut().clear();
    for millis in 3_900..4_200 {
        let now = time::Instant::from_millis(millis);
        while let Some(room) = second.transmit(now) {
            room.consume(60, |frame| frame.fill(0x42));
        }
        room.set((millis > 4_100).into());
        machine.poll(now);
    }
    let log = log.borrow();
    assert_eq!(log[0][..6], [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]);
    assert!(log.len() > 90, "the second stack has all other room");
}

#[test]
fn a_second_stack_answers_while_master() {
    let (left, _right) = cable();
    let (log, to_left) = (Rc::clone(&left.log), Rc::clone(&left.incoming));
    let (seat, mut second) = seat();
    let mut machine = Machine::new(left, 1, 0, [seat]);
    let mut second_interface = interface(&mut second, VHID.mac(), VIP);
    for millis in 0..3_200 {
        let now = time::Instant::from_millis(millis);
        if millis == 1_000 || millis == 3_100 {
            to_left.borrow_mut().push_back(question());
        }
        machine.poll(now);
        second_interface.poll(now, &mut second, &mut SocketSet::new(&mut [][..]));
        let expected = if millis <= 3_100 { &[][..] } else { &[VHID.mac().0] };
        assert_eq!(answers(&log), expected, "at {now}");
    }
    assert_eq!(machine.state(), State::Master);
}
