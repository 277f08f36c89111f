//! Unicast peers, whose MAC addresses the adapter finds out.

mod support;

use std::net::{IpAddr, Ipv4Addr};

use carp_embassy::Gateway;
use carp_fsm::{Event, EventKind, HostConfig, HostId, Peer, State};
use carp_proto::MacAddr;
use carp_proto::frame::{FrameClass, classify};
use support::{Lab, Member, adapter_with_peers, answer, host, own_addresses};

fn peer(address: impl Into<IpAddr>) -> Peer {
    Peer {
        address: address.into(),
        min_ttl: 255,
    }
}

/// A member that speaks to these peers and not to the group.
fn member(lab: &mut Lab, config: HostConfig<2>, peers: &[Peer]) -> (Member, HostId) {
    let port = lab.port();
    let (number, mac) = (port.number(), port.mac());
    let carp = adapter_with_peers(mac);
    let (member, hosts) = lab.start(number, mac, carp, carp.announce(port), vec![config]);
    // Whoever has none yet hears the group.
    let multicast = peers.is_empty();
    member.control.set_peers(hosts[0], multicast, peers).unwrap();
    (member, hosts[0])
}

/// The address on the board number 1, 2, ..
fn ipv4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

/// A station that is no adapter.
const OTHER: MacAddr = MacAddr([6, 0, 0, 0, 0, 9]);

fn is_advertisement(frame: &[u8]) -> bool {
    matches!(classify(frame), FrameClass::Carp { .. })
}

fn is_question(frame: &[u8]) -> bool {
    match classify(frame) {
        FrameClass::ArpRequest { target, sender, .. } => target != sender,
        FrameClass::NeighborSolicitation { .. } => true,
        _ => false,
    }
}

/// A question that everybody hears.
fn is_loud(frame: &[u8]) -> bool {
    is_question(frame) && frame[0] & 1 == 1
}

/// How many frames of a kind have crossed the wire since it was last asked.
fn count(lab: &Lab, kind: impl Fn(&[u8]) -> bool) -> usize {
    lab.take_log().iter().filter(|(_, frame)| kind(frame)).count()
}

/// An ARP reply from `mac` for `address`.
fn reply(mac: MacAddr, address: Ipv4Addr, to: MacAddr) -> Vec<u8> {
    let mut buffer = [0; carp_proto::MAX_FRAME_LEN];
    let (sender, _) = own_addresses(to);
    let len = carp_proto::frame::emit_arp_reply(mac, mac, address, to, sender, &mut buffer);
    buffer[..len].to_vec()
}

#[test]
fn two_elect_without_a_group_and_the_first_advertisement_is_not_lost() {
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, host(0), &[peer(ipv4(2))]);
    let (b, hb) = member(&mut lab, host(100), &[peer(ipv4(1))]);
    lab.run_for_millis(2_999);
    let ahead = lab.take_log();
    assert_eq!(ahead.iter().filter(|(_, frame)| is_question(frame)).count(), 2);
    assert_eq!(ahead.len(), 4, "and two answers: {ahead:?}");
    lab.run_for_millis(2);
    assert_eq!((a.state(ha), b.state(hb)), (State::Master, State::Backup));
    let log = lab.take_log();
    assert_eq!(log[0].1[..6], b.mac.0);
    assert_eq!(log[0].1[6..12], a.mac.0, "from its own MAC address");
    assert!(is_advertisement(&log[0].1), "{log:?}");

    lab.run_for_millis(10_000);
    assert_eq!((a.state(ha), b.state(hb)), (State::Master, State::Backup));
    let log = lab.take_log();
    let questions: Vec<_> = log.iter().filter(|(_, frame)| is_question(frame)).collect();
    assert!((8..=10).contains(&questions.len()), "{questions:?}");
    let quiet = |(port, frame): &&(usize, Vec<u8>)| *port == a.port && frame[..6] == b.mac.0;
    assert!(
        questions.iter().all(quiet),
        "the silent one alone is asked: {questions:?}"
    );
    assert_eq!((a.control.demotion(), a.control.stats().senderr), (0, 0));

    // The backup has learnt from what it heard where the master is.
    lab.wire.borrow_mut().ports[a.port].cut = true;
    lab.run_for_millis(3_500);
    assert_eq!(b.state(hb), State::Master);
    let log = lab.take_log();
    assert!(log.iter().all(|(_, frame)| !is_loud(frame)), "{log:?}");
    lab.wire.borrow_mut().ports[a.port].cut = false;
    lab.run_for_millis(1_100);
    assert_eq!((a.state(ha), b.state(hb)), (State::Master, State::Backup));
}

