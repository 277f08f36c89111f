//! What a running carpd remembers of what happened: the document of `carpd events`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::status::State;

/// The events that are remembered, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// [`SCHEMA`](crate::status::SCHEMA).
    pub schema: u32,
    /// When the daemon was started, RFC 3339 in UTC: the numbers begin anew then.
    pub started: String,
    /// Those with a higher number than was asked for.
    pub events: Vec<Record>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 1 without gaps; the oldest ones are forgotten.
    pub number: u64,
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
    /// The line in the log.
    pub text: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A virtual host changed its state.
    Transition {
        /// `eth0@7`.
        virtual_host: String,
        /// Before.
        from: State,
        /// After.
        to: State,
        /// Why, in the words of the BSD kernels.
        reason: String,
        /// For how long it was in the state before, in milliseconds.
        after_ms: u64,
        /// The machine whose advertisement was the cause, if one was.
        peer: Option<IpAddr>,
        /// The advskew that is sent, demotion included.
        advskew: u8,
        /// The demotion in it.
        demotion: u16,
    },
    /// The demotion of a group changed.
    Demotion {
        /// Which group.
        group: String,
        /// Sum before.
        from: u16,
        /// Sum after.
        to: u16,
        /// The cause that came or went.
        cause: String,
        /// The interface or virtual host it is about, if it is about one.
        subject: Option<String>,
        /// Whether the cause holds now.
        holds: bool,
    },
    /// Somebody on the network is not understood, or should not be there.
    Neighbour {
        /// The interface.
        interface: String,
        /// Its vhid, or VRRP's number.
        vhid: u8,
        /// Whether that is a vhid of ours.
        ours: bool,
        /// Its address.
        source: IpAddr,
        /// What is wrong with it.
        what: String,
        /// What to do about it; null if it does no harm.
        advice: Option<String>,
    },
    /// A virtual host left the fast profile, because somebody else does not have it.
    FastLeft {
        /// `eth0@7`.
        virtual_host: String,
        /// Who.
        peer: IpAddr,
    },
    /// This machine did something more than 100 ms after it was due.
    Late {
        /// By how much, in milliseconds.
        by_ms: u64,
    },
    /// This machine is MASTER of one virtual host and BACKUP of another, and has been for an advertisement interval, or
    /// is so no longer. What comes in on one interface may go out nowhere.
    SplitMaster {
        /// Of which group.
        group: String,
        /// Whether it is so now.
        holds: bool,
        /// One of which it is MASTER; null at the end.
        master: Option<String>,
        /// One of which it is BACKUP; null at the end.
        backup: Option<String>,
    },
    /// A master that said goodbye has an answer, or none.
    Handover {
        /// `eth0@7`.
        virtual_host: String,
        /// Whether a successor was heard.
        done: bool,
        /// After how long, in milliseconds; null if there was nothing to hand over.
        after_ms: Option<u64>,
    },
    /// Somebody else took addresses of a MASTER off its interface; they are put back.
    TakenAway {
        /// `eth0@7`.
        virtual_host: String,
    },
    /// Maintenance mode was entered or left.
    Maintenance {
        /// Entered; otherwise left.
        entered: bool,
    },
    /// The configuration file was read again.
    Reload {
        /// Whether it is in force now. If not, nothing has changed.
        done: bool,
    },
    /// Something else; the text says what.
    Other {},
}

impl What {
    /// Every [`name`](Self::name) but that of [`Other`](Self::Other).
    pub const NAMES: [&str; 10] = [
        "transition",
        "demotion",
        "split_master",
        "neighbour",
        "fast_left",
        "late",
        "handover",
        "taken_away",
        "maintenance",
        "reload",
    ];

    /// The member `event` of the document.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Transition { .. } => "transition",
            Self::Demotion { .. } => "demotion",
            Self::SplitMaster { .. } => "split_master",
            Self::Neighbour { .. } => "neighbour",
            Self::FastLeft { .. } => "fast_left",
            Self::Late { .. } => "late",
            Self::Handover { .. } => "handover",
            Self::TakenAway { .. } => "taken_away",
            Self::Maintenance { .. } => "maintenance",
            Self::Reload { .. } => "reload",
            Self::Other {} => "other",
        }
    }

    /// What it is about: a virtual host, or what demotes.
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::Transition { virtual_host, .. }
            | Self::Handover { virtual_host, .. }
            | Self::FastLeft { virtual_host, .. }
            | Self::TakenAway { virtual_host } => Some(virtual_host),
            Self::Demotion { .. }
            | Self::SplitMaster { .. }
            | Self::Neighbour { .. }
            | Self::Late { .. }
            | Self::Maintenance { .. }
            | Self::Reload { .. }
            | Self::Other {} => None,
        }
    }

    /// The most wanted members, for programs that read no JSON: names and values of environment variables.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if let Some(subject) = self.subject() {
            let (interface, vhid) = subject.rsplit_once('@').unwrap_or((subject, ""));
            variables.push(("CARP_VIRTUAL_HOST", subject.to_owned()));
            variables.push(("CARP_INTERFACE", interface.to_owned()));
            variables.push(("CARP_VHID", vhid.to_owned()));
        }
        match self {
            Self::Transition {
                from,
                to,
                reason,
                peer,
                ..
            } => {
                variables.push(("CARP_FROM", from.to_string()));
                variables.push(("CARP_TO", to.to_string()));
                variables.push(("CARP_REASON", reason.clone()));
                let peer = peer.map(|peer| peer.to_string());
                variables.push(("CARP_PEER", peer.unwrap_or_default()));
            }
            Self::FastLeft { peer, .. } => variables.push(("CARP_PEER", peer.to_string())),
            Self::Demotion { from, to, .. } => {
                variables.push(("CARP_FROM", from.to_string()));
                variables.push(("CARP_TO", to.to_string()));
            }
            Self::Neighbour {
                interface,
                vhid,
                source,
                what,
                ..
            } => {
                variables.push(("CARP_INTERFACE", interface.clone()));
                variables.push(("CARP_VHID", vhid.to_string()));
                variables.push(("CARP_PEER", source.to_string()));
                variables.push(("CARP_REASON", what.clone()));
            }
            _ => {}
        }
        variables
    }
}
