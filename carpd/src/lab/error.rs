use std::fmt;
use std::io;
use std::time::Duration;

/// Why the lab cannot go on. `Display` says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum LabError {
    /// The process is not root.
    NotRoot,
    /// A command is not installed.
    Missing {
        /// What was called.
        tool: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A command failed.
    Command {
        /// The command line.
        command: String,
        /// What it said.
        message: String,
    },
    /// The operating system refused something.
    System {
        /// What was tried.
        doing: String,
        /// The answer.
        error: io::Error,
    },
    /// A process ended that should run.
    Ended {
        /// Which one.
        process: String,
        /// The last lines it wrote.
        log: String,
    },
    /// Something that had to happen did not.
    NeverHappened {
        /// What was waited for.
        what: String,
        /// For how long.
        patience: Duration,
    },
    /// SIGINT, SIGTERM or SIGHUP arrived.
    Interrupted,
}

impl LabError {
    /// Names what was tried when the operating system refused.
    pub(super) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::System { doing, error }
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRoot => f.write_str("the lab makes network namespaces, and only root may; use sudo"),
            Self::Missing { tool, package } => {
                write!(f, "{tool} is not installed; on Debian: apt-get install {package}")
            }
            Self::Command { command, message } => {
                let message = message.trim();
                write!(f, "{command}: {message}")?;
                if message.ends_with("Operation not permitted") {
                    f.write_str(
                        "; the lab needs the capabilities CAP_SYS_ADMIN and CAP_NET_ADMIN, which containers lack \
                         unless they are privileged",
                    )?;
                }
                Ok(())
            }
            Self::System { doing, error } => write!(f, "cannot {doing}: {error}"),
            Self::Ended { process, log } => {
                write!(f, "{process} has ended; its last lines:\n{}", log.trim_end())
            }
            Self::NeverHappened { what, patience } => {
                write!(f, "waited {} s in vain for {what}", patience.as_secs())
            }
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for LabError {}
