//! What a virtual host and an interface are.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU8;

use carp_proto::{AddressSet, AdvBase, AdvSkew, Dialect, Key, MacAddr, Vhid};

use crate::id::{GroupId, IfaceId, NoSuchHost};
use crate::node::PeersError;
use crate::time::Duration;

/// One virtual host, as configured.
#[derive(Clone, Debug)]
pub struct HostConfig<const ADDRS: usize> {
    /// The interface it advertises on.
    pub iface: IfaceId,
    /// Its number, unique on the interface's segment.
    pub vhid: Vhid,
    /// Seconds between advertisements.
    pub advbase: AdvBase,
    /// Added to `advbase` in 1/256 s, 0..=254. Lower is preferred.
    pub advskew: AdvSkew,
    /// How long a silent master is waited for.
    pub profile: Profile,
    /// Take over from a slower living master.
    pub preempt: bool,
    /// After start or link up, a living master is left alone for so long, preemption or not, so that
    /// services here can start and states can be synchronised. It does not delay taking over from a master
    /// that is silent, bows out or will time out.
    pub preempt_delay: Duration,
    /// The group whose demotion counts for it.
    pub group: GroupId,
    /// What is on the wire and who wins.
    pub dialect: Dialect,
    /// A peer sends one counter for ever, and is no replay for that (`docs/protocol.md §11`): it is OpenBSD, or an
    /// old fork of FreeBSD's for pf appliances. Our own advertisements that come back are recognised all the same. Of
    /// no meaning in the OpenBSD dialect, which expects it.
    pub peers_repeat_counter: bool,
    /// Whose MAC address the virtual addresses have.
    pub mode: LinkMode,
    /// How networks shall treat its advertisements; `None`: as the dialect's kernel asks for.
    pub dscp: Option<Dscp>,
    /// The virtual addresses. All members of the virtual host must have the same.
    pub addresses: AddressSet<ADDRS>,
    /// The shared key.
    pub key: Key,
}

impl<const ADDRS: usize> HostConfig<ADDRS> {
    /// FreeBSD dialect, advbase 1, advskew 0, no preemption (nor a delay of it), group 0, plain mode, no addresses yet.
    pub fn new(iface: IfaceId, vhid: Vhid, key: Key) -> Self {
        Self {
            iface,
            vhid,
            advbase: AdvBase::new(1),
            advskew: AdvSkew::new(0),
            profile: Profile::Normal,
            preempt: false,
            preempt_delay: Duration::ZERO,
            group: GroupId(0),
            dialect: Dialect::FreeBsd,
            peers_repeat_counter: false,
            mode: LinkMode::Plain,
            dscp: None,
            addresses: AddressSet::new(),
            key,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.advskew.get() == u8::MAX {
            return Err(ConfigError::AdvSkew);
        }
        // Only OpenBSD gives advbase 0 a usable master-down time (`carp_setrun`, protocol.md §8).
        if self.advbase.get() == 0 && self.dialect != Dialect::OpenBsd {
            return Err(ConfigError::AdvBase);
        }
        if let Profile::Fast { dead_ratio } = self.profile {
            if self.dialect != Dialect::OpenBsd {
                return Err(ConfigError::FastDialect);
            }
            if self.advbase.get() != 0 {
                return Err(ConfigError::FastAdvBase);
            }
            if dead_ratio.get() < MIN_DEAD_RATIO {
                return Err(ConfigError::FastDeadRatio);
            }
        }
        Ok(())
    }
}

/// How long a silent master is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Profile {
    /// The master-down time of the dialect.
    #[default]
    Normal,
    /// Below a second, among nodes that all have it (`docs/protocol.md §13`): the OpenBSD dialect with advbase
    /// 0, so that advskew alone is the interval, 1/256 s to 254/256 s. A bow-out counts, which OpenBSD with
    /// advbase 0 ignores.
    ///
    /// It is left, with [`EventKind::FastProfileLeft`](crate::EventKind::FastProfileLeft), when an
    /// advertisement with an advbase of 1 or more is heard that is no bow-out, and goes on with advbase 1 and
    /// the dialect's master-down time. [`Node::reconfigure`](crate::Node::reconfigure), or INIT, brings it
    /// back.
    Fast {
        /// A master is dead after this many intervals without an advertisement: of our own or of its
        /// intervals, whichever is longer. 3..=255; OpenBSD has 3.
        dead_ratio: NonZeroU8,
    },
}

