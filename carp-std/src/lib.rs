#![doc = include_str!("../README.md")]
//!
//! # Who owes what
//!
//! ```text
//!            Node (carp-fsm)          decides; knows no system
//!     actions |        ^ packets, time, changes, results
//!             v        |
//!            Host                     loops: one descriptor, one `process`
//!     set_owner, send  |        ^ recv, poll_change
//!             v        |
//!            Link                     frames, addresses, interfaces: `linux::LinuxLink`, or your own
//! ```
//!
//! [`Link`] has the contract between the lower two; the drain rule between the upper two is in
//! [`carp_fsm::Node`].

mod address;
#[cfg(unix)]
mod error;
#[cfg(target_os = "linux")]
mod host;
mod lateness;
#[cfg(unix)]
mod link;
#[cfg(target_os = "linux")]
pub mod linux;

pub use self::address::{OnRemoval, Prefix, VirtualAddress};
#[cfg(unix)]
pub use self::error::{LinkError, OwnershipError};
#[cfg(target_os = "linux")]
pub use self::host::{Host, Rejected};
pub use self::lateness::Lateness;
#[cfg(unix)]
pub use self::link::{Link, VirtualHost};
