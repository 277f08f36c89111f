//! Everything in which the four dialects differ, as data, in this one file.

use core::{fmt, str::FromStr};

use crate::{AdvBase, AdvSkew, Check, DestinationRule, HmacVariant, Interval, MacAddr, Rejection, Vhid};

/// The version of CARP that all four speak.
pub(crate) const CARP_VERSION: u8 = 2;

/// The shortest time between two advertisements, and that of an interval of 0: 1/256 s, truncated. OpenBSD's
/// rule, which keeps the others from spinning as well.
const INTERVAL_FLOOR_MICROS: u64 = 3906;

/// The advskew of a node that is demoted, for FreeBSD also the highest that leaves it.
const DEMOTED_ADVSKEW: u8 = 240;

/// Which implementation a virtual host agrees with, on the wire and in the election. All nodes of a virtual
/// host should have the same (`docs/protocol.md` §12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Dialect {
    /// FreeBSD, and pfSense and OPNsense, which are built on it.
    #[default]
    FreeBsd,
    /// OpenBSD.
    OpenBsd,
    /// NetBSD.
    NetBsd,
    /// UCarp: one IPv4 address, no IPv6.
    Ucarp,
}

/// What a dialect does. Data only; the table is [`Dialect::rules`] (`docs/protocol.md` §12).
///
/// Exhaustive on purpose, as are the enums in it: who reads the table for a decision wants to be told by the
/// compiler when a new kind of answer appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// As written in configurations: `freebsd`, `openbsd`, `netbsd`, `ucarp`.
    pub name: &'static str,
    /// The form of digest that is sent.
    pub hmac_sent: HmacVariant,
    /// The forms that are accepted.
    pub hmac_accepted: &'static [HmacVariant],
    /// Hashes exactly one IPv4 address, and speaks no IPv6.
    pub single_ipv4: bool,
    /// What the checksum of a received IPv4 advertisement covers. When sending it is the 36 bytes for all.
    pub checksum_ipv4: ChecksumCover,
    /// What the checksum of an IPv6 advertisement covers, both ways.
    pub checksum_ipv6: ChecksumCover,
    /// The order in which a received packet is checked. The digest comes after all of them.
    pub checks: [Check; 5],
    /// Which destination addresses a virtual host listens to.
    pub destination: DestinationRule,
    /// A TTL other than 255 is accepted by a virtual host with a unicast peer.
    pub any_ttl_in_unicast: bool,
    /// The counter bumped by a packet with vhid 0 that comes from one of the receiver's own virtual
    /// addresses. Only the caller knows its addresses, so [`receive`](crate::receive()) says
    /// [`Rejection::BadVhid`] for any vhid 0.
    pub vhid_zero_from_own_address: Rejection,
    /// A packet with the counter that the receiver itself sent last (0 before the first) is its own come
    /// back, and is dropped as [`Rejection::BadAuth`]. Only the caller knows what it sent.
    pub own_counter_is_loop: bool,
    /// In INIT a virtual host hears nothing: what comes for it is [`Rejection::BadVhid`]. Only the caller knows its
    /// state.
    pub deaf_in_init: bool,
    /// What byte 4 says.
    pub byte4: Byte4,
    /// How demotion changes the advskew that is sent and compared.
    pub skew: SkewRule,
    /// How long a BACKUP waits for a silent MASTER.
    pub master_down: MasterDownRule,
    /// A BACKUP with advbase 0 does not take over from a master for being slow, a bow-out included.
    pub slow_master_needs_advbase: bool,
    /// Who yields when two MASTERs advertise the same interval.
    pub tie: TieRule,
    /// A MASTER that is switched off says so with 255/255.
    pub bow_out_on_down: bool,
    /// Where the counter comes from.
    pub counter: CounterRule,
    /// The IPv4 type of service of advertisements.
    pub tos: u8,
    /// The IPv6 traffic class of advertisements.
    pub traffic_class: u8,
    /// The IPv4 identification of advertisements.
    pub ip_id: IdRule,
    /// The fifth byte of the MAC address that advertisements leave from: 00:00:5e:00:XX:VHID.
    pub source_mac_byte: u8,
    /// The addresses are announced before the first advertisement of a new MASTER, not after it.
    pub announces_first: bool,
    /// The Ethernet source of a gratuitous ARP.
    pub announcement_source: AnnouncementSource,
    /// The gratuitous ARP is repeated with this advertisement after the first.
    pub announces_again: Option<u8>,
    /// A MASTER that is less demoted than before advertises at once; a more demoted one always does.
    pub tells_recovery: bool,
    /// Changing advbase, advskew or key starts the running timers anew.
    pub changes_restart_timers: bool,
    /// Taking an address away starts the virtual host over, as adding one does everywhere.
    pub removal_restarts: bool,
    /// Demotion by send errors ends with three successes in a row. FreeBSD 13 never ends it.
    pub forgives_send_errors: bool,
}

