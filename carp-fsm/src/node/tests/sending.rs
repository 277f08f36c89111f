//! Frames: in which order they leave, and what becomes of those that cannot.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_new_master_owns_then_advertises_then_announces() {
    let (mut bench, _) = Bench::with_host(Policy::HARDENED, config(7));
    bench.run_to_deadline();
    assert_eq!(bench.said(), ["own", "ad", "announce"]);
    assert_eq!(bench.node.stats().opackets, 1);
    assert_eq!(bench.node.stats().preempt, 1);
}

#[test]
fn forgetting_to_drain_delays_but_neither_loses_nor_reorders() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    for second in 3..10 {
        let now = Instant::from_micros(second * 1_000_000 + 500_000);
        bench.node.handle_timeout(now);
        bench.node.handle_drained(now);
        bench.now = now;
    }
    bench.drain();
    assert_eq!(
        bench.said(),
        ["own", "ad", "announce"],
        "seven advertisements are one"
    );
    assert_eq!(bench.state(host), State::Master);
}

#[test]
fn what_is_due_in_a_moment_is_sent_along_and_nobody_is_promoted_early() {
    let at = |micros| Instant::from_micros(micros);
    let mut bench = Bench::new(Policy::HARDENED);
    // Three masters, one after the other. Each waits 3.390625 s, then advertises every 1.390625 s.
    let run_to = |bench: &mut Bench, time: Instant| bench.run_for(time - bench.now);
    for (vhid, micros) in [(7, 0), (8, 3_000), (9, 9_000)] {
        bench.now = at(micros);
        bench.insert(config(vhid));
    }
    let third = at(3_390_625 + 3 * 1_390_625);
    // And one that becomes master 2 ms after the third advertisement of the first.
    run_to(&mut bench, at(4 * 1_390_625 + 2_000 - 1_390_625));
    let backup = bench.insert(config(10));
    run_to(&mut bench, at(third.as_micros() - 1));
    bench.forget();

    bench.run_to_deadline();
    assert_eq!(bench.now, third);
    assert_eq!(bench.said(), ["ad"], "the backup comes next");
    bench.forget();
    bench.run_to_deadline();
    assert_eq!(
        bench.now,
        third + Duration::from_millis(2),
        "not a moment earlier"
    );
    assert_eq!(bench.state(backup), State::Master);
    assert!(
        bench.said().ends_with(&["ad"]),
        "{:?}: one 1 ms early, none 7 ms early",
        bench.said()
    );
    bench.forget();
    bench.run_to_deadline();
    assert_eq!(bench.now, third + Duration::from_millis(9));

    // Each is counted from when it was due: the next time it is the same again.
    let fourth = third + Duration::from_micros(1_390_625);
    bench.forget();
    bench.node.handle_drained(at(fourth.as_micros() - 1)); // early: nothing
    bench.run_to_deadline();
    assert_eq!(bench.now, fourth);
    assert_eq!(bench.said(), ["ad"; 3]);
    bench.forget();
    bench.run_to_deadline();
    assert_eq!(bench.now, fourth + Duration::from_millis(9));
    assert_eq!(bench.said(), ["ad"]);

    // The kernels send each on its own.
    let mut bench = Bench::new(Policy::KERNEL);
    bench.insert(config(7));
    bench.now = Instant::from_micros(3_000);
    bench.insert(config(8));
    bench.run_for(Duration::from_millis(3_500));
    bench.forget();
    bench.run_to_deadline();
    assert_eq!(bench.said(), ["ad"]);
}

