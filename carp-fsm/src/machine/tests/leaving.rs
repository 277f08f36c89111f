//! Leaving, handing over, and everything that the operator or the adapter says.

use super::*;

#[test]
fn only_openbsd_and_netbsd_kernels_bow_out_when_switched_off() {
    for (dialect, bow_out) in [
        (Dialect::FreeBsd, false),
        (Dialect::OpenBsd, true),
        (Dialect::NetBsd, true),
        (Dialect::Ucarp, false),
    ] {
        let view = kernel(dialect, 1, 0);
        let leave = Input::Leave(Departure::Stop(InitReason::Disabled));
        let mut machine = master(&view);
        let wishes = machine.step(at(5 * SECOND), leave, &view).wishes;
        assert_eq!(wishes.contains(Wishes::BOW_OUT), bow_out, "{dialect}");
        assert!(wishes.contains(Wishes::DISOWN));
        assert_eq!(machine.init_reason(), Some(InitReason::Disabled));
        assert_eq!(
            backup(&view).step(at(1), leave, &view).wishes,
            NOTHING,
            "{dialect}"
        );
    }
}

#[test]
fn a_dead_link_says_nothing() {
    for dialect in Dialect::ALL {
        for policy in [Policy::KERNEL, Policy::HARDENED] {
            let view = view(dialect, policy, 1, 0);
            let mut machine = master(&view);
            let effects = machine.step(at(5 * SECOND), Input::Stop(InitReason::LinkDown), &view);
            assert_eq!(effects.wishes, Wishes::DISOWN);
            assert_eq!(
                effects.transition.unwrap().reason,
                Reason::Stopped(InitReason::LinkDown)
            );
        }
    }
}

#[test]
fn a_link_that_comes_back_waits_the_whole_time() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    machine.step(at(5 * SECOND), Input::Stop(InitReason::LinkDown), &view);
    assert_eq!(machine.deadline(), None);
    let effects = machine.step(at(7 * SECOND), Input::Start, &view);
    assert_eq!(effects.transition.unwrap().reason, Reason::InitializationComplete);
    assert_eq!(machine.deadline(), Some(at(10 * SECOND)));
}

#[test]
fn a_stop_keeps_the_addresses_until_the_successor_is_heard() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    let now = at(5 * SECOND);
    let effects = machine.step(
        now,
        Input::Leave(Departure::Stop(InitReason::ShuttingDown)),
        &view,
    );
    assert_eq!(effects.wishes, Wishes::BOW_OUT);
    assert_eq!((machine.state(), machine.is_leaving()), (State::Master, true));
    let effects = machine.step(now + Duration::from_millis(1), heard(1, 100), &view);
    assert_eq!(effects.wishes, Wishes::DISOWN);
    assert_eq!(effects.hand_over, Some(HandOver::Done(Duration::from_millis(1))));
    assert_eq!(machine.init_reason(), Some(InitReason::ShuttingDown));
}

#[test]
fn a_stop_goes_ahead_when_nobody_takes_over() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    let now = at(5 * SECOND);
    machine.step(
        now,
        Input::Leave(Departure::Stop(InitReason::ShuttingDown)),
        &view,
    );
    let until = now + view.policy.leave_wait;
    assert_eq!(machine.deadline(), Some(until));
    assert_eq!(machine.step(until, Input::Timeout, &view).wishes, Wishes::DISOWN);
    assert_eq!(machine.state(), State::Init);
}

#[test]
fn a_hand_over_is_called_off_when_nobody_takes_over() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    let now = at(5 * SECOND);
    machine.step(now, Input::Leave(Departure::HandOver), &view);
    let effects = machine.step(now + view.policy.leave_wait, Input::Timeout, &view);
    assert_eq!(
        effects.hand_over,
        Some(HandOver::NobodyTookOver(view.policy.leave_wait))
    );
    assert_eq!(effects.wishes, Wishes::ADVERTISE);
    assert_eq!((machine.state(), machine.is_leaving()), (State::Master, false));
}

