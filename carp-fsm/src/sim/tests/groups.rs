//! Groups of virtual hosts on several interfaces: they move together.

use core::net::Ipv6Addr;
use std::vec;
use std::vec::Vec;

use carp_proto::AdvSkew;

use super::*;
use crate::{GroupId, IfaceId};

const WAN: IfaceId = IfaceId(0);
const LAN: IfaceId = IfaceId(1);
const DMZ: IfaceId = IfaceId(2);

fn on(iface: IfaceId) -> Vhid {
    Vhid::new(u8::try_from(iface.0).unwrap() + 1).unwrap()
}

/// Nodes a, b, .. with one virtual host on each of three interfaces; the first is MASTER of all.
fn routers(policies: &[Policy], change: impl Fn(usize, &mut HostConfig<ADDRS>)) -> (Sim, Vec<NodeId>) {
    let (sim, ids) = nodes(policies, change);
    for iface in [WAN, LAN, DMZ] {
        assert_eq!(sim.owners(on(iface)), [ids[0]]);
    }
    (sim, ids)
}

fn nodes(policies: &[Policy], change: impl Fn(usize, &mut HostConfig<ADDRS>)) -> (Sim, Vec<NodeId>) {
    let mut sim = Sim::new(1);
    let mut ids = Vec::new();
    for (index, policy) in policies.iter().enumerate() {
        let number = u8::try_from(index).unwrap();
        let mut plan = NodePlan::new(["a", "b", "c"][index], [10, 0, 0, number + 1]).policy(*policy);
        for iface in [WAN, LAN, DMZ] {
            let mut host = HostConfig {
                iface,
                ..virtual_host(on(iface), 100 * number)
            };
            change(index, &mut host);
            plan = plan.host(host);
        }
        ids.push(sim.add(plan).unwrap());
    }
    sim.run_for(seconds(10));
    (sim, ids)
}

/// Who owns what is on WAN, LAN and DMZ.
fn owners(sim: &Sim) -> [Vec<NodeId>; 3] {
    [WAN, LAN, DMZ].map(|iface| sim.owners(on(iface)))
}

/// Somebody owns what is on this interface, all the time.
fn never_without_owner(sim: &Sim, iface: IfaceId, from: Instant) {
    let of = |node: NodeId, host| sim.host(node, on(iface)) == Some(host);
    let mut owners = BTreeSet::new();
    for entry in sim.trace() {
        if let TraceKind::Owner { host, owner } = entry.kind
            && of(entry.node, host)
        {
            if owner {
                owners.insert(entry.node);
            } else {
                owners.remove(&entry.node);
            }
        }
        assert!(entry.at < from || !owners.is_empty(), "{iface:?} at {}", entry.at);
    }
}

/// Where a node found its group split (WAN, LAN or DMZ: MASTER, BACKUP), or no longer.
fn splits(sim: &Sim, id: NodeId) -> Vec<(Instant, Option<(IfaceId, IfaceId)>)> {
    let node = sim.node(id).unwrap();
    let iface = |host| node.config(host).unwrap().iface;
    let of_node = sim.trace().iter().filter(|entry| entry.node == id);
    of_node
        .filter_map(|entry| match entry.kind {
            TraceKind::Event(EventKind::SplitMaster { master, backup, .. }) => {
                Some((entry.at, Some((iface(master), iface(backup)))))
            }
            TraceKind::Event(EventKind::SplitMasterEnded { .. }) => Some((entry.at, None)),
            _ => None,
        })
        .collect()
}

#[test]
fn all_move_with_one_whether_or_not_the_peer_preempts_or_is_a_kernel() {
    for dialect in Dialect::ALL {
        for policy in [Policy::HARDENED, Policy::KERNEL] {
            for preempt in [false, true] {
                let (mut sim, ids) = routers(&[Policy::HARDENED, policy], |_, host| {
                    host.dialect = dialect;
                    host.preempt = preempt;
                });
                let pulled = sim.now();
                sim.set_link_on(ids[0], WAN, LinkState::Down);
                // A quarter of an interval; a kernel waits its master-down time on the WAN.
                sim.run_for(Duration::from_millis(260) + Policy::HARDENED.linger);
                let [_, lan, dmz] = owners(&sim);
                assert_eq!((lan, dmz), (vec![ids[1]], vec![ids[1]]), "{dialect} {preempt}");
                sim.run_for(seconds(20));
                assert_eq!(owners(&sim), [(); 3].map(|()| vec![ids[1]]));
                never_without_owner(&sim, LAN, pulled);
                never_without_owner(&sim, DMZ, pulled);

                sim.set_link_on(ids[0], WAN, LinkState::Up);
                sim.run_for(seconds(20));
                let back = ids[usize::from(!preempt)];
                assert_eq!(owners(&sim), [(); 3].map(|()| vec![back]), "{dialect} {preempt}");
                for id in &ids {
                    assert_eq!(splits(&sim, *id), [], "a move is no split: {dialect} {preempt}");
                }
            }
        }
    }
}

