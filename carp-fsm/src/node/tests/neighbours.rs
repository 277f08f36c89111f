use core::net::{IpAddr, Ipv4Addr};

use carp_proto::AddressSet;
use hex_literal::hex;

use super::*;
use crate::state::Family;
use crate::{NeighbourKind, NeighbourSlot};

/// Three addresses of ours, of both families.
const OURS: [&str; 4] = ["192.0.2.7", "192.0.2.8", "192.0.2.9", "2001:db8::7"];

/// VRRP versions 2 and 3, of virtual router 7.
const VRRP2: [u8; 20] = hex!("2107960101010115 0a630032 7365637265740000");
const VRRP3: [u8; 12] = hex!("310796010064430b 0a630032");

type Told = (Option<HostId>, u8, IpAddr, NeighbourKind);

/// A backup with these addresses.
fn backup(addresses: &[&str]) -> (Bench, HostId) {
    let mut config = config(7);
    config.addresses = set(addresses);
    Bench::with_host(Policy::HARDENED, config)
}

fn set(addresses: &[&str]) -> AddressSet<4> {
    AddressSet::try_from_iter(addresses.iter().map(|address| address.parse().unwrap())).unwrap()
}

/// An advertisement of 1/0 by a node with this password and list.
fn of_another(password: &[u8], addresses: &[&str]) -> [u8; 36] {
    let key = Key::from_passphrase(password).unwrap();
    let authenticator = Authenticator::new(&key, vhid(7), &set(addresses), HmacVariant::Plain);
    signed_by(&authenticator, 1, 0, 0x1234)
}

