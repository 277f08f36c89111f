//! The one place that knows in which order a received packet is checked.

use core::{fmt, net::IpAddr};

use crate::{
    ADVERTISEMENT_LEN, Advertisement, Authenticator, ChecksumCover, Dialect, IP_PROTOCOL, MULTICAST_V4,
    Packet, Rules, RxMeta, Verified, Vhid, checksum::Sum, dialect::CARP_VERSION,
    packet::ADVERTISEMENT_LEN_U16,
};

/// The TTL or hop limit of a packet that no router has touched.
const TTL: u8 = 255;

/// Why a packet of IP protocol 112 was not accepted; each has the name of the kernels' counter in
/// `netstat -s -p carp` (`docs/protocol.md` §3).
///
/// Exhaustive on purpose: the kernels' counters are a closed set, and whoever keeps one number for each wants
/// the compiler to say that none was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Rejection {
    /// The TTL or hop limit is not 255: a router, or somebody behind one, sent it.
    BadTtl,
    /// Shorter than an advertisement.
    BadLen,
    /// The checksum is wrong.
    BadSum,
    /// No virtual host with this vhid listens here.
    BadVhid,
    /// Not version 2.
    BadVer,
    /// The digest is wrong: another password or another list of addresses. Or the packet is the receiver's
    /// own.
    BadAuth,
    /// It came in where no CARP is spoken. [`receive`] does not know interfaces: the caller finds this out.
    BadIf,
    /// The headers could not be read in one piece: kernels bump it when their buffers run out. [`receive`]
    /// never returns it; it is here so that the counters are complete.
    HdrOps,
}

/// One of the checks before the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// TTL or hop limit.
    Ttl,
    /// At least 36 bytes.
    Length,
    /// The checksum.
    Checksum,
    /// A virtual host with this vhid listens to this destination.
    Vhid,
    /// Version 2.
    Version,
}

/// Which destination addresses a virtual host listens to. A vhid that is not listened to there is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationRule {
    /// Any.
    Any,
    /// In IPv4 a multicast address, or with a unicast peer any other (OpenBSD `carp_proto_input_c`).
    SameKindIpv4,
    /// The group 224.0.0.18, or with a unicast peer any other.
    Group,
}

/// What a virtual host accepts.
#[derive(Clone, Copy, Debug)]
pub struct Receiver<'a> {
    /// Whose rules it follows.
    pub dialect: Dialect,
    /// It has a unicast peer for the address family of the packet.
    pub unicast: bool,
    /// The lowest TTL or hop limit that it takes; `None`: what the dialect says of multicast and unicast.
    pub min_ttl: Option<u8>,
    /// Any of these may verify; none means that nothing is accepted.
    pub authenticators: &'a [Authenticator],
}

/// From the payload of an IP packet of protocol 112 to a verified advertisement, or to the counter that the
/// kernel of the dialect would bump.
///
/// The order of the checks is that of the dialect (`docs/protocol.md` §3). The lookup runs at most once,
/// before all of them, because a unicast peer changes what the others look for. For a vhid that it does not
/// know, `fallback` says whose order and checksum apply: that of the virtual hosts on the same interface.
/// FreeBSD has virtual hosts per address family: a lookup for it returns `None` if the virtual host has no
/// address of the packet's family.
pub fn receive<'a, H>(
    meta: &RxMeta,
    payload: &[u8],
    fallback: Dialect,
    lookup: impl FnOnce(Vhid) -> Option<(H, Receiver<'a>)>,
) -> Result<(H, Verified<Advertisement>), Rejection> {
    let found = payload.get(1).and_then(|vhid| Vhid::new(*vhid)).and_then(lookup);
    let (dialect, unicast, min_ttl) = match &found {
        Some((_, receiver)) => (receiver.dialect, receiver.unicast, receiver.min_ttl),
        None => (fallback, false, None),
    };
    let rules = dialect.rules();
    let any_ttl = unicast && rules.any_ttl_in_unicast;
    let min_ttl = min_ttl.unwrap_or(if any_ttl { 0 } else { TTL });

    let packet = Packet::new_checked(payload);
    for check in rules.checks {
        let (passed, rejection) = match check {
            Check::Ttl => (meta.ttl >= min_ttl, Rejection::BadTtl),
            Check::Length => (packet.is_ok(), Rejection::BadLen),
            Check::Checksum => (checksum_is_right(rules, meta, payload), Rejection::BadSum),
            Check::Vhid => (
                found.is_some() && listens_to(rules, unicast, meta),
                Rejection::BadVhid,
            ),
            Check::Version => (
                packet
                    .as_ref()
                    .is_ok_and(|packet| packet.version() == CARP_VERSION),
                Rejection::BadVer,
            ),
        };
        if !passed {
            return Err(rejection);
        }
    }

    let packet = packet.map_err(|_| Rejection::BadLen)?;
    let (host, receiver) = found.ok_or(Rejection::BadVhid)?;
    for authenticator in receiver.authenticators {
        if let Ok(advertisement) = authenticator.verify(&packet) {
            return Ok((host, advertisement));
        }
    }
    Err(Rejection::BadAuth)
}

