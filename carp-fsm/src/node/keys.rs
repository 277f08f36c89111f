//! Authenticators that were in force before key or addresses changed (`docs/protocol.md §11`).

use carp_proto::{Advertisement, Authenticator, Packet, Verified};

use super::Node;
use crate::config::HostConfig;
use crate::host::Host;
use crate::machine::{Input, earlier};
use crate::storage::{KeySlot, Pool, Spare};
use crate::time::{Duration, Instant};

/// The spare authenticators of all virtual hosts, the same number of slots for each.
pub(super) struct Keys<'s> {
    slots: Pool<'s, KeySlot>,
    per_host: usize,
    /// When the first of them is over.
    pub(super) next: Option<Instant>,
}

/// What verified an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// What is configured.
    InForce,
    /// What was configured before.
    Replaced,
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
        if let Some(part) = self.parts.keys {
            let other_form = host.other_form();
            let signed = host.configure(config);
            let keys = &mut self.keys;
            if grace > Duration::ZERO && (part.replace)(keys, now + grace, grace, slot, signed, other_form) {
                host.begin_change(sent, waited);
            } else {
                (part.clear)(keys, slot);
            }
        } else {
            host.configure(config);
        }
        host.keep_destinations();
        self.reschedule(slot);
    }

    /// All have the key and the addresses that we have, or should have by now.
    fn end_change(&mut self, now: Instant, slot: u16) {
        self.keys.stop_signing(slot, self.policy.change_grace);
        if self.hosts.get_mut(slot).is_some_and(Host::end_change) {
            self.step(now, slot, Input::Reconfigured, None);
        }
    }

    /// Somebody signs with what is in force: does it know that there was a change?
    pub(super) fn heard_new(&mut self, now: Instant, slot: u16, payload: &[u8]) {
        // A change that does not show in the digest (a link-local address, for OpenBSD) proves nothing.
        if !self.keys.is_replaced(slot, payload) {
            self.end_change(now, slot);
        }
    }

    /// Changes that are over; no more often than there were changes.
    pub(super) fn run_change_timers(&mut self, now: Instant) {
        while self.keys.next.is_some_and(|next| next <= now) {
            let Some((slot, signs)) = self.keys.expire(now) else {
                return;
            };
            if signs {
                self.end_change(now, slot);
            }
        }
    }
}

impl<'s> Keys<'s> {
    pub(super) fn new(slots: Pool<'s, KeySlot>, per_host: usize) -> Self {
        Self {
            slots,
            per_host,
            next: None,
        }
    }

    /// Nothing old signs or verifies.
    pub(super) fn clear(&mut self, host: u16) {
        self.of_mut(host).fill(KeySlot::EMPTY);
    }

    /// These were in force until now; `signed` goes on signing until then, if nothing older does, and verifies for
    /// another `grace`. False: there is no room to remember it.
    pub(super) fn replace(
        &mut self,
        until: Instant,
        grace: Duration,
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
        for spare in self
            .of_mut(host)
            .iter_mut()
            .filter_map(|slot| slot.spare.as_mut())
        {
            already |= spare.signs;
            spare.until = if spare.signs { until } else { until + grace };
        }
        let spare = |authenticator, signs| Spare {
            authenticator,
            signs,
            until: if signs { until } else { until + grace },
        };
        let signs = self.put(host, spare(signed, !already)) || already;
        if let Some(other_form) = other_form {
            self.put(host, spare(other_form, false));
        }
        self.next = earlier(self.next, signs.then_some(until));
        signs
    }

    /// One that is over: whose it is, and whether it signed until now. Nothing else can be over before `next`.
    fn expire(&mut self, now: Instant) -> Option<(u16, bool)> {
        let over = |slot: &&mut KeySlot| slot.spare.as_ref().is_some_and(|spare| spare.until <= now);
        let mut slots = self.slots.iter_mut().enumerate();
        if let Some((index, slot)) = slots.find(|(_, slot)| over(slot)) {
            // What signed goes on verifying.
            let signs = slot.spare.as_ref().is_some_and(|spare| spare.signs);
            if !signs {
                slot.spare = None;
            }
            let host = index.checked_div(self.per_host).unwrap_or(0);
            return Some((u16::try_from(host).ok()?, signs));
        }
        let spares = self.slots.iter().filter_map(|slot| slot.spare.as_ref());
        self.next = spares.map(|spare| spare.until).min();
        None
    }

    /// What signs instead of what is in force.
    pub(super) fn signing(&self, host: u16) -> Option<&Authenticator> {
        let signs = self.spares(host).find(|spare| spare.signs)?;
        Some(&signs.authenticator)
    }

    /// Until when it does.
    pub(super) fn signs_until(&self, host: u16) -> Option<Instant> {
        let signs = self.spares(host).find(|spare| spare.signs)?;
        Some(signs.until)
    }

    /// The others have changed, too: nothing old signs any longer. It still verifies.
    fn stop_signing(&mut self, host: u16, grace: Duration) {
        let slots = self.of_mut(host).iter_mut();
        for spare in slots.filter_map(|slot| slot.spare.as_mut()) {
            if core::mem::take(&mut spare.signs) {
                spare.until = spare.until + grace;
            }
        }
    }

    /// Tries what was in force before when what is configured has rejected something.
    pub(super) fn verify(&self, host: u16, payload: &[u8]) -> Option<Verified<Advertisement>> {
        let packet = Packet::new_checked(payload).ok()?;
        let mut spares = self.spares(host);
        spares.find_map(|spare| spare.authenticator.verify(&packet).ok())
    }

    /// Would it have been believed before the change, too?
    fn is_replaced(&self, host: u16, payload: &[u8]) -> bool {
        let mut spares = self.spares(host);
        Packet::new_checked(payload)
            .is_ok_and(|packet| spares.any(|spare| spare.authenticator.verify(&packet).is_ok()))
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
            next: self.next,
        })
    }

    /// What old keys sign and verify, and for how long from now.
    #[cfg(feature = "sim")]
    pub(super) fn hash_relative(&self, now: Instant, state: &mut impl core::hash::Hasher) {
        use core::hash::Hash;
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some(spare) = &slot.spare {
                let whose = spare.authenticator.sign(carp_proto::Counter::new(0));
                let until = crate::machine::relative(now, Some(spare.until));
                (index, spare.signs, until, whose.as_bytes()).hash(state);
            }
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
