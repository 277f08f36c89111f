//! The control socket: how the operator's commands reach a running daemon.
//!
//! A Unix stream socket. The client writes one request, a line of JSON: `{"schema":1,"command":"status"}`. The
//! daemon answers with one line of JSON: a [`Status`](crate::status::Status), or
//! `{"schema":1,"error":"what is wrong"}`, and closes. Only root and the user of the daemon are answered.

mod client;
mod server;

use serde::{Deserialize, Serialize};

pub use client::{AskError, ask};
pub use server::{Job, Server, StartError};

use crate::status::SCHEMA;

/// Longest request in bytes, without its newline.
pub const MAX_REQUEST: usize = 4096;

/// What a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The whole [`Status`](crate::status::Status).
    Status,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    schema: u32,
    command: String,
}

#[derive(Serialize, Deserialize)]
struct Refusal {
    schema: u32,
    error: String,
}

/// The answer to a request that is not carried out, as a line.
fn refusal(error: impl Into<String>) -> String {
    let refusal = Refusal {
        schema: SCHEMA,
        error: error.into(),
    };
    serde_json::to_string(&refusal).unwrap_or_default() + "\n"
}

impl Command {
    /// The request as a line.
    fn to_line(self) -> String {
        let Self::Status = self;
        let request = Request {
            schema: SCHEMA,
            command: "status".into(),
        };
        serde_json::to_string(&request).unwrap_or_default() + "\n"
    }

    /// Reads a request, without its newline.
    fn from_line(line: &[u8]) -> Result<Self, String> {
        let request: Request = serde_json::from_slice(line).map_err(|error| {
            format!("the request is not understood ({error}); write {{\"schema\":1,\"command\":\"status\"}}")
        })?;
        if request.schema != SCHEMA {
            let theirs = request.schema;
            return Err(format!(
                "this carpd speaks schema {SCHEMA}, not {theirs}; use its own carpd command"
            ));
        }
        match request.command.as_str() {
            "status" => Ok(Self::Status),
            other => Err(format!("there is no command {other:?}; write status")),
        }
    }
}

#[cfg(test)]
mod tests;
