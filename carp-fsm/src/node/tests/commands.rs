use super::*;
use crate::machine::HandOver;

fn no_such_host(id: HostId) -> Result<(), NoSuchHost> {
    Err(NoSuchHost(id))
}

// --- insert and remove ---

#[test]
fn a_host_starts_in_backup_or_says_why_not() {
    let mut bench = Bench::new(Policy::HARDENED);
    bench.link(ETH1, LinkState::Down);
    let reason = |bench: &mut Bench, iface| {
        let host = bench.insert(HostConfig { iface, ..config(7) });
        bench.node.status(host).unwrap().init_reason
    };
    assert_eq!(reason(&mut bench, ETH0), None);
    assert_eq!(reason(&mut bench, ETH1), Some(InitReason::LinkDown));
    assert_eq!(reason(&mut bench, IfaceId(2)), Some(InitReason::NoInterface));
}

#[test]
fn a_kernel_wants_an_address_and_a_carrier_that_is_known() {
    let mut config = config(7);
    config.addresses = carp_proto::AddressSet::new();
    let (bench, host) = Bench::with_host(Policy::KERNEL, config.clone());
    assert_eq!(
        bench.node.status(host).unwrap().init_reason,
        Some(InitReason::NoAddress)
    );
    let (bench, host) = Bench::with_host(Policy::HARDENED, config);
    assert_eq!(bench.state(host), State::Backup);

    for (policy, state) in [(Policy::KERNEL, State::Init), (Policy::HARDENED, State::Backup)] {
        let (mut bench, host) = Bench::with_host(policy, super::config(7));
        bench.link(ETH0, LinkState::Unknown);
        assert_eq!(bench.state(host), state);
    }
}

#[test]
fn impossible_configurations_are_refused() {
    let (mut bench, _) = Bench::with_host(Policy::HARDENED, config(7));
    let refused = |bench: &mut Bench, change: &dyn Fn(&mut HostConfig<4>)| {
        let mut config = config(8);
        change(&mut config);
        bench.node.insert(bench.now, config).err()
    };
    assert_eq!(
        refused(&mut bench, &|config| config.vhid = vhid(7)),
        Some(ConfigError::Duplicate)
    );
    assert_eq!(
        refused(&mut bench, &|config| config.advskew = AdvSkew::new(255)),
        Some(ConfigError::AdvSkew)
    );
    assert_eq!(
        refused(&mut bench, &|config| config.advbase = AdvBase::new(0)),
        Some(ConfigError::AdvBase)
    );
    assert_eq!(bench.node.hosts().count(), 1, "nothing was changed");
    assert_eq!(
        refused(&mut bench, &|config| {
            config.advbase = AdvBase::new(0);
            config.dialect = carp_proto::Dialect::OpenBsd;
        }),
        None
    );
    assert_eq!(
        refused(&mut bench, &|config| (config.iface, config.vhid) =
            (ETH1, vhid(7))),
        None,
        "the same vhid elsewhere"
    );
}

#[test]
fn borrowed_storage_has_an_end() {
    let mut bench = Bench::with_storage(Policy::HARDENED, borrowed(2, 1, 1, 16));
    let no_room = Err(ConfigError::NoRoom);
    assert_eq!(
        bench.node.insert(
            bench.now,
            HostConfig {
                iface: ETH1,
                ..config(1)
            }
        ),
        no_room
    );
    assert_eq!(
        bench.node.insert(
            bench.now,
            HostConfig {
                group: GroupId(1),
                ..config(1)
            }
        ),
        no_room
    );
    bench.insert(config(1));
    let second = bench.insert(config(2));
    assert_eq!(bench.node.insert(bench.now, config(3)), no_room);
    bench.link(ETH1, LinkState::Down);
    assert_eq!(
        bench.node.demotion(GROUP0),
        0,
        "an interface beyond the storage is ignored"
    );

    bench.node.remove(bench.now, second).unwrap();
    bench.drain();
    bench.insert(config(3));
}

