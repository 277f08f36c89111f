use carp_proto::frame::{FrameClass, classify};

use super::*;
use crate::config::Dscp;

/// The type of service of the next frame.
fn tos_of_next(bench: &mut Bench) -> u8 {
    let mut frame = [0; MAX_FRAME_LEN];
    bench.now = bench.node.next_deadline().unwrap();
    bench.node.handle_drained(bench.now);
    loop {
        match bench.node.poll_action(bench.now, &mut frame).unwrap() {
            Action::SetOwner { host, seq, .. } => {
                bench.node.handle_owner_result(bench.now, host, seq, Ok(()));
            }
            Action::Transmit { len, .. } => {
                assert!(matches!(classify(&frame[..len]), FrameClass::Carp { .. }));
                bench.drain();
                return frame[15];
            }
        }
    }
}

#[test]
fn the_dscp_is_that_of_the_dialect_or_as_configured_and_changes_live() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    assert_eq!(tos_of_next(&mut bench), 0xe0, "FreeBSD");
    bench.forget();
    let changed = HostConfig {
        dscp: Dscp::new(46),
        ..config(7)
    };
    bench.node.reconfigure(bench.now, host, changed).unwrap();
    bench.drain();
    assert!(bench.said().is_empty(), "no reason to speak");
    assert_eq!(tos_of_next(&mut bench), 46 << 2);
    assert_eq!((Dscp::new(63).map(Dscp::get), Dscp::new(64)), (Some(63), None));
}

#[test]
fn a_fault_that_lasts_counts_with_the_new_weight_at_once() {
    let mut bench = Bench::new(Policy::HARDENED);
    bench.insert(config(7));
    let cause = Cause::LinkDown(ETH0);
    let demotion = |from, to, holds| EventKind::Demotion {
        group: GROUP0,
        from,
        to,
        cause,
        holds,
    };
    let with = |ifdown_demotion_factor| Policy {
        ifdown_demotion_factor,
        ..Policy::HARDENED
    };
    bench.node.set_policy(bench.now, with(100));
    bench.drain();
    bench.forget();
    bench.link(ETH0, LinkState::Down);
    assert_eq!(bench.node.demotion(GROUP0), 100);
    bench.node.set_policy(bench.now, with(5));
    bench.drain();
    assert_eq!(bench.node.demotion(GROUP0), 5);
    bench.link(ETH0, LinkState::Up);
    assert_eq!(bench.node.demotion(GROUP0), 0);
    let demotions = bench
        .events
        .iter()
        .filter(|event| matches!(event, EventKind::Demotion { .. }));
    assert!(demotions.eq(&[
        demotion(0, 100, true),
        demotion(100, 5, true),
        demotion(5, 0, false)
    ]));
}

#[test]
fn a_new_weight_of_waiting_is_for_hosts_to_come() {
    let with = |not_ready_demotion_factor| Policy {
        not_ready_demotion_factor,
        ..Policy::HARDENED
    };
    let mut bench = Bench::new(with(240));
    bench.insert(config(7));
    bench.node.set_policy(bench.now, with(100));
    assert_eq!(bench.node.policy().not_ready_demotion_factor, 100);
    assert_eq!(bench.node.demotion(GROUP0), 240);
    bench.insert(config(8));
    assert_eq!(bench.node.demotion(GROUP0), 100);
    bench.node.handle_ready(bench.now);
    bench.insert(config(9));
    assert_eq!(bench.node.demotion(GROUP0), 0, "they are up");
}

#[test]
fn the_event_names_a_fault_whose_weight_changed() {
    let mut bench = Bench::new(Policy::HARDENED);
    bench.link(ETH1, LinkState::Up);
    let failing = bench.insert(config(7));
    bench.insert(HostConfig {
        iface: ETH1,
        ..config(8)
    });
    bench.run_to_deadline();
    bench.result = TransmitResult::Error;
    bench.link(ETH1, LinkState::Down);
    bench.run_for(Duration::from_secs(20));
    assert_eq!(bench.node.demotion(GROUP0), 480);
    bench.forget();
    let now = bench.now;
    for (ifdown, senderr) in [(240, 100), (50, 100)] {
        let policy = Policy {
            ifdown_demotion_factor: ifdown,
            senderr_demotion_factor: senderr,
            ..Policy::HARDENED
        };
        bench.node.set_policy(now, policy);
    }
    bench.drain();
    let demotion = |from, to, cause| EventKind::Demotion {
        group: GROUP0,
        from,
        to,
        cause,
        holds: true,
    };
    let (sending, link) = (Cause::SendErrors(failing), Cause::LinkDown(ETH1));
    assert_eq!(
        bench.events,
        [demotion(480, 340, sending), demotion(340, 150, link)]
    );
}
