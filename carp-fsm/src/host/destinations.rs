//! To whom a virtual host advertises.

use super::{Families, Host, Output};
use crate::node::Peer;
use crate::state::Family;

/// Peers that a virtual host can have.
pub(crate) const MAX_PEERS: usize = 8;

/// A group of CARP, or a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Destination(u8);

/// Several of them, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Destinations(u16);

/// Whether a virtual host speaks to the groups of CARP, and which of its peers are of which family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unicast {
    pub(crate) multicast: bool,
    ipv4: u8,
    ipv6: u8,
}

impl Destination {
    /// The group of IPv4.
    pub(crate) const IPV4: Self = Self(0);
    /// The group of IPv6.
    pub(crate) const IPV6: Self = Self(1);

    /// Its number among the peers, if it is one.
    pub(crate) fn peer(self) -> Option<usize> {
        usize::from(self.0).checked_sub(2)
    }
}

impl Destinations {
    pub(crate) const NONE: Self = Self(0);

    fn of(group: bool, which: Destination, peers: u8) -> Self {
        Self(u16::from(group) << which.0 | u16::from(peers) << 2)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn are_several(self) -> bool {
        self.0.count_ones() > 1
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn add(&mut self, one: Destination) {
        self.0 |= 1 << one.0;
    }

    /// Takes out the first: groups before peers.
    pub(super) fn take_first(&mut self) -> Option<Destination> {
        let first = u8::try_from(self.0.trailing_zeros()).ok()?;
        let rest = self.0 & self.0.checked_sub(1)?;
        self.0 = rest;
        Some(Destination(first))
    }
}

impl Unicast {
    pub(crate) const NONE: Self = Self {
        multicast: true,
        ipv4: 0,
        ipv6: 0,
    };

    /// Of more than [`MAX_PEERS`] peers, the first ones.
    pub(crate) fn new(multicast: bool, peers: &[Peer]) -> Self {
        let mut unicast = Self {
            multicast,
            ..Self::NONE
        };
        for (index, peer) in peers.iter().take(MAX_PEERS).enumerate() {
            let peers = match Family::of(peer.address) {
                Family::Ipv4 => &mut unicast.ipv4,
                Family::Ipv6 => &mut unicast.ipv6,
            };
            *peers |= 1 << index;
        }
        unicast
    }

    /// Has it a peer of this family?
    pub(crate) fn peers(self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.ipv4 != 0,
            Family::Ipv6 => self.ipv6 != 0,
        }
    }

    /// Those of the families in which somebody is reached; all of them if nobody is, so that a virtual host
    /// always waits for somebody.
    pub(super) fn reached(self, families: Families) -> Families {
        let reached = Families {
            ipv4: families.ipv4 && (self.multicast || self.peers(Family::Ipv4)),
            ipv6: families.ipv6 && (self.multicast || self.peers(Family::Ipv6)),
        };
        if reached.ipv4 || reached.ipv6 {
            reached
        } else {
            families
        }
    }
}

impl<const ADDRS: usize> Host<ADDRS> {
    pub(super) fn destinations(&self) -> Destinations {
        let Unicast {
            multicast,
            ipv4,
            ipv6,
        } = self.unicast;
        let families = self.sends();
        let four = Destinations::of(multicast, Destination::IPV4, ipv4);
        let six = Destinations::of(multicast, Destination::IPV6, ipv6);
        let take = |wanted, destinations| if wanted { destinations } else { Destinations::NONE };
        take(families.ipv4, four).or(take(families.ipv6, six))
    }

    /// Is this output for one of several, each of which may be gone without our fault?
    pub(crate) fn is_one_of_several(&self, output: Output) -> bool {
        let to_peer = matches!(output, Output::Advertise(to) if to.peer().is_some());
        to_peer && self.destinations().are_several()
    }

    /// What waits to be said to others is not said.
    pub(crate) fn keep_destinations(&mut self) {
        self.pending.keep(self.destinations());
    }

    pub(crate) fn reaches_somebody(&self, unicast: Unicast) -> bool {
        let families = self.address_families();
        (families.ipv4 && (unicast.multicast || unicast.peers(Family::Ipv4)))
            || (families.ipv6 && (unicast.multicast || unicast.peers(Family::Ipv6)))
    }
}
