//! Who takes part in a run, drawn from its seed.

use std::fmt;
use std::net::IpAddr;

use carp_fsm::sim::{ADDRS, NodePlan, virtual_host};
use carp_fsm::{Duration, HostConfig, IfaceId, LinkMode, Peer, Policy, Profile};
use carp_proto::{AddressSet, AdvBase, AdvSkew, Dialect, Key, Vhid};

use super::chance::Chance;

/// Nodes in a run.
pub(super) const NODES: usize = 3;

/// Of the virtual hosts of all nodes: the first on the first interface, the second, if there is one, on another.
pub(super) const VHIDS: [Vhid; 2] = [
    Vhid::new(7).expect("7 is not 0"),
    Vhid::new(8).expect("8 is not 0"),
];

/// What all change their key to, where they do.
pub(super) const NEW_KEY: Key = Key::from_bytes([8; 20]);

/// Who takes part.
pub struct Plan {
    pub(super) members: [Member; NODES],
    /// Virtual hosts of each node, each on an interface of its own, in one group.
    pub(super) hosts: usize,
    /// Nodes change their key while they run.
    pub(super) rekeys: bool,
    /// Somebody on the segment plays what was recorded, as it was or forged.
    pub(super) attacked: bool,
}

/// One node.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) name: &'static str,
    /// Its first virtual host.
    pub(super) host: HostConfig<ADDRS>,
    pub(super) policy: Policy,
    multicast: bool,
    peers: Vec<Peer>,
    offset: Duration,
    ppm: i32,
}

/// What the nodes of a run have in common.
struct Common {
    dialects: [Dialect; NODES],
    hardened: [bool; NODES],
    fast: bool,
    rekeys: bool,
    attacked: bool,
}

impl Common {
    fn draw(chance: &mut Chance) -> Self {
        let fast = chance.percent(8);
        let rekeys = chance.percent(15);
        let mut attacked = chance.percent(20);
        let alike = chance.one_of(&[
            Dialect::FreeBsd,
            Dialect::FreeBsd,
            Dialect::OpenBsd,
            Dialect::NetBsd,
            Dialect::Ucarp,
        ]);
        let mixed = chance.percent(30);
        let dialects = [(); NODES].map(|()| match (fast, mixed) {
            (true, _) => Dialect::OpenBsd,
            (false, true) => chance.one_of(&Dialect::ALL),
            (false, false) => alike,
        });
        // Whose counters repeat has no memory of them.
        attacked &= !dialects.contains(&Dialect::OpenBsd);
        let manners = chance.below(100);
        // A kernel knows one key only, and remembers no counters.
        let all = fast || rekeys || attacked;
        let hardened = [(); NODES].map(|()| match manners {
            _ if all => true,
            0..70 => true,
            70..85 => false,
            _ => chance.percent(50),
        });
        Self {
            dialects,
            hardened,
            fast,
            rekeys,
            attacked,
        }
    }

    fn all_hardened(&self) -> bool {
        self.hardened == [true; NODES]
    }

    fn advbases(&self, chance: &mut Chance) -> [u8; NODES] {
        if self.fast {
            // Perhaps one that does not have the profile.
            let slow = usize::try_from(chance.below(10)).unwrap_or(NODES);
            return [0, 1, 2].map(|index| u8::from(index == slow));
        }
        if chance.percent(15) {
            // With OpenBSD's rule, a demoted BACKUP and a three times slower MASTER never settle (`docs/proof.md`).
            let openbsd = self.dialects.contains(&Dialect::OpenBsd);
            let largest = if openbsd { 2 } else { 3 };
            return [(); NODES].map(|()| 1 + u8::try_from(chance.below(largest)).unwrap_or(0));
        }
        [chance.one_of(&[1, 1, 1, 2]); NODES]
    }

