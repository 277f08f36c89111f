//! The words of the election: states, and the reasons for entering them.

use core::fmt;
use core::net::IpAddr;

/// State as the BSDs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// Not taking part; [`InitReason`] says why.
    Init,
    /// Listening for the master.
    Backup,
    /// Owner of the addresses.
    Master,
}

/// Why a virtual host is in INIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum InitReason {
    /// The adapter has not reported the interface yet.
    NoInterface,
    /// No carrier, or the interface is down or gone.
    LinkDown,
    /// It has no address (and [`Policy::election_only`](crate::Policy::election_only) is off).
    NoAddress,
    /// Starting over with other addresses (and [`Policy::live_changes`](crate::Policy::live_changes) is
    /// off).
    AddressesChanged,
    /// Switched off by the operator.
    Disabled,
    /// The adapter could not put the addresses on; tried again later.
    AddressRefused,
    /// The node is shutting down.
    ShuttingDown,
    /// Being removed.
    Removed,
}

/// Why a state changed, in the BSDs' words where they have some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// INIT to BACKUP.
    InitializationComplete,
    /// The master-down timer ran out.
    MasterTimedOut,
    /// The master's interval is longer than our master-down time (a bow-out looks like that).
    MasterWillTimeOut,
    /// Preemption.
    PreemptingSlowerMaster,
    /// The master is more demoted than we are (OpenBSD's rule).
    PreemptingMoreDemotedMaster,
    /// The group moves here, and the master's next advertisement is overdue (§10).
    FollowingGroup,
    /// A better (or equal) master was heard.
    MoreFrequentAdvertisement,
    /// The successor was heard after our bow-out.
    HandedOver,
    /// The operator forced the state.
    UserRequested,
    /// The virtual host cannot take part.
    Stopped(InitReason),
}

/// Address family of an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Family {
    /// Heard over IPv4.
    Ipv4,
    /// Heard over IPv6.
    Ipv6,
}

impl Family {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transition {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
        })
    }
}

impl fmt::Display for InitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoInterface => "no such interface",
            Self::LinkDown => "hardware interface down",
            Self::NoAddress => "no address",
            Self::AddressesChanged => "addresses changed",
            Self::Disabled => "disabled",
            Self::AddressRefused => "address refused",
            Self::ShuttingDown => "shutting down",
            Self::Removed => "vhid removed",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::InitializationComplete => "initialization complete",
            Self::MasterTimedOut => "master timed out",
            Self::MasterWillTimeOut => "master will time out",
            Self::PreemptingSlowerMaster => "preempting a slower master",
            Self::PreemptingMoreDemotedMaster => "preempting a more demoted master",
            Self::FollowingGroup => "following its group",
            Self::MoreFrequentAdvertisement => "more frequent advertisement received",
            Self::HandedOver => "handed over",
            Self::UserRequested => "user requested",
            Self::Stopped(reason) => return reason.fmt(f),
        })
    }
}
