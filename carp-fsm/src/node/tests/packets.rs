use carp_proto::Dialect;

use super::*;

#[test]
fn every_fault_is_counted_by_its_reason_and_changes_nothing() {
    let good = advertisement(1, 0);
    let with = |at: usize, value: u8, fix_sum: bool| {
        let mut bytes = good;
        bytes[at] = value;
        if fix_sum {
            bytes[6..8].fill(0);
            let sum = carp_proto::checksum(&bytes);
            bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    };
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    let status = bench.node.status(host);
    let deadline = bench.node.next_deadline();
    let cases: [(&str, Vec<u8>, u8, Rejection); 7] = [
        ("TTL", good.to_vec(), 254, Rejection::BadTtl),
        ("cut short", good[..35].to_vec(), 255, Rejection::BadLen),
        ("empty", Vec::new(), 255, Rejection::BadLen),
        (
            "checksum",
            with(6, !good[6], false).to_vec(),
            255,
            Rejection::BadSum,
        ),
        ("vhid", with(1, 8, true).to_vec(), 255, Rejection::BadVhid),
        ("version", with(0, 0x31, true).to_vec(), 255, Rejection::BadVer),
        (
            "digest",
            with(35, !good[35], true).to_vec(),
            255,
            Rejection::BadAuth,
        ),
    ];
    for (index, (name, payload, ttl, rejection)) in cases.iter().enumerate() {
        let meta = RxMeta {
            ttl: *ttl,
            ..from_peer()
        };
        let heard = bench.node.handle_packet(bench.now, ETH0, &meta, payload);
        assert_eq!(heard, Err(*rejection), "{name}");
        let stats = bench.node.stats();
        assert_eq!(stats.ipackets, index as u64 + 1);
        let counted = stats
            .iter()
            .filter(|(counter, _)| counter.starts_with("bad"))
            .map(|(_, n)| n);
        assert_eq!(counted.sum::<u64>(), index as u64 + 1, "{name}: once");
        let named = stats
            .iter()
            .find(|(counter, _)| *counter == rejection.counter())
            .unwrap();
        assert!(named.1 > 0, "{name}: {}", rejection.counter());
    }
    bench.drain();
    assert_eq!(bench.node.status(host), status);
    assert_eq!(bench.node.next_deadline(), deadline);
    assert!(bench.actions.is_empty());
    let told = |event: &EventKind| matches!(event, EventKind::Neighbour { .. });
    assert!(bench.events.iter().all(told));
}

#[test]
fn another_password_or_another_address_is_badauth() {
    for change in [
        |config: &mut HostConfig<4>| config.key = Key::from_passphrase(b"other").unwrap(),
        |config: &mut HostConfig<4>| {
            config.addresses.insert([192, 0, 2, 200].into()).unwrap();
        },
    ] {
        let mut config = config(7);
        change(&mut config);
        let (mut bench, _) = Bench::with_host(Policy::HARDENED, config);
        assert_eq!(bench.hear(&advertisement(1, 0)), Err(Rejection::BadAuth));
        assert_eq!(bench.node.stats().badauth, 1);
    }
}

#[test]
fn the_vhid_belongs_to_the_interface() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench.link(ETH1, LinkState::Up);
    let heard = bench
        .node
        .handle_packet(bench.now, ETH1, &from_peer(), &advertisement(1, 0));
    assert_eq!(heard, Err(Rejection::BadVhid));
    assert_eq!(bench.hear(&advertisement(1, 0)), Ok(host));
}

#[test]
fn an_unknown_vhid_is_checked_as_the_hosts_on_the_interface_are() {
    let ucarp = HostConfig {
        dialect: carp_proto::Dialect::Ucarp,
        ..config(7)
    };
    let (mut bench, _) = Bench::with_host(Policy::HARDENED, ucarp);
    bench.link(ETH1, LinkState::Up);
    let mut bytes = advertisement(1, 0);
    bytes[1] = 8; // and the checksum is wrong
    assert_eq!(bench.hear(&bytes), Err(Rejection::BadVhid));
    let elsewhere = bench.node.handle_packet(bench.now, ETH1, &from_peer(), &bytes);
    assert_eq!(elsewhere, Err(Rejection::BadSum), "no host: FreeBSD's order");
}

#[test]
fn a_family_in_which_the_host_has_no_address_is_not_its_own() {
    let (mut bench, _) = Bench::with_host(Policy::HARDENED, config(7));
    let deadline = bench.node.next_deadline();
    let meta = RxMeta {
        src: "fe80::2".parse().unwrap(),
        dst: carp_proto::MULTICAST_V6.into(),
        ..from_peer()
    };
    let heard = bench
        .node
        .handle_packet(bench.now, ETH0, &meta, &advertisement(1, 0));
    assert_eq!(heard, Err(Rejection::BadVhid));
    assert_eq!(
        (bench.node.stats().ipackets, bench.node.stats().ipackets6),
        (0, 1)
    );
    assert_eq!(bench.node.next_deadline(), deadline);
}

