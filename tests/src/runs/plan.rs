//! Who takes part in a run, drawn from its seed.

use std::fmt;

use carp_fsm::sim::{ADDRS, NodePlan, virtual_host};
use carp_fsm::{Duration, HostConfig, LinkMode, Policy};
use carp_proto::{AddressSet, AdvBase, AdvSkew, Dialect, Vhid};

use super::chance::Chance;

/// Nodes in a run.
pub(super) const NODES: usize = 3;

/// Of the one virtual host of all nodes.
pub(super) const VHID: Vhid = Vhid::new(7).expect("7 is not 0");

/// Who takes part.
pub struct Plan {
    pub(super) members: [Member; NODES],
}

/// One node.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) host: HostConfig<ADDRS>,
    pub(super) policy: Policy,
    offset: Duration,
    ppm: i32,
}

impl Plan {
    /// Two with the same advskew may meet up to 16 times in a row, by `docs/protocol.md` §11.
    pub(super) fn has_equals(&self) -> bool {
        let [a, b, c] = self.members.each_ref().map(|member| member.host.advskew);
        a == b || b == c || a == c
    }

    /// The three nodes of the run with this seed.
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let alike = chance.one_of(&[
            Dialect::FreeBsd,
            Dialect::FreeBsd,
            Dialect::OpenBsd,
            Dialect::NetBsd,
            Dialect::Ucarp,
        ]);
        let mixed = chance.percent(30);
        let dialects = [(); NODES].map(|()| {
            if mixed {
                chance.one_of(&Dialect::ALL)
            } else {
                alike
            }
        });
        let manners = chance.below(100);
        let hardened = [(); NODES].map(|()| match manners {
            0..70 => true,
            70..85 => false,
            _ => chance.percent(50),
        });
        let preempts = chance.below(100);
        let advbase = chance.one_of(&[1, 1, 1, 2]);
        // With OpenBSD's rule, a demoted BACKUP and a three times slower MASTER never settle (`docs/proof.md`).
        let advbase_differs = chance.percent(10) && !dialects.contains(&Dialect::OpenBsd);
        let addresses = addresses(chance, mixed || alike == Dialect::Ucarp);
        let preempt_delay = Duration::from_secs(if chance.percent(10) { 5 } else { 0 });
        let mut skews = distinct_skews(chance);
        // Kernels that are equal need never part (`docs/proof.md`).
        if hardened == [true; NODES] && !advbase_differs && chance.percent(40) {
            skews[1] = skews[0];
            if chance.percent(30) {
                skews[2] = skews[0];
            }
        }
        // Kernels repeat counters: OpenBSD's its own, the others those of each other after a split (`docs/proof.md`).
        let repeats = hardened != [true; NODES];
        let mut index = 0;
        let members = ["a", "b", "c"].map(|name| {
            let policy = if hardened[index] {
                Policy::HARDENED
            } else {
                Policy::KERNEL
            };
            let preempt = match preempts {
                0..40 => true,
                40..80 => false,
                _ => chance.percent(50),
            };
            let advbase = if advbase_differs {
                1 + u8::try_from(chance.below(3)).unwrap_or(0)
            } else {
                advbase
            };
            let host = HostConfig {
                advbase: AdvBase::new(advbase),
                advskew: AdvSkew::new(skews[index]),
                preempt,
                preempt_delay,
                dialect: dialects[index],
                mode: chance.one_of(&[LinkMode::Plain, LinkMode::Vmac]),
                addresses: addresses.clone(),
                ..virtual_host(VHID, 0)
            };
            index += 1;
            Member {
                name,
                host,
                policy: Policy {
                    ignores_replays: policy.ignores_replays && !repeats,
                    ..policy
                },
                offset: Duration::from_micros(chance.below(86_400_000_000)),
                ppm: i32::try_from(chance.below(1_001)).unwrap_or(0) - 500,
            }
        });
        Self { members }
    }
}

impl Member {
    pub(super) fn plan(&self, index: usize) -> NodePlan {
        let last = u8::try_from(index + 1).unwrap_or(u8::MAX);
        NodePlan::new(self.name, [10, 0, 0, last])
            .host(self.host.clone())
            .policy(self.policy)
            .clock(self.offset, self.ppm)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Member {
            name,
            host,
            policy,
            offset,
            ppm,
        } in &self.members
        {
            let manners = if policy.bow_out {
                "hardened"
            } else {
                "as the kernel"
            };
            writeln!(
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

/// Nothing in the kernels' protocol keeps two equal masters from yielding both, again and again. We part them.
fn distinct_skews(chance: &mut Chance) -> [u8; NODES] {
    loop {
        let skews = [(); NODES].map(|()| u8::try_from(chance.below(255)).unwrap_or(0));
        if skews[0] != skews[1] && skews[1] != skews[2] && skews[0] != skews[2] {
            return skews;
        }
    }
}
