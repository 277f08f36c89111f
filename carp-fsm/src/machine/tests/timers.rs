//! Start, master-down time, and demotion.

use super::*;

#[test]
fn a_lonely_node_waits_the_master_down_time_of_its_dialect() {
    for (dialect, base, skew, micros) in [
        (Dialect::FreeBsd, 1, 0, 3_000_000),
        (Dialect::FreeBsd, 1, 100, 3_390_625),
        (Dialect::NetBsd, 1, 100, 3_390_625),
        (Dialect::Ucarp, 1, 100, 3_390_625),
        (Dialect::OpenBsd, 1, 100, 4_171_875),
        (Dialect::OpenBsd, 0, 0, 11_718),
    ] {
        let view = kernel(dialect, base, skew);
        let mut machine = backup(&view);
        assert_eq!(machine.deadline(), Some(at(micros)), "{dialect} {base}/{skew}");
        assert_eq!(
            machine.step(at(micros - 1), Input::Timeout, &view),
            Effects::default()
        );
        let effects = machine.step(at(micros), Input::Timeout, &view);
        assert_eq!(machine.state(), State::Master);
        assert_eq!(effects.transition.unwrap().reason, Reason::MasterTimedOut);
    }
}

#[test]
fn openbsd_without_base_advertises_every_256th_of_a_second() {
    let view = kernel(Dialect::OpenBsd, 0, 0);
    let machine = master(&view);
    assert_eq!(since_deadline(&machine, at(11_718)), 3_906);
}

#[test]
fn advertisements_do_not_drift_with_lateness_and_are_not_made_up_for() {
    let view = hardened(1, 0);
    let mut machine = master(&view);
    assert_eq!(machine.deadline(), Some(at(4 * SECOND)));
    machine.step(at(4 * SECOND + 300), Input::Timeout, &view);
    assert_eq!(machine.deadline(), Some(at(5 * SECOND)));
    // A pause of ten seconds: one advertisement, the next a whole interval later.
    let woken = at(15 * SECOND + 1);
    let wishes = machine.step(woken, Input::Timeout, &view).wishes;
    assert!(wishes.contains(Wishes::ADVERTISE));
    assert_eq!(since_deadline(&machine, woken), SECOND);
}

// --- demotion ---

#[test]
fn freebsd_adds_demotion_to_the_skew_and_advertises_at_once() {
    let mut view = kernel(Dialect::FreeBsd, 1, 0);
    let mut machine = master(&view);
    view.demotion = 240;
    let now = at(3 * SECOND + 500_000);
    assert_eq!(
        machine
            .step(now, Input::DemotionChanged { worse: true }, &view)
            .wishes,
        Wishes::ADVERTISE
    );
    assert_eq!(view.interval().skew().get(), 240);
    assert_eq!(since_deadline(&machine, now), 1_937_500);
    let next = machine.deadline().unwrap();
    machine.step(next, Input::Timeout, &view);
    assert_eq!(since_deadline(&machine, next), 1_937_500);
}

#[test]
fn freebsd_sends_at_most_240_but_waits_by_the_configured_skew() {
    let view = kernel(Dialect::FreeBsd, 1, 254);
    assert_eq!(view.interval().skew().get(), 240);
    assert_eq!(backup(&view).deadline(), Some(at(3_992_187)));
}

#[test]
fn the_first_interval_of_a_demoted_master_uses_the_configured_skew() {
    let view = View {
        demotion: 240,
        ..kernel(Dialect::FreeBsd, 1, 0)
    };
    let mut machine = master(&view);
    assert_eq!(since_deadline(&machine, at(3 * SECOND)), SECOND);
    machine.step(at(4 * SECOND), Input::Timeout, &view);
    assert_eq!(since_deadline(&machine, at(4 * SECOND)), 1_937_500);
}

#[test]
fn openbsd_compares_demotion_before_the_interval() {
    let case = |mine: u16, own_skew, input| {
        let view = View {
            demotion: mine,
            ..kernel(Dialect::OpenBsd, 1, own_skew)
        };
        let mut machine = master(&view);
        machine.step(at(5 * SECOND), input, &view);
        machine.state()
    };
    assert_eq!(
        case(1, 0, demoted(1, 254, 0)),
        State::Backup,
        "more demoted than the other"
    );
    assert_eq!(
        case(0, 254, demoted(1, 0, 1)),
        State::Master,
        "less demoted than the other"
    );
    assert_eq!(case(2, 0, demoted(1, 0, 2)), State::Backup, "a tie");
    assert_eq!(
        case(300, 0, demoted(1, 0, 255)),
        State::Backup,
        "counts end at 255"
    );
}

