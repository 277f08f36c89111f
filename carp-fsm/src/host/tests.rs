use std::vec::Vec;

use carp_proto::{Dialect, Key, Vhid};

use super::sending::SendRule;
use super::*;
use crate::id::IfaceId;
use crate::machine::{Departure, Input, View};
use crate::policy::Policy;

const TAKE_OVER: Wishes = Wishes::OWN.with(Wishes::ADVERTISE).with(Wishes::ANNOUNCE);
const ADDS_UP: SendRule = SendRule {
    adds_up: true,
    forgives: true,
};
const AD4: Output = Output::Advertise(Destination::IPV4, Signature::InForce);
const AD6: Output = Output::Advertise(Destination::IPV6, Signature::InForce);
const BOW4: Output = Output::BowOut(Destination::IPV4, Signature::InForce);
const BOW6: Output = Output::BowOut(Destination::IPV6, Signature::InForce);

/// A host with two IPv4 and one IPv6 addresses, its first DISOWN drained.
fn host(mode: LinkMode, dialect: Dialect) -> Host<4> {
    let key = Key::from_passphrase(b"secret").unwrap();
    let mut config = HostConfig::new(IfaceId(0), Vhid::new(7).unwrap(), key);
    config.mode = mode;
    config.dialect = dialect;
    for address in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        config.addresses.insert(address.parse().unwrap()).unwrap();
    }
    let mut host = Host::new(Instant::ZERO, config);
    assert_eq!(
        drain(&mut host),
        [Output::Disown],
        "what was left behind comes off first"
    );
    host
}

fn drain(host: &mut Host<4>) -> Vec<Output> {
    core::iter::from_fn(|| host.next_output()).collect()
}

fn vmac() -> Host<4> {
    host(LinkMode::Vmac, Dialect::FreeBsd)
}

fn view<const ADDRS: usize>(host: &Host<ADDRS>) -> View {
    View {
        dialect: host.config.dialect,
        policy: Policy::HARDENED,
        advbase: host.config.advbase,
        advskew: host.config.advskew,
        dead_ratio: None,
        demotion: 0,
        preempt: false,
        preempt_delay: Duration::ZERO,
        mac: carp_proto::MacAddr([2, 0, 0, 0, 0, 1]),
        maintenance: false,
        ipv4: host.waits().ipv4,
        ipv6: host.waits().ipv6,
    }
}

/// Becomes MASTER, outputs not drained.
fn take_over(host: &mut Host<4>) {
    let view = view(host);
    host.machine.step(Instant::ZERO, Input::Start, &view);
    let effects = host
        .machine
        .step(Instant::ZERO, Input::Force(State::Master), &view);
    host.wish(effects.wishes);
}

#[test]
fn taking_over_is_own_then_advertise_then_announce() {
    let mut host = vmac();
    host.wish(TAKE_OVER);
    let announcements = [Output::Announce(0), Output::Announce(1), Output::Announce(2)];
    let expected: Vec<Output> = [Output::Own, AD4, AD6].into_iter().chain(announcements).collect();
    assert_eq!(drain(&mut host), expected);
}

#[test]
fn where_the_mac_address_changes_clients_learn_it_before_the_old_master_lets_go() {
    let announcements = [Output::Announce(0), Output::Announce(1), Output::Announce(2)];
    let expected: Vec<Output> = [Output::Own]
        .into_iter()
        .chain(announcements)
        .chain([AD4, AD6])
        .collect();
    for (mode, dialect) in [
        (LinkMode::Plain, Dialect::FreeBsd),
        (LinkMode::Vmac, Dialect::Ucarp),
    ] {
        let mut host = host(mode, dialect);
        host.wish(TAKE_OVER);
        assert_eq!(drain(&mut host), expected, "{mode:?} {dialect}");
    }
}

#[test]
fn leaving_is_bow_out_then_disown() {
    let mut host = vmac();
    host.wish(Wishes::BOW_OUT.with(Wishes::DISOWN));
    assert_eq!(drain(&mut host), [BOW4, BOW6, Output::Disown]);
}

#[test]
fn repeated_wishes_are_one() {
    let mut host = vmac();
    for _ in 0..1000 {
        host.wish(Wishes::ADVERTISE);
    }
    assert_eq!(drain(&mut host), [AD4, AD6]);
}

#[test]
fn an_announcement_wished_again_starts_over() {
    let mut host = vmac();
    host.wish(Wishes::ANNOUNCE);
    assert_eq!(host.next_output(), Some(Output::Announce(0)));
    host.wish(Wishes::ANNOUNCE);
    let expected = [Output::Announce(0), Output::Announce(1), Output::Announce(2)];
    assert_eq!(drain(&mut host), expected);
}

#[test]
fn contrary_wishes_replace_each_other() {
    let mut host = vmac();
    host.wish(TAKE_OVER);
    host.wish(Wishes::DISOWN);
    assert_eq!(
        drain(&mut host),
        [Output::Disown],
        "nothing is said by who has left"
    );

    host.wish(Wishes::DISOWN);
    host.wish(Wishes::OWN);
    assert_eq!(drain(&mut host), [Output::Own]);

    host.wish(Wishes::ADVERTISE);
    host.wish(Wishes::BOW_OUT);
    assert_eq!(drain(&mut host), [BOW4, BOW6], "who bows out does not advertise");

    host.wish(Wishes::BOW_OUT);
    host.wish(Wishes::ADVERTISE);
    assert_eq!(drain(&mut host), [AD4, AD6], "the bow-out was called off");
}

