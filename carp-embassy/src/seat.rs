//! Accept mode: a second driver for each virtual host, whose link is up only while MASTER.

use core::cell::RefCell;
use core::task::Context;

use carp_fsm::{LinkMode, OwnerError};
use carp_proto::{MacAddr, Vhid};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::waitqueue::WakerRegistration;
use heapless::Deque;

use crate::Owners;
use crate::shim::fill;

/// The longest frame: Ethernet header and 1500 bytes. What is longer is dropped.
pub const MTU: usize = 1514;

/// The packet buffers between a [`Seat`] and its [`SeatDriver`], in both directions together.
///
/// Place it in a static: it is a constant. With two packets one waits in each direction; four are a good start for TCP.
pub struct SeatPackets<const PACKETS: usize> {
    packets: [[u8; MTU]; PACKETS],
}

impl<const PACKETS: usize> SeatPackets<PACKETS> {
    /// No packet yet.
    pub const EMPTY: Self = Self {
        packets: [[0; MTU]; PACKETS],
    };
}

type Buffer = &'static mut [u8; MTU];

/// A buffer and how much of it is in use.
struct Packet {
    buffer: Buffer,
    len: usize,
}

/// What a [`Seat`] and its [`SeatDriver`] share.
pub struct SeatState<M: RawMutex, const PACKETS: usize> {
    vhid: Vhid,
    queues: Mutex<M, RefCell<Queues<PACKETS>>>,
}

/// Each direction leaves one buffer to the other, so neither can stop the other for good.
struct Queues<const PACKETS: usize> {
    free: Deque<Buffer, PACKETS>,
    to_stack: Deque<Packet, PACKETS>,
    to_wire: Deque<Packet, PACKETS>,
    up: bool,
    stack: WakerRegistration,
    shim: WakerRegistration,
}

impl<M: RawMutex, const PACKETS: usize> SeatState<M, PACKETS> {
    /// For the virtual host with this number. Two packets are the least.
    pub fn new(vhid: Vhid, packets: &'static mut SeatPackets<PACKETS>) -> Self {
        const { assert!(PACKETS >= 2, "a seat needs a packet in each direction") };
        let mut free = Deque::new();
        for buffer in &mut packets.packets {
            // There is room for all.
            let _ = free.push_back(buffer);
        }
        Self {
            vhid,
            queues: Mutex::new(RefCell::new(Queues {
                free,
                to_stack: Deque::new(),
                to_wire: Deque::new(),
                up: false,
                stack: WakerRegistration::new(),
                shim: WakerRegistration::new(),
            })),
        }
    }

    /// The two ends: one for [`Carp::accept`](crate::Carp::accept), one for the second network stack.
    pub fn split(&'static mut self) -> (Seat<M, PACKETS>, SeatDriver<M, PACKETS>) {
        (Seat { state: self }, SeatDriver { state: self })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Queues<PACKETS>) -> R) -> Option<R> {
        self.queues
            .lock(|queues| Some(f(&mut *queues.try_borrow_mut().ok()?)))
    }

    fn give_back(&self, buffer: Buffer) {
        self.with(|queues| {
            let _ = queues.free.push_back(buffer);
        });
    }
}

impl<const PACKETS: usize> Queues<PACKETS> {
    fn set_up(&mut self, up: bool) {
        if self.up == up {
            return;
        }
        self.up = up;
        // What is on its way belongs to the time before.
        while let Some(packet) = self.to_stack.pop_front().or_else(|| self.to_wire.pop_front()) {
            let _ = self.free.push_back(packet.buffer);
        }
        self.stack.wake();
    }

    fn deliver(&mut self, frame: &[u8]) {
        // One remains for the other direction.
        if self.to_stack.len() >= const { PACKETS - 1 } || frame.len() > MTU {
            return;
        }
        if let Some(buffer) = self.free.pop_front() {
            fill(buffer, frame);
            let len = frame.len();
            let _ = self.to_stack.push_back(Packet { buffer, len });
            self.stack.wake();
        }
    }

    fn take_free_for_wire(&mut self) -> Option<Buffer> {
        if self.to_wire.len() >= const { PACKETS - 1 } {
            return None;
        }
        self.free.pop_front()
    }
}

/// The shim's end of a second network stack.
pub struct Seat<M: RawMutex + 'static, const PACKETS: usize> {
    state: &'static SeatState<M, PACKETS>,
}

/// The second network stacks: none, `()`, or an array of [`Seat`]s.
pub trait Seats: Owners {
    /// Wakes this task when one of them has something to send.
    #[doc(hidden)]
    fn register(&mut self, cx: &Context<'_>);

    /// Hands a frame to those whom it is for. Says whether it was for one of them alone.
    #[doc(hidden)]
    fn deliver(&mut self, frame: &[u8]) -> bool;

    /// Has one of them something to send?
    #[doc(hidden)]
    fn is_waiting(&self) -> bool;

    /// Sends the next frame of one of them.
    #[doc(hidden)]
    fn send_next(&mut self, send: impl FnOnce(&[u8]));
}

impl Seats for () {
    fn register(&mut self, _: &Context<'_>) {}

    fn deliver(&mut self, _: &[u8]) -> bool {
        false
    }

    fn is_waiting(&self) -> bool {
        false
    }

    fn send_next(&mut self, _: impl FnOnce(&[u8])) {}
}

impl<M: RawMutex, const PACKETS: usize, const SEATS: usize> Owners for [Seat<M, PACKETS>; SEATS] {
    fn is_seated(&self, vhid: Vhid) -> bool {
        self.iter().any(|seat| seat.state.vhid == vhid)
    }

