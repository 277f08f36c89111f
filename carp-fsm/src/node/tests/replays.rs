use super::*;
use crate::{CounterSlot, NeighbourKind};

/// The advertisements that a MASTER sends when it is due, one for each family.
pub(super) fn own_advertisements(bench: &mut Bench) -> Vec<[u8; 36]> {
    bench.now = bench.node.next_deadline().unwrap();
    bench.node.handle_drained(bench.now);
    let (mut frame, mut own) = ([0; MAX_FRAME_LEN], Vec::new());
    while let Some(action) = bench.node.poll_action(bench.now, &mut frame) {
        if let Action::Transmit {
            kind: TransmitKind::Advertisement,
            len,
            ..
        } = action
        {
            own.push(frame[len - 36..len].try_into().unwrap());
        }
    }
    own
}

/// The last of them.
pub(super) fn own_advertisement(bench: &mut Bench) -> [u8; 36] {
    own_advertisements(bench).pop().unwrap()
}

/// With other bytes in front, and a right checksum: they are not authenticated.
fn with_interval(mut bytes: [u8; 36], base: u8, skew: u8) -> [u8; 36] {
    (bytes[5], bytes[2]) = (base, skew);
    bytes[6..8].fill(0);
    let sum = carp_proto::checksum(&bytes);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn our_own_advertisement_come_back_changes_nothing() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    let own = own_advertisement(&mut bench);
    assert_eq!(bench.hear(&own), Err(Rejection::BadAuth));
    bench.run_for(Duration::from_secs(10));
    assert_eq!(bench.hear(&own), Err(Rejection::BadAuth), "however late");
    assert_eq!(bench.state(host), State::Master);
    assert_eq!((bench.node.stats().loops, bench.node.stats().replays), (2, 0));
    assert_eq!(bench.node.status(host).unwrap().peer, None);
}

/// With two families it advertises twice at a time, and what comes back need not be what was sent last.
#[test]
fn in_openbsds_dialect_too_our_own_come_back_in_any_order() {
    let mut both = HostConfig {
        dialect: carp_proto::Dialect::OpenBsd,
        ..config(7)
    };
    both.addresses.insert("2001:db8::7".parse().unwrap()).unwrap();
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, both);
    let own = own_advertisements(&mut bench);
    assert_eq!(own.len(), 2);
    assert_eq!(bench.hear(&own[0]), Err(Rejection::BadAuth));
    assert_eq!(bench.state(host), State::Master);
    assert_eq!(bench.node.stats().loops, 1);
}

#[test]
fn a_freebsd_kernel_falls_for_its_own_advertisement() {
    let (mut bench, host) = Bench::with_master(Policy::KERNEL, config(7));
    let own = own_advertisement(&mut bench);
    bench.hear(&own).unwrap();
    assert_eq!(bench.state(host), State::Backup);
}

#[test]
fn what_we_sent_with_another_priority_is_a_replay() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    let own = own_advertisement(&mut bench);
    assert_eq!(bench.hear(&with_interval(own, 0, 0)), Err(Rejection::BadAuth));
    assert_eq!(
        bench.state(host),
        State::Master,
        "nobody takes the role with our own words"
    );
    assert_eq!((bench.node.stats().loops, bench.node.stats().replays), (0, 1));
}

#[test]
fn the_last_words_of_a_dead_master_do_not_keep_it_alive() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    let recorded = advertisement(1, 0);
    bench.hear(&recorded).unwrap();
    for _ in 0..3 {
        bench.run_for(Duration::from_millis(1_100));
        assert_eq!(bench.hear(&recorded), Err(Rejection::BadAuth));
    }
    bench.run_for(Duration::from_millis(100));
    assert_eq!(bench.state(host), State::Master);
    assert_eq!((bench.node.stats().replays, bench.node.stats().badauth), (3, 3));
}

#[test]
fn a_recorded_advertisement_does_not_unseat_a_master_as_a_bow_out_does_not_seat_a_backup() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    let recorded = advertisement(1, 0);
    bench.hear(&recorded).unwrap();
    assert_eq!(
        bench.hear(&with_interval(recorded, 255, 255)),
        Err(Rejection::BadAuth)
    );
    assert_eq!(bench.state(host), State::Backup);
    bench.run_for(Duration::from_secs(4));
    assert_eq!(bench.state(host), State::Master);
    assert_eq!(bench.hear(&recorded), Err(Rejection::BadAuth));
    assert_eq!(bench.state(host), State::Master);
    assert_eq!(bench.node.stats().replays, 2);
}

#[test]
fn a_copy_within_one_interval_is_the_networks_fault() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    let twice = advertisement(1, 0);
    bench.hear(&twice).unwrap();
    let deadline = bench.node.next_deadline();
    bench.run_for(Duration::from_millis(900));
    assert_eq!(bench.hear(&twice), Ok(host));
    assert_eq!(bench.node.next_deadline(), deadline, "it says nothing new");
    let stats = bench.node.stats();
    assert_eq!((stats.duplicates, stats.replays, stats.badauth), (1, 0, 0));
}

#[test]
fn counters_may_fall_and_zero_is_never_a_replay() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    for counter in [500, 3, 499, 1, 0, 0, 0] {
        bench.run_for(Duration::from_secs(2));
        assert_eq!(bench.hear(&signed(1, 0, counter)), Ok(host));
    }
    assert_eq!(bench.state(host), State::Backup);
    assert_eq!(bench.node.stats().replays, 0);
}

#[test]
fn openbsds_constant_cookie_is_believed() {
    let (mut bench, host) = Bench::with_host(
        Policy::HARDENED,
        HostConfig {
            dialect: carp_proto::Dialect::OpenBsd,
            ..config(7)
        },
    );
    for _ in 0..10 {
        bench.run_for(Duration::from_secs(2));
        bench.hear(&signed(1, 0, 77)).unwrap();
    }
    assert_eq!(bench.state(host), State::Backup);
}

