use core::task::Context;

use carp_fsm::{Instant, LinkState, TransmitResult};
use carp_proto::MAX_FRAME_LEN;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState as Carrier, RxToken, TxToken};
use embassy_sync::blocking_mutex::raw::RawMutex;

use crate::carp::now;
use crate::{Carp, Seats, Verdict};

/// The driver that a network stack gets in place of the real one, `D`.
///
/// It takes advertisements, and questions for the virtual addresses, out of what is received (the stack sees an empty
/// frame), and sends frames of its own, from the virtual MAC address too. It works only while the stack polls it.
///
/// From [`Carp::announce`] or [`Carp::accept`].
pub struct Shim<D, M: RawMutex + 'static, S, const ADDRS: usize> {
    device: D,
    carp: &'static Carp<M, ADDRS>,
    seats: S,
    /// Frames since none waited.
    in_a_row: u8,
}

/// More than wait in a card: after so many a flood lets timers act, and other tasks run.
pub(crate) const IN_A_ROW: u8 = 32;

impl<D, M: RawMutex, S, const ADDRS: usize> Shim<D, M, S, ADDRS> {
    pub(crate) fn new(device: D, carp: &'static Carp<M, ADDRS>, seats: S) -> Self {
        Self {
            device,
            carp,
            seats,
            in_a_row: 0,
        }
    }
}

impl<D: Driver, M: RawMutex, S: Seats, const ADDRS: usize> Shim<D, M, S, ADDRS> {
    /// Everything that is to be done at `now`, when somebody polls, before a frame is received. To ask a clock or a
    /// transceiver may be dear: the first is asked once for each frame, the second once until no frame waits.
    #[inline(never)]
    fn serve(&mut self, now: Instant, cx: &mut Context<'_>) {
        let link = (self.in_a_row == 0).then(|| match self.device.link_state(cx) {
            Carrier::Up => LinkState::Up,
            Carrier::Down => LinkState::Down,
        });
        self.seats.register(cx);
        let mut frame = [0; MAX_FRAME_LEN];
        loop {
            let next = self.carp.with_at(now, |shared| {
                shared.register_driver(cx);
                if let Some(link) = link
                    && shared.engine.link() != link
                {
                    shared.engine.set_link(now, link);
                    shared.heard();
                }
                shared.engine.poll_transmit(now, &mut self.seats, &mut frame)
            });
            let Some((len, ticket)) = next.flatten() else {
                break;
            };
            let result = match (self.device.transmit(cx), frame.get(..len)) {
                (Some(token), Some(frame)) => {
                    token.consume(len, |buffer| fill(buffer, frame));
                    TransmitResult::Sent
                }
                _ => TransmitResult::Busy,
            };
            self.carp
                .with_at(now, |shared| shared.engine.sent(now, ticket, result));
            if result == TransmitResult::Busy {
                return;
            }
        }
        // After the engine: it may have taken the virtual MAC address away from them, and the last room is not theirs.
        while self.seats.is_waiting() && !self.keeps_room(now) {
            let Some(token) = self.device.transmit(cx) else {
                return;
            };
            self.seats
                .send_next(|frame| token.consume(frame.len(), |room| fill(room, frame)));
        }
    }
}

impl<D, M: RawMutex, S, const ADDRS: usize> Shim<D, M, S, ADDRS> {
    fn keeps_room(&self, now: Instant) -> bool {
        self.carp.with_at(now, |shared| shared.engine.keeps_room(now)) != Some(false)
    }
}

impl<D: Driver, M: RawMutex, S: Seats, const ADDRS: usize> Driver for Shim<D, M, S, ADDRS> {
    type RxToken<'a>
        = ShimRxToken<'a, D::RxToken<'a>, M, S, ADDRS>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let now = now();
        if self.in_a_row >= IN_A_ROW {
            drained(self.carp, now);
            self.serve(now, cx);
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
            return None;
        }
        self.serve(now, cx);
        let Some((rx, tx)) = self.device.receive(cx) else {
            self.in_a_row = 0;
            if drained(self.carp, now) {
                // The next poll sends what there is to send.
                cx.waker().wake_by_ref();
            }
            return None;
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        let rx = ShimRxToken {
            inner: rx,
            carp: self.carp,
            seats: &mut self.seats,
            now,
        };
        Some((rx, tx))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.device.transmit(cx)
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> Carrier {
        self.device.link_state(cx)
    }

    fn capabilities(&self) -> Capabilities {
        self.device.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.device.hardware_address()
    }
}

/// No frame waits, or as many as we take in one go were taken. Says whether a timer acted.
fn drained<M: RawMutex, const ADDRS: usize>(carp: &Carp<M, ADDRS>, now: Instant) -> bool {
    carp.with_at(now, |shared| {
        let acted = shared.engine.handle_drained(now);
        if acted {
            shared.heard();
        }
        acted
    })
    .unwrap_or(false)
}

/// One received frame, on its way through CARP to the network stack.
pub struct ShimRxToken<'a, T, M: RawMutex + 'static, S, const ADDRS: usize> {
    inner: T,
    carp: &'static Carp<M, ADDRS>,
    seats: &'a mut S,
    now: Instant,
}

impl<T: RxToken, M: RawMutex, S: Seats, const ADDRS: usize> RxToken for ShimRxToken<'_, T, M, S, ADDRS> {
    fn consume<R, F>(self, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let Self {
            inner,
            carp,
            seats,
            now,
        } = self;
        inner.consume(|frame| {
            let judged = carp.with_at(now, |shared| {
                let verdict = shared.engine.receive(now, frame, seats);
                if verdict == Verdict::Heard {
                    shared.heard();
                }
                (verdict, shared.engine.mac())
            });
            let for_stack = match judged {
                Some((Verdict::Heard | Verdict::Swallow, _)) => false,
                Some((Verdict::Readdress, mac)) => {
                    if let Some(destination) = frame.first_chunk_mut() {
                        *destination = mac.0;
                    }
                    true
                }
                Some((Verdict::Pass, _)) | None => !seats.deliver(frame),
            };
            f(if for_stack { frame } else { &mut [] })
        })
    }
}

/// Drivers give a buffer of the length asked for. One that does not sends garbage, but does not panic.
pub(crate) fn fill(buffer: &mut [u8], frame: &[u8]) {
    for (to, from) in buffer.iter_mut().zip(frame) {
        *to = *from;
    }
}
