//! A node and what surrounds it.

use alloc::vec;
use alloc::vec::Vec;

use super::{ADDRS, NodePlan, SEGMENT};
use crate::action::TransmitResult;
use crate::config::LinkState;
use crate::id::IfaceId;
use crate::node::Node;
use crate::time::Instant;

/// Frames that wait while a node is paused, as in a socket's buffer.
const INBOX: usize = 64;

pub(super) struct Member {
    pub(super) plan: NodePlan,
    /// `None`: crashed, or never started.
    pub(super) running: Option<Node<'static, ADDRS>>,
    pub(super) paused: bool,
    pub(super) inbox: Vec<Delivery>,
    /// Its interfaces, and their cables.
    pub(super) links: Vec<(IfaceId, LinkState)>,
    pub(super) sending: TransmitResult,
    pub(super) refuses: bool,
}

/// A frame under way. Ordered by arrival; `sequence` keeps the order of sending among equals.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Delivery {
    pub(super) at: Instant,
    pub(super) sequence: u64,
    pub(super) to: super::NodeId,
    pub(super) from: super::NodeId,
    pub(super) segment: IfaceId,
    pub(super) frame: Vec<u8>,
}

impl Member {
    pub(super) fn new(plan: NodePlan) -> Self {
        let mut segments: Vec<IfaceId> = plan.hosts.iter().map(|host| host.iface).collect();
        segments.sort_unstable();
        segments.dedup();
        if segments.is_empty() {
            segments = vec![SEGMENT];
        }
        Self {
            links: segments
                .into_iter()
                .map(|segment| (segment, LinkState::Up))
                .collect(),
            plan,
            running: None,
            paused: false,
            inbox: Vec::new(),
            sending: TransmitResult::Sent,
            refuses: false,
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.running.is_some() && !self.paused
    }

    /// Is there a cable, and does anything pass through it?
    pub(super) fn is_on(&self, segment: IfaceId) -> bool {
        let mut links = self.links.iter();
        links.any(|(own, link)| *own == segment && *link != LinkState::Down)
    }

    /// When a timer of the node is due, in virtual time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let node = self.running.as_ref().filter(|_| !self.paused)?;
        Some(self.plan.clock.reaches(node.next_deadline()?))
    }

    pub(super) fn keep(&mut self, delivery: Delivery) {
        if self.inbox.len() < INBOX {
            self.inbox.push(delivery);
        }
    }
}
