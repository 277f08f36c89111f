//! `Host` over a link in memory, in virtual time: no root, no network.
#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use carp_fsm::{
    Duration, EventKind, HostConfig, IfaceId, InitReason, Instant, InterfaceInfo, LinkState, Policy, State,
    TransmitResult,
};
use carp_proto::{AddressSet, Key, MacAddr, Vhid};
use carp_std::{Host, Link, OnRemoval, OwnershipError, Prefix, VirtualAddress, VirtualHost};
use rustix::event::{EventfdFlags, eventfd};

const ETH0: IfaceId = IfaceId(0);
const START: Instant = Instant::from_micros(1_000_000_000);
/// 3 * advbase + advskew / 256 s of the virtual host of these tests.
const MASTER_DOWN: Duration = Duration::from_secs(3);

#[test]
fn a_master_owns_before_it_speaks_and_bows_out_before_it_disowns() {
    let (mut host, log) = host(|_| {});
    host.process(START).unwrap();
    assert_eq!(
        log.take(),
        ["disown [10.0.0.1/Host]"],
        "what a killed process may have left"
    );
    assert_eq!(host.deadline(), Some(START + MASTER_DOWN));

    host.process(START + MASTER_DOWN).unwrap();
    let taking_over = log.take();
    assert_eq!(taking_over[0], "own [10.0.0.1/Host]");
    assert!(
        taking_over.contains(&"send from 00:00:5e:00:01:07".to_owned()),
        "{taking_over:?}"
    );

    host.node_mut().shutdown(START + MASTER_DOWN);
    host.process(START + MASTER_DOWN).unwrap();
    assert_eq!(log.take(), ["send from 00:00:5e:00:01:07"], "the bow-out");
    let gone = host.deadline().unwrap();
    assert!(gone > START + MASTER_DOWN, "waits for a successor");
    host.process(gone).unwrap();
    assert_eq!(log.take(), ["disown [10.0.0.1/Host]"]);
    assert!(host.node().is_quiet());
}

#[test]
fn a_refused_address_is_told_with_its_reason() {
    let (mut host, _log) = host(|link| link.refuse = true);
    host.process(START).unwrap();
    host.process(START + MASTER_DOWN).unwrap();
    let id = host.node().hosts().next().unwrap();
    assert_eq!(host.node().state(id), Some(State::Init));
    assert_eq!(
        host.node().status(id).unwrap().init_reason,
        Some(InitReason::AddressRefused)
    );
    let error = host.ownership_error(id).unwrap();
    assert!(matches!(error, OwnershipError::Foreign { .. }), "{error}");

    host.link_mut().refuse = false;
    while host.node().state(id) != Some(State::Master) {
        host.process(host.deadline().expect("it is tried again")).unwrap();
    }
    assert!(host.ownership_error(id).is_none());
}

#[test]
fn a_flood_delays_nobody() {
    // Every call of `recv` brings another frame of protocol 112, for ever; and the node wakes late.
    let (mut host, _log) = host(|link| link.flood = true);
    host.process(START).unwrap();
    let late = START + MASTER_DOWN + Duration::from_secs(1);
    host.process(late).unwrap();
    let id = host.node().hosts().next().unwrap();
    assert_eq!(host.node().state(id), Some(State::Master));
    assert_eq!(host.node().stats().badsum, 2 * 10, "two wakes, ten frames each");
}

#[test]
fn a_full_queue_is_no_send_error() {
    let (mut host, log) = host(|link| link.result = Some(TransmitResult::Busy));
    host.process(START).unwrap();
    host.process(START + MASTER_DOWN).unwrap();
    for _ in 0..10 {
        host.process(host.deadline().unwrap()).unwrap();
    }
    assert_eq!(host.node().stats().senderr, 0);
    assert!(host.node().stats().onomem >= 10);
    host.link_mut().result = None;
    log.take();
    host.process(host.deadline().unwrap()).unwrap();
    assert!(
        log.take().contains(&"send from 00:00:5e:00:01:07".to_owned()),
        "the frame goes out at last"
    );
}

#[test]
fn a_removed_virtual_host_leaves_and_can_come_back() {
    let (mut host, log) = host(|_| {});
    host.process(START).unwrap();
    let old = host.node().hosts().next().unwrap();
    host.node_mut().remove(START, old).unwrap();
    host.process(START).unwrap();
    assert_eq!(host.node().state(old), None);
    log.take();
    let new = host.insert(START, config(), |_| Prefix::Length(24)).unwrap();
    assert_ne!(old, new);
    host.process(START).unwrap();
    assert_eq!(log.take(), ["disown [10.0.0.1/Length(24)]"]);
}

