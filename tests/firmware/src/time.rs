//! Time for embassy: microseconds since reset, from two of the board's timers.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::board::{Device, Interrupt, Register, unmask};

/// Ticks of a microsecond.
pub(crate) const TICKS: u64 = 25;
/// Timer 0 counts down from here, and then again: 171 s.
const PERIOD: u64 = 1 << 32;
/// Timer 1 is not asked to wait longer.
const LONGEST: u64 = 100_000_000;

const ENABLE: u32 = 1 << 0;
const ENABLE_INTERRUPT: u32 = 1 << 3;

/// Registers of a CMSDK timer.
struct Timer {
    control: Register,
    value: Register,
    reload: Register,
    interrupt: Register,
}

const fn timer(device: Device) -> Timer {
    Timer {
        control: Register::of(device, 0x0),
        value: Register::of(device, 0x4),
        reload: Register::of(device, 0x8),
        interrupt: Register::of(device, 0xc),
    }
}

const CLOCK: Timer = timer(Device::Timer0);
const ALARM: Timer = timer(Device::Timer1);

struct Time {
    /// How often timer 0 has wrapped.
    wraps: Mutex<Cell<u64>>,
    /// Ticks at which timer 1 was to call, and by how much later it last did.
    due: Mutex<Cell<u64>>,
    late: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static TIME: Time = Time {
    wraps: Mutex::new(Cell::new(0)),
    due: Mutex::new(Cell::new(0)),
    late: Mutex::new(Cell::new(0)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

/// Starts the clock.
pub fn init() {
    CLOCK.reload.write(u32::MAX);
    CLOCK.value.write(u32::MAX);
    CLOCK.control.write(ENABLE | ENABLE_INTERRUPT);
    unmask(Interrupt::Timer0);
    unmask(Interrupt::Timer1);
}

/// Ticks of 40 ns since reset.
pub fn ticks() -> u64 {
    critical_section::with(ticks_within)
}

/// By how many microseconds the interrupt of timer 1 was last served too late: an emulator that had no processor to run
/// on. What the firmware itself takes comes on top.
pub fn late_by() -> u64 {
    critical_section::with(|cs| TIME.late.borrow(cs).get()) / TICKS
}

fn ticks_within(cs: CriticalSection<'_>) -> u64 {
    let wraps = TIME.wraps.borrow(cs).get();
    let value = CLOCK.value.read();
    // Wrapped just now, before or after the value was read: the interrupt has not been served yet.
    let (wraps, value) = if CLOCK.interrupt.read() & 1 == 1 {
        (wraps + 1, CLOCK.value.read())
    } else {
        (wraps, value)
    };
    wraps * PERIOD + u64::from(u32::MAX - value)
}

pub(crate) fn on_wrap() {
    critical_section::with(|cs| {
        CLOCK.interrupt.write(1);
        let wraps = TIME.wraps.borrow(cs);
        wraps.set(wraps.get() + 1);
    });
}

pub(crate) fn on_alarm() {
    critical_section::with(|cs| {
        ALARM.control.write(0);
        ALARM.interrupt.write(1);
        let late = ticks_within(cs).saturating_sub(TIME.due.borrow(cs).get());
        TIME.late.borrow(cs).set(late);
        arm(cs, &mut TIME.queue.borrow_ref_mut(cs));
    });
}

/// Wakes whom it is time for, and has timer 1 call for the next.
fn arm(cs: CriticalSection<'_>, queue: &mut Queue) {
    let now = ticks_within(cs) / TICKS;
    let next = queue.next_expiration(now);
    ALARM.control.write(0);
    if next != u64::MAX {
        let wait = next.saturating_sub(now).clamp(1, LONGEST) * TICKS;
        TIME.due.borrow(cs).set(now * TICKS + wait);
        ALARM.reload.write(0);
        ALARM.value.write(u32::try_from(wait).unwrap_or(u32::MAX));
        ALARM.control.write(ENABLE | ENABLE_INTERRUPT);
    }
}

impl Driver for Time {
    fn now(&self) -> u64 {
        ticks() / TICKS
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let mut queue = self.queue.borrow_ref_mut(cs);
            if queue.schedule_wake(at, waker) {
                arm(cs, &mut queue);
            }
        });
    }
}
