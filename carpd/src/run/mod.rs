//! `carpd run`: a host of `carp-std`, its log, its control socket and its signals, in one loop.

mod events;
mod report;

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use carp_fsm::{HostConfig, HostId, Policy};
use carp_proto::AddressSet;
use carp_std::linux::{Clock, LinuxLink, random_seed};
use carp_std::{Host, Prefix};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::config::{Config, MAX_ADDRESSES, VirtualHost};
use crate::control::{Command, Server};
use crate::log::Log;

use events::Journal;

/// The host of carpd.
type Carp = Host<LinuxLink, MAX_ADDRESSES>;

/// Runs until SIGTERM or SIGINT, then hands over and returns.
///
/// # Errors
///
/// Why it cannot start or go on, or which addresses it could not take off: one line that says what to do.
pub fn run(config: &Config) -> Result<(), Box<dyn Error>> {
    let mut wake = Wake::new()?;
    let terminate = wake.on_signals(&[SIGTERM, SIGINT])?;
    let hangup = wake.on_signals(&[SIGHUP])?;
    let mut host = Carp::new(LinuxLink::new()?, Policy::HARDENED, random_seed()?)?;
    let ids = insert_all(&mut host, &config.hosts)?;
    let server = Server::start(&config.control_socket, wake.waker()?)?;
    start_guard(host.link_mut()).map_err(|error| format!("cannot start the guard process: {error}"))?;
    let mut log = Log::start(io::stdout())?;
    let mut journal = Journal::new(ids.into_iter().zip(&config.hosts).collect(), Clock.now());
    host.process(Clock.now())?;
    journal.start(&host, config, &mut log);

    let mut stopping = false;
    loop {
        host.process(Clock.now())?;
        while let Some(event) = host.poll_event() {
            journal.write(&host, event, &mut log);
        }
        journal.write_errors(&host, &mut log);
        while let Some(job) = server.next_job() {
            let Command::Status = job.command;
            job.answer(&report::status(&host, &journal, Clock.now()));
        }
        if stopping && host.node().is_quiet() {
            break;
        }
        wake.wait(&host)?;
        if hangup.swap(false, Ordering::Relaxed) {
            log.line("carpd: SIGHUP: the configuration is read at the start; restart carpd to change it");
        }
        if terminate.swap(false, Ordering::Relaxed) && !stopping {
            stopping = true;
            log.line("carpd: handing over, then stopping");
            host.node_mut().shutdown(Clock.now());
        }
    }
    if journal.left_behind(&host) > 0 {
        return Err("stopped, but could not take off all addresses; the log says which and why".into());
    }
    log.line("carpd: stopped");
    Ok(())
}

/// The guard is this program again, even if its file has been replaced by now.
fn start_guard(link: &mut LinuxLink) -> io::Result<()> {
    let mut command = process::Command::new("/proc/self/exe");
    command.arg0("carpd").arg("guard").env_clear();
    link.start_guard(command)
}

fn insert_all(host: &mut Carp, virtual_hosts: &[VirtualHost]) -> Result<Vec<HostId>, Box<dyn Error>> {
    let mut ids = Vec::new();
    for virtual_host in virtual_hosts {
        let VirtualHost {
            interface,
            vhid,
            addresses,
            ..
        } = virtual_host;
        let iface = host.link_mut().add_interface(interface)?;
        let mut config = HostConfig::new(iface, *vhid, virtual_host.key.clone());
        config.advbase = virtual_host.advbase;
        config.advskew = virtual_host.advskew;
        config.preempt = virtual_host.preempt;
        config.dialect = virtual_host.dialect;
        config.addresses = AddressSet::try_from_iter(addresses.iter().map(|vip| vip.ip))?;
        let prefix = |ip| {
            let vip = addresses.iter().find(|vip| vip.ip == ip);
            vip.and_then(|vip| vip.prefix)
                .map_or(Prefix::Interface, Prefix::Length)
        };
        let id = host
            .insert(Clock.now(), config, prefix)
            .map_err(|error| format!("vhid {vhid} on {interface}: {error}"))?;
        ids.push(id);
    }
    Ok(ids)
}

/// Ends the loop's sleep for signals and for clients of the control socket: both write a byte.
struct Wake {
    bell: UnixStream,
    rope: UnixStream,
}

impl Wake {
    fn new() -> io::Result<Self> {
        let (bell, rope) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rope.set_nonblocking(true)?; // a bell that rings already need not be rung
        Ok(Self { bell, rope })
    }

    /// A flag that these signals set before they wake the loop.
    fn on_signals(&self, signals: &[i32]) -> io::Result<Arc<AtomicBool>> {
        let flag = Arc::new(AtomicBool::new(false));
        for &signal in signals {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            signal_hook::low_level::pipe::register(signal, self.rope.try_clone()?)?;
        }
        Ok(flag)
    }

    fn waker(&self) -> io::Result<impl Fn() + Send + Sync + 'static> {
        let rope = self.rope.try_clone()?;
        Ok(move || {
            let _ = (&rope).write(&[0]);
        })
    }

    /// Sleeps until the host or somebody else has something to do.
    fn wait(&mut self, host: &impl AsFd) -> io::Result<()> {
        let mut sources = [
            PollFd::new(host, PollFlags::IN),
            PollFd::new(&self.bell, PollFlags::IN),
        ];
        match poll(&mut sources, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while self.bell.read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
        Ok(())
    }
}
