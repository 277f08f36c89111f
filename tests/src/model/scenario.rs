//! Who takes part in a search, and what may go wrong.

use carp_fsm::{Duration, Policy};
use carp_proto::Dialect;

use Fault::{
    Crash, Deafen, Demote, Disable, Duplicate, Force, HandOver, Isolate, Link, Lose, Maintain, Pause, Refuse,
    Rekey, SendErrors, Shutdown, Unreachable,
};

/// One node of a scenario; each has the one virtual host that all share.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// As printed in counterexamples.
    pub name: &'static str,
    /// Its dialect.
    pub dialect: Dialect,
    /// Its configured advbase: 0 in the fast profile.
    pub advbase: u8,
    /// Its configured advskew.
    pub advskew: u8,
    /// The dead ratio of the fast profile, if it has that.
    pub fast: Option<u8>,
    /// Takes over from a slower living master.
    pub preempt: bool,
}

/// What may go wrong at any moment, beyond delay and reordering, which are always explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message is lost.
    Lose,
    /// A message arrives twice.
    Duplicate,
    /// A node stops dead; it may start again at any time.
    Crash,
    /// A cable is pulled and plugged, and the node notices.
    Link,
    /// A node is cut off both ways and does not notice; healed at any time.
    Isolate,
    /// One direction goes dead: a node hears nobody, but is heard; healed at any time, or never.
    Deafen,
    /// The operator demotes a node, or lifts that.
    Demote,
    /// Planned hand-over.
    HandOver,
    /// The operator puts the node into maintenance mode, or takes it out.
    Maintain,
    /// The operator switches the virtual host off and on.
    Disable,
    /// The node stops in good order; it may start again at any time.
    Shutdown,
    /// `ifconfig .. state master|backup`.
    Force,
    /// Every frame fails to leave, and the node is told.
    SendErrors,
    /// A node does not run for a while, but what it held remains.
    Pause,
    /// The adapter cannot put the addresses on.
    Refuse,
    /// The operator changes the key of a node, once; in the end all nodes have the new one.
    Rekey,
    /// What a node sends to the next one by unicast does not leave, and the node is told.
    Unreachable,
}

/// What the search should find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No violation.
    Holds,
    /// A known flaw of the modelled kernels: the shortest way to it, and this in its description.
    Flaw(&'static str),
}

/// A search.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// One word.
    pub name: &'static str,
    /// The nodes: two or three.
    pub members: &'static [Member],
    /// Manners of all nodes.
    pub policy: Policy,
    /// What may go wrong.
    pub faults: &'static [Fault],
    /// More messages than this are never under way; one too many is lost.
    pub in_flight: usize,
    /// To whom they speak.
    pub speak: Speak,
    /// Starts with an elected master, or with all nodes just switched on.
    pub settled: bool,
    /// What the search should find.
    pub expect: Expect,
}

/// To whom all nodes of a scenario speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speak {
    /// To the group of IPv4.
    Ipv4,
    /// To the groups of both families, for an address of each.
    Both,
    /// To each other by unicast over IPv4.
    Unicast,
}

/// Nothing but a deadline makes time pass more finely than this.
pub const TICK: Duration = Duration::from_millis(500);

/// The operator's demotion: adds up to another member's advskew, so that ties are met.
pub const DEMOTION: u16 = 128;

/// The linger is one tick, so that all deadlines lie on a common grid; all else is [`Policy::HARDENED`].
const HARDENED: Policy = Policy {
    linger: TICK,
    ..Policy::HARDENED
};
const KERNEL: Policy = Policy::KERNEL;

const FREEBSD: Dialect = Dialect::FreeBsd;
const OPENBSD: Dialect = Dialect::OpenBsd;
const NETBSD: Dialect = Dialect::NetBsd;
const UCARP: Dialect = Dialect::Ucarp;

const fn node(name: &'static str, dialect: Dialect, advskew: u8, preempt: bool) -> Member {
    Member {
        name,
        dialect,
        advbase: 1,
        advskew,
        fast: None,
        preempt,
    }
}

const fn equals(dialect: Dialect) -> [Member; 2] {
    [node("a", dialect, 0, false), node("b", dialect, 0, false)]
}