#[test]
fn only_the_families_of_the_addresses_are_spoken() {
    let mut four = vmac();
    four.config.addresses.remove(&"2001:db8::1".parse().unwrap());
    four.wish(Wishes::ADVERTISE);
    assert_eq!(drain(&mut four), [AD4]);

    let mut six = vmac();
    for address in ["192.0.2.1", "192.0.2.2"] {
        six.config.addresses.remove(&address.parse().unwrap());
    }
    six.wish(Wishes::BOW_OUT);
    assert_eq!(drain(&mut six), [BOW6]);

    six.config.addresses.remove(&"2001:db8::1".parse().unwrap());
    six.wish(TAKE_OVER);
    assert_eq!(
        drain(&mut six),
        [Output::Own, AD4],
        "without any address: IPv4, and nothing to announce"
    );
}

#[test]
fn a_frame_without_room_is_sent_later() {
    let mut host = vmac();
    take_over(&mut host);
    assert_eq!(host.next_output(), Some(Output::Own));
    for output in [AD4, AD6, Output::Announce(0), Output::Announce(1)] {
        assert_eq!(host.next_output(), Some(output));
        host.restore(Instant::ZERO, output);
        assert!(host.waits_until.is_some());
        assert_eq!(host.next_output(), Some(output), "again");
    }
}

#[test]
fn announcements_without_room_start_again_from_the_first_of_them() {
    let mut host = vmac();
    take_over(&mut host);
    drain(&mut host);
    host.restore(Instant::ZERO, Output::Announce(2));
    host.restore(Instant::ZERO, Output::Announce(1));
    assert_eq!(drain(&mut host), [Output::Announce(1), Output::Announce(2)]);
}

#[test]
fn a_late_busy_does_not_bring_back_what_is_no_longer_meant() {
    let mut host = vmac();
    take_over(&mut host);
    drain(&mut host);
    let view = view(&host);

    // The advertisement was under way when the host bowed out.
    let effects = host
        .machine
        .step(Instant::ZERO, Input::Leave(Departure::HandOver), &view);
    host.wish(effects.wishes);
    host.restore(Instant::ZERO, AD4);
    assert_eq!(drain(&mut host), [BOW4, BOW6]);

    // The bow-out was under way when the hand-over was called off.
    let effects = host
        .machine
        .step(Instant::ZERO + view.policy.leave_wait, Input::Timeout, &view);
    host.wish(effects.wishes);
    host.restore(Instant::ZERO, BOW4);
    assert_eq!(drain(&mut host), [AD4, AD6]);

    // Anything was under way when the host left.
    let effects = host
        .machine
        .step(Instant::ZERO, Input::Force(State::Backup), &view);
    host.wish(effects.wishes);
    for output in [AD4, BOW4, Output::Announce(0), Output::Own, Output::Disown] {
        host.restore(Instant::ZERO, output);
    }
    assert_eq!(drain(&mut host), [Output::Disown]);
}

#[test]
fn three_errors_make_a_sender_fail_and_three_successes_in_a_row_heal_it() {
    let now = Instant::ZERO;
    let mut health = SendHealth::default();
    assert!(!health.failed(now, None));
    assert!(!health.failed(now, None));
    assert!(health.failed(now, None));
    assert_eq!(health.failing_since, Some(now));
    assert!(!health.failed(now, None), "fails already");
    assert!(!health.succeeded(ADDS_UP));
    assert!(!health.succeeded(ADDS_UP));
    assert!(
        !health.failed(now, None),
        "an error starts the count of successes anew"
    );
    assert!(!health.succeeded(ADDS_UP));
    assert!(!health.succeeded(ADDS_UP));
    assert!(health.succeeded(ADDS_UP));
    assert_eq!(health, SendHealth::default());
}

#[test]
fn errors_add_up_until_three_successes_in_a_row() {
    let now = Instant::ZERO;
    let mut health = SendHealth::default();
    for _ in 0..2 {
        assert!(!health.failed(now, None));
        assert!(!health.succeeded(ADDS_UP));
        assert!(!health.succeeded(ADDS_UP));
    }
    assert!(health.failed(now, None), "error, ok, ok, error, ok, ok, error");

    let mut health = SendHealth::default();
    for _ in 0..10 {
        assert!(!health.failed(now, None));
        for _ in 0..3 {
            assert!(!health.succeeded(ADDS_UP));
        }
    }
}

#[test]
fn only_openbsd_with_link_local_addresses_accepts_another_form_of_digest() {
    for dialect in Dialect::ALL {
        let rules = dialect.rules();
        assert!(rules.hmac_accepted.contains(&rules.hmac_sent));
        assert!(
            rules.hmac_accepted.len() <= 2,
            "the one that is sent, and one more"
        );

        let mut host = host(LinkMode::Plain, dialect);
        assert!(host.other_form().is_none());
        host.config.addresses.insert("fe80::7".parse().unwrap()).unwrap();
        assert_eq!(host.other_form().is_some(), dialect == Dialect::OpenBsd);
    }
}

