//! What a simulation is made of.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carp_proto::{AdvSkew, Key, MacAddr, Vhid};

use super::{ADDRS, SEGMENT};
use crate::config::HostConfig;
use crate::node::Peer;
use crate::policy::Policy;
use crate::time::{Duration, Instant};

/// A node to be simulated. It has an interface on every segment that one of its virtual hosts names.
#[derive(Clone, Debug)]
pub struct NodePlan {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    pub(super) policy: Policy,
    pub(super) clock: Clock,
    pub(super) hosts: Vec<HostConfig<ADDRS>>,
    pub(super) multicast: bool,
    pub(super) peers: Vec<Peer>,
}

impl NodePlan {
    /// A node with this name and IPv4 address, [`Policy::HARDENED`], a perfect clock, and no virtual host yet.
    pub fn new(name: &str, address: impl Into<Ipv4Addr>) -> Self {
        Self {
            name: name.to_owned(),
            address: address.into(),
            policy: Policy::HARDENED,
            clock: Clock::default(),
            hosts: Vec::new(),
            multicast: true,
            peers: Vec::new(),
        }
    }

    /// With one more virtual host, on the segment that its `iface` names.
    #[must_use]
    pub fn host(mut self, host: HostConfig<ADDRS>) -> Self {
        self.hosts.push(host);
        self
    }

    /// With these unicast peers of all its virtual hosts: the addresses of other nodes.
    #[must_use]
    pub fn unicast(mut self, multicast: bool, peers: &[Peer]) -> Self {
        self.multicast = multicast;
        self.peers = peers.to_vec();
        self
    }

    /// With another policy.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// With a clock that is ahead of virtual time by `offset` and gains `ppm` microseconds in every second (loses
    /// them if negative; at most 100 000, a tenth). Quartz is within 100, a bad virtual machine within 500.
    #[must_use]
    pub fn clock(mut self, offset: Duration, ppm: i32) -> Self {
        self.clock = Clock {
            offset,
            ppm: ppm.clamp(-100_000, 100_000),
        };
        self
    }

    /// A locally administered MAC address made from the IPv4 address.
    pub(super) fn mac(&self) -> MacAddr {
        let [a, b, c, d] = self.address.octets();
        MacAddr([0x02, 0x00, a, b, c, d])
    }

    /// A link-local address made from the IPv4 address.
    pub(super) fn ipv6(&self) -> Ipv6Addr {
        let [a, b, c, d] = self.address.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, high, low)
    }
}

/// A node's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    offset: Duration,
    ppm: i32,
}

impl Clock {
    /// What the clock shows at this moment of virtual time.
    pub(super) fn shows(self, at: Instant) -> Instant {
        let rate = 1_000_000_i64.saturating_add(self.ppm.into()).unsigned_abs();
        let micros = u128::from(at.as_micros()).saturating_mul(rate.into()) / 1_000_000;
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)) + self.offset
    }

    /// The first moment of virtual time at which the clock shows this, or more.
    pub(super) fn reaches(self, shown: Instant) -> Instant {
        let since_start = (shown - Instant::ZERO).as_micros();
        let wanted = since_start.saturating_sub(self.offset.as_micros());
        let rate = 1_000_000_i64.saturating_add(self.ppm.into()).unsigned_abs();
        let estimate = u128::from(wanted).saturating_mul(1_000_000);
        let estimate = estimate.checked_div(rate.into()).unwrap_or(0);
        // Rounded down, so a microsecond or two may be missing.
        let mut micros = u64::try_from(estimate).unwrap_or(u64::MAX);
        while micros < u64::MAX && self.shows(Instant::from_micros(micros)) < shown {
            micros = micros.saturating_add(1);
        }
        Instant::from_micros(micros)
    }
}

/// A virtual host on [`SEGMENT`] with this advskew, the password `secret` and the one address 192.0.2.VHID; all else
/// as [`HostConfig::new`] says. Change its fields as you like: the simulation runs any configuration.
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

#[cfg(test)]
mod tests {
    use super::Clock;
    use crate::time::{Duration, Instant};

    #[test]
    fn a_deadline_is_reached_when_the_clock_shows_it_and_not_before() {
        for ppm in [-100_000, -500, -1, 0, 1, 500, 100_000] {
            for offset in [Duration::ZERO, Duration::from_secs(86_400)] {
                let clock = Clock { offset, ppm };
                for micros in [1, 2, 999, 1_000_000, 3_390_625, 86_400_000_000, u64::MAX / 2] {
                    let shown = Instant::from_micros(micros) + offset;
                    let at = clock.reaches(shown);
                    assert!(clock.shows(at) >= shown, "{ppm} ppm, {micros}");
                    let before = Instant::from_micros(at.as_micros() - 1);
                    assert!(clock.shows(before) < shown, "{ppm} ppm, {micros}");
                }
            }
        }
    }
}
