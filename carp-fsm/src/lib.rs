//! The CARP election as a pure state machine.
//!
//! This crate decides; it does not act. Packets, time and the operator's wishes come in as method
//! calls, everything to be done goes out as an [`Action`], and everything a human may want to know
//! goes out as an [`Event`]. It reads no clock, draws no random numbers, allocates nothing (without
//! the `alloc` feature), never blocks and never panics.
//!
//! * [`Machine`] is the election of **one** virtual host: INIT, BACKUP, MASTER, in one file.
//! * [`Node`] is this computer: many virtual hosts over many interfaces, with authentication,
//!   demotion, frames and timers.
//! * [`sim`] (feature `sim`) runs many nodes on one simulated network in virtual time.
//!
//! ```text
//!            link up                    master-down timer, bow-out heard,
//!   +------+ -------> +--------+        slower master heard (preempt)        +--------+
//!   | INIT |          | BACKUP | ------------------------------------------> | MASTER |
//!   +------+ <------- +--------+ <------------------------------------------ +--------+
//!       ^   link down,         a faster or equal advertisement heard             |
//!       |   disabled                                                             |
//!       +------------------------------------------------------------------------+
//!            link down, or bow-out and leave: disabled, removed, shutting down
//! ```
//!
//! Rules are cited as `docs/protocol.md §n` (CARP has no RFC) with the BSD function in which the
//! behaviour was checked.
#![no_std]
#![cfg_attr(all(doctest, feature = "sim"), doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
mod config;
mod event;
mod host;
mod hosts;
mod id;
mod ledger;
pub mod machine;
mod node;
mod policy;
mod random;
#[cfg(feature = "sim")]
pub mod sim;
mod state;
mod stats;
mod storage;
mod time;

pub use action::{Action, OwnerError, TransmitKind, TransmitResult, TxId};
pub use config::{
    ConfigError, Dscp, HostConfig, InterfaceInfo, LinkMode, LinkState, Profile, ReconfigureError,
};
pub use event::{Event, EventKind};
pub use host::PeerSeen;
pub use id::{GroupId, HostId, IfaceId, NoSuchHost};
pub use ledger::{Cause, Holding, LEDGER_LEN, LedgerError};
pub use machine::{HandOver, Machine};
pub use node::{HostStatus, Neighbour, NeighbourKind, Node, Peer, PeersError};
pub use policy::Policy;
pub use state::{Family, InitReason, Reason, State, Transition};
pub use stats::Stats;
pub use storage::{
    CounterSlot, EventSlot, GroupSlot, HostSlot, InterfaceSlot, KeySlot, NeighbourSlot, PeerSlot, Storage,
};
pub use time::{Duration, Instant};