#[test]
fn announcements_say_whose_mac_address_the_address_has() {
    let interface = InterfaceInfo {
        mac: carp_proto::MacAddr([2, 0, 0, 0, 0, 9]),
        ipv4: None,
        ipv6: None,
        link: crate::config::LinkState::Up,
    };
    let virtual_mac = Vhid::new(7).unwrap().mac().0;
    for (mode, dialect, ethernet, sender) in [
        (
            LinkMode::Plain,
            Dialect::FreeBsd,
            interface.mac.0,
            interface.mac.0,
        ),
        (LinkMode::Vmac, Dialect::FreeBsd, interface.mac.0, virtual_mac),
        (LinkMode::Vmac, Dialect::OpenBsd, virtual_mac, virtual_mac),
        (
            LinkMode::Plain,
            Dialect::OpenBsd,
            interface.mac.0,
            interface.mac.0,
        ),
    ] {
        let host = host(mode, dialect);
        let mut frame = [0; MAX_FRAME_LEN];
        let len = host.emit_announcement(0, &interface, &mut frame).unwrap();
        assert_eq!((len, &frame[..6]), (42, &[0xff; 6][..]));
        assert_eq!(&frame[6..12], ethernet, "{mode:?} {dialect}: Ethernet source");
        assert_eq!(
            &frame[22..28],
            sender,
            "{mode:?} {dialect}: sender hardware address"
        );
        assert_eq!(&frame[28..32], [192, 0, 2, 1]);
    }
}

#[test]
fn who_was_never_seen_as_master_does_not_bow_out() {
    let mut host = vmac();
    take_over(&mut host);
    host.wish(Wishes::BOW_OUT.with(Wishes::DISOWN));
    assert_eq!(drain(&mut host), [Output::Disown]);
}

#[test]
fn a_bow_out_that_waits_is_still_sent_before_the_address_goes() {
    let mut host = vmac();
    host.wish(Wishes::BOW_OUT);
    host.wish(Wishes::DISOWN);
    assert_eq!(drain(&mut host), [BOW4, BOW6, Output::Disown]);
}

#[test]
fn kernels_count_errors_in_a_row_and_freebsd_13_never_forgives() {
    let now = Instant::ZERO;
    for forgives in [false, true] {
        let rule = SendRule {
            adds_up: false,
            forgives,
        };
        let mut health = SendHealth::default();
        for _ in 0..10 {
            assert!(!health.failed(now, None));
            assert!(!health.failed(now, None));
            assert!(!health.succeeded(rule));
        }
        for verdict_changed in [false, false, true] {
            assert_eq!(health.failed(now, None), verdict_changed);
        }
        for verdict_changed in [false, false, forgives, false] {
            assert_eq!(health.succeeded(rule), verdict_changed);
        }
        assert_eq!(health.failing_since.is_some(), !forgives);
    }
}

// --- counters ---

#[test]
fn kernels_follow_the_counter_they_hear_or_keep_a_cookie() {
    let next = |host: &mut Host<4>, policy: &Policy, chance| host.next_counter(policy, chance).get();
    let kernel = &Policy::KERNEL;
    let mut freebsd = vmac();
    assert_eq!(next(&mut freebsd, kernel, 11), 11);
    assert_eq!(next(&mut freebsd, kernel, 12), 12, "random until a peer is heard");
    assert!(freebsd.hears_counter(kernel, Counter::new(500)));
    assert_eq!(next(&mut freebsd, kernel, 13), 501);
    assert_eq!(next(&mut freebsd, kernel, 14), 502);
    assert!(
        freebsd.hears_counter(kernel, Counter::new(502)),
        "its own: not noticed"
    );

    let mut openbsd = host(LinkMode::Vmac, Dialect::OpenBsd);
    assert!(
        !openbsd.hears_counter(kernel, Counter::new(0)),
        "the cookie of one that sent nothing yet"
    );
    assert_eq!(next(&mut openbsd, kernel, 11), 11);
    assert!(openbsd.hears_counter(kernel, Counter::new(12)));
    assert_eq!(next(&mut openbsd, kernel, 13), 11);
    assert!(
        !openbsd.hears_counter(kernel, Counter::new(11)),
        "its own come back"
    );
}

#[test]
fn a_hardened_node_sends_a_fresh_counter_whatever_it_heard() {
    for dialect in Dialect::ALL {
        let mut host = host(LinkMode::Vmac, dialect);
        assert!(host.hears_counter(&Policy::HARDENED, Counter::new(500)));
        for chance in [21, 7, 3] {
            assert_eq!(host.next_counter(&Policy::HARDENED, chance).get(), chance);
        }
        let own_is_noticed = !host.hears_counter(&Policy::HARDENED, Counter::new(3));
        assert_eq!(own_is_noticed, dialect == Dialect::OpenBsd);
    }
}
