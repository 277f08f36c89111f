//! Addresses: put on, refused, taken away, taken off.

use super::*;
use crate::action::OwnerError;

#[test]
fn what_was_left_behind_comes_off_right_after_insert() {
    let mut bench = Bench::new(Policy::HARDENED);
    let host = bench.node.insert(bench.now, config(7)).unwrap();
    assert!(!bench.node.is_owner(host), "nobody asked for them yet");
    bench.drain();
    assert_eq!(
        bench.actions,
        [Action::SetOwner {
            host,
            owner: false,
            seq: 1
        }]
    );
}

#[test]
fn what_is_taken_away_from_a_master_is_asked_for_and_announced_again() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.node.handle_taken_away(bench.now, host);
    bench.drain();
    assert_eq!(bench.said(), ["own", "announce"]);
    assert_eq!(bench.events, [EventKind::TakenAway { host }]);

    // Who does not own has nothing that could be taken.
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench.node.handle_taken_away(bench.now, host);
    bench.drain();
    assert!(bench.actions.is_empty() && bench.events.is_empty());
}

#[test]
fn in_plain_mode_the_address_lingers_until_clients_know_the_new_owner() {
    let mut config = config(7);
    config.mode = LinkMode::Plain;
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config);
    bench.hear_peer(1, 0);
    assert_eq!(bench.state(host), State::Backup);
    assert_eq!(bench.said(), ["ad"], "the last word");
    assert!(bench.node.is_owner(host));
    bench.forget();
    let linger = bench.now + Policy::HARDENED.linger;
    assert_eq!(bench.node.next_deadline(), Some(linger));
    bench.run_to_deadline();
    assert_eq!(bench.said(), ["disown"]);
    assert!(!bench.node.is_owner(host));
}

#[test]
fn with_the_virtual_mac_the_address_goes_at_once() {
    let (mut bench, _) = Bench::with_master(Policy::HARDENED, config(7));
    bench.hear_peer(1, 0);
    assert_eq!(bench.said(), ["disown"]);
}

#[test]
fn who_takes_over_within_the_linger_has_owned_all_the_time() {
    let mut config = config(7);
    config.mode = LinkMode::Plain;
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config);
    bench.hear_peer(1, 0);
    bench.forget();
    bench.hear_peer(255, 255);
    assert_eq!(bench.state(host), State::Master);
    bench.run_for(Policy::HARDENED.linger);
    assert_eq!(bench.said(), ["announce", "ad"], "neither own nor disown");
    assert!(bench.node.is_owner(host));
}

#[test]
fn a_lost_link_takes_the_address_at_once_even_in_plain_mode() {
    let mut config = config(7);
    config.mode = LinkMode::Plain;
    let (mut bench, _) = Bench::with_master(Policy::HARDENED, config);
    bench.link(ETH0, LinkState::Down);
    assert_eq!(bench.said(), ["disown"]);
}

#[test]
fn refused_addresses_bow_out_and_are_tried_again_ever_later() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    let mut frame = [0; MAX_FRAME_LEN];
    for round in 0..9 {
        bench.run_for_master(host);
        let action = bench.node.poll_action(bench.now, &mut frame);
        let Some(Action::SetOwner { owner: true, seq, .. }) = action else {
            panic!("{action:?}");
        };
        bench
            .node
            .handle_owner_result(bench.now, host, seq, Err(OwnerError));
        bench.drain();
        assert_eq!(bench.said(), ["bow-out", "disown"]);
        let status = bench.node.status(host).unwrap();
        assert_eq!(status.init_reason, Some(InitReason::AddressRefused));
        let wait = Duration::from_secs(1 << round.min(6));
        assert_eq!(
            bench.node.next_deadline(),
            Some(bench.now + wait),
            "round {round}"
        );
        bench.forget();
    }
    // What is granted in the end starts over.
    bench.run_for(Duration::from_secs(100));
    assert_eq!(bench.state(host), State::Master);
    bench.node.force_state(bench.now, host, State::Backup).unwrap();
    bench.drain();
    bench.run_for_master(host);
    let Some(Action::SetOwner { seq, .. }) = bench.node.poll_action(bench.now, &mut frame) else {
        panic!("not asked to own");
    };
    bench
        .node
        .handle_owner_result(bench.now, host, seq, Err(OwnerError));
    assert_eq!(
        bench.node.next_deadline(),
        Some(bench.now + Policy::HARDENED.refused_retry)
    );
}

