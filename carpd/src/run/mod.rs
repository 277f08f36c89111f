//! `carpd run`: a host of `carp-std`, its log, its control socket and its signals, in one loop.

mod bad_packets;
mod carry_out;
mod claims;
mod commands;
mod demotion;
mod errands;
mod events;
mod groups;
mod hooks;
mod hosts;
mod late;
mod neighbours;
mod notify;
mod privileges;
mod report;
mod sysctl;

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use carp_fsm::{HostId, Instant, Policy, State};
use carp_std::Host;
use carp_std::linux::{Clock, LinuxLink, random_seed};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::config::{Config, MAX_ADDRESSES, Process, Settings, policy_changes};
use crate::control::Server;
use crate::events::What;
use crate::log::{Log, rfc3339, wall_clock};
use crate::maintenance::Store;

use bad_packets::BadPackets;
use claims::Claims;
use commands::Commands;
use errands::{Asker, Done, Errand, Errands, FromFile};
use events::{Journal, millis};
use hooks::Hooks;
use hosts::{Difference, Member};
use late::Late;
use notify::Notify;

/// The host of carpd.
type Carp = Host<LinuxLink, MAX_ADDRESSES>;

/// From this log level on, bad packets are told of.
const LOG_BAD_PACKETS: u8 = 2;