#[test]
fn a_hand_over_that_is_interrupted_is_reported_too() {
    let view = hardened(1, 0);
    for input in [
        Input::Stop(InitReason::LinkDown),
        Input::Refused(at(9 * SECOND)),
        Input::Force(State::Backup),
    ] {
        let mut machine = master(&view);
        machine.step(at(5 * SECOND), Input::Leave(Departure::HandOver), &view);
        let effects = machine.step(at(5 * SECOND + 7), input, &view);
        assert_eq!(
            effects.hand_over,
            Some(HandOver::NobodyTookOver(Duration::from_micros(7)))
        );
    }
}

#[test]
fn there_is_nothing_to_hand_over_in_backup() {
    let view = hardened(1, 0);
    let effects = backup(&view).step(at(1), Input::Leave(Departure::HandOver), &view);
    assert_eq!(effects.hand_over, Some(HandOver::NotMaster));
}

#[test]
fn a_hand_over_asked_for_while_stopping_does_not_undo_the_stop() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    let now = at(5 * SECOND);
    machine.step(
        now,
        Input::Leave(Departure::Stop(InitReason::ShuttingDown)),
        &view,
    );
    machine.step(now, Input::Leave(Departure::HandOver), &view);
    machine.step(now + view.policy.leave_wait, Input::Timeout, &view);
    assert_eq!(machine.init_reason(), Some(InitReason::ShuttingDown));
}

#[test]
fn who_resigned_does_not_preempt_but_replaces_a_silent_successor() {
    let view = View {
        preempt: true,
        ..hardened(1, 0)
    };
    let mut machine = master(&view);
    machine.step(at(5 * SECOND), Input::Leave(Departure::HandOver), &view);
    let effects = machine.step(at(5 * SECOND + 1), heard(1, 100), &view);
    assert_eq!(effects.transition.unwrap().reason, Reason::HandedOver);
    for second in 6..20 {
        machine.step(at(second * SECOND), heard(1, 100), &view);
        assert_eq!(machine.state(), State::Backup);
    }
    machine.step(at(22 * SECOND), Input::Timeout, &view);
    assert_eq!(machine.state(), State::Master);
    // MASTER again by itself: the resignation is forgotten.
    machine.step(at(23 * SECOND), heard(1, 0), &view);
    machine.step(at(24 * SECOND), heard(1, 100), &view);
    assert_eq!(machine.state(), State::Master);
}

// --- announcements, refusals, force ---

#[test]
fn addresses_are_announced_again_with_the_second_advertisement() {
    for (view, again) in [
        (kernel(Dialect::FreeBsd, 1, 0), false),
        (kernel(Dialect::NetBsd, 1, 0), false),
        (kernel(Dialect::OpenBsd, 1, 0), true),
        (kernel(Dialect::Ucarp, 1, 0), true),
        (hardened(1, 0), true),
    ] {
        let mut machine = master(&view);
        let announced: Vec<bool> = (4..9)
            .map(|second| machine.step(at(second * SECOND), Input::Timeout, &view).wishes)
            .map(|wishes| wishes.contains(Wishes::ANNOUNCE))
            .collect();
        assert_eq!(announced, [false, again, false, false, false], "{}", view.dialect);
    }
}

#[test]
fn who_leaves_master_does_not_announce_again() {
    let view = kernel(Dialect::OpenBsd, 1, 0);
    let mut machine = master(&view);
    machine.step(at(4 * SECOND), Input::Timeout, &view);
    machine.step(at(4 * SECOND + 1), heard(1, 0), &view);
    let due = machine.deadline().unwrap();
    let effects = machine.step(due, Input::Timeout, &view);
    assert_eq!(effects.transition.unwrap().reason, Reason::MasterTimedOut);
    let wishes = machine
        .step(due + Duration::from_secs(1), Input::Timeout, &view)
        .wishes;
    assert_eq!(wishes, Wishes::ADVERTISE, "counted anew");
}