#[cfg(feature = "alloc")]
#[test]
fn growing_storage_grows() {
    let mut bench = Bench::new(Policy::HARDENED);
    for iface in 0..20 {
        bench.link(IfaceId(iface), LinkState::Up);
        for number in 1..=200 {
            let group = GroupId(number % 7);
            bench.insert(HostConfig {
                iface: IfaceId(iface),
                group,
                ..config(number)
            });
        }
    }
    assert_eq!(bench.node.hosts().count(), 4000);
    bench.run_for(Duration::from_secs(4));
    assert!(
        bench
            .node
            .hosts()
            .all(|host| bench.node.state(host) == Some(State::Master))
    );
}

#[test]
fn a_removed_master_bows_out_and_its_id_is_never_used_again() {
    let mut bench = Bench::with_storage(Policy::HARDENED, borrowed(1, 1, 1, 16));
    let first = bench.insert(config(7));
    bench.run_to_deadline();
    bench.forget();
    bench.node.remove(bench.now, first).unwrap();
    bench.drain();
    assert_eq!(bench.said(), ["bow-out"]);
    assert_eq!(
        bench.node.insert(bench.now, config(7)),
        Err(ConfigError::Duplicate),
        "not gone yet"
    );
    bench.hear_peer(1, 200);
    assert_eq!(bench.said(), ["bow-out", "disown"]);
    assert_eq!(bench.node.state(first), None);

    let second = bench.insert(config(7));
    assert_ne!(first, second);
    let now = bench.now;
    assert_eq!(bench.node.remove(now, first), no_such_host(first));
    assert_eq!(bench.node.set_enabled(now, first, false), no_such_host(first));
    assert_eq!(bench.node.hand_over(now, first), no_such_host(first));
    assert_eq!(
        bench.node.force_state(now, first, State::Master),
        no_such_host(first)
    );
    bench.node.handle_owner_result(now, first, 1, Err(OwnerError));
    assert_eq!(
        (bench.node.config(first).is_none(), bench.node.status(first)),
        (true, None)
    );
    assert_eq!(bench.state(second), State::Backup);
}

#[test]
fn a_host_that_was_refused_its_addresses_can_be_removed_or_disabled() {
    for removed in [false, true] {
        for before in [false, true] {
            let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
            let switch_off = |bench: &mut Bench| {
                let done = if removed {
                    bench.node.remove(bench.now, host)
                } else {
                    bench.node.set_enabled(bench.now, host, false)
                };
                done.unwrap();
            };
            bench.now = bench.node.next_deadline().unwrap();
            bench.node.handle_drained(bench.now);
            let mut frame = [0; MAX_FRAME_LEN];
            let action = bench.node.poll_action(bench.now, &mut frame);
            let Some(Action::SetOwner { seq, .. }) = action else {
                panic!("{action:?}");
            };
            if before {
                switch_off(&mut bench);
            }
            bench
                .node
                .handle_owner_result(bench.now, host, seq, Err(OwnerError));
            if !before {
                switch_off(&mut bench);
            }
            bench.drain();
            bench.run_for(Duration::from_secs(100));
            let reason = bench.node.status(host).map(|status| status.init_reason);
            let expected = if removed {
                None
            } else {
                Some(Some(InitReason::Disabled))
            };
            assert_eq!(reason, expected);
            assert_eq!(bench.node.next_deadline(), None);
        }
    }
}

#[test]
fn a_backup_is_removed_at_once() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench.node.remove(bench.now, host).unwrap();
    bench.node.remove(bench.now, host).unwrap();
    bench.drain();
    assert_eq!(
        (bench.node.hosts().count(), bench.node.next_deadline()),
        (0, None)
    );
}

#[test]
fn who_still_lingers_is_removed_after_that() {
    let (mut bench, host) = Bench::with_master(
        Policy::HARDENED,
        HostConfig {
            mode: LinkMode::Plain,
            ..config(7)
        },
    );
    bench.hear_peer(1, 0);
    bench.node.remove(bench.now, host).unwrap();
    bench.drain();
    assert!(bench.node.is_owner(host));
    bench.run_for(Policy::HARDENED.linger);
    assert_eq!(
        (bench.said(), bench.node.hosts().count()),
        (std::vec!["ad", "disown"], 0)
    );
}