impl Profile {
    /// The fast profile with this dead ratio; 0 is 1, and refused like everything below 3.
    pub const fn fast(dead_ratio: u8) -> Self {
        Self::Fast {
            dead_ratio: match NonZeroU8::new(dead_ratio) {
                Some(dead_ratio) => dead_ratio,
                None => NonZeroU8::MIN,
            },
        }
    }
}

/// With fewer, one lost advertisement and a little delay would be a failure.
const MIN_DEAD_RATIO: u8 = 3;

/// Whose MAC address the virtual addresses have while this node is MASTER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LinkMode {
    /// The virtual MAC address 00:00:5e:00:01:VHID: clients keep their ARP entry at fail-over.
    Vmac,
    /// The interface's own: clients learn it from the announcement. For places that forbid extra MAC
    /// addresses. Advertisements leave from the virtual MAC address all the same.
    #[default]
    Plain,
}

/// Differentiated services code point of advertisements (RFC 2474), 0..=63; FreeBSD's
/// `net.inet.carp.dscp`. 56 is network control (CS7), 0 nothing special.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dscp(NonZeroU8); // one more, so that an `Option` is as small

impl Dscp {
    /// `None` above 63.
    pub const fn new(dscp: u8) -> Option<Self> {
        if dscp < 64 {
            Some(Self(NonZeroU8::MIN.saturating_add(dscp)))
        } else {
            None
        }
    }

    /// 0..=63.
    pub const fn get(self) -> u8 {
        self.0.get().wrapping_sub(1)
    }

    /// As it is in the type of service or traffic class: above the two bits of congestion notification.
    pub(crate) const fn tos(self) -> u8 {
        self.get() << 2
    }
}

/// What the adapter knows about an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceInfo {
    /// Its own MAC address.
    pub mac: MacAddr,
    /// Source of IPv4 advertisements: its first address that is not virtual.
    pub ipv4: Option<Ipv4Addr>,
    /// Source of IPv6 advertisements, normally its link-local address.
    pub ipv6: Option<Ipv6Addr>,
    /// Is there a carrier?
    pub link: LinkState,
}

/// Carrier of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// Frames flow.
    Up,
    /// They do not; also an interface that was removed.
    Down,
    /// The driver cannot tell.
    Unknown,
}

/// A virtual host that cannot be configured like this. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigError {
    /// This vhid exists on this interface already.
    Duplicate,
    /// All host slots are in use, or the interface or group number is beyond its storage.
    NoRoom,
    /// Its peers are impossible.
    Peers(PeersError),
    /// advskew 255 is kept for the bow-out; 0..=254 can be configured.
    AdvSkew,
    /// advbase 0 makes a backup as impatient as its master is slow; only the OpenBSD dialect can.
    AdvBase,
    /// The fast profile is advbase 0, which only the OpenBSD dialect can.
    FastDialect,
    /// The fast profile is advbase 0.
    FastAdvBase,
    /// The dead ratio of the fast profile is 3 or more.
    FastDeadRatio,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peers(error) => return error.fmt(f),
            Self::Duplicate => "this vhid is configured on this interface already; choose another vhid",
            Self::NoRoom => "no storage left for another virtual host, interface or group",
            Self::AdvSkew => "advskew 255 is reserved for the bow-out; use 0 to 254",
            Self::AdvBase => "advbase 0 only works in the OpenBSD dialect; use 1 to 255",
            Self::FastDialect => {
                "the fast profile only works in the OpenBSD dialect; choose that on every node"
            }
            Self::FastAdvBase => "the fast profile needs advbase 0; its interval is advskew / 256 s alone",
            Self::FastDeadRatio => {
                "a dead ratio below 3 takes a lost advertisement for a dead master; use 3 to 255"
            }
        })
    }
}

impl core::error::Error for ConfigError {}

/// A virtual host cannot be changed like this. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// It does not exist (any longer).
    NoSuchHost(NoSuchHost),
    /// Interface, vhid, group, dialect or mode differ: that is another virtual host.
    Identity,
    /// The new values are impossible.
    Config(ConfigError),
    /// One of the new addresses is that of a unicast peer, or none of the peers is of a family in which there are
    /// addresses now: nobody would hear it. Change the peers first ([`Node::set_peers`](crate::Node::set_peers)).
    Peers(PeersError),
}

impl fmt::Display for ReconfigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchHost(error) => error.fmt(f),
            Self::Identity => f.write_str(
                "interface, vhid, group, dialect and mode cannot be changed; remove the virtual host and insert it anew",
            ),
            Self::Config(error) => error.fmt(f),
            Self::Peers(error) => write!(f, "{error}; change the peers first"),
        }
    }
}

impl core::error::Error for ReconfigureError {}
