use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use carp_proto::{AdvSkew, Dialect};

use super::*;
use crate::policy::Policy;

const SECOND: u64 = 1_000_000;
const TAKE_OVER: Wishes = Wishes::OWN.with(Wishes::ADVERTISE).with(Wishes::ANNOUNCE);
const NOTHING: Wishes = Wishes::DISOWN.without(Wishes::DISOWN);

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

fn view(dialect: Dialect, policy: Policy, base: u8, skew: u8) -> View {
    View {
        dialect,
        policy,
        advbase: AdvBase::new(base),
        advskew: AdvSkew::new(skew),
        demotion: 0,
        preempt: false,
        preempt_delay: Duration::ZERO,
        ipv4: true,
        ipv6: false,
    }
}

fn kernel(dialect: Dialect, base: u8, skew: u8) -> View {
    view(dialect, Policy::KERNEL, base, skew)
}

fn hardened(base: u8, skew: u8) -> View {
    view(Dialect::FreeBsd, Policy::HARDENED, base, skew)
}

fn heard(base: u8, skew: u8) -> Input {
    demoted(base, skew, 0)
}

fn demoted(base: u8, skew: u8, demotion: u8) -> Input {
    Input::Heard {
        family: Family::Ipv4,
        interval: Interval::new(AdvBase::new(base), AdvSkew::new(skew)),
        demotion: Demotion::new(demotion),
        lower_source: false,
    }
}

const BOW_OUT: (u8, u8) = (255, 255);

fn backup(view: &View) -> Machine {
    let mut machine = Machine::new(InitReason::LinkDown);
    machine.step(Instant::ZERO, Input::Start, view);
    assert_eq!(machine.state(), State::Backup);
    machine
}

fn master(view: &View) -> Machine {
    let mut machine = backup(view);
    let due = machine.deadline().unwrap();
    assert_eq!(machine.step(due, Input::Timeout, view).wishes, TAKE_OVER);
    machine
}

fn since_deadline(machine: &Machine, from: Instant) -> u64 {
    (machine.deadline().unwrap() - from).as_micros()
}

// --- every role, every input ---

/// I INIT, W INIT and waiting to try again, B BACKUP, R BACKUP that resigned, M MASTER, H handing over,
/// S stopping; then what is wished. FreeBSD 1/100 with preempt, hardened.
const TABLE: &str = "
                    I    W             B                     R                     M             H             S
start             | B  | W           | B                   | R                   | M           | H           | M ad
stop              | I  | I           | I                   | I                   | I disown    | I disown    | I disown
refused           | I  | W           | B                   | R                   | W bow disown| W bow disown| I disown
hand over         | I  | W           | B                   | R                   | H bow       | H           | S
leave             | I  | I           | I                   | I                   | S bow       | S           | S
heard better      | I  | W           | B                   | R                   | B disown    | R disown    | I disown
heard equal       | I  | W           | B                   | R                   | B disown    | R disown    | I disown
heard worse       | I  | W           | M own ad announce   | R                   | M ad announce | R disown    | I disown
heard bow-out     | I  | W           | M own ad announce   | M own ad announce   | M           | H           | S
timeout           | I  | B           | M own ad announce   | M own ad announce   | M ad        | M ad        | I disown
early timeout     | I  | W           | B                   | R                   | M           | H           | S
demotion changed  | I  | W           | B                   | R                   | M ad        | H           | S
reconfigured      | I  | W           | B                   | R                   | M ad        | H           | S
force INIT        | I  | W           | B                   | R                   | M           | H           | S
force BACKUP      | I  | W           | B                   | R                   | B disown    | B disown    | I disown
force MASTER      | I  | W           | M own ad announce   | M own ad announce   | M           | H           | S
";

fn in_role(letter: char, now: Instant, view: &View) -> Machine {
    let later = Some(now + Duration::from_secs(1));
    let reason = InitReason::LinkDown;
    let until = now + Duration::from_secs(1);
    let leaving = |then| Role::Leaving {
        since: now,
        until,
        then,
    };
    let backup = |resigned| Role::Backup {
        down4: later,
        down6: None,
        resigned,
        preempts_from: now,
    };
    let role = match letter {
        'I' => Role::Init { reason, retry: None },
        'W' => Role::Init {
            reason: InitReason::AddressRefused,
            retry: later,
        },
        'B' => backup(false),
        'R' => backup(true),
        'M' => Role::Master {
            next_ad: until,
            reannounce: view.reannounce(),
            answer_from: now,
        },
        'H' => leaving(Departure::HandOver),
        'S' => leaving(Departure::Stop(reason)),
        other => panic!("no role {other}"),
    };
    Machine { role }
}

