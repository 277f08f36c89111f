//! The renderings of one example.

use super::State::{Backup, Init, Master};
use super::*;

pub(crate) fn example() -> Status {
    let lan = HostStatus {
        name: "eth0@7".into(),
        interface: "eth0".into(),
        vhid: 7,
        description: Some("LAN gateway".into()),
        addresses: vec!["192.0.2.10/24".into(), "2001:db8::10/64".into()],
        state: State::Master,
        reason: "master timed out".into(),
        since: "2026-11-21T10:00:00.123Z".into(),
        age_ms: 1234,
        leaving: false,
        owner: true,
        address_error: None,
        group: "carp".into(),
        demotion: 240,
        advbase: 1,
        advskew: 0,
        advskew_sent: 240,
        fast: None,
        preempt: true,
        preempt_delay: 0,
        multicast: true,
        peers: Vec::new(),
        signs_old_ms: None,
        dialect: "freebsd".into(),
        last_peer: Some(Peer {
            address: "192.0.2.2".parse().expect("an address"),
            advbase: 1,
            advskew: 100,
            age_ms: 5678,
            steps_back: false,
        }),
    };
    let wan = HostStatus {
        name: "eth1@200".into(),
        interface: "eth1".into(),
        vhid: 200,
        description: None,
        addresses: vec!["198.51.100.1".into()],
        state: State::Init,
        reason: "hardware interface down".into(),
        advskew: 100,
        owner: false,
        last_peer: None,
        ..lan.clone()
    };
    Status {
        schema: SCHEMA,
        version: "0.1.0".into(),
        pid: 42,
        started: "2026-11-21T09:59:00.000Z".into(),
        state_sync: STATE_SYNC.into(),
        demotion: Demotion {
            total: 240,
            causes: vec![DemotionCause {
                group: "carp".into(),
                cause: "interface down".into(),
                subject: Some("eth1".into()),
                weight: 240,
                age_ms: 1234,
            }],
        },
        maintenance: None,
        in_progress: Vec::new(),
        split_master: Vec::new(),
        lateness: Lateness {
            classes: [(Some(100), 990), (Some(1000), 8), (Some(50_000), 0), (None, 2)]
                .map(|(up_to_us, count)| LatenessClass { up_to_us, count })
                .into(),
            worst_us: Some(123_456),
            worst_at: Some("2026-11-21T10:00:00.000Z".into()),
            bad_ms: None,
            bad_age_ms: None,
        },
        sysctl: [("allow", "1"), ("demotion", "240"), ("log", "1")]
            .map(|(key, value)| (key.into(), value.into()))
            .into(),
        neighbours: vec![
            Neighbour {
                interface: "eth0".into(),
                vhid: 7,
                ours: true,
                source: "192.0.2.9".parse().expect("an address"),
                mac: Some("00:00:5e:00:01:07".into()),
                what: "speaks VRRPv2".into(),
                advice: Some("give one of the two another vhid".into()),
                age_ms: 5678,
            },
            Neighbour {
                interface: "eth0".into(),
                vhid: 9,
                ours: false,
                source: "192.0.2.8".parse().expect("an address"),
                mac: None,
                what: "speaks CARP here".into(),
                advice: None,
                age_ms: 1,
            },
        ],
        virtual_hosts: vec![lan, wan],
        counters: BTreeMap::from([("badauth".into(), 0), ("ipackets".into(), 12)]),
    }
}

#[test]
fn the_table_has_the_known_columns() {
    let expected = "\
WARNING: demoted by 240, added to every advskew: other machines are preferred.
  interface down: eth1 (240)

Interface and VHID  Virtual IP addresses            Status                          Description
eth0@7              192.0.2.10/24, 2001:db8::10/64  MASTER                          LAN gateway
eth1@200            198.51.100.1                    INIT (hardware interface down)

eth0@7: 192.0.2.9 speaks VRRPv2 (5 s ago)
  give one of the two another vhid

degraded: 1 MASTER, 1 INIT; demoted by 240 (interface down: eth1); others with a vhid of ours: 1
";
    assert_eq!(example().table(), expected);
    let mut wrong = example();
    wrong.demotion = Demotion {
        total: 0,
        causes: Vec::new(),
    };
    wrong.neighbours.clear();
    wrong.virtual_hosts.truncate(1);
    wrong.virtual_hosts[0].address_error = Some("somebody else has it".into());
    assert!(
        wrong.table().ends_with(
            "\n\neth0@7: somebody else has it\n\ndegraded: 1/1 MASTER; addresses not in order: 1\n"
        ),
        "{}",
        wrong.table()
    );
    let mut plain = example();
    plain.neighbours.remove(0);
    plain.virtual_hosts.truncate(1);
    plain.virtual_hosts[0].description = None;
    plain.demotion = Demotion {
        total: 0,
        causes: Vec::new(),
    };
    let expected = "\
Interface and VHID  Virtual IP addresses            Status
eth0@7              192.0.2.10/24, 2001:db8::10/64  MASTER

healthy: 1/1 MASTER
";
    assert_eq!(plain.table(), expected);
}

#[test]
fn the_short_form_has_one_line_for_each() {
    assert_eq!(
        example().short(),
        "eth0@7 MASTER 192.0.2.10/24,2001:db8::10/64\neth1@200 INIT 198.51.100.1\n"
    );
}

