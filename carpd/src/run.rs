//! The daemon.
use crate::config::Config;
/// Runs until a signal.
pub fn run(_config: &Config) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
