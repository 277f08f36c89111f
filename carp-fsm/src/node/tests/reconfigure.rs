use super::*;
use crate::KeySlot;

fn changed(bench: &Bench, host: HostId, change: impl FnOnce(&mut HostConfig<4>)) -> HostConfig<4> {
    let mut config = bench.node.config(host).unwrap().clone();
    change(&mut config);
    config
}

impl Bench {
    fn reconfigure(&mut self, host: HostId, change: impl FnOnce(&mut HostConfig<4>)) {
        let config = changed(self, host, change);
        self.node.reconfigure(self.now, host, config).unwrap();
        self.drain();
    }
}

fn add_address(config: &mut HostConfig<4>) {
    config.addresses.insert([192, 0, 2, 200].into()).unwrap();
}

#[test]
fn a_master_takes_another_address_without_leaving() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.reconfigure(host, add_address);
    let twice = "with the old addresses and with the new ones";
    assert_eq!(
        bench.said(),
        ["own", "ad", "ad", "announce", "announce"],
        "{twice}"
    );
    assert!(bench.events.is_empty());
    bench.forget();
    bench.reconfigure(host, |config| {
        config.addresses.remove(&[192, 0, 2, 200].into());
    });
    assert_eq!(bench.said(), ["own", "ad", "ad", "announce"]);
    assert_eq!(bench.state(host), State::Master);
}

#[test]
fn a_backup_with_other_addresses_goes_on_waiting() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    bench.run_for(Duration::from_secs(1));
    bench.reconfigure(host, add_address);
    assert!(bench.actions.is_empty() && bench.events.is_empty());
    // The others change theirs meanwhile.
    let waits = bench.now + Duration::from_micros(3_390_625);
    assert_eq!(bench.node.next_deadline(), Some(waits));
    assert_eq!(bench.hear(&advertisement(1, 0)), Ok(host), "with the old list");
}

