use super::*;

/// When announcements left, and when the other frames did.
#[derive(Default)]
struct Sent {
    announcements: Vec<Instant>,
    others: Vec<Instant>,
}

impl Bench {
    /// Lets time pass; frames are lost from the second on unless there is room.
    fn send_for(&mut self, span: Duration) -> Sent {
        let end = self.now + span;
        let mut sent = Sent::default();
        let mut wakes = 0;
        while let Some(deadline) = self.node.next_deadline().filter(|deadline| *deadline <= end) {
            assert!(deadline >= self.now, "the deadline lies ahead");
            self.now = deadline;
            wakes += 1;
            assert!(wakes < 10_000, "it does not run in circles");
            self.wake();
            for action in self.actions.drain(..) {
                match action {
                    Action::Transmit {
                        kind: TransmitKind::Announcement,
                        ..
                    } => sent.announcements.push(self.now),
                    Action::Transmit { .. } => sent.others.push(self.now),
                    Action::SetOwner { .. } => {}
                }
            }
        }
        self.now = end;
        sent
    }
}

fn announcing(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::HARDENED;
    change(&mut policy);
    policy
}

/// So many hosts with four addresses each, which all become MASTER at once.
fn many(policy: Policy, hosts: u8) -> Bench {
    let mut bench = Bench::new(policy);
    for number in 1..=hosts {
        let mut config = config(number);
        for last in 1..4 {
            config.addresses.insert([198, 51, last, number].into()).unwrap();
        }
        bench.insert(config);
    }
    bench.forget();
    bench
}

#[test]
fn a_burst_announces_every_address_so_often_in_a_row() {
    for (burst, rounds) in [(0, 1), (1, 1), (3, 3), (8, 8), (200, 8)] {
        let (mut bench, _) = Bench::with_host(announcing(|policy| policy.announce_burst = burst), config(7));
        bench.run_to_deadline();
        let said = bench.said();
        assert_eq!(said[..2], ["own", "ad"]);
        assert_eq!(said[2..], ["announce"].repeat(rounds));
    }
}

#[test]
fn only_taking_over_announces_in_a_burst() {
    let (mut bench, _) = Bench::with_master(announcing(|policy| policy.announce_burst = 3), config(7));
    bench.run_to_deadline();
    bench.run_to_deadline();
    assert_eq!(bench.said(), ["ad", "ad", "announce"]);
    bench.forget();
    bench.hear_peer(1, 200);
    assert_eq!(bench.said(), ["ad", "announce"], "to a worse master");
}

#[test]
fn a_master_announces_again_and_again_if_it_is_told_to() {
    // 1.39 s from one advertisement to the next: the second, then every eighth.
    let refreshing = announcing(|policy| policy.announce_refresh = Duration::from_secs(10));
    let (mut bench, _) = Bench::with_master(refreshing, config(7));
    let mut rounds = Vec::new();
    for ad in 1..=26 {
        bench.run_to_deadline();
        if bench.said().contains(&"announce") {
            rounds.push(ad);
        }
        bench.forget();
    }
    assert_eq!(rounds, [2, 10, 18, 26]);
    let never = announcing(|policy| policy.reannounce = 0);
    let (mut bench, _) = Bench::with_master(never, config(7));
    bench.run_for(Duration::from_secs(1_000));
    assert!(!bench.said().contains(&"announce"));
    let only_refresh = announcing(|policy| {
        policy.reannounce = 0;
        policy.announce_refresh = Duration::from_micros(1);
    });
    let (mut bench, _) = Bench::with_master(only_refresh, config(7));
    bench.run_to_deadline();
    assert_eq!(
        bench.said(),
        ["ad", "announce"],
        "at most with each advertisement"
    );
}

#[test]
fn announcements_of_many_hosts_are_spread_and_advertisements_are_not() {
    let (frames, window) = (10_u16, Duration::from_millis(10));
    let paced = announcing(|policy| {
        policy.reannounce = 0;
        (policy.announce_frames, policy.announce_window) = (frames, window);
    });
    let mut bench = many(paced, 14);
    let took_over = bench.node.next_deadline().unwrap();
    bench.run_for(took_over - bench.now);
    bench.actions.clear();
    let sent = bench.send_for(Duration::from_millis(1_300));
    assert!(sent.others.is_empty(), "all advertised when they took over");
    let mut bench = many(paced, 14);
    let sent = bench.send_for(Duration::from_millis(4_600));
    assert_eq!(sent.others, [took_over].repeat(14));
    assert_eq!(sent.announcements.len(), 14 * 4);
    for first in &sent.announcements {
        let within = |at: &&Instant| **at >= *first && **at < *first + window;
        let count = sent.announcements.iter().filter(within).count();
        assert!(count <= 2 * usize::from(frames), "{count} from {first}");
    }
    let took = *sent.announcements.last().unwrap() - took_over;
    assert!(
        took > Duration::from_millis(40) && took < Duration::from_millis(60),
        "{took}"
    );
}

#[test]
fn without_a_limit_all_leave_at_once() {
    let unlimited = announcing(|policy| policy.announce_frames = 0);
    for policy in [unlimited, Policy::KERNEL] {
        let mut bench = many(policy, 14);
        bench.run_to_deadline();
        let announced = bench.said().into_iter().filter(|what| *what == "announce");
        assert_eq!(announced.count(), 14 * 4);
    }
}

#[test]
fn who_waits_for_its_turn_advertises_and_leaves_in_time() {
    let slow = announcing(|policy| {
        (policy.announce_frames, policy.announce_window) = (1, Duration::from_secs(100));
    });
    let mut bench = many(slow, 3);
    bench.run_for(Duration::from_secs(20));
    assert_eq!(bench.said().iter().filter(|what| **what == "announce").count(), 1);
    assert!(bench.said().iter().filter(|what| **what == "ad").count() > 30);
    bench.forget();
    bench.node.shutdown(bench.now);
    bench.run_for(Duration::from_secs(2));
    assert!(bench.node.is_quiet());
    assert_eq!(bench.said().iter().filter(|what| **what == "disown").count(), 3);
}

#[test]
fn no_room_at_all_comes_before_turns() {
    let slow = announcing(|policy| {
        (policy.announce_frames, policy.announce_window) = (1, Duration::from_millis(50));
    });
    let mut bench = many(slow, 3);
    bench.run_for(Duration::from_millis(4_400));
    bench.result = TransmitResult::Busy;
    // A busy adapter is asked every 2 ms, not without end.
    let tries = bench.send_for(Duration::from_millis(100));
    assert!(tries.others.len() <= 3 * 51 && tries.announcements.len() <= 3 * 51);
    bench.result = TransmitResult::Sent;
    let sent = bench.send_for(Duration::from_secs(2));
    assert!(sent.announcements.len() >= 2 * 4);
}
