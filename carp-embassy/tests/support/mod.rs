//! Adapters on an in-memory wire, in virtual time. A task runs only if it was woken, so a wake-up that is lost shows.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use carp_embassy::{Carp, Control, PeerSlots, Runner, Seats, Shim, Slots, virtual_host};
use carp_fsm::{HostConfig, HostId, Policy, State};
use carp_proto::frame::{FrameClass, classify, emit_arp_reply, emit_neighbor_advertisement};
use carp_proto::{AdvSkew, Key, MAX_FRAME_LEN, MacAddr, Vhid};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_time::{Duration, MockDriver};

pub(crate) type Adapter = Carp<NoopRawMutex, 2>;

pub(crate) const VHID: Vhid = Vhid::new(7).unwrap();
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

/// The clock is one for the whole process.
static CLOCK: Mutex<()> = Mutex::new(());

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks, and the wire between them.
pub(crate) struct Lab {
    tasks: Vec<(Task, Arc<Flag>)>,
    pub(crate) wire: Rc<RefCell<Wire>>,
    pub(crate) polls: usize,
    _clock: MutexGuard<'static, ()>,
}

/// A switch without memory: every frame goes to every other port, where the card decides.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) ports: Vec<PortState>,
    /// All frames, with the port they came from.
    pub(crate) log: Vec<(usize, Vec<u8>)>,
}

pub(crate) struct PortState {
    received: VecDeque<Vec<u8>>,
    waker: Option<Waker>,
    pub(crate) up: bool,
    /// Frames that can be sent before there is no room any more.
    pub(crate) room: usize,
    /// Neither hears nor is heard, but for all it knows the link is up.
    pub(crate) cut: bool,
    /// How often the driver was asked for its link.
    pub(crate) link_reads: usize,
    /// What the card lets pass, besides groups and virtual MAC addresses.
    mac: MacAddr,
}

pub(crate) struct Port {
    wire: Rc<RefCell<Wire>>,
    number: usize,
    mac: MacAddr,
}

#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    /// Was somebody woken since this was last asked?
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One node: what a program keeps of it.
pub(crate) struct Member {
    pub(crate) port: usize,
    pub(crate) mac: MacAddr,
    pub(crate) control: Control<NoopRawMutex, 2>,
    /// What the network stack saw.
    pub(crate) seen: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
        MockDriver::get().reset();
        Self {
            tasks: Vec::new(),
            wire: Rc::default(),
            polls: 0,
            _clock: clock,
        }
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks
            .push((Box::pin(task), Arc::new(Flag(AtomicBool::new(true)))));
    }

    /// Plugs in a network card.
    pub(crate) fn port(&mut self) -> Port {
        let mut wire = self.wire.borrow_mut();
        let number = wire.ports.len();
        let mac = MacAddr([2, 0, 0, 0, 0, u8::try_from(number).unwrap() + 1]);
        wire.ports.push(PortState {
            received: VecDeque::new(),
            waker: None,
            up: true,
            room: usize::MAX,
            cut: false,
            link_reads: 0,
            mac,
        });
        Port {
            wire: Rc::clone(&self.wire),
            number,
            mac,
        }
    }

    /// A network card in the place of another: with the same last byte, which says what address its board has.
    pub(crate) fn port_in_place_of(&mut self, other: usize) -> Port {
        let mut port = self.port();
        let mut wire = self.wire.borrow_mut();
        let MacAddr([.., last]) = wire.ports[other].mac;
        wire.ports[other].cut = true;
        port.mac = MacAddr([2, 0, 0, 0, 1, last]);
        wire.ports[port.number].mac = port.mac;
        drop(wire);
        port
    }

    /// An adapter in announce mode, with a stack that only looks at what it gets.
    pub(crate) fn member(&mut self, configs: Vec<HostConfig<2>>) -> (Member, Vec<HostId>) {
        let port = self.port();
        let (number, mac) = (port.number, port.mac);
        let carp = adapter(mac);
        self.start(number, mac, carp, carp.announce(port), configs)
    }

    pub(crate) fn start<S: Seats + 'static>(
        &mut self,
        port: usize,
        mac: MacAddr,
        carp: &'static Adapter,
        shim: Shim<Port, NoopRawMutex, S, 2>,
        configs: Vec<HostConfig<2>>,
    ) -> (Member, Vec<HostId>) {
        let seen: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
        let (ipv4, ipv6) = own_addresses(mac);
        self.spawn(stack(shim, Rc::clone(&seen), mac));
        self.spawn(keep_time(carp.runner()));
        let control = carp.control();
        control.set_addresses(Some(ipv4), Some(ipv6));
        let hosts = configs
            .into_iter()
            .map(|config| control.insert(config).unwrap())
            .collect();
        let member = Member {
            port,
            mac,
            control,
            seen,
        };
        (member, hosts)
    }

    /// Lets everybody run who was woken, until nobody was.
    pub(crate) fn settle(&mut self) {
        let mut rounds = 0;
        loop {
            let mut idle = true;
            for (task, flag) in &mut self.tasks {
                if flag.take() {
                    idle = false;
                    self.polls += 1;
                    let waker = Waker::from(Arc::clone(flag));
                    let _: Poll<()> = task.as_mut().poll(&mut Context::from_waker(&waker));
                }
            }
            if idle {
                return;
            }
            rounds += 1;
            assert!(rounds < 1_000, "tasks wake each other for ever");
        }
    }

    pub(crate) fn run_for_millis(&mut self, millis: u64) {
        self.settle();
        for _ in 0..millis {
            MockDriver::get().advance(Duration::from_millis(1));
            self.settle();
        }
    }

    /// Puts a frame on the wire, as somebody without an adapter.
    pub(crate) fn inject(&mut self, frame: &[u8]) {
        self.wire.borrow_mut().send(usize::MAX, frame);
        self.settle();
    }

    pub(crate) fn set_link(&mut self, port: usize, up: bool) {
        let mut wire = self.wire.borrow_mut();
        wire.ports[port].up = up;
        wire.ports[port].wake();
        drop(wire);
        self.settle();
    }

    pub(crate) fn take_log(&self) -> Vec<(usize, Vec<u8>)> {
        std::mem::take(&mut self.wire.borrow_mut().log)
    }
}