#[test]
fn openbsd_takes_over_a_more_demoted_master_without_preempt() {
    let case = |mine: u16, preempt, input| {
        let view = View {
            demotion: mine,
            preempt,
            ..kernel(Dialect::OpenBsd, 1, 0)
        };
        let mut machine = backup(&view);
        let effects = machine.step(at(SECOND), input, &view);
        effects.transition.map(|transition| transition.reason)
    };
    assert_eq!(
        case(0, false, demoted(1, 0, 1)),
        Some(Reason::PreemptingMoreDemotedMaster)
    );
    assert_eq!(
        case(1, true, demoted(1, 100, 0)),
        None,
        "a slower but less demoted master stays"
    );
    assert_eq!(
        case(1, true, demoted(1, 100, 1)),
        Some(Reason::PreemptingSlowerMaster)
    );
}

#[test]
fn freebsd_moves_a_demoted_master_only_with_preempt() {
    for preempt in [false, true] {
        let view = View {
            preempt,
            ..kernel(Dialect::FreeBsd, 1, 100)
        };
        let mut machine = backup(&view);
        machine.step(at(SECOND), heard(1, 240), &view);
        assert_eq!(machine.state() == State::Master, preempt);
    }
}

#[test]
fn an_overdue_advertisement_is_waited_for_in_both_families_until_it_is_heard_in_one() {
    let view = View {
        ipv6: true,
        ..hardened(1, 100)
    };
    let mut machine = backup(&view);
    machine.step(at(SECOND), Input::Overdue(at(2 * SECOND)), &view);
    assert_eq!(machine.deadline(), Some(at(2 * SECOND)));
    // No later than it was.
    machine.step(at(SECOND), Input::Overdue(at(9 * SECOND)), &view);
    assert_eq!(machine.deadline(), Some(at(2 * SECOND)));
    let mut silent = machine;

    machine.step(at(SECOND + 1), heard(1, 0), &view);
    assert_eq!(
        since_deadline(&machine, at(SECOND + 1)),
        3_390_625,
        "in IPv6, too"
    );
    let due = machine.deadline().unwrap();
    let effects = machine.step(due, Input::Timeout, &view);
    assert_eq!(effects.transition.unwrap().reason, Reason::MasterTimedOut);

    let effects = silent.step(at(2 * SECOND), Input::Timeout, &view);
    assert_eq!(effects.transition.unwrap().reason, Reason::FollowingGroup);
    assert_eq!(effects.wishes, TAKE_OVER);
}

#[test]
fn whose_time_is_up_before_an_advertisement_is_overdue_does_not_follow_its_group() {
    let view = View {
        ipv6: true,
        ..hardened(1, 100)
    };
    let mut machine = backup(&view);
    // In IPv4 only: the timer of IPv6 is the earlier one.
    machine.step(at(2 * SECOND), heard(1, 0), &view);
    let before = machine;
    let due = machine.deadline().unwrap();
    machine.step(at(2 * SECOND), Input::Overdue(due), &view);
    machine.step(
        at(2 * SECOND),
        Input::Overdue(due + Duration::from_micros(1)),
        &view,
    );
    assert_eq!(machine, before);
    let effects = machine.step(due, Input::Timeout, &view);
    assert_eq!(effects.transition.unwrap().reason, Reason::MasterTimedOut);
}

#[test]
fn who_may_not_preempt_a_living_master_waits_its_full_time() {
    let view = View {
        preempt_delay: Duration::from_secs(60),
        ..hardened(1, 0)
    };
    let mut starting = backup(&view);
    let mut resigned = master(&view);
    resigned.step(at(5 * SECOND), Input::Leave(Departure::HandOver), &view);
    resigned.step(at(5 * SECOND), heard(1, 100), &view);
    for machine in [&mut starting, &mut resigned] {
        let before = *machine;
        machine.step(at(5 * SECOND), Input::Overdue(at(5 * SECOND)), &view);
        assert_eq!(*machine, before);
    }
}
