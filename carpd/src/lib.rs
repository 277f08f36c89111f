//! The CARP daemon and its operator's command line, as a library, so that tests can use its parts.
//!
//! The command is described in this crate's `README.md`; other programs should use `carp-std` or `carp-fsm`,
//! which have fewer dependencies and a stable interface.

pub mod cli;
pub mod config;
#[cfg(target_os = "linux")]
pub mod control;
pub mod demo;
pub mod events;
pub mod genkey;
#[cfg(target_os = "linux")]
pub mod lab;
pub mod log;
#[cfg(target_os = "linux")]
pub mod maintenance;
#[cfg(target_os = "linux")]
pub mod run;
pub mod status;
#[cfg(all(test, unix))]
mod testing;
