//! The asking side of the control socket.

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Answer, Command, Refusal, Report, Unfinished};
use crate::events::Events;
use crate::status::{SCHEMA, Status};

/// How long to wait for an answer. The daemon needs some microseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for a command that waits for the network or a disk: longer than the daemon waits before it says that.
const SLOW_PATIENCE: Duration = Duration::from_secs(35);
const _: () = assert!(SLOW_PATIENCE.as_secs() > super::server::SLOW_PATIENCE.as_secs());

/// Why there is no answer. `Display` says what to do, in one line.
#[derive(Debug)]
pub enum AskError {
    /// Nobody listens.
    NotRunning(io::Error),
    /// This user may not connect.
    NotAllowed,
    /// The connection broke, or nothing came in time.
    NoAnswer(io::Error),
    /// The daemon refused, and says why.
    Refused(String),
    /// The daemon has accepted the command, and its outcome is not known yet.
    Unfinished(String),
    /// The answer is none of this schema.
    NotUnderstood(String),
}

/// Asks the daemon whose socket this is.
///
/// The answer is never an [`Answer::Refusal`] or [`Answer::Unfinished`]: these are errors.
pub(super) fn ask(socket: &Path, command: &Command) -> Result<Answer, AskError> {
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => AskError::NotAllowed,
        _ => AskError::NotRunning(error),
    })?;
    let patience = if command.is_slow() {
        SLOW_PATIENCE
    } else {
        PATIENCE
    };
    stream
        .set_read_timeout(Some(patience))
        .map_err(AskError::NoAnswer)?;
    stream
        .set_write_timeout(Some(PATIENCE))
        .map_err(AskError::NoAnswer)?;
    // A daemon that refuses does so before it has read anything: writing may fail, and reading tells why.
    let written = stream.write_all(command.to_line().as_bytes());
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    if answer.is_empty() {
        read.map_err(AskError::NoAnswer)?;
        written.map_err(AskError::NoAnswer)?;
        return Err(AskError::NoAnswer(io::ErrorKind::UnexpectedEof.into()));
    }
    let answer: Answer =
        serde_json::from_str(&answer).map_err(|error| AskError::NotUnderstood(error.to_string()))?;
    match answer {
        Answer::Refusal(Refusal { error, .. }) => Err(AskError::Refused(error)),
        Answer::Unfinished(Unfinished { unfinished, .. }) => Err(AskError::Unfinished(unfinished)),
        answer if answer.schema() != SCHEMA => {
            Err(AskError::NotUnderstood(format!("schema {}", answer.schema())))
        }
        answer => Ok(answer),
    }
}

/// Asks for the status.
pub fn ask_status(socket: &Path) -> Result<Status, AskError> {
    match ask(socket, &Command::Status {})? {
        Answer::Status(status) => Ok(*status),
        _ => Err(AskError::other_document()),
    }
}

/// Asks for the events after a number.
pub fn ask_events(socket: &Path, after: u64) -> Result<Events, AskError> {
    match ask(socket, &Command::Events { after })? {
        Answer::Events(events) => Ok(events),
        _ => Err(AskError::other_document()),
    }
}

/// Has something done.
pub fn ask_to(socket: &Path, command: &Command) -> Result<Report, AskError> {
    match ask(socket, command)? {
        Answer::Report(report) => Ok(report),
        _ => Err(AskError::other_document()),
    }
}

impl AskError {
    fn other_document() -> Self {
        Self::NotUnderstood("another document than was asked for".to_owned())
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(error) => {
                write!(
                    f,
                    "no carpd is running here ({error}); start it with carpd run, or name its --socket"
                )
            }
            Self::NotAllowed => f.write_str("permission denied; ask as root or as the user of the daemon"),
            Self::NoAnswer(error) => {
                write!(
                    f,
                    "carpd does not answer ({error}); look at its log, or restart it"
                )
            }
            Self::Refused(why) | Self::Unfinished(why) => f.write_str(why),
            Self::NotUnderstood(why) => {
                write!(
                    f,
                    "the answer is not understood ({why}); use the carpd command of the running version"
                )
            }
        }
    }
}

impl Error for AskError {}
