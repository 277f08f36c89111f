//! Several virtual hosts, in both families.

mod support;

use std::net::{IpAddr, Ipv6Addr};
use std::task::{Context, Waker};

use carp_embassy::{Seat, SeatDriver, SeatPackets, SeatState};
use carp_fsm::HostConfig;
use carp_fsm::State::{Backup, Master};
use carp_proto::frame::{Answer, emit_arp_request, emit_neighbor_solicitation};
use carp_proto::{MAX_FRAME_LEN, MacAddr, Vhid};
use embassy_net_driver::{Driver as _, LinkState};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use support::{Lab, VHID, VIP, adapter, host};

const OTHER: Vhid = Vhid::new(8).unwrap();
const CLIENT: MacAddr = MacAddr([6, 0, 0, 0, 0, 9]);

/// The second virtual host has an IPv6 address, and the first one both.
fn hosts(advskews: [u8; 2]) -> Vec<HostConfig<2>> {
    let [mut first, mut second] = advskews.map(host);
    first.addresses.insert(vip_v6(7)).unwrap();
    second.vhid = OTHER;
    second.addresses.remove(&VIP.into());
    second.addresses.insert(vip_v6(8)).unwrap();
    vec![first, second]
}

fn vip_v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
}

/// Who answers the question for an address: the ports, and where it is said to be.
fn answers(lab: &mut Lab, address: IpAddr) -> Vec<(usize, MacAddr)> {
    let mut question = [0; MAX_FRAME_LEN];
    let len = match address {
        IpAddr::V4(target) => emit_arp_request(CLIENT, [10, 0, 0, 9].into(), target, &mut question),
        IpAddr::V6(target) => {
            emit_neighbor_solicitation(CLIENT, "fe80::9".parse().unwrap(), target, &mut question)
        }
    };
    lab.take_log();
    lab.inject(&question[..len]);
    let log = lab.take_log();
    let answers = log.iter().filter_map(|(port, frame)| {
        let answer = Answer::recognise(frame, CLIENT)?;
        assert_eq!(answer.address, address);
        Some((*port, answer.mac))
    });
    answers.collect()
}

/// Each is preferred for one; the one that lives has both.
#[test]
fn two_share_the_load_and_one_takes_over_the_other() {
    let mut lab = Lab::new();
    let (a, ha) = lab.member(hosts([0, 100]));
    let (b, hb) = lab.member(hosts([100, 0]));
    lab.run_for_millis(4_500);
    let states = || [a.state(ha[0]), a.state(ha[1]), b.state(hb[0]), b.state(hb[1])];
    assert_eq!(states(), [Master, Backup, Backup, Master]);
    for address in [VIP.into(), vip_v6(7)] {
        assert_eq!(answers(&mut lab, address), [(a.port, VHID.mac())]);
    }
    assert_eq!(answers(&mut lab, vip_v6(8)), [(b.port, OTHER.mac())]);
    let stats = a.control.stats();
    assert!(
        stats.ipackets6 > 0 && stats.opackets6 > 0 && stats.opackets > 0,
        "{stats:?}"
    );

    lab.wire.borrow_mut().ports[a.port].cut = true;
    lab.run_for_millis(4_500);
    assert_eq!([b.state(hb[0]), b.state(hb[1])], [Master, Master]);
    for (address, mac) in [
        (VIP.into(), VHID.mac()),
        (vip_v6(7), VHID.mac()),
        (vip_v6(8), OTHER.mac()),
    ] {
        assert_eq!(answers(&mut lab, address), [(b.port, mac)]);
    }
    lab.wire.borrow_mut().ports[a.port].cut = false;
    lab.run_for_millis(4_500);
    assert_eq!(states(), [Master, Backup, Backup, Master]);
}

fn is_up(driver: &mut SeatDriver<NoopRawMutex, 2>, cx: &mut Context<'_>) -> bool {
    driver.link_state(cx) == LinkState::Up
}

/// A network stack for each virtual host, and nothing that is for the one gets to the other.
#[test]
fn each_seat_is_up_for_its_own_virtual_host() {
    let mut lab = Lab::new();
    let port = lab.port();
    let (number, mac) = (port.number(), port.mac());
    let carp = adapter(mac);
    let seat = |vhid| -> (Seat<NoopRawMutex, 2>, SeatDriver<NoopRawMutex, 2>) {
        let packets = Box::leak(Box::new(SeatPackets::EMPTY));
        Box::leak(Box::new(SeatState::new(vhid, packets))).split()
    };
    let ((first, mut one), (second, mut two)) = (seat(VHID), seat(OTHER));
    let shim = carp.accept(port, [first, second]);
    let (a, ha) = lab.start(number, mac, carp, shim, hosts([0, 0]));
    lab.run_for_millis(3_100);
    let cx = &mut Context::from_waker(Waker::noop());
    assert_eq!([&mut one, &mut two].map(|driver| is_up(driver, cx)), [true, true]);
    a.control.set_enabled(ha[1], false).unwrap();
    // It keeps the address for a successor to be heard, for a while.
    lab.run_for_millis(3_000);
    assert_eq!(
        [&mut one, &mut two].map(|driver| is_up(driver, cx)),
        [true, false]
    );
    let mut frame = [0x42; 60];
    frame[..6].copy_from_slice(&OTHER.mac().0);
    lab.inject(&frame);
    frame[..6].copy_from_slice(&VHID.mac().0);
    lab.inject(&frame);
    assert!(one.receive(cx).is_some());
    assert!(one.receive(cx).is_none());
    assert!(two.receive(cx).is_none(), "its link is down");
}
