//! Events in the log, with both loggers at once.
#![cfg(any(feature = "log", feature = "defmt"))]

use carp_embassy::log_event;
use carp_fsm::{Cause, Event, EventKind, GroupId, Instant};

const EVENT: Event = Event {
    at: Instant::ZERO,
    kind: EventKind::Demotion {
        group: GroupId(0),
        from: 0,
        to: 240,
        cause: Cause::NotReady,
        holds: true,
    },
};

#[cfg(feature = "log")]
mod plain {
    use std::sync::Mutex;

    pub(super) struct Memory(pub(super) Mutex<Vec<String>>);

    impl log::Log for Memory {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            self.0.lock().unwrap().push(record.args().to_string());
        }

        fn flush(&self) {}
    }
}

/// A logger counts bytes: to read them, one needs the table that a linker script keeps.
#[cfg(feature = "defmt")]
mod deferred {
    #![expect(unsafe_code, reason = "defmt's logger is an unsafe trait")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    pub(super) static WRITTEN: AtomicUsize = AtomicUsize::new(0);

    defmt::timestamp!("");

    #[defmt::global_logger]
    struct Counter;

    // SAFETY: nothing is kept between the calls.
    unsafe impl defmt::Logger for Counter {
        fn acquire() {}

        unsafe fn flush() {}

        unsafe fn release() {}

        unsafe fn write(bytes: &[u8]) {
            WRITTEN.fetch_add(bytes.len(), Ordering::Relaxed);
        }
    }
}

#[test]
fn an_event_is_in_every_log_there_is() {
    #[cfg(feature = "log")]
    let memory: &plain::Memory = Box::leak(Box::new(plain::Memory(Vec::new().into())));
    #[cfg(feature = "log")]
    {
        log::set_logger(memory).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    }
    log_event(&EVENT);
    #[cfg(feature = "log")]
    assert_eq!(*memory.0.lock().unwrap(), ["carp: demotion 0 -> 240 (not ready)"]);
    // What `log_event` writes to defmt depends on `DEFMT_LOG` when it is compiled; this does not.
    #[cfg(feature = "defmt")]
    defmt::println!("{}", EVENT);
    #[cfg(feature = "defmt")]
    assert!(deferred::WRITTEN.load(std::sync::atomic::Ordering::Relaxed) > 0);
}
