use std::fmt;
use std::net::IpAddr;

/// A virtual address as it is put on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VirtualAddress {
    /// The address.
    pub address: IpAddr,
    /// The prefix length it gets.
    pub prefix: Prefix,
}

/// With which prefix length virtual addresses are put on an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// That of the interface's own address whose network the virtual address is in, as the BSDs
    /// want it. If there is none, as [`Host`](Self::Host).
    #[default]
    Interface,
    /// /32 or /128: the address and no network. Connections that this machine opens then keep to
    /// the interface's own address.
    Host,
    /// This many bits; more than the address has count as [`Host`](Self::Host). For a virtual
    /// address that is the only one of its network.
    Length(u8),
}

/// What a master does when somebody else takes its addresses off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnRemoval {
    /// Put them back and announce them, at once the first time, then once a second at most.
    #[default]
    Restore,
    /// Take that for a refusal: bow out, and try again later
    /// ([`InitReason::AddressRefused`](carp_fsm::InitReason),
    /// [`Policy::refused_retry`](carp_fsm::Policy::refused_retry)). For machines on which an operator or
    /// another program withdraws a service by taking its address off.
    Demote,
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface => f.write_str("interface"),
            Self::Host => f.write_str("host"),
            Self::Length(bits) => write!(f, "{bits}"),
        }
    }
}
