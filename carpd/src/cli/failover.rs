//! `carpd test-failover`: the manual test of a fail-over as one command, over the control sockets.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration as StdDuration;

use carp_fsm::Instant;
use carp_std::linux::Clock;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::operate::TestFailover;
use super::{FAILED, NO_ANSWER, complain, print};
use crate::control::{ALL, AskError, Command, Report, ask_status, ask_to};
use crate::status::{Health, HostStatus, State, Status};

/// How long a state may take that should be there already.
const PATIENCE: StdDuration = StdDuration::from_secs(5);
/// Nobody serves anything there: a machine that is up refuses the connection at once.
const DISCARD: u16 = 9;

/// How a step ended: what to say about it.
type Step = Result<String, Failed>;

/// Why a test cannot go on.
enum Failed {
    /// Something is not as it should be.
    Wrong(String),
    /// Nothing is known.
    NoAnswer(String),
}

impl TestFailover {
    /// Runs the test, and leaves maintenance mode again whatever happens.
    pub(super) fn run(self) -> ExitCode {
        let interrupted = Arc::new(AtomicBool::new(false));
        // SIGHUP is what remains of an SSH connection through the virtual address that moves.
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&interrupted)) {
                complain(format_args!("cannot catch signals: {error}"));
                return ExitCode::from(FAILED);
            }
        }
        let mut test = Test {
            own: self.socket.socket,
            peer: self.peer,
            port: self.port,
            names: Vec::new(),
            interrupted,
            number: 0,
        };
        let ended = test.run();
        let (verdict, code) = match ended {
            Ok(text) => (format!("PASS: {text}\n"), ExitCode::SUCCESS),
            Err(Failed::Wrong(why)) => (format!("FAIL: {why}\n"), ExitCode::from(FAILED)),
            Err(Failed::NoAnswer(why)) => (format!("FAIL: {why}\n"), ExitCode::from(NO_ANSWER)),
        };
        match print(&verdict) {
            ExitCode::SUCCESS => code,
            failed => failed,
        }
    }
}

struct Test {
    own: PathBuf,
    peer: Option<PathBuf>,
    port: Option<u16>,
    /// The virtual hosts, as in the status.
    names: Vec<String>,
    interrupted: Arc<AtomicBool>,
    /// Of the step.
    number: u8,
}

impl Test {
    fn run(&mut self) -> Step {
        let before = self.step("everything is MASTER here, and nothing is wrong", Self::is_ready)?;
        let entered = Clock.now();
        let moved = self.away();
        // As it was, also after a failure or an interruption.
        let back = self.back();
        moved?;
        back?;
        let gone = seconds(entered);
        Ok(format!("{before}: over to the other machine and back in {gone}"))
    }

    /// Everything is moved to the other machine.
    fn away(&mut self) -> Result<(), Failed> {
        let report = self.step("maintenance mode is entered here", |test| {
            test.command(&Command::Maintenance {
                enter: true,
                wait: true,
            })
        })?;
        self.step("everything is BACKUP here", |test| {
            test.wait_for(State::Backup, false)?;
            Ok(report
                .lines()
                .filter(|line| line.contains("handed over"))
                .collect::<Vec<_>>()
                .join("\n"))
        })?;
        self.step("everything is MASTER on the other machine", Self::is_moved)?;
        self.step("the virtual addresses answer", Self::answers)?;
        Ok(())
    }

    fn back(&mut self) -> Result<(), Failed> {
        self.number = 5;
        self.step("maintenance mode is left here", |test| {
            test.command(&Command::Maintenance {
                enter: false,
                wait: true,
            })?;
            Ok(String::new())
        })?;
        self.step("everything is MASTER here again", Self::is_back)?;
        Ok(())
    }

    /// Runs one step, and prints how it went.
    fn step(&mut self, what: &str, run: impl FnOnce(&mut Self) -> Step) -> Step {
        self.number += 1;
        let began = Clock.now();
        let result = if self.interrupted.load(Ordering::Relaxed) && self.number < 6 {
            Err(Failed::Wrong("interrupted".to_owned()))
        } else {
            run(self)
        };
        let (verdict, detail) = match &result {
            Ok(detail) => ("PASS", detail.clone()),
            Err(Failed::Wrong(why) | Failed::NoAnswer(why)) => ("FAIL", why.clone()),
        };
        let mut text = format!("{}. {what:<50} {verdict}  {}\n", self.number, seconds(began));
        for line in detail.lines() {
            let _ = writeln!(text, "   {line}");
        }
        // Where nobody reads any more, the test goes on, and so does the way back.
        let _ = print(&text);
        result
    }

    /// Step 1: whether a test can be begun, and would end as it begins.
    fn is_ready(&mut self) -> Step {
        let status = self.status()?;
        let wrong = |why: String| Err(Failed::Wrong(why));
        if let Some(since) = &status.maintenance {
            return wrong(format!(
                "in maintenance since {since}; end that with carpd maintenance leave"
            ));
        }
        if status.health() != Health::Healthy {
            return wrong(format!("{}; mend that first", status.verdict()));
        }
        if let Some(host) = status
            .virtual_hosts
            .iter()
            .find(|host| host.state != State::Master)
        {
            let advice = "run the test where everything is MASTER";
            return wrong(format!("{} is {} here; {advice}", host.name, host.state));
        }
        if let Some(host) = status.virtual_hosts.iter().find(|host| !host.preempt)
            && self.peer.is_none()
        {
            return wrong(format!(
                "{} does not preempt, and would not come back by itself; write preempt = true, or name the control \
                 socket of the other machine with --peer",
                host.name
            ));
        }
        if let Some(peer) = &self.peer {
            let status = ask_status(peer).map_err(|error| failed(peer, &error))?;
            if let Some(host) = status
                .virtual_hosts
                .iter()
                .find(|host| host.state != State::Backup)
            {
                return wrong(format!("{} is {} on the other machine", host.name, host.state));
            }
            if status.health() != Health::Healthy {
                return wrong(format!(
                    "the other machine is {}; mend that first",
                    status.verdict()
                ));
            }
        }
        self.names = status
            .virtual_hosts
            .iter()
            .map(|host| host.name.clone())
            .collect();
        Ok(self.names.join(", "))
    }