/// What a checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumCover {
    /// The 36 bytes; what follows them is ignored.
    Advertisement,
    /// All that the IP packet carries: bytes behind the 36 break it unless they sum to zero.
    Payload,
    /// The 36 bytes and the IPv6 pseudo-header.
    PseudoHeader,
}

/// What byte 4 of an advertisement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Byte4 {
    /// The demotion of the sender; the lower one wins before intervals are compared.
    Demotion,
    /// Nothing: sent as 0, ignored when received.
    Unused,
}

/// How demotion changes the advskew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkewRule {
    /// Added, then limited to 240, which also lowers a configured 241..=254.
    Add,
    /// 240 if there is any and the advskew is lower.
    Suppress,
    /// Not at all: it travels in byte 4.
    Unchanged,
}

/// How long a BACKUP waits for a silent MASTER, from its own configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterDownRule {
    /// `3 * advbase + advskew / 256` seconds.
    ThreeBases,
    /// `3 * (advbase + advskew / 256)` seconds.
    ThreeIntervals,
}

/// Who yields when a MASTER hears its own interval from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieRule {
    /// The one that hears it.
    Hearer,
    /// The one that hears it, unless it is less demoted.
    HearerUnlessLessDemoted,
    /// The one with the higher IPv4 source address, compared as a little-endian number, as UCarp does on the
    /// machines it is met on.
    HigherLittleEndianSource,
}

/// Where the counter of an advertisement comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterRule {
    /// A new random one each time until a peer is heard, then one more than the last sent or heard.
    RandomThenFollow,
    /// One random number for ever.
    Cookie,
}

/// The IPv4 identification field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdRule {
    /// 0: a datagram that may not be fragmented needs none.
    Zero,
    /// Random.
    Random,
}

/// The Ethernet source of a gratuitous ARP. The hardware address *in* it is another matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnouncementSource {
    /// The virtual MAC address.
    VirtualMac,
    /// The address of the interface.
    Interface,
}

/// The rules that most have.
const FREEBSD: Rules = Rules {
    name: "freebsd",
    hmac_sent: HmacVariant::Plain,
    hmac_accepted: &[HmacVariant::Plain],
    single_ipv4: false,
    checksum_ipv4: ChecksumCover::Payload,
    checksum_ipv6: ChecksumCover::Advertisement,
    checks: [
        Check::Ttl,
        Check::Length,
        Check::Checksum,
        Check::Vhid,
        Check::Version,
    ],
    destination: DestinationRule::Any,
    any_ttl_in_unicast: true,
    vhid_zero_from_own_address: Rejection::BadIf,
    own_counter_is_loop: false,
    deaf_in_init: false,
    byte4: Byte4::Unused,
    skew: SkewRule::Add,
    master_down: MasterDownRule::ThreeBases,
    slow_master_needs_advbase: false,
    tie: TieRule::Hearer,
    bow_out_on_down: false,
    counter: CounterRule::RandomThenFollow,
    tos: 0xe0,
    traffic_class: 0xe0,
    ip_id: IdRule::Zero,
    source_mac_byte: 0x01,
    announces_first: false,
    announcement_source: AnnouncementSource::Interface,
    announces_again: None,
    tells_recovery: true,
    changes_restart_timers: false,
    removal_restarts: true,
    forgives_send_errors: false,
};