/// It was not there yet when it was asked for.
#[test]
fn the_first_advertisement_waits_for_the_answer_and_is_not_lost() {
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, host(0), &[peer(ipv4(2))]);
    lab.run_for_millis(2_500);
    let (b, hb) = member(&mut lab, host(100), &[]);
    lab.run_for_millis(499);
    lab.take_log();
    lab.run_for_millis(6);
    assert_eq!((a.state(ha), b.state(hb)), (State::Master, State::Backup));
    let log = lab.take_log();
    let question = log.iter().position(|(_, frame)| is_question(frame)).unwrap();
    let advertisement = log.iter().position(|(_, frame)| is_advertisement(frame)).unwrap();
    assert!(question < advertisement, "{log:?}");
    assert_eq!(log[advertisement].1[..6], b.mac.0);
    assert_eq!((a.control.demotion(), a.control.stats().senderr), (0, 0));
}

#[test]
fn it_waits_a_few_milliseconds() {
    let mut lab = Lab::new();
    let (a, _) = member(&mut lab, host(0), &[peer(ipv4(77))]);
    lab.run_for_millis(2_999);
    lab.take_log();
    lab.run_for_millis(12);
    let log = lab.take_log();
    assert!(log.iter().any(|(_, frame)| is_question(frame)), "{log:?}");
    lab.inject(&reply(OTHER, ipv4(77), a.mac));
    lab.run_for_millis(4);
    assert_eq!(count(&lab, is_advertisement), 1);
    assert_eq!(a.control.stats().senderr, 0);
}

#[test]
fn the_same_over_ipv6() {
    let mut config = host(0);
    config.addresses = carp_proto::AddressSet::new();
    config.addresses.insert("2001:db8::100".parse().unwrap()).unwrap();
    let mut slow = config.clone();
    slow.advskew = carp_proto::AdvSkew::new(100);
    let [one, two] = [1, 2].map(|number| own_addresses(MacAddr([2, 0, 0, 0, 0, number])).1);
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, config, &[peer(two)]);
    let (b, hb) = member(&mut lab, slow, &[peer(one)]);
    lab.run_for_millis(5_500);
    assert_eq!((a.state(ha), b.state(hb)), (State::Master, State::Backup));
    let log = lab.take_log();
    let asked = |frame: &[u8]| matches!(classify(frame), FrameClass::NeighborSolicitation { target, .. } if target == two);
    let questions: Vec<_> = log.iter().filter(|(_, frame)| asked(frame)).collect();
    assert_eq!(
        questions.len(),
        4,
        "ahead, and with each advertisement: {questions:?}"
    );
    assert!(
        questions[1..].iter().all(|(_, frame)| frame[..6] == b.mac.0),
        "{questions:?}"
    );
    let advertisements: Vec<_> = log.iter().filter(|(_, frame)| is_advertisement(frame)).collect();
    assert_eq!(advertisements.len(), 3);
    assert!(
        advertisements
            .iter()
            .all(|(port, frame)| *port == a.port && frame[..6] == b.mac.0)
    );
}