#[test]
fn refused_addresses_are_not_asked_for_again_before_their_time() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    let retry = at(60 * SECOND);
    let effects = machine.step(at(5 * SECOND), Input::Refused(retry), &view);
    assert_eq!(effects.wishes, Wishes::BOW_OUT.with(Wishes::DISOWN));
    assert_eq!(machine.init_reason(), Some(InitReason::AddressRefused));
    // A report about the interface changes nothing.
    assert_eq!(
        machine.step(at(6 * SECOND), Input::Start, &view),
        Effects::default()
    );
    assert_eq!(machine.deadline(), Some(retry));
    machine.step(retry, Input::Timeout, &view);
    assert_eq!(machine.state(), State::Backup);
    assert_eq!(machine.deadline(), Some(at(63 * SECOND)));
}

#[test]
fn a_forced_state_is_taken_without_a_bow_out() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    let effects = machine.step(at(5 * SECOND), Input::Force(State::Backup), &view);
    assert_eq!(effects.wishes, Wishes::DISOWN);
    assert_eq!(machine.deadline(), Some(at(8 * SECOND)));
    let effects = machine.step(at(6 * SECOND), Input::Force(State::Master), &view);
    assert_eq!(effects.wishes, TAKE_OVER);
    assert_eq!(effects.transition.unwrap().reason, Reason::UserRequested);
}

#[test]
fn who_is_stopping_cannot_be_forced_back_into_the_election() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    machine.step(
        at(5 * SECOND),
        Input::Leave(Departure::Stop(InitReason::Disabled)),
        &view,
    );
    let effects = machine.step(at(5 * SECOND), Input::Force(State::Backup), &view);
    assert_eq!(effects.wishes, Wishes::DISOWN);
    assert_eq!(machine.init_reason(), Some(InitReason::Disabled));
    assert_eq!(machine.deadline(), None);
}

/// What a BACKUP does that hears a master with an advbase of 5 four times, once an interval, and then nothing more:
/// how long it waits at last.
fn follows_a_slower_master(mut machine: Machine, view: &View) -> Duration {
    let mut now = machine.since();
    for _ in 0..4 {
        now = now + Duration::from_secs(5);
        assert!(machine.deadline().unwrap() > now, "it lives");
        let effects = machine.step(now, heard(5, 0), view);
        assert_eq!(effects, Effects::default());
        // Settings given again are no news of the master.
        machine.step(now + Duration::from_secs(2), Input::Reconfigured, view);
    }
    machine.deadline().unwrap() - now
}

#[test]
fn who_is_not_willing_gives_a_slower_master_the_time_that_it_needs() {
    for dialect in Dialect::ALL {
        let view = view(dialect, Policy::HARDENED, 1, 100);
        let patience = Duration::from_micros(dialect.master_down_micros(AdvBase::new(5), AdvSkew::new(100)));
        let mut resigned = master(&view);
        let now = at(5 * SECOND);
        resigned.step(now, Input::Leave(Departure::HandOver), &view);
        resigned.step(now + Duration::from_millis(1), heard(5, 0), &view);
        assert_eq!(resigned.state(), State::Backup);
        assert_eq!(follows_a_slower_master(resigned, &view), patience, "{dialect}");

        // Two in maintenance do not wait equally long for it, either.
        for (advskew, more) in [(100, 390_625), (0, 0)] {
            let view = View {
                maintenance: true,
                advskew: AdvSkew::new(advskew),
                ..view
            };
            let mut machine = backup(&view);
            machine.step(at(SECOND), heard(5, 0), &view);
            let patience = dialect.master_down_micros(AdvBase::new(5), AdvSkew::new(254)) + more;
            assert_eq!(
                follows_a_slower_master(machine, &view).as_micros(),
                patience,
                "{dialect}"
            );
        }
    }
}

#[test]
fn a_bow_out_is_no_slow_master_to_wait_for() {
    for maintenance in [false, true] {
        let view = View {
            maintenance,
            ..hardened(1, 0)
        };
        let mut machine = backup(&view);
        machine.step(at(SECOND), heard(BOW_OUT.0, BOW_OUT.1), &view);
        assert_eq!(machine.state(), State::Master);
    }
}
