//! What can be done to nodes and cables.

use core::fmt;

use super::member::Delivery;
use super::{NodeId, Recorded, Sim, TraceKind};
use crate::action::TransmitResult;
use crate::config::LinkState;
use crate::id::IfaceId;

/// What the simulation did to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// [`Sim::crash`].
    Crash,
    /// [`Sim::restart`].
    Restart,
    /// [`Sim::pause`].
    Pause,
    /// [`Sim::resume`].
    Resume,
    /// [`Sim::cut`]: nothing passes from this node to that one.
    Cut(NodeId),
    /// [`Sim::heal`].
    Heal(NodeId),
    /// [`Sim::set_link`], on this segment.
    Link(IfaceId, LinkState),
    /// [`Sim::set_sending`].
    Sending(TransmitResult),
    /// [`Sim::refuse_addresses`].
    Refuse(bool),
    /// [`Sim::inject`], of something that this node once sent.
    Inject(NodeId),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash => f.write_str("crash"),
            Self::Restart => f.write_str("restart"),
            Self::Pause => f.write_str("stops to run"),
            Self::Resume => f.write_str("runs again"),
            Self::Cut(to) => write!(f, "no longer reaches {to}"),
            Self::Heal(to) => write!(f, "reaches {to} again"),
            Self::Link(_, LinkState::Up) => f.write_str("cable plugged in"),
            Self::Link(_, LinkState::Down) => f.write_str("cable pulled"),
            Self::Link(_, LinkState::Unknown) => f.write_str("carrier unknown"),
            Self::Sending(TransmitResult::Sent) => f.write_str("can send again"),
            Self::Sending(TransmitResult::Busy) => f.write_str("has no room to send"),
            Self::Sending(TransmitResult::Error) => f.write_str("cannot send any more"),
            Self::Refuse(true) => f.write_str("cannot take addresses any more"),
            Self::Refuse(false) => f.write_str("can take addresses again"),
            Self::Inject(from) => write!(f, "is played what {from} once sent"),
        }
    }
}

/// # What can go wrong
///
/// Each can be done at any time and twice, and does nothing where there is nothing to do.
impl Sim {
    /// The node stops dead: no bow-out, and what it held is gone.
    pub fn crash(&mut self, id: NodeId) {
        self.note(id, TraceKind::Fault(Fault::Crash));
        if let Some(member) = self.members.get_mut(id.0) {
            member.running = None;
            member.paused = false;
            member.inbox.clear();
        }
    }

    /// Starts a node anew, with its plan, crashed or not.
    pub fn restart(&mut self, id: NodeId) {
        self.crash_quietly(id);
        self.note(id, TraceKind::Fault(Fault::Restart));
        // The plan was accepted before.
        let _ = self.start(id);
    }

    /// The node does not run for a while, as a virtual machine that is moved: what it owns it keeps, up to 64 frames
    /// wait for it, the rest are lost. Commands do not reach it.
    pub fn pause(&mut self, id: NodeId) {
        if let Some(member) = self.members.get_mut(id.0).filter(|member| member.runs()) {
            member.paused = true;
            self.note(id, TraceKind::Fault(Fault::Pause));
        }
    }

    /// It runs again: its timers first, which are late, then what waits, as every adapter does.
    pub fn resume(&mut self, id: NodeId) {
        let paused = |member: &&mut super::member::Member| member.paused;
        let Some(member) = self.members.get_mut(id.0).filter(paused) else {
            return;
        };
        member.paused = false;
        let waiting = core::mem::take(&mut member.inbox);
        self.note(id, TraceKind::Fault(Fault::Resume));
        self.report_interfaces(id);
        let now = self.local_time(id);
        if let Some(node) = self.running(id) {
            node.handle_timeout(now);
        }
        self.drain(id);
        for delivery in waiting {
            self.receive(&delivery);
        }
        if let Some(node) = self.running(id) {
            node.handle_drained(now);
        }
        self.drain(id);
    }

    /// Nothing passes from one node to the other, on any segment, until healed. One way only, and nobody notices.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        if self.cut.insert((from, to)) {
            self.note(from, TraceKind::Fault(Fault::Cut(to)));
        }
    }

    /// Undoes [`cut`](Self::cut).
    pub fn heal(&mut self, from: NodeId, to: NodeId) {
        if self.cut.remove(&(from, to)) {
            self.note(from, TraceKind::Fault(Fault::Heal(to)));
        }
    }

    /// Is anything that the first sends [cut off](Self::cut) from the second?
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Pulls (or plugs) all cables of a node, which notices.
    pub fn set_link(&mut self, id: NodeId, link: LinkState) {
        let segments = self.members.get(id.0).map(|member| member.links.clone());
        for (segment, _) in segments.into_iter().flatten() {
            self.set_link_on(id, segment, link);
        }
    }

    /// Pulls (or plugs) the cable of a node to one segment. It notices; if it is [paused](Self::pause), later.
    pub fn set_link_on(&mut self, id: NodeId, segment: IfaceId, link: LinkState) {
        let Some(member) = self.members.get_mut(id.0) else {
            return;
        };
        let now = member.links.iter_mut().find(|(own, _)| *own == segment);
        if let Some((_, state)) = now.filter(|(_, state)| *state != link) {
            *state = link;
            self.note(id, TraceKind::Fault(Fault::Link(segment, link)));
            self.report_interfaces(id);
            self.drain(id);
        }
    }

    /// What becomes of every frame that the node sends from now on: [`TransmitResult::Sent`] is health.
    pub fn set_sending(&mut self, id: NodeId, result: TransmitResult) {
        if let Some(member) = self
            .members
            .get_mut(id.0)
            .filter(|member| member.sending != result)
        {
            member.sending = result;
            self.note(id, TraceKind::Fault(Fault::Sending(result)));
        }
    }

    /// The adapter cannot put addresses on from now on, or can again. What it has it keeps.
    pub fn refuse_addresses(&mut self, id: NodeId, refuse: bool) {
        if let Some(member) = self
            .members
            .get_mut(id.0)
            .filter(|member| member.refuses != refuse)
        {
            member.refuses = refuse;
            self.note(id, TraceKind::Fault(Fault::Refuse(refuse)));
        }
    }

    /// Keeps this many of the frames that are sent, the last ones; 0, as in the beginning: none.
    pub fn record(&mut self, frames: usize) {
        self.recorded_at_most = frames;
        self.forget_recordings(frames);
    }

    /// What was [recorded](Self::record), the oldest first.
    pub fn recorded(&self) -> impl ExactSizeIterator<Item = &Recorded> {
        self.recorded.iter()
    }

    /// Somebody on the segment plays a frame to a node, as it was recorded or changed. It arrives now, unless its cable
    /// is pulled; at a node that is [paused](Self::pause) it waits.
    pub fn inject(&mut self, to: NodeId, recorded: &Recorded) {
        let Recorded { from, segment, frame } = recorded.clone();
        self.note(to, TraceKind::Fault(Fault::Inject(from)));
        let delivery = Delivery {
            at: self.now,
            sequence: self.sequence,
            to,
            from,
            segment,
            frame,
        };
        self.arrive(delivery);
    }

    pub(super) fn forget_recordings(&mut self, left: usize) {
        let too_many = self.recorded.len().saturating_sub(left);
        self.recorded.drain(..too_many);
    }

    fn crash_quietly(&mut self, id: NodeId) {
        if self
            .members
            .get(id.0)
            .is_some_and(|member| member.running.is_some())
        {
            self.crash(id);
        }
    }
}