#[test]
fn one_that_never_answers_is_asked_once_a_second_and_is_no_fault_of_ours() {
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, host(0), &[peer(ipv4(77))]);
    lab.run_for_millis(3_900);
    assert_eq!(a.state(ha), State::Master);
    assert_eq!(
        (count(&lab, is_question), a.control.unresolved()),
        (2, 1),
        "ahead, and now"
    );
    lab.run_for_millis(2_000);
    assert_eq!((a.control.unresolved(), a.control.stats().senderr), (3, 0));
    assert_eq!(a.control.demotion(), 0);
    lab.take_log();
    lab.run_for_millis(10_000);
    let log = lab.take_log();
    assert!(log.iter().all(|(_, frame)| is_question(frame)));
    assert!((9..=10).contains(&log.len()), "{} questions in 10 s", log.len());
    let tries = a.control.stats().onomem;
    assert!(tries <= 11, "{tries} tries while the first answer could come");

    // It comes up, and answers.
    let (mut loud, mut quiet) = (0, 0);
    for _ in 0..1_000 {
        lab.run_for_millis(10);
        for (_, frame) in lab.take_log() {
            if is_question(&frame) {
                *if is_loud(&frame) { &mut loud } else { &mut quiet } += 1;
                lab.inject(&reply(OTHER, ipv4(77), a.mac));
            }
        }
    }
    assert_eq!((loud, quiet, a.control.demotion()), (1, 9, 0));
    assert!(a.control.unresolved() <= 15, "{}", a.control.unresolved());
}

/// A question that left a moment after the advertisement is not too young for the next one.
#[test]
fn one_that_is_silent_is_asked_with_each_advertisement() {
    let mut lab = Lab::new();
    let (a, _) = member(&mut lab, host(0), &[peer(ipv4(77))]);
    lab.run_for_millis(5_990);
    let room = |lab: &Lab, room| {
        let port = &mut lab.wire.borrow_mut().ports[a.port];
        port.room = room;
        port.wake();
    };
    lab.take_log();
    for _ in 0..10 {
        room(&lab, 0);
        lab.run_for_millis(50);
        room(&lab, usize::MAX);
        lab.run_for_millis(950);
    }
    assert_eq!(count(&lab, is_question), 10);
}

/// With DHCP, peers are often configured before there is an address to ask from.
#[test]
fn a_question_that_could_not_be_asked_does_not_count() {
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, host(0), &[peer(ipv4(77))]);
    a.control.set_addresses(None, None);
    for _ in 0..3 {
        a.control.set_peers(ha, false, &[peer(ipv4(77))]).unwrap();
        lab.run_for_millis(1_100);
    }
    assert_eq!(count(&lab, is_question), 0);
    let (ipv4_own, ipv6_own) = own_addresses(a.mac);
    a.control.set_addresses(Some(ipv4_own), Some(ipv6_own));
    // 3 s after the last change.
    lab.run_for_millis(1_908);
    assert_eq!(count(&lab, is_question), 1);
    lab.inject(&reply(OTHER, ipv4(77), a.mac));
    lab.run_for_millis(4);
    assert_eq!(
        count(&lab, is_advertisement),
        1,
        "the first one waits for the answer"
    );
    assert_eq!(a.control.unresolved(), 0);
}

/// Boards that are switched on one after the other.
#[test]
fn a_peer_that_comes_up_later_costs_no_transition() {
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, host(0), &[peer(ipv4(2))]);
    lab.run_for_millis(10_000);
    assert_eq!(a.state(ha), State::Master);
    let transitions = |member: &Member| {
        let event = || member.control.with_node(|_, node| node.poll_event()).flatten();
        let is_transition = |event: &Event| matches!(event.kind, EventKind::Transition { .. });
        std::iter::from_fn(event).filter(is_transition).count()
    };
    assert_eq!(transitions(&a), 2, "INIT, BACKUP, MASTER");
    let (b, hb) = member(&mut lab, host(100), &[peer(ipv4(1))]);
    lab.run_for_millis(10_000);
    assert_eq!((a.state(ha), b.state(hb)), (State::Master, State::Backup));
    assert_eq!((transitions(&a), transitions(&b)), (0, 1));
}

/// A dead peer's neighbours do not wait for it.
#[test]
fn one_that_never_answers_does_not_keep_an_advertisement_from_the_others() {
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, host(0), &[peer(ipv4(77)), peer(ipv4(2))]);
    let (b, hb) = member(&mut lab, host(100), &[peer(ipv4(1))]);
    lab.run_for_millis(20_000);
    assert_eq!((a.state(ha), b.state(hb)), (State::Master, State::Backup));
    assert_eq!(a.control.demotion(), 0);
    assert!(b.control.stats().ipackets >= 17, "{:?}", b.control.stats());
}

