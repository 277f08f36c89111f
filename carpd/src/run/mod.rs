//! `carpd run`: a host of `carp-std`, its log, its control socket and its signals, in one loop.

mod commands;
mod demotion;
mod events;
mod notify;
mod report;

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carp_fsm::{GroupId, HostConfig, HostId, Instant, Policy};
use carp_proto::AddressSet;
use carp_std::linux::{Clock, LinuxLink, random_seed};
use carp_std::{Host, Prefix};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::config::{Config, MAX_ADDRESSES, VirtualHost};
use crate::control::Server;
use crate::log::Log;

use commands::Commands;
use events::Journal;
use notify::Notify;

/// The host of carpd.
type Carp = Host<LinuxLink, MAX_ADDRESSES>;

/// The group in which all virtual hosts of carpd are.
const GROUP: GroupId = GroupId(0);

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
    let mut notify = Notify::from_environment(Clock.now())
        .map_err(|error| format!("cannot use NOTIFY_SOCKET: {error}"))?;
    host.process(Clock.now())?;
    journal.start(&host, config, &mut log);
    notify.ready();

    let mut commands = Commands::default();
    let mut stopping = false;
    loop {
        let now = Clock.now();
        host.process(now)?;
        while let Some(event) = host.poll_event() {
            commands.note(&event);
            journal.write(&host, now, event, &mut log);
        }
        journal.write_errors(&host, &mut log);
        commands.finish(&host, &journal, now);
        if let Some(job) = server.next_job() {
            commands.begin(job, &mut host, &mut journal, stopping, Clock.now());
            continue;
        }
        if stopping && host.node().is_quiet() {
            break;
        }
        let deadlines = [commands.deadline(), notify.alive(now)];
        wake.wait(&host, deadlines.into_iter().flatten().min())?;
        if hangup.swap(false, Ordering::Relaxed) {
            log.line("carpd: SIGHUP: the configuration is read at the start; restart carpd to change it");
        }
        if terminate.swap(false, Ordering::Relaxed) && !stopping {
            stopping = true;
            log.line("carpd: handing over, then stopping");
            notify.stopping();
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

    /// Sleeps until the host or somebody else has something to do, or `until`.
    fn wait(&mut self, host: &impl AsFd, until: Option<Instant>) -> io::Result<()> {
        let timeout = until.and_then(|until| {
            let left = Duration::from_micros((until - Clock.now()).as_micros());
            Timespec::try_from(left).ok()
        });
        let mut sources = [
            PollFd::new(host, PollFlags::IN),
            PollFd::new(&self.bell, PollFlags::IN),
        ];
        match poll(&mut sources, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while self.bell.read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
        Ok(())
    }
}
