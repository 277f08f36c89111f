//! Key and addresses of one virtual host, and what others may still have of them while they change.

use core::num::NonZeroU8;

use carp_proto::{AddressSet, AdvBase, Authenticator, HmacVariant, Interval};

use super::{Host, LEFT_FAST};
use crate::config::{HostConfig, Profile};

/// Other nodes may still go by the key and the addresses from before a change, and so do we (§11). In one byte: the
/// families before or after, and those before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Changing(NonZeroU8);

impl Changing {
    /// `None` if nothing would be sent.
    fn new(sends: Families, waits: Families) -> Option<Self> {
        NonZeroU8::new(sends.bits() | waits.bits() << 2).map(Self)
    }

    fn sends(self) -> Families {
        Families::from_bits(self.0.get())
    }

    fn waits(self) -> Families {
        Families::from_bits(self.0.get() >> 2)
    }
}

/// IPv4, IPv6, both or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Families {
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
}

impl Families {
    /// Those of the addresses; without any, IPv4.
    pub(super) fn of<const ADDRS: usize>(addresses: &AddressSet<ADDRS>) -> Self {
        Self {
            ipv4: addresses.has_ipv4() || !addresses.has_ipv6(),
            ipv6: addresses.has_ipv6(),
        }
    }

    fn bits(self) -> u8 {
        u8::from(self.ipv4) | u8::from(self.ipv6) << 1
    }

    fn from_bits(bits: u8) -> Self {
        Self {
            ipv4: bits & 1 != 0,
            ipv6: bits & 2 != 0,
        }
    }
}

impl<const ADDRS: usize> Host<ADDRS> {
    /// Takes over a configuration for the same vhid and dialect, and returns what signed until now.
    pub(crate) fn configure(&mut self, config: HostConfig<ADDRS>) -> Authenticator {
        self.config = config;
        let form = self.config.dialect.rules().hmac_sent;
        core::mem::replace(&mut self.authenticator, authenticator(&self.config, form))
    }

    /// The other form of digest that OpenBSD accepts (§5), where it differs. Made when it is needed: only
    /// virtual hosts with link-local addresses have one, and all would pay for keeping it.
    pub(crate) fn other_form(&self) -> Option<Authenticator> {
        let rules = self.config.dialect.rules();
        let mut others = rules
            .hmac_accepted
            .iter()
            .filter(|form| **form != rules.hmac_sent);
        let other = others.next()?;
        let differs = self
            .config
            .addresses
            .ipv6()
            .any(|address| address.is_unicast_link_local());
        differs.then(|| authenticator(&self.config, *other))
    }

    /// From now on others may go by addresses that were in use in `sent` and `waited`.
    pub(crate) fn begin_change(&mut self, sent: Families, waited: Families) {
        let new = self.families();
        let both = Families {
            ipv4: waited.ipv4 && new.ipv4,
            ipv6: waited.ipv6 && new.ipv6,
        };
        let either = Families {
            ipv4: sent.ipv4 || new.ipv4,
            ipv6: sent.ipv6 || new.ipv6,
        };
        // Somebody must be waited for.
        let waits = if both.ipv4 || both.ipv6 { both } else { new };
        self.changing = Changing::new(either, waits);
    }

    /// All have changed. True: other families than before are waited for.
    pub(crate) fn end_change(&mut self) -> bool {
        let waited = self.waits();
        self.changing = None;
        self.keep_destinations();
        waited != self.waits()
    }

    /// In which families it advertises: in IPv4 with an IPv4 address, or with none at all; in IPv6 with an IPv6
    /// address; and where others may still expect it.
    pub(crate) fn sends(&self) -> Families {
        self.changing.map_or_else(|| self.families(), Changing::sends)
    }

    /// In which families the others must be heard: in those in which all of them advertise.
    pub(crate) fn waits(&self) -> Families {
        self.changing.map_or_else(|| self.families(), Changing::waits)
    }

    /// advbase, and the dead ratio of the fast profile while that holds.
    pub(crate) fn cadence(&self) -> (AdvBase, Option<u8>) {
        match self.config.profile {
            Profile::Normal => (self.config.advbase, None),
            Profile::Fast { .. } if self.marks.has(LEFT_FAST) => (AdvBase::new(1), None),
            Profile::Fast { dead_ratio } => (self.config.advbase, Some(dead_ratio.get())),
        }
    }

    /// Leaves the fast profile, if it has it, for whoever advertises like this.
    pub(crate) fn leaves_fast(&mut self, heard: Interval) -> bool {
        let fast = self.cadence().1.is_some();
        let leaves = fast && heard.base().get() > 0 && heard != Interval::BOW_OUT;
        if leaves {
            self.marks.put(LEFT_FAST, true);
        }
        leaves
    }

    fn families(&self) -> Families {
        self.unicast.reached(self.address_families())
    }

    pub(super) fn address_families(&self) -> Families {
        Families::of(&self.config.addresses)
    }
}

pub(super) fn authenticator<const ADDRS: usize>(
    config: &HostConfig<ADDRS>,
    form: HmacVariant,
) -> Authenticator {
    Authenticator::new(&config.key, config.vhid, &config.addresses, form)
}