#[test]
fn what_is_known_is_asked_for_again_and_used_meanwhile() {
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, host(0), &[peer(ipv4(77))]);
    let station = MacAddr([2, 0, 0, 0, 0, 77]);
    let mut sent_to = Vec::new();
    let (mut questions, mut loud) = (0, 0);
    for second in 0..100 {
        for _ in 0..100 {
            lab.run_for_millis(10);
            for (_, frame) in lab.take_log() {
                if is_advertisement(&frame) {
                    sent_to.push(frame[..6].to_vec());
                }
                questions += usize::from(is_question(&frame));
                loud += usize::from(is_loud(&frame));
                // It is there for a minute.
                if let Some(answer) = answer(&frame, station).filter(|_| second < 60) {
                    lab.inject(&answer);
                }
            }
        }
    }
    // 97 seconds as MASTER, one advertisement a second.
    assert!((96..=98).contains(&sent_to.len()), "{}", sent_to.len());
    assert!(sent_to.iter().all(|to| *to == station.0));
    // With each advertisement: where it is while it answers, everywhere in the last 39 s.
    assert!((96..=98).contains(&questions), "{questions} questions");
    assert!((38..=42).contains(&loud), "{loud} that all hear");
    assert_eq!((a.state(ha), a.control.demotion()), (State::Master, 0));
}

/// An answer is believed if it was asked for, and only the first one.
#[test]
fn nobody_is_believed_who_was_not_asked() {
    let mut lab = Lab::new();
    let (a, _) = member(&mut lab, host(0), &[peer(ipv4(77))]);
    let liar = reply(OTHER, ipv4(77), a.mac);
    // Before the question.
    lab.run_for_millis(2_900);
    lab.inject(&liar);
    lab.run_for_millis(101);
    let log = lab.take_log();
    assert!(log.iter().any(|(_, frame)| is_question(frame)), "{log:?}");
    // For somebody else's address; to somebody else; then the right one, then a wrong one too late.
    lab.inject(&reply(OTHER, ipv4(78), a.mac));
    lab.inject(&reply(OTHER, ipv4(77), MacAddr([2, 0, 0, 0, 0, 8])));
    let station = MacAddr([2, 0, 0, 0, 0, 77]);
    lab.inject(&reply(station, ipv4(77), a.mac));
    lab.inject(&liar);
    lab.take_log();
    lab.run_for_millis(5_000);
    let log = lab.take_log();
    let sent: Vec<_> = log.iter().filter(|(_, frame)| is_advertisement(frame)).collect();
    assert!(sent.len() >= 5);
    assert!(sent.iter().all(|(_, frame)| frame[..6] == station.0), "{sent:?}");
}

/// The digest does not cover the Ethernet header: whoever copies an advertisement can put any source there.
#[test]
fn a_copied_advertisement_leads_nobody_astray_and_a_new_network_card_is_found() {
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, host(0), &[peer(ipv4(2))]);
    let (b, _) = member(&mut lab, host(100), &[peer(ipv4(1))]);
    lab.run_for_millis(3_500);
    // The backup knows the master; an attacker repeats the next advertisement from its own MAC address.
    lab.take_log();
    lab.run_for_millis(1_000);
    let log = lab.take_log();
    let (_, advertisement) = log.iter().find(|(_, frame)| is_advertisement(frame)).unwrap();
    let mut copy = advertisement.clone();
    copy[6..12].copy_from_slice(&OTHER.0);
    lab.inject(&copy);
    // The backup becomes master, and speaks to the real one.
    a.control.set_enabled(ha, false).unwrap();
    lab.run_for_millis(1_000);
    let log = lab.take_log();
    let from_b = log
        .iter()
        .filter(|(port, frame)| *port == b.port && is_advertisement(frame));
    let destinations: Vec<_> = from_b.map(|(_, frame)| frame[..6].to_vec()).collect();
    assert!(!destinations.is_empty());
    assert!(destinations.iter().all(|to| *to == a.mac.0), "{destinations:?}");
    // But whether it has moved was asked.
    let asked = |frame: &[u8]| matches!(classify(frame), FrameClass::ArpRequest { target, sender, .. } if target == ipv4(1) && sender == ipv4(2));
    assert!(log.iter().any(|(port, frame)| *port == b.port && asked(frame)));
}

