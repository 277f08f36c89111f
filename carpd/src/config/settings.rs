//! What holds for all virtual hosts: keys at the top of the file, named as FreeBSD's `net.inet.carp` sysctls.

use carp_fsm::{Dscp, Policy};

use super::report::Report;
use super::table::Table;

/// What holds for all virtual hosts. The running daemon has its own, which can differ from those of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Take part at all; otherwise every virtual host is in INIT.
    pub allow: bool,
    /// Take over from a slower master, unless a virtual host says otherwise.
    pub preempt: bool,
    /// 0: no changes of state in the log; 1: these; 2: bad packets, too.
    pub log: u8,
    /// Demotion while an interface is down, 0 to 255.
    pub ifdown_demotion_factor: u8,
    /// Demotion while advertisements cannot be sent, 0 to 255.
    pub senderr_demotion_factor: u8,
    /// Of advertisements; `None`: as the kernel of the dialect.
    pub dscp: Option<Dscp>,
}

/// Largest log level.
pub const MAX_LOG: u8 = 2;
/// Largest DSCP.
pub const MAX_DSCP: u8 = 63;

impl Default for Settings {
    fn default() -> Self {
        let factor = |factor| u8::try_from(factor).unwrap_or(u8::MAX);
        Self {
            allow: true,
            preempt: false,
            log: 1,
            ifdown_demotion_factor: factor(Policy::HARDENED.ifdown_demotion_factor),
            senderr_demotion_factor: factor(Policy::HARDENED.senderr_demotion_factor),
            dscp: None,
        }
    }
}

impl Settings {
    /// Reads them from the top of the file.
    pub(super) fn read(top: &Table<'_>, report: &mut Report) -> Self {
        let default = Self::default();
        let mut number = |key, max, meaning| {
            let number = top.number(key, 0..=max, meaning, report);
            number.map(toml::Spanned::into_inner)
        };
        let log = number(
            "log",
            MAX_LOG,
            ": 0 nothing, 1 changes of state, 2 bad packets, too",
        );
        let ifdown = number("ifdown_demotion_factor", u8::MAX, "");
        let senderr = number("senderr_demotion_factor", u8::MAX, "");
        let dscp = number("dscp", MAX_DSCP, "; 56 is network control");
        Self {
            allow: top.boolean("allow", report).unwrap_or(default.allow),
            preempt: top.boolean("preempt", report).unwrap_or(default.preempt),
            log: log.unwrap_or(default.log),
            ifdown_demotion_factor: ifdown.unwrap_or(default.ifdown_demotion_factor),
            senderr_demotion_factor: senderr.unwrap_or(default.senderr_demotion_factor),
            dscp: dscp.and_then(Dscp::new),
        }
    }
}
