use core::net::IpAddr;

use super::*;
use carp_proto::AddressSet;

use crate::{Peer, PeerSlot, PeersError, ReconfigureError};

fn peer(address: &str) -> Peer {
    Peer {
        address: address.parse().unwrap(),
        min_ttl: 255,
    }
}

fn peers() -> [Peer; 2] {
    [peer("10.0.0.2"), peer("10.0.0.3")]
}

/// A master that speaks to two peers only.
fn master() -> (Bench, HostId) {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench.node.set_peers(bench.now, host, false, &peers()).unwrap();
    bench.run_to_deadline();
    assert_eq!(bench.state(host), State::Master);
    bench.forget();
    (bench, host)
}

impl Bench {
    fn next_hops(&self) -> Vec<Option<IpAddr>> {
        let hop = |action: &Action| match action {
            Action::Transmit {
                kind: TransmitKind::Announcement,
                ..
            }
            | Action::SetOwner { .. } => None,
            Action::Transmit { next_hop, .. } => Some(*next_hop),
        };
        self.actions.iter().filter_map(hop).collect()
    }

    fn hear_from(&mut self, src: &str, dst: &str, ttl: u8) -> Result<HostId, Rejection> {
        let meta = RxMeta {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            ttl,
            link: None,
        };
        self.node
            .handle_packet(self.now, ETH0, &meta, &advertisement(1, 0))
    }
}

#[test]
fn each_peer_gets_a_frame_of_its_own_in_its_family() {
    let (mut bench, host) = master();
    bench.run_to_deadline();
    let addresses = peers().map(|peer| Some(peer.address));
    assert_eq!(bench.next_hops(), addresses);

    bench.forget();
    let both = [peer("10.0.0.2"), peer("2001:db8::3")];
    bench.node.set_peers(bench.now, host, true, &both).unwrap();
    bench.drain();
    let expected = [None, Some(both[0].address)];
    assert_eq!(
        bench.next_hops(),
        expected,
        "no address of IPv6, no advertisement in it"
    );
    bench.forget();
    let mut config = bench.node.config(host).unwrap().clone();
    config.addresses.insert("2001:db8::7".parse().unwrap()).unwrap();
    bench.node.reconfigure(bench.now, host, config).unwrap();
    bench.drain();
    let expected = [None, None, Some(both[0].address), Some(both[1].address)];
    let twice = "signed with the old addresses and with the new ones";
    assert_eq!(
        bench.next_hops(),
        expected.map(|hop| [hop; 2]).as_flattened(),
        "{twice}"
    );
}

#[test]
fn a_frame_to_a_peer_is_ready_but_for_the_destination_mac() {
    let (mut bench, _) = master();
    bench.now = bench.node.next_deadline().unwrap();
    bench.node.handle_drained(bench.now);
    let mut frame = [0; MAX_FRAME_LEN];
    let Some(Action::Transmit { len, .. }) = bench.node.poll_action(bench.now, &mut frame) else {
        panic!("an advertisement is due");
    };
    assert_eq!(
        frame[..12],
        [0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0],
        "from the interface itself"
    );
    let class = carp_proto::frame::classify(&frame[..len]);
    let carp_proto::frame::FrameClass::Carp { meta, .. } = class else {
        panic!("{class:?}");
    };
    assert_eq!((meta.src, meta.dst), ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()));
    assert_eq!(meta.ttl, 255);
}