#[test]
fn the_peer_is_remembered() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    assert_eq!(bench.node.status(host).unwrap().peer, None);
    bench.now = bench.now + Duration::from_millis(10);
    bench.hear_peer(1, 50);
    let peer = bench.node.status(host).unwrap().peer.unwrap();
    assert_eq!((peer.source, peer.at), ([10, 0, 0, 2].into(), bench.now));
    assert_eq!((peer.interval.base().get(), peer.interval.skew().get()), (1, 50));
}

#[test]
fn a_better_master_is_named_in_the_event() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.hear_peer(1, 50);
    let transition = EventKind::Transition {
        host,
        from: State::Master,
        to: State::Backup,
        reason: Reason::MoreFrequentAdvertisement,
        peer: Some([10, 0, 0, 2].into()),
    };
    assert_eq!(bench.events, [transition]);
}

#[test]
fn what_waits_is_heard_before_a_node_promotes_itself_however_little_late_it_is() {
    for late in [0, 1, 60_000_000] {
        for heard in [false, true] {
            let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
            let deadline = bench.node.next_deadline().unwrap();
            bench.now = deadline + Duration::from_micros(late);
            bench.node.handle_timeout(bench.now);
            assert_eq!(bench.state(host), State::Backup, "not yet, {late} us late");
            assert_eq!(bench.node.next_deadline(), Some(deadline), "it is still due");
            if heard {
                bench.hear_peer(1, 0);
            }
            bench.node.handle_drained(bench.now);
            assert_eq!(bench.state(host) == State::Backup, heard);
        }
    }
}

#[test]
fn a_kernel_promotes_itself_at_once() {
    let (mut bench, host) = Bench::with_host(Policy::KERNEL, config(7));
    bench.node.handle_timeout(bench.now + Duration::from_secs(60));
    assert_eq!(bench.state(host), State::Master);
}

#[test]
fn ucarps_tie_goes_to_the_lower_little_endian_source() {
    for (last_octet, yields) in [(0, true), (2, false)] {
        let mut config = config(7);
        config.dialect = carp_proto::Dialect::Ucarp;
        let (mut bench, host) = Bench::with_master(Policy::KERNEL, config);
        // Ours is 10.0.0.1; the last octet counts most.
        let meta = RxMeta {
            src: [10, 0, 1, last_octet].into(),
            ..from_peer()
        };
        bench
            .node
            .handle_packet(bench.now, ETH0, &meta, &advertisement(1, 100))
            .unwrap();
        assert_eq!(bench.state(host) == State::Backup, yields);
    }
}

#[test]
fn ucarps_tie_is_broken_by_the_virtual_address_where_there_is_no_other() {
    for (last_octet, yields) in [(0, true), (8, false)] {
        let config = HostConfig {
            dialect: carp_proto::Dialect::Ucarp,
            ..config(7)
        };
        let ours = config.addresses.ipv4().next().unwrap();
        let (mut bench, host) = Bench::with_master(Policy::KERNEL, config);
        let info = InterfaceInfo {
            ipv4: None,
            ..*bench.node.interface(ETH0).unwrap()
        };
        bench.node.handle_interface(bench.now, ETH0, info);
        let [a, b, c, _] = ours.octets();
        let meta = RxMeta {
            src: [a, b, c, last_octet].into(),
            ..from_peer()
        };
        let heard = bench
            .node
            .handle_packet(bench.now, ETH0, &meta, &advertisement(1, 100));
        heard.unwrap();
        assert_eq!(bench.state(host) == State::Backup, yields, "{ours}");
    }
}

#[test]
fn openbsd_takes_the_digest_with_and_without_link_local_addresses() {
    let mut config = config(7);
    config.addresses.insert("fe80::7".parse().unwrap()).unwrap();
    for dialect in Dialect::ALL {
        config.dialect = dialect;
        let sent = |key: &Key, variant, counter| {
            let authenticator = Authenticator::new(key, vhid(7), &config.addresses, variant);
            let counter = Counter::new(counter);
            let mut bytes = [0; 36];
            Advertisement {
                vhid: vhid(7),
                advbase: AdvBase::new(1),
                advskew: AdvSkew::new(0),
                demotion: Demotion::new(0),
                counter,
                digest: authenticator.sign(counter),
            }
            .emit(&mut bytes);
            bytes
        };
        let (mut bench, host) = Bench::with_host(Policy::HARDENED, config.clone());
        let without = bench.hear(&sent(&key(), HmacVariant::WithoutLinkLocal, 1));
        let with = bench.hear(&sent(&key(), HmacVariant::Plain, 2));
        let accepts = |found: Result<HostId, Rejection>| {
            assert!(found == Ok(host) || found == Err(Rejection::BadAuth));
            found.is_ok()
        };
        assert_eq!(accepts(without), dialect == Dialect::OpenBsd, "{dialect}");
        assert!(accepts(with), "{dialect}");
        let wrong = bench.hear(&sent(&Key::NONE, HmacVariant::Plain, 3));
        assert_eq!(wrong, Err(Rejection::BadAuth));
    }
}
