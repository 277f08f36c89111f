//! What a simulation is made of.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use carp_proto::{AdvSkew, Key, MacAddr, Vhid};

use super::{ADDRS, SEGMENT};
use crate::config::HostConfig;
use crate::policy::Policy;
use crate::time::Duration;

/// How the simulated segment treats frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Frames lost of 1000, for each receiver by itself.
    pub loss_per_mille: u16,
    /// Shortest delay.
    pub delay_min: Duration,
    /// Longest delay.
    pub delay_max: Duration,
    /// Frames of one sender may overtake each other on their way to one receiver.
    pub reorders: bool,
}

impl Network {
    /// The delay for one draw of chance.
    pub(crate) fn delay(&self, chance: u64) -> Duration {
        let shortest = self.delay_min.as_micros();
        let spread = self
            .delay_max
            .as_micros()
            .saturating_sub(shortest)
            .saturating_add(1);
        Duration::from_micros(shortest.saturating_add(chance.checked_rem(spread).unwrap_or(0)))
    }
}

/// A good switch: no loss, 50 to 150 µs, in order.
impl Default for Network {
    fn default() -> Self {
        Self {
            loss_per_mille: 0,
            delay_min: Duration::from_micros(50),
            delay_max: Duration::from_micros(150),
            reorders: false,
        }
    }
}

/// A node to be simulated: it has one interface, on the common segment.
#[derive(Clone, Debug)]
pub struct NodePlan {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) policy: Policy,
    pub(crate) hosts: Vec<HostConfig<ADDRS>>,
}

impl NodePlan {
    /// A node with this name and IPv4 address, [`Policy::HARDENED`], and no virtual host yet.
    pub fn new(name: &str, address: impl Into<Ipv4Addr>) -> Self {
        Self {
            name: name.to_owned(),
            address: address.into(),
            policy: Policy::HARDENED,
            hosts: Vec::new(),
        }
    }

    /// With one more virtual host, on the common segment.
    #[must_use]
    pub fn host(mut self, host: HostConfig<ADDRS>) -> Self {
        self.hosts.push(HostConfig {
            iface: SEGMENT,
            ..host
        });
        self
    }

    /// With another policy.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// A locally administered MAC address made from the IPv4 address.
    pub(crate) fn mac(&self) -> MacAddr {
        let [a, b, c, d] = self.address.octets();
        MacAddr([0x02, 0x00, a, b, c, d])
    }
}

/// A virtual host with this advskew, the password `secret` and the one address 192.0.2.VHID; all else as
/// [`HostConfig::new`] says. Change its fields as you like: the simulation runs any configuration.
pub fn virtual_host(vhid: Vhid, advskew: u8) -> HostConfig<ADDRS> {
    let mut key = [0; 20];
    key[..6].copy_from_slice(b"secret");
    let mut config = HostConfig::new(SEGMENT, vhid, Key::from_bytes(key));
    config.advskew = AdvSkew::new(advskew);
    // Cannot fail: the set is empty, and the address is neither 0.0.0.0 nor a broadcast address.
    let _ = config
        .addresses
        .insert(IpAddr::V4(Ipv4Addr::new(192, 0, 2, vhid.get())));
    config
}
