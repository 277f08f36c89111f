//! One descriptor for everything that a host waits for.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use carp_fsm::Instant;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::clock::timespec;

/// An epoll descriptor with a link, a timer and a stop button in it.
#[derive(Debug)]
pub(crate) struct Wake {
    epoll: OwnedFd,
    timer: OwnedFd,
    stop: Arc<Stop>,
}

/// The stop button.
#[derive(Debug)]
struct Stop {
    /// Set after the descriptor has become readable, so that whoever was woken by something else need not read that one,
    /// and whoever sees this set leaves nothing in it.
    asked: AtomicBool,
    event: OwnedFd,
}

impl Wake {
    pub(crate) fn new(link: impl AsFd) -> io::Result<Self> {
        let wake = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            timer: timerfd_create(
                TimerfdClockId::Boottime,
                TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
            )?,
            stop: Arc::new(Stop {
                asked: AtomicBool::new(false),
                event: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            }),
        };
        for source in [link.as_fd(), wake.timer.as_fd(), wake.stop.event.as_fd()] {
            epoll::add(
                &wake.epoll,
                source,
                epoll::EventData::new_u64(0),
                epoll::EventFlags::IN,
            )?;
        }
        Ok(wake)
    }

    /// Makes the descriptor readable from `deadline` on, if there is one. The
    /// timer that ran before is forgotten, and so is that it had run out.
    pub(crate) fn arm(&self, deadline: Option<Instant>) -> io::Result<()> {
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut at = deadline.map_or(never, timespec);
        if deadline.is_some() && at == never {
            at.tv_nsec = 1; // zero would switch the timer off
        }
        let timer = Itimerspec {
            it_interval: never,
            it_value: at,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &timer)?;
        Ok(())
    }

    /// Waits until there is something to do, or a signal arrives.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let mut event = [MaybeUninit::uninit()];
        match epoll::wait(&self.epoll, &mut event[..], None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    pub(crate) fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    /// Whether the stop button was pressed since the last call.
    pub(crate) fn take_stop(&self) -> bool {
        let asked = self.stop.asked.swap(false, Ordering::AcqRel);
        if asked {
            // It can only fail if somebody who asked twice was told so already.
            let _ = rustix::io::read(&self.stop.event, &mut [0; 8]);
        }
        asked
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Stops a [`Host`](crate::Host) from another thread or from a signal handler
/// (it makes one system call and takes no lock).
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Stop>);

impl Stopper {
    /// Asks for an orderly end: the host bows out of what it masters and takes
    /// its addresses off, then [`Host::run`](crate::Host::run) returns. Asking again changes nothing.
    pub fn stop(&self) {
        // It can only fail if the counter of requests is full: then stopping has been asked for.
        let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
        self.0.asked.store(true, Ordering::Release);
    }
}
