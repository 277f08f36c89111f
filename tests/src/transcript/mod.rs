//! Golden transcripts: what happens to one virtual host, and what it does, as lines of text.
//!
//! ```text
//! # A BACKUP that hears nobody becomes MASTER.
//! host dialect=freebsd policy=kernel skew=100
//! 0 interface up
//! 0.000000 > INIT -> BACKUP (initialization complete)
//! 3.390625 > BACKUP -> MASTER (master timed out)
//! 3.390625 > own
//! 3.390625 > advertise 1/100
//! 3.390625 > announce 192.0.2.42
//! 4 end
//! ```
//!
//! Lines with `>` are what the shipping [`Node`](carp_fsm::Node) did; all others are written by hand. `README.md`
//! beside the transcripts lists the commands. Frames are real: the peer signs, and what we send is decoded again.

mod bench;
mod script;

use std::fmt;

/// A transcript that cannot be run.
#[derive(Debug)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The transcript as it should be: what was written by hand, with what the node really does.
pub fn perform(text: &str) -> Result<String, Mistake> {
    let mut script = script::Script::default();
    let mut told = String::new();
    for (line, written) in (1..).zip(text.lines()) {
        let is_output = written.split_whitespace().nth(1) == Some(">");
        if is_output {
            continue;
        }
        let before = script.before(written).map_err(|what| Mistake { line, what })?;
        let after = script.obey(written).map_err(|what| Mistake { line, what })?;
        let lines = before
            .into_iter()
            .chain([written.trim_end().to_owned()])
            .chain(after);
        for line in lines {
            told += &line;
            told.push('\n');
        }
    }
    Ok(told)
}
