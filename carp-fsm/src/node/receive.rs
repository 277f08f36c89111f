//! What is heard.

use core::slice::from_ref;

use carp_proto::{Advertisement, CounterRule, Packet, Receiver, Rejection, RxMeta, Verified};

use super::NeighbourKind;
use super::Node;
use super::neighbours::Spoke;
use super::replay::Verdict;
use crate::event::EventKind;
use crate::host::{Host, PeerSeen};
use crate::id::{HostId, IfaceId};
use crate::machine::Input;
use crate::state::Family;
use crate::stats::bump;
use crate::time::Instant;

/// # Inputs from the world
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// A packet of IP protocol 112 came in on `iface`: what [`carp_proto::frame::classify`] calls
    /// `Carp`. Anything but a valid advertisement for one of our virtual hosts is counted by reason,
    /// and nothing else happens.
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: what it is inlined into is too large for its registers
    pub fn handle_packet(
        &mut self,
        now: Instant,
        iface: IfaceId,
        meta: &RxMeta,
        payload: &[u8],
    ) -> Result<HostId, Rejection> {
        let now = self.clamp(now);
        let family = Family::of(meta.src);
        bump(match family {
            Family::Ipv4 => &mut self.stats.ipackets,
            Family::Ipv6 => &mut self.stats.ipackets6,
        });
        let found = self.verify(iface, family, meta, payload);
        let (slot, advertisement) = found.inspect_err(|rejection| {
            self.stats.count(*rejection);
            self.note(now, iface, meta, Spoke::Rejected(*rejection), payload);
        })?;

        let interval = advertisement.interval();
        let lower_source = self.has_lower_source(slot, iface, meta.src);
        let mut left_fast = false;
        if let Some(host) = self.hosts.get_mut(slot) {
            let cookies = host.config.dialect.rules().counter == CounterRule::Cookie;
            let verdict = if !host.hears_counter(&self.policy, advertisement.counter) {
                Verdict::Own
            } else if let Some(replays) = self.parts.replays.filter(|_| self.policy.ignores_replays) {
                // Our own come back late, and one for each family: the last counter alone does not tell.
                let repeats = cookies || host.config.peers_repeat_counter;
                let memory = &mut self.memory;
                (replays.hear)(memory, now, slot, advertisement.counter, interval, repeats)
            } else {
                Verdict::Fresh
            };
            let repeated = match verdict {
                Verdict::Fresh => None,
                Verdict::Duplicate => {
                    bump(&mut self.stats.duplicates);
                    return Ok(self.hosts.id(slot));
                }
                Verdict::Own => Some((&mut self.stats.loops, NeighbourKind::Loop)),
                Verdict::Repeated => Some((&mut self.stats.replays, NeighbourKind::RepeatsCounter)),
                Verdict::Replay => Some((&mut self.stats.replays, NeighbourKind::Replay)),
            };
            if let Some((counter, kind)) = repeated {
                bump(counter);
                self.stats.count(Rejection::BadAuth);
                self.note(now, iface, meta, Spoke::Again(advertisement.vhid, kind), payload);
                return Err(Rejection::BadAuth);
            }
            host.peer = Some(PeerSeen {
                source: meta.src,
                interval,
                at: now,
            });
            left_fast = host.leaves_fast(interval);
            if left_fast {
                let (host, peer) = (self.hosts.id(slot), meta.src);
                let kind = EventKind::FastProfileLeft { host, peer, interval };
                self.events.push(now, kind);
            }
        }
        if left_fast {
            // In both families, whichever it was heard in.
            self.step(now, slot, Input::Reconfigured, None);
        }
        let input = Input::Heard {
            family,
            interval,
            demotion: advertisement.demotion,
            lower_source,
        };
        self.step(now, slot, input, Some(meta.src));
        Ok(self.hosts.id(slot))
    }

    /// From a packet to the host that it is for and what it says, or to the reason why not.
    fn verify(
        &self,
        iface: IfaceId,
        family: Family,
        meta: &RxMeta,
        payload: &[u8],
    ) -> Result<(u16, Verified<Advertisement>), Rejection> {
        let fallback = self.hosts.dialect_on(iface).unwrap_or_default();
        let mut listener = None;
        let found = carp_proto::receive(meta, payload, fallback, |vhid| {
            let slot = self.hosts.find(iface, vhid)?;
            let host = self.hosts.get(slot)?;
            listener = host.listens(family, &self.policy).then_some((slot, host));
            let (slot, host) = listener?;
            let unicast = host.unicast;
            let by_unicast = unicast.has_peer(family) && !(unicast.is_multicast() && meta.dst.is_multicast());
            let receiver = Receiver {
                dialect: host.config.dialect,
                unicast: by_unicast,
                min_ttl: by_unicast.then(|| {
                    let peers = self.parts.peers;
                    peers.map_or(u8::MAX, |part| (part.min_ttl)(&self.peers, slot, meta.src))
                }),
                authenticators: from_ref(&host.authenticator),
            };
            Some((slot, receiver))
        });
        match (found, listener) {
            (Ok((slot, advertisement)), _) => Ok((slot, advertisement)),
            (Err(Rejection::BadAuth), Some((slot, host))) => {
                let advertisement = self
                    .verify_otherwise(slot, host, payload)
                    .ok_or(Rejection::BadAuth)?;
                Ok((slot, advertisement))
            }
            (Err(rejection), _) => Err(rejection),
        }
    }

    /// Tries what is left when the configured authenticator has rejected something.
    fn verify_otherwise(
        &self,
        slot: u16,
        host: &Host<ADDRS>,
        payload: &[u8],
    ) -> Option<Verified<Advertisement>> {
        let other_form = host.other_form().and_then(|other_form| {
            let packet = Packet::new_checked(payload).ok()?;
            other_form.verify(&packet).ok()
        });
        other_form.or_else(|| (self.parts.keys?.verify)(&self.keys, self.now, slot, payload))
    }
}