#[test]
fn both_families_are_advertised_and_every_counter_is_new() {
    let mut config = config(7);
    config.addresses.insert("2001:db8::7".parse().unwrap()).unwrap();
    let (mut bench, _) = Bench::with_host(Policy::HARDENED, config);
    let mut counters = BTreeSet::new();
    for _ in 0..50 {
        bench.now = bench.node.next_deadline().unwrap();
        bench.node.handle_drained(bench.now);
        let mut frame = [0; MAX_FRAME_LEN];
        while let Some(action) = bench.node.poll_action(bench.now, &mut frame) {
            if let Action::Transmit {
                kind: TransmitKind::Advertisement,
                len,
                ..
            } = action
            {
                let carp_proto::FrameClass::Carp { payload, .. } = carp_proto::frame::classify(&frame[..len])
                else {
                    panic!("not an advertisement");
                };
                assert_ne!(payload[8..16], [0; 8]);
                assert!(counters.insert(payload[8..16].to_vec()));
            }
        }
    }
    assert_eq!(counters.len(), 100);
    assert_eq!(
        (bench.node.stats().opackets, bench.node.stats().opackets6),
        (50, 50)
    );
}

#[test]
fn no_room_is_no_error_and_is_tried_again_soon() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench.result = TransmitResult::Busy;
    bench.run_to_deadline();
    let start = bench.now;
    for _ in 0..20 {
        bench.run_to_deadline();
    }
    assert!(bench.now - start <= Duration::from_millis(100));
    assert!(bench.said().iter().filter(|said| **said == "ad").count() > 10);
    assert_eq!((bench.node.stats().senderr, bench.node.demotion(GROUP0)), (0, 0));
    assert!(bench.node.stats().onomem > 10);

    bench.result = TransmitResult::Sent;
    bench.forget();
    bench.run_to_deadline();
    assert_eq!(bench.said(), ["ad", "announce"], "nothing was lost");

    // Even if there never is room again, the address is given up.
    bench.result = TransmitResult::Busy;
    bench.node.set_enabled(bench.now, host, false).unwrap();
    bench.run_for(Duration::from_secs(2));
    assert_eq!(bench.state(host), State::Init);
    assert!(!bench.node.is_owner(host));
    assert_eq!(bench.node.next_deadline(), None);
}

/// A card that hangs, or a port that is paused: the link is up, and whoever waits hears nobody and takes over.
#[test]
fn a_queue_that_never_drains_demotes_as_errors_do() {
    for policy in [Policy::HARDENED, Policy::KERNEL] {
        let (mut bench, host) = Bench::with_master(policy, config(7));
        bench.result = TransmitResult::Busy;
        // That one has taken over, and is answered in vain: shortly before each periodic advertisement.
        for _ in 0..3 {
            bench.run_for(Duration::from_millis(1_350));
            bench.hear_peer(1, 120);
            assert_eq!(bench.node.demotion(GROUP0), 0);
        }
        bench.run_for(Duration::from_millis(1_550));
        assert_eq!(bench.node.demotion(GROUP0), 240);
        let causes: Vec<_> = bench.node.causes(GROUP0).map(|holding| holding.cause).collect();
        assert_eq!(causes, [Cause::SendErrors(host)]);
        assert_eq!(bench.node.stats().senderr, 0);
        bench.hear_peer(1, 120);
        assert_eq!(bench.state(host), State::Backup);

        // Alone again, and it can send: well after three rounds.
        bench.result = TransmitResult::Sent;
        bench.run_for(Duration::from_secs(12));
        let healed = policy == Policy::HARDENED; // FreeBSD never undoes it
        assert_eq!(bench.node.demotion(GROUP0) == 0, healed);
    }
}

#[test]
fn a_queue_that_drains_within_an_interval_demotes_nobody() {
    let mut bench = Bench::new(Policy::HARDENED);
    let hosts: Vec<_> = (1..=16).map(|vhid| bench.insert(config(vhid))).collect();
    bench.run_for(Duration::from_secs(10));
    bench.forget();
    for _ in 0..20 {
        bench.result = TransmitResult::Busy;
        bench.run_for(Duration::from_millis(1_380));
        bench.result = TransmitResult::Sent;
        bench.run_for(Duration::from_millis(1_400));
        assert_eq!(bench.node.demotion(GROUP0), 0);
    }
    assert!(hosts.iter().all(|host| bench.state(*host) == State::Master));
}

