//! The model check: an explicit-state search over the shipping [`Node`](carp_fsm::Node).
//!
//! `docs/proof.md` says what is explored, what is abstracted, and what is proved.

pub mod mutants;
pub mod reference;
pub mod scenario;
pub mod search;
pub mod settle;
pub mod world;
