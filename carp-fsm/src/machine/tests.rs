use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use carp_proto::{AdvBase, AdvSkew, Demotion, Dialect, MacAddr};

use super::*;
use crate::policy::Policy;
use crate::state::Family;

mod fast;
mod heard;
mod leaving;
mod properties;
mod table;
mod ties;
mod timers;

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
        dead_ratio: None,
        demotion: 0,
        preempt: false,
        preempt_delay: Duration::ZERO,
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        maintenance: false,
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
    let mut machine = Machine::new(Instant::ZERO, InitReason::LinkDown);
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