/// It has not been asked what room there is.
#[test]
fn who_does_not_drain_is_not_demoted() {
    let (mut bench, _) = Bench::with_master(Policy::HARDENED, config(7));
    for _ in 0..10 {
        bench.now = bench.now + Duration::from_secs(2);
        bench.node.handle_drained(bench.now);
    }
    assert_eq!(bench.node.demotion(GROUP0), 0);
}

#[test]
fn three_send_errors_demote_and_three_successes_undo_it() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.result = TransmitResult::Error;
    bench.run_for(Duration::from_secs(5));
    assert_eq!(bench.node.demotion(GROUP0), 240);
    let causes: Vec<_> = bench.node.causes(GROUP0).map(|holding| holding.cause).collect();
    assert_eq!(causes, [Cause::SendErrors(host)]);
    assert_eq!(bench.state(host), State::Master, "nobody else is there");
    assert_eq!(bench.node.status(host).unwrap().advskew.get(), 240);
    bench.result = TransmitResult::Sent;
    bench.run_for(Duration::from_secs(6));
    assert_eq!(bench.node.demotion(GROUP0), 0);
}

#[test]
fn send_errors_are_forgiven_on_trial_in_backup() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.result = TransmitResult::Error;
    bench.run_for(Duration::from_secs(5));
    assert_eq!(bench.node.demotion(GROUP0), 240);
    bench.hear_peer(1, 200);
    assert_eq!(bench.state(host), State::Backup, "demoted, so it yields");
    bench.result = TransmitResult::Sent;
    let trial = bench.now + Policy::HARDENED.senderr_retry.unwrap();
    while bench.now < trial {
        bench.run_for(Duration::from_secs(1));
        bench.hear_peer(1, 200);
        assert_eq!(bench.state(host), State::Backup);
    }
    assert_eq!(
        bench.node.demotion(GROUP0),
        0,
        "a BACKUP sends nothing, so it cannot show that it could"
    );
}

#[test]
fn a_kernel_never_forgives_a_backup() {
    let (mut bench, host) = Bench::with_master(Policy::KERNEL, config(7));
    bench.result = TransmitResult::Error;
    bench.run_for(Duration::from_secs(5));
    bench.hear_peer(1, 200);
    assert_eq!(bench.state(host), State::Backup);
    for _ in 0..100 {
        bench.run_for(Duration::from_secs(1));
        bench.hear_peer(1, 200);
    }
    assert_eq!(bench.node.demotion(GROUP0), 240);
}

#[test]
fn an_impossible_retry_time_does_not_hang() {
    let policy = Policy {
        senderr_retry: Some(Duration::ZERO),
        refused_retry: Duration::ZERO,
        ..Policy::HARDENED
    };
    let (mut bench, host) = Bench::with_master(policy, config(7));
    bench.result = TransmitResult::Error;
    bench.run_for(Duration::from_secs(5));
    assert_eq!(bench.state(host), State::Master);
}

#[test]
fn time_ends_without_a_hang() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.now = Instant::from_micros(u64::MAX);
    bench.wake();
    bench.wake();
    assert_eq!(bench.state(host), State::Master);
}

/// Of a bond, or given by the operator: clients in plain mode would go on sending to the old one.
#[test]
fn another_mac_address_of_the_interface_is_announced_in_plain_mode() {
    for (mode, announced) in [(LinkMode::Plain, 1), (LinkMode::Vmac, 0)] {
        let (mut bench, _) = Bench::with_master(Policy::HARDENED, HostConfig { mode, ..config(7) });
        let mut info = interface(ETH0, LinkState::Up);
        info.mac = MacAddr([2, 0, 0, 0, 0, 99]);
        bench.node.handle_interface(bench.now, ETH0, info);
        bench.drain();
        let announcement = |action: &&Action| {
            matches!(
                action,
                Action::Transmit {
                    kind: TransmitKind::Announcement,
                    ..
                }
            )
        };
        assert_eq!(
            bench.actions.iter().filter(announcement).count(),
            announced,
            "{mode:?}"
        );
    }
}
