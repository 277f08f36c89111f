//! Authenticators that were in force before key or addresses changed (`docs/protocol.md §11`).

use carp_proto::{Advertisement, Authenticator, Packet, Verified};

use super::Node;
use crate::config::HostConfig;
use crate::host::{Changing, Host};
use crate::machine::Input;
use crate::storage::{KeySlot, Pool, Spare};
use crate::time::{Duration, Instant};

/// The spare authenticators of all virtual hosts, the same number of slots for each.
pub(super) struct Keys<'s> {
    slots: Pool<'s, KeySlot>,
    per_host: usize,
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
        let other_form = host.other_form();
        let signed = host.configure(config);
        if grace > Duration::ZERO && self.keys.replace(slot, signed, other_form) {
            host.change_until(now + grace, sent, waited);
        } else {
            host.changing = None;
            self.keys.clear(slot);
        }
        host.keep_destinations();
        self.reschedule(slot);
    }

    /// All have the key and the addresses that we have, or should have by now.
    pub(super) fn all_changed(&mut self, now: Instant, slot: u16) {
        let grace = self.policy.change_grace;
        self.keys.stop_signing(slot);
        if self
            .hosts
            .get_mut(slot)
            .is_some_and(|host| host.all_changed(grace))
        {
            self.step(now, slot, Input::Reconfigured, None);
        }
        self.reschedule(slot);
    }

    pub(super) fn run_change_timer(&mut self, now: Instant, slot: u16) {
        match self.hosts.get_mut(slot).and_then(|host| host.changing) {
            Some(Changing::Signs { until, .. }) if until <= now => self.all_changed(now, slot),
            Some(Changing::Verifies { until }) if until <= now => {
                self.keys.clear(slot);
                if let Some(host) = self.hosts.get_mut(slot) {
                    host.changing = None;
                }
            }
            _ => {}
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

    /// These were in force until now; `signed` goes on signing, if nothing older does. False: there is no room to
    /// remember it.
    fn replace(&mut self, host: u16, signed: Authenticator, other_form: Option<Authenticator>) -> bool {
        let end = usize::from(host).saturating_add(1).saturating_mul(self.per_host);
        if let Some(last) = end.checked_sub(1) {
            // Without room nothing is remembered, which is allowed.
            self.slots.ensure(last, || KeySlot::EMPTY);
        }
        let already = self.signing(host).is_some();
        let signs = self.put(host, signed, !already) || already;
        if let Some(other_form) = other_form {
            self.put(host, other_form, false);
        }
        signs
    }

    /// What signs instead of what is in force.
    pub(super) fn signing(&self, host: u16) -> Option<&Authenticator> {
        let signs = self.spares(host).find(|spare| spare.signs)?;
        Some(&signs.authenticator)
    }

    /// The others have changed, too: nothing old signs any longer. It still verifies.
    fn stop_signing(&mut self, host: u16) {
        let slots = self.of_mut(host).iter_mut();
        for spare in slots.filter_map(|slot| slot.spare.as_mut()) {
            spare.signs = false;
        }
    }

    /// Tries what is left when the configured authenticator has rejected something.
    pub(super) fn verify<const ADDRS: usize>(
        &self,
        slot: u16,
        host: &Host<ADDRS>,
        payload: &[u8],
    ) -> Option<(Verified<Advertisement>, Age)> {
        let packet = Packet::new_checked(payload).ok()?;
        if let Some(other_form) = host.other_form()
            && let Ok(advertisement) = other_form.verify(&packet)
        {
            return Some((advertisement, Age::InForce));
        }
        let mut spares = self.spares(slot);
        let found = spares.find_map(|spare| spare.authenticator.verify(&packet).ok())?;
        Some((found, Age::Replaced))
    }

    /// Would it have been believed before the change, too?
    pub(super) fn is_replaced(&self, host: u16, payload: &[u8]) -> bool {
        let mut spares = self.spares(host);
        Packet::new_checked(payload)
            .is_ok_and(|packet| spares.any(|spare| spare.authenticator.verify(&packet).is_ok()))
    }

    /// Takes a free slot, or that of something that only verifies: what signs is all that others may know.
    fn put(&mut self, host: u16, authenticator: Authenticator, signs: bool) -> bool {
        let verifies = |slot: &KeySlot| slot.spare.as_ref().is_some_and(|spare| !spare.signs);
        let slots = self.of_mut(host);
        let free = slots.iter().position(|slot| slot.spare.is_none());
        let place = free.or_else(|| slots.iter().position(verifies));
        let Some(slot) = place.and_then(|place| slots.get_mut(place)) else {
            return false;
        };
        slot.spare = Some(Spare { authenticator, signs });
        true
    }

    #[cfg(feature = "sim")]
    pub(super) fn fork(&self) -> Option<Keys<'static>> {
        Some(Keys {
            slots: self.slots.fork()?,
            per_host: self.per_host,
        })
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
