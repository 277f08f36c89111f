use core::fmt;

/// A 48-bit Ethernet address, in the order of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff, where ARP announcements go.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// 01:00:5e:00:00:12, the address of the group 224.0.0.18.
    pub const CARP_MULTICAST_V4: Self = Self([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]);
    /// 33:33:00:00:00:12, the address of the group `ff02::12`.
    pub const CARP_MULTICAST_V6: Self = Self([0x33, 0x33, 0x00, 0x00, 0x00, 0x12]);
    /// 33:33:00:00:00:01, the address of all nodes, `ff02::1`, where neighbour advertisements go.
    pub const ALL_NODES_V6: Self = Self([0x33, 0x33, 0x00, 0x00, 0x00, 0x01]);

    /// Whether the group bit is set: multicast and broadcast addresses.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}
