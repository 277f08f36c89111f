//! What happened in a simulation; prints like a log.

use alloc::string::String;
use core::fmt;

use super::NodeId;
use crate::action::TransmitKind;
use crate::event::EventKind;
use crate::id::HostId;
use crate::machine::HandOver;
use crate::time::Instant;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct TraceEntry {
    /// When, in virtual time.
    pub at: Instant,
    /// On which node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// What.
    pub kind: TraceKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceKind {
    /// The node reported an event.
    Event(EventKind),
    /// It took addresses, or gave them up.
    Owner {
        /// Whose.
        host: HostId,
        /// Here now.
        owner: bool,
    },
    /// It sent a frame.
    Sent(TransmitKind),
    /// It accepted an advertisement.
    Heard {
        /// Whose.
        from: NodeId,
    },
    /// The simulation did something to it.
    Fault(&'static str),
}

/// Seconds, node, what: `    3.390742  b  BACKUP -> MASTER (master timed out)`.
impl fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12}  {}  ", self.at, self.name)?;
        match self.kind {
            TraceKind::Event(EventKind::Transition { from, to, reason, .. }) => {
                write!(f, "{from} -> {to} ({reason})")
            }
            TraceKind::Event(EventKind::Demotion { from, to, cause, .. }) => {
                write!(f, "demotion {from} -> {to} ({cause})")
            }
            TraceKind::Event(EventKind::HandOver { outcome, peer, .. }) => match (outcome, peer) {
                (HandOver::Done(after), Some(peer)) => write!(f, "handed over to {peer} in {after} s"),
                (HandOver::Done(after), None) => write!(f, "handed over in {after} s"),
                (HandOver::NobodyTookOver(waited), _) => {
                    write!(f, "hand-over called off: nobody took over in {waited} s")
                }
                (HandOver::NotMaster, _) => f.write_str("hand-over: not MASTER"),
            },
            TraceKind::Event(EventKind::TakenAway { .. }) => f.write_str("addresses taken away"),
            TraceKind::Event(EventKind::Lost(events)) => write!(f, "{events} events lost"),
            TraceKind::Owner { owner: true, .. } => f.write_str("owns the addresses"),
            TraceKind::Owner { owner: false, .. } => f.write_str("does not own the addresses"),
            TraceKind::Sent(TransmitKind::Advertisement) => f.write_str("advertises"),
            TraceKind::Sent(TransmitKind::BowOut) => f.write_str("bows out"),
            TraceKind::Sent(TransmitKind::Announcement) => f.write_str("announces"),
            TraceKind::Heard { from } => write!(f, "hears node {}", from.0),
            TraceKind::Fault(what) => f.write_str(what),
        }
    }
}