    fn advskews(&self, chance: &mut Chance, advbases: [u8; NODES]) -> [u8; NODES] {
        let (first, end) = if self.fast { (8, 128) } else { (0, 255) };
        let mut skews = distinct_skews(chance, first, end);
        let differ = advbases != [advbases[0]; NODES];
        // Kernels that are equal need never part (`docs/proof.md`).
        if self.all_hardened() && !differ && chance.percent(40) {
            skews[1] = skews[0];
            if chance.percent(30) {
                skews[2] = skews[0];
            }
        }
        skews
    }
}

impl Plan {
    /// Two with the same advskew may meet up to 16 times in a row, by `docs/protocol.md` §11.
    pub(super) fn has_equals(&self) -> bool {
        let [a, b, c] = self.members.each_ref().map(|member| member.host.advskew);
        a == b || b == c || a == c
    }

    /// The three nodes of the run with this seed.
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let common = Common::draw(chance);
        let mixed = common.dialects != [common.dialects[0]; NODES];
        // OpenBSD's demotion is in a field that the others do not read: who offers and who takes the rest of a group
        // may go round in a circle (`docs/proof.md`).
        let circle = mixed && common.dialects.contains(&Dialect::OpenBsd);
        let hosts = if !common.fast && !circle && chance.percent(25) {
            2
        } else {
            1
        };
        let only_ipv4 = mixed || common.dialects[0] == Dialect::Ucarp;
        let addresses = addresses(chance, only_ipv4);
        let unicast = chance.percent(20);
        let multicast = !unicast || chance.percent(30);
        let preempts = chance.below(100);
        let preempt_delay = Duration::from_secs(if chance.percent(10) { 5 } else { 0 });
        let advbases = common.advbases(chance);
        let mut skews = common.advskews(chance, advbases);
        if hosts > 1 && skews[0] == skews[1] && skews[2] <= skews[0] {
            // Nobody waits longer for silence than the third, which may have nothing better to do than to offer its group:
            // the equals take it at the same moment, again and again (`docs/proof.md`).
            skews = distinct_skews(chance, 0, 255);
        }
        let dead_ratio = 3 + u8::try_from(chance.below(3)).unwrap_or(0);
        // Kernels repeat counters: OpenBSD's its own, the others those of each other after a split (`docs/proof.md`).
        let repeats = !common.all_hardened();
        let mut index = 0;
        let members = ["a", "b", "c"].map(|name| {
            let policy = if common.hardened[index] {
                Policy::HARDENED
            } else {
                Policy::KERNEL
            };
            let host = HostConfig {
                advbase: AdvBase::new(advbases[index]),
                advskew: AdvSkew::new(skews[index]),
                profile: if advbases[index] == 0 {
                    Profile::fast(dead_ratio)
                } else {
                    Profile::Normal
                },
                preempt: match preempts {
                    0..40 => true,
                    40..80 => false,
                    _ => chance.percent(50),
                },
                preempt_delay,
                dialect: common.dialects[index],
                mode: chance.one_of(&[LinkMode::Plain, LinkMode::Vmac]),
                addresses: addresses.clone(),
                ..virtual_host(VHIDS[0], 0)
            };
            let peers = if unicast {
                peers(index, &addresses)
            } else {
                Vec::new()
            };
            index += 1;
            Member {
                name,
                host,
                policy: Policy {
                    ignores_replays: policy.ignores_replays && !repeats,
                    ..policy
                },
                multicast,
                peers,
                offset: Duration::from_micros(chance.below(86_400_000_000)),
                ppm: i32::try_from(chance.below(1_001)).unwrap_or(0) - 500,
            }
        });
        Self {
            members,
            hosts,
            rekeys: common.rekeys,
            attacked: common.attacked,
        }
    }

    /// Do all that are named speak one dialect?
    pub(super) fn speak_alike(&self, members: &[usize]) -> bool {
        let dialect = |index: &usize| self.members[*index].host.dialect;
        members.iter().all(|index| dialect(index) == dialect(&members[0]))
    }
}

impl Member {
    pub(super) fn plan(&self, index: usize, hosts: usize) -> NodePlan {
        let plan = (0..hosts).fold(
            NodePlan::new(self.name, [10, 0, 0, number(index)]),
            |plan, side| plan.host(self.host(side)),
        );
        plan.policy(self.policy)
            .unicast(self.multicast, &self.peers)
            .clock(self.offset, self.ppm)
    }

