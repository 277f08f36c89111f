//! A process that takes our addresses off when this one has died.
//!
//! It is told over a pipe what is ours. The kernel closes the pipe, whatever ends this process; what has
//! not been given back by then, the guard takes off. So there is no goodbye: after an orderly end nothing
//! is left to take off.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration as StdDuration;

use carp_fsm::{Duration, Instant};
use rustix::event::epoll;
use rustix::thread::CapabilitySet;

use super::netlink::Netlink;
use super::owner::{self, Device};
use super::process::keep_capabilities;
use super::{Clock, leftovers, sys};
use crate::{OwnershipError, Prefix, VirtualAddress};

/// Room in the pipe for a guard that is slow to read, in bytes: some 16 000 addresses.
const PIPE_LEN: usize = 1 << 20;

/// A guard that ended sooner than this after its start is not replaced before this time is over.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// How often the guard tries to take off an address, and how long it waits in between.
const ATTEMPTS: u32 = 50;
const PAUSE: StdDuration = StdDuration::from_millis(10);

/// The guard as the guarded process sees it.
#[derive(Debug)]
pub(super) struct Guard {
    command: Command,
    process: Option<(Child, ChildStdin)>,
    started: Instant,
    error: Option<io::Error>,
}

impl Guard {
    pub(super) fn start(mut command: Command, epoll: impl AsFd) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.process_group(0); // what is meant for the whole group of this process is not for the guard
        let mut guard = Self {
            command,
            process: None,
            started: Clock.now(),
            error: None,
        };
        guard.spawn(epoll)?;
        Ok(guard)
    }

    fn spawn(&mut self, epoll: impl AsFd) -> io::Result<()> {
        self.started = Clock.now();
        let mut child = self.command.spawn()?;
        let pipe = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        // Where this much is not allowed, the usual 64 KiB have to do.
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_LEN);
        // Errors are always reported: here, that nobody reads the pipe any more.
        epoll::add(
            epoll,
            &pipe,
            epoll::EventData::new_u64(super::link::GUARD),
            epoll::EventFlags::empty(),
        )?;
        self.process = Some((child, pipe));
        self.error = None;
        Ok(())
    }

    pub(super) fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Starts the guard again if it has ended, and says whether it has to be told everything. Does
    /// nothing while the last start is too fresh.
    pub(super) fn restart(&mut self, epoll: impl AsFd) -> bool {
        if self.process.is_some() || Clock.now() < self.started + RESTART_AFTER {
            return false;
        }
        match self.spawn(epoll) {
            Ok(()) => true,
            Err(e) => {
                self.error = Some(e);
                false
            }
        }
    }

    /// To be called *before* the addresses are put on.
    pub(super) fn own(&mut self, device: Device<'_>, vips: &[VirtualAddress]) {
        self.tell("own", device, vips);
    }

    /// To be called *after* the addresses have been taken off.
    pub(super) fn disown(&mut self, device: Device<'_>, vips: &[VirtualAddress]) {
        self.tell("disown", device, vips);
    }

    /// We have made an interface, and it is to be removed in the end.
    pub(super) fn made(&mut self, index: u32, name: &str) {
        self.write(&format!("made {index} {name}\n"));
    }

    /// An interface that we made is gone.
    pub(super) fn gone(&mut self, index: u32, name: &str) {
        self.write(&format!("gone {index} {name}\n"));
    }

    fn tell(&mut self, verb: &str, device: Device<'_>, vips: &[VirtualAddress]) {
        let mut line = String::new();
        for vip in vips {
            line.clear();
            let Device { index, name, .. } = device;
            let _ = writeln!(line, "{verb} {index} {name} {} {}", vip.address, vip.prefix);
            self.write(&line);
        }
    }

    /// One write per line: the kernel does not tear so short ones apart.
    fn write(&mut self, line: &str) {
        if let Some((_, pipe)) = &self.process
            && let Err(e) = rustix::io::write(pipe, line.as_bytes())
        {
            self.lost(e.into());
        }
    }

    /// The guard has ended, or does not read.
    pub(super) fn lost(&mut self, error: io::Error) {
        if let Some((mut child, pipe)) = self.process.take() {
            // Killed before it can see the pipe close: this process lives, and keeps its addresses.
            let _ = child.kill();
            drop(pipe);
            let _ = child.wait();
        }
        self.error = Some(error);
    }
}

