use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::vec::Vec;

use carp_proto::Key;
use proptest::prelude::*;

use super::*;
use crate::config::HostConfig;

const ROOM: u16 = 6;

fn host(iface: u16, vhid: u8) -> Host<1> {
    let key = Key::from_passphrase(b"secret").unwrap();
    let config = HostConfig::new(IfaceId(iface), Vhid::new(vhid).unwrap(), key);
    Host::new(Instant::ZERO, config)
}

fn slots() -> [HostSlot<1>; ROOM as usize] {
    [const { HostSlot::EMPTY }; ROOM as usize]
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u16, u8),
    Remove(u16),
    Deadline(u16, Option<u64>),
    PushReady(u16),
    PopReady,
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..ROOM + 1;
    prop_oneof![
        4 => (0..3_u16, 1..5_u8).prop_map(|(iface, vhid)| Step::Insert(iface, vhid)),
        2 => slot.clone().prop_map(Step::Remove),
        6 => (slot.clone(), prop::option::of(0..20_u64)).prop_map(|(slot, at)| Step::Deadline(slot, at)),
        3 => slot.prop_map(Step::PushReady),
        3 => Just(Step::PopReady),
    ]
}

#[derive(Default)]
struct Model {
    by_name: BTreeMap<(u16, u8), u16>,
    deadlines: BTreeMap<u16, u64>,
    ready: VecDeque<u16>,
    ids: BTreeSet<HostId>,
}

impl Model {
    fn apply(&mut self, hosts: &mut Hosts<'_, 1>, step: Step) {
        match step {
            Step::Insert(iface, vhid) => {
                let fits =
                    !self.by_name.contains_key(&(iface, vhid)) && self.by_name.len() < usize::from(ROOM);
                let slot = hosts.insert(host(iface, vhid));
                assert_eq!(slot.is_some(), fits);
                if let Some(slot) = slot {
                    self.by_name.insert((iface, vhid), slot);
                    assert!(self.ids.insert(hosts.id(slot)), "an id never comes back");
                }
            }
            Step::Remove(slot) => {
                // A node drains a host before it removes it.
                if !self.ready.contains(&slot) {
                    let id = hosts.id(slot);
                    hosts.remove(slot);
                    self.by_name.retain(|_, at| *at != slot);
                    self.deadlines.remove(&slot);
                    assert_eq!(hosts.resolve(id), None);
                }
            }
            Step::Deadline(slot, deadline) => {
                if self.by_name.values().any(|at| *at == slot) {
                    hosts.set_deadline(slot, deadline.map(Instant::from_micros));
                    match deadline {
                        Some(deadline) => self.deadlines.insert(slot, deadline),
                        None => self.deadlines.remove(&slot),
                    };
                }
            }
            Step::PushReady(slot) => {
                hosts.push_ready(slot);
                if self.by_name.values().any(|at| *at == slot) && !self.ready.contains(&slot) {
                    self.ready.push_back(slot);
                }
            }
            Step::PopReady => {
                hosts.pop_ready();
                self.ready.pop_front();
            }
        }
    }

    fn agrees_with(&self, hosts: &Hosts<'_, 1>) {
        let order: Vec<u16> = hosts.ranks().map(|rank| hosts.at_rank(rank).unwrap()).collect();
        assert_eq!(order, self.by_name.values().copied().collect::<Vec<_>>());
        for iface in 0..3 {
            let here: Vec<u16> = hosts
                .ranks_on(IfaceId(iface))
                .map(|rank| hosts.at_rank(rank).unwrap())
                .collect();
            let expected = self.by_name.iter().filter(|((at, _), _)| *at == iface);
            assert_eq!(here, expected.map(|(_, slot)| *slot).collect::<Vec<_>>());
            for vhid in 1..5 {
                let found = hosts.find(IfaceId(iface), Vhid::new(vhid).unwrap());
                assert_eq!(found, self.by_name.get(&(iface, vhid)).copied());
                if let Some(slot) = found {
                    assert_eq!(hosts.resolve(hosts.id(slot)), Some(slot));
                    assert_eq!(hosts.get(slot).unwrap().config.vhid.get(), vhid);
                }
            }
        }
        assert_eq!(hosts.front_ready(), self.ready.front().copied());
        match (hosts.earliest(), self.deadlines.values().min()) {
            (Some((at, slot)), Some(earliest)) => {
                assert_eq!(at.as_micros(), *earliest);
                assert_eq!(self.deadlines[&slot], *earliest);
            }
            (found, expected) => assert_eq!((found, expected), (None, None)),
        }
    }
}

proptest! {
    #[test]
    fn the_indices_agree_with_simple_models(steps in prop::collection::vec(step(), 1..200)) {
        let mut memory = slots();
        let mut hosts = Hosts::new(Pool::Borrowed(&mut memory));
        let mut model = Model::default();
        for step in steps {
            model.apply(&mut hosts, step);
            model.agrees_with(&hosts);
        }
    }

    #[test]
    fn deadlines_come_out_in_order(deadlines in prop::collection::vec(0..1000_u64, 0..=100)) {
        let mut memory: Vec<_> = (0..100).map(|_| HostSlot::<1>::EMPTY).collect();
        let mut hosts = Hosts::new(Pool::Borrowed(&mut memory));
        for (iface, deadline) in (0..).zip(&deadlines) {
            let slot = hosts.insert(host(iface, 1)).unwrap();
            hosts.set_deadline(slot, Some(Instant::from_micros(*deadline)));
        }
        let mut drained = Vec::new();
        while let Some((at, slot)) = hosts.earliest() {
            drained.push(at.as_micros());
            hosts.set_deadline(slot, None);
        }
        let mut expected = deadlines;
        expected.sort_unstable();
        prop_assert_eq!(drained, expected);
    }
}

#[test]
fn a_node_without_slots_takes_no_host() {
    let mut hosts: Hosts<'_, 1> = Hosts::new(Pool::Borrowed(&mut []));
    assert_eq!(hosts.insert(host(0, 1)), None);
    assert_eq!((hosts.earliest(), hosts.front_ready()), (None, None));
    assert_eq!(hosts.find(IfaceId(0), Vhid::new(1).unwrap()), None);
}
