//! What the tasks share: the engine, and who waits for it.

use core::cell::RefCell;
use core::convert::Infallible;
use core::future::{Future as _, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};

use carp_fsm::{Event, Instant, Policy};
use carp_proto::MacAddr;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::waitqueue::WakerRegistration;
use embassy_time::Timer;

use crate::{Control, Engine, Memory, Seat, Shim};

/// CARP on one Ethernet interface: an [`Engine`] that the tasks of a program share.
///
/// From it come the driver for the network stack ([`announce`](Self::announce) or [`accept`](Self::accept)), the
/// [`Runner`] and the [`Control`].
///
/// `M` is what protects it: `NoopRawMutex` if all tasks run on one executor (then it costs nothing), or
/// `CriticalSectionRawMutex`, which disables interrupts while a packet is verified.
pub struct Carp<M: RawMutex, const ADDRS: usize> {
    shared: Mutex<M, RefCell<Shared<ADDRS>>>,
}

pub(crate) struct Shared<const ADDRS: usize> {
    pub(crate) engine: Engine<'static, ADDRS>,
    /// The task that polls the driver: it can send.
    driver: WakerRegistration,
    runner: WakerRegistration,
    events: WakerRegistration,
    /// What the runner sleeps until.
    armed: Option<Instant>,
}

impl<M: RawMutex, const ADDRS: usize> Carp<M, ADDRS> {
    /// CARP without virtual hosts: add them with [`Control::insert`]. The memory is `&'static mut`
    /// [`Slots`](crate::Slots), or those [with peers](crate::Slots::with_peers).
    ///
    /// `mac` is the interface's own MAC address. **The seed must differ at every start**: a hardware random number,
    /// or the MAC address mixed with a counter in non-volatile memory. Peers may ignore what they heard before.
    pub fn new(memory: impl Into<Memory<'static, ADDRS>>, policy: Policy, seed: u64, mac: MacAddr) -> Self {
        Self {
            shared: Mutex::new(RefCell::new(Shared {
                engine: Engine::new(memory, policy, seed, mac),
                driver: WakerRegistration::new(),
                runner: WakerRegistration::new(),
                events: WakerRegistration::new(),
                armed: None,
            })),
        }
    }

    /// Announce mode: the driver for the only network stack. ARP and neighbour solicitations for the virtual
    /// addresses are answered here; what is sent to them is the application's to forward or to answer.
    pub fn announce<D>(&'static self, device: D) -> Shim<D, M, (), ADDRS> {
        Shim::new(device, self, ())
    }

    /// Accept mode: the driver for the main network stack, and through the seats for one more stack for each virtual
    /// host. A virtual host without a seat is announced.
    pub fn accept<D, const SEATS: usize, const PACKETS: usize>(
        &'static self,
        device: D,
        seats: [Seat<M, PACKETS>; SEATS],
    ) -> Shim<D, M, [Seat<M, PACKETS>; SEATS], ADDRS> {
        Shim::new(device, self, seats)
    }

    /// What keeps the time. There is to be one.
    pub fn runner(&'static self) -> Runner<M, ADDRS> {
        Runner { carp: self }
    }

    /// The operator's handle. There may be many.
    pub fn control(&'static self) -> Control<M, ADDRS> {
        Control::new(self)
    }

    /// `None` only from within itself, which would be a mistake of ours.
    pub(crate) fn with<R>(&self, f: impl FnOnce(Instant, &mut Shared<ADDRS>) -> R) -> Option<R> {
        let now = now();
        self.with_at(now, |shared| f(now, shared))
    }

    /// The same where the time is known already: to read a clock may be dear.
    pub(crate) fn with_at<R>(&self, now: Instant, f: impl FnOnce(&mut Shared<ADDRS>) -> R) -> Option<R> {
        self.shared.lock(|shared| {
            let mut shared = shared.try_borrow_mut().ok()?;
            let result = f(&mut shared);
            shared.rearm(now);
            Some(result)
        })
    }

    pub(crate) fn poll_event(&self, cx: &Context<'_>) -> Poll<Event> {
        let event = self.with(|_, shared| {
            shared.events.register(cx.waker());
            shared.engine.node_mut().poll_event()
        });
        event.flatten().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<const ADDRS: usize> Shared<ADDRS> {
    pub(crate) fn register_driver(&mut self, cx: &Context<'_>) {
        self.driver.register(cx.waker());
    }

    /// The engine may have something to send, and something to tell.
    pub(crate) fn changed(&mut self) {
        self.driver.wake();
        self.events.wake();
    }

    /// A peer was heard. Whoever took the frame sends what there is to send.
    pub(crate) fn heard(&mut self) {
        self.events.wake();
    }

    /// Wakes the runner if it would sleep too long.
    fn rearm(&mut self, now: Instant) {
        let oversleeps = match (self.engine.next_deadline(), self.armed) {
            // One that has passed waits until no packet does; then the runner is asleep without an end.
            (Some(deadline), Some(armed)) => deadline < armed || (armed <= now && deadline != armed),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if oversleeps {
            self.runner.wake();
        }
    }
}

/// What keeps the time of a [`Carp`].
pub struct Runner<M: RawMutex + 'static, const ADDRS: usize> {
    carp: &'static Carp<M, ADDRS>,
}

impl<M: RawMutex, const ADDRS: usize> Runner<M, ADDRS> {
    /// Runs for ever: as a task of its own, or joined with another one.
    pub async fn run(&mut self) -> ! {
        match poll_fn(|cx| self.poll(cx)).await {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Infallible> {
        loop {
            let deadline = self.carp.with(|now, shared| {
                shared.runner.register(cx.waker());
                if shared
                    .engine
                    .next_deadline()
                    .is_some_and(|deadline| deadline <= now)
                {
                    shared.engine.handle_timeout(now);
                    shared.changed();
                }
                shared.armed = shared.engine.next_deadline();
                shared.armed.filter(|deadline| *deadline > now)
            });
            let mut timer = Timer::at(wake_at(deadline.flatten()));
            if Pin::new(&mut timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// Never early: the clock may be coarser than a microsecond.
fn wake_at(deadline: Option<Instant>) -> embassy_time::Instant {
    let ticks = deadline.map_or(u64::MAX, |deadline| {
        let at = embassy_time::Instant::from_micros(deadline.as_micros());
        at.as_ticks().saturating_add(1)
    });
    embassy_time::Instant::from_ticks(ticks)
}

/// The time as the node counts it.
pub(crate) fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros())
}