/// Advertisements come from the interface's own MAC address then: only announcements tell switches where the virtual
/// one is.
#[test]
fn announcements_come_from_the_virtual_mac_address_if_no_advertisement_does() {
    for (mode, multicast, virtual_mac) in [
        (LinkMode::Vmac, true, false),
        (LinkMode::Vmac, false, true),
        (LinkMode::Plain, false, false),
    ] {
        let mut config = config(7);
        config.mode = mode;
        let expected = if virtual_mac {
            config.vhid.mac()
        } else {
            interface(ETH0, LinkState::Up).mac
        };
        let (mut bench, host) = Bench::with_host(Policy::HARDENED, config);
        bench
            .node
            .set_peers(bench.now, host, multicast, &peers())
            .unwrap();
        bench.now = bench.node.next_deadline().unwrap();
        bench.node.handle_timeout(bench.now);
        bench.node.handle_drained(bench.now);
        let mut frame = [0; MAX_FRAME_LEN];
        let mut announced = 0;
        while let Some(action) = bench.node.poll_action(bench.now, &mut frame) {
            if let Action::Transmit {
                kind: TransmitKind::Announcement,
                ..
            } = action
            {
                assert_eq!(frame[6..12], expected.0, "{mode:?}, multicast {multicast}");
                announced += 1;
            }
        }
        assert_eq!(announced, 1);
    }
}

#[test]
fn who_leaves_bows_out_to_each() {
    let (mut bench, host) = master();
    bench.node.set_enabled(bench.now, host, false).unwrap();
    bench.drain();
    assert_eq!(bench.said(), ["bow-out", "bow-out"]);
}

#[test]
fn only_the_frame_for_which_there_was_no_room_is_sent_again() {
    let (mut bench, _) = master();
    bench.now = bench.node.next_deadline().unwrap();
    bench.node.handle_drained(bench.now);
    let mut frame = [0; MAX_FRAME_LEN];
    // The first leaves, for the second there is no room.
    for result in [TransmitResult::Sent, TransmitResult::Busy] {
        let Some(Action::Transmit { tx, .. }) = bench.node.poll_action(bench.now, &mut frame) else {
            panic!("an advertisement is due");
        };
        bench.node.handle_transmit_result(bench.now, tx, result);
    }
    assert_eq!(bench.node.poll_action(bench.now, &mut frame), None);
    bench.run_for(Duration::from_millis(100));
    assert_eq!(bench.next_hops(), [Some(peers()[1].address)]);
}

#[test]
fn a_peer_is_heard_at_its_ttl_and_anybody_else_on_the_segment() {
    for dialect in carp_proto::Dialect::ALL {
        let mut config = config(7);
        config.dialect = dialect;
        let (mut bench, host) = Bench::with_host(Policy::HARDENED, config);
        let routed = |address: &str, min_ttl| Peer {
            min_ttl,
            ..peer(address)
        };
        let peers = [peer("10.0.0.2"), routed("10.0.0.3", 250), routed("10.0.0.4", 0)];
        bench.node.set_peers(bench.now, host, false, &peers).unwrap();
        let own = "10.0.0.1";
        for (source, ttl, heard) in [
            ("10.0.0.2", 255, true),
            ("10.0.0.2", 254, false),
            ("10.0.0.3", 250, true),
            ("10.0.0.3", 249, false),
            ("10.0.0.4", 1, true),
            ("10.0.0.5", 255, true),
            ("10.0.0.5", 254, false),
        ] {
            let expected = if heard { Ok(host) } else { Err(Rejection::BadTtl) };
            assert_eq!(
                bench.hear_from(source, own, ttl),
                expected,
                "{dialect:?} {source} {ttl}"
            );
        }
    }
}

#[test]
fn openbsd_hears_by_the_way_that_is_configured_and_a_multicast_is_never_routed() {
    let mut config = config(7);
    config.dialect = carp_proto::Dialect::OpenBsd;
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config);
    let far = Peer {
        min_ttl: 0,
        ..peer("10.0.0.2")
    };
    for (multicast, group, own) in [
        (false, Err(Rejection::BadVhid), Ok(host)),
        (true, Ok(host), Ok(host)),
    ] {
        bench.node.set_peers(bench.now, host, multicast, &[far]).unwrap();
        assert_eq!(bench.hear_from("10.0.0.2", "224.0.0.18", 255), group);
        assert_eq!(bench.hear_from("10.0.0.2", "10.0.0.1", 10), own);
    }
    assert_eq!(
        bench.hear_from("10.0.0.2", "224.0.0.18", 10),
        Err(Rejection::BadTtl)
    );
    bench.node.set_peers(bench.now, host, true, &[]).unwrap();
    assert_eq!(
        bench.hear_from("10.0.0.2", "10.0.0.1", 255),
        Err(Rejection::BadVhid)
    );
}