#[test]
fn causes_are_listed_with_weight_and_age() {
    let mut status = example();
    status.demotion.causes.push(DemotionCause {
        group: "dmz".into(),
        cause: "state-sync".into(),
        subject: None,
        weight: 5,
        age_ms: 61_999,
    });
    status.demotion.total = 245;
    let expected = "\
Cause                 Weight  Age
interface down: eth1     240  1 s
state-sync                 5  61 s

demoted by 245
";
    assert_eq!(status.demotion_table(), expected);
    status.virtual_hosts[1].group = "dmz".into();
    let expected = "\
Group  Cause                 Weight  Age
carp   interface down: eth1     240  1 s
dmz    state-sync                 5  61 s

demoted by 245
";
    assert_eq!(status.demotion_table(), expected);
    let table = status.table();
    assert!(table.contains("\n  dmz: state-sync (5)\n"), "{table}");
    assert!(
        table.contains("  Status                          Group  Description\n"),
        "{table}"
    );
    status.demotion.causes.clear();
    assert_eq!(status.demotion_table(), "nothing demotes this machine\n");
}

#[test]
fn what_is_out_of_order_is_said_with_what_to_do() {
    let mut late = example();
    (late.lateness.bad_ms, late.lateness.bad_age_ms) = (Some(2345), Some(61_999));
    let said = "WARNING: this machine was up to 2345 ms late within the last hour, the last time 61 s ago: ";
    assert!(late.table().contains(said), "{}", late.table());
    let mut changing = example();
    changing.virtual_hosts[0].signs_old_ms = Some(59_001);
    let said = "\npassword or addresses have changed: the old ones are used for 60 s more, until ";
    assert!(changing.table().contains(said), "{}", changing.table());
    let mut left = example();
    left.virtual_hosts[0].fast = Some(Fast {
        dead_ratio: 4,
        left: true,
    });
    assert_eq!(left.health(), Health::Degraded);
    let table = left.table();
    assert!(
        table.contains("\neth0@7: has left the fast profile, ")
            && table.ends_with("; fast profile left: 1\n"),
        "{table}"
    );
}

#[test]
fn counters_have_the_words_of_netstat() {
    let mut status = example();
    status.counters = [
        ("ipackets", 2),
        ("ipackets6", 1),
        ("badsum", 1),
        ("badauth", 3),
        ("new", 4),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into();
    let expected = "\
carp:
\t2 packets received (IPv4)
\t1 packet received (IPv6)
\t\t1 discarded for bad checksum
\t\t3 discarded for bad authentication
\t4 new
lateness:
\t1000 deadlines
\t\t10 later than 0.1 ms
\t\t2 later than 50 ms
\t\tthe worst by 123.456 ms, at 2026-11-21T10:00:00.000Z
";
    assert_eq!(status.netstat(), expected);
}

#[test]
fn every_counter_has_words() {
    let stats = carp_fsm::Stats::default();
    let mut status = example();
    status.counters = stats
        .iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    let text = status.netstat();
    let counters = text.lines().take_while(|line| *line != "lateness:");
    assert_eq!(counters.count(), 1 + stats.iter().count(), "{text}");
    for (name, _) in stats.iter() {
        assert!(!text.contains(&format!(" {name}\n")), "{name} has none: {text}");
    }
}

#[test]
fn ifconfig_lines_are_those_of_the_bsds() {
    let expected = "\tcarp: MASTER vhid 7 advbase 1 advskew 0\n\tcarp: INIT vhid 200 advbase 1 advskew 100\n";
    assert_eq!(example().ifconfig(), expected);
}

#[test]
fn verdicts() {
    let with = |states: &[State], demotion| {
        let mut status = example();
        status.neighbours.clear();
        let host = status.virtual_hosts[0].clone();
        status.virtual_hosts = states
            .iter()
            .map(|&state| HostStatus {
                state,
                ..host.clone()
            })
            .collect();
        if demotion == 0 {
            status.demotion = Demotion {
                total: 0,
                causes: Vec::new(),
            };
        }
        (status.health(), status.verdict())
    };
    let healthy = |text: &str| (Health::Healthy, text.to_owned());
    assert_eq!(with(&[Master; 6], 0), healthy("healthy: 6/6 MASTER"));
    assert_eq!(with(&[Backup; 2], 0), healthy("healthy: 2/2 BACKUP"));
    assert_eq!(with(&[Backup, Master], 0), healthy("healthy: 1 MASTER, 1 BACKUP"));
    assert_eq!(
        with(&[Backup], 240),
        (
            Health::Degraded,
            "degraded: 1/1 BACKUP; demoted by 240 (interface down: eth1)".into()
        )
    );
    assert_eq!(
        with(&[Backup, Init], 0),
        (Health::Degraded, "degraded: 1 BACKUP, 1 INIT".into())
    );
    let mut split = example();
    (split.demotion.total, split.virtual_hosts[1].state) = (0, Backup);
    split.neighbours.clear();
    split.split_master = vec![Split {
        group: "carp".into(),
        master: "eth0@7".into(),
        backup: "eth1@200".into(),
    }];
    let said = "degraded: 1 MASTER, 1 BACKUP; split: MASTER of eth0@7, but BACKUP of eth1@200";
    assert_eq!((split.health(), split.verdict()), (Health::Degraded, said.into()));
    assert_eq!(with(&[Init], 0), (Health::Down, "down: 1/1 INIT".into()));
}

#[test]
fn the_document_is_stable() {
    let json = serde_json::to_string_pretty(&example()).expect("a document");
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/status.json");
    if std::env::var_os("CARP_BLESS").is_some() {
        std::fs::write(&golden, format!("{json}\n")).expect("an expectation");
    }
    let expected = std::fs::read_to_string(&golden).expect("tests/vectors/status.json");
    assert_eq!(format!("{json}\n"), expected);
    assert_eq!(
        serde_json::from_str::<Status>(&expected).expect("the same document"),
        example()
    );
}