/// The digests of what is sent next, by the keys that made them.
fn signed_with(bench: &mut Bench, passwords: &[&'static str]) -> Vec<&'static str> {
    bench.now = bench.node.next_deadline().unwrap();
    bench.node.handle_drained(bench.now);
    said_with(bench, passwords)
}

fn said_with(bench: &mut Bench, passwords: &[&'static str]) -> Vec<&'static str> {
    let (mut frame, mut signed) = ([0; MAX_FRAME_LEN], Vec::new());
    while let Some(action) = bench.node.poll_action(bench.now, &mut frame) {
        let Action::Transmit { tx, len, .. } = action else {
            continue;
        };
        bench
            .node
            .handle_transmit_result(bench.now, tx, TransmitResult::Sent);
        let carp_proto::frame::FrameClass::Carp { payload, .. } = carp_proto::frame::classify(&frame[..len])
        else {
            continue;
        };
        let packet = carp_proto::Packet::new_checked(payload).unwrap();
        signed.extend(passwords.iter().copied().filter(|password| {
            let key = Key::from_passphrase(password.as_bytes()).unwrap();
            let authenticator = Authenticator::new(&key, vhid(7), &config(7).addresses, HmacVariant::Plain);
            authenticator.verify(&packet).is_ok()
        }));
    }
    signed
}

fn set_key(password: &'static str) -> impl FnOnce(&mut HostConfig<4>) {
    move |config| config.key = Key::from_passphrase(password.as_bytes()).unwrap()
}

#[test]
fn during_the_grace_everything_is_said_twice_and_whatever_is_heard_ends_it_no_earlier() {
    let slow = HostConfig {
        advbase: AdvBase::new(20),
        ..config(7)
    };
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, slow);
    let passwords = ["secret", "other", "third"];
    assert_eq!(signed_with(&mut bench, &passwords), ["secret"]);
    bench.reconfigure(host, set_key("other"));
    let ends = bench.now + Policy::HARDENED.change_grace;
    let status = bench.node.status(host).unwrap();
    assert_eq!(status.signs_old_until, Some(ends));
    assert_eq!(signed_with(&mut bench, &passwords), ["secret", "other"]);

    // Somebody who has changed, and does not know the old one.
    let other = Key::from_passphrase(b"other").unwrap();
    let authenticator = Authenticator::new(&other, vhid(7), &config(7).addresses, HmacVariant::Plain);
    bench.hear(&signed_by(&authenticator, 100, 0, 1)).unwrap();
    bench.node.hand_over(bench.now, host).unwrap();
    assert_eq!(
        said_with(&mut bench, &passwords),
        ["secret", "other"],
        "the bow-out"
    );
    bench.run_for(Duration::from_secs(2));

    // Another change: the first of the old ones is what everybody knows.
    bench.reconfigure(host, set_key("third"));
    let ends = bench.now + Policy::HARDENED.change_grace;
    while bench.node.next_deadline().unwrap() < ends {
        assert_eq!(signed_with(&mut bench, &passwords), ["secret", "third"]);
    }
    bench.run_for(ends - bench.now);
    assert_eq!(bench.node.status(host).unwrap().signs_old_until, None);
    assert_eq!(signed_with(&mut bench, &passwords), ["third"]);
}

#[test]
fn what_was_replaced_is_forgotten_after_the_grace_which_is_a_deadline() {
    let slow = HostConfig {
        advbase: AdvBase::new(200),
        ..config(7)
    };
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, slow);
    bench.reconfigure(host, set_key("other"));
    bench.hear_peer(200, 0);
    let ends = bench.now + Policy::HARDENED.change_grace;
    assert_eq!(bench.node.next_deadline(), Some(ends));
    bench.run_for(Duration::from_secs(59));
    bench.hear_peer(200, 0);
    bench.run_for(Duration::from_secs(1));
    assert_eq!(bench.hear(&advertisement(200, 0)), Err(Rejection::BadAuth));

    // In INIT as well, and not beyond the end of the host.
    bench.link(ETH0, LinkState::Down);
    bench.reconfigure(host, set_key("third"));
    let ends = bench.now + Policy::HARDENED.change_grace;
    assert_eq!(bench.node.next_deadline(), Some(ends));
    bench.node.remove(bench.now, host).unwrap();
    bench.drain();
    assert_eq!(bench.node.next_deadline(), None);
}

#[test]
fn only_what_found_no_room_is_said_again() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    let passwords = ["secret", "other"];
    bench
        .node
        .reconfigure(bench.now, host, changed(&bench, host, set_key("other")))
        .unwrap();
    let mut frame = [0; MAX_FRAME_LEN];
    let mut told = 0;
    while let Some(action) = bench.node.poll_action(bench.now, &mut frame) {
        if let Action::Transmit { tx, .. } = action {
            told += 1;
            let result = [TransmitResult::Sent, TransmitResult::Busy][told - 1];
            bench.node.handle_transmit_result(bench.now, tx, result);
        }
    }
    assert_eq!(told, 2);
    assert_eq!(signed_with(&mut bench, &passwords), ["other"]);
}

/// It has changed already, and we have not: that is no other password, as long as it says everything twice.
#[test]
fn who_is_understood_is_no_neighbour_with_another_password() {
    let (mut bench, _) = Bench::with_host(Policy::HARDENED, config(7));
    let other = Key::from_passphrase(b"other").unwrap();
    let authenticator = Authenticator::new(&other, vhid(7), &config(7).addresses, HmacVariant::Plain);
    for counter in 1..10 {
        bench.hear_peer(1, 0);
        let new = signed_by(&authenticator, 1, 0, counter);
        assert_eq!(bench.hear(&new), Err(Rejection::BadAuth));
        bench.run_for(Duration::from_secs(1));
    }
    assert_eq!(bench.node.neighbours().count(), 0);
    bench.run_for(Duration::from_secs(2));
    let new = signed_by(&authenticator, 1, 0, 10);
    assert_eq!(bench.hear(&new), Err(Rejection::BadAuth));
    assert_eq!(bench.node.neighbours().count(), 1);
}

#[test]
fn a_change_without_room_or_time_for_the_old_is_one_at_once() {
    let at_once = Policy {
        change_grace: Duration::ZERO,
        ..Policy::HARDENED
    };
    for mut bench in [
        Bench::new(at_once),
        Bench::with_storage(Policy::HARDENED, borrowed(1, 1, 1, 8)),
    ] {
        let host = bench.insert(config(7));
        bench.reconfigure(host, add_address);
        assert_eq!(bench.hear(&advertisement(1, 0)), Err(Rejection::BadAuth));
    }
}

#[test]
fn one_spare_key_is_enough_for_one_change_at_a_time() {
    let keys: &'static mut [KeySlot] = [KeySlot::EMPTY; 1].to_vec().leak();
    let storage = borrowed(1, 1, 1, 8).with_spare_keys(keys, 1);
    let mut bench = Bench::with_storage(Policy::HARDENED, storage);
    let host = bench.insert(config(7));
    bench.reconfigure(host, add_address);
    bench.reconfigure(host, |config| {
        config.key = Key::from_passphrase(b"other").unwrap();
    });
    assert_eq!(
        bench.hear(&advertisement(1, 0)),
        Ok(host),
        "the first of them is what others know"
    );
}

#[test]
fn a_family_comes_and_goes_with_its_addresses() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    let six = "2001:db8::7".parse().unwrap();
    bench.reconfigure(host, |config| {
        config.addresses.insert(six).unwrap();
    });
    assert_eq!(
        bench.said(),
        ["own", "ad", "ad", "ad", "ad", "announce", "announce"]
    );
    assert_eq!(bench.node.stats().opackets6, 2);
    // Others may still wait for IPv6.
    bench.reconfigure(host, |config| {
        config.addresses.remove(&six);
    });
    assert_eq!(bench.node.stats().opackets6, 4);
    bench.run_for(Duration::from_secs(60));
    let sent = bench.node.stats().opackets6;
    bench.run_for(Duration::from_secs(10));
    assert_eq!(bench.node.stats().opackets6, sent);
}

