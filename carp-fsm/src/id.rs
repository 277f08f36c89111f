//! Names that the node and its adapter use for interfaces, groups and virtual hosts.

use core::fmt;

/// An interface, as numbered by the adapter, which maps it to an interface *name* (never to a kernel
/// index: an interface that is renamed, removed and made again keeps its `IfaceId`).
///
/// Number them densely from 0: the id is an index into the node's interface storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IfaceId(pub u16);

/// A group of virtual hosts that share one demotion ledger and move together. Number them densely
/// from 0; 0 is the default group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GroupId(pub u8);

/// One virtual host of one [`Node`](crate::Node).
///
/// Carries a generation: the id of a removed host never names a later one, so a late result for it
/// is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HostId {
    pub(crate) slot: u16,
    pub(crate) generation: u16,
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}.{}", self.slot, self.generation)
    }
}

/// The virtual host was removed, or belongs to another node. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoSuchHost(pub HostId);

impl fmt::Display for NoSuchHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not exist (any longer)", self.0)
    }
}

impl core::error::Error for NoSuchHost {}
