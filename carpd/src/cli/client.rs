//! The commands that ask a running carpd, on Linux.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::operate::{Causes, ChangeDemotion, ChangeMaintenance, ForcedState, Operate, Selected, Which};
use super::{FAILED, NO_ANSWER, StatusForm, complain, print};
use crate::control::{ALL, AskError, Command, Forced, Outcome, ask_events, ask_status, ask_to};
use crate::events::Record;
use crate::status::Status;

/// How often `status --watch` and `events --follow` ask.
const PERIOD: Duration = Duration::from_millis(500);
/// What clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) fn status(socket: &Path, form: StatusForm, watch: bool) -> ExitCode {
    if watch {
        return watch_status(socket, form);
    }
    with_status(socket, |status| match print(&render(status, form)) {
        ExitCode::SUCCESS => ExitCode::from(status.health() as u8),
        failed => failed,
    })
}

/// Shows the status whenever it has changed, until nobody reads it any more.
fn watch_status(socket: &Path, form: StatusForm) -> ExitCode {
    let is_terminal = io::stdout().is_terminal();
    let mut shown = String::new();
    loop {
        let now = match ask_status(socket) {
            Ok(status) => render(&status, form),
            Err(error) => format!("{}: {error}\n", socket.display()),
        };
        if now != shown {
            let before = match (is_terminal, shown.is_empty()) {
                (true, _) => CLEAR,
                (false, true) => "",
                (false, false) => "\n",
            };
            if write(&format!("{before}{now}")).is_err() {
                return ExitCode::SUCCESS;
            }
            shown = now;
        }
        thread::sleep(PERIOD);
    }
}

fn render(status: &Status, form: StatusForm) -> String {
    match form {
        StatusForm::Table => status.table(),
        StatusForm::Short => status.short(),
        StatusForm::Verdict => status.verdict() + "\n",
        StatusForm::Json => {
            serde_json::to_string_pretty(status).map_or_else(|error| error.to_string(), |json| json + "\n")
        }
    }
}

pub(super) fn ifconfig(socket: &Path) -> ExitCode {
    with_status(socket, |status| print(&status.ifconfig()))
}

impl Operate {
    /// Does it, and tells what became of it.
    pub(super) fn run(self) -> ExitCode {
        match self {
            Self::Reload { socket } => command(&socket.socket, &Command::Reload {}),
            Self::TestFailover(test) => test.run(),
            Self::Maintenance { change: None, socket } => with_status(&socket.socket, |status| {
                let since = status.maintenance.as_ref();
                print(&since.map_or("not in maintenance\n".into(), |since| {
                    format!("in maintenance since {since}\n")
                }))
            }),
            Self::Maintenance {
                change: Some(change), ..
            } => {
                let (enter, ChangeMaintenance::Enter(how) | ChangeMaintenance::Leave(how)) =
                    (matches!(change, ChangeMaintenance::Enter(_)), change);
                let wait = !how.no_wait;
                command(&how.socket.socket, &Command::Maintenance { enter, wait })
            }
            Self::Sysctl { setting, socket } => sysctl(&socket.socket, setting.as_deref()),
            Self::Disable(Selected { which, socket }) => {
                let target = which.target();
                command(&socket.socket, &Command::Disable { target })
            }
            Self::Enable(Selected { which, socket }) => {
                let target = which.target();
                command(&socket.socket, &Command::Enable { target })
            }
            Self::Handover(Selected { which, socket }) => {
                let target = which.target();
                command(&socket.socket, &Command::Handover { target })
            }
            Self::State {
                virtual_host: target,
                state,
                socket,
            } => {
                let state = match state {
                    ForcedState::Master => Forced::Master,
                    ForcedState::Backup => Forced::Backup,
                };
                command(&socket.socket, &Command::State { target, state })
            }
            Self::Ready { socket } => command(&socket.socket, &Command::Ready {}),
            Self::Demotion { change: None, socket } => {
                with_status(&socket.socket, |status| print(&status.demotion_table()))
            }
            Self::Demotion {
                change: Some(change), ..
            } => change.run(),
            Self::Events { json, follow, socket } => events(&socket.socket, json, follow),
            Self::Netstat { socket } => with_status(&socket.socket, |status| print(&status.netstat())),
        }
    }
}

impl ChangeDemotion {
    fn run(self) -> ExitCode {
        match self {
            Self::Add {
                cause,
                weight,
                group,
                socket,
            } => command(&socket.socket, &Command::Demote { cause, weight, group }),
            Self::Clear {
                which: Causes {
                    cause: Some(cause), ..
                },
                group,
                socket,
                ..
            } => command(&socket.socket, &Command::Clear { cause, group }),
            Self::Clear { force, socket, .. } => command(&socket.socket, &Command::ClearAll { force }),
        }
    }
}

impl Which {
    fn target(self) -> String {
        self.virtual_host.unwrap_or_else(|| ALL.to_owned())
    }
}

/// Has something done, and tells what became of it.
fn command(socket: &Path, command: &Command) -> ExitCode {
    let report = match ask_to(socket, command) {
        Ok(report) => report,
        Err(error) => return fail(socket, &error),
    };
    let mut text = String::new();
    for Outcome {
        subject, text: what, ..
    } in &report.outcomes
    {
        let _ = writeln!(text, "{subject}: {what}");
    }
    match print(&text) {
        ExitCode::SUCCESS if report.outcomes.iter().any(|outcome| !outcome.done) => ExitCode::from(FAILED),
        printed => printed,
    }
}

fn sysctl(socket: &Path, setting: Option<&str>) -> ExitCode {
    if let Some((key, value)) = setting.and_then(|setting| setting.split_once('=')) {
        let (key, value) = (key.to_owned(), value.to_owned());
        return command(socket, &Command::Set { key, value });
    }
    with_status(socket, |status| match status.sysctl(setting) {
        Ok(lines) => print(&lines),
        Err(why) => {
            complain(why);
            ExitCode::from(FAILED)
        }
    })
}

fn events(socket: &Path, json: bool, follow: bool) -> ExitCode {
    let (mut after, mut started) = (0, String::new());
    loop {
        let events = match ask_events(socket, after) {
            Ok(events) => events,
            Err(error) => return fail(socket, &error),
        };
        if after > 0 && events.started != started {
            after = 0; // another carpd counts anew
            continue;
        }
        let mut text = String::new();
        for record in &events.events {
            after = record.number;
            let Record { time, text: line, .. } = record;
            let _ = if json {
                writeln!(text, "{}", serde_json::to_string(record).unwrap_or_default())
            } else {
                writeln!(text, "{time} {line}")
            };
        }
        if !follow {
            return print(&text);
        }
        if write(&text).is_err() {
            return ExitCode::SUCCESS;
        }
        started = events.started;
        thread::sleep(PERIOD);
    }
}

fn with_status(socket: &Path, show: impl Fn(&Status) -> ExitCode) -> ExitCode {
    match ask_status(socket) {
        Ok(status) => show(&status),
        Err(error) => {
            complain(format_args!("{}: {error}", socket.display()));
            ExitCode::from(NO_ANSWER)
        }
    }
}

/// Tells why there is no outcome. A refusal has changed nothing; without an answer, or before it is done, nothing is
/// known.
fn fail(socket: &Path, error: &AskError) -> ExitCode {
    if let AskError::Refused(why) = error {
        complain(why);
        return ExitCode::from(FAILED);
    }
    complain(format_args!("{}: {error}", socket.display()));
    ExitCode::from(NO_ANSWER)
}

/// Writes and flushes.
fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}
