//! Authenticators that were in force before key or addresses changed (`docs/protocol.md §11`).

#[cfg(feature = "sim")]
use core::hash::{Hash, Hasher};

#[cfg(feature = "sim")]
use carp_proto::Counter;
use carp_proto::{Advertisement, Authenticator, Packet, Verified};

use super::Node;
use crate::config::HostConfig;
use crate::host::Host;
use crate::machine::Input;
#[cfg(feature = "sim")]
use crate::machine::relative;
use crate::storage::{KeySlot, Pool, Spare};
use crate::time::{Duration, Instant};

/// The spare authenticators of all virtual hosts, the same number of slots for each.
pub(super) struct Keys<'s> {
    slots: Pool<'s, KeySlot>,
    per_host: usize,
}

impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// Key or addresses of a host changed: it goes on as before for those who have not heard of it.
    pub(super) fn change(&mut self, now: Instant, slot: u16, config: HostConfig<ADDRS>) {
        let grace = self.policy.change_grace;
        let Some(host) = self.hosts.get_mut(slot) else {
            return;
        };
        let (sent, waited) = (host.sends(), host.waits());
        host.changing = None;
        let other_form = host.other_form();
        let signed = host.configure(config);
        if let Some(part) = self.parts.keys {
            let keys = &mut self.keys;
            if grace > Duration::ZERO && (part.replace)(keys, now + grace, slot, signed, other_form) {
                host.begin_change(sent, waited);
            } else {
                (part.clear)(keys, slot);
            }
        }
        host.keep_destinations();
        self.reschedule(slot);
    }

    /// The grace of a change, if one is over: all have the key and the addresses that we have, or should have.
    pub(super) fn end_change(&mut self, now: Instant, slot: u16) {
        if self.keys.until(slot).is_none_or(|until| now < until) {
            return;
        }
        self.keys.clear(slot);
        if self.hosts.get_mut(slot).is_some_and(Host::end_change) {
            self.step(now, slot, Input::Reconfigured, None);
        }
    }
}

impl<'s> Keys<'s> {
    pub(super) fn new(slots: Pool<'s, KeySlot>, per_host: usize) -> Self {
        Self { slots, per_host }
    }

    /// Nothing old signs or verifies.
    pub(super) fn clear(&mut self, host: u16) {
        self.of_mut(host).fill(KeySlot::EMPTY);
    }

    /// These were in force until now, and are believed until then, as is what was in force before them. The oldest
    /// signs. False: there is no room to remember it.
    pub(super) fn replace(
        &mut self,
        until: Instant,
        host: u16,
        signed: Authenticator,
        other_form: Option<Authenticator>,
    ) -> bool {
        let end = usize::from(host).saturating_add(1).saturating_mul(self.per_host);
        if let Some(last) = end.checked_sub(1) {
            // Without room nothing is remembered, which is allowed.
            self.slots.ensure(last, || KeySlot::EMPTY);
        }
        let mut already = false;
        let slots = self.of_mut(host).iter_mut();
        for spare in slots.filter_map(|slot| slot.spare.as_mut()) {
            already |= spare.signs;
            spare.until = until;
        }
        let spare = |authenticator, signs| Spare {
            authenticator,
            signs,
            until,
        };
        let signs = self.put(host, spare(signed, !already)) || already;
        if let Some(other_form) = other_form {
            self.put(host, spare(other_form, false));
        }
        signs
    }

    /// What signs besides what is in force.
    pub(super) fn signing(&self, host: u16) -> Option<&Authenticator> {
        let signs = self.spares(host).find(|spare| spare.signs)?;
        Some(&signs.authenticator)
    }

    /// Until when it does, and all that is old is believed.
    pub(super) fn until(&self, host: u16) -> Option<Instant> {
        let signs = self.spares(host).find(|spare| spare.signs)?;
        Some(signs.until)
    }

    /// Tries what was in force before when what is configured has rejected something.
    pub(super) fn verify(&self, now: Instant, host: u16, payload: &[u8]) -> Option<Verified<Advertisement>> {
        let packet = Packet::new_checked(payload).ok()?;
        // Its timer may be about to act.
        let mut spares = self.spares(host).filter(|spare| now < spare.until);
        spares.find_map(|spare| spare.authenticator.verify(&packet).ok())
    }

    /// Takes a free slot, or that of something that only verifies: what signs is all that others may know.
    fn put(&mut self, host: u16, spare: Spare) -> bool {
        let verifies = |slot: &KeySlot| slot.spare.as_ref().is_some_and(|spare| !spare.signs);
        let slots = self.of_mut(host);
        let free = slots.iter().position(|slot| slot.spare.is_none());
        let place = free.or_else(|| slots.iter().position(verifies));
        let Some(slot) = place.and_then(|place| slots.get_mut(place)) else {
            return false;
        };
        slot.spare = Some(spare);
        true
    }

    #[cfg(feature = "sim")]
    pub(super) fn fork(&self) -> Option<Keys<'static>> {
        Some(Keys {
            slots: self.slots.fork()?,
            per_host: self.per_host,
        })
    }

    /// For model checkers: what is believed besides what is configured, and until when.
    #[cfg(feature = "sim")]
    pub(super) fn hash_election(&self, now: Instant, host: u16, state: &mut impl Hasher) {
        for spare in self.spares(host) {
            let Spare {
                authenticator,
                signs,
                until,
            } = spare;
            // Whoever signs the same is the same.
            let digest = authenticator.sign(Counter::new(1));
            (digest.as_bytes(), signs, relative(now, Some(*until))).hash(state);
        }
    }

    fn range(&self, host: u16) -> core::ops::Range<usize> {
        let start = usize::from(host).saturating_mul(self.per_host);
        start..start.saturating_add(self.per_host)
    }

    fn of_mut(&mut self, host: u16) -> &mut [KeySlot] {
        let range = self.range(host);
        self.slots.get_mut(range).unwrap_or_default()
    }

    fn spares(&self, host: u16) -> impl Iterator<Item = &Spare> {
        let slots = self.slots.get(self.range(host)).unwrap_or_default();
        slots.iter().filter_map(|slot| slot.spare.as_ref())
    }
}
