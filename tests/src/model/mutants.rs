//! Planted bugs: if the model check did not find them, nobody should trust it.

/// One change to the source of `carp-fsm` that makes it wrong.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// What it breaks.
    pub what: &'static str,
    /// Path below `carp-fsm/src`.
    pub file: &'static str,
    /// Stands there exactly once.
    pub find: &'static str,
    /// Takes its place.
    pub put: &'static str,
}

const fn mutant(what: &'static str, file: &'static str, find: &'static str, put: &'static str) -> Mutant {
    Mutant {
        what,
        file,
        find,
        put,
    }
}

/// All planted bugs.
pub const MUTANTS: &[Mutant] = &[
    // Who wins.
    mutant(
        "a BACKUP preempts an equal master",
        "machine/heard.rs",
        "view.interval() < peer &&",
        "view.interval() <= peer &&",
    ),
    mutant(
        "OpenBSD: an equally demoted slower master is not preempted",
        "machine/heard.rs",
        "peer_demotion >= mine",
        "peer_demotion > mine",
    ),
    mutant(
        "OpenBSD: an equally demoted master is taken for a more demoted one",
        "machine/heard.rs",
        "compares_demotion && peer_demotion > mine",
        "compares_demotion && peer_demotion >= mine",
    ),
    mutant(
        "equal masters never yield",
        "machine/compare.rs",
        "TieRule::Hearer => own >= peer",
        "TieRule::Hearer => own > peer",
    ),
    mutant(
        "the better master yields",
        "machine/compare.rs",
        "TieRule::Hearer => own >= peer",
        "TieRule::Hearer => own <= peer",
    ),
    mutant(
        "OpenBSD: the less demoted master yields",
        "machine/compare.rs",
        "peer_demotion < mine ||",
        "peer_demotion > mine ||",
    ),
    mutant(
        "OpenBSD: a demoted MASTER yields to a bow-out",
        "machine/compare.rs",
        "if peer == Interval::BOW_OUT && view.policy.answer_worse_master {",
        "if peer == Interval::BOW_OUT && view.maintenance {",
    ),
    mutant(
        "UCarp: the lower address yields",
        "machine/compare.rs",
        "own == peer && lower_source)",
        "own == peer && !lower_source)",
    ),
    mutant(
        "a bow-out is not a slow master",
        "machine/compare.rs",
        "saturating_mul(3_000_000)",
        "saturating_mul(300_000_000)",
    ),
    mutant(
        "demotion does not show on the wire",
        "machine/view.rs",
        "Interval::new(self.advbase, self.effective_skew())",
        "Interval::new(self.advbase, self.advskew)",
    ),
    mutant(
        "a copy that the network made is news",
        "node/receive.rs",
        "Verdict::Fresh => None,",
        "Verdict::Fresh | Verdict::Duplicate => None,",
    ),
    // Timers.
    mutant(
        "hearing the master does not restart the master-down timer",
        "machine/heard.rs",
        "*down = now + view.waits_for(peer, willing, *ties);",
        "*down = (*down).max(now);",
    ),
    mutant(
        "equals wait equally long",
        "machine/view.rs",
        "if ties == 0 {",
        "if ties < u8::MAX {",
    ),
    mutant(
        "who has tied preempts at once",
        "machine/heard.rs",
        "&& *ties > 0",
        "&& *ties > 0\n            && view.maintenance",
    ),
    mutant(
        "who preempts a worse master does so although an equal was first",
        "machine/heard.rs",
        "if *because != Reason::MasterTimedOut {\n                // The equal",
        "if *because == Reason::MasterWillTimeOut {\n                // The equal",
    ),
    mutant(
        "who tied once waits longer for ever",
        "machine/heard.rs",
        "if view.is_one_period(quiet) {",
        "if view.is_one_period(quiet) && *ties == u8::MAX {",
    ),
    mutant(
        "a BACKUP without a master-down timer",
        "machine.rs",
        "            down4,\n            down6,\n            because: Reason::MasterTimedOut,\n            stance,",
        "            down4: down4.filter(|_| view.ipv6),\n            down6,\n            because: Reason::MasterTimedOut,\n            stance,",
    ),
    mutant(
        "a demoted BACKUP waits longer",
        "machine/view.rs",
        "self.dialect.master_down_micros(self.advbase, self.base_skew())",
        "self.dialect.master_down_micros(self.advbase, self.effective_skew())",
    ),
    mutant(
        "a MASTER advertises as seldom as a BACKUP waits",
        "machine.rs",
        "let period = view.period(view.effective_skew());\n                let next = *next_ad + period;",
        "let period = view.waits(0);\n                let next = *next_ad + period;",
    ),
    mutant(
        "who bowed out waits for its successor without end",
        "machine.rs",
        "Role::Leaving { until, .. } => Some(until),",
        "Role::Leaving { .. } => None,",
    ),
    mutant(
        "deadlines are not kept up to date after a step",
        "node/engine.rs",
        "            self.hosts.push_ready(slot);\n        }\n        self.reschedule(slot);",
        "            self.hosts.push_ready(slot);\n        }",
    ),
    mutant(
        "who wakes takes over before it hears what waits",
        "node.rs",
        "if !self.policy.hears_first {",
        "if self.now == now {",
    ),
    // Leaving.
    mutant(
        "a hand-over that nobody answers is not called off",
        "machine.rs",
        "Departure::Offer => self.stay_master(now, view),",
        "Departure::Offer => self.become_init(InitReason::Disabled, None),",
    ),
    mutant(
        "who handed over takes it back at once",
        "machine/view.rs",
        "peer == Interval::BOW_OUT || !(resigned || self.maintenance)",
        "resigned || peer.micros() > 0",
    ),
    mutant(
        "enabled again while leaving, it leaves all the same",
        "machine.rs",
        "            } => self.stay_master(now, view),\n            _ => Reaction::default(),",
        "            } => Reaction::default(),\n            _ => Reaction::default(),",
    ),
    mutant(
        "forced while stopping, it takes part again",
        "machine.rs",
        "                State::Backup,\n            ) => self.become_init(reason, None),",
        "                State::Backup,\n            ) => self.become_backup(now, Reason::Stopped(reason), view),",
    ),
    mutant(
        "a node that shuts down takes part on",
        "node/engine.rs",
        "(self.shutting_down, InitReason::ShuttingDown)",
        "(false, InitReason::ShuttingDown)",
    ),
    mutant(
        "who is leaving takes a bow-out for its successor",
        "machine.rs",
        "Role::Leaving { .. } if interval == Interval::BOW_OUT",
        "Role::Leaving { .. } if interval != Interval::BOW_OUT",
    ),
    // Maintenance mode.
    mutant(
        "in maintenance it takes over from a living master",
        "machine/view.rs",
        "!(resigned || self.maintenance)",
        "!resigned",
    ),
    mutant(
        "in maintenance it does not answer a bow-out",
        "machine/view.rs",
        "peer == Interval::BOW_OUT || !(resigned",
        "peer == Interval::BOW_OUT && !self.maintenance || !(resigned",
    ),
    mutant(
        "in maintenance it stays MASTER beside a slower one",
        "machine/heard.rs",
        "if view.maintenance {\n            if matches!",
        "if view.maintenance && view.ipv6 {\n            if matches!",
    ),
    mutant(
        "entering maintenance hands nothing over",
        "node/maintenance.rs",
        "            if maintenance {",
        "            if !maintenance {",
    ),
    mutant(
        "after maintenance it does not preempt",
        "machine/leaving.rs",
        "Departure::StepBack => self.follow(now, Reason::HandedOver, peer, false,",
        "Departure::StepBack => self.follow(now, Reason::HandedOver, peer, true,",
    ),
    mutant(
        "after maintenance it preempts whom it handed over to on request",
        "machine/leaving.rs",
        "Departure::HandOver => self.follow(now, Reason::HandedOver, peer, true,",
        "Departure::HandOver => self.follow(now, Reason::HandedOver, peer, !view.maintenance,",
    ),
    mutant(
        "two in maintenance wait equally long",
        "machine/view.rs",
        "let more = if self.maintenance {",
        "let more = if self.maintenance && self.ipv6 {",
    ),
    // Groups.
    mutant(
        "the others of a group do not follow the one that is lost",
        "node/groups.rs",
        "let fails_over = to > from && cause.is_observed()",
        "let fails_over = to < from && cause.is_observed()",
    ),
    mutant(
        "who is alone in a lost group offers nothing to who comes back",
        "node/groups.rs",
        "if lost && self.policy.fails_over_as_group {",
        "if lost && !self.policy.fails_over_as_group {",
    ),
    mutant(
        "a split group does not preempt",
        "node/engine.rs",
        "preempt: preempt || (self.policy.fails_over_as_group && self.is_split(group)),",
        "preempt,",
    ),
    mutant(
        "a group that moves here is not followed",
        "node/groups.rs",
        "if moves_here && self.policy",
        "if moves_here && self.shutting_down && self.policy",
    ),
    mutant(
        "a group follows before an advertisement is overdue",
        "node/groups.rs",
        "interval.saturating_add(turn)",
        "interval.saturating_add(turn) / 2",
    ),
    mutant(
        "a group follows where no master was heard",
        "node/groups.rs",
        "host.peer.filter(|peer| peer.at > host.machine.since())?",
        "host.peer?",
    ),
    mutant(
        "a group follows whoever takes over for silence",
        "node/split.rs",
        "Reason::PreemptingSlowerMaster | Reason::PreemptingMoreDemotedMaster | Reason::MasterWillTimeOut",
        "Reason::MasterTimedOut",
    ),
    mutant(
        "in maintenance a group is followed",
        "node/groups.rs",
        "fails_over_as_group && !self.maintenance {",
        "fails_over_as_group {",
    ),
    mutant(
        "a hand-over goes on as if asked for, though maintenance was left",
        "node/maintenance.rs",
        "Input::Leave(Departure::Offer)",
        "Input::Leave(Departure::HandOver)",
    ),
    // Both families.
    mutant(
        "hearing the master over IPv6 does not restart that timer",
        "machine/heard.rs",
        "Family::Ipv6 => down6,",
        "Family::Ipv6 => down4,",
    ),
    // Unicast.
    mutant(
        "only the first peer is told",
        "host/destinations.rs",
        "core::mem::replace(&mut self.0, rest) != rest",
        "core::mem::replace(&mut self.0, rest & 3) != rest",
    ),
    mutant(
        "one of several peers that cannot be reached is a send error",
        "host/destinations.rs",
        "wanted.is_empty() || !wanted.and(reached).is_empty()",
        "wanted.is_empty() || wanted == wanted.and(reached)",
    ),
    // Changes of the key.
    mutant(
        "who has changed its key signs with the new one alone",
        "node/engine.rs",
        "Signature::Older => Some((self.parts.keys?.signing)(&self.keys, slot)?),",
        "Signature::Older => None,",
    ),
    mutant(
        "who has changed its key does not believe the old one",
        "node/keys.rs",
        "spares.find_map(|spare| spare.authenticator.verify(&packet).ok())",
        "spares.find_map(|spare| spare.authenticator.verify(&packet).ok()).filter(|_| false)",
    ),
    // The fast profile.
    mutant(
        "fast: a slower master is not waited for",
        "machine/view.rs",
        "self.intervals(ratio, peer.skew())",
        "self.intervals(ratio, AdvSkew::new(peer.skew().get().min(1)))",
    ),
    mutant(
        "fast: who becomes BACKUP of a slower master does not wait for it",
        "machine.rs",
        "let wait = view.waits_for(peer, view.is_willing(peer, resigned), ties);",
        "let wait = view.waits(ties);",
    ),
    mutant(
        "fast: who changes its timing forgets how slow its master is",
        "machine.rs",
        " || view.dead_ratio.is_some();",
        ";",
    ),
    mutant(
        "fast: the profile is not left",
        "host/changing.rs",
        "heard.base().get() > 0 && heard",
        "heard.base().get() > 1 && heard",
    ),
    mutant(
        "fast: a bow-out does not count",
        "machine/compare.rs",
        "return peer == Interval::BOW_OUT;",
        "return false;",
    ),
    // Ownership.
    mutant(
        "who yields keeps the addresses",
        "node/engine.rs",
        "host.waits_until = Some(now + view.policy.linger);",
        "host.waits_until = None;",
    ),
    mutant(
        "without room to transmit, it loses the addresses",
        "host.rs",
        "if self.state() != State::Master {\n            self.marks",
        "if self.state() != State::Init {\n            self.marks",
    ),
    mutant(
        "whoever stops keeps the addresses",
        "machine.rs",
        "if from == State::Master && to != State::Master {",
        "if from == State::Master && to == State::Backup {",
    ),
    mutant(
        "the addresses are asked for twice",
        "node/engine.rs",
        "if !host.asked.ask(owner) {",
        "if !host.asked.ask(owner) && !owner {",
    ),
    mutant(
        "addresses that were refused are never tried again",
        "machine/leaving.rs",
        "self.become_init(InitReason::AddressRefused, Some(retry))",
        "self.become_init(InitReason::AddressRefused, Some(retry).filter(|_| false))",
    ),
    // The ledger.
    mutant(
        "a cable that is pulled does not demote",
        "node.rs",
        "self.weigh(now, group, Cause::LinkDown(iface), !usable);",
        "let _ = group;",
    ),
    mutant(
        "clearing one cause clears all others instead",
        "ledger.rs",
        "entry.cause != cause",
        "entry.cause == cause",
    ),
    mutant(
        "sending must fail once more before it counts",
        "host/sending.rs",
        "self.errors < SEND_THRESHOLD",
        "self.errors <= SEND_THRESHOLD",
    ),
    mutant(
        "a BACKUP lifts its demotion for errors at once",
        "host/sending.rs",
        "self.retry_at = retry.map(|wait| now + wait.max(BUSY_RETRY));",
        "self.retry_at = retry.map(|_| now + BUSY_RETRY);",
    ),
    mutant(
        "three successes do not lift the demotion for errors",
        "host/sending.rs",
        "*self = Self::default();\n        was_failing",
        "self.errors = 0;\n        was_failing",
    ),
];
