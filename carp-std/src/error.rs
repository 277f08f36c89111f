use std::fmt;
use std::io;
use std::net::IpAddr;

/// Why an interface cannot be used.
///
/// The texts say what to do. All of them are complete sentences for an
/// operator; callers print them as they are.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// The process may not open packet sockets.
    NotPermitted,
    /// There is no interface with this name.
    NoSuchInterface {
        /// The name that was asked for.
        name: String,
        /// The names that exist, in the kernel's order.
        existing: Vec<String>,
    },
    /// The interface has no Ethernet address: CARP needs one to send from.
    NotEthernet {
        /// The interface.
        name: String,
    },
    /// The system refused something else.
    Os {
        /// What was being done, for example "open a packet socket on eth0".
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl LinkError {
    /// For `map_err`: what was being done.
    #[cfg(target_os = "linux")]
    pub(crate) fn os(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Os {
                what: what.into(),
                source,
            },
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted => f.write_str(
                "not permitted to open packet sockets: run as root, or give the program the capabilities \
                 CAP_NET_RAW and CAP_NET_ADMIN",
            ),
            Self::NoSuchInterface { name, existing } => {
                write!(
                    f,
                    "no interface is called {name}; there are: {}",
                    existing.join(", ")
                )
            }
            Self::NotEthernet { name } => {
                write!(
                    f,
                    "{name} is not an Ethernet interface: CARP needs one that has a MAC address"
                )
            }
            Self::Os { what, source } => write!(f, "cannot {what}: {source}"),
        }
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Os { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Why a virtual host's addresses could not be put on or taken off.
///
/// The texts say what to do, as those of [`LinkError`].
#[derive(Debug)]
#[non_exhaustive]
pub enum OwnershipError {
    /// The interface is gone.
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// The address is on the interface already, and we did not put it there.
    /// It is left alone.
    Foreign {
        /// The interface.
        interface: String,
        /// The virtual address.
        address: IpAddr,
        /// The prefix length it has there, in bits.
        prefix_len: u8,
    },
    /// The virtual host cannot have an interface of its own with the virtual MAC address.
    NoVirtualMac {
        /// The interface that it would stand on.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
    /// The interface of its own that the virtual host would have is there already, and we did not make
    /// it. It is left alone.
    NameTaken {
        /// The interface that it would stand on.
        interface: String,
        /// What it would be called.
        name: String,
    },
    /// Somebody else has taken addresses off that we owned, and this is to count as a refusal
    /// ([`OnRemoval::Demote`](crate::OnRemoval)).
    TakenAway {
        /// The interface.
        interface: String,
    },
    /// The interface takes no IPv6 addresses.
    Ipv6Disabled {
        /// Its name.
        interface: String,
    },
    /// The process may not change addresses.
    NotPermitted {
        /// The interface.
        interface: String,
    },
    /// The system refused the address, or to take it off.
    Refused {
        /// The interface.
        interface: String,
        /// The virtual address.
        address: IpAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system did not say which addresses the interface has.
    Unreadable {
        /// The interface.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for OwnershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface { interface } => write!(f, "there is no interface {interface} now"),
            Self::Foreign {
                interface,
                address,
                prefix_len,
            } => write!(
                f,
                "{address}/{prefix_len} is on {interface} already, put there by somebody else: \
                 take it out of that interface's own configuration, \
                 or 'ip address del {address}/{prefix_len} dev {interface}'"
            ),
            Self::NoVirtualMac { interface, source } => write!(
                f,
                "the system makes no macvlan on {interface}, which the virtual MAC address needs ({source}): \
                 use plain mode, or, if {interface} is a port of a bridge, the bridge"
            ),
            Self::NameTaken { interface, name } => write!(
                f,
                "there is an interface {name} already, which the virtual host on {interface} would make for \
                 itself: 'ip link del {name}', or use plain mode"
            ),
            Self::TakenAway { interface } => write!(
                f,
                "somebody else has taken virtual addresses off {interface}: see which program configures that \
                 interface, or have them put back (restore)"
            ),
            Self::Ipv6Disabled { interface } => write!(
                f,
                "IPv6 is switched off on {interface}: 'sysctl net/ipv6/conf/{interface}/disable_ipv6=0', \
                 or take the IPv6 addresses out of the virtual host"
            ),
            Self::NotPermitted { interface } => write!(
                f,
                "not permitted to change the addresses of {interface}: run as root, \
                 or give the program the capability CAP_NET_ADMIN"
            ),
            Self::Refused {
                interface,
                address,
                source,
            } => {
                write!(
                    f,
                    "the system refused to change {address} on {interface}: {source}"
                )
            }
            Self::Unreadable { interface, source } => {
                write!(f, "cannot read the addresses of {interface}: {source}")
            }
        }
    }
}

impl std::error::Error for OwnershipError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { source, .. }
            | Self::Unreadable { source, .. }
            | Self::NoVirtualMac { source, .. } => Some(source),
            _ => None,
        }
    }
}
