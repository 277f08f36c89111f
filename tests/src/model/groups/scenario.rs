//! The scenarios of the search of groups.

use carp_fsm::Policy;
use carp_proto::Dialect;

/// Two nodes of one dialect with advskew 0 and 128, and what may happen to them.
#[derive(Clone, Copy, Debug)]
pub struct GroupScenario {
    /// One word.
    pub name: &'static str,
    /// Of both nodes.
    pub dialect: Dialect,
    /// Of all virtual hosts.
    pub preempt: bool,
    /// They have an address of each family.
    pub dual: bool,
    /// Manners of the second node.
    pub peer: Policy,
    /// Messages are lost.
    pub lose: bool,
    /// Cables of the second node are pulled, too.
    pub both: bool,
    /// Nodes enter and leave maintenance mode.
    pub maintain: bool,
}

const fn group(name: &'static str, dialect: Dialect, preempt: bool) -> GroupScenario {
    GroupScenario {
        name,
        dialect,
        preempt,
        dual: false,
        peer: Policy::HARDENED,
        lose: true,
        both: true,
        maintain: false,
    }
}

/// Everything that is searched.
pub const GROUP_SCENARIOS: &[GroupScenario] = &[
    group("group-freebsd", Dialect::FreeBsd, false),
    group("group-freebsd-preempt", Dialect::FreeBsd, true),
    group("group-openbsd", Dialect::OpenBsd, false),
    group("group-ucarp", Dialect::Ucarp, false),
    // A kernel obeys a bow-out, and does nothing else about a group.
    GroupScenario {
        peer: Policy::KERNEL,
        lose: false,
        both: false,
        ..group("group-kernel", Dialect::FreeBsd, false)
    },
    // One that preempts needs no bow-out: demotion moves it.
    GroupScenario {
        peer: Policy::KERNEL,
        ..group("group-kernel-preempt", Dialect::FreeBsd, true)
    },
    // Hears bow-outs and bows out when it stops, but a lost link is no reason for it to.
    GroupScenario {
        peer: Policy {
            fails_over_as_group: false,
            ..Policy::HARDENED
        },
        lose: false,
        both: false,
        ..group("group-one-follows", Dialect::FreeBsd, false)
    },
    GroupScenario {
        dual: true,
        ..group("group-dual", Dialect::FreeBsd, false)
    },
    GroupScenario {
        dual: true,
        ..group("group-dual-preempt", Dialect::OpenBsd, true)
    },
    GroupScenario {
        maintain: true,
        ..group("group-maintenance", Dialect::FreeBsd, false)
    },
];