fn checksum_is_right(rules: &Rules, meta: &RxMeta, payload: &[u8]) -> bool {
    let advertisement: &[u8] = payload
        .first_chunk::<ADVERTISEMENT_LEN>()
        .map_or(payload, |bytes| bytes);
    let (cover, addresses) = match (meta.src, meta.dst) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => (rules.checksum_ipv6, Some((src, dst))),
        _ => (rules.checksum_ipv4, None),
    };
    let sum = match (cover, addresses) {
        (ChecksumCover::Payload, _) => Sum::new().add(payload),
        (ChecksumCover::PseudoHeader, Some((src, dst))) => Sum::new()
            .add_ipv6_pseudo_header(&src, &dst, ADVERTISEMENT_LEN_U16, IP_PROTOCOL)
            .add(advertisement),
        (ChecksumCover::Advertisement | ChecksumCover::PseudoHeader, _) => Sum::new().add(advertisement),
    };
    sum.finish() == 0
}

fn listens_to(rules: &Rules, unicast: bool, meta: &RxMeta) -> bool {
    match rules.destination {
        DestinationRule::Any => true,
        DestinationRule::SameKindIpv4 => meta.dst.is_ipv6() || meta.dst.is_multicast() != unicast,
        DestinationRule::Group => (meta.dst == IpAddr::V4(MULTICAST_V4)) != unicast,
    }
}

impl Rejection {
    /// All of them, in the order of the kernels' `carpstats`.
    pub const ALL: [Self; 8] = [
        Self::BadIf,
        Self::BadTtl,
        Self::HdrOps,
        Self::BadSum,
        Self::BadVer,
        Self::BadLen,
        Self::BadAuth,
        Self::BadVhid,
    ];

    /// The kernels' name: `badttl`, `badlen`, `badsum`, `badvhid`, `badver`, `badauth`, `badif` or `hdrops`.
    pub const fn counter(self) -> &'static str {
        match self {
            Self::BadTtl => "badttl",
            Self::BadLen => "badlen",
            Self::BadSum => "badsum",
            Self::BadVhid => "badvhid",
            Self::BadVer => "badver",
            Self::BadAuth => "badauth",
            Self::BadIf => "badif",
            Self::HdrOps => "hdrops",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadTtl => "the TTL is not 255: it did not come from this segment",
            Self::BadLen => "shorter than the 36 bytes of an advertisement (VRRP?)",
            Self::BadSum => "the checksum is wrong",
            Self::BadVhid => "no virtual host with this vhid here",
            Self::BadVer => "not version 2 (VRRPv3?)",
            Self::BadAuth => "the digest is wrong: another password or another list of addresses",
            Self::BadIf => "not expected on this interface",
            Self::HdrOps => "the headers could not be read",
        })
    }
}

