//! Calls the public API of `carp-proto`, and in [`node`] that of `carp-fsm`, with input that the compiler knows
//! nothing about.

#![no_std]
#![forbid(unsafe_code)]

use core::{
    fmt::{self, Write},
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, AuthError, Authenticator, Counter, Demotion, Dialect,
    Digest, Envelope, FrameClass, HmacVariant, Interval, Key, KeyError, MAX_FRAME_LEN, MacAddr, Packet,
    ParseError, Receiver, Rejection, RxMeta, Suspects, UnknownDialect, Vhid, ZeroVhid, explain, frame,
    receive,
};

pub mod adapter;
pub mod events;
pub mod node;

/// Addresses of the virtual host in these images.
pub const ADDRESSES: usize = 4;

/// Any value, for all the compiler knows.
fn any<T: Default>() -> T {
    black_box(T::default())
}

fn any_bytes() -> &'static [u8] {
    black_box(&[])
}

fn any_vhid() -> Vhid {
    // The constant is known to the compiler, what comes out of the box is not.
    black_box(Vhid::new(1)).unwrap_or(const { Vhid::new(1).unwrap() })
}

fn any_mac() -> MacAddr {
    MacAddr(any())
}

fn any_ipv4() -> Ipv4Addr {
    Ipv4Addr::from(any::<[u8; 4]>())
}

fn any_ipv6() -> Ipv6Addr {
    Ipv6Addr::from(any::<[u8; 16]>())
}

fn any_ip() -> IpAddr {
    if any() {
        IpAddr::V4(any_ipv4())
    } else {
        IpAddr::V6(any_ipv6())
    }
}

fn any_dialect() -> Dialect {
    black_box(Dialect::FreeBsd)
}

fn any_meta() -> RxMeta {
    RxMeta {
        src: any_ip(),
        dst: any_ip(),
        ttl: any(),
        link: None,
    }
}

fn any_key() -> Key {
    Key::from_bytes(any())
}

fn any_advertisement() -> Advertisement {
    Advertisement {
        vhid: any_vhid(),
        advbase: AdvBase::new(any()),
        advskew: AdvSkew::new(any()),
        demotion: Demotion::new(any()),
        counter: Counter::new(any()),
        digest: Digest::new(any()),
    }
}

fn any_set() -> AddressSet<ADDRESSES> {
    let mut set = AddressSet::new();
    for _ in 0..any() {
        let _ = black_box(set.insert(any_ip()));
    }
    set
}

/// Parsing and writing an advertisement.
pub fn codec() {
    if let Ok(packet) = Packet::new_checked(any_bytes()) {
        black_box(Advertisement::parse(&packet).ok());
        black_box((packet.kind(), packet.authlen(), packet.checksum()));
    }
    let mut bytes = [0; 36];
    any_advertisement().emit(&mut bytes);
    black_box(bytes);
}

/// Signing, and all that [`receive`] does.
pub fn auth() {
    let set = any_set();
    let variant = black_box(HmacVariant::Plain);
    let authenticators = [Authenticator::new(&any_key(), any_vhid(), &set, variant)];
    black_box(authenticators[0].sign(Counter::new(any())));
    let receiver = Receiver {
        dialect: any_dialect(),
        unicast: any(),
        min_ttl: None,
        authenticators: &authenticators,
    };
    black_box(
        receive(&any_meta(), any_bytes(), any_dialect(), |vhid| {
            (vhid == any_vhid()).then_some(((), receiver))
        })
        .ok(),
    );
}

/// Whole frames, in and out.
pub fn frames() {
    match black_box(frame::classify(any_bytes())) {
        FrameClass::Carp { payload, .. } => {
            black_box(frame::Vrrp::recognise(payload));
        }
        other => {
            black_box(other);
        }
    }
    let mut buffer = [0; MAX_FRAME_LEN];
    let advertisement = any_advertisement();
    let envelope = Envelope::unicast(any_mac(), any_mac(), any_ip(), any_ip(), any_dialect());
    black_box(frame::emit_advertisement(
        &advertisement,
        &envelope,
        any_dialect(),
        &mut buffer,
    ));
    black_box(frame::emit_gratuitous_arp(
        any_mac(),
        any_mac(),
        any_ipv4(),
        &mut buffer,
    ));
    black_box(frame::emit_arp_reply(
        any_mac(),
        any_mac(),
        any_ipv4(),
        any_mac(),
        any_ipv4(),
        &mut buffer,
    ));
    black_box(frame::emit_unsolicited_na(
        any_mac(),
        any_mac(),
        any_ipv6(),
        any(),
        &mut buffer,
    ));
    let (eth_src, hw, addr, to) = (any_mac(), any_mac(), any_ipv6(), any_ipv6());
    black_box(frame::emit_neighbor_advertisement(
        eth_src,
        hw,
        addr,
        any_mac(),
        to,
        any(),
        &mut buffer,
    ));
    black_box(&buffer);
}

