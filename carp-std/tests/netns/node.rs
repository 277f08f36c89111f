//! Whole nodes, each on a thread of its own.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration as StdDuration;

use carp_fsm::{Duration, EventKind, HostConfig, Instant, LinkMode, Policy, State};
use carp_proto::{AdvBase, AdvSkew, Dialect, Key, Vhid};
use carp_std::linux::{Clock, LinuxLink, Stopper, random_seed};
use carp_std::{Host, Prefix};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Namespace;

/// What a busy machine may add to every time.
pub(crate) const SLACK: Duration = Duration::from_millis(250);

/// What a node does with vhid 7 on `eth0`.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) skew: u8,
    pub(crate) mode: LinkMode,
    pub(crate) addresses: &'static [&'static str],
    pub(crate) prefix: Prefix,
}

impl Setup {
    pub(crate) const fn plain(skew: u8) -> Self {
        let mode = LinkMode::Plain;
        Self {
            skew,
            mode,
            addresses: &["10.0.0.1"],
            prefix: Prefix::Interface,
        }
    }

    pub(crate) const fn vmac(skew: u8) -> Self {
        let mode = LinkMode::Vmac;
        Self {
            mode,
            ..Self::plain(skew)
        }
    }

    /// On `eth0` of this thread's namespace.
    pub(crate) fn host(self) -> Host<LinuxLink, 4> {
        self.on("eth0")
    }

    /// On an interface of this thread's namespace.
    pub(crate) fn on(self, interface: &str) -> Host<LinuxLink, 4> {
        let mut link = LinuxLink::new().unwrap();
        let eth0 = link.add_interface(interface).unwrap();
        let mut config = HostConfig::new(
            eth0,
            Vhid::new(7).unwrap(),
            Key::from_passphrase(b"secret").unwrap(),
        );
        config.dialect = Dialect::OpenBsd;
        config.advbase = AdvBase::new(0);
        config.advskew = AdvSkew::new(self.skew);
        config.preempt = true;
        config.mode = self.mode;
        for address in self.addresses {
            config.addresses.insert(address.parse().unwrap()).unwrap();
        }
        let mut host = Host::new(link, Policy::HARDENED, random_seed().unwrap()).unwrap();
        host.insert(Clock.now(), config, |_| self.prefix).unwrap();
        host
    }
}

pub(crate) fn readable(host: impl AsFd, millis: i64) -> bool {
    let timeout = Timespec {
        tv_sec: millis / 1000,
        tv_nsec: millis % 1000 * 1_000_000,
    };
    poll(&mut [PollFd::new(&host, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}

/// A host that runs on a thread of its own.
pub(crate) struct Node {
    pub(crate) stopper: Stopper,
    /// Makes it fall dead when it wakes next: no bow-out, nothing taken off.
    pub(crate) crash: Arc<AtomicBool>,
    pub(crate) events: Receiver<(Instant, State)>,
    pub(crate) thread: JoinHandle<()>,
}

impl Node {
    pub(crate) fn start(namespace: &Namespace, setup: Setup) -> Self {
        Self::start_with(namespace, move || setup.host())
    }

    pub(crate) fn start_with(
        namespace: &Namespace,
        host: impl FnOnce() -> Host<LinuxLink, 4> + Send + 'static,
    ) -> Self {
        let crash = Arc::new(AtomicBool::new(false));
        let dead = Arc::clone(&crash);
        let (sender, events) = mpsc::channel();
        let (hand_out, stopper) = mpsc::channel();
        let thread = namespace.spawn(move || {
            let mut host = host();
            hand_out.send(host.stopper()).unwrap();
            while !dead.load(Ordering::Relaxed) {
                host.process(Clock.now()).unwrap();
                while let Some(event) = host.poll_event() {
                    if let EventKind::Transition { to, .. } = event.kind {
                        let _ = sender.send((event.at, to));
                    }
                }
                if host.is_stopped() {
                    return;
                }
                readable(&host, 60_000);
            }
        });
        Self {
            stopper: stopper.recv().unwrap(),
            crash,
            events,
            thread,
        }
    }

    /// The next change of state, and when it was.
    pub(crate) fn next(&self) -> (Instant, State) {
        self.events
            .recv_timeout(StdDuration::from_secs(5))
            .expect("a change of state")
    }

    pub(crate) fn end(self) {
        self.stopper.stop();
        self.thread.join().unwrap();
    }
}