/// A running daemon, its waiting apart.
struct Daemon {
    carp: Carp,
    claims: Claims,
    journal: Journal,
    bad_packets: BadPackets,
    late: Late,
    errands: Errands,
    hooks: Hooks,
    log: Log,
    notify: Notify,
    /// Since when maintenance mode holds.
    maintenance: Option<String>,
    /// What holds for all virtual hosts now.
    settings: Settings,
    /// The same, as the file last had it.
    configured: Settings,
    /// How the election behaves, the settings aside.
    policy: Policy,
    /// Where it listens, and where it stores its state: no reload changes them.
    paths: [(&'static str, PathBuf); 2],
    /// What it has asked of the system, which no reload changes either.
    process: Process,
    stopping: bool,
}

/// Runs until SIGTERM or SIGINT, then hands over and returns. `file` is where the configuration came from, and is
/// read again on SIGHUP and `carpd reload`, as `node`.
///
/// # Errors
///
/// Why it cannot start or go on, or which addresses it could not take off: one line that says what to do.
pub fn run(config: &Config, file: &Path, node: Option<String>) -> Result<(), Box<dyn Error>> {
    privileges::prepare(config.process)?;
    let mut wake = Wake::new()?;
    let terminate = wake.on_signals(&[SIGTERM, SIGINT])?;
    let hangup = wake.on_signals(&[SIGHUP])?;
    let mut carp = Carp::new(LinuxLink::new()?, config.policy, random_seed()?)?;
    let mut journal = Journal::new(Clock.now());
    let store = Store::new(&config.state_directory);
    let maintenance = store.get()?;
    carp.node_mut()
        .set_maintenance(Clock.now(), maintenance.is_some());
    let settings = config.settings;
    privileges::suffice_for(&config.hosts)?;
    // Nothing has been touched by now: another carpd may be at work.
    let server = patiently(|| -> Result<_, Box<dyn Error>> {
        Ok(Server::start(&config.control_socket, wake.waker()?)?)
    })?;
    let mut claims = Claims::default();
    patiently(|| hosts::claim(&mut claims, &config.hosts))?;
    let wanted = hosts::wanted(&mut carp, &mut journal.groups, &config.hosts, settings)?;
    hosts::apply(&mut carp, &mut journal, wanted, Clock.now());
    hosts::insert_waiting(&mut carp, &mut journal, settings.allow, Clock.now())?;
    start_guard(carp.link_mut()).map_err(|error| format!("cannot start the guard process: {error}"))?;
    let mut daemon = Daemon {
        carp,
        claims,
        journal,
        bad_packets: BadPackets::new(Clock.now()),
        late: Late::default(),
        errands: Errands::new(file, node, store, wake.waker()?),
        hooks: Hooks::start(&config.hooks, wake.waker()?)?,
        log: Log::start(io::stdout())?,
        notify: Notify::from_environment(Clock.now())
            .map_err(|error| format!("cannot use NOTIFY_SOCKET: {error}"))?,
        maintenance,
        settings,
        configured: settings,
        policy: config.policy,
        paths: paths(config),
        process: config.process,
        stopping: false,
    };
    daemon.log.set_format(config.log_format);
    sysctl::adopt(&mut daemon, settings, Clock.now())?;
    daemon.carp.process(Clock.now())?;
    daemon.journal.start(&daemon.carp, config, &mut daemon.log);
    if let Some(since) = &daemon.maintenance {
        daemon.log.line(&format!(
            "carpd: in maintenance since {since}; carpd maintenance leave ends it"
        ));
    }
    daemon.notify.ready();

    let mut commands = Commands::default();
    loop {
        let now = Clock.now();
        daemon.carp.process(now)?;
        daemon.tell(&mut commands, now);
        commands.finish(&daemon, now);
        if daemon.insert_waiting(now) {
            continue;
        }
        if let Some(job) = server.next_job() {
            commands.begin(job, &mut daemon, Clock.now());
            continue;
        }
        if let Some(done) = daemon.errands.next() {
            daemon.finish(done, &mut commands, Clock.now());
            continue;
        }
        if daemon.stopping && daemon.carp.node().is_quiet() {
            break;
        }
        let deadlines = [
            commands.deadline(),
            daemon.notify.alive(now),
            daemon.bad_packets.deadline(),
        ];
        wake.wait(&daemon.carp, deadlines.into_iter().flatten().min())?;
        if hangup.swap(false, Ordering::Relaxed) && !daemon.stopping {
            daemon.errands.ask(Errand::Reload(Asker::Signal));
        }
        if terminate.swap(false, Ordering::Relaxed) && !daemon.stopping {
            daemon.stop();
        }
    }
    drop(server);
    let left_behind = daemon.journal.left_behind(&daemon.carp);
    let Daemon {
        hooks,
        mut log,
        mut notify,
        ..
    } = daemon;
    let alive = |now| {
        notify.alive(now);
    };
    hooks.finish(alive, |complaint| log.line(complaint));
    if left_behind > 0 {
        return Err("stopped, but could not take off all addresses; the log says which and why".into());
    }
    log.line("carpd: stopped");
    Ok(())
}

impl Daemon {
    /// Tells what has happened to everybody who wants to know.
    fn tell(&mut self, commands: &mut Commands, now: Instant) {
        while let Some(event) = self.carp.poll_event() {
            commands.note(&event);
            self.journal.write(&self.carp, now, event, &mut self.log);
        }
        self.journal.write_errors(&self.carp, &mut self.log);
        let is_wanted = self.settings.log >= LOG_BAD_PACKETS;
        if let Some(line) = self.bad_packets.look(&mut self.carp, is_wanted, now) {
            self.log.line(&line);
        }
        if let Some(late) = self.late.look(self.carp.lateness(), now) {
            let by_ms = millis(late);
            let line = format!("carpd: {by_ms} ms late: this machine is overloaded, or was paused");
            self.journal
                .record(now, now, line, What::Late { by_ms }, &mut self.log);
        }
        self.journal.forget_removed(&self.carp);
        self.hooks.tell(self.journal.records());
        while let Some(complaint) = self.hooks.complaint() {
            self.log.line(&complaint);
        }
    }

    /// Adds what had to wait. Returns whether there was anything.
    fn insert_waiting(&mut self, now: Instant) -> bool {
        if self.stopping {
            return false;
        }
        let allow = self.settings.allow;
        hosts::insert_waiting(&mut self.carp, &mut self.journal, allow, now).unwrap_or_else(|error| {
            self.log.line(&format!("carpd: {error}"));
            false
        })
    }

    /// Goes on with what needed the disk.
    fn finish(&mut self, done: Done, commands: &mut Commands, now: Instant) {
        match done {
            Done::Read(asker, read) => {
                let difference = self.reload(read, now);
                if let Asker::Client(job) = asker {
                    commands.reloaded(job, difference, now);
                }
            }
            Done::Stored(job, maintenance, stored) => {
                if let Err(why) = &stored {
                    self.log.line(&format!("carpd: {why}")); // who has asked may have given up
                }
                let stored = stored.map(|()| self.maintain(maintenance, now));
                commands.maintained(job, maintenance, stored, now);
            }
        }
    }

    /// Enters or leaves maintenance mode, which is stored by now. Returns the virtual hosts as they were.
    fn maintain(&mut self, maintenance: bool, now: Instant) -> Vec<(HostId, String, State)> {
        let state = |member: &Member| {
            let state = self.carp.node().state(member.id);
            (member.id, member.host.name(), state.unwrap_or(State::Init))
        };
        let before = self.journal.members.iter().map(state).collect();
        self.maintenance = maintenance.then(|| rfc3339(wall_clock()));
        self.carp.node_mut().set_maintenance(now, maintenance);
        let line = if maintenance { "entered" } else { "left" };
        let line = format!("carpd: maintenance {line}");
        let what = What::Maintenance { entered: maintenance };
        self.journal.record(now, now, line, what, &mut self.log);
        before
    }

    /// Applies a configuration that has been read, or tells why not: then nothing has changed.
    fn reload(&mut self, read: FromFile, now: Instant) -> Result<Difference, String> {
        self.notify.reloading();
        let applied = read.and_then(|(config, warnings)| {
            for (place, words) in &warnings {
                self.log.line(&format!("carpd: {place}: {words}"));
            }
            let mut difference = self.apply(&config, now)?;
            let warnings = warnings.into_iter();
            let warnings = warnings.map(|(place, words)| hosts::outcome(place, words));
            difference.outcomes.splice(..0, warnings);
            Ok(difference)
        });
        let text = match &applied {
            Ok(difference) => format!("reload: {difference}"),
            Err(why) => {
                for line in why.lines() {
                    self.log.line(&format!("carpd: {line}"));
                }
                "reload refused, nothing has changed".to_owned()
            }
        };
        let done = applied.is_ok();
        let line = format!("carpd: {text}");
        self.journal
            .record(now, now, line, What::Reload { done }, &mut self.log);
        self.notify.ready();
        applied.map_err(|why| format!("{}\nnothing has changed", why.trim_end()))
    }

    fn apply(&mut self, config: &Config, now: Instant) -> Result<Difference, String> {
        if self.stopping {
            return Err("carpd is stopping".into());
        }
        let changed = self.paths.iter().zip(paths(config));
        if let Some(((key, path), _)) = changed.into_iter().find(|(old, new)| *old != new) {
            return Err(format!(
                "{key} is {} until carpd is restarted; write that, or restart carpd",
                path.display()
            ));
        }
        if config.process != self.process {
            return Err(
                "realtime_priority and lock_memory cannot change while carpd runs; restart it".to_owned(),
            );
        }
        let (settings, changed) = sysctl::merge(self.settings, self.configured, config.settings);
        privileges::suffice_for(&config.hosts)?;
        hosts::claim(&mut self.claims, &config.hosts)?;
        let groups = &mut self.journal.groups;
        let wanted = hosts::wanted(&mut self.carp, groups, &config.hosts, settings);
        let wanted = wanted.map_err(|error| error.to_string())?;
        let policy = policy_changes(&self.policy, &config.policy);
        self.policy = config.policy;
        self.configured = config.settings;
        let others = [
            ("hooks", self.hooks.set(&config.hooks)),
            ("log_format", self.log.set_format(config.log_format)),
        ];
        let mut difference = hosts::apply(&mut self.carp, &mut self.journal, wanted, now);
        sysctl::adopt(self, settings, now)?;
        let others = others.into_iter().filter_map(|(key, text)| Some((key, text?)));
        let others = policy.into_iter().chain(others);
        let others = others.map(|(key, text)| (key.to_owned(), text));
        let changed: Vec<_> = changed.into_iter().chain(others).collect();
        difference.set = changed.len();
        let changed = changed.into_iter();
        let changed = changed.map(|(key, text)| hosts::outcome(key, text));
        difference.outcomes.extend(changed);
        Ok(difference)
    }

    /// Begins to hand everything over.
    fn stop(&mut self) {
        self.stopping = true;
        self.log.line("carpd: handing over, then stopping");
        self.notify.stopping();
        self.carp.node_mut().shutdown(Clock.now());
    }
}

/// Tries for a quarter of a second: one who has just been killed holds its sockets for some milliseconds more.
fn patiently<T, E>(mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for _ in 0..5 {
        if let Ok(done) = attempt() {
            return Ok(done);
        }
        thread::sleep(Duration::from_millis(50));
    }
    attempt()
}

fn paths(config: &Config) -> [(&'static str, PathBuf); 2] {
    [
        ("control_socket", config.control_socket.clone()),
        ("state_directory", config.state_directory.clone()),
    ]
}

/// The guard is this program again, even if its file has been replaced by now.
fn start_guard(link: &mut LinuxLink) -> io::Result<()> {
    let mut command = process::Command::new("/proc/self/exe");
    command.arg0("carpd").arg("guard").env_clear();
    link.start_guard(command)
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
        let rang = !sources[1].revents().is_empty();
        while rang && self.bell.read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
        Ok(())
    }
}