/// With a right checksum again.
fn summed(mut bytes: [u8; 36]) -> [u8; 36] {
    bytes[6..8].fill(0);
    let sum = carp_proto::checksum(&bytes);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

impl Bench {
    fn hear_number(&mut self, last: u8, payload: &[u8]) {
        let meta = RxMeta {
            src: [10, 0, 0, last].into(),
            ..from_peer()
        };
        let _ = self.node.handle_packet(self.now, ETH0, &meta, payload);
        self.drain();
    }

    /// From now on, time brings no transition.
    fn seize(&mut self, host: HostId) {
        self.node.force_state(self.now, host, State::Master).unwrap();
        self.drain();
    }

    /// What was told of neighbours since the last time; nothing else may have happened.
    fn told(&mut self) -> Vec<Told> {
        let told = self.events.drain(..).map(|event| match event {
            EventKind::Neighbour {
                host,
                iface: ETH0,
                vhid,
                source,
                kind,
            } => (host, vhid.get(), source, kind),
            other => panic!("{other:?}"),
        });
        told.collect()
    }
}

#[test]
fn what_differs_is_named_and_nothing_moves() {
    use NeighbourKind::{Has, Lacks, NoAddresses, Only, OnlyFamily, OtherKey, WithoutLinkLocal};
    let automatic = "fe80::200:5eff:fe00:107";
    let address = |text: &str| -> IpAddr { text.parse().unwrap() };
    let all = &OURS[..];
    let three = &OURS[..3];
    let with_link_local = ["192.0.2.7", automatic];
    for (ours, password, theirs, expected) in [
        (all, "another", all, OtherKey),
        (all, "secret", &["203.0.113.1"][..], OtherKey),
        (all, "another", &OURS[..1], OtherKey),
        (all, "secret", &OURS[1..], Lacks(address(OURS[0]))),
        (all, "secret", three, OnlyFamily(Family::Ipv4)),
        (all, "secret", &OURS[3..], OnlyFamily(Family::Ipv6)),
        (three, "secret", &OURS[1..2], Only(address(OURS[1]))),
        (&OURS[..2], "secret", &OURS[..1], Lacks(address(OURS[1]))),
        (all, "secret", &[], NoAddresses),
        (&OURS[..1], "secret", &[], NoAddresses),
        (
            three,
            "secret",
            &[OURS[0], OURS[1], OURS[2], automatic],
            Has(address(automatic)),
        ),
        (
            &with_link_local,
            "secret",
            &with_link_local[..1],
            WithoutLinkLocal,
        ),
    ] {
        let (mut bench, host) = backup(ours);
        let deadline = bench.node.next_deadline();
        bench.run_for(Duration::from_secs(1));
        bench.hear_number(2, &of_another(password.as_bytes(), theirs));
        let source = IpAddr::from([10, 0, 0, 2]);
        assert_eq!(
            bench.told(),
            [(Some(host), 7, source, expected)],
            "{ours:?} {theirs:?}"
        );
        assert_eq!(bench.node.next_deadline(), deadline);
        assert_eq!(bench.node.stats().badauth, 1);
        let known: Vec<_> = bench.node.neighbours().map(|n| (n.source, n.kind)).collect();
        assert_eq!(known, [(source, expected)]);
    }
}

#[test]
fn other_protocols_and_other_vhids_are_named() {
    let (mut bench, host) = backup(&OURS);
    bench.hear_number(2, &VRRP2);
    bench.hear_number(3, &VRRP3);
    let mut version = advertisement(1, 0);
    version[0] = 0x41;
    bench.hear_number(4, &summed(version));
    let mut stranger = advertisement(1, 0);
    stranger[1] = 9;
    bench.hear_number(5, &summed(stranger));
    let mut foreign = VRRP3;
    foreign[1] = 9;
    bench.hear_number(6, &foreign);
    let from = |last| IpAddr::from([10, 0, 0, last]);
    assert_eq!(
        bench.told(),
        [
            (Some(host), 7, from(2), NeighbourKind::Vrrp(2)),
            (Some(host), 7, from(3), NeighbourKind::Vrrp(3)),
            (Some(host), 7, from(4), NeighbourKind::OtherVersion(4)),
            (None, 9, from(5), NeighbourKind::Stranger),
            (None, 9, from(6), NeighbourKind::Vrrp(3)),
        ]
    );
}

#[test]
fn what_cannot_be_read_or_comes_from_afar_is_only_counted() {
    let (mut bench, _) = backup(&OURS);
    let mut stranger = advertisement(1, 0);
    stranger[1] = 9;
    bench.hear_number(2, &stranger);
    bench.hear_number(2, &[]);
    bench.hear_number(2, &[0x21]);
    bench.hear_number(2, &[0x21, 0]);
    let mut broken = of_another(b"another", &OURS);
    broken[6] ^= 1;
    bench.hear_number(2, &broken);
    let afar = RxMeta {
        ttl: 254,
        ..from_peer()
    };
    for payload in [&of_another(b"another", &OURS)[..], &VRRP2, &VRRP3] {
        let _ = bench.node.handle_packet(bench.now, ETH0, &afar, payload);
    }
    bench.drain();
    assert_eq!(bench.told(), []);
    assert_eq!(bench.node.neighbours().count(), 0);
}

#[test]
fn it_is_told_once_and_again_after_a_minute_of_silence() {
    let (mut bench, host) = backup(&OURS);
    let other = of_another(b"another", &OURS);
    bench.hear_number(2, &other);
    assert_eq!(bench.told().len(), 1);
    bench.seize(host);
    bench.forget();
    for _ in 0..1_000 {
        bench.run_for(Duration::from_millis(100));
        bench.hear_number(2, &other);
    }
    assert_eq!(bench.told(), []);
    bench.run_for(Duration::from_millis(59_999));
    bench.hear_number(2, &other);
    assert_eq!(bench.told(), []);
    bench.run_for(Duration::from_millis(60_000));
    bench.hear_number(2, &other);
    assert_eq!(bench.told().len(), 1);
}

#[test]
fn another_version_in_each_packet_is_told_once() {
    let (mut bench, host) = backup(&OURS);
    for round in 0..100 {
        let mut other = advertisement(1, 0);
        other[0] = if round % 2 == 0 { 0x41 } else { 0x51 };
        bench.hear_number(9, &summed(other));
        bench.hear_number(9, if round % 2 == 0 { &VRRP2 } else { &VRRP3 });
    }
    let source = [10, 0, 0, 9].into();
    let kinds = [NeighbourKind::OtherVersion(4), NeighbourKind::Vrrp(2)];
    let told = kinds.map(|kind| (Some(host), 7, source, kind));
    assert_eq!(bench.told(), told);
}

#[test]
fn another_mistake_is_told_as_soon_as_it_is_looked_at_again() {
    let (mut bench, host) = backup(&OURS);
    bench.hear_number(2, &of_another(b"another", &OURS));
    bench.run_for(Duration::from_millis(1));
    assert_eq!(bench.told().len(), 1);
    let lacking = of_another(b"secret", &OURS[1..]);
    bench.hear_number(2, &lacking);
    assert_eq!(bench.told(), [], "it was looked at just now");
    bench.seize(host);
    bench.run_for(Duration::from_secs(5));
    bench.forget();
    bench.hear_number(2, &lacking);
    assert!(matches!(bench.told()[..], [(.., NeighbourKind::Lacks(_))]));
}

#[test]
fn a_flood_costs_one_look_in_a_tenth_of_a_second_and_an_event_for_each_place() {
    let (mut bench, host) = backup(&OURS);
    let other = of_another(b"another", &OURS);
    for last in 0..=255 {
        bench.hear_number(last, &other);
    }
    assert_eq!(bench.told().len(), 1, "one look");
    bench.seize(host);
    bench.forget();
    for _ in 0..10 {
        for last in 0..=255 {
            bench.run_for(Duration::from_millis(100));
            bench.hear_number(last, &other);
        }
    }
    // Four minutes: whoever has a place keeps it.
    let places = bench.node.neighbours().count();
    assert!(places <= 64);
    let told = bench.told().len();
    assert!(told <= 64 * 5, "{told}");
}

#[test]
fn who_has_our_vhid_takes_the_place_of_one_who_has_not() {
    let slots: &'static mut [NeighbourSlot] = [NeighbourSlot::EMPTY; 1].to_vec().leak();
    let storage = borrowed(1, 1, 1, 8).with_neighbours(slots);
    let mut bench = Bench::with_storage(Policy::HARDENED, storage);
    bench.insert(config(7));
    bench.forget();
    let mut stranger = advertisement(1, 0);
    stranger[1] = 9;
    let stranger = summed(stranger);
    bench.hear_number(2, &stranger);
    bench.hear_number(3, &of_another(b"another", &OURS));
    bench.hear_number(2, &stranger);
    let told: Vec<_> = bench.told().into_iter().map(|(.., kind)| kind).collect();
    assert_eq!(told, [NeighbourKind::Stranger, NeighbourKind::OtherKey]);
}

#[test]
fn our_own_words_and_recorded_ones_are_told_once() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    let own = super::replays::own_advertisement(&mut bench);
    let mut recorded = own;
    recorded[2] = 0;
    for _ in 0..10 {
        bench.hear_number(1, &own);
        bench.hear_number(9, &summed(recorded));
    }
    let told: Vec<_> = bench.told();
    let from = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    assert_eq!(
        told,
        [
            (Some(host), 7, from(1), NeighbourKind::Loop),
            (Some(host), 7, from(9), NeighbourKind::Replay),
        ]
    );
}

