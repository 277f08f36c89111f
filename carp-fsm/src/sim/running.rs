//! What happens: frames arrive, deadlines pass, actions are carried out.

use alloc::borrow::ToOwned;
use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use core::net::IpAddr;

use carp_proto::frame::{FrameClass, MAX_FRAME_LEN, classify};
use carp_proto::{Advertisement, Packet};

use super::member::{Delivery, Member};
use super::{NodeId, Recorded, Sim, TraceKind};
use crate::action::{Action, OwnerError, TransmitKind, TransmitResult};
use crate::config::{ConfigError, InterfaceInfo};
use crate::id::IfaceId;
use crate::node::Node;
use crate::storage::Storage;
use crate::time::Instant;

impl Sim {
    pub(super) fn next_instant(&self) -> Option<Instant> {
        let timers = self.members.iter().filter_map(Member::deadline);
        let arrival = self.deliveries.peek().map(|Reverse(delivery)| delivery.at);
        timers.chain(arrival).min()
    }

    pub(super) fn deliver_due(&mut self) {
        let due =
            |heap: &BinaryHeap<Reverse<Delivery>>, now| heap.peek().is_some_and(|Reverse(d)| d.at <= now);
        while due(&self.deliveries, self.now) {
            let Some(Reverse(delivery)) = self.deliveries.pop() else {
                return;
            };
            self.arrive(delivery);
        }
    }

    pub(super) fn arrive(&mut self, delivery: Delivery) {
        let Some(member) = self.members.get_mut(delivery.to.0) else {
            return;
        };
        if !member.is_on(delivery.segment) {
            return;
        }
        if member.paused {
            member.keep(delivery);
        } else {
            self.receive(&delivery);
        }
    }

    pub(super) fn receive(&mut self, delivery: &Delivery) {
        let (to, from) = (delivery.to, delivery.from);
        let FrameClass::Carp { meta, payload } = classify(&delivery.frame) else {
            return;
        };
        let now = self.local_time(to);
        let Some(node) = self.running(to) else { return };
        let duplicates = node.stats().duplicates;
        let accepted = node.handle_packet(now, delivery.segment, &meta, payload).is_ok();
        let again = node.stats().duplicates > duplicates;
        let advertisement = Packet::new_checked(payload)
            .ok()
            .and_then(|packet| Advertisement::parse(&packet).ok());
        if let Some(advertisement) = advertisement.filter(|_| accepted) {
            let (source, counter) = (meta.src, advertisement.counter);
            let kind = if again {
                TraceKind::HeardAgain {
                    from,
                    source,
                    counter,
                }
            } else {
                TraceKind::Heard {
                    from,
                    source,
                    interval: advertisement.interval(),
                    demotion: advertisement.demotion.get(),
                    counter,
                }
            };
            let several = self.has_several(to);
            self.note_about(to, several.then_some(advertisement.vhid), kind);
        }
        self.drain(to);
    }

    pub(super) fn wake_due(&mut self) {
        for id in (0..self.members.len()).map(NodeId) {
            let due = self.members.get(id.0).and_then(Member::deadline);
            if due.is_none_or(|due| due > self.now) {
                continue;
            }
            let now = self.local_time(id);
            if let Some(node) = self.running(id) {
                node.handle_timeout(now);
                node.handle_drained(now);
            }
            self.drain(id);
        }
    }

    pub(super) fn start(&mut self, id: NodeId) -> Result<(), ConfigError> {
        let (now, seed) = (self.local_time(id), self.random.draw());
        let Some(member) = self.members.get_mut(id.0) else {
            return Ok(());
        };
        // Events are taken after each call, and one call makes a few for each host at most.
        let events = member.plan.hosts.len().saturating_mul(8).saturating_add(64);
        let storage = Storage::growing_with(events, 64);
        let mut node = Node::new(member.plan.policy, seed, storage);
        for config in &member.plan.hosts {
            let host = node.insert(now, config.clone())?;
            let peers = node.set_peers(now, host, member.plan.multicast, &member.plan.peers);
            peers.map_err(ConfigError::Peers)?;
        }
        member.running = Some(node);
        self.report_interfaces(id);
        self.drain(id);
        Ok(())
    }

