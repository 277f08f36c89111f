//! What can happen to one virtual host.

use carp_proto::{Demotion, Interval};

use crate::state::{Family, InitReason, State};
use crate::time::Instant;

/// Where a MASTER that bowed out goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Departure {
    /// To BACKUP, if a successor is heard, which it leaves alone from then on; else it stays MASTER.
    HandOver,
    /// The same for maintenance mode: when that ends, its priority counts again.
    StepBack,
    /// To BACKUP, if somebody better is heard; else it stays MASTER. Bows out not now, but a quarter of an interval
    /// later, or with the next periodic advertisement if that comes first: until then a peer that preempts takes over
    /// by itself. Who is stepping back offers from then on: it is no longer wished.
    Offer,
    /// To INIT, successor or not.
    Stop(InitReason),
}

/// What happens to the virtual host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// It can take part now: link up, enabled.
    Start,
    /// It cannot take part any longer, and nothing can be sent (link down).
    Stop(InitReason),
    /// The adapter refused to own the addresses; try again at the given time.
    Refused(Instant),
    /// Leave on purpose.
    Leave(Departure),
    /// A verified advertisement.
    Heard {
        /// Over which family it came.
        family: Family,
        /// Its advbase and advskew.
        interval: Interval,
        /// Its byte 4.
        demotion: Demotion,
        /// UCarp's tie rule: the source address, as a little-endian number, is lower than ours.
        lower_source: bool,
    },
    /// Time has passed. Does nothing before [`Machine::deadline`](super::Machine::deadline).
    Timeout,
    /// The demotion of the group rose, or fell.
    DemotionChanged {
        /// It rose.
        worse: bool,
    },
    /// advbase, advskew, addresses or key changed.
    Reconfigured,
    /// The group moves here: if its master is not heard by then, a BACKUP takes over (§10).
    Overdue(Instant),
    /// `ifconfig ... state backup` or `state master`; INIT cannot be forced.
    Force(State),
}
