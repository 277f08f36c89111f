//! Advertisements heard by a MASTER and by a BACKUP, and the two families.

use super::*;

#[test]
fn a_master_yields_to_a_faster_advertisement_and_says_nothing() {
    for dialect in Dialect::ALL {
        let view = kernel(dialect, 1, 100);
        let mut machine = master(&view);
        let now = at(5 * SECOND);
        let effects = machine.step(now, heard(1, 50), &view);
        assert_eq!(effects.wishes, Wishes::DISOWN, "{dialect}");
        assert_eq!(
            effects.transition.unwrap().reason,
            Reason::MoreFrequentAdvertisement
        );
        let wait = dialect.master_down_micros(view.advbase, view.advskew);
        assert_eq!(since_deadline(&machine, now), wait, "{dialect}");
    }
}

#[test]
fn a_tie_makes_the_bsds_yield() {
    for dialect in [Dialect::FreeBsd, Dialect::OpenBsd, Dialect::NetBsd] {
        let view = kernel(dialect, 1, 100);
        let mut machine = master(&view);
        machine.step(at(5 * SECOND), heard(1, 100), &view);
        assert_eq!(machine.state(), State::Backup, "{dialect}");
    }
}

#[test]
fn a_tie_makes_ucarp_yield_to_a_lower_source() {
    let view = kernel(Dialect::Ucarp, 1, 100);
    for lower in [false, true] {
        let mut machine = master(&view);
        let Input::Heard {
            family,
            interval,
            demotion,
            ..
        } = heard(1, 100)
        else {
            unreachable!()
        };
        let input = Input::Heard {
            family,
            interval,
            demotion,
            lower_source: lower,
        };
        machine.step(at(5 * SECOND), input, &view);
        assert_eq!(machine.state() == State::Backup, lower);
    }
}

#[test]
fn a_master_ignores_a_slower_one_and_its_timer_goes_on() {
    for dialect in Dialect::ALL {
        let view = kernel(dialect, 1, 0);
        let mut machine = master(&view);
        let before = machine;
        assert_eq!(
            machine.step(at(3 * SECOND + 5), heard(1, 100), &view),
            Effects::default()
        );
        assert_eq!(machine, before, "{dialect}");
    }
}

#[test]
fn a_hardened_master_answers_a_slower_one_at_once_but_not_every_time() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    let start = 3 * SECOND + 5;
    let due = machine.deadline();
    let answers =
        |machine: &mut Machine, time| !machine.step(at(time), heard(1, 100), &view).wishes.is_empty();
    // Two at once: one that yields with a last word, and a third that this made take over.
    assert!(answers(&mut machine, start));
    assert!(answers(&mut machine, start + 1));
    // Then one in each quarter of the interval.
    assert!(!answers(&mut machine, start + 2));
    assert!(!answers(&mut machine, start + SECOND / 4 - 1));
    assert!(answers(&mut machine, start + SECOND / 4));
    assert!(!answers(&mut machine, start + SECOND / 4 + 1));
    assert_eq!(machine.deadline(), due, "nothing is put off");
}

#[test]
fn an_answer_does_not_put_off_the_bow_out_of_a_master_that_offers() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    machine.step(at(3 * SECOND), Input::Leave(Departure::Offer), &view);
    let due = machine.deadline();
    let answer = machine.step(at(3 * SECOND + SECOND / 2), heard(1, 100), &view);
    assert!(answer.wishes.contains(Wishes::ADVERTISE));
    assert_eq!(machine.deadline(), due);
    assert!(
        machine
            .step(due.unwrap(), Input::Timeout, &view)
            .wishes
            .contains(Wishes::BOW_OUT)
    );
}

