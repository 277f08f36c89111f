//! The model check: an explicit-state search over the shipping [`Node`](carp_fsm::Node).
//!
//! `docs/proof.md` says what is explored, what is abstracted, and what is proved.

mod adapter;
pub mod groups;
pub mod mutants;
pub mod promises;
pub mod reference;
pub mod scenario;
pub mod search;
mod seat;
pub mod settle;
pub mod step;
pub mod world;