/// Among ours the interface that was lost moves as soon as an advertisement is missing there.
#[test]
fn all_have_moved_within_one_advertisement() {
    for dialect in Dialect::ALL {
        for (preempt, phase) in [false, true]
            .into_iter()
            .flat_map(|p| [0, 300, 600, 900].map(|phase| (p, phase)))
        {
            let (mut sim, ids) = routers(&[Policy::HARDENED; 3], |_, host| {
                host.dialect = dialect;
                host.preempt = preempt;
            });
            sim.run_for(Duration::from_millis(phase));
            let pulled = sim.now();
            sim.set_link_on(ids[0], WAN, LinkState::Down);
            // One interval, the grace and the turn of 100.
            sim.run_for(Duration::from_millis(1_088));
            // The third one may be MASTER for a moment, too.
            for owners in owners(&sim) {
                let owns = [0, 1].map(|node| owners.contains(&ids[node]));
                assert_eq!(owns, [false, true], "{dialect} {preempt}");
            }
            let wan = sim.host(ids[1], on(WAN)).unwrap();
            let reasons = sim.trace().iter().filter_map(|entry| match entry.kind {
                TraceKind::Event(EventKind::Transition { host, reason, .. })
                    if entry.node == ids[1] && host == wan && entry.at >= pulled =>
                {
                    Some(reason)
                }
                _ => None,
            });
            assert!(reasons.eq([Reason::FollowingGroup]), "{dialect} {preempt}");
            sim.run_for(seconds(20));
            assert_eq!(owners(&sim), [(); 3].map(|()| vec![ids[1]]));
            for id in &ids {
                assert_eq!(splits(&sim, *id), []);
            }
        }
    }
}

/// It is handed over by itself, and the others are just late.
#[test]
fn what_is_handed_over_takes_nothing_along_that_is_a_little_late() {
    let (mut sim, ids) = routers(&[Policy::HARDENED; 2], |_, _| {});
    let late = Duration::from_millis(50);
    sim.set_network(Network {
        delay_min: late,
        delay_max: late,
        ..Network::default()
    });
    let host = sim.host(ids[0], on(LAN)).unwrap();
    sim.command(ids[0], |node, now| node.hand_over(now, host).unwrap());
    sim.run_for(seconds(10));
    assert_eq!(owners(&sim), [vec![ids[0]], vec![ids[1]], vec![ids[0]]]);
    let moves = transitions(sim.trace(), ids[1]);
    let moves = moves.iter().filter(|(_, to)| *to == State::Master);
    assert_eq!(moves.count(), 1, "not even for a moment");
}

/// As wished: the LAN's master is another node, which lives.
#[test]
fn a_master_that_lives_elsewhere_in_the_group_keeps_what_it_has() {
    let (mut sim, ids) = nodes(&[Policy::HARDENED; 3], |index, host| {
        // On the LAN the third one was asked to be the best.
        let third = [100, 200, 0][index];
        if host.iface == LAN {
            host.advskew = AdvSkew::new(third);
        }
        host.preempt = true;
    });
    let pulled = sim.now();
    sim.set_link_on(ids[0], WAN, LinkState::Down);
    sim.run_for(seconds(30));
    assert_eq!(owners(&sim), [vec![ids[1]], vec![ids[2]], vec![ids[1]]]);
    for id in [ids[0], ids[1]] {
        let lan = sim.host(id, on(LAN)).unwrap();
        let moved = sim.trace().iter().any(|entry| {
            let of_lan =
                matches!(entry.kind, TraceKind::Event(EventKind::Transition { host, .. }) if host == lan);
            entry.node == id && entry.at >= pulled && of_lan
        });
        assert!(!moved, "{id:?}");
    }
}

#[test]
fn alone_they_stay() {
    let (mut sim, ids) = routers(&[Policy::HARDENED], |_, _| {});
    let pulled = sim.now();
    sim.set_link_on(ids[0], WAN, LinkState::Down);
    sim.run_for(seconds(60));
    assert_eq!(owners(&sim), [vec![], vec![ids[0]], vec![ids[0]]]);
    never_without_owner(&sim, LAN, pulled);
    let bow_outs = sim
        .trace()
        .iter()
        .filter(|entry| entry.kind == TraceKind::Sent(TransmitKind::BowOut));
    assert_eq!(bow_outs.count(), 2, "once each, and no more");
}

