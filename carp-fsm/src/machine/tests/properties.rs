//! What holds for all inputs.

use std::vec;

use super::*;

fn any_view() -> impl Strategy<Value = View> {
    let dialect = prop::sample::select(Dialect::ALL.to_vec());
    let policy = prop::sample::select(std::vec![Policy::KERNEL, Policy::HARDENED]);
    (
        dialect,
        policy,
        0..=255_u8,
        0..255_u8,
        0..500_u16,
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(dialect, policy, base, skew, demotion, preempt, ipv6, maintenance)| View {
                demotion,
                preempt,
                maintenance,
                ipv6,
                ..view(dialect, policy, base, skew)
            },
        )
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => Just(Input::Start),
        1 => Just(Input::Stop(InitReason::LinkDown)),
        1 => any::<u32>().prop_map(|retry| Input::Refused(at(u64::from(retry)))),
        1 => Just(Input::Leave(Departure::HandOver)),
        1 => Just(Input::Leave(Departure::Offer)),
        1 => Just(Input::Leave(Departure::Stop(InitReason::Disabled))),
        8 => (any::<bool>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>()).prop_map(
            |(ipv6, base, skew, demotion, lower_source)| Input::Heard {
                family: if ipv6 { Family::Ipv6 } else { Family::Ipv4 },
                interval: Interval::new(AdvBase::new(base), AdvSkew::new(skew)),
                demotion: Demotion::new(demotion),
                lower_source,
            }
        ),
        8 => Just(Input::Timeout),
        1 => any::<bool>().prop_map(|worse| Input::DemotionChanged { worse }),
        1 => Just(Input::Reconfigured),
        1 => prop::sample::select(std::vec![State::Init, State::Backup, State::Master]).prop_map(Input::Force),
    ]
}

proptest! {
    #[test]
    fn ownership_alternates_and_deadlines_lie_ahead(
        view in any_view(),
        steps in prop::collection::vec((0..3_000_000_u64, any_input()), 1..200),
    ) {
        let mut machine = Machine::new(Instant::ZERO, InitReason::NoInterface);
        let (mut now, mut owner) = (Instant::ZERO, false);
        for (pause, input) in steps {
            now = now + Duration::from_micros(pause);
            let before = machine.state();
            let effects = machine.step(now, input, &view);
            prop_assert_eq!(
                effects.transition.map(|change| (change.from, change.to)),
                (before != machine.state()).then_some((before, machine.state()))
            );
            let (own, disown) = (effects.wishes.contains(Wishes::OWN), effects.wishes.contains(Wishes::DISOWN));
            prop_assert!(!(own && disown));
            if own || disown {
                prop_assert_eq!(owner, disown, "takes what it has not, gives what it has");
                owner = own;
            }
            prop_assert_eq!(owner, machine.state() == State::Master);
            if effects.wishes.contains(Wishes::ADVERTISE) {
                let last_word = disown && before == State::Master && machine.state() == State::Backup;
                let stays = owner && !machine.is_leaving();
                prop_assert!(stays || last_word, "only a MASTER that stays or yields advertises");
            }
            if input == Input::Timeout {
                prop_assert!(machine.deadline().is_none_or(|deadline| deadline > now));
            }
            prop_assert_eq!(machine.init_reason().is_some(), machine.state() == State::Init);
        }
    }

    /// Who is in BACKUP always becomes MASTER in silence, after its master-down time and not before.
    #[test]
    fn silence_makes_a_master(view in any_view()) {
        let mut machine = backup(&view);
        let due = machine.deadline().unwrap();
        let wait = if view.maintenance {
            let skew = Interval::new(AdvBase::new(0), view.advskew).micros();
            view.dialect.master_down_micros(view.advbase, AdvSkew::new(254)) + skew
        } else {
            view.dialect.master_down_micros(view.advbase, view.advskew)
        };
        prop_assert_eq!(due.as_micros(), wait);
        machine.step(due, Input::Timeout, &view);
        prop_assert_eq!(machine.state(), State::Master);
    }

    /// Of two masters that hear each other at least one yields, whatever their settings.
    #[test]
    fn two_masters_do_not_both_stay(
        dialect in prop::sample::select(std::vec![Dialect::FreeBsd, Dialect::OpenBsd, Dialect::NetBsd]),
        a in any_view(),
        b in any_view(),
    ) {
        let views = [View { dialect, ..a }, View { dialect, ..b }];
        let yields = |own: &View, other: &View| {
            master_yields(other.interval(), other.demotion_byte(), false, own)
        };
        prop_assert!(yields(&views[0], &views[1]) || yields(&views[1], &views[0]));
    }
}
