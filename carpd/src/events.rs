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
    /// The demotion changed.
    Demotion {
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