#[test]
fn where_the_peer_is_as_badly_off_nothing_moves_for_good() {
    for preempt in [false, true] {
        let (mut sim, ids) = routers(&[Policy::HARDENED; 2], |_, host| host.preempt = preempt);
        let died = sim.now();
        // The switch: both lose the same link.
        for id in &ids {
            sim.set_link_on(*id, WAN, LinkState::Down);
        }
        sim.run_for(seconds(30));
        assert_eq!(
            owners(&sim),
            [vec![], vec![ids[0]], vec![ids[0]]],
            "preempt: {preempt}"
        );
        never_without_owner(&sim, LAN, died);
        let moves = transitions(sim.trace(), ids[0]);
        let moves = moves.iter().filter(|(at, to)| *at > died && *to == State::Backup);
        assert_eq!(moves.count(), 0, "it offers, but keeps them");
    }
}

/// Everybody but the first takes over from the bow-out and says so, with two families twice; the first may yield to
/// none of those words, for whoever hears it yields as well.
#[test]
fn where_equals_speak_more_than_once_somebody_owns_all_the_time() {
    for (count, ipv6) in [(2, true), (3, false), (3, true)] {
        for dialect in [Dialect::FreeBsd, Dialect::NetBsd] {
            let (mut sim, ids) = routers(&[Policy::HARDENED; 3][..count], |_, host| {
                host.dialect = dialect;
                if ipv6 {
                    let number = host.vhid.get();
                    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into());
                    host.addresses.insert(address.into()).unwrap();
                }
            });
            let died = sim.now();
            for id in &ids {
                sim.set_link_on(*id, WAN, LinkState::Down);
            }
            sim.run_for(seconds(30));
            assert_eq!(owners(&sim), [vec![], vec![ids[0]], vec![ids[0]]]);
            never_without_owner(&sim, LAN, died);
            never_without_owner(&sim, DMZ, died);
        }
    }
}

#[test]
fn a_link_that_is_back_within_a_quarter_of_the_interval_moves_nothing() {
    let (mut sim, ids) = routers(&[Policy::HARDENED; 2], |_, _| {});
    sim.set_link_on(ids[0], WAN, LinkState::Down);
    sim.run_for(Duration::from_millis(240));
    sim.set_link_on(ids[0], WAN, LinkState::Up);
    sim.run_for(seconds(20));
    let [_, lan, dmz] = owners(&sim);
    assert_eq!((lan, dmz), (vec![ids[0]], vec![ids[0]]));
}

#[test]
fn other_groups_do_not_move() {
    let (mut sim, ids) = routers(&[Policy::HARDENED; 2], |_, host| {
        host.group = GroupId(u8::from(host.iface == DMZ));
    });
    sim.set_link_on(ids[0], WAN, LinkState::Down);
    sim.run_for(seconds(20));
    assert_eq!(owners(&sim), [vec![ids[1]], vec![ids[1]], vec![ids[0]]]);
}

#[test]
fn a_wish_to_be_less_wanted_is_none_to_move() {
    let (mut sim, ids) = routers(&[Policy::HARDENED; 2], |_, _| {});
    sim.command(ids[0], |node, now| {
        node.demote(now, GroupId(0), crate::Cause::Operator, 240).unwrap();
    });
    sim.run_for(seconds(20));
    assert_eq!(owners(&sim), [(); 3].map(|()| vec![ids[0]]));
}

#[test]
fn a_relief_that_does_not_bring_the_link_back_takes_no_offer_back() {
    // A kernel does not preempt even when the group is split.
    let (mut sim, ids) = routers(&[Policy::HARDENED, Policy::KERNEL], |_, _| {});
    let sync = crate::Cause::External(1);
    sim.command(ids[0], |node, now| {
        node.demote(now, GroupId(0), sync, 10).unwrap();
    });
    sim.run_for(seconds(5));
    sim.set_link_on(ids[0], WAN, LinkState::Down);
    sim.run_for(Duration::from_millis(300));
    sim.command(ids[0], |node, now| node.clear(now, GroupId(0), sync).unwrap());
    sim.run_for(seconds(20));
    assert_eq!(owners(&sim), [(); 3].map(|()| vec![ids[1]]));
}

#[test]
fn kernels_stay_split() {
    let (mut sim, ids) = routers(&[Policy::KERNEL; 2], |_, _| {});
    sim.set_link_on(ids[0], WAN, LinkState::Down);
    sim.run_for(seconds(20));
    assert_eq!(owners(&sim), [vec![ids[1]], vec![ids[0]], vec![ids[0]]]);
}

/// Of all intervals here the longest, that of a demoted master; and a little more.
const LONGEST: Duration = Duration::from_millis(1_950);