#[test]
fn a_master_that_changes_has_the_new_addresses_before_the_old_ones_go() {
    let (mut host, log) = host(|_| {});
    let id = host.node().hosts().next().unwrap();
    host.process(START).unwrap();
    let now = START + MASTER_DOWN;
    host.process(now).unwrap();
    log.take();

    let mut changed = config();
    changed.addresses = AddressSet::try_from_iter([[10, 0, 0, 2].into()]).unwrap();
    host.reconfigure(now, id, changed.clone(), |_| Prefix::Host)
        .unwrap();
    host.process(now).unwrap();
    let done = log.take();
    assert_eq!(done[..2], ["own [10.0.0.2/Host]", "disown [10.0.0.1/Host]"]);
    assert!(
        done.contains(&"send from 00:00:5e:00:01:07".to_owned()),
        "it advertises them at once: {done:?}"
    );

    // The prefix is no affair of the protocol.
    host.reconfigure(now, id, changed.clone(), |_| Prefix::Length(24))
        .unwrap();
    host.process(now).unwrap();
    assert_eq!(log.take()[0], "own [10.0.0.2/Length(24)]");
    log.take();
    host.reconfigure(now, id, changed, |_| Prefix::Length(24))
        .unwrap();
    assert_eq!(log.take(), [""; 0], "nothing has changed");
    assert_eq!(host.node().state(id), Some(State::Master));
}

#[test]
fn what_somebody_else_takes_off_is_put_back_and_announced_but_not_all_the_time() {
    let (mut host, log) = host(|_| {});
    let id = host.node().hosts().next().unwrap();
    host.process(START).unwrap();
    let mut now = START + MASTER_DOWN;
    host.process(now).unwrap();
    while host.poll_event().is_some() {}
    log.take();
    let put_back = [
        "own [10.0.0.1/Host]",
        "send from 02:00:00:00:00:01", // the announcement: plain mode
    ];

    now = now + Duration::from_millis(100);
    host.link_mut().readdressed = true;
    host.process(now).unwrap();
    assert_eq!(log.take(), put_back);
    let event = host.poll_event().unwrap();
    assert_eq!((event.at, event.kind), (now, EventKind::TakenAway { host: id }));
    assert_eq!(host.node().state(id), Some(State::Master));

    // Again and again: once a second.
    let mut times = 0;
    let end = now + Duration::from_millis(2_500);
    while now < end {
        host.link_mut().readdressed = true;
        host.process(now).unwrap();
        times += log.take().iter().filter(|line| *line == put_back[0]).count();
        now = now + Duration::from_millis(10);
    }
    assert_eq!(times, 2);
    assert!(
        host.deadline().unwrap() <= now + Duration::from_millis(500),
        "woken for the next time"
    );

    // All there: nothing to do, also if that was found out late.
    host.link_mut().present = 1;
    host.link_mut().readdressed = true;
    host.process(now + Duration::from_secs(1)).unwrap();
    assert!(!log.take().contains(&put_back[0].to_owned()));
}

#[test]
fn what_somebody_else_takes_off_can_be_a_reason_to_step_down() {
    let (mut host, log) = host(|_| {});
    let id = host.node().hosts().next().unwrap();
    host.set_on_removal(id, OnRemoval::Demote);
    host.process(START).unwrap();
    let now = START + MASTER_DOWN;
    host.process(now).unwrap();
    assert_eq!(host.node().state(id), Some(State::Master));
    log.take();

    host.link_mut().readdressed = true;
    host.process(now).unwrap();
    assert_eq!(host.node().state(id), Some(State::Init));
    let error = host.ownership_error(id).unwrap();
    assert!(matches!(error, OwnershipError::TakenAway { .. }), "{error}");
    assert_eq!(
        log.take(),
        ["send from 00:00:5e:00:01:07", "disown [10.0.0.1/Host]"],
        "it bows out, and puts nothing back"
    );
    while host.node().state(id) != Some(State::Master) {
        host.process(host.deadline().expect("it is tried again")).unwrap();
    }
    assert!(host.ownership_error(id).is_none());
}

#[test]
fn what_somebody_else_puts_on_a_backup_is_looked_into() {
    let (mut host, log) = host(|_| {});
    host.process(START).unwrap();
    log.take();
    host.link_mut().readdressed = true;
    host.process(START).unwrap();
    assert_eq!(log.take(), [""; 0], "other addresses are no affair of ours");

    (host.link_mut().readdressed, host.link_mut().present) = (true, 1);
    host.process(START).unwrap();
    assert_eq!(log.take(), ["disown [10.0.0.1/Host]"]);

    // Once the virtual host is gone, the address may be another one's.
    let id = host.node().hosts().next().unwrap();
    host.node_mut().remove(START, id).unwrap();
    host.process(START).unwrap();
    log.take();
    host.link_mut().readdressed = true;
    host.process(START).unwrap();
    assert_eq!(log.take(), [""; 0]);
}