const OPENBSD: Rules = Rules {
    name: "openbsd",
    hmac_sent: HmacVariant::WithoutLinkLocal,
    hmac_accepted: &[HmacVariant::WithoutLinkLocal, HmacVariant::Plain],
    checksum_ipv4: ChecksumCover::Advertisement,
    destination: DestinationRule::SameKindIpv4,
    any_ttl_in_unicast: false,
    vhid_zero_from_own_address: Rejection::BadVhid,
    own_counter_is_loop: true,
    deaf_in_init: true,
    byte4: Byte4::Demotion,
    skew: SkewRule::Unchanged,
    master_down: MasterDownRule::ThreeIntervals,
    slow_master_needs_advbase: true,
    tie: TieRule::HearerUnlessLessDemoted,
    bow_out_on_down: true,
    counter: CounterRule::Cookie,
    tos: 0x10,
    traffic_class: 0,
    ip_id: IdRule::Random,
    announcement_source: AnnouncementSource::VirtualMac,
    announces_again: Some(2),
    tells_recovery: false,
    changes_restart_timers: true,
    removal_restarts: false,
    forgives_send_errors: true,
    ..FREEBSD
};

const NETBSD: Rules = Rules {
    name: "netbsd",
    checksum_ipv4: ChecksumCover::Advertisement,
    checksum_ipv6: ChecksumCover::PseudoHeader,
    any_ttl_in_unicast: false,
    vhid_zero_from_own_address: Rejection::BadVhid,
    deaf_in_init: true,
    skew: SkewRule::Suppress,
    bow_out_on_down: true,
    tos: 0x10,
    traffic_class: 0,
    tells_recovery: false,
    changes_restart_timers: true,
    forgives_send_errors: true,
    ..FREEBSD
};

const UCARP: Rules = Rules {
    name: "ucarp",
    single_ipv4: true,
    checksum_ipv4: ChecksumCover::Advertisement,
    checks: [
        Check::Length,
        Check::Ttl,
        Check::Version,
        Check::Vhid,
        Check::Checksum,
    ],
    destination: DestinationRule::Group,
    any_ttl_in_unicast: false,
    vhid_zero_from_own_address: Rejection::BadVhid,
    skew: SkewRule::Suppress,
    tie: TieRule::HigherLittleEndianSource,
    tos: 0x10,
    traffic_class: 0,
    ip_id: IdRule::Random,
    source_mac_byte: 0x00,
    announces_first: true,
    announces_again: Some(2),
    tells_recovery: false,
    forgives_send_errors: true,
    ..FREEBSD
};

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FreeBsd, Self::OpenBsd, Self::NetBsd, Self::Ucarp];

    /// What the dialect does.
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: each caller would have a table of its own
    pub const fn rules(self) -> &'static Rules {
        match self {
            Self::FreeBsd => &FREEBSD,
            Self::OpenBsd => &OPENBSD,
            Self::NetBsd => &NETBSD,
            Self::Ucarp => &UCARP,
        }
    }

    /// The MAC address that advertisements leave from: the virtual one for the BSDs, 00:00:5e:00:00:VHID for
    /// UCarp.
    pub const fn source_mac(self, vhid: Vhid) -> MacAddr {
        MacAddr([0x00, 0x00, 0x5e, 0x00, self.rules().source_mac_byte, vhid.get()])
    }

    /// The advskew that is advertised and compared, of a node with this demotion (0 and up).
    ///
    /// FreeBSD `DEMOTE_ADVSKEW`: `advskew + demotion`, at most 240, so a configured 241..=254 leaves as 240
    /// even with no demotion. NetBSD and UCarp: 240 if there is any. OpenBSD: unchanged (`docs/protocol.md`
    /// §10).
    pub const fn effective_skew(self, advskew: AdvSkew, demotion: u16) -> AdvSkew {
        let skew = advskew.get();
        AdvSkew::new(match self.rules().skew {
            SkewRule::Add if demotion > DEMOTED_ADVSKEW as u16 => DEMOTED_ADVSKEW,
            SkewRule::Add => {
                // At most 240, so it is the low byte.
                let sum = skew.saturating_add(demotion.to_be_bytes()[1]);
                if sum > DEMOTED_ADVSKEW {
                    DEMOTED_ADVSKEW
                } else {
                    sum
                }
            }
            SkewRule::Suppress if demotion > 0 && skew < DEMOTED_ADVSKEW => DEMOTED_ADVSKEW,
            SkewRule::Suppress | SkewRule::Unchanged => skew,
        })
    }

    /// The time between two advertisements, in microseconds: 3906..=255 996 093.
    ///
    /// `effective` is what [`effective_skew`](Self::effective_skew) gave. 0/0 is 1/256 s, OpenBSD's rule
    /// (`carp_setrun`), kept for all.
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub const fn advertisement_interval_micros(self, advbase: AdvBase, effective: AdvSkew) -> u64 {
        match Interval::new(advbase, effective).micros() {
            0 => INTERVAL_FLOOR_MICROS,
            micros => micros,
        }
    }

    /// How long a BACKUP waits for a silent MASTER, in microseconds. `advskew` is the configured one.
    ///
    /// FreeBSD, NetBSD, UCarp: `3 * advbase + advskew / 256` seconds. OpenBSD: `3 * (advbase + advskew /
    /// 256)` (`carp_setrun`; `docs/protocol.md` §8). 0/0 is three times 1/256 s.
    pub const fn master_down_micros(self, advbase: AdvBase, advskew: AdvSkew) -> u64 {
        let interval = self.advertisement_interval_micros(advbase, advskew);
        let base = Interval::new(advbase, AdvSkew::new(0)).micros();
        match self.rules().master_down {
            // An interval of 0 counts as three of the shortest here too, else the BACKUP would never be one.
            MasterDownRule::ThreeBases if advbase.get() > 0 || advskew.get() > 0 => {
                interval.saturating_add(base.saturating_mul(2))
            }
            MasterDownRule::ThreeBases | MasterDownRule::ThreeIntervals => interval.saturating_mul(3),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rules().name)
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.rules().name == name)
            .ok_or(UnknownDialect)
    }
}