impl Drop for Guard {
    /// Ends the guard, and waits while it takes off what is left.
    fn drop(&mut self) {
        if let Some((mut child, pipe)) = self.process.take() {
            drop(pipe);
            for _ in 0..1000 {
                if !matches!(child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(StdDuration::from_millis(1));
            }
        }
    }
}

/// What the process that [`LinuxLink::start_guard`](super::LinuxLink::start_guard) starts has to do: it
/// reads from standard input what is ours, waits until the guarded process has ended in whatever way, and
/// takes off what is left. Then it returns.
///
/// It ignores the signals that end a service (SIGHUP, SIGINT, SIGQUIT, SIGTERM, and SIGABRT, which a watchdog
/// sends): it ends with the process that it guards. Call it from a program's `main`, not from a process that has
/// something else to do. Needs `CAP_NET_ADMIN`.
pub fn guard() -> io::Result<()> {
    sys::ignore_ending_signals()?;
    let _ = rustix::thread::set_name(c"carp-guard"); // else `exe`, after /proc/self/exe
    keep_capabilities(CapabilitySet::NET_ADMIN)?;
    let tags = owner::kernel_has_address_tags();
    let mut netlink = Netlink::open()?; // now, while it can be had
    let mut owned = Owned::default();
    for line in io::stdin().lock().lines() {
        owned.note(&line?);
    }
    owned.clean_up(&mut netlink, tags)
}

/// What the guard knows, by the index of the interface.
#[derive(Debug, Default, PartialEq)]
struct Owned(BTreeMap<u32, Known>);

/// An interface with something of ours.
#[derive(Debug, Default, PartialEq)]
struct Known {
    name: String,
    /// We made it.
    made: bool,
    vips: Vec<VirtualAddress>,
}

impl Owned {
    /// A line of [`Guard::write`].
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let [verb, index, name, ref vip @ ..] = words[..] else {
            return;
        };
        let Ok(index) = index.parse() else { return };
        if verb == "gone" {
            self.0.remove(&index);
            return;
        }
        let known = self.0.entry(index).or_default();
        if known.name != name {
            // The index belongs to another interface by now.
            *known = Known {
                name: name.to_owned(),
                ..Known::default()
            };
        }
        known.made |= verb == "made";
        let &[address, prefix] = vip else { return };
        let (Ok(address), Some(prefix)) = (address.parse::<IpAddr>(), parse_prefix(prefix)) else {
            return;
        };
        known.vips.retain(|vip| vip.address != address);
        if verb == "own" {
            known.vips.push(VirtualAddress { address, prefix });
        }
    }

    /// Takes off what is tagged as ours, then removes the interfaces that we made, which takes longer. What
    /// somebody else has put there instead, and an interface that is gone by now, are none of the guard's
    /// business.
    fn clean_up(&self, netlink: &mut Netlink, tags: bool) -> io::Result<()> {
        let result = self.take_off(netlink, tags).map_err(io::Error::other);
        let mut made = Vec::new();
        for (&index, known) in self.0.iter().filter(|(_, known)| known.made) {
            let found = netlink.interface(&known.name).ok().flatten();
            if found.is_some_and(|found| found.index == index && leftovers::is_made_by_us(&found)) {
                made.push(index);
            }
        }
        result.and(netlink.remove_links(&made))
    }

    fn take_off(&self, netlink: &mut Netlink, tags: bool) -> Result<(), OwnershipError> {
        let mut result = Ok(());
        for (&index, Known { name, vips, made }) in self.0.iter().filter(|(_, known)| !known.vips.is_empty())
        {
            let device = Device {
                index,
                name,
                tags,
                below: made.then_some(0),
            };
            let mut attempt = || match owner::take_off(netlink, device, vips) {
                Err(OwnershipError::Foreign { .. }) => Ok(()),
                result => result,
            };
            let mut one = attempt();
            for _ in 1..ATTEMPTS {
                if one.is_ok() {
                    break;
                }
                thread::sleep(PAUSE);
                one = attempt();
            }
            result = result.and(one);
        }
        result
    }
}

/// The reverse of [`Prefix`]'s `Display`.
fn parse_prefix(word: &str) -> Option<Prefix> {
    match word {
        "interface" => Some(Prefix::Interface),
        "host" => Some(Prefix::Host),
        bits => bits.parse().ok().map(Prefix::Length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_forgotten() {
        let mut owned = Owned::default();
        for line in [
            "own 3 eth0 10.0.0.1 interface",
            "own 3 eth0 2001:db8::1 host",
            "own 3 eth0 2001:db8::1 64",
            "own 4 eth1 10.0.0.1 24",
            "disown 4 eth1 10.0.0.1 24",
            "disown 3 eth0 10.0.0.9 host",
            "own 3 eth0 10.0.0",
            "own 3 eth0 10.0.0.2",
            "made 5 carp7-eth0",
            "own 5 carp7-eth0 10.0.0.1 24",
            "made 6 carp8-eth0",
            "gone 6 carp8-eth0",
            "made 7 carp9-eth0",
            "own 7 wan 10.0.0.1 24",
            "",
        ] {
            owned.note(line);
        }
        let vip = |address: &str, prefix| VirtualAddress {
            address: address.parse().unwrap(),
            prefix,
        };
        let left = vec![
            vip("10.0.0.1", Prefix::Interface),
            vip("2001:db8::1", Prefix::Length(64)),
        ];
        let known = |name: &str, made, vips| Known {
            name: name.to_owned(),
            made,
            vips,
        };
        assert_eq!(owned.0[&3], known("eth0", false, left));
        assert_eq!(owned.0[&4], known("eth1", false, vec![]));
        let one = vec![vip("10.0.0.1", Prefix::Length(24))];
        assert_eq!(owned.0[&5], known("carp7-eth0", true, one.clone()));
        assert!(!owned.0.contains_key(&6));
        assert_eq!(
            owned.0[&7],
            known("wan", false, one),
            "the index is another one's now"
        );
    }

    #[test]
    fn every_prefix_can_be_read_back() {
        for prefix in [Prefix::Interface, Prefix::Host, Prefix::Length(24)] {
            assert_eq!(parse_prefix(&prefix.to_string()), Some(prefix));
        }
        assert_eq!(parse_prefix("256"), None);
    }
}