#[test]
fn run_ends_when_it_is_told_to() {
    let (mut host, log) = host(|_| {});
    let stopper = host.stopper();
    stopper.stop();
    stopper.stop();
    let mut transitions = Vec::new();
    host.run(|host, event| {
        if let EventKind::Transition {
            host: id, from, to, ..
        } = event.kind
        {
            transitions.push((from, to));
            assert!(host.node().state(id).is_some());
        }
    })
    .unwrap();
    assert_eq!(transitions, [], "it never took part");
    assert_eq!(log.take(), ["disown [10.0.0.1/Host]"]);

    let thread = std::thread::spawn(move || stopper.stop());
    host.run(|_, _| ()).unwrap();
    thread.join().unwrap();
}

fn config() -> HostConfig<4> {
    let key = Key::from_passphrase(b"secret").unwrap();
    let mut config = HostConfig::new(ETH0, Vhid::new(7).unwrap(), key);
    config.addresses.insert([10, 0, 0, 1].into()).unwrap();
    config
}

/// A host with one virtual host on `eth0`, and the log of what its link was asked to do.
fn host(change: impl FnOnce(&mut Memory)) -> (Host<Memory, 4>, Rc<RefCell<Vec<String>>>) {
    let log = Rc::default();
    let mut link = Memory {
        fd: eventfd(0, EventfdFlags::CLOEXEC).unwrap(),
        interface: Some(InterfaceInfo {
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            ipv4: Some([10, 0, 0, 2].into()),
            ipv6: None,
            link: LinkState::Up,
        }),
        log: Rc::clone(&log),
        refuse: false,
        flood: false,
        result: None,
        readdressed: false,
        present: 0,
    };
    change(&mut link);
    let mut host = Host::new(link, Policy::HARDENED, 1).unwrap();
    host.insert(START, config(), |_| Prefix::Host).unwrap();
    (host, log)
}

/// A link that only writes down what it is asked to do.
struct Memory {
    fd: OwnedFd,
    interface: Option<InterfaceInfo>,
    log: Rc<RefCell<Vec<String>>>,
    refuse: bool,
    flood: bool,
    result: Option<TransmitResult>,
    readdressed: bool,
    present: usize,
}

impl Link for Memory {
    fn poll_addresses(&mut self) -> Option<IfaceId> {
        std::mem::take(&mut self.readdressed).then_some(ETH0)
    }

    fn present(&self, host: &VirtualHost<'_>) -> usize {
        assert_eq!((host.iface, host.addresses.len()), (ETH0, 1));
        self.present
    }

    fn poll_change(&mut self) -> Option<(IfaceId, InterfaceInfo)> {
        self.interface.take().map(|info| (ETH0, info))
    }

    fn recv(&mut self, frame: &mut [u8]) -> Option<(IfaceId, usize)> {
        // An advertisement with a wrong checksum.
        const HEADERS: [u8; 34] = [
            1, 0, 0x5e, 0, 0, 0x12, 0, 0, 0x5e, 0, 1, 7, 8, 0, // Ethernet
            0x45, 0, 0, 56, 0, 0, 0x40, 0, 255, 112, 0x91, 0x40, 10, 0, 0, 3, 224, 0, 0, 18, // IPv4
        ];
        frame[..70].fill(0x21);
        frame[..34].copy_from_slice(&HEADERS);
        self.flood.then_some((ETH0, 70))
    }

    fn queue_limit(&self) -> usize {
        10
    }

    fn send_frame(&mut self, iface: IfaceId, frame: &[u8]) -> TransmitResult {
        assert_eq!(iface, ETH0);
        let source = MacAddr(frame[6..12].try_into().unwrap());
        self.log.borrow_mut().push(format!("send from {source}"));
        self.result.unwrap_or(TransmitResult::Sent)
    }

    fn set_owner(&mut self, host: &VirtualHost<'_>, owner: bool) -> Result<(), OwnershipError> {
        assert_eq!((host.iface, host.vhid.get()), (ETH0, 7));
        let show = |vip: &VirtualAddress| format!("{}/{:?}", vip.address, vip.prefix);
        let addresses: Vec<_> = host.addresses.iter().map(show).collect();
        let word = if owner { "own" } else { "disown" };
        self.log
            .borrow_mut()
            .push(format!("{word} [{}]", addresses.join(", ")));
        if self.refuse && owner {
            let address = host.addresses[0].address;
            return Err(OwnershipError::Foreign {
                interface: "eth0".into(),
                address,
                prefix_len: 24,
            });
        }
        Ok(())
    }
}

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
