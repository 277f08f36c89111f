//! Maintenance mode of one node; with its peers, see the simulator's tests.

use super::*;
use crate::machine::HandOver;

fn preempting() -> HostConfig<4> {
    HostConfig {
        preempt: true,
        ..config(7)
    }
}

/// Commands while a bow-out waits for its answer, and then a worse master answers.
fn answered_after(commands: &[fn(&mut Node<'static, 4>, Instant, HostId)]) -> (Bench, HostId) {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, preempting());
    for command in commands {
        command(&mut bench.node, bench.now, host);
        bench.drain();
    }
    bench.run_for(Duration::from_millis(1));
    bench.hear_peer(1, 200);
    (bench, host)
}

fn hand_over(node: &mut Node<'static, 4>, now: Instant, host: HostId) {
    node.hand_over(now, host).unwrap();
}

fn enter(node: &mut Node<'static, 4>, now: Instant, _: HostId) {
    node.set_maintenance(now, true);
}

fn leave(node: &mut Node<'static, 4>, now: Instant, _: HostId) {
    node.set_maintenance(now, false);
}

#[test]
fn leaving_maintenance_leaves_a_hand_over_alone_that_was_asked_for() {
    for commands in [
        &[
            hand_over as fn(&mut Node<'static, 4>, Instant, HostId),
            enter,
            leave,
        ][..],
        &[enter, hand_over, leave],
    ] {
        let (mut bench, host) = answered_after(commands);
        assert_eq!(bench.reasons(), [Reason::HandedOver]);
        bench.hear_peer(1, 200);
        assert_eq!(bench.state(host), State::Backup, "it resigned");
    }
    // It ends when the successor has been heard.
    for asks in [true, false] {
        let commands: &[fn(&mut Node<'static, 4>, Instant, HostId)] = &[enter, hand_over];
        let (mut bench, host) = answered_after(if asks { commands } else { &[enter] });
        assert_eq!(bench.state(host), State::Backup);
        bench.node.set_maintenance(bench.now, false);
        bench.hear_peer(1, 200);
        assert_eq!(bench.state(host) == State::Backup, asks, "asked: {asks}");
    }
    let (bench, host) = answered_after(&[enter, leave]);
    assert_eq!(bench.state(host), State::Master, "the other is worse");
}

#[test]
fn a_hand_over_that_is_over_says_nothing_about_the_next_one() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, preempting());
    bench.node.hand_over(bench.now, host).unwrap();
    bench.run_for(Duration::from_secs(2));
    let outcome = HandOver::NobodyTookOver(Policy::HARDENED.leave_wait);
    let expected = EventKind::HandOver {
        host,
        outcome,
        peer: None,
    };
    assert_eq!(bench.events, [expected]);
    for maintenance in [true, false] {
        bench.node.set_maintenance(bench.now, maintenance);
        bench.drain();
    }
    bench.run_for(Duration::from_millis(1));
    bench.hear_peer(1, 200);
    assert_eq!(bench.state(host), State::Master);
}

#[test]
fn who_stops_hands_nothing_over_and_says_so() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, preempting());
    bench.node.set_enabled(bench.now, host, false).unwrap();
    bench.drain();
    bench.node.hand_over(bench.now, host).unwrap();
    bench.node.set_enabled(bench.now, host, true).unwrap();
    bench.drain();
    let expected = EventKind::HandOver {
        host,
        outcome: HandOver::NotMaster,
        peer: None,
    };
    assert_eq!(bench.events, [expected]);
    // Nothing of it is left for a later time.
    for maintenance in [true, false] {
        bench.node.set_maintenance(bench.now, maintenance);
        bench.drain();
    }
    bench.run_for(Duration::from_millis(1));
    bench.hear_peer(1, 200);
    assert_eq!(bench.state(host), State::Master, "the other is worse");
}
