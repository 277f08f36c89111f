//! What a human may want to know.

use core::net::IpAddr;

use carp_proto::{Interval, Vhid};

use crate::id::{GroupId, HostId, IfaceId};
use crate::ledger::Cause;
use crate::machine::HandOver;
use crate::node::NeighbourKind;
use crate::state::{Reason, State};
use crate::storage::{EventSlot, Pool};
use crate::time::Instant;

/// Something that happened, from [`Node::poll_event`](crate::Node::poll_event).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Event {
    /// When.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EventKind {
    /// A virtual host changed its state.
    Transition {
        /// Which.
        host: HostId,
        /// Before.
        from: State,
        /// After.
        to: State,
        /// Why.
        reason: Reason,
        /// Source of the advertisement that caused it, if one did.
        peer: Option<IpAddr>,
    },
    /// The demotion of a group changed.
    Demotion {
        /// Which.
        group: GroupId,
        /// Sum before.
        from: u16,
        /// Sum after.
        to: u16,
        /// The cause that came or went.
        cause: Cause,
        /// It holds now.
        holds: bool,
    },
    /// A planned hand-over ended.
    HandOver {
        /// Which virtual host.
        host: HostId,
        /// How.
        outcome: HandOver,
        /// Source address of the successor, if there is one.
        peer: Option<IpAddr>,
    },
    /// A group is split: this node is MASTER on one interface and BACKUP of a living master on another, and
    /// has been for an advertisement interval. What comes in on one may go out nowhere.
    SplitMaster {
        /// Which group.
        group: GroupId,
        /// One of its hosts that is MASTER.
        master: HostId,
        /// One that is BACKUP, on another interface.
        backup: HostId,
    },
    /// A group is no longer split.
    SplitMasterEnded {
        /// Which group.
        group: GroupId,
    },
    /// A virtual host left the [fast profile](crate::Profile::Fast): somebody advertises with an advbase of 1
    /// or more, so not all members have it.
    FastProfileLeft {
        /// Which virtual host.
        host: HostId,
        /// Source of the advertisement.
        peer: IpAddr,
        /// What it advertised.
        interval: Interval,
    },
    /// Somebody else took addresses of a MASTER off. They are put back and announced.
    TakenAway {
        /// Which virtual host.
        host: HostId,
    },
    /// Somebody speaks here what is not understood, or should not be here. Once, then again if it is found to be
    /// something else, or comes back after a minute; needs
    /// [`Storage::with_neighbours`](crate::Storage::with_neighbours).
    Neighbour {
        /// The virtual host of ours whose vhid it has, if it is ours.
        host: Option<HostId>,
        /// Where.
        iface: IfaceId,
        /// Its vhid, or VRID.
        vhid: Vhid,
        /// Its source address.
        source: IpAddr,
        /// What it is.
        kind: NeighbourKind,
    },
    /// This many events were lost because nobody polled them.
    Lost(u32),
}

/// Events wait here. When it is full the newest are lost and counted: the first ones tell the cause.
pub(crate) struct EventQueue<'s> {
    slots: Pool<'s, EventSlot>,
    head: usize,
    len: usize,
    lost: u32,
    lost_at: Instant,
}

impl<'s> EventQueue<'s> {
    pub(crate) fn new(slots: Pool<'s, EventSlot>) -> Self {
        Self {
            slots,
            head: 0,
            len: 0,
            lost: 0,
            lost_at: Instant::ZERO,
        }
    }

    #[cfg(feature = "sim")]
    pub(crate) fn fork(&self) -> Option<EventQueue<'static>> {
        Some(EventQueue {
            slots: self.slots.fork()?,
            ..*self
        })
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(crate) fn push(&mut self, at: Instant, kind: EventKind) {
        let capacity = self.slots.len();
        let index = self.behind_head(self.len);
        match self.slots.get_mut(index) {
            // After a loss nothing is taken until it was reported, so that events stay in order.
            Some(slot) if self.lost == 0 && self.len < capacity => {
                slot.event = Some(Event { at, kind });
                self.len = self.len.saturating_add(1);
            }
            _ => {
                self.lost = self.lost.saturating_add(1);
                self.lost_at = at;
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        if self.len == 0 {
            let lost = core::mem::take(&mut self.lost);
            return (lost > 0).then_some(Event {
                at: self.lost_at,
                kind: EventKind::Lost(lost),
            });
        }
        let event = self.slots.get_mut(self.head)?.event.take();
        self.head = self.behind_head(1);
        self.len = self.len.saturating_sub(1);
        event
    }

    /// The slot so many behind the first, at most as many as there are: a division is large on small
    /// processors.
    fn behind_head(&self, by: usize) -> usize {
        let index = self.head.saturating_add(by);
        index.checked_sub(self.slots.len()).unwrap_or(index)
    }
}