/// A board in the place of another, which nobody tells of it, hears the MASTER before it takes over.
#[test]
fn a_backup_that_is_replaced_costs_no_transition() {
    for (advskew, asks) in [(1, false), (100, true)] {
        let mut lab = Lab::new();
        let (a, ha) = member(&mut lab, host(0), &[peer(ipv4(2))]);
        let (b, _) = member(&mut lab, host(advskew), &[peer(ipv4(1))]);
        lab.run_for_millis(20_300);
        let port = lab.port_in_place_of(b.port);
        let (number, mac) = (port.number(), port.mac());
        let carp = adapter_with_peers(mac);
        let (new, hosts) = lab.start(number, mac, carp, carp.announce(port), vec![host(advskew)]);
        if asks {
            // As other systems do, long before they speak.
            new.control.set_peers(hosts[0], false, &[peer(ipv4(1))]).unwrap();
        }
        lab.take_log();
        lab.run_for_millis(20_000);
        assert_eq!((a.state(ha), new.state(hosts[0])), (State::Master, State::Backup));
        let log = lab.take_log();
        let from_new = |(port, frame): &&(usize, Vec<u8>)| *port == number && is_advertisement(frame);
        assert_eq!(log.iter().filter(from_new).count(), 0);
        let sent = log.iter().filter(|(_, frame)| is_advertisement(frame));
        let lost = sent.take_while(|(_, frame)| frame[..6] != mac.0).count();
        assert!(lost <= if asks { 0 } else { 2 }, "{lost} to the old one");
    }
}

#[test]
fn a_peer_elsewhere_is_reached_over_the_router() {
    let far = Ipv4Addr::new(192, 0, 2, 1);
    let router = ipv4(254);
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, host(0), &[]);
    let gateway = Gateway {
        network: ipv4(1).into(),
        prefix_len: 24,
        router: router.into(),
    };
    a.control.set_gateways(Some(gateway), None);
    a.control
        .set_peers(ha, false, &[peer(far), peer(ipv4(77))])
        .unwrap();
    lab.run_for_millis(3_050);
    let asked: Vec<_> = lab
        .take_log()
        .iter()
        .filter_map(|(_, frame)| match classify(frame) {
            FrameClass::ArpRequest { target, sender, .. } if target != sender => Some(target),
            _ => None,
        })
        .collect();
    assert_eq!(asked[0], router);
    assert!(asked.contains(&ipv4(77)) && !asked.contains(&far), "{asked:?}");
    lab.run_for_millis(1_000);
    lab.take_log();
    lab.inject(&reply(OTHER, router, a.mac));
    lab.run_for_millis(2_000);
    let log = lab.take_log();
    let sent: Vec<_> = log.iter().filter(|(_, frame)| is_advertisement(frame)).collect();
    assert!(!sent.is_empty());
    for (_, frame) in sent {
        assert_eq!((&frame[..6], &frame[30..34]), (&OTHER.0[..], &far.octets()[..]));
    }
}

/// Peers come and go; the memory for what is known of them does not grow.
#[test]
fn more_peers_than_there_is_room_for_take_turns() {
    let mut lab = Lab::new();
    let (a, ha) = member(&mut lab, host(0), &[peer(ipv4(77))]);
    lab.run_for_millis(3_100);
    for number in 101..150 {
        let peers = [peer(ipv4(number)), peer(ipv4(number + 100)), peer(ipv4(77))];
        a.control.set_peers(ha, false, &peers).unwrap();
        lab.take_log();
        lab.run_for_millis(1_100);
        let asked = count(&lab, is_question);
        assert!((2..=5).contains(&asked), "{asked}");
    }
    let many = [1, 2, 3, 4].map(|number: u8| peer(Ipv4Addr::new(10, 0, 1, number)));
    assert!(a.control.set_peers(ha, false, &many).is_err());
    assert_eq!(a.state(ha), State::Master);
}
