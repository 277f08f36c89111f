//! To whom a virtual host advertises.

use carp_proto::AddressSet;

use super::{Families, Host};
use crate::node::Peer;
use crate::state::Family;

/// Peers that a virtual host can have.
pub(crate) const MAX_PEERS: usize = 6;

/// The groups of IPv4 and IPv6 come before the peers.
const FIRST_PEER: u8 = 2;

/// A group of CARP, or a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Destination(u8);

/// Several of them, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Destinations(u8);

/// To whom a virtual host speaks, in each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unicast {
    ipv4: Destinations,
    ipv6: Destinations,
}

impl Destination {
    /// The group of IPv4.
    pub(crate) const IPV4: Self = Self(0);
    /// The group of IPv6.
    pub(crate) const IPV6: Self = Self(1);

    /// Its number among the peers, if it is one.
    pub(crate) fn peer(self) -> Option<usize> {
        Some(usize::from(self.0.checked_sub(FIRST_PEER)?))
    }
}

impl Destinations {
    pub(crate) const NONE: Self = Self(0);
    const PEERS: Self = Self(!3);

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
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

    /// False: it is none of them.
    pub(super) fn remove(&mut self, one: Destination) -> bool {
        let rest = self.0 & !(1 << one.0);
        core::mem::replace(&mut self.0, rest) != rest
    }

    /// Groups before peers.
    pub(super) fn first(self) -> Option<Destination> {
        let first = u8::try_from(self.0.trailing_zeros()).ok()?;
        (!self.is_empty()).then_some(Destination(first))
    }
}

impl Unicast {
    /// The groups of CARP only.
    pub(crate) const NONE: Self = Self {
        ipv4: Destinations(1 << Destination::IPV4.0),
        ipv6: Destinations(1 << Destination::IPV6.0),
    };

    /// Of more than [`MAX_PEERS`] peers, the first ones.
    pub(crate) fn new(multicast: bool, peers: &[Peer]) -> Self {
        let mut unicast = Self::NONE;
        if !multicast {
            (unicast.ipv4, unicast.ipv6) = (Destinations::NONE, Destinations::NONE);
        }
        for (peer, number) in peers.iter().zip(FIRST_PEER..).take(MAX_PEERS) {
            match Family::of(peer.address) {
                Family::Ipv4 => unicast.ipv4.add(Destination(number)),
                Family::Ipv6 => unicast.ipv6.add(Destination(number)),
            }
        }
        unicast
    }

    fn of(self, family: Family) -> Destinations {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }

    /// Has it a peer of this family?
    pub(crate) fn has_peer(self, family: Family) -> bool {
        !self.of(family).and(Destinations::PEERS).is_empty()
    }

    /// Does it speak to the group?
    pub(crate) fn is_multicast(self) -> bool {
        self.ipv4.0 & 1 != 0
    }

    /// Would somebody hear a virtual host with these addresses?
    pub(crate) fn reaches_somebody<const ADDRS: usize>(self, addresses: &AddressSet<ADDRS>) -> bool {
        let reached = self.reaches(Families::of(addresses));
        reached.ipv4 || reached.ipv6
    }

    fn reaches(self, families: Families) -> Families {
        Families {
            ipv4: families.ipv4 && !self.ipv4.is_empty(),
            ipv6: families.ipv6 && !self.ipv6.is_empty(),
        }
    }

    /// Those of the families in which somebody is reached; all of them if nobody is, so that a virtual host
    /// always waits for somebody.
    pub(super) fn reached(self, families: Families) -> Families {
        let reached = self.reaches(families);
        if reached.ipv4 || reached.ipv6 {
            reached
        } else {
            families
        }
    }
}

impl<const ADDRS: usize> Host<ADDRS> {
    pub(super) fn destinations(&self) -> Destinations {
        let families = self.sends();
        let take = |wanted, family| {
            if wanted {
                self.unicast.of(family)
            } else {
                Destinations::NONE
            }
        };
        take(families.ipv4, Family::Ipv4).or(take(families.ipv6, Family::Ipv6))
    }

    /// To whom everything is said a second time, signed as before a change.
    pub(super) fn older_destinations(&self) -> Destinations {
        if self.changing.is_some() {
            self.destinations()
        } else {
            Destinations::NONE
        }
    }

    /// Is there nobody who hears only a family in which nothing was sent?
    pub(super) fn reaches_each_family(&self, reached: Destinations) -> bool {
        [Family::Ipv4, Family::Ipv6].into_iter().all(|family| {
            let wanted = self.destinations().and(self.unicast.of(family));
            wanted.is_empty() || !wanted.and(reached).is_empty()
        })
    }

    /// What waits to be said to others is not said.
    pub(crate) fn keep_destinations(&mut self) {
        self.sending.forget_round();
        self.pending.keep(self.destinations(), self.older_destinations());
    }
}