fn letter_of(machine: &Machine) -> char {
    match machine.role {
        Role::Init { retry: None, .. } => 'I',
        Role::Init { retry: Some(_), .. } => 'W',
        Role::Backup { resigned: false, .. } => 'B',
        Role::Backup { resigned: true, .. } => 'R',
        Role::Master { .. } => 'M',
        Role::Leaving {
            then: Departure::HandOver,
            ..
        } => 'H',
        Role::Leaving {
            then: Departure::Stop(_),
            ..
        } => 'S',
    }
}

fn words_of(wishes: Wishes) -> String {
    [
        (Wishes::OWN, " own"),
        (Wishes::ADVERTISE, " ad"),
        (Wishes::BOW_OUT, " bow"),
        (Wishes::ANNOUNCE, " announce"),
        (Wishes::DISOWN, " disown"),
    ]
    .into_iter()
    .filter(|(wish, _)| wishes.contains(*wish))
    .map(|(_, word)| word)
    .collect()
}

#[test]
fn every_role_and_every_input() {
    let view = View {
        preempt: true,
        ..hardened(1, 100)
    };
    let now = at(1000 * SECOND);
    let mut lines = TABLE.lines().filter(|line| !line.is_empty());
    let roles: Vec<char> = lines.next().unwrap().chars().filter(|c| *c != ' ').collect();
    assert_eq!(roles.len(), 7);
    let mut rows = 0;
    for line in lines {
        let mut cells = line.split('|').map(str::trim);
        let name = cells.next().unwrap();
        let input = match name {
            "start" => Input::Start,
            "stop" => Input::Stop(InitReason::LinkDown),
            "refused" => Input::Refused(now + Duration::from_secs(2)),
            "hand over" => Input::Leave(Departure::HandOver),
            "leave" => Input::Leave(Departure::Stop(InitReason::Disabled)),
            "heard better" => heard(1, 50),
            "heard equal" => heard(1, 100),
            "heard worse" => heard(1, 200),
            "heard bow-out" => heard(BOW_OUT.0, BOW_OUT.1),
            "timeout" | "early timeout" => Input::Timeout,
            "demotion changed" => Input::DemotionChanged { worse: false },
            "reconfigured" => Input::Reconfigured,
            "force INIT" => Input::Force(State::Init),
            "force BACKUP" => Input::Force(State::Backup),
            "force MASTER" => Input::Force(State::Master),
            other => panic!("no input {other}"),
        };
        for role in &roles {
            let mut machine = in_role(*role, now, &view);
            let before = machine;
            let when = if name == "timeout" {
                now + Duration::from_secs(1)
            } else {
                now
            };
            let effects = machine.step(when, input, &view);
            let outcome = format!("{}{}", letter_of(&machine), words_of(effects.wishes));
            assert_eq!(outcome, cells.next().unwrap(), "{role} {name}");
            let transition = effects.transition.map(|change| (change.from, change.to));
            let changed = (before.state() != machine.state()).then_some((before.state(), machine.state()));
            assert_eq!(
                transition, changed,
                "{role} {name}: a change of state is told, and nothing else"
            );
            if name == "early timeout" {
                assert_eq!(machine, before, "{role} {name}");
            }
        }
        rows += 1;
    }
    assert_eq!(rows, 16);
}

// --- start and master-down time ---

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

// --- advertisements heard by a MASTER ---

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
    let answers =
        |machine: &mut Machine, time| !machine.step(at(time), heard(1, 100), &view).wishes.is_empty();
    assert!(answers(&mut machine, start));
    // A quarter of the interval later at the earliest, and never to a bow-out.
    assert!(!answers(&mut machine, start + 1));
    assert!(!answers(&mut machine, start + SECOND / 4 - 1));
    assert_eq!(
        machine.step(at(start + SECOND / 4), heard(255, 255), &view),
        Effects::default()
    );
    assert!(answers(&mut machine, start + SECOND / 4));
    assert_eq!(machine.deadline(), Some(at(start + SECOND / 4 + SECOND)));
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

// --- leaving ---

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

// --- properties ---

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
    )
        .prop_map(|(dialect, policy, base, skew, demotion, preempt, ipv6)| View {
            demotion,
            preempt,
            ipv6,
            ..view(dialect, policy, base, skew)
        })
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => Just(Input::Start),
        1 => Just(Input::Stop(InitReason::LinkDown)),
        1 => any::<u32>().prop_map(|retry| Input::Refused(at(u64::from(retry)))),
        1 => Just(Input::Leave(Departure::HandOver)),
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
        let mut machine = Machine::new(InitReason::NoInterface);
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
                prop_assert!(owner && !machine.is_leaving(), "only a MASTER that stays advertises");
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
        prop_assert_eq!(due.as_micros(), view.dialect.master_down_micros(view.advbase, view.advskew));
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
