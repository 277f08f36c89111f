//! Two equal masters that yield to each other do not meet again for ever.

use super::*;

fn of(mac: u64, dialect: Dialect, skew: u8) -> View {
    let [_, _, octets @ ..] = mac.to_be_bytes();
    View {
        mac: MacAddr(octets),
        ..view(dialect, Policy::HARDENED, 1, skew)
    }
}

/// How long a MASTER that yields to an equal waits, in microseconds; it does so at once after taking over.
fn wait_after_tie(machine: &mut Machine, view: &View) -> u64 {
    let due = machine.deadline().unwrap();
    machine.step(due, Input::Timeout, view);
    assert_eq!(machine.state(), State::Master);
    machine.step(due, heard(1, view.advskew.get()), view);
    assert_eq!(machine.state(), State::Backup);
    since_deadline(machine, due)
}

proptest! {
    #[test]
    fn two_nodes_that_tie_part_within_sixteen_rounds(a in 0u64..1 << 48, b in 0u64..1 << 48, skew in 0u8..240) {
        prop_assume!(a != b);
        for dialect in [Dialect::FreeBsd, Dialect::OpenBsd, Dialect::NetBsd] {
            let (a, b) = (of(a, dialect, skew), of(b, dialect, skew));
            let (mut first, mut second) = (backup(&a), backup(&b));
            let mut parts = |_| wait_after_tie(&mut first, &a) != wait_after_tie(&mut second, &b);
            prop_assert!((0..16).any(&mut parts));
        }
    }

    #[test]
    fn nobody_is_early_or_an_interval_late(mac in 0u64..1 << 48, skew in 0u8..240, rounds in 1..40) {
        for dialect in Dialect::ALL {
            let view = of(mac, dialect, skew);
            let patience = view.waits(0).as_micros();
            let mut machine = backup(&view);
            for _ in 0..rounds {
                machine.step(machine.deadline().unwrap(), Input::Timeout, &view);
                let lower = Input::Heard {
                    family: Family::Ipv4,
                    interval: view.interval(),
                    demotion: Demotion::new(0),
                    lower_source: true,
                };
                let now = machine.since();
                machine.step(now, lower, &view);
                let wait = since_deadline(&machine, now);
                let longest = patience + view.period(view.advskew).as_micros() / 16 * 15;
                prop_assert!(patience <= wait && wait <= longest, "{patience} <= {wait} <= {longest}");
                prop_assert!(dialect != Dialect::Ucarp || wait == patience, "only one of the two yields");
            }
        }
    }
}

/// Another interval, or a living master, is no tie: the wait is that of the dialect, to the microsecond.
#[test]
fn only_a_tie_makes_anybody_wait_longer() {
    // Its first nibble is not 0.
    let view = of(7, Dialect::FreeBsd, 100);
    let patience = view.waits(0).as_micros();
    let mut machine = backup(&view);
    assert!(wait_after_tie(&mut machine, &view) > patience);
    let now = machine.since() + Duration::from_secs(1);
    machine.step(now, heard(1, 100), &view);
    assert_eq!(since_deadline(&machine, now), patience, "a master was heard");

    let mut machine = master(&view);
    let now = machine.since();
    machine.step(now, heard(1, 99), &view);
    assert_eq!(since_deadline(&machine, now), patience, "yielded to a better one");

    let kernel = View {
        policy: Policy::KERNEL,
        ..view
    };
    assert_eq!(wait_after_tie(&mut backup(&kernel), &kernel), patience);
}

/// OpenBSD: an equal interval alone is none.
#[test]
fn the_less_demoted_is_no_equal() {
    let view = View {
        demotion: 2,
        ..of(7, Dialect::OpenBsd, 100)
    };
    let mut machine = master(&view);
    let now = machine.since();
    machine.step(now, demoted(1, 100, 1), &view);
    assert_eq!(machine.state(), State::Backup);
    assert_eq!(since_deadline(&machine, now), view.waits(0).as_micros());
}

/// A BACKUP that has tied once, and when.
fn after_a_tie(view: &View) -> (Machine, Instant) {
    let mut machine = backup(view);
    let due = machine.deadline().unwrap();
    wait_after_tie(&mut machine, view);
    (machine, due + Duration::from_secs(2))
}

#[test]
fn who_has_tied_preempts_a_worse_master_a_little_later_unless_the_equal_does() {
    for (dialect, worse, reason) in [
        (Dialect::FreeBsd, heard(1, 140), Reason::PreemptingSlowerMaster),
        (
            Dialect::OpenBsd,
            demoted(1, 40, 1),
            Reason::PreemptingMoreDemotedMaster,
        ),
    ] {
        let view = View {
            preempt: true,
            ..of(7, dialect, 100)
        };
        let (mut machine, now) = after_a_tie(&view);
        assert_eq!(machine.step(now, worse, &view), Effects::default(), "{dialect}");
        let due = machine.deadline().unwrap();
        assert_eq!(due - now, view.parting(1));
        // Heard again, it does not gain time.
        let again = now + Duration::from_millis(1);
        machine.step(again, worse, &view);
        assert_eq!(machine.deadline(), Some(due));

        let mut alone = machine;
        let effects = alone.step(due, Input::Timeout, &view);
        assert_eq!(effects.transition.unwrap().reason, reason);

        let mut beaten = machine;
        beaten.step(again, heard(1, 100), &view);
        let silence = beaten.deadline().unwrap();
        assert!(silence - again >= view.waits(0));
        let effects = beaten.step(silence, Input::Timeout, &view);
        assert_eq!(effects.transition.unwrap().reason, Reason::MasterTimedOut);

        // What is no longer so is not acted on.
        for change in [Input::Reconfigured, Input::DemotionChanged { worse: true }] {
            let mut other = machine;
            other.step(again, change, &view);
            assert_eq!(
                since_deadline(&other, again),
                view.waits(0).as_micros(),
                "{change:?}"
            );
        }

        // Nor what is no longer wished.
        let off = View {
            preempt: false,
            ..view
        };
        let mut other = machine;
        other.step(due, Input::Timeout, &off);
        let preempts = reason == Reason::PreemptingMoreDemotedMaster; // which OpenBSD does in any case
        assert_eq!(other.state() == State::Master, preempts, "{dialect}");
        if !preempts {
            assert_eq!(since_deadline(&other, due), view.waits(0).as_micros());
        }

        // Who bows out is not waited for.
        machine.step(again, heard(BOW_OUT.0, BOW_OUT.1), &view);
        assert_eq!(machine.state(), State::Master);
    }
}