pub(crate) fn adapter(mac: MacAddr) -> &'static Adapter {
    let slots = Box::leak(Box::new(Slots::<2, 2>::EMPTY));
    Box::leak(Box::new(Carp::new(
        slots,
        Policy::HARDENED,
        u64::from(mac.0[5]),
        mac,
    )))
}

/// The same, with room for three unicast peers of each virtual host.
pub(crate) fn adapter_with_peers(mac: MacAddr) -> &'static Adapter {
    let slots = Box::leak(Box::new(Slots::<2, 2>::EMPTY));
    let peers = Box::leak(Box::new(PeerSlots::<2, 3>::EMPTY));
    let seed = u64::from(mac.0[5]);
    Box::leak(Box::new(Carp::new(
        slots.with_peers(peers),
        Policy::HARDENED,
        seed,
        mac,
    )))
}

/// A virtual host with one address.
pub(crate) fn host(advskew: u8) -> HostConfig<2> {
    let mut config = virtual_host(VHID, Key::from_passphrase(b"secret").unwrap());
    config.advskew = AdvSkew::new(advskew);
    config.preempt = true;
    config.addresses.insert(VIP.into()).unwrap();
    config
}

/// Keeps what it gets, and answers for the board's own addresses.
async fn stack<S: Seats>(
    mut shim: Shim<Port, NoopRawMutex, S, 2>,
    seen: Rc<RefCell<Vec<Vec<u8>>>>,
    mac: MacAddr,
) {
    poll_fn(|cx| {
        while let Some((frame, room)) = shim.receive(cx) {
            let answer = frame.consume(|frame| {
                seen.borrow_mut().push(frame.to_vec());
                answer(frame, mac)
            });
            if let Some(answer) = answer {
                room.consume(answer.len(), |buffer| buffer.copy_from_slice(&answer));
            }
        }
        Poll::<()>::Pending
    })
    .await;
}

pub(crate) fn own_addresses(mac: MacAddr) -> (Ipv4Addr, Ipv6Addr) {
    let last = mac.0[5];
    let link_local = [0xfe80, 0, 0, 0, 0, 0, 0, last.into()];
    (Ipv4Addr::new(10, 0, 0, last), link_local.into())
}

/// What the network stack of the board with this MAC address answers, if it is asked for its addresses.
pub(crate) fn answer(frame: &[u8], mac: MacAddr) -> Option<Vec<u8>> {
    let (ipv4, ipv6) = own_addresses(mac);
    let mut buffer = [0; MAX_FRAME_LEN];
    let len = match classify(frame) {
        FrameClass::ArpRequest {
            target,
            sender,
            sender_mac,
        } if target == ipv4 => emit_arp_reply(mac, mac, target, sender_mac, sender, &mut buffer),
        FrameClass::NeighborSolicitation {
            target,
            sender,
            sender_mac: Some(to),
        } if target == ipv6 => emit_neighbor_advertisement(mac, mac, target, to, sender, false, &mut buffer),
        _ => return None,
    };
    Some(buffer[..len].to_vec())
}

async fn keep_time(mut runner: Runner<NoopRawMutex, 2>) {
    runner.run().await;
}

impl Member {
    pub(crate) fn state(&self, host: HostId) -> State {
        self.control.state(host).unwrap()
    }
}

impl Wire {
    pub(crate) fn send(&mut self, from: usize, frame: &[u8]) {
        if self.ports.get(from).is_some_and(|port| port.cut || !port.up) {
            return;
        }
        self.log.push((from, frame.to_vec()));
        for (number, port) in self.ports.iter_mut().enumerate() {
            if number != from && port.up && !port.cut && port.lets_pass(frame) {
                port.received.push_back(frame.to_vec());
                port.wake();
            }
        }
    }
}

impl PortState {
    fn lets_pass(&self, frame: &[u8]) -> bool {
        frame[0] & 1 == 1 || frame.starts_with(&self.mac.0) || frame.starts_with(&[0, 0, 0x5e, 0, 1])
    }

    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Port {
    fn state<R>(&self, cx: &Context<'_>, f: impl FnOnce(&mut PortState) -> R) -> R {
        let state = &mut self.wire.borrow_mut().ports[self.number];
        state.waker = Some(cx.waker().clone());
        f(state)
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn mac(&self) -> MacAddr {
        self.mac
    }
}

impl Driver for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Room<'_>)> {
        let frame = self.state(cx, |state| {
            if state.room == 0 {
                None
            } else {
                state.received.pop_front()
            }
        })?;
        Some((Received(frame), Room(self)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Room<'_>> {
        let room = self.state(cx, |state| state.room);
        (room > 0).then_some(Room(self))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        let is_up = self.state(cx, |state| {
            state.link_reads += 1;
            state.up
        });
        if is_up { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac.0)
    }
}

pub(crate) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
        f(&mut self.0)
    }
}

pub(crate) struct Room<'a>(&'a Port);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        let mut wire = self.0.wire.borrow_mut();
        wire.ports[self.0.number].room -= 1;
        wire.send(self.0.number, &frame);
        result
    }
}
