//! Seeded runs: three simulated nodes, faults of all kinds drawn from one number, then quiet, then the promises.
//!
//! `docs/proof.md` says what is promised. The nodes are the shipping [`Node`](carp_fsm::Node) in the public
//! [simulator](carp_fsm::sim); the promises are judged by the [reference](crate::model::reference) of the model check.

mod attack;
mod chance;
mod faults;
mod judge;
mod plan;
mod run;
mod seat;
mod settled;

pub use judge::Violation;
pub use plan::Plan;
pub use run::{Report, run, tell};
