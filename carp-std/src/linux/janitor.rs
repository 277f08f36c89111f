//! Switching interfaces off and removing them, later and on a thread of its own.
//!
//! The kernel takes 10 to 20 ms for each, most of it waiting for its other processors. The election has
//! no such time; and nobody waits for it, for an interface without addresses answers nobody.

use std::collections::HashSet;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use carp_fsm::{Duration, Instant};

use super::Clock;
use super::netlink::Netlink;

/// The wait before an interface is switched off: when many virtual hosts leave at once, all of them
/// have left by then.
const DELAY: Duration = Duration::from_millis(200);

/// The wait after each: the kernel's lock is for the election first.
const PAUSE: Duration = Duration::from_millis(20);

/// A thread that tidies up, in the network namespace of the thread that starts it.
#[derive(Debug)]
pub(super) struct Janitor {
    jobs: Sender<(Instant, u32)>,
    unwanted: Unwanted,
}

/// By index, the interfaces that are to go, and how. Locked while one goes.
type Unwanted = Arc<Mutex<HashSet<(u32, Fate)>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Off,
    Removed,
}

impl Janitor {
    pub(super) fn start() -> io::Result<Self> {
        let mut netlink = Netlink::open()?;
        let (jobs, inbox) = mpsc::channel();
        let unwanted = Unwanted::default();
        let list = Arc::clone(&unwanted);
        thread::Builder::new()
            .name("carp-janitor".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || work(&mut netlink, &inbox, &list))?;
        Ok(Self { jobs, unwanted })
    }

    /// Lets an interface go, soon.
    pub(super) fn let_go(&self, index: u32, fate: Fate) {
        if lock(&self.unwanted).insert((index, fate)) {
            // Without its thread nothing is tidied up before the end.
            let _ = self.jobs.send((Clock.now() + DELAY, index));
        }
    }

    /// An interface is needed again. When this returns, nothing is about to happen to it.
    pub(super) fn keep(&self, index: u32) {
        let mut list = lock(&self.unwanted);
        list.remove(&(index, Fate::Off));
        list.remove(&(index, Fate::Removed));
    }

    /// Those that are to be removed, and have not been. When this returns, nothing is about to happen to them.
    pub(super) fn take_removed(&self) -> Vec<u32> {
        let mut list = lock(&self.unwanted);
        let removed = list.extract_if(|(_, fate)| *fate == Fate::Removed);
        removed.map(|(index, _)| index).collect()
    }
}

fn work(netlink: &mut Netlink, inbox: &Receiver<(Instant, u32)>, unwanted: &Unwanted) {
    for (due, index) in inbox {
        sleep(due - Clock.now());
        let mut list = lock(unwanted);
        // Nobody can be told; what stays is found at the next start.
        if list.remove(&(index, Fate::Removed)) {
            let _ = netlink.remove_links(&[index]);
        } else if list.remove(&(index, Fate::Off)) {
            let _ = netlink.set_up(index, false);
        }
        drop(list);
        sleep(PAUSE);
    }
}

fn sleep(time: Duration) {
    thread::sleep(std::time::Duration::from_micros(time.as_micros()));
}

fn lock(unwanted: &Unwanted) -> MutexGuard<'_, HashSet<(u32, Fate)>> {
    unwanted.lock().unwrap_or_else(PoisonError::into_inner)
}