const THREE_EQUALS: [Member; 3] = [
    node("a", FREEBSD, 0, true),
    node("b", FREEBSD, 0, true),
    node("c", FREEBSD, 0, true),
];

/// Skews are multiples of 1/16 s, so that relative times are few.
const fn pair(first: Dialect, second: Dialect, preempt: bool) -> [Member; 2] {
    [node("a", first, 0, preempt), node("b", second, 128, preempt)]
}

const fn three(dialects: [Dialect; 3], preempt: bool) -> [Member; 3] {
    [
        node("a", dialects[0], 0, preempt),
        node("b", dialects[1], 64, preempt),
        node("c", dialects[2], 128, preempt),
    ]
}

/// Faults of the network and of nodes.
const WORLD: &[Fault] = &[Lose, Duplicate, Crash, Link, Isolate];
/// What an operator does, on a network that loses messages.
const OPERATOR: &[Fault] = &[Lose, Demote, HandOver, Disable, Shutdown, Force];
const ALL: &[Fault] = &[
    Lose, Duplicate, Crash, Link, Isolate, Demote, HandOver, Disable, Shutdown, Force,
];
const MAINTENANCE: &[Fault] = &[Lose, Maintain, Crash, Demote, Shutdown];
const SENDING: &[Fault] = &[Lose, Crash, SendErrors, Demote];
const PAUSES: &[Fault] = &[Lose, Duplicate, Pause, Crash, HandOver];
const ONE_WAY: &[Fault] = &[Lose, Crash, Deafen, HandOver];
/// A grace of four seconds instead of a minute: the same, with fewer moments in it.
const CHANGING: Policy = Policy {
    change_grace: Duration::from_secs(4),
    ..HARDENED
};

const fn fast(name: &'static str, advskew: u8, preempt: bool) -> Member {
    Member {
        advbase: 0,
        fast: Some(3),
        ..node(name, OPENBSD, advskew, preempt)
    }
}

const fn slow(name: &'static str, dialect: Dialect, advbase: u8, preempt: bool) -> Member {
    Member {
        advbase,
        ..node(name, dialect, 0, preempt)
    }
}

const FAST: &[Fault] = &[Lose, Crash, Demote, HandOver, Shutdown];
const REFUSALS: &[Fault] = &[Lose, Refuse, Crash, HandOver, Disable];

const fn holds(
    name: &'static str,
    members: &'static [Member],
    policy: Policy,
    faults: &'static [Fault],
) -> Scenario {
    Scenario {
        name,
        members,
        policy,
        faults,
        in_flight: 4,
        speak: Speak::Ipv4,
        settled: true,
        expect: Expect::Holds,
    }
}

const fn flaw(
    name: &'static str,
    members: &'static [Member],
    policy: Policy,
    what: &'static str,
) -> Scenario {
    Scenario {
        expect: Expect::Flaw(what),
        ..holds(name, members, policy, WORLD)
    }
}

/// The known flaws of `docs/proof.md`.
const NEVER_ONE: &str = "there never is exactly one master for good";