    /// Step 4, asked there or heard from there.
    fn is_moved(&mut self) -> Step {
        let end = Clock.now() + patience();
        loop {
            let open = if let Some(peer) = &self.peer {
                let status = ask_status(peer).map_err(|error| failed(peer, &error))?;
                not_in(&status, State::Master)
            } else {
                let status = self.status()?;
                let silent = |host: &&HostStatus| {
                    let peer = host.last_peer.as_ref();
                    peer.is_none_or(|peer| peer.age_ms > 2000 + 1000 * u64::from(peer.advbase))
                };
                let silent = status.virtual_hosts.iter().find(silent);
                silent.map(|host| format!("no master of {} is heard", host.name))
            };
            match open {
                None => return self.masters(),
                Some(why) if Clock.now() >= end => return Err(Failed::Wrong(why)),
                Some(_) => pause(),
            }
        }
    }

    /// Who has it, as heard here.
    fn masters(&self) -> Step {
        let mut text = String::new();
        for host in &self.status()?.virtual_hosts {
            if let Some(peer) = &host.last_peer {
                let _ = writeln!(text, "{}: {} is MASTER", host.name, peer.address);
            }
        }
        Ok(text)
    }

    /// Step 5.
    fn answers(&mut self) -> Step {
        let mut text = String::new();
        for host in &self.status()?.virtual_hosts {
            for address in &host.addresses {
                let ip = address.split('/').next().unwrap_or(address);
                let Some(ip) = ip.parse::<IpAddr>().ok().filter(has_global_scope) else {
                    let _ = writeln!(text, "{address}: left out, it needs an interface");
                    continue;
                };
                let took = connect(ip, self.port).map_err(Failed::Wrong)?;
                let _ = writeln!(text, "{ip}: answers in {took}");
            }
        }
        Ok(text)
    }

    /// Step 7. Who does not preempt is given it back by the other machine.
    fn is_back(&mut self) -> Step {
        if let Some(peer) = &self.peer
            && not_in(&self.status()?, State::Master).is_some()
        {
            let target = ALL.to_owned();
            // Nothing may be MASTER there any more by now; what counts is what follows.
            let _ = ask_to(peer, &Command::Handover { target });
        }
        self.wait_for(State::Master, true)?;
        Ok(String::new())
    }

    fn wait_for(&self, state: State, owner: bool) -> Result<(), Failed> {
        let end = Clock.now() + patience();
        loop {
            let status = self.status()?;
            let misplaced = status.virtual_hosts.iter().find(|host| host.owner != owner);
            let open = not_in(&status, state).or_else(|| {
                misplaced.map(|host| format!("the addresses of {} are not where they belong", host.name))
            });
            match open {
                None => return Ok(()),
                Some(why) if Clock.now() >= end => return Err(Failed::Wrong(why)),
                Some(_) => pause(),
            }
        }
    }

    fn status(&self) -> Result<Status, Failed> {
        ask_status(&self.own).map_err(|error| failed(&self.own, &error))
    }

    fn command(&self, command: &Command) -> Step {
        let Report { outcomes, .. } =
            ask_to(&self.own, command).map_err(|error| failed(&self.own, &error))?;
        let lines: Vec<_> = outcomes
            .iter()
            .map(|outcome| format!("{}: {}", outcome.subject, outcome.text))
            .collect();
        match outcomes.iter().position(|outcome| !outcome.done) {
            Some(place) => Err(Failed::Wrong(lines[place].clone())),
            None => Ok(lines.join("\n")),
        }
    }
}

/// The first virtual host that is in another state, in words.
fn not_in(status: &Status, state: State) -> Option<String> {
    let other = status.virtual_hosts.iter().find(|host| host.state != state)?;
    Some(format!("{} is {}", other.name, other.state))
}

fn has_global_scope(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    }
}

/// Connects to a service, which must accept; without a port, a refusal is an answer, too.
fn connect(ip: IpAddr, port: Option<u16>) -> Result<String, String> {
    let address = SocketAddr::new(ip, port.unwrap_or(DISCARD));
    let began = Clock.now();
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => Ok(seconds(began)),
        Err(error) if port.is_none() && error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok(seconds(began))
        }
        Err(error) => {
            let advice = match port {
                Some(_) => "look at the service on the other machine",
                None => "a firewall may be in the way; name the --port of a service",
            };
            Err(format!("{address} does not answer ({error}); {advice}"))
        }
    }
}

fn failed(socket: &std::path::Path, error: &AskError) -> Failed {
    match error {
        AskError::Refused(why) => Failed::Wrong(why.clone()),
        error => Failed::NoAnswer(format!("{}: {error}", socket.display())),
    }
}

fn patience() -> carp_fsm::Duration {
    carp_fsm::Duration::from_millis(u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX))
}

fn pause() {
    thread::sleep(StdDuration::from_millis(20));
}

/// The time since, `1.234 s`.
fn seconds(since: Instant) -> String {
    let millis = (Clock.now() - since).as_micros() / 1000;
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}
