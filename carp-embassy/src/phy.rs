//! For network stacks that poll a [`smoltcp::phy::Device`]: the same, without embassy.
//!
//! Nobody wakes anybody here. The loop that polls smoltcp's `Interface` asks [`PhyShim::poll_at`] when it has to poll
//! again, besides `Interface::poll_at`.

use carp_fsm::{Instant, LinkState, TransmitResult};
use carp_proto::MAX_FRAME_LEN;
use embassy_net_driver as driver;
use embassy_sync::blocking_mutex::raw::RawMutex;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time;

use crate::seat::MTU;
use crate::shim::{IN_A_ROW, fill};
use crate::{Engine, SeatDriver, SeatRxToken, SeatTxToken, Seats, Verdict};

/// The device that a network stack polls in place of the real one, `D`.
///
/// smoltcp shows received frames only, and does not let them be changed: one that is sent to the virtual MAC address
/// is not readdressed, and the stack drops it. Use [`LinkMode::Plain`](carp_fsm::LinkMode::Plain), or seats.
pub struct PhyShim<'s, D, S, const ADDRS: usize> {
    device: D,
    engine: Engine<'s, ADDRS>,
    seats: S,
    /// Frames since none waited.
    in_a_row: u8,
    /// So many that more may wait.
    is_flooded: bool,
}

impl<'s, D: Device, S: Seats, const ADDRS: usize> PhyShim<'s, D, S, ADDRS> {
    /// Announce mode with seats `()`, accept mode with an array of [`Seat`](crate::Seat)s.
    pub fn new(device: D, engine: Engine<'s, ADDRS>, seats: S) -> Self {
        Self {
            device,
            engine,
            seats,
            in_a_row: 0,
            is_flooded: false,
        }
    }

    /// The engine: commands, events, addresses. Tell it [`Engine::set_link`] when the carrier comes and goes.
    pub fn engine(&mut self) -> &mut Engine<'s, ADDRS> {
        &mut self.engine
    }

    /// When the interface has to be polled again for CARP's sake. At once, if a poll ended before all frames were
    /// taken: in a flood it lets the rest of the program run.
    pub fn poll_at(&self) -> Option<time::Instant> {
        if self.is_flooded {
            return Some(time::Instant::ZERO);
        }
        let deadline = self.engine.next_deadline()?.as_micros();
        Some(time::Instant::from_micros(
            i64::try_from(deadline).unwrap_or(i64::MAX),
        ))
    }

    /// Everything that is to be done when somebody polls, before a frame is received.
    fn serve(&mut self, timestamp: time::Instant) {
        self.engine.handle_timeout(instant(timestamp));
        self.send(timestamp);
    }

    fn send(&mut self, timestamp: time::Instant) {
        let now = instant(timestamp);
        let mut frame = [0; MAX_FRAME_LEN];
        while let Some((len, ticket)) = self.engine.poll_transmit(now, &mut self.seats, &mut frame) {
            let result = match (self.device.transmit(timestamp), frame.get(..len)) {
                (Some(token), Some(frame)) => {
                    token.consume(len, |buffer| fill(buffer, frame));
                    TransmitResult::Sent
                }
                _ => TransmitResult::Busy,
            };
            self.engine.sent(now, ticket, result);
            if result == TransmitResult::Busy {
                return;
            }
        }
        // After the engine: it may have taken the virtual MAC address away from them, and the last room is not theirs.
        while self.seats.is_waiting() && !self.engine.keeps_room(now) {
            let Some(token) = self.device.transmit(timestamp) else {
                return;
            };
            self.seats
                .send_next(|frame| token.consume(frame.len(), |room| fill(room, frame)));
        }
    }

    /// Says that no received frame waits. Call it after `Interface::poll`, which returns when none does.
    ///
    /// Nothing acts before: a machine that forgets it never becomes MASTER.
    pub fn drained(&mut self, timestamp: time::Instant) {
        self.in_a_row = 0;
        self.engine.handle_drained(instant(timestamp));
        self.send(timestamp);
    }

    /// The carrier came or went.
    pub fn set_link(&mut self, timestamp: time::Instant, link: LinkState) {
        self.engine.set_link(instant(timestamp), link);
    }
}

/// smoltcp counts microseconds, too.
fn instant(timestamp: time::Instant) -> Instant {
    Instant::from_micros(u64::try_from(timestamp.total_micros()).unwrap_or(0))
}

impl<D: Device, S: Seats, const ADDRS: usize> Device for PhyShim<'_, D, S, ADDRS> {
    type RxToken<'a>
        = PhyRxToken<'a, D::RxToken<'a>, S>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, timestamp: time::Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        if self.in_a_row >= IN_A_ROW {
            self.drained(timestamp);
            self.is_flooded = true;
            return None;
        }
        self.serve(timestamp);
        let Some((inner, tx)) = self.device.receive(timestamp) else {
            self.is_flooded = false;
            return None;
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        let rx = PhyRxToken {
            inner,
            engine: &mut self.engine,
            seats: &mut self.seats,
            now: instant(timestamp),
        };
        Some((rx, tx))
    }

    fn transmit(&mut self, timestamp: time::Instant) -> Option<Self::TxToken<'_>> {
        self.device.transmit(timestamp)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// One received frame, on its way through CARP to the network stack.
pub struct PhyRxToken<'a, T, S> {
    inner: T,
    engine: &'a mut dyn Receive<S>,
    seats: &'a mut S,
    now: Instant,
}

/// An engine, whatever its size and lifetime.
trait Receive<S> {
    fn receive(&mut self, now: Instant, frame: &[u8], seats: &S) -> Verdict;
}

impl<S: Seats, const ADDRS: usize> Receive<S> for Engine<'_, ADDRS> {
    fn receive(&mut self, now: Instant, frame: &[u8], seats: &S) -> Verdict {
        Engine::receive(self, now, frame, seats)
    }
}

impl<T: RxToken, S: Seats> RxToken for PhyRxToken<'_, T, S> {
    fn consume<R, F>(self, f: F) -> R
    where
        F: FnOnce(&[u8]) -> R,
    {
        let Self {
            inner,
            engine,
            seats,
            now,
        } = self;
        inner.consume(|frame| {
            let for_stack = match engine.receive(now, frame, seats) {
                Verdict::Heard | Verdict::Swallow => false,
                Verdict::Readdress | Verdict::Pass => !seats.deliver(frame),
            };
            f(if for_stack { frame } else { &[] })
        })
    }
}

impl<M: RawMutex, const PACKETS: usize> Device for SeatDriver<M, PACKETS> {
    type RxToken<'a>
        = SeatRxToken<M, PACKETS>
    where
        Self: 'a;
    type TxToken<'a>
        = SeatTxToken<M, PACKETS>
    where
        Self: 'a;

    fn receive(&mut self, _: time::Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.take()
    }

    fn transmit(&mut self, _: time::Instant) -> Option<Self::TxToken<'_>> {
        self.send_token()
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

impl<M: RawMutex, const PACKETS: usize> RxToken for SeatRxToken<M, PACKETS> {
    fn consume<R, F>(self, f: F) -> R
    where
        F: FnOnce(&[u8]) -> R,
    {
        driver::RxToken::consume(self, |frame| f(frame))
    }
}

impl<M: RawMutex, const PACKETS: usize> TxToken for SeatTxToken<M, PACKETS> {
    fn consume<R, F>(self, len: usize, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        driver::TxToken::consume(self, len, f)
    }
}