/// Everything that is searched, in CI and in the long run alike; only the number of states differs.
pub const SCENARIOS: &[Scenario] = &[
    holds("freebsd", &pair(FREEBSD, FREEBSD, false), HARDENED, ALL),
    holds("freebsd-preempt", &pair(FREEBSD, FREEBSD, true), HARDENED, ALL),
    holds("openbsd", &pair(OPENBSD, OPENBSD, false), HARDENED, ALL),
    holds("openbsd-preempt", &pair(OPENBSD, OPENBSD, true), HARDENED, ALL),
    holds("netbsd-preempt", &pair(NETBSD, NETBSD, true), HARDENED, ALL),
    holds("ucarp-preempt", &pair(UCARP, UCARP, true), HARDENED, ALL),
    holds("freebsd-openbsd", &pair(FREEBSD, OPENBSD, false), HARDENED, WORLD),
    holds(
        "openbsd-freebsd-preempt",
        &pair(OPENBSD, FREEBSD, true),
        HARDENED,
        WORLD,
    ),
    holds(
        "freebsd-netbsd-preempt",
        &pair(FREEBSD, NETBSD, true),
        HARDENED,
        OPERATOR,
    ),
    holds("freebsd-ucarp", &pair(FREEBSD, UCARP, false), HARDENED, WORLD),
    holds(
        "maintenance",
        &pair(FREEBSD, FREEBSD, false),
        HARDENED,
        MAINTENANCE,
    ),
    holds(
        "maintenance-preempt",
        &pair(OPENBSD, OPENBSD, true),
        HARDENED,
        MAINTENANCE,
    ),
    holds(
        "maintenance-mixed",
        &pair(NETBSD, UCARP, true),
        HARDENED,
        MAINTENANCE,
    ),
    holds(
        "three-maintenance",
        &three([FREEBSD; 3], true),
        HARDENED,
        MAINTENANCE,
    ),
    holds("sending", &pair(FREEBSD, FREEBSD, false), HARDENED, SENDING),
    holds("sending-preempt", &pair(NETBSD, NETBSD, true), HARDENED, SENDING),
    holds("pauses", &pair(FREEBSD, FREEBSD, false), HARDENED, PAUSES),
    holds("three-pauses", &three([FREEBSD; 3], true), HARDENED, PAUSES),
    holds("one-way", &pair(FREEBSD, FREEBSD, false), HARDENED, ONE_WAY),
    holds(
        "one-way-preempt",
        &pair(OPENBSD, OPENBSD, true),
        HARDENED,
        ONE_WAY,
    ),
    holds("three-one-way", &three([FREEBSD; 3], false), HARDENED, ONE_WAY),
    Scenario {
        faults: ONE_WAY,
        ..flaw(
            "three-one-way-preempt",
            &three([FREEBSD; 3], true),
            HARDENED,
            NEVER_ONE,
        )
    },
    holds("refusals", &pair(FREEBSD, FREEBSD, false), HARDENED, REFUSALS),
    holds(
        "refusals-preempt",
        &pair(OPENBSD, OPENBSD, true),
        HARDENED,
        REFUSALS,
    ),
    holds("kernel-freebsd", &pair(FREEBSD, FREEBSD, false), KERNEL, ALL),
    holds(
        "kernel-freebsd-preempt",
        &pair(FREEBSD, FREEBSD, true),
        KERNEL,
        ALL,
    ),
    holds("kernel-pauses", &pair(FREEBSD, FREEBSD, true), KERNEL, PAUSES),
    holds("kernel-sending", &pair(FREEBSD, FREEBSD, false), KERNEL, SENDING),
    holds("equals-ucarp", &equals(UCARP), HARDENED, WORLD),
    holds("equals-freebsd", &equals(FREEBSD), HARDENED, WORLD),
    holds("equals-openbsd", &equals(OPENBSD), HARDENED, WORLD),
    Scenario {
        settled: false,
        ..holds("three-equals", &THREE_EQUALS, HARDENED, &[Lose, Crash])
    },
    holds("three-equals-demoted", &THREE_EQUALS, HARDENED, &[Lose, Demote]),
    flaw("kernel-three-equals-demoted", &THREE_EQUALS, KERNEL, NEVER_ONE),
    flaw("kernel-equals-freebsd", &equals(FREEBSD), KERNEL, NEVER_ONE),
    flaw("kernel-equals-openbsd", &equals(OPENBSD), KERNEL, NEVER_ONE),
    holds(
        "kernel-openbsd-preempt",
        &pair(OPENBSD, OPENBSD, true),
        KERNEL,
        ALL,
    ),
    Scenario {
        settled: false,
        ..holds("three-cold", &three([FREEBSD; 3], true), HARDENED, WORLD)
    },
    // Both families.
    Scenario {
        speak: Speak::Both,
        ..holds("dual", &pair(FREEBSD, FREEBSD, false), HARDENED, ALL)
    },
    Scenario {
        speak: Speak::Both,
        ..holds("dual-preempt", &pair(OPENBSD, OPENBSD, true), HARDENED, ALL)
    },
    Scenario {
        speak: Speak::Both,
        ..holds("dual-equals", &equals(NETBSD), HARDENED, WORLD)
    },
    Scenario {
        speak: Speak::Both,
        ..holds("dual-pauses", &pair(FREEBSD, FREEBSD, true), HARDENED, PAUSES)
    },
    // Unicast.
    Scenario {
        speak: Speak::Unicast,
        ..holds("unicast", &pair(FREEBSD, FREEBSD, false), HARDENED, ALL)
    },
    Scenario {
        speak: Speak::Unicast,
        ..holds(
            "three-unicast",
            &three([FREEBSD; 3], true),
            HARDENED,
            &[Lose, Crash, HandOver, Unreachable],
        )
    },
    Scenario {
        speak: Speak::Unicast,
        ..holds(
            "three-unicast-openbsd",
            &three([OPENBSD; 3], false),
            HARDENED,
            &[Lose, Crash, Demote, Unreachable],
        )
    },
    // Changes of the key.
    holds(
        "key",
        &pair(FREEBSD, FREEBSD, false),
        CHANGING,
        &[Lose, Rekey, Crash, HandOver],
    ),
    holds(
        "key-preempt",
        &pair(OPENBSD, OPENBSD, true),
        CHANGING,
        &[Lose, Rekey, Demote, Disable],
    ),
    holds("three-key", &three([FREEBSD; 3], true), CHANGING, &[Lose, Rekey]),
    // The fast profile.
    holds(
        "fast",
        &[fast("a", 64, false), fast("b", 128, false)],
        HARDENED,
        FAST,
    ),
    holds(
        "fast-preempt",
        &[fast("a", 64, true), fast("b", 128, true)],
        HARDENED,
        FAST,
    ),
    holds(
        "fast-far-apart",
        &[fast("a", 16, false), fast("b", 240, false)],
        HARDENED,
        FAST,
    ),
    holds(
        "fast-maintenance",
        &[fast("a", 64, false), fast("b", 128, false)],
        HARDENED,
        MAINTENANCE,
    ),
    holds(
        "fast-pauses",
        &[fast("a", 64, false), fast("b", 128, false)],
        HARDENED,
        PAUSES,
    ),
    holds(
        "fast-equals",
        &[fast("a", 64, false), fast("b", 64, false)],
        HARDENED,
        WORLD,
    ),
    holds(
        "fast-among-others",
        &[fast("a", 64, false), node("b", OPENBSD, 128, false)],
        HARDENED,
        WORLD,
    ),
    holds(
        "three-fast",
        &[fast("a", 64, true), fast("b", 128, true), fast("c", 192, true)],
        HARDENED,
        WORLD,
    ),
    // Members of different advbase.
    holds(
        "advbase",
        &[node("a", FREEBSD, 0, false), slow("b", FREEBSD, 2, false)],
        HARDENED,
        ALL,
    ),
    holds(
        "advbase-preempt",
        &[node("a", NETBSD, 128, true), slow("b", NETBSD, 2, true)],
        HARDENED,
        ALL,
    ),
    holds(
        "advbase-far-apart",
        &[node("a", FREEBSD, 0, false), slow("b", FREEBSD, 4, false)],
        HARDENED,
        WORLD,
    ),
    holds(
        "three-advbase",
        &[
            node("a", FREEBSD, 128, false),
            slow("b", FREEBSD, 2, false),
            slow("c", FREEBSD, 3, false),
        ],
        HARDENED,
        &[Lose, Crash, HandOver],
    ),
    // Maintenance and hand-over.
    holds(
        "maintenance-hand-over",
        &pair(FREEBSD, FREEBSD, false),
        HARDENED,
        &[Lose, Maintain, HandOver, Crash],
    ),
    holds(
        "maintenance-hand-over-preempt",
        &pair(OPENBSD, OPENBSD, true),
        HARDENED,
        &[Lose, Maintain, HandOver, Disable],
    ),
    holds("three-world", &three([FREEBSD; 3], false), HARDENED, WORLD),
    holds("three-operator", &three([FREEBSD; 3], true), HARDENED, OPERATOR),
    holds(
        "three-mixed",
        &three([OPENBSD, FREEBSD, NETBSD], true),
        HARDENED,
        WORLD,
    ),
];
