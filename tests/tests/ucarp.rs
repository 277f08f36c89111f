//! UCarp as the other node, on real interfaces: each understands the other's packets, or neither would do what it does.
//!
//! Root, UCarp and iproute2 are needed. Without them the tests say that they are left out; with `CI=true` they fail.
#![cfg(target_os = "linux")]

mod live;

use std::net::IpAddr;
use std::time::Duration;

use carp_std::linux::Clock;
use carpd::lab::{Setup, Software};
use live::{
    A, B, counter, crash, lab, masters_during, owners, reboot, settle, state, status, succession, transitions,
};

/// The formula for advskew 100.
const MASTER_DOWN: f64 = 3.391;
/// UCarp looks at its timer every `advbase + advskew / 256` only, and libpcap may hold it back for another second.
const UCARP_IS_LATE: f64 = 1.391 + 1.0;
/// A node that does not accept what it hears from the master has taken over by then, UCarp included.
const LONG_ENOUGH: Duration = Duration::from_millis(4500);

#[test]
fn ucarp_obeys_our_master_follows_it_and_gives_way_to_it() {
    let nodes = [Setup::new(Software::Carpd, 0), Setup::new(Software::Ucarp, 100)];
    let Some(mut lab) = lab(nodes) else { return };
    lab.start(A).unwrap();
    lab.start(B).unwrap();
    settle(&mut lab, A);
    assert_eq!(
        masters_during(&mut lab, LONG_ENOUGH),
        [IpAddr::from(lab.nodes[A].address())]
    );
    assert!(
        !lab.nodes[B].log().contains("state: MASTER"),
        "{}",
        lab.nodes[B].log()
    );
    assert_eq!(counter(&status(&lab.nodes[A]), "badauth"), 0);

    let detection = seconds(crash(&mut lab, A));
    let expected = MASTER_DOWN - 0.1..MASTER_DOWN + UCARP_IS_LATE + 0.3;
    assert!(expected.contains(&detection), "{detection} s, not {expected:?}");
    lab.client.pause(Duration::from_millis(500)).unwrap();
    assert!(lab.nodes[B].log().contains("state: MASTER"));

    reboot(&mut lab, A);
    settle(&mut lab, A);
    assert_eq!(
        transitions(&lab.nodes[A]),
        [
            "INIT -> BACKUP (initialization complete)",
            "BACKUP -> MASTER (preempting a slower master)"
        ]
    );

    // To UCarp a bow-out is the advertisement of a very slow master, which it preempts. It may read it a second late.
    let start = Clock.now();
    lab.nodes[A].terminate();
    let handed_over = succession(&mut lab, A, start);
    assert!(seconds(handed_over) < 1.5, "{handed_over:?}");
    lab.nodes[A].wait_for_end().unwrap();
    settle(&mut lab, B);
}

#[test]
fn we_obey_ucarp_follow_it_and_give_way_to_it() {
    let nodes = [Setup::new(Software::Ucarp, 0), Setup::new(Software::Carpd, 100)];
    let Some(mut lab) = lab(nodes) else { return };
    lab.start(A).unwrap();
    lab.start(B).unwrap();
    settle(&mut lab, A);
    assert_eq!(
        masters_during(&mut lab, LONG_ENOUGH),
        [IpAddr::from(lab.nodes[A].address())]
    );
    let heard = status(&lab.nodes[B]);
    let host = &heard["virtual_hosts"][0];
    assert_eq!(host["state"], "BACKUP");
    assert_eq!(host["last_peer"]["address"], lab.nodes[A].address().to_string());
    assert_eq!(host["last_peer"]["advskew"], 0);
    assert_eq!(counter(&heard, "badauth"), 0);

    let detection = seconds(crash(&mut lab, A));
    let expected = MASTER_DOWN - 0.02..MASTER_DOWN + 0.5;
    assert!(expected.contains(&detection), "{detection} s, not {expected:?}");
    settle(&mut lab, B);

    reboot(&mut lab, A);
    settle(&mut lab, A);
    assert_eq!(
        transitions(&lab.nodes[B]),
        [
            "INIT -> BACKUP (initialization complete)",
            "BACKUP -> MASTER (master timed out)",
            "MASTER -> BACKUP (more frequent advertisement received)"
        ]
    );
}

#[test]
fn with_another_password_ucarp_is_counted_and_moves_nothing() {
    let ours = Setup::new(Software::Carpd, 100);
    let theirs = Setup {
        password: "another".to_owned(),
        ..Setup::new(Software::Ucarp, 0)
    };
    let Some(mut lab) = lab([ours, theirs]) else {
        return;
    };
    lab.start(B).unwrap();
    settle(&mut lab, B);

    // A better master is there. It cannot be believed, so we take over as if we were alone.
    let start = Clock.now();
    lab.start(A).unwrap();
    let address: IpAddr = lab.nodes[A].address().into();
    let first = lab
        .client
        .wait(live::PATIENCE, "an advertisement of ours", |record| {
            record
                .since(start)
                .find(|advertisement| advertisement.source == address)
                .map(|found| found.at)
        });
    let took_over = (first.unwrap() - start).as_micros();
    assert!((3_300_000..4_500_000).contains(&took_over), "{took_over} us");

    let before = counter(&status(&lab.nodes[A]), "badauth");
    let both = [A, B].map(|node| IpAddr::from(lab.nodes[node].address()));
    assert_eq!(masters_during(&mut lab, LONG_ENOUGH), both);
    let after = status(&lab.nodes[A]);
    assert!(before >= 3, "UCarp advertises every second: {before}");
    assert!(counter(&after, "badauth") >= before + 3, "{after}");
    assert_eq!(after["virtual_hosts"][0]["last_peer"], serde_json::Value::Null);
    assert_eq!(state(&lab.nodes[A]), "MASTER");
    assert_eq!(
        transitions(&lab.nodes[A]),
        [
            "INIT -> BACKUP (initialization complete)",
            "BACKUP -> MASTER (master timed out)"
        ]
    );
    assert!(
        lab.nodes[B].log().contains("Bad digest"),
        "{}",
        lab.nodes[B].log()
    );
    assert_eq!(owners(&lab), [true, true]);
}

fn seconds(succession: carpd::lab::measure::Succession) -> f64 {
    Duration::from(succession.first - succession.last).as_secs_f64()
}