#[test]
fn a_split_group_is_reported_within_an_interval_by_both_and_so_is_its_end() {
    let (mut sim, ids) = routers(&[Policy::KERNEL; 2], |_, _| {});
    sim.set_link_on(ids[0], WAN, LinkState::Down);
    sim.run_for(seconds(20));
    let taken = became_master(&sim, ids[1]);
    let [(at, Some((WAN, LAN | DMZ)))] = splits(&sim, ids[1])[..] else {
        panic!("{:?}", splits(&sim, ids[1]));
    };
    assert!(at - taken <= LONGEST, "after {}", at - taken);
    assert_eq!(splits(&sim, ids[0]), [], "it is BACKUP of nobody");

    let plugged = sim.now();
    sim.set_link_on(ids[0], WAN, LinkState::Up);
    sim.run_for(seconds(20));
    let [(at, Some((LAN | DMZ, WAN)))] = splits(&sim, ids[0])[..] else {
        panic!("{:?}", splits(&sim, ids[0]));
    };
    assert!(at - plugged <= LONGEST, "after {}", at - plugged);

    // No advertisement is under way.
    sim.run_for(Duration::from_millis(100));
    let moved = sim.now();
    for id in &ids {
        let state = if *id == ids[0] {
            State::Backup
        } else {
            State::Master
        };
        for iface in [LAN, DMZ] {
            let host = sim.host(*id, on(iface)).unwrap();
            sim.command(*id, |node, now| node.force_state(now, host, state).unwrap());
        }
    }
    sim.run_for(seconds(20));
    for id in &ids {
        let all = splits(&sim, *id);
        let [_, (at, None)] = all[..] else {
            panic!("{all:?}")
        };
        assert!(at - moved <= LONGEST, "after {}", at - moved);
    }
}

#[test]
fn who_comes_back_and_preempts_one_after_the_other_is_not_split() {
    for policy in [Policy::HARDENED, Policy::KERNEL] {
        let (mut sim, ids) = routers(&[policy; 2], |index, host| {
            host.preempt = true;
            // They do not advertise at the same time.
            host.advskew =
                AdvSkew::new(u8::try_from(index).unwrap() * 100 + 20 * u8::try_from(host.iface.0).unwrap());
        });
        sim.crash(ids[0]);
        sim.run_for(seconds(20));
        sim.restart(ids[0]);
        sim.run_for(seconds(20));
        assert_eq!(owners(&sim), [(); 3].map(|()| vec![ids[0]]));
        for id in &ids {
            assert_eq!(splits(&sim, *id), []);
        }
    }
}

#[test]
fn shared_load_on_one_interface_is_not_split() {
    let mut sim = Sim::new(1);
    let mut ids = Vec::new();
    for number in 0..2_u8 {
        let mut plan = NodePlan::new(["a", "b"][usize::from(number)], [10, 0, 0, number + 1]);
        for (iface, vhid, skew) in [(WAN, 1, 0), (WAN, 2, 100), (LAN, 3, 0)] {
            let skew = if number == 0 { skew } else { 100 - skew };
            plan = plan.host(HostConfig {
                iface,
                // The LAN is another group.
                group: GroupId(u8::from(iface == LAN)),
                ..virtual_host(Vhid::new(vhid).unwrap(), skew)
            });
        }
        ids.push(sim.add(plan).unwrap());
    }
    sim.run_for(seconds(30));
    for id in ids {
        let states: BTreeSet<_> = [1, 2]
            .map(|vhid| sim.states(Vhid::new(vhid).unwrap())[id.0] == State::Master)
            .into();
        assert_eq!(states.len(), 2, "MASTER of one of them");
        assert_eq!(splits(&sim, id), []);
    }
}

#[test]
fn a_split_group_ends_at_the_better_node() {
    // When one link was lost, the other node was no better; now it is.
    let (mut sim, ids) = routers(&[Policy::HARDENED; 2], |_, _| {});
    for id in &ids {
        sim.set_link_on(*id, WAN, LinkState::Down);
    }
    sim.run_for(seconds(10));
    let plugged = sim.now();
    sim.set_link_on(ids[1], WAN, LinkState::Up);
    sim.run_for(seconds(10));
    assert_eq!(owners(&sim), [(); 3].map(|()| vec![ids[1]]));
    never_without_owner(&sim, LAN, plugged);
    let all = splits(&sim, ids[1]);
    assert!(matches!(all[..], [(_, Some((WAN, _))), (_, None)]), "{all:?}");

    // A bow-out that is lost.
    let (mut sim, ids) = routers(&[Policy::HARDENED; 2], |_, _| {});
    sim.set_link_on(ids[0], WAN, LinkState::Down);
    sim.run_for(Duration::from_millis(200));
    sim.cut(ids[0], ids[1]);
    sim.run_for(Duration::from_millis(100));
    sim.heal(ids[0], ids[1]);
    sim.run_for(Duration::from_millis(900));
    let [_, lan, _] = owners(&sim);
    assert_eq!(lan, [ids[0]], "nobody took over");
    sim.run_for(seconds(10));
    assert_eq!(owners(&sim), [(); 3].map(|()| vec![ids[1]]));
}
