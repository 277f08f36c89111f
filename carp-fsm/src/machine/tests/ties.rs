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