impl core::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use hex_literal::hex;

    use super::*;
    use crate::{AddressSet, HmacVariant, Key};

    const GOOD: [u8; 36] = hex!("21010007000150e2010203040506070817b1efdbf04c5b67a2d4c6deec56e5e473ed7ae2");

    struct Case {
        dialect: Dialect,
        unicast: bool,
        min_ttl: Option<u8>,
        ttl: u8,
        dst: &'static str,
    }

    const FREEBSD: Case = Case {
        dialect: Dialect::FreeBsd,
        unicast: false,
        min_ttl: None,
        ttl: 255,
        dst: "224.0.0.18",
    };
    const OPENBSD: Case = Case {
        dialect: Dialect::OpenBsd,
        ..FREEBSD
    };
    const NETBSD: Case = Case {
        dialect: Dialect::NetBsd,
        ..FREEBSD
    };
    const UCARP: Case = Case {
        dialect: Dialect::Ucarp,
        ..FREEBSD
    };

    fn verdict(case: &Case, payload: &[u8]) -> &'static str {
        let vhid = Vhid::new(1).unwrap();
        let addresses = AddressSet::<1>::try_from_iter(["192.168.1.10".parse().unwrap()]).unwrap();
        let key = Key::from_passphrase(b"mekmitasdigoat").unwrap();
        let authenticators = [Authenticator::new(&key, vhid, &addresses, HmacVariant::Plain)];
        let src = "192.168.1.2".parse().unwrap();
        let meta = RxMeta {
            src,
            dst: case.dst.parse().unwrap(),
            ttl: case.ttl,
            link: None,
        };
        let lookups = Cell::new(0);
        let result = receive(&meta, payload, case.dialect, |wanted| {
            lookups.set(lookups.get() + 1);
            let receiver = Receiver {
                dialect: case.dialect,
                unicast: case.unicast,
                min_ttl: case.min_ttl,
                authenticators: &authenticators,
            };
            (wanted == vhid).then_some(((), receiver))
        });
        assert!(lookups.get() <= 1);
        result.map_or_else(Rejection::counter, |_| "accepted")
    }

    /// `GOOD` with some bytes replaced, and the checksum made right.
    fn with(changes: &[(usize, u8)]) -> [u8; 36] {
        let mut bytes = GOOD;
        for (at, value) in changes {
            bytes[*at] = *value;
        }
        bytes[6..8].fill(0);
        let sum = crate::checksum(&bytes);
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn one_fault_one_counter() {
        for case in [FREEBSD, OPENBSD, NETBSD, UCARP] {
            assert_eq!(verdict(&case, &GOOD), "accepted");
            assert_eq!(verdict(&Case { ttl: 254, ..case }, &GOOD), "badttl");
            assert_eq!(verdict(&case, &GOOD[..35]), "badlen");
            assert_eq!(verdict(&case, &[]), "badlen");
            assert_eq!(verdict(&case, &with(&[(1, 2)])), "badvhid");
            assert_eq!(verdict(&case, &with(&[(1, 0)])), "badvhid");
            assert_eq!(verdict(&case, &with(&[(0, 0x31)])), "badver");
            assert_eq!(verdict(&case, &with(&[(35, 0)])), "badauth");
            let mut bytes = GOOD;
            bytes[6] ^= 1;
            assert_eq!(verdict(&case, &bytes), "badsum");
            for unchecked in [(0, 0x22), (2, 9), (3, 0), (4, 1), (5, 200)] {
                assert_eq!(verdict(&case, &with(&[unchecked])), "accepted");
            }
        }
    }

    #[test]
    fn of_two_faults_the_first_counts() {
        let short_and_routed = Case { ttl: 1, ..FREEBSD };
        assert_eq!(verdict(&short_and_routed, &GOOD[..10]), "badttl");
        assert_eq!(verdict(&Case { ttl: 1, ..UCARP }, &GOOD[..10]), "badlen");
        let mut version_and_sum = GOOD;
        version_and_sum[0] = 0x31;
        assert_eq!(verdict(&OPENBSD, &version_and_sum), "badsum");
        assert_eq!(verdict(&UCARP, &version_and_sum), "badver");
        assert_eq!(verdict(&FREEBSD, &with(&[(0, 0x31), (1, 9)])), "badvhid");
    }

    /// A packet for another virtual host on the segment is checked as the kernel at hand checks it.
    #[test]
    fn an_unknown_vhid_and_another_fault() {
        let unknown = with(&[(1, 9)]);
        let mut sum = unknown;
        sum[6] ^= 1;
        let mut trailing = [0; 40];
        trailing[..36].copy_from_slice(&unknown);
        trailing[36..].copy_from_slice(&hex!("deadbeef"));
        let mut version_and_sum = sum;
        version_and_sum[0] = 0x31;
        for (case, bad_sum, bad_trailing, bad_version) in [
            (FREEBSD, "badsum", "badsum", "badsum"),
            (OPENBSD, "badsum", "badvhid", "badsum"),
            (NETBSD, "badsum", "badvhid", "badsum"),
            (UCARP, "badvhid", "badvhid", "badver"),
        ] {
            assert_eq!(verdict(&case, &sum), bad_sum);
            assert_eq!(verdict(&case, &trailing), bad_trailing);
            assert_eq!(verdict(&case, &version_and_sum), bad_version);
            assert_eq!(verdict(&Case { ttl: 254, ..case }, &unknown), "badttl");
        }
    }

    #[test]
    fn netbsd_sums_the_pseudo_header_of_an_unknown_vhid() {
        let meta = RxMeta {
            src: "fe80::1".parse().unwrap(),
            dst: "ff02::12".parse().unwrap(),
            ttl: 255,
            link: None,
        };
        let counter = |dialect, payload: &[u8]| {
            receive::<()>(&meta, payload, dialect, |_| None)
                .map_err(Rejection::counter)
                .unwrap_err()
        };
        let without = with(&[(1, 9)]);
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (meta.src, meta.dst) else {
            unreachable!()
        };
        let mut including = without;
        including[6..8].fill(0);
        let sum = Sum::new()
            .add_ipv6_pseudo_header(&src, &dst, ADVERTISEMENT_LEN_U16, IP_PROTOCOL)
            .add(&including);
        including[6..8].copy_from_slice(&sum.finish().to_be_bytes());
        assert_eq!(counter(Dialect::NetBsd, &including), "badvhid");
        assert_eq!(counter(Dialect::NetBsd, &without), "badsum");
        for dialect in [Dialect::FreeBsd, Dialect::OpenBsd] {
            assert_eq!(counter(dialect, &including), "badsum");
            assert_eq!(counter(dialect, &without), "badvhid");
        }
    }

    #[test]
    fn only_freebsd_sums_what_follows() {
        let mut longer = [0; 40];
        longer[..36].copy_from_slice(&GOOD);
        assert_eq!(
            verdict(&FREEBSD, &longer),
            "accepted",
            "zeros do not change the sum"
        );
        longer[36..].copy_from_slice(&hex!("deadbeef"));
        assert_eq!(verdict(&FREEBSD, &longer), "badsum");
        for case in [OPENBSD, NETBSD, UCARP] {
            assert_eq!(verdict(&case, &longer), "accepted");
        }
    }

    #[test]
    fn a_receiver_may_say_which_ttl_it_takes() {
        for (min_ttl, ttl, expected) in [
            (Some(255), 254, "badttl"),
            (Some(254), 254, "accepted"),
            (Some(254), 253, "badttl"),
            (Some(0), 0, "accepted"),
        ] {
            for case in [FREEBSD, OPENBSD, NETBSD, UCARP] {
                assert_eq!(verdict(&Case { min_ttl, ttl, ..case }, &GOOD), expected);
            }
            let dst = "192.168.1.1";
            let unicast = Case {
                unicast: true,
                min_ttl,
                ttl,
                dst,
                ..FREEBSD
            };
            assert_eq!(verdict(&unicast, &GOOD), expected);
        }
    }

    #[test]
    fn unicast() {
        let routed = |case| Case {
            unicast: true,
            ttl: 10,
            dst: "192.168.1.1",
            ..case
        };
        assert_eq!(verdict(&routed(FREEBSD), &GOOD), "accepted");
        assert_eq!(verdict(&routed(OPENBSD), &GOOD), "badttl");
        assert_eq!(
            verdict(
                &Case {
                    ttl: 255,
                    ..routed(OPENBSD)
                },
                &GOOD
            ),
            "accepted"
        );
        assert_eq!(
            verdict(
                &Case {
                    unicast: true,
                    ..OPENBSD
                },
                &GOOD
            ),
            "badvhid"
        );
        assert_eq!(
            verdict(
                &Case {
                    dst: "192.168.1.1",
                    ..OPENBSD
                },
                &GOOD
            ),
            "badvhid"
        );
        assert_eq!(
            verdict(
                &Case {
                    dst: "224.0.0.1",
                    ..OPENBSD
                },
                &GOOD
            ),
            "accepted"
        );
        assert_eq!(
            verdict(
                &Case {
                    dst: "224.0.0.1",
                    ..UCARP
                },
                &GOOD
            ),
            "badvhid"
        );
        assert_eq!(
            verdict(
                &Case {
                    dst: "192.168.1.1",
                    ..FREEBSD
                },
                &GOOD
            ),
            "accepted"
        );
    }
}
