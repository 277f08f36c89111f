//! The control socket: how the operator's commands reach a running daemon.
//!
//! A Unix stream socket. The client writes one request, a line of JSON: `{"schema":1,"command":"status"}`. The
//! daemon answers with one line of JSON: the document that the command asks for,
//! `{"schema":1,"error":"what is wrong"}` (nothing has changed) or `{"schema":1,"unfinished":"where to look"}` (it is
//! being done), and closes. Only root and the user of the daemon are answered.

mod client;
mod server;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use client::{AskError, ask_events, ask_status, ask_to};
pub use server::{Job, Server, StartError};

use crate::events::Events;
use crate::status::{SCHEMA, Status};

/// Longest request in bytes, without its newline.
pub const MAX_REQUEST: usize = 4096;

/// The [`target`](Command::Disable::target) that means every virtual host. No interface has this name: a virtual
/// host is called `eth0@7`.
pub const ALL: &str = "all";

/// What a client can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// The whole [`Status`].
    Status {},
    /// The [`Events`] that the daemon remembers.
    Events {
        /// Only those with a higher number.
        #[serde(default)]
        after: u64,
    },
    /// Read the configuration file again, and apply the difference.
    Reload {},
    /// Change a setting, as `sysctl net.inet.carp.KEY=VALUE` does.
    Set {
        /// Its name, with or without `net.inet.carp.`.
        key: String,
        /// Its new value. That of `demotion` is added to the sum, as on FreeBSD.
        value: String,
    },
    /// Enter or leave maintenance mode.
    Maintenance {
        /// Enter; otherwise leave.
        enter: bool,
        /// Answer when the outcome is known; otherwise when it is stored.
        #[serde(default = "yes")]
        wait: bool,
    },
    /// Take virtual hosts out of the election.
    Disable {
        /// Name of a virtual host, or [`ALL`].
        target: String,
    },
    /// Put them back into it.
    Enable {
        /// Name of a virtual host, or [`ALL`].
        target: String,
    },
    /// Planned hand-over to a backup.
    Handover {
        /// Name of a virtual host, or [`ALL`].
        target: String,
    },
    /// `ifconfig ... state master` and `state backup`.
    State {
        /// Name of a virtual host.
        target: String,
        /// To which state.
        state: Forced,
    },
    /// Enter a cause of demotion, or change its weight.
    Demote {
        /// Its name.
        cause: String,
        /// What it adds to every advskew, from 1.
        weight: u16,
        /// In which group; otherwise in all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
    /// Strike a cause of demotion.
    Clear {
        /// Its name.
        cause: String,
        /// Of which group; otherwise of all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
    /// Services here are up: strike the cause with which carpd started.
    Ready {},
    /// Strike all of them.
    ClearAll {
        /// Also while a fault lasts that carpd itself observes, and that then counts nothing until it ends.
        #[serde(default)]
        force: bool,
    },
}

/// A state that an operator can force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forced {
    /// Take over, whatever the master advertises.
    Master,
    /// Yield.
    Backup,
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// The command is refused; nothing has changed.
    Refusal(Refusal),
    /// The command is accepted, and its outcome is not known yet.
    Unfinished(Unfinished),
    /// To [`Command::Status`].
    Status(Box<Status>),
    /// To [`Command::Events`].
    Events(Events),
    /// To every command that changes something.
    Report(Report),
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What is wrong, and what to do.
    pub error: String,
}

/// Why the outcome of a command is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unfinished {
    /// [`SCHEMA`].
    pub schema: u32,
    /// How long it was waited for, and where to look.
    pub unfinished: String,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// One for each virtual host or cause that was meant.
    pub outcomes: Vec<Outcome>,
}

/// What became of it for one virtual host or cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the virtual host (`eth0@7`) or of the cause; of a warning, the line of the file.
    pub subject: String,
    /// Whether it is as it was asked to be.
    pub done: bool,
    /// In words.
    pub text: String,
}

fn yes() -> bool {
    true
}

impl Answer {
    /// The command is refused.
    pub fn refusal(error: impl Into<String>) -> Self {
        Self::Refusal(Refusal {
            schema: SCHEMA,
            error: error.into(),
        })
    }

    /// The outcome is not known yet.
    pub fn unfinished(why: impl Into<String>) -> Self {
        Self::Unfinished(Unfinished {
            schema: SCHEMA,
            unfinished: why.into(),
        })
    }

    /// What became of a command.
    pub fn report(outcomes: Vec<Outcome>) -> Self {
        Self::Report(Report {
            schema: SCHEMA,
            outcomes,
        })
    }

    fn schema(&self) -> u32 {
        match self {
            Self::Refusal(Refusal { schema, .. })
            | Self::Unfinished(Unfinished { schema, .. })
            | Self::Events(Events { schema, .. })
            | Self::Report(Report { schema, .. }) => *schema,
            Self::Status(status) => status.schema,
        }
    }

    fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

impl Command {
    /// Whether the answer waits for the network or a disk.
    fn is_slow(&self) -> bool {
        !matches!(self, Self::Status {} | Self::Events { .. })
    }

    /// The request as a line.
    fn to_line(&self) -> String {
        let mut request = serde_json::to_value(self).unwrap_or_default();
        request["schema"] = SCHEMA.into();
        request.to_string() + "\n"
    }

    /// Reads a request, without its newline.
    fn from_line(line: &[u8]) -> Result<Self, String> {
        let not_understood = |error| {
            format!("the request is not understood ({error}); write {{\"schema\":1,\"command\":\"status\"}}")
        };
        let mut request: Map<String, Value> = serde_json::from_slice(line).map_err(not_understood)?;
        match request.remove("schema") {
            Some(schema) if schema == SCHEMA => {}
            Some(theirs) => {
                return Err(format!(
                    "this carpd speaks schema {SCHEMA}, not {theirs}; use its own carpd command"
                ));
            }
            None => return Err(format!("the request has no schema; write \"schema\":{SCHEMA}")),
        }
        serde_json::from_value(Value::Object(request)).map_err(not_understood)
    }
}

#[cfg(test)]
mod tests;
