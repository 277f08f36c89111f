//! Authenticators besides the one of the configuration: another form of the digest, and those that were in
//! force before key or addresses changed (`docs/protocol.md §11`).

use carp_proto::{Advertisement, Authenticator, Packet, Verified};

use super::Node;
use crate::config::HostConfig;
use crate::host::{Changing, other_form};
use crate::machine::Input;
use crate::storage::{KeySlot, Pool, Spare, SpareUse};
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
        let other_form = other_form(&config);
        let Some(host) = self.hosts.get_mut(slot) else {
            return;
        };
        let (sent, waited) = (host.sends(), host.waits());
        let signed = host.configure(config);
        if grace > Duration::ZERO && self.keys.replace(slot, signed) {
            host.change_until(now + grace, sent, waited);
        } else {
            host.changing = None;
            self.keys.clear(slot);
        }
        host.keep_families();
        self.keys.set_other_form(slot, other_form);
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
                self.keys.forget_replaced(slot);
                if let Some(host) = self.hosts.get_mut(slot) {
                    host.changing = None;
                }
            }
            _ => {}
        }
    }
}

impl SpareUse {
    fn age(self) -> Age {
        match self {
            Self::OtherForm => Age::InForce,
            Self::Signs | Self::Verifies => Age::Replaced,
        }
    }
}

impl<'s> Keys<'s> {
    pub(super) fn new(slots: Pool<'s, KeySlot>, per_host: usize) -> Self {
        Self { slots, per_host }
    }

    /// A host moved into this slot.
    pub(super) fn clear(&mut self, host: u16) {
        self.of_mut(host).fill(KeySlot::EMPTY);
    }

    /// Is there any room for this host? Memory that grows makes it.
    pub(super) fn ensure(&mut self, host: u16) -> bool {
        let end = usize::from(host).saturating_add(1).saturating_mul(self.per_host);
        self.per_host > 0 && self.slots.ensure(end.saturating_sub(1), || KeySlot::EMPTY)
    }

    /// `signed` was in force until now, and goes on signing if nothing older does. False: there is no room to
    /// remember it.
    pub(super) fn replace(&mut self, host: u16, signed: Authenticator) -> bool {
        self.ensure(host);
        for spare in self.spares_mut(host) {
            if spare.used == SpareUse::OtherForm {
                spare.used = SpareUse::Verifies;
            }
        }
        let signs = self.signing(host).is_some();
        let used = if signs {
            SpareUse::Verifies
        } else {
            SpareUse::Signs
        };
        self.put(host, signed, used) || signs
    }

    /// What else verifies what is in force, if anything does. It comes before all that was.
    pub(super) fn set_other_form(&mut self, host: u16, other_form: Option<Authenticator>) {
        if let Some(other_form) = other_form
            && !self.put(host, other_form.clone(), SpareUse::OtherForm)
            && let Some(slot) = self.of_mut(host).first_mut()
        {
            slot.spare = Some(Spare {
                authenticator: other_form,
                used: SpareUse::OtherForm,
            });
        }
    }

    /// What signs instead of what is in force.
    pub(super) fn signing(&self, host: u16) -> Option<&Authenticator> {
        let mut spares = self.spares(host);
        let signs = spares.find(|spare| spare.used == SpareUse::Signs)?;
        Some(&signs.authenticator)
    }

    /// The others have changed, too: nothing old signs any longer. It still verifies.
    pub(super) fn stop_signing(&mut self, host: u16) {
        for spare in self.spares_mut(host) {
            if spare.used == SpareUse::Signs {
                spare.used = SpareUse::Verifies;
            }
        }
    }

    /// Nothing old verifies any longer.
    pub(super) fn forget_replaced(&mut self, host: u16) {
        for slot in self.of_mut(host) {
            slot.spare.take_if(|spare| spare.used != SpareUse::OtherForm);
        }
    }

    /// Tries what the configured authenticator has rejected.
    pub(super) fn verify(&self, host: u16, payload: &[u8]) -> Option<(Verified<Advertisement>, Age)> {
        let packet = Packet::new_checked(payload).ok()?;
        self.spares(host)
            .find_map(|spare| Some((spare.authenticator.verify(&packet).ok()?, spare.used.age())))
    }

    /// Would it have been believed before the change, too?
    pub(super) fn is_replaced(&self, host: u16, payload: &[u8]) -> bool {
        let Ok(packet) = Packet::new_checked(payload) else {
            return false;
        };
        let mut replaced = self
            .spares(host)
            .filter(|spare| spare.used.age() == Age::Replaced);
        replaced.any(|spare| spare.authenticator.verify(&packet).is_ok())
    }

    /// Takes a free slot, or that of something that only verifies: what signs is all that others may know.
    fn put(&mut self, host: u16, authenticator: Authenticator, used: SpareUse) -> bool {
        let verifies = |slot: &KeySlot| {
            slot.spare
                .as_ref()
                .is_some_and(|spare| spare.used == SpareUse::Verifies)
        };
        let slots = self.of_mut(host);
        let free = slots.iter().position(|slot| slot.spare.is_none());
        let place = free.or_else(|| slots.iter().position(verifies));
        let Some(slot) = place.and_then(|place| slots.get_mut(place)) else {
            return false;
        };
        slot.spare = Some(Spare { authenticator, used });
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

    fn spares_mut(&mut self, host: u16) -> impl Iterator<Item = &mut Spare> {
        self.of_mut(host)
            .iter_mut()
            .filter_map(|slot| slot.spare.as_mut())
    }
}