/// Explaining a bad digest.
pub fn explanation() {
    let keys = [any_key(), any_key()];
    let lists = [any_set()];
    let (extra, link_layer) = ([any_ip()], [any_mac()]);
    let set = any_set();
    let suspects = Suspects {
        keys: &keys,
        addresses: &set,
        other_lists: &lists,
        extra: &extra,
        link_layer: &link_layer,
    };
    if let Ok(packet) = Packet::new_checked(any_bytes()) {
        black_box(explain(&packet, &suspects));
    }
}

/// What the other functions leave out, but for what prints.
pub fn rest() {
    black_box(frame::Answer::recognise(any_bytes(), any_mac()));
    let mut buffer = [0; MAX_FRAME_LEN];
    black_box(frame::emit_arp_request(
        any_mac(),
        any_ipv4(),
        any_ipv4(),
        &mut buffer,
    ));
    black_box(frame::emit_neighbor_solicitation(
        any_mac(),
        any_ipv6(),
        any_ipv6(),
        &mut buffer,
    ));
    black_box(Key::from_passphrase(any_bytes()).is_ok());
    black_box(any_key() == Key::NONE);
    black_box(carp_proto::checksum(any_bytes()));
    black_box(frame::classify_ip(any_bytes()));
    let (base, skew) = (AdvBase::new(any()), AdvSkew::new(any()));
    let dialect = any_dialect();
    black_box(Interval::new(base, skew).micros());
    black_box(dialect.effective_skew(skew, any()));
    black_box(dialect.advertisement_interval_micros(base, skew));
    black_box(dialect.master_down_micros(base, skew));
    black_box((
        dialect.source_mac(any_vhid()),
        any_vhid().mac(),
        any_mac().is_group(),
    ));
    black_box(Envelope::multicast_v4(any_vhid(), any_ipv4(), dialect));
    black_box(Envelope::multicast_v6(any_vhid(), any_ipv6(), dialect));
    black_box(core::str::from_utf8(any_bytes()).ok().map(str::parse::<Dialect>));
    hide(&Vhid::try_from(any::<u8>()).map(u8::from));
    let advertisement = any_advertisement();
    hide(&(
        advertisement.is_bow_out(),
        advertisement.interval().base(),
        advertisement.interval().skew(),
    ));
    hide(&(
        any_key().clone(),
        any_dialect().rules(),
        black_box(Rejection::BadTtl).counter(),
    ));
    let authenticator =
        Authenticator::new(&any_key(), any_vhid(), &any_set(), black_box(HmacVariant::Plain)).clone();
    hide(&authenticator.vhid());
    if let Ok(packet) = Packet::new_checked(any_bytes())
        && let Ok(verified) = authenticator.verify(&packet)
    {
        hide(&(verified.vhid, verified.into_inner()));
    }
    hide(&AddressSet::<ADDRESSES>::try_from_iter([any_ip(), any_ip()]).is_ok());
    let mut set = any_set();
    black_box(set.remove(&any_ip()));
    black_box((
        set.contains(&any_ip()),
        set.len(),
        set.is_empty(),
        set.has_ipv4(),
        set.has_ipv6(),
    ));
    set.iter().for_each(|address| hide(&address));
    set.ipv4().for_each(|address| hide(&address));
    set.ipv6().for_each(|address| hide(&address));
}

fn hide<T>(value: &T) {
    black_box(value);
}

struct Sink;

impl Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        black_box(text);
        black_box(Ok(()))
    }
}

/// All that prints, but for what prints an IP address: `core` does that with code that could panic.
pub fn text() {
    let _ = write!(Sink, "{} {} {}", any_vhid(), any_mac(), any_dialect());
    let _ = write!(
        Sink,
        "{}",
        Interval::new(AdvBase::new(any()), AdvSkew::new(any()))
    );
    let _ = write!(Sink, "{}", any_advertisement());
    let _ = write!(Sink, "{:?} {:?}", any_key(), Digest::new(any()));
    let _ = write!(
        Sink,
        "{:?} {} {}",
        Authenticator::new(&any_key(), any_vhid(), &any_set(), HmacVariant::Plain),
        black_box(ZeroVhid),
        black_box(UnknownDialect)
    );
    let _ = write!(
        Sink,
        "{} {} {}",
        AdvBase::new(any()),
        AdvSkew::new(any()),
        black_box(Rejection::BadTtl).counter()
    );
    let _ = write!(Sink, "{}", black_box(KeyError::Empty));
    let _ = write!(Sink, "{}", black_box(AuthError::Digest));
    let _ = write!(Sink, "{}", black_box(ParseError::Vhid));
    let _ = write!(Sink, "{}", black_box(Rejection::BadTtl));
    let _ = write!(Sink, "{}", black_box(frame::Malformed::Truncated));
}