impl Bench {
    /// The next advertisement, which nobody of these gets.
    fn advertise_but_not_to(&mut self, unreachable: &[&str]) {
        let unreachable: Vec<IpAddr> = unreachable.iter().map(|peer| peer.parse().unwrap()).collect();
        self.now = self.node.next_deadline().unwrap();
        self.node.handle_drained(self.now);
        let mut frame = [0; MAX_FRAME_LEN];
        while let Some(action) = self.node.poll_action(self.now, &mut frame) {
            if let Action::Transmit { tx, len, .. } = action {
                let carp_proto::frame::FrameClass::Carp { meta, .. } =
                    carp_proto::frame::classify(&frame[..len])
                else {
                    continue;
                };
                let result = if unreachable.contains(&meta.dst) {
                    TransmitResult::Error
                } else {
                    TransmitResult::Sent
                };
                self.node.handle_transmit_result(self.now, tx, result);
            }
        }
    }
}

#[test]
fn peers_that_are_gone_do_not_demote_but_all_of_them_do() {
    let (mut bench, host) = master();
    let all = ["10.0.0.2", "10.0.0.3", "10.0.0.4"];
    bench
        .node
        .set_peers(bench.now, host, false, &all.map(peer))
        .unwrap();
    bench.drain();
    for gone in [&all[..1], &all[1..2], &all[2..], &all[..2], &all[1..]] {
        for _ in 0..20 {
            bench.advertise_but_not_to(gone);
        }
        assert_eq!(bench.node.demotion(GROUP0), 0, "{gone:?}");
    }
    for demotion in [0, 0, 240] {
        bench.advertise_but_not_to(&all);
        assert_eq!(bench.node.demotion(GROUP0), demotion);
    }
    for demotion in [240, 240, 0] {
        bench.advertise_but_not_to(&all[1..]);
        assert_eq!(bench.node.demotion(GROUP0), demotion);
    }
}

#[test]
fn a_family_in_which_nothing_leaves_demotes() {
    let mut both = config(7);
    both.addresses.insert("2001:db8::7".parse().unwrap()).unwrap();
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, both);
    for demotion in [0, 0, 240] {
        bench.advertise_but_not_to(&["ff02::12"]);
        assert_eq!(bench.node.demotion(GROUP0), demotion);
    }
    for demotion in [240, 240, 0] {
        bench.advertise_but_not_to(&[]);
        assert_eq!(bench.node.demotion(GROUP0), demotion);
    }
    let peers = ["10.0.0.2", "10.0.0.3", "2001:db8::2", "2001:db8::3"].map(peer);
    bench.node.set_peers(bench.now, host, false, &peers).unwrap();
    bench.drain();
    for _ in 0..20 {
        bench.advertise_but_not_to(&["10.0.0.2", "2001:db8::3"]);
    }
    assert_eq!(bench.node.demotion(GROUP0), 0, "one of each is reached");
    for _ in 0..3 {
        bench.advertise_but_not_to(&["10.0.0.2", "10.0.0.3"]);
    }
    assert_eq!(bench.node.demotion(GROUP0), 240);
}

/// What becomes of a frame may be reported when the next one was handed out long ago.
#[test]
fn results_may_come_late_and_in_any_order() {
    let (mut bench, _) = master();
    for _ in 0..20 {
        bench.now = bench.node.next_deadline().unwrap();
        bench.node.handle_drained(bench.now);
        let mut frame = [0; MAX_FRAME_LEN];
        let mut sent = Vec::new();
        while let Some(action) = bench.node.poll_action(bench.now, &mut frame) {
            if let Action::Transmit { tx, next_hop, .. } = action {
                sent.push((next_hop, tx));
            }
        }
        for (next_hop, tx) in sent.into_iter().rev() {
            let result = if next_hop == Some(peers()[1].address) {
                TransmitResult::Error
            } else {
                TransmitResult::Sent
            };
            bench.node.handle_transmit_result(bench.now, tx, result);
        }
    }
    assert_eq!(bench.node.demotion(GROUP0), 0);
    assert!(bench.node.stats().senderr >= 20);
}

