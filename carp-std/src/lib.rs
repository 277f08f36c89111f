//! CARP for hosts.

mod address;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod link;
#[cfg(target_os = "linux")]
pub mod linux;

pub use self::address::{Prefix, VirtualAddress};
#[cfg(target_os = "linux")]
pub use self::error::{LinkError, OwnershipError};
#[cfg(target_os = "linux")]
pub use self::host::Host;
#[cfg(target_os = "linux")]
pub use self::link::{Link, VirtualHost};
