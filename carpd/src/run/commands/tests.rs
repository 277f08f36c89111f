//! When a command is answered, and with which words. That the node does it is tested in `tests/run`.

use carp_fsm::{HostConfig, IfaceId, InitReason, Node, PeerSeen, Policy, Storage};
use carp_proto::{AdvBase, AdvSkew, Interval, Key, Vhid};

use super::*;

const BEGUN: Instant = Instant::from_micros(1_000_000);
const NOW: Instant = Instant::from_micros(1_500_000);

fn status(state: State, owner: bool) -> HostStatus {
    HostStatus {
        state,
        init_reason: (state == State::Init).then_some(InitReason::Disabled),
        leaving: false,
        since: BEGUN,
        owner,
        signs_old_until: None,
        advbase: AdvBase::new(1),
        advskew: AdvSkew::new(0),
        left_fast: false,
        demotion: 0,
        peer: None,
    }
}

fn leaving() -> HostStatus {
    HostStatus {
        leaving: true,
        ..status(State::Master, true)
    }
}

fn heard_at(micros: u64) -> PeerSeen {
    PeerSeen {
        source: [192, 0, 2, 3].into(),
        interval: Interval::new(AdvBase::new(1), AdvSkew::new(0)),
        at: Instant::from_micros(micros),
    }
}

fn any_id() -> HostId {
    let mut node = Node::<1>::new(Policy::HARDENED, 1, Storage::growing());
    let config = HostConfig::new(IfaceId(0), Vhid::new(7).expect("7 is not 0"), Key::NONE);
    node.insert(Instant::ZERO, config).expect("a virtual host")
}

fn watched(was: State, hand_over: Option<HandOver>) -> Watched {
    Watched {
        hand_over,
        peer: hand_over.map(|_| [192, 0, 2, 3].into()),
        ..Watched::new(any_id(), "eth0@7".into(), was)
    }
}

fn done(text: &str) -> (bool, String) {
    (true, text.to_owned())
}

fn failed(text: &str) -> (bool, String) {
    (false, text.to_owned())
}

const TOOK_12_MS: Option<HandOver> = Some(HandOver::Done(Duration::from_micros(12_345)));

#[test]
fn disabled_is_when_the_addresses_are_off() {
    let judge = |was, hand_over, status: HostStatus| {
        watched(was, hand_over).judge(Wish::Disabled, &status, BEGUN, NOW)
    };
    assert_eq!(judge(State::Master, None, leaving()), None);
    assert_eq!(judge(State::Master, None, status(State::Init, true)), None);
    let off = status(State::Init, false);
    assert_eq!(
        judge(State::Master, TOOK_12_MS, off),
        Some(done("disabled; 192.0.2.3 took over in 12 ms"))
    );
    assert_eq!(
        judge(State::Master, None, off),
        Some(done("disabled; nobody took over yet"))
    );
    assert_eq!(judge(State::Backup, None, off), Some(done("disabled")));
}

#[test]
fn handed_over_is_when_the_addresses_are_off() {
    let judge = |hand_over, status: HostStatus| {
        watched(State::Master, hand_over).judge(Wish::HandedOver, &status, BEGUN, NOW)
    };
    assert_eq!(judge(None, leaving()), None);
    assert_eq!(judge(TOOK_12_MS, status(State::Backup, true)), None, "lingers");
    assert_eq!(
        judge(TOOK_12_MS, status(State::Backup, false)),
        Some(done("handed over to 192.0.2.3 in 12 ms"))
    );
    assert_eq!(
        judge(TOOK_12_MS, status(State::Master, true)),
        Some(failed("handed over, but MASTER again"))
    );
    let nobody = Some(HandOver::NobodyTookOver(Duration::from_secs(1)));
    assert_eq!(
        judge(nobody, status(State::Master, true)),
        Some(failed(
            "nobody took over within 1000 ms, still MASTER; is another node running, and not INIT?"
        ))
    );
    assert_eq!(
        judge(None, status(State::Init, false)),
        Some(failed("not handed over: it is INIT (disabled) now"))
    );
}

#[test]
fn enabled_is_when_the_election_is_decided() {
    let judge =
        |status: HostStatus, now| watched(State::Init, None).judge(Wish::Enabled, &status, BEGUN, now);
    let backup = status(State::Backup, false);
    let heard = |micros| HostStatus {
        peer: Some(heard_at(micros)),
        ..backup
    };
    assert_eq!(judge(backup, NOW), None);
    assert_eq!(judge(heard(999_999), NOW), None, "before it was enabled");
    assert_eq!(
        judge(heard(1_000_001), NOW),
        Some(done("enabled, BACKUP; the master is 192.0.2.3"))
    );
    assert_eq!(
        judge(backup, BEGUN + ELECTION),
        Some(done("enabled, BACKUP; no master is heard yet"))
    );
    assert_eq!(
        judge(status(State::Master, true), NOW),
        Some(done("enabled, MASTER"))
    );
    let down = HostStatus {
        init_reason: Some(InitReason::LinkDown),
        ..status(State::Init, false)
    };
    assert_eq!(
        judge(down, NOW),
        Some(failed("enabled, but INIT (hardware interface down)"))
    );
}

#[test]
fn a_forced_state_is_when_the_addresses_have_followed() {
    let judge =
        |was, wanted, status: HostStatus| watched(was, None).judge(Wish::State(wanted), &status, BEGUN, NOW);
    let (master, backup) = (status(State::Master, true), status(State::Backup, false));
    assert_eq!(
        judge(State::Backup, State::Master, master),
        Some(done("MASTER, it was BACKUP"))
    );
    assert_eq!(
        judge(State::Master, State::Backup, status(State::Backup, true)),
        None,
        "lingers"
    );
    assert_eq!(
        judge(State::Backup, State::Backup, backup),
        Some(done("was BACKUP already"))
    );
    assert_eq!(
        judge(State::Backup, State::Master, status(State::Init, false)),
        Some(failed("is INIT (disabled) all the same"))
    );
}