    fn set_owner(&mut self, vhid: Vhid, mode: LinkMode, owner: bool) -> Result<(), OwnerError> {
        match self.iter().find(|seat| seat.state.vhid == vhid) {
            // Its stack has the virtual MAC address and no other.
            Some(_) if mode == LinkMode::Plain && owner => Err(OwnerError),
            Some(seat) => seat.state.with(|queues| queues.set_up(owner)).ok_or(OwnerError),
            None => Ok(()),
        }
    }
}

impl<M: RawMutex, const PACKETS: usize, const SEATS: usize> Seats for [Seat<M, PACKETS>; SEATS] {
    fn deliver(&mut self, frame: &[u8]) -> bool {
        let Some(&destination) = frame.first_chunk() else {
            return false;
        };
        let destination = MacAddr(destination);
        let mut alone = false;
        for seat in &*self {
            let own = seat.state.vhid.mac() == destination;
            alone |= own;
            if own || destination.is_group() {
                seat.state.with(|queues| {
                    if queues.up {
                        queues.deliver(frame);
                    }
                });
            }
        }
        alone
    }

    fn register(&mut self, cx: &Context<'_>) {
        for seat in &*self {
            seat.state.with(|queues| queues.shim.register(cx.waker()));
        }
    }

    fn is_waiting(&self) -> bool {
        let waiting = |seat: &Seat<M, PACKETS>| seat.state.with(|queues| !queues.to_wire.is_empty());
        self.iter().any(|seat| waiting(seat) == Some(true))
    }

    fn send_next(&mut self, send: impl FnOnce(&[u8])) {
        for seat in &*self {
            let packet = seat.state.with(|queues| queues.to_wire.pop_front());
            if let Some(Packet { buffer, len }) = packet.flatten() {
                send(buffer.get(..len).unwrap_or_default());
                seat.state.with(|queues| {
                    let _ = queues.free.push_back(buffer);
                    queues.stack.wake();
                });
                return;
            }
        }
    }
}

/// The driver for the network stack of one virtual host: its MAC address is the virtual one, and its link is up only
/// while this node is MASTER. Give that stack the virtual address; ARP, ICMP and TCP then leave with the virtual MAC
/// address by themselves.
pub struct SeatDriver<M: RawMutex + 'static, const PACKETS: usize> {
    state: &'static SeatState<M, PACKETS>,
}

impl<M: RawMutex, const PACKETS: usize> SeatDriver<M, PACKETS> {
    /// Room for one frame. While the link is down it is taken and dropped, as a network card does.
    pub(crate) fn send_token(&self) -> Option<SeatTxToken<M, PACKETS>> {
        let buffer = self.state.with(Queues::take_free_for_wire).flatten()?;
        Some(SeatTxToken(Held {
            state: self.state,
            buffer: Some(buffer),
        }))
    }

    /// The next frame that was received, and room to answer it.
    pub(crate) fn take(&self) -> Option<(SeatRxToken<M, PACKETS>, SeatTxToken<M, PACKETS>)> {
        if !self.state.with(|queues| !queues.to_stack.is_empty())? {
            return None;
        }
        let tx = self.send_token()?;
        let Packet { buffer, len } = self.state.with(|queues| queues.to_stack.pop_front()).flatten()?;
        let held = Held {
            state: self.state,
            buffer: Some(buffer),
        };
        Some((SeatRxToken { held, len }, tx))
    }

    fn register(&self, cx: &Context<'_>) {
        self.state.with(|queues| queues.stack.register(cx.waker()));
    }
}

impl<M: RawMutex, const PACKETS: usize> Driver for SeatDriver<M, PACKETS> {
    type RxToken<'a>
        = SeatRxToken<M, PACKETS>
    where
        Self: 'a;
    type TxToken<'a>
        = SeatTxToken<M, PACKETS>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.register(cx);
        self.take()
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.register(cx);
        self.send_token()
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.register(cx);
        match self.state.with(|queues| queues.up) {
            Some(true) => LinkState::Up,
            _ => LinkState::Down,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.state.vhid.mac().0)
    }
}

/// A buffer that goes back to the free ones, unless it is sent.
struct Held<M: RawMutex + 'static, const PACKETS: usize> {
    state: &'static SeatState<M, PACKETS>,
    buffer: Option<Buffer>,
}

impl<M: RawMutex, const PACKETS: usize> Drop for Held<M, PACKETS> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.state.give_back(buffer);
        }
    }
}

/// One frame for the second network stack.
pub struct SeatRxToken<M: RawMutex + 'static, const PACKETS: usize> {
    held: Held<M, PACKETS>,
    len: usize,
}

impl<M: RawMutex, const PACKETS: usize> RxToken for SeatRxToken<M, PACKETS> {
    fn consume<R, F>(mut self, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let len = self.len;
        let frame = self.held.buffer.as_mut().and_then(|buffer| buffer.get_mut(..len));
        f(frame.unwrap_or_default())
    }
}

/// Room for one frame from the second network stack.
pub struct SeatTxToken<M: RawMutex + 'static, const PACKETS: usize>(Held<M, PACKETS>);

impl<M: RawMutex, const PACKETS: usize> TxToken for SeatTxToken<M, PACKETS> {
    fn consume<R, F>(mut self, len: usize, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let len = len.min(MTU);
        let room = self.0.buffer.as_mut().and_then(|buffer| buffer.get_mut(..len));
        let result = f(room.unwrap_or_default());
        if let Some(buffer) = self.0.buffer.take() {
            self.0.state.with(|queues| {
                if queues.up {
                    let _ = queues.to_wire.push_back(Packet { buffer, len });
                    queues.shim.wake();
                } else {
                    let _ = queues.free.push_back(buffer);
                }
            });
        }
        result
    }
}