// --- on and off ---

#[test]
fn a_disabled_master_bows_out_and_comes_back_as_backup() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.node.set_enabled(bench.now, host, false).unwrap();
    bench.drain();
    bench.hear_peer(1, 200);
    assert_eq!(
        bench.node.status(host).unwrap().init_reason,
        Some(InitReason::Disabled)
    );
    assert_eq!(bench.node.next_deadline(), None);
    bench.node.set_enabled(bench.now, host, true).unwrap();
    assert_eq!(bench.state(host), State::Backup);
}

#[test]
fn who_is_enabled_again_before_it_has_left_stays_master() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.node.set_enabled(bench.now, host, false).unwrap();
    bench.drain();
    assert!(bench.node.status(host).unwrap().leaving);
    bench.node.set_enabled(bench.now, host, true).unwrap();
    bench.drain();
    assert_eq!(bench.said(), ["bow-out", "ad"]);
    bench.run_for(Duration::from_secs(10));
    assert_eq!(bench.state(host), State::Master);
    assert!(bench.node.is_owner(host));
}

#[test]
fn a_link_down_while_leaving_ends_it() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.node.set_enabled(bench.now, host, false).unwrap();
    bench.drain();
    bench.link(ETH0, LinkState::Down);
    assert_eq!(bench.said(), ["bow-out", "disown"]);
    bench.link(ETH0, LinkState::Up);
    assert_eq!(
        bench.node.status(host).unwrap().init_reason,
        Some(InitReason::Disabled)
    );
}

// --- planned hand-over ---

#[test]
fn a_hand_over_keeps_the_address_until_the_successor_is_heard() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.node.hand_over(bench.now, host).unwrap();
    bench.drain();
    assert_eq!(bench.said(), ["bow-out"]);
    assert!(bench.node.is_owner(host));
    bench.now = bench.now + Duration::from_millis(3);
    bench.hear_peer(1, 200);
    assert_eq!(bench.said(), ["bow-out", "disown"]);
    let outcome = HandOver::Done(Duration::from_millis(3));
    let peer = Some(from_peer().src);
    assert!(
        bench
            .events
            .contains(&EventKind::HandOver { host, outcome, peer })
    );
    assert_eq!(bench.reasons(), [Reason::HandedOver]);
}

#[test]
fn a_bow_out_is_not_sent_after_the_successor_was_heard() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.node.hand_over(bench.now, host).unwrap();
    bench.hear_peer(1, 200);
    assert_eq!(bench.said(), ["disown"]);
}

#[test]
fn a_report_about_the_interface_does_not_disturb_a_hand_over() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.node.hand_over(bench.now, host).unwrap();
    bench.drain();
    bench.link(ETH0, LinkState::Up);
    assert!(bench.node.status(host).unwrap().leaving);
    bench.run_for(Policy::HARDENED.leave_wait);
    assert_eq!(bench.said(), ["bow-out", "ad"]);
    let outcome = HandOver::NobodyTookOver(Policy::HARDENED.leave_wait);
    let peer = None;
    assert_eq!(bench.events, [EventKind::HandOver { host, outcome, peer }]);
}

// --- shutdown ---