#[test]
fn the_memory_is_as_long_as_the_callers() {
    let memory: &'static mut [CounterSlot] = (0..8).map(|_| CounterSlot::EMPTY).collect::<Vec<_>>().leak();
    let storage = borrowed(2, 1, 1, 8).with_replay_memory(memory, 4);
    let mut bench = Bench::with_storage(Policy::HARDENED, storage);
    bench.insert(config(8));
    let host = bench.insert(config(7));
    for counter in 1..=5 {
        bench.hear(&signed(1, 0, counter)).unwrap();
    }
    bench.run_for(Duration::from_secs(2));
    for (counter, known) in [(2, true), (5, true), (1, false)] {
        assert_eq!(
            bench.hear(&signed(1, 0, counter)).is_err(),
            known,
            "counter {counter}"
        );
    }
    // A new host in the same slot starts without memories.
    bench.node.remove(bench.now, host).unwrap();
    bench.run_for(Duration::from_secs(2));
    bench.insert(config(7));
    bench.hear(&signed(1, 0, 5)).unwrap();
}

/// Without room an advertisement is tried again every 2 ms, each time with another counter.
#[test]
fn what_was_not_sent_pushes_nothing_out() {
    for result in [TransmitResult::Busy, TransmitResult::Error] {
        let memory: &'static mut [CounterSlot] = [CounterSlot::EMPTY; 4].to_vec().leak();
        let storage = borrowed(1, 1, 1, 8).with_replay_memory(memory, 4);
        let mut bench = Bench::with_storage(Policy::HARDENED, storage);
        let host = bench.insert(config(7));
        bench.hear(&signed(1, 0, 5)).unwrap();
        while bench.state(host) != State::Master {
            bench.run_to_deadline();
        }
        let own = own_advertisement(&mut bench);
        bench.result = result;
        bench.run_for(Duration::from_secs(10));
        let stats = bench.node.stats();
        assert!(stats.onomem > 100 || stats.senderr > 5, "{stats:?}");
        assert_eq!(bench.hear(&own), Err(Rejection::BadAuth), "our own");
        assert_eq!(
            bench.hear(&signed(1, 0, 5)),
            Err(Rejection::BadAuth),
            "what was heard"
        );
    }
}

#[test]
fn without_memory_everything_is_believed() {
    let mut bench = Bench::with_storage(Policy::HARDENED, borrowed(1, 1, 1, 8));
    bench.insert(config(7));
    for _ in 0..3 {
        bench.run_for(Duration::from_secs(2));
        bench.hear(&signed(1, 0, 5)).unwrap();
    }
}

#[test]
fn a_memory_that_is_too_short_serves_the_first_hosts() {
    let memory: &'static mut [CounterSlot] = (0..4).map(|_| CounterSlot::EMPTY).collect::<Vec<_>>().leak();
    let storage = borrowed(2, 1, 1, 8).with_replay_memory(memory, 4);
    let mut bench = Bench::with_storage(Policy::HARDENED, storage);
    bench.insert(config(8));
    bench.insert(config(7));
    for _ in 0..2 {
        bench.hear(&signed(1, 0, 5)).unwrap();
    }
    assert_eq!(bench.node.stats().duplicates, 0);
}

#[test]
fn whose_peers_repeat_their_counter_still_knows_its_own_words() {
    let repeating = HostConfig {
        peers_repeat_counter: true,
        ..config(7)
    };
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, repeating.clone());
    for _ in 0..10 {
        bench.run_for(Duration::from_millis(1_000));
        assert_eq!(bench.hear(&signed(1, 0, 77)), Ok(host));
    }
    assert_eq!(bench.state(host), State::Backup, "each one restarted the timer");
    assert_eq!(bench.node.stats().duplicates, 0);

    let (mut bench, host) = Bench::with_master(Policy::HARDENED, repeating);
    let own = own_advertisement(&mut bench);
    assert_eq!(bench.hear(&own), Err(Rejection::BadAuth));
    assert_eq!(bench.hear(&with_interval(own, 0, 0)), Err(Rejection::BadAuth));
    assert_eq!(bench.state(host), State::Master);
    assert_eq!((bench.node.stats().loops, bench.node.stats().replays), (1, 1));
}

#[test]
fn one_counter_for_ever_and_a_recording_of_another_are_told_apart() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    let kinds = |bench: &mut Bench| -> Vec<NeighbourKind> {
        let told = bench.events.drain(..).filter_map(|event| match event {
            EventKind::Neighbour { kind, .. } => Some(kind),
            _ => None,
        });
        told.collect()
    };
    bench.hear(&signed(1, 0, 5)).unwrap();
    bench.hear(&signed(1, 0, 6)).unwrap();
    bench.run_for(Duration::from_secs(2));
    assert_eq!(bench.hear(&signed(1, 0, 5)), Err(Rejection::BadAuth));
    assert_eq!(kinds(&mut bench), [NeighbourKind::Replay], "6 came after it");
    assert_eq!(bench.hear(&signed(1, 0, 6)), Err(Rejection::BadAuth));
    assert_eq!(kinds(&mut bench), [NeighbourKind::RepeatsCounter]);
    // Told so, it believes from the next one on, and the master-down timer starts anew.
    let mut told = bench.node.config(host).unwrap().clone();
    told.peers_repeat_counter = true;
    bench.node.reconfigure(bench.now, host, told).unwrap();
    let before = bench.node.next_deadline().unwrap();
    assert_eq!(bench.hear(&signed(1, 0, 6)), Ok(host));
    assert!(bench.node.next_deadline().unwrap() > before);
}