#[test]
fn kernels_start_over_when_addresses_change() {
    let (mut bench, host) = Bench::with_master(Policy::KERNEL, config(7));
    bench.reconfigure(host, add_address);
    assert_eq!(bench.said(), ["disown"]);
    let stopped = Reason::Stopped(InitReason::AddressesChanged);
    assert_eq!(bench.reasons(), [stopped, Reason::InitializationComplete]);
}

#[test]
fn a_key_changes_for_what_is_sent_and_heard() {
    let mut other = config(7);
    other.key = Key::from_passphrase(b"other").unwrap();
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, other);
    assert_eq!(bench.hear(&advertisement(1, 0)), Err(Rejection::BadAuth));
    bench.reconfigure(host, |config| config.key = key());
    assert_eq!(bench.hear(&advertisement(1, 0)), Ok(host));
}

#[test]
fn a_master_tells_its_new_interval_at_once() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    bench.run_for(Duration::from_millis(100));
    bench.reconfigure(host, |config| config.advbase = AdvBase::new(2));
    assert_eq!(bench.said(), ["ad"]);
    let next = bench.now + Duration::from_micros(2_390_625);
    assert_eq!(bench.node.next_deadline(), Some(next));
}

#[test]
fn preemption_changes_without_a_word() {
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, config(7));
    let deadline = bench.node.next_deadline();
    bench.run_for(Duration::from_secs(1));
    bench.reconfigure(host, |config| config.preempt = true);
    assert_eq!(bench.node.next_deadline(), deadline);
    bench.hear_peer(1, 200);
    assert_eq!(bench.reasons(), [Reason::PreemptingSlowerMaster]);
}

#[test]
fn another_virtual_host_is_not_a_change() {
    let (mut bench, host) = Bench::with_master(Policy::HARDENED, config(7));
    let try_to = |bench: &mut Bench, change: fn(&mut HostConfig<4>)| {
        let config = changed(bench, host, change);
        bench.node.reconfigure(bench.now, host, config)
    };
    for change in [
        (|config| config.vhid = vhid(8)) as fn(&mut HostConfig<4>),
        |config| config.iface = ETH1,
        |config| config.group = GroupId(1),
        |config| config.mode = LinkMode::Plain,
        |config| config.dialect = carp_proto::Dialect::NetBsd,
    ] {
        assert_eq!(try_to(&mut bench, change), Err(ReconfigureError::Identity));
    }
    let impossible = try_to(&mut bench, |config| config.advskew = AdvSkew::new(255));
    assert_eq!(impossible, Err(ReconfigureError::Config(ConfigError::AdvSkew)));
    bench.node.remove(bench.now, host).unwrap();
    bench.run_for(Duration::from_secs(2));
    let gone = bench.node.reconfigure(bench.now, host, config(7));
    assert_eq!(gone, Err(ReconfigureError::NoSuchHost(NoSuchHost(host))));
}

/// Otherwise the family in which nothing was heard yet would still be waited for as in the fast profile.
#[test]
fn who_leaves_the_fast_profile_waits_longer_in_both_families() {
    let mut slow = HostConfig {
        dialect: carp_proto::Dialect::OpenBsd,
        ..config(7)
    };
    slow.addresses.insert("2001:db8::7".parse().unwrap()).unwrap();
    let fast = HostConfig {
        advbase: carp_proto::AdvBase::new(0),
        advskew: carp_proto::AdvSkew::new(2),
        profile: crate::Profile::fast(3),
        ..slow.clone()
    };
    let (mut peer, _) = Bench::with_master(Policy::HARDENED, slow);
    let over_ipv4 = super::replays::own_advertisements(&mut peer)[0];
    let (mut bench, host) = Bench::with_host(Policy::HARDENED, fast);
    bench.hear(&over_ipv4).unwrap();
    assert!(bench.node.status(host).unwrap().left_fast);
    assert!(bench.node.next_deadline().unwrap() - bench.now >= Duration::from_secs(3));
}