    pub(super) fn report_interfaces(&mut self, id: NodeId) {
        let now = self.local_time(id);
        let Some(member) = self.members.get_mut(id.0).filter(|member| member.runs()) else {
            return;
        };
        for (segment, link) in &member.links {
            let info = InterfaceInfo {
                mac: member.plan.mac(),
                ipv4: Some(member.plan.address),
                ipv6: Some(member.plan.ipv6()),
                link: *link,
            };
            if let Some(node) = &mut member.running {
                node.handle_interface(now, *segment, info);
            }
        }
    }

    /// What every adapter does: events and actions until there are none.
    pub(super) fn drain(&mut self, id: NodeId) {
        let now = self.local_time(id);
        let Some((sending, refuses)) = self
            .members
            .get(id.0)
            .map(|member| (member.sending, member.refuses))
        else {
            return;
        };
        self.note_events(id);
        let mut frame = [0; MAX_FRAME_LEN];
        while let Some(action) = self
            .running(id)
            .and_then(|node| node.poll_action(now, &mut frame))
        {
            match action {
                Action::SetOwner { host, owner, seq } => {
                    let refused = owner && refuses;
                    self.note(
                        id,
                        if refused {
                            TraceKind::Refused { host }
                        } else {
                            TraceKind::Owner { host, owner }
                        },
                    );
                    let result = if refused { Err(OwnerError) } else { Ok(()) };
                    if let Some(node) = self.running(id) {
                        node.handle_owner_result(now, host, seq, result);
                    }
                }
                Action::Transmit {
                    iface,
                    host,
                    kind,
                    len,
                    next_hop,
                    tx,
                } => {
                    let vhid = self.vhid_if_several(id, host);
                    if sending == TransmitResult::Sent {
                        self.note_about(id, vhid, TraceKind::Sent(kind));
                        // Nobody here listens to announcements.
                        if kind != TransmitKind::Announcement {
                            self.send(id, iface, next_hop, frame.get(..len).unwrap_or_default());
                        }
                    } else {
                        self.note_about(id, vhid, TraceKind::NotSent(kind, sending));
                    }
                    if let Some(node) = self.running(id) {
                        node.handle_transmit_result(now, tx, sending);
                    }
                }
            }
        }
        self.note_events(id);
    }

    fn note_events(&mut self, id: NodeId) {
        while let Some(event) = self.running(id).and_then(Node::poll_event) {
            self.note(id, TraceKind::Event(event.kind));
        }
    }

    /// To one node, or to all others on the segment.
    fn send(&mut self, from: NodeId, segment: IfaceId, next_hop: Option<IpAddr>, frame: &[u8]) {
        let connected = |member: &Member| member.is_on(segment);
        if !self.members.get(from.0).is_some_and(connected) {
            return;
        }
        if self.recorded_at_most > 0 {
            self.forget_recordings(self.recorded_at_most.saturating_sub(1));
            self.recorded.push_back(Recorded {
                from,
                segment,
                frame: frame.to_owned(),
            });
        }
        for (to, member) in self.members.iter().enumerate() {
            let to = NodeId(to);
            let plan = &member.plan;
            let meant = next_hop.is_none_or(|hop| hop == plan.address || hop == plan.ipv6());
            if to == from || !meant || !connected(member) || self.cut.contains(&(from, to)) {
                continue;
            }
            for delay in self.network.arrivals(&mut self.random) {
                let mut at = self.now + delay;
                let last = self.last_arrival.entry((from, to)).or_insert(at);
                if !self.network.reorders {
                    at = at.max(*last);
                }
                *last = at;
                self.sequence = self.sequence.saturating_add(1);
                self.deliveries.push(Reverse(Delivery {
                    at,
                    sequence: self.sequence,
                    to,
                    from,
                    segment,
                    frame: frame.to_owned(),
                }));
            }
        }
    }
}
