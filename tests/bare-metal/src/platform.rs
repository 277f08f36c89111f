// What embassy links to, of a platform that there is none of: no image that has it is ever run.

use core::hint::black_box;
use core::task::Waker;

struct Clock;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);

impl embassy_time_driver::Driver for Clock {
    fn now(&self) -> u64 {
        black_box(0)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        black_box((at, waker));
    }
}

struct SingleCore;

critical_section::set_impl!(SingleCore);

// SAFETY: the image is never run.
unsafe impl critical_section::Impl for SingleCore {
    unsafe fn acquire() -> bool {
        black_box(true)
    }

    unsafe fn release(state: bool) {
        black_box(state);
    }
}
