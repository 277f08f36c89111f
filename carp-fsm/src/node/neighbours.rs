//! Who else speaks here, and what is wrong with it (`docs/protocol.md §11`). Nothing here moves the state.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use carp_proto::frame::Vrrp;
use carp_proto::{
    ADVERTISEMENT_LEN, AddressSet, Authenticator, HmacVariant, MacAddr, Packet, Rejection, RxMeta, Vhid,
    checksum,
};

use super::Node;
use crate::config::HostConfig;
use crate::event::EventKind;
use crate::host::Host;
use crate::id::IfaceId;
use crate::state::Family;
use crate::storage::{NeighbourSlot, Pool};
use crate::time::{Duration, Instant};

/// One that was not heard for so long is news again, and makes room for others.
const SILENCE: Duration = Duration::from_secs(60);

/// How often one and the same is looked at more closely.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How often anybody is: a digest costs five compressions, and a close look [`MAX_ATTEMPTS`] digests at most.
const LOOKS_APART: Duration = Duration::from_millis(100);

/// Address lists that are tried for one packet.
const MAX_ATTEMPTS: u8 = 64;

/// Somebody who speaks on our interface what is not understood here, or should not be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Where.
    pub iface: IfaceId,
    /// Its vhid, or VRID.
    pub vhid: Vhid,
    /// Its source address.
    pub source: IpAddr,
    /// Its Ethernet source, if the adapter gave it.
    pub mac: Option<MacAddr>,
    /// What it is.
    pub kind: NeighbourKind,
    /// When it last spoke.
    pub heard: Instant,
}

/// What is wrong with a neighbour. `Display` says it in words that follow its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NeighbourKind {
    /// On our vhid, another password, or an address list that has nothing to do with ours.
    OtherKey,
    /// Our password; its address list lacks this one.
    Lacks(IpAddr),
    /// Our password; its address list has this one as well: the link-local address of the virtual MAC, which
    /// OpenBSD and NetBSD add by themselves.
    Has(IpAddr),
    /// Our password; its address list is this one alone, as UCarp has it.
    Only(IpAddr),
    /// Our password; its address list has only the addresses of this family.
    OnlyFamily(Family),
    /// Our password; it leaves link-local addresses out of the digest, as OpenBSD does.
    WithoutLinkLocal,
    /// Our password; its address list is empty.
    NoAddresses,
    /// A VRRP router, of this version. With our vhid it has our virtual MAC address.
    Vrrp(u8),
    /// On our vhid, CARP of this version.
    OtherVersion(u8),
    /// CARP with a vhid that is not ours.
    Stranger,
    /// It is us: our own advertisements come back.
    Loop,
    /// Valid advertisements with one counter. It is OpenBSD, and
    /// [`HostConfig::peers_repeat_counter`](crate::HostConfig::peers_repeat_counter) must say so, or the last words
    /// of another are played again.
    RepeatsCounter,
    /// Valid advertisements that were recorded and are played again.
    Replay,
}

/// What was heard.
#[derive(Clone, Copy)]
pub(super) enum Spoke {
    /// A packet that was rejected: who sent it?
    Rejected(Rejection),
    /// A valid advertisement, but not a new one.
    Again(Vhid, NeighbourKind),
}

/// Those who spoke lately.
pub(super) struct Neighbours<'s> {
    slots: Pool<'s, NeighbourSlot>,
    limit: usize,
    /// Nobody is looked at closely before.
    look_from: Instant,
}

impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// Somebody was heard who is no healthy peer: remembers who, if there is memory for it.
    pub(super) fn note(&mut self, now: Instant, iface: IfaceId, meta: &RxMeta, spoke: Spoke, payload: &[u8]) {
        if let Some(neighbours) = self.parts.neighbours {
            (neighbours.note)(self, now, iface, meta, spoke, payload);
        }
    }

    /// Who spoke here what is not understood, or should not be here. One that has been silent for a minute is
    /// forgotten when its place is needed.
    pub fn neighbours(&self) -> impl Iterator<Item = &Neighbour> {
        self.neighbours
            .slots
            .iter()
            .filter_map(|slot| slot.neighbour.as_ref())
    }
}