/// The name is none of the dialects'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnknownDialect;

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown dialect; use freebsd (also for pfSense and OPNsense), openbsd, netbsd or ucarp")
    }
}

impl core::error::Error for UnknownDialect {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    fn skew(dialect: Dialect, advskew: u8, demotion: u16) -> u8 {
        dialect.effective_skew(AdvSkew::new(advskew), demotion).get()
    }

    #[test]
    fn demotion_and_advskew() {
        for (advskew, demotion, freebsd, netbsd) in [
            (0, 0, 0, 0),
            (100, 0, 100, 100),
            (100, 1, 101, 240),
            (100, 240, 240, 240),
            (254, 0, 240, 254),
            (254, 1, 240, 254),
            (20, 2880, 240, 240),
            (255, 255, 240, 255),
            (0, 256, 240, 240),
        ] {
            assert_eq!(
                skew(Dialect::FreeBsd, advskew, demotion),
                freebsd,
                "freebsd {advskew}+{demotion}"
            );
            assert_eq!(
                skew(Dialect::NetBsd, advskew, demotion),
                netbsd,
                "netbsd {advskew}+{demotion}"
            );
            assert_eq!(
                skew(Dialect::Ucarp, advskew, demotion),
                netbsd,
                "ucarp {advskew}+{demotion}"
            );
            assert_eq!(
                skew(Dialect::OpenBsd, advskew, demotion),
                advskew,
                "openbsd {advskew}+{demotion}"
            );
        }
    }

    #[test]
    fn times() {
        let times = |dialect: Dialect, base, skew| {
            let (base, skew) = (AdvBase::new(base), AdvSkew::new(skew));
            (
                dialect.advertisement_interval_micros(base, skew),
                dialect.master_down_micros(base, skew),
            )
        };
        assert_eq!(times(Dialect::FreeBsd, 1, 100), (1_390_625, 3_390_625));
        assert_eq!(times(Dialect::OpenBsd, 1, 100), (1_390_625, 4_171_875));
        assert_eq!(times(Dialect::FreeBsd, 1, 240), (1_937_500, 3_937_500));
        assert_eq!(times(Dialect::OpenBsd, 1, 240), (1_937_500, 5_812_500));
        assert_eq!(times(Dialect::FreeBsd, 1, 254).1, 3_992_187);
        assert_eq!(times(Dialect::NetBsd, 0, 100), (390_625, 390_625));
        for dialect in Dialect::ALL {
            assert_eq!(times(dialect, 0, 0), (3906, 11_718));
        }
    }

    #[test]
    fn names_read_back() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        assert_eq!("pfsense".parse::<Dialect>(), Err(UnknownDialect));
    }
}