#[test]
fn the_bow_out_of_who_was_refused_waits_for_room() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench.run_for_master(host);
    bench.refuse(host);
    bench.result = TransmitResult::Busy;
    bench.drain();
    bench.run_for(Duration::from_millis(10));
    assert_eq!(bench.said(), ["bow-out"; 6]);
    assert_eq!(bench.state(host), State::Init);
    bench.forget();
    bench.result = TransmitResult::Sent;
    bench.run_for(Duration::from_millis(500));
    assert_eq!(bench.said(), ["bow-out", "disown"]);
}

#[test]
fn a_bow_out_does_not_wait_for_room_for_ever() {
    for link_fails in [false, true] {
        let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
        bench.run_for_master(host);
        bench.refuse(host);
        bench.result = TransmitResult::Busy;
        bench.drain();
        if link_fails {
            bench.link(ETH0, LinkState::Down);
        } else {
            bench.run_for(Policy::HARDENED.refused_retry);
            assert_eq!(bench.state(host), State::Backup);
        }
        bench.forget();
        bench.result = TransmitResult::Sent;
        bench.run_for(Duration::from_millis(500));
        assert!(!bench.said().contains(&"bow-out"), "link fails: {link_fails}");
        assert!(!bench.node.is_owner(host));
    }
}

#[test]
fn who_was_refused_asks_for_the_addresses_again_though_its_bow_out_still_waits() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench.run_for_master(host);
    bench.refuse(host);
    bench.result = TransmitResult::Busy;
    bench.drain();
    bench.forget();
    // It slept for longer than it wanted to, and hears what waits before its timers act.
    bench.now = bench.now + Duration::from_secs(10);
    bench.result = TransmitResult::Sent;
    bench.link(ETH0, LinkState::Up);
    assert_eq!(bench.state(host), State::Backup);
    bench.hear_peer(255, 255);
    assert_eq!(bench.state(host), State::Master);
    bench.run_for(Duration::from_millis(10));
    assert_eq!(bench.said().first(), Some(&"own"));
}

impl Bench {
    /// The addresses that it asks for cannot be put on.
    fn refuse(&mut self, host: HostId) {
        let action = self.node.poll_action(self.now, &mut [0; MAX_FRAME_LEN]);
        let Some(Action::SetOwner { owner: true, seq, .. }) = action else {
            panic!("{action:?}");
        };
        self.node
            .handle_owner_result(self.now, host, seq, Err(OwnerError));
    }

    /// Runs until the host is MASTER, without draining that.
    fn run_for_master(&mut self, host: HostId) {
        while self.state(host) != State::Master {
            self.drain();
            self.forget();
            self.now = self.node.next_deadline().unwrap();
            self.node.handle_drained(self.now);
        }
    }
}

#[test]
fn addresses_that_could_not_be_taken_off_are_tried_again() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench
        .node
        .handle_packet(bench.now, ETH0, &from_peer(), &advertisement(1, 0))
        .unwrap();
    let mut frame = [0; MAX_FRAME_LEN];
    for _ in 0..3 {
        let action = bench.node.poll_action(bench.now, &mut frame);
        let Some(Action::SetOwner {
            owner: false, seq, ..
        }) = action
        else {
            panic!("{action:?}");
        };
        bench
            .node
            .handle_owner_result(bench.now, host, seq, Err(OwnerError));
        assert_eq!(bench.node.poll_action(bench.now, &mut frame), None);
        let retry = bench.now + Policy::HARDENED.refused_retry;
        assert_eq!(bench.node.next_deadline(), Some(retry));
        bench.now = retry;
        bench.node.handle_drained(bench.now);
    }
    bench.drain();
    bench.run_for(Duration::from_millis(300));
    assert_eq!(bench.said(), ["disown"], "and no more once it is done");
}

#[test]
fn a_late_refusal_of_an_earlier_wish_is_ignored() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench.run_to_deadline();
    let Some(Action::SetOwner { seq, .. }) = bench.actions.first().copied() else {
        panic!("not asked to own");
    };
    bench
        .node
        .handle_owner_result(bench.now, host, seq - 1, Err(OwnerError));
    assert_eq!(bench.state(host), State::Master);
    bench
        .node
        .handle_owner_result(bench.now, host, seq, Err(OwnerError));
    assert_eq!(bench.state(host), State::Init);
}