#[test]
fn a_second_bow_out_is_answered_for_it_led_switches_astray() {
    // Of a master with two families: this one has taken over on the first.
    let view = hardened(1, 0);
    let mut machine = backup(&view);
    assert!(
        machine
            .step(at(SECOND), heard(255, 255), &view)
            .transition
            .is_some()
    );
    let answer = machine.step(at(SECOND + 1), heard(255, 255), &view);
    assert_eq!(answer.wishes, Wishes::ADVERTISE.with(Wishes::ANNOUNCE));
    // In maintenance it would hand over in answer to a worse master. Nobody is one.
    let view = View {
        maintenance: true,
        ..view
    };
    assert_eq!(
        machine.step(at(2 * SECOND), heard(255, 255), &view),
        Effects::default()
    );
}

#[test]
fn a_hardened_master_that_yields_has_a_last_word_unless_others_may_just_have_taken_over_too() {
    // Also where addresses are announced again for ever, here with every fourth advertisement.
    for (refresh, advertisements) in [0, 5]
        .into_iter()
        .flat_map(|refresh| (0..10).map(move |n| (refresh, n)))
    {
        let mut view = hardened(1, 100);
        view.policy.announce_refresh = Duration::from_secs(refresh);
        let yields = |machine: &mut Machine, now: Instant, interval: Input| {
            let effects = machine.step(now, interval, &view);
            assert!(effects.wishes.contains(Wishes::DISOWN));
            effects.wishes.contains(Wishes::ADVERTISE)
        };
        // Its master was not heard for long: nobody else took over. Or it bowed out, and others may have.
        for was_alone in [true, false] {
            let mut machine = if was_alone {
                master(&view)
            } else {
                let mut machine = backup(&view);
                machine.step(at(SECOND), heard(255, 255), &view);
                machine
            };
            assert_eq!(machine.state(), State::Master);
            for _ in 0..advertisements {
                let due = machine.deadline().unwrap();
                machine.step(due, Input::Timeout, &view);
            }
            let now = machine.deadline().unwrap();
            // To an equal, which yields too, nothing is said: both would be BACKUP.
            let mut tied = machine;
            assert!(!yields(&mut tied, now, heard(1, 100)));
            assert_eq!(
                yields(&mut machine, now, heard(1, 50)),
                was_alone || advertisements >= 2,
                "{was_alone} {advertisements}"
            );
        }
    }
}

#[test]
fn no_hardened_master_yields_to_a_bow_out_however_little_demoted() {
    for (policy, state) in [(Policy::HARDENED, State::Master), (Policy::KERNEL, State::Backup)] {
        let view = View {
            demotion: 10,
            ..view(Dialect::OpenBsd, policy, 1, 0)
        };
        let mut machine = master(&view);
        machine.step(at(4 * SECOND), demoted(255, 255, 0), &view);
        assert_eq!(machine.state(), state);
    }
}

// --- advertisements heard by a BACKUP ---

#[test]
fn a_backup_preempts_a_slower_master_only_when_told_to() {
    for dialect in Dialect::ALL {
        for preempt in [false, true] {
            let view = View {
                preempt,
                ..kernel(dialect, 1, 0)
            };
            let mut machine = backup(&view);
            let effects = machine.step(at(SECOND), heard(1, 100), &view);
            if preempt {
                assert_eq!(effects.transition.unwrap().reason, Reason::PreemptingSlowerMaster);
                assert_eq!(effects.wishes, TAKE_OVER);
            } else {
                assert_eq!(effects, Effects::default());
                assert_eq!(since_deadline(&machine, at(SECOND)), 3 * SECOND, "{dialect}");
            }
        }
    }
}

#[test]
fn a_backup_does_not_preempt_an_equal_master() {
    let view = View {
        preempt: true,
        ..kernel(Dialect::FreeBsd, 1, 100)
    };
    let mut machine = backup(&view);
    assert_eq!(machine.step(at(SECOND), heard(1, 100), &view), Effects::default());
}