/// Remembers who was heard, and tells of it once.
pub(super) fn note<const ADDRS: usize>(
    node: &mut Node<'_, ADDRS>,
    now: Instant,
    iface: IfaceId,
    meta: &RxMeta,
    spoke: Spoke,
    payload: &[u8],
) {
    let found = match spoke {
        Spoke::Rejected(rejection) => who_sent(node, now, iface, meta, payload, rejection),
        Spoke::Again(vhid, kind) => Some((vhid, kind)),
    };
    let Some((vhid, mut kind)) = found else { return };
    let host = node.hosts.find(iface, vhid);
    let ours = host.is_some();
    let Some(place) = node.neighbours.place(now, iface, vhid, meta.src, kind, ours) else {
        return;
    };
    let (known, looked) = node.neighbours.at(place);
    let known = known.filter(|known| now - known.heard < SILENCE);
    let mut looks = false;
    if kind == NeighbourKind::OtherKey {
        let lately = looked.is_some_and(|looked| now - looked < LOOK_AGAIN);
        looks = now >= node.neighbours.look_from && !(known.is_some() && lately);
        kind = match (looks, host.and_then(|slot| node.hosts.get(slot)), known) {
            (true, Some(host), _) => diagnose(&host.config, payload),
            (false, _, Some(known)) => known.kind,
            // Its next packet will tell.
            _ => return,
        };
    }
    if let (NeighbourKind::Vrrp(_) | NeighbourKind::OtherVersion(_), Some(known)) = (kind, known) {
        // Whoever says another version in each packet is told of once all the same.
        kind = known.kind;
    }
    if known.is_none_or(|known| known.kind != kind) {
        let event = EventKind::Neighbour {
            host: host.map(|slot| node.hosts.id(slot)),
            iface,
            vhid,
            source: meta.src,
            kind,
        };
        node.events.push(now, event);
    }
    let neighbour = Neighbour {
        iface,
        vhid,
        source: meta.src,
        mac: meta.link.map(|link| link.src),
        kind,
        heard: now,
    };
    node.neighbours.put(place, neighbour, looks);
}

/// Who sent a packet that was rejected, as far as that is to be told.
fn who_sent<const ADDRS: usize>(
    node: &Node<'_, ADDRS>,
    now: Instant,
    iface: IfaceId,
    meta: &RxMeta,
    payload: &[u8],
    rejection: Rejection,
) -> Option<(Vhid, NeighbourKind)> {
    // What a router let through has nothing to do with this segment, unless it is from one of our peers: then its
    // TTL was accepted.
    let concerns_us = meta.ttl == u8::MAX || rejection == Rejection::BadAuth;
    let &[first, vhid] = payload.first_chunk().filter(|_| concerns_us)?;
    let vhid = Vhid::new(vhid)?;
    let ours = node.hosts.find(iface, vhid).and_then(|slot| node.hosts.get(slot));
    let kind = match (Vrrp::recognise(payload), rejection, ours) {
        (Some(vrrp), ..) => NeighbourKind::Vrrp(vrrp.version),
        // It is changing its key, and says everything twice.
        (None, Rejection::BadAuth, Some(host)) if is_understood(now, host, meta.src) => return None,
        // Looked at more closely, if it is time.
        (None, Rejection::BadAuth, Some(_)) => NeighbourKind::OtherKey,
        (None, Rejection::BadVer, Some(_)) => NeighbourKind::OtherVersion(first >> 4),
        (None, Rejection::BadVhid, None) if is_advertisement(first, payload) => NeighbourKind::Stranger,
        _ => return None,
    };
    Some((vhid, kind))
}

impl<'s> Neighbours<'s> {
    pub(super) fn new(slots: Pool<'s, NeighbourSlot>, limit: usize) -> Self {
        Self {
            slots,
            limit,
            look_from: Instant::ZERO,
        }
    }

    /// Where this one is remembered, or can be: nobody is forgotten for another who spoke in the last minute,
    /// unless it has nothing to do with us.
    fn place(
        &mut self,
        now: Instant,
        iface: IfaceId,
        vhid: Vhid,
        source: IpAddr,
        kind: NeighbourKind,
        ours: bool,
    ) -> Option<usize> {
        let same = |known: &Neighbour| {
            (known.iface, known.vhid, known.source) == (iface, vhid, source)
                && known.kind.class() == kind.class()
        };
        let is_free = |known: &Neighbour| now - known.heard >= SILENCE;
        let is_dispensable = |known: &Neighbour| ours && known.kind == NeighbourKind::Stranger;
        let position = |which: &dyn Fn(&Neighbour) -> bool| {
            let mut slots = self.slots.iter();
            slots.position(|slot| slot.neighbour.as_ref().is_some_and(which))
        };
        let unused = || {
            let empty = self.slots.iter().position(|slot| slot.neighbour.is_none());
            let end = self.slots.len();
            empty.or_else(|| (end < self.limit).then_some(end))
        };
        let place = position(&same)
            .or_else(unused)
            .or_else(|| position(&is_free))
            .or_else(|| position(&is_dispensable))?;
        self.slots.ensure(place, || NeighbourSlot::EMPTY).then_some(place)
    }

    /// Who is remembered there, and when it was looked at closely.
    fn at(&self, place: usize) -> (Option<Neighbour>, Option<Instant>) {
        self.slots
            .get(place)
            .map_or((None, None), |slot| (slot.neighbour, slot.looked))
    }

    fn put(&mut self, place: usize, neighbour: Neighbour, looks: bool) {
        let now = neighbour.heard;
        if looks {
            self.look_from = now + LOOKS_APART;
        }
        if let Some(slot) = self.slots.get_mut(place) {
            slot.neighbour = Some(neighbour);
            if looks {
                slot.looked = Some(now);
            }
        }
    }

    #[cfg(feature = "sim")]
    pub(super) fn fork(&self) -> Option<Neighbours<'static>> {
        Some(Neighbours {
            slots: self.slots.fork()?,
            limit: self.limit,
            look_from: self.look_from,
        })
    }
}