#[test]
fn impossible_peers_are_refused_and_nothing_changes() {
    let (mut bench, host) = master();
    let mut many = Vec::new();
    for last in 2..11 {
        many.push(peer(&std::format!("10.0.0.{last}")));
    }
    let unusable = |address: &str| Err(PeersError::Unusable(address.parse().unwrap()));
    for (multicast, list, expected) in [
        (true, &many[..], Err(PeersError::NoRoom)),
        (false, &[], Err(PeersError::Nobody)),
        (false, &[peer("2001:db8::2")], Err(PeersError::Nobody)),
        (true, &[peer("192.0.2.7")], unusable("192.0.2.7")),
        (true, &[peer("224.0.0.18")], unusable("224.0.0.18")),
        (true, &[peer("0.0.0.0")], unusable("0.0.0.0")),
        (true, &[peer("10.0.0.2"), peer("10.0.0.2")], unusable("10.0.0.2")),
    ] {
        assert_eq!(bench.node.set_peers(bench.now, host, multicast, list), expected);
    }
    assert!(bench.node.peers(host).eq(&peers()));
    assert_eq!(bench.node.set_peers(bench.now, host, true, &many[..6]), Ok(()));

    let slots: &'static mut [PeerSlot] = [PeerSlot::EMPTY; 2].to_vec().leak();
    let mut bench = Bench::with_storage(Policy::HARDENED, borrowed(2, 1, 1, 8).with_peers(slots, 2));
    bench.insert(config(8));
    let first = bench.node.find(ETH0, vhid(8)).unwrap();
    let second = bench.insert(config(7));
    assert_eq!(
        bench.node.set_peers(bench.now, first, true, &many[..3]),
        Err(PeersError::NoRoom)
    );
    assert_eq!(bench.node.set_peers(bench.now, first, true, &many[..2]), Ok(()));
    assert_eq!(
        bench.node.set_peers(bench.now, second, true, &many[..1]),
        Err(PeersError::NoRoom)
    );
    assert_eq!(bench.node.set_peers(bench.now, second, true, &[]), Ok(()));
    assert_eq!(bench.node.peers(second).count(), 0);
}

#[test]
fn a_host_in_the_place_of_another_has_none_of_its_peers() {
    let (mut bench, host) = master();
    bench.node.remove(bench.now, host).unwrap();
    bench.run_for(Duration::from_secs(2));
    let host = bench.insert(config(7));
    assert_eq!(bench.node.peers(host).count(), 0);
    bench.forget();
    bench.run_to_deadline();
    assert_eq!(bench.next_hops(), [None]);
}

#[test]
fn addresses_that_do_not_suit_the_peers_are_refused_and_nothing_changes() {
    let (mut bench, host) = master();
    let before = bench.node.config(host).unwrap().clone();
    for (address, error) in [
        ("2001:db8::7", PeersError::Nobody),
        ("10.0.0.3", PeersError::Unusable("10.0.0.3".parse().unwrap())),
    ] {
        let mut addresses = AddressSet::new();
        addresses.insert(address.parse().unwrap()).unwrap();
        let config = HostConfig {
            addresses,
            ..before.clone()
        };
        let refused = bench.node.reconfigure(bench.now, host, config.clone());
        assert_eq!(refused, Err(ReconfigureError::Peers(error)));
        assert!(
            bench
                .node
                .config(host)
                .unwrap()
                .addresses
                .iter()
                .eq(before.addresses.iter())
        );
        // With multicast and without peers everything suits.
        bench.node.set_peers(bench.now, host, true, &[]).unwrap();
        bench.node.reconfigure(bench.now, host, config).unwrap();
        bench.node.reconfigure(bench.now, host, before.clone()).unwrap();
        bench.node.set_peers(bench.now, host, false, &peers()).unwrap();
    }
}