#[test]
fn a_shutdown_is_quiet_when_the_last_address_is_gone() {
    let mut bench = Bench::new(Policy::HARDENED);
    let (seven, eight) = (bench.insert(config(7)), bench.insert(config(8)));
    bench.run_for(Duration::from_secs(4));
    bench.forget();
    assert!(!bench.node.is_quiet());
    bench.node.shutdown(bench.now);
    assert!(!bench.node.is_quiet());
    bench.drain();
    assert_eq!(bench.said(), ["bow-out", "bow-out"]);
    bench.hear_peer(1, 200);
    assert_eq!(bench.state(seven), State::Init);
    assert!(bench.node.is_owner(eight) && !bench.node.is_quiet());
    bench.run_for(Policy::HARDENED.leave_wait);
    assert!(bench.node.is_quiet());
    assert_eq!(bench.said(), ["bow-out", "bow-out", "disown", "disown"]);
    assert_eq!(bench.node.next_deadline(), None);

    // Nothing starts again.
    bench.link(ETH0, LinkState::Down);
    bench.link(ETH0, LinkState::Up);
    let ninth = bench.insert(config(9));
    bench.node.hand_over(bench.now, seven).unwrap();
    bench.node.force_state(bench.now, eight, State::Master).unwrap();
    bench.drain();
    assert!(bench.node.is_quiet());
    assert_eq!(
        bench.node.status(ninth).unwrap().init_reason,
        Some(InitReason::ShuttingDown)
    );
}

#[test]
fn a_hand_over_or_a_new_report_does_not_stop_a_shutdown() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.node.shutdown(bench.now);
    bench.node.hand_over(bench.now, host).unwrap();
    bench.link(ETH0, LinkState::Up);
    bench.run_for(Policy::HARDENED.leave_wait);
    assert!(bench.node.is_quiet());
}

#[test]
fn a_freebsd_kernel_leaves_without_a_word() {
    let (mut bench, _) = Bench::with_master(Policy::KERNEL, config(7));
    bench.node.shutdown(bench.now);
    bench.drain();
    assert_eq!(bench.said(), ["disown"]);
    assert!(bench.node.is_quiet());
}

// --- time and events ---

#[test]
fn time_that_goes_backwards_stands_still() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench.run_for(Duration::from_secs(2));
    bench.node.handle_drained(bench.now);
    let deadline = bench.node.next_deadline();
    bench.now = Instant::ZERO;
    bench.hear_peer(1, 0);
    assert!(
        bench.node.next_deadline() > deadline,
        "counted from the latest time given"
    );
    bench.run_for(Duration::from_secs(60));
    assert_eq!(bench.state(host), State::Master);
    assert!(bench.events.len() < 5);
}

#[test]
fn events_that_nobody_polls_are_counted() {
    let mut bench = Bench::with_storage(Policy::HARDENED, borrowed(1, 1, 1, 2));
    let host = bench.node.insert(bench.now, config(7)).unwrap();
    for _ in 0..5 {
        bench.node.force_state(bench.now, host, State::Master).unwrap();
        bench.node.force_state(bench.now, host, State::Backup).unwrap();
    }
    let polled: Vec<_> = core::iter::from_fn(|| bench.node.poll_event())
        .map(|event| event.kind)
        .collect();
    assert_eq!(polled.len(), 3);
    assert!(matches!(
        polled[0],
        EventKind::Transition {
            reason: Reason::InitializationComplete,
            ..
        }
    ));
    assert!(matches!(
        polled[1],
        EventKind::Transition {
            to: State::Master,
            ..
        }
    ));
    assert_eq!(polled[2], EventKind::Lost(9));
    bench.node.force_state(bench.now, host, State::Master).unwrap();
    assert!(matches!(
        bench.node.poll_event().unwrap().kind,
        EventKind::Transition {
            to: State::Master,
            ..
        }
    ));
    assert_eq!(bench.node.poll_event(), None);
}

#[test]
fn events_come_in_the_order_of_time_even_around_a_loss() {
    let mut bench = Bench::with_storage(Policy::HARDENED, borrowed(1, 1, 1, 2));
    let host = bench.node.insert(bench.now, config(7)).unwrap();
    let mut last = Instant::ZERO;
    for step in 0..40 {
        bench.now = Instant::from_micros(step);
        let state = if step % 2 == 0 {
            State::Master
        } else {
            State::Backup
        };
        bench.node.force_state(bench.now, host, state).unwrap();
        if step % 3 == 0 {
            let event = bench.node.poll_event().unwrap();
            assert!(event.at >= last);
            last = event.at;
        }
    }
    assert!(last > Instant::from_micros(10), "events go on after a loss");
}
