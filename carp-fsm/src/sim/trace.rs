//! What happened in a simulation; prints like a log.

use alloc::string::String;
use core::fmt;
use core::net::IpAddr;

use carp_proto::{Counter, Interval, Vhid};

use super::NodeId;
use super::faults::Fault;
use crate::action::{TransmitKind, TransmitResult};
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
    /// To which virtual host, if the node has several.
    pub vhid: Option<Vhid>,
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
    /// It could not take addresses, as [`Sim::refuse_addresses`](super::Sim::refuse_addresses) wants it.
    Refused {
        /// Whose.
        host: HostId,
    },
    /// It sent a frame.
    Sent(TransmitKind),
    /// It tried to send a frame, and failed, as [`Sim::set_sending`](super::Sim::set_sending) wants it.
    NotSent(TransmitKind, TransmitResult),
    /// It accepted an advertisement.
    Heard {
        /// Whose.
        from: NodeId,
        /// The address that it came from.
        source: IpAddr,
        /// advbase and advskew, as received.
        interval: Interval,
        /// Byte 4, as received.
        demotion: u8,
        /// As received.
        counter: Counter,
    },
    /// It got an advertisement a second time, and saw that.
    HeardAgain {
        /// Whose.
        from: NodeId,
        /// The address that it came from.
        source: IpAddr,
        /// As received.
        counter: Counter,
    },
    /// The simulation did something to it.
    Fault(Fault),
}

impl TraceKind {
    /// The virtual host that it is about, where it says so.
    pub(super) fn host(&self) -> Option<HostId> {
        match self {
            Self::Event(
                EventKind::Transition { host, .. }
                | EventKind::HandOver { host, .. }
                | EventKind::FastProfileLeft { host, .. }
                | EventKind::TakenAway { host },
            )
            | Self::Owner { host, .. }
            | Self::Refused { host } => Some(*host),
            _ => None,
        }
    }
}

/// Seconds, node, what: `    3.390742  b  BACKUP -> MASTER (master timed out)`.
impl fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12}  {}  ", self.at, self.name)?;
        if let Some(vhid) = self.vhid {
            write!(f, "vhid {vhid}: ")?;
        }
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
            TraceKind::Event(EventKind::SplitMaster { .. }) => {
                f.write_str("split: MASTER on one interface, BACKUP on another")
            }
            TraceKind::Event(EventKind::SplitMasterEnded { .. }) => f.write_str("no longer split"),
            TraceKind::Event(EventKind::FastProfileLeft { peer, interval, .. }) => {
                write!(f, "leaves the fast profile: {peer} advertises {interval}")
            }
            TraceKind::Event(EventKind::TakenAway { .. }) => f.write_str("addresses taken away"),
            TraceKind::Event(EventKind::Neighbour {
                vhid, source, kind, ..
            }) => {
                write!(f, "neighbour {source} with vhid {vhid} {kind}")
            }
            TraceKind::Event(EventKind::Lost(events)) => write!(f, "{events} events lost"),
            TraceKind::Owner { owner: true, .. } => f.write_str("owns the addresses"),
            TraceKind::Owner { owner: false, .. } => f.write_str("does not own the addresses"),
            TraceKind::Refused { .. } => f.write_str("cannot take the addresses"),
            TraceKind::Sent(TransmitKind::Advertisement) => f.write_str("advertises"),
            TraceKind::Sent(TransmitKind::BowOut) => f.write_str("bows out"),
            TraceKind::Sent(TransmitKind::Announcement) => f.write_str("announces"),
            TraceKind::NotSent(kind, result) => {
                f.write_str(match result {
                    TransmitResult::Busy => "has no room to ",
                    TransmitResult::Sent | TransmitResult::Error => "fails to ",
                })?;
                f.write_str(match kind {
                    TransmitKind::Advertisement => "advertise",
                    TransmitKind::BowOut => "bow out",
                    TransmitKind::Announcement => "announce",
                })
            }
            TraceKind::Heard {
                source,
                interval,
                demotion,
                ..
            } => {
                let (base, skew) = (interval.base().get(), interval.skew().get());
                write!(f, "hears {base}/{skew} from {source}")?;
                if demotion > 0 {
                    write!(f, ", demoted by {demotion}")?;
                }
                Ok(())
            }
            TraceKind::HeardAgain { source, .. } => write!(f, "hears that again from {source}"),
            TraceKind::Fault(fault) => fault.fmt(f),
        }
    }
}
