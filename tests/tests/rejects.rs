//! Packets that must be counted and change nothing, sent to two living nodes by a third machine.
//!
//! Root and iproute2 are needed. Without them the test says that it is left out; with `CI=true` it fails.
#![cfg(target_os = "linux")]

mod live;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use carp_fsm::{IfaceId, TransmitResult};
use carp_proto::Rejection;
use carp_std::Link;
use carp_std::linux::{Clock, LinuxLink};
use carp_tests::invalid::{CARP, IP, PASSWORD, captured, changed, cut, sound};
use carpd::lab::topology::INTERFACE;
use carpd::lab::{Lab, Setup, Software, VHID};
use live::{A, B, counter, crash, eventually, masters_during, settle, state, status, transitions};
use serde_json::Value;

/// How often each packet is sent before the counters are looked at.
const COPIES: u64 = 3;

/// What is wrong, the packet, and where it is counted. What IP itself drops is not CARP's to count.
fn rejects() -> Vec<(&'static str, Vec<u8>, Option<&'static str>)> {
    let mut mis_summed = sound();
    mis_summed[CARP + 6] ^= 1;
    let mut ip_mis_summed = sound();
    ip_mis_summed[IP + 10] ^= 1;
    vec![
        ("one byte short", cut(35), Some("badlen")),
        ("seven bytes", cut(7), Some("badlen")),
        ("no payload", cut(0), Some("badlen")),
        ("checksum", mis_summed, Some("badsum")),
        ("TTL 254", changed(|frame| frame[IP + 8] = 254), Some("badttl")),
        ("version 3", changed(|frame| frame[CARP] = 0x31), Some("badver")),
        (
            "another vhid",
            changed(|frame| frame[CARP + 1] = VHID + 1),
            Some("badvhid"),
        ),
        ("vhid 0", changed(|frame| frame[CARP + 1] = 0), Some("badvhid")),
        ("digest", changed(|frame| frame[CARP + 35] ^= 1), Some("badauth")),
        ("counter", changed(|frame| frame[CARP + 8] ^= 1), Some("badauth")),
        (
            "VRRPv2",
            captured("wire/keepalived-vrrpv2-vrid7.pcap"),
            Some("badlen"),
        ),
        (
            "VRRPv3",
            captured("wire/keepalived-vrrpv3-vrid7.pcap"),
            Some("badlen"),
        ),
        ("IP checksum", ip_mis_summed, None),
        ("IP length", changed(|frame| frame[IP + 3] = 200), None),
    ]
}

/// A way to send and to hear, beside what else runs on a station.
struct Station {
    link: LinuxLink,
    iface: IfaceId,
}

impl Station {
    fn new(lab: &Lab, number: u8) -> Self {
        let open = || {
            let mut link = LinuxLink::new().unwrap();
            let iface = link.add_interface(INTERFACE).unwrap();
            Self { link, iface }
        };
        lab.topology.station(number).enter(open).unwrap()
    }

    /// How many frames have arrived since the last call that are equal to this one.
    fn heard(&mut self, frame: &[u8]) -> u64 {
        while self.link.poll_change().is_some() {}
        let (mut count, mut buffer) = (0, [0; 256]);
        while let Some((_, len)) = self.link.recv(&mut buffer) {
            count += u64::from(&buffer[..len] == frame);
        }
        count
    }

    fn send(&mut self, frame: &[u8]) {
        assert_eq!(self.link.send_frame(self.iface, frame), TransmitResult::Sent);
    }
}

#[test]
fn what_is_rejected_is_counted_and_nothing_else_happens() {
    let setup = |advskew| Setup {
        password: PASSWORD.to_owned(),
        ..Setup::new(Software::Carpd, advskew)
    };
    let Some(mut lab) = live::lab([setup(50), setup(100)]) else {
        return;
    };
    let (mut stranger, mut witness) = (Station::new(&lab, 3), Station::new(&lab, 2));
    lab.start(A).unwrap();
    lab.start(B).unwrap();
    settle(&mut lab, A);
    let master = IpAddr::from(lab.nodes[A].address());
    let history = lab.nodes.each_ref().map(transitions);
    let start = Clock.now();

    for (what, frame, reason) in rejects() {
        let before = lab.nodes.each_ref().map(status);
        for _ in 0..COPIES {
            stranger.send(&frame);
        }
        expect_counted(&mut lab, what, &before, reason);
        assert_eq!(
            witness.heard(&frame),
            COPIES,
            "{what}: it must arrive to be rejected"
        );
    }

    // Many of them: the master stays in time, and a backup is not deceived about a master that has died.
    let (rejects, done) = (rejects(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for (_, frame, _) in rejects.iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                stranger.send(frame);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let _done = Done(&done);
        assert_eq!(masters_during(&mut lab, Duration::from_secs(4)), [master]);
        let sent: Vec<_> = lab
            .client
            .record()
            .since(start)
            .map(|advertisement| advertisement.at)
            .collect();
        assert!(sent.len() >= 4);
        for pair in sent.windows(2) {
            let interval = (pair[1] - pair[0]).as_micros();
            assert!(
                (1_100_000..1_300_000).contains(&interval),
                "1.195 s, not {interval} us"
            );
        }
        assert_eq!(lab.nodes.each_ref().map(state), ["MASTER", "BACKUP"]);
        assert_eq!(lab.nodes.each_ref().map(transitions), history);

        let takeover = crash(&mut lab, A);
        let detection = (takeover.first - takeover.last).as_micros();
        assert!(
            (3_370_000..3_800_000).contains(&detection),
            "3.391 s, not {detection} us"
        );
    });

    // Without its fault the same packet does something.
    stranger.send(&sound());
    eventually(&mut lab, "B obeys", |lab| {
        transitions(&lab.nodes[B])
            .last()
            .is_some_and(|last| last.starts_with("MASTER -> BACKUP"))
    });
}

/// Waits until the copies have been counted, and only where they should be.
fn expect_counted(lab: &mut Lab, what: &str, before: &[Value; 2], reason: Option<&str>) {
    let mut expected = before.each_ref().map(rejections);
    for node in &mut expected {
        if let Some(reason) = reason {
            *node.get_mut(reason).unwrap() += COPIES;
        }
    }
    let now = |lab: &Lab| lab.nodes.each_ref().map(|node| rejections(&status(node)));
    eventually(lab, what, |lab| now(lab) == expected);
    lab.client.pause(Duration::from_millis(50)).unwrap();
    assert_eq!(now(lab), expected, "{what}");
}

/// The counters of packets that were not accepted.
fn rejections(status: &Value) -> BTreeMap<&'static str, u64> {
    let reasons = Rejection::ALL.map(Rejection::counter);
    reasons
        .into_iter()
        .map(|name| (name, counter(status, name)))
        .collect()
}

/// Ends the flood, also when the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