/// It is configured, so that it is expected to be understood.
#[test]
fn a_peer_behind_routers_with_another_password_is_named() {
    let (mut bench, host) = backup(&["192.0.2.7"]);
    let far = crate::Peer {
        address: [198, 51, 100, 2].into(),
        min_ttl: 250,
    };
    bench.node.set_peers(bench.now, host, false, &[far]).unwrap();
    let other = of_another(b"other", &["192.0.2.7"]);
    for (source, named) in [(IpAddr::from([198, 51, 100, 3]), 0), (far.address, 1)] {
        let meta = RxMeta {
            src: source,
            dst: [10, 0, 0, 1].into(),
            ttl: 252,
            link: None,
        };
        bench
            .node
            .handle_packet(bench.now, ETH0, &meta, &other)
            .unwrap_err();
        assert_eq!(bench.node.neighbours().count(), named, "{source}");
    }
}

#[test]
fn without_memory_for_them_neighbours_are_only_counted() {
    let mut bench = Bench::with_storage(Policy::HARDENED, borrowed(1, 1, 1, 8));
    bench.insert(config(7));
    bench.forget();
    bench.hear_number(2, &of_another(b"another", &OURS));
    assert_eq!(bench.told(), []);
    assert_eq!(bench.node.stats().badauth, 1);
}
