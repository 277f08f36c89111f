#![no_std]
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
#![doc = include_str!("../README.md")]

mod carp;
mod control;
mod engine;
mod log;
#[cfg(feature = "embassy-net")]
mod net;
#[cfg(feature = "smoltcp")]
pub mod phy;
mod resolver;
mod seat;
mod shim;
mod slots;

pub use carp::{Carp, Runner};
pub use control::{Control, Events, virtual_host};
pub use engine::{Engine, IFACE, Owners, Ticket, Verdict};
pub use log::log_event;
pub use resolver::{Gateway, Memory, PeerSlots};
pub use seat::{MTU, Seat, SeatDriver, SeatPackets, SeatRxToken, SeatState, SeatTxToken, Seats};
pub use shim::{Shim, ShimRxToken};
pub use slots::Slots;