    /// The virtual host on its first interface (0) or its second.
    pub(super) fn host(&self, side: usize) -> HostConfig<ADDRS> {
        HostConfig {
            iface: IfaceId(u16::try_from(side).unwrap_or(0)),
            vhid: VHIDS[side],
            ..self.host.clone()
        }
    }

    pub(super) fn is_hardened(&self) -> bool {
        self.policy.live_changes
    }

    /// How many advertisements it says something in: one to each destination.
    pub(super) fn destinations(&self) -> usize {
        let addresses = &self.host.addresses;
        let families = [addresses.has_ipv4(), addresses.has_ipv6()];
        let groups = families.into_iter().filter(|has| *has && self.multicast).count();
        groups + self.peers.len()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for member in &self.members {
            let Member {
                name,
                host,
                multicast,
                peers,
                offset,
                ppm,
                ..
            } = member;
            let manners = if member.is_hardened() {
                "hardened"
            } else {
                "as the kernel"
            };
            write!(
                f,
                "{name}: {} {manners}, {}/{}, preempt {}, {:?} mode, {} IPv4 and {} IPv6 addresses, clock {ppm:+} ppm ahead by {offset} s",
                host.dialect,
                host.advbase.get(),
                host.advskew.get(),
                if host.preempt { "on" } else { "off" },
                host.mode,
                host.addresses.ipv4().count(),
                host.addresses.ipv6().count(),
            )?;
            if let Profile::Fast { dead_ratio } = host.profile {
                write!(f, ", fast with dead ratio {dead_ratio}")?;
            }
            match (peers.len(), multicast) {
                (0, _) => {}
                (count, true) => write!(f, ", {count} unicast peers and multicast")?,
                (count, false) => write!(f, ", {count} unicast peers only")?,
            }
            writeln!(f)?;
        }
        for (drawn, what) in [
            (self.hosts > 1, "two virtual hosts in a group, on two interfaces"),
            (self.rekeys, "keys change"),
            (self.attacked, "somebody plays recordings"),
        ] {
            if drawn {
                writeln!(f, "{what}")?;
            }
        }
        Ok(())
    }
}

/// The dialects agree on the digest of one IPv4 address, and on little else.
fn addresses(chance: &mut Chance, only_ipv4: bool) -> AddressSet<ADDRS> {
    let families = chance.below(100);
    let mut addresses = AddressSet::new();
    if only_ipv4 || families < 90 {
        addresses.insert([192, 0, 2, 7].into()).expect("room");
    }
    if !only_ipv4 && families >= 75 {
        addresses
            .insert("2001:db8::7".parse().expect("an address"))
            .expect("room");
    }
    addresses
}

/// All others, in every family that is spoken.
fn peers(index: usize, addresses: &AddressSet<ADDRS>) -> Vec<Peer> {
    let others = (0..NODES).filter(|other| *other != index);
    let peers = others.flat_map(|other| {
        let last = number(other);
        let ipv6 = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0x0a00, last.into()]);
        [
            addresses.has_ipv4().then(|| IpAddr::from([10, 0, 0, last])),
            addresses.has_ipv6().then_some(ipv6),
        ]
    });
    let peer = |address| Peer {
        address,
        min_ttl: 255,
    };
    peers.flatten().map(peer).collect()
}

/// The last octet of its address.
fn number(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap_or(u8::MAX)
}

/// Nothing in the kernels' protocol keeps two equal masters from yielding both, again and again. We part them.
fn distinct_skews(chance: &mut Chance, first: u8, end: u8) -> [u8; NODES] {
    loop {
        let choices = u64::from(end - first);
        let skews = [(); NODES].map(|()| first + u8::try_from(chance.below(choices)).unwrap_or(0));
        if skews[0] != skews[1] && skews[1] != skews[2] && skews[0] != skews[2] {
            return skews;
        }
    }
}
