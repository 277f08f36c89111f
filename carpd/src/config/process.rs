//! How the process of carpd runs: keys at the top of the file that only a restart changes.

use super::report::Report;
use super::table::Table;

/// What the process asks of the system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process {
    /// The real-time priority of the election, 1 to 99.
    pub realtime_priority: Option<u8>,
    /// Whether its memory is never swapped out.
    pub lock_memory: bool,
}

impl Process {
    pub(super) fn read(top: &Table<'_>, report: &mut Report) -> Self {
        let priority = top.number("realtime_priority", 1..=99, "; 50 is above most others", report);
        Self {
            realtime_priority: priority.map(toml::Spanned::into_inner),
            lock_memory: top.boolean("lock_memory", report).unwrap_or(false),
        }
    }
}
