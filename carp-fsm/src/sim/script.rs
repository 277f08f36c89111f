//! Runs recorded scripts of what happened to a kernel, and tells what our node would have done.
//!
//! One command a line: `<ms> command`, or without a time at the time of the line before. Empty lines and those that
//! start with `#` are skipped.
//!
//! | command | |
//! |---|---|
//! | `mac HEX`, `ifaddr A/P` | MAC address of the interface, and one of its own addresses; before the first `set` |
//! | `set vhid=N k=v ..` (FreeBSD), `set carpN vhid=N k=v ..` (OpenBSD) | a virtual host: `advbase`, `advskew`, `pass`, `state=backup` or `master` |
//! | `addr W A/P ..`, `deladdr W A/P ..` | adds virtual addresses, or removes them; `W` is `vhid=N` or `carpN` |
//! | `pkt HEX`, `frame HEX` | an IP packet, or an Ethernet frame, arrives |
//! | `link up`, `if up`, `if carpN up`, or `down` | carrier, interface, virtual host |
//! | `sysctl preempt V`, `sysctl demotion V` | the second adds `V`, as FreeBSD does |
//! | `sysctl allow V` | 0: no CARP. FreeBSD's virtual hosts go to INIT, as if the interface were down; the others' hear nothing any more |
//! | `sendad`, `sendad W` | every MASTER (or this one) advertises now, and then an interval later |
//! | `demote GROUP V` | adds `V`, as `ifconfig -g` of OpenBSD does |
//! | `txerr ERRNO`, `txerr 0` | sending fails from now on, or works again |
//! | `counter N V` | the counter of the next advertisement of a virtual host, in hex |
//! | `rand V`, `ipid V` | accepted and ignored: random numbers are the node's own |
//! | `dump` | state of all virtual hosts |
//! | `end` | |

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use carp_proto::Dialect;

use crate::state::State;
use crate::time::Instant;

mod runner;
#[cfg(test)]
mod tests;

use runner::Runner;

/// Runs a whole script with [`Policy::KERNEL`](crate::Policy::KERNEL) and the timer ticks of the kernel of that
/// dialect.
pub fn run(dialect: Dialect, script: &str) -> Result<Vec<ScriptEvent>, ScriptError> {
    let mut runner = Runner::new(dialect);
    let mut at = Instant::ZERO;
    for (number, line) in (1..).zip(script.lines()) {
        let wrong = |what| ScriptError { line: number, what };
        let mut words = line.split_whitespace().peekable();
        if words.peek().is_none_or(|word| word.starts_with('#')) {
            continue;
        }
        if let Some(millis) = words.peek().and_then(|word| word.parse::<u64>().ok()) {
            let next = Instant::from_micros(millis.saturating_mul(1_000));
            if next < at {
                return Err(wrong("time goes backwards; sort the lines".to_owned()));
            }
            (at, _) = (next, words.next());
        }
        let rest = words.collect::<Vec<_>>().join(" ");
        runner.run_until(at, rest == "end");
        if rest == "end" {
            break;
        }
        runner.command(&rest).map_err(wrong)?;
        runner.drain();
    }
    Ok(runner.events)
}

/// A script that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub what: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl core::error::Error for ScriptError {}

/// Something that the node did. Prints as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptEvent {
    /// When.
    pub at: Instant,
    /// What.
    pub kind: ScriptEventKind,
}

/// What the node did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptEventKind {
    /// A virtual host changed its state.
    State {
        /// `1@em0` (FreeBSD), `1@carp0` (OpenBSD).
        who: String,
        /// Before.
        from: State,
        /// After.
        to: State,
        /// In the words of FreeBSD; OpenBSD gives none.
        reason: Option<String>,
    },
    /// A frame left.
    Sent {
        /// `ad4`, `ad6`, `garp` or `na`.
        what: &'static str,
        /// The whole frame.
        frame: Vec<u8>,
    },
    /// An advertisement could not be sent.
    SendError {
        /// As the script said.
        errno: u32,
    },
    /// A packet of protocol 112 arrived.
    Received {
        /// `accepted`, the counter that was bumped, or `not allowed` (`sysctl allow 0`), which counts nothing.
        result: &'static str,
    },
    /// `dump`.
    Dump {
        /// Which virtual host.
        who: String,
        /// Its state.
        state: State,
        /// Configured advbase.
        advbase: u8,
        /// Configured advskew.
        advskew: u8,
        /// Of its group.
        demotion: u16,
    },
}

impl fmt::Display for ScriptEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.at.as_micros();
        write!(f, r#"{{"t": {}.{}, "#, micros / 1_000, micros % 1_000 / 100)?;
        match &self.kind {
            ScriptEventKind::State {
                who,
                from,
                to,
                reason,
            } => {
                write!(
                    f,
                    r#""ev": "state", "who": "{who}", "from": "{from}", "to": "{to}""#
                )?;
                if let Some(reason) = reason {
                    write!(f, r#", "reason": "{reason}""#)?;
                }
            }
            ScriptEventKind::Sent { what, frame } => {
                write!(f, r#""ev": "tx", "what": "{what}", "frame": ""#)?;
                for byte in frame {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str("\"")?;
            }
            ScriptEventKind::SendError { errno } => write!(f, r#""ev": "txerr", "errno": {errno}"#)?,
            ScriptEventKind::Received { result } => write!(f, r#""ev": "rx", "result": "{result}""#)?,
            ScriptEventKind::Dump {
                who,
                state,
                advbase,
                advskew,
                demotion,
            } => write!(
                f,
                r#""ev": "dump", "who": "{who}", "state": "{state}", "advbase": {advbase}, "advskew": {advskew}, "demotion": {demotion}"#
            )?,
        }
        f.write_str("}")
    }
}