#[test]
fn a_master_slower_than_the_master_down_time_is_replaced() {
    let take_over = |dialect, base, peer: (u8, u8)| {
        let view = kernel(dialect, base, 0);
        let mut machine = backup(&view);
        let effects = machine.step(at(1), heard(peer.0, peer.1), &view);
        effects.transition.map(|transition| transition.reason)
    };
    let reason = Some(Reason::MasterWillTimeOut);
    assert_eq!(take_over(Dialect::FreeBsd, 1, BOW_OUT), reason);
    assert_eq!(take_over(Dialect::FreeBsd, 85, BOW_OUT), reason);
    assert_eq!(take_over(Dialect::FreeBsd, 86, BOW_OUT), None);
    assert_eq!(take_over(Dialect::FreeBsd, 1, (3, 0)), None);
    assert_eq!(take_over(Dialect::FreeBsd, 1, (3, 1)), reason);
    assert_eq!(
        take_over(Dialect::OpenBsd, 0, BOW_OUT),
        None,
        "OpenBSD with advbase 0"
    );
}

#[test]
fn a_node_that_just_started_leaves_a_living_master_alone_for_a_while() {
    let delay = Duration::from_secs(60);
    let view = View {
        preempt: true,
        preempt_delay: delay,
        ..hardened(1, 0)
    };
    let hear_until_master = |machine: &mut Machine, from: u64| {
        let seconds = (from..from + 100).map(|second| at(second * SECOND));
        let mut seconds = seconds.skip_while(|now| {
            machine.step(*now, heard(1, 100), &view);
            machine.state() != State::Master
        });
        seconds.next().unwrap()
    };
    let mut machine = backup(&view);
    assert_eq!(hear_until_master(&mut machine, 1), at(60 * SECOND));

    // Only a start counts: who yielded preempts again at once.
    machine.step(at(61 * SECOND), heard(0, 1), &view);
    assert_eq!(hear_until_master(&mut machine, 62), at(62 * SECOND));

    // A lost link starts over.
    machine.step(at(70 * SECOND), Input::Stop(InitReason::LinkDown), &view);
    machine.step(at(71 * SECOND), Input::Start, &view);
    assert_eq!(hear_until_master(&mut machine, 72), at(131 * SECOND));
}

#[test]
fn the_delay_of_preemption_delays_nothing_else() {
    let view = View {
        preempt: true,
        preempt_delay: Duration::from_secs(60),
        ..hardened(1, 0)
    };
    for (input, reason) in [
        (heard(BOW_OUT.0, BOW_OUT.1), Reason::PreemptingSlowerMaster),
        (heard(9, 0), Reason::MasterWillTimeOut),
        (Input::Force(State::Master), Reason::UserRequested),
    ] {
        let transition = backup(&view).step(at(1), input, &view).transition;
        assert_eq!(transition.unwrap().reason, reason);
    }
    let mut machine = backup(&view);
    machine.step(at(3 * SECOND), Input::Timeout, &view);
    assert_eq!(machine.state(), State::Master);
}

// --- two families ---

#[test]
fn each_family_has_its_own_master_down_timer() {
    let view = View {
        ipv6: true,
        ..kernel(Dialect::FreeBsd, 1, 0)
    };
    let mut machine = backup(&view);
    // IPv4 goes on, IPv6 has stopped.
    for second in 1..3 {
        machine.step(at(second * SECOND), heard(1, 0), &view);
        assert_eq!(machine.deadline(), Some(at(3 * SECOND)));
    }
    machine.step(at(3 * SECOND), Input::Timeout, &view);
    assert_eq!(machine.state(), State::Master);
}

#[test]
fn a_family_without_addresses_starts_no_timer() {
    let view = hardened(1, 0);
    let mut machine = backup(&view);
    let Input::Heard {
        interval,
        demotion,
        lower_source,
        ..
    } = heard(1, 0)
    else {
        unreachable!()
    };
    let input = Input::Heard {
        family: Family::Ipv6,
        interval,
        demotion,
        lower_source,
    };
    let before = machine;
    machine.step(at(SECOND), input, &view);
    assert_eq!(machine, before);
}
