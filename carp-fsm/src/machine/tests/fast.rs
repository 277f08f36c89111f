//! The fast profile: advbase 0, a dead ratio of its own, bow-outs that count.

use super::*;

const UNIT: u64 = 1_000_000 / 256;

fn fast(skew: u8, ratio: u8) -> View {
    View {
        dead_ratio: Some(ratio),
        ..view(Dialect::OpenBsd, Policy::HARDENED, 0, skew)
    }
}

fn after_hearing(view: &View, input: Input) -> (Machine, Instant) {
    let mut machine = backup(view);
    let now = at(1000);
    machine.step(now, input, view);
    (machine, now)
}

#[test]
fn a_master_is_dead_after_so_many_intervals_of_the_slower_one() {
    for (skew, ratio, heard_skew, units) in [
        (1, 3, 1, 3),
        (2, 3, 1, 6),
        (2, 5, 1, 10),
        (2, 3, 8, 24),
        (0, 3, 0, 3),
        (254, 255, 1, 64_770),
    ] {
        let view = fast(skew, ratio);
        let (machine, now) = after_hearing(&view, heard(0, heard_skew));
        assert_eq!(machine.state(), State::Backup);
        let wait = since_deadline(&machine, now);
        let exact = units * 1_000_000 / 256;
        // Each interval is truncated to microseconds, as kernels do.
        assert!(
            wait <= exact && exact < wait + u64::from(ratio),
            "{skew} x {ratio}, hearing {heard_skew}: {wait}"
        );
    }
}

#[test]
fn advertisements_leave_every_interval() {
    for (skew, micros) in [
        (0, UNIT),
        (1, UNIT),
        (2, 2 * 1_000_000 / 256),
        (254, 254 * 1_000_000 / 256),
    ] {
        let view = fast(skew, 3);
        let mut machine = master(&view);
        let due = machine.deadline().unwrap();
        machine.step(due, Input::Timeout, &view);
        assert_eq!(since_deadline(&machine, due), micros);
    }
}

/// What a BACKUP and a MASTER of 0/4 do about what they hear: with preemption or without, and demoted by 1.
#[test]
fn decisions() {
    let (out, slow, same, quick) = (BOW_OUT, (0, 8), (0, 4), (0, 2));
    for (preempt, demotion, (base, skew), peer_demotion, backup_is, master_is) in [
        (false, 0, out, 0, "M", "M"),
        (false, 0, slow, 0, "B", "M"),
        (false, 0, same, 0, "B", "B"),
        (false, 0, quick, 0, "B", "B"),
        (true, 0, out, 0, "M", "M"),
        (true, 0, slow, 0, "M", "M"),
        (true, 0, same, 0, "B", "B"),
        (true, 0, quick, 0, "B", "B"),
        // OpenBSD's rule: the less demoted first, then the interval.
        (false, 0, quick, 1, "M", "M"),
        (true, 0, slow, 1, "M", "M"),
        (false, 1, slow, 0, "B", "B"),
        (true, 1, slow, 0, "B", "B"),
        // But nobody yields to who is about to go.
        (false, 1, out, 0, "M", "M"),
        (true, 1, slow, 1, "M", "M"),
        (false, 1, same, 1, "B", "B"),
    ] {
        let view = View {
            demotion,
            preempt,
            ..fast(4, 3)
        };
        let input = demoted(base, skew, peer_demotion);
        let what = std::format!("preempt {preempt}, demoted {demotion}, hears {base}/{skew} {peer_demotion}");
        let letter = |machine: &Machine| {
            if machine.state() == State::Master {
                "M"
            } else {
                "B"
            }
        };
        let (listener, _) = after_hearing(&view, input);
        assert_eq!(letter(&listener), backup_is, "BACKUP, {what}");
        let mut speaker = master(&view);
        speaker.step(speaker.since(), input, &view);
        assert_eq!(letter(&speaker), master_is, "MASTER, {what}");
    }
}

#[test]
fn openbsd_with_advbase_0_ignores_a_bow_out_and_the_fast_profile_does_not() {
    let input = heard(BOW_OUT.0, BOW_OUT.1);
    let openbsd = view(Dialect::OpenBsd, Policy::KERNEL, 0, 4);
    assert_eq!(after_hearing(&openbsd, input).0.state(), State::Backup);
    assert_eq!(after_hearing(&fast(4, 3), input).0.state(), State::Master);
}