/// Was it understood a moment ago? Then this is the second of the two signatures of somebody who changes.
fn is_understood<const ADDRS: usize>(now: Instant, host: &Host<ADDRS>, source: IpAddr) -> bool {
    let in_one_breath = Duration::from_millis(100);
    host.peer
        .is_some_and(|peer| peer.source == source && now - peer.at <= in_one_breath)
}

/// Version 2 with a right checksum. NetBSD's over IPv6 is another, and is not looked for.
fn is_advertisement(first: u8, payload: &[u8]) -> bool {
    let advertisement = payload.first_chunk::<ADVERTISEMENT_LEN>();
    first == 0x21 && advertisement.is_some_and(|bytes| checksum(bytes) == 0)
}

/// With which list of addresses our own key would have signed it, the likeliest first.
fn diagnose<const ADDRS: usize>(config: &HostConfig<ADDRS>, payload: &[u8]) -> NeighbourKind {
    let ours = &config.addresses;
    let mut attempts = MAX_ATTEMPTS;
    let mut signs = |list: &AddressSet<ADDRS>| {
        let Some(left) = attempts.checked_sub(1) else {
            return false;
        };
        attempts = left;
        let authenticator = Authenticator::new(&config.key, config.vhid, list, HmacVariant::Plain);
        Packet::new_checked(payload).is_ok_and(|packet| authenticator.verify(&packet).is_ok())
    };
    let mut signs_with = |keep: &dyn Fn(IpAddr) -> bool| {
        let kept = ours.iter().filter(|address| keep(*address));
        AddressSet::try_from_iter(kept).is_ok_and(|list| signs(&list))
    };
    let is_link_local = |address| matches!(address, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6));
    if ours.iter().any(is_link_local) && signs_with(&|address| !is_link_local(address)) {
        return NeighbourKind::WithoutLinkLocal;
    }
    if ours.has_ipv4() && ours.has_ipv6() {
        for family in [Family::Ipv4, Family::Ipv6] {
            if signs_with(&|address| Family::of(address) == family) {
                return NeighbourKind::OnlyFamily(family);
            }
        }
    }
    for address in ours.iter() {
        if signs_with(&|kept| kept != address) {
            return match ours.len() {
                1 => NeighbourKind::NoAddresses,
                _ => NeighbourKind::Lacks(address),
            };
        }
    }
    for address in ours.iter() {
        if signs_with(&|kept| kept == address) {
            return NeighbourKind::Only(address);
        }
    }
    let automatic = automatic_link_local(config.vhid);
    let mut more = ours.clone();
    if more.insert(automatic) == Ok(true) && signs(&more) {
        return NeighbourKind::Has(automatic);
    }
    if signs(&AddressSet::new()) {
        return NeighbourKind::NoAddresses;
    }
    NeighbourKind::OtherKey
}

/// `fe80::200:5eff:fe00:1XX`, made of the virtual MAC address (`docs/protocol.md §5`).
fn automatic_link_local(vhid: Vhid) -> IpAddr {
    let last = u16::from_be_bytes([1, vhid.get()]);
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0200, 0x5eff, 0xfe00, last))
}

impl NeighbourKind {
    /// What one neighbour is only once: findings of one class replace each other.
    fn class(self) -> u8 {
        match self {
            Self::OtherKey
            | Self::Lacks(_)
            | Self::Has(_)
            | Self::Only(_)
            | Self::OnlyFamily(_)
            | Self::WithoutLinkLocal
            | Self::NoAddresses => 0,
            Self::Vrrp(_) => 1,
            Self::OtherVersion(_) => 2,
            Self::Stranger => 3,
            Self::Loop => 4,
            Self::Replay => 5,
            Self::RepeatsCounter => 6,
        }
    }
}

impl fmt::Display for NeighbourKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKey => {
                f.write_str("has another password, or an address list that has nothing to do with ours")
            }
            Self::Lacks(address) => write!(f, "has our password, but its address list lacks {address}"),
            Self::Has(address) => write!(f, "has our password, but its address list has {address} as well"),
            Self::Only(address) => write!(
                f,
                "has our password, but its address list is {address} alone, as UCarp's"
            ),
            Self::OnlyFamily(Family::Ipv4) => {
                f.write_str("has our password, but no IPv6 addresses in its list")
            }
            Self::OnlyFamily(Family::Ipv6) => {
                f.write_str("has our password, but no IPv4 addresses in its list")
            }
            Self::WithoutLinkLocal => {
                f.write_str("has our password, but signs without link-local addresses, as OpenBSD does")
            }
            Self::NoAddresses => f.write_str("has our password, but its address list is empty"),
            Self::Vrrp(version) => write!(f, "speaks VRRPv{version}"),
            Self::OtherVersion(version) => write!(f, "speaks version {version} of CARP"),
            Self::Stranger => f.write_str("speaks CARP here"),
            Self::Loop => f.write_str("sends our own advertisements back: there is a loop"),
            Self::RepeatsCounter => f.write_str(
                "repeats one counter: it is OpenBSD, and this virtual host is not told so, or a recording is played again",
            ),
            Self::Replay => f.write_str("plays recorded advertisements again"),
        }
    }
}
