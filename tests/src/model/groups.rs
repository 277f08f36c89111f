//! Groups: two nodes with two virtual hosts each, on two interfaces. Cables are pulled and plugged in every order,
//! and in the end the group is at one node. Smaller than the other search, with the same node.

use std::collections::HashSet;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use carp_fsm::{
    Action, Duration, EventKind, HostConfig, HostId, IfaceId, Instant, LinkMode, Node, Policy, State,
    Storage, TransmitKind, TransmitResult,
};
use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Dialect, FrameClass, Interval, Key, MAX_FRAME_LEN, Vhid, frame::classify,
};

use super::promises::Violation;
use super::reference;
use super::seat::interface;

mod promises;
mod scenario;

pub use scenario::{GROUP_SCENARIOS, GroupScenario};

/// Of every virtual host here: what [`HostConfig::new`] sets.
const ADVBASE: u8 = 1;

/// Where messages are lost, those beyond this are.
const IN_FLIGHT: usize = 4;

/// How long after its interval and its grace, 1/16 of that, an advertisement is overdue at the latest: 1/16 of the
/// highest advskew, and a little.
const TURN: Duration = Duration::from_millis(65);

/// Leaving, two master-down times, an interval until the split is seen and another until it ends; twice.
const BOUND: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Deliver(usize),
    Lose(usize),
    Fire(usize),
    Sleep,
    Link(usize, usize),
    Maintain(usize),
}

struct Router {
    node: Node<'static, 2>,
    hosts: [HostId; 2],
    links: [bool; 2],
    owns: [bool; 2],
    maintenance: bool,
    /// When it last changed: all timers began anew.
    maintained: Instant,
    advskew: u8,
    policy: Policy,
    /// On each interface: since when nothing was heard, over IPv4 and over IPv6.
    quiet_since: [[Instant; 2]; 2],
    /// What was heard last since it became BACKUP.
    heard: [Option<Interval>; 2],
    /// When the one on the other interface last took over from somebody that it heard.
    moved: [Option<Instant>; 2],
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    to: usize,
    on: usize,
    ipv6: bool,
    /// Demotion, advskew and advbase.
    says: [u8; 3],
    frame: Rc<[u8]>,
}

struct Net {
    now: Instant,
    routers: Vec<Router>,
    flight: Vec<Message>,
    in_flight: usize,
    dialect: Dialect,
    dual: bool,
    log: Option<String>,
}

/// Searches until this many states were reached, or one violates. Returns how many.
pub fn search_groups(scenario: &GroupScenario, limit: usize) -> Result<usize, String> {
    let mut start = Net::new(scenario);
    start.run(Duration::from_secs(12)).map_err(|found| found.0)?;
    let mut seen = HashSet::from([start.fingerprint()]);
    let mut good = HashSet::new();
    // A state is a parent and a step, and is walked to again.
    let mut tree: Vec<(usize, Step)> = vec![(0, Step::Sleep)];
    let mut index = 0;
    while index < tree.len() && tree.len() < limit {
        let mut way = Vec::new();
        let mut at = index;
        while at != 0 {
            way.push(tree[at].1);
            at = tree[at].0;
        }
        way.reverse();
        let mut here = start.fork();
        for step in &way {
            here.apply(*step).map_err(|found| found.0)?;
        }
        for step in here.steps(scenario) {
            let mut next = here.fork();
            let mut verdict = next.apply(step);
            if verdict.is_ok() && seen.insert(next.fingerprint()) {
                tree.push((index, step));
                verdict = next.settle(scenario, &mut good);
            }
            if let Err(violation) = verdict {
                way.push(step);
                return Err(start.retell(scenario, &way, &violation));
            }
        }
        index += 1;
    }
    Ok(tree.len())
}

impl Net {
    fn new(scenario: &GroupScenario) -> Self {
        let mut net = Self {
            now: Instant::ZERO,
            routers: Vec::new(),
            flight: Vec::new(),
            in_flight: if scenario.lose { IN_FLIGHT } else { usize::MAX },
            dialect: scenario.dialect,
            dual: scenario.dual,
            log: None,
        };
        for (index, advskew) in [(0_u8, 0), (1, 128)] {
            let policy = if index == 0 {
                Policy::HARDENED
            } else {
                scenario.peer
            };
            let mut node = Node::new(policy, 1 + u64::from(index), Storage::growing_with(32, 16));
            let hosts = [0_u16, 1].map(|on| {
                let vhid = Vhid::new(7).expect("not 0");
                let mut addresses = AddressSet::new();
                addresses.insert([192, 0, 2, 7].into()).expect("room for two");
                if scenario.dual {
                    let ipv6 = "2001:db8::7".parse().expect("an address");
                    addresses.insert(ipv6).expect("room for two");
                }
                node.handle_interface(net.now, IfaceId(on), interface(index, true));
                let config = HostConfig {
                    advskew: AdvSkew::new(advskew),
                    preempt: scenario.preempt,
                    dialect: scenario.dialect,
                    mode: LinkMode::Vmac,
                    addresses,
                    ..HostConfig::new(IfaceId(on), vhid, Key::from_bytes([7; 20]))
                };
                node.insert(net.now, config).expect("a valid configuration")
            });
            net.routers.push(Router {
                node,
                hosts,
                links: [true; 2],
                owns: [false; 2],
                maintenance: false,
                maintained: net.now,
                advskew,
                policy,
                quiet_since: [[net.now; 2]; 2],
                heard: [None; 2],
                moved: [None; 2],
            });
        }
        net
    }

    fn fork(&self) -> Self {
        let fork = |router: &Router| Router {
            node: router.node.fork().expect("its memory is its own"),
            ..*router
        };
        Self {
            now: self.now,
            routers: self.routers.iter().map(fork).collect(),
            flight: self.flight.clone(),
            in_flight: self.in_flight,
            dialect: self.dialect,
            dual: self.dual,
            log: None,
        }
    }

    fn fingerprint(&self) -> u64 {
        let mut state = DefaultHasher::new();
        for router in &self.routers {
            (router.links, router.owns, router.maintenance).hash(&mut state);
            router.node.hash_election(self.now, &mut state);
        }
        for message in &self.flight {
            (message.to, message.on, message.ipv6, message.says).hash(&mut state);
        }
        state.finish()
    }

    fn deadline(&self) -> Option<Instant> {
        let deadlines = self.routers.iter().map(|router| router.node.next_deadline());
        deadlines.flatten().min()
    }

    fn due(&self) -> impl Iterator<Item = usize> {
        let due = |at: Instant| at <= self.now;
        let routers = self.routers.iter().enumerate();
        routers
            .filter_map(move |(index, router)| router.node.next_deadline().is_some_and(due).then_some(index))
    }

    fn steps(&self, scenario: &GroupScenario) -> Vec<Step> {
        // Where nothing is lost nothing overtakes either: an advertisement behind a bow-out undoes it.
        let first = |index: &usize| {
            let Message { to, on, .. } = self.flight[*index];
            scenario.lose
                || !self.flight[..*index]
                    .iter()
                    .any(|before| (before.to, before.on) == (to, on))
        };
        let mut steps: Vec<Step> = (0..self.flight.len()).filter(first).map(Step::Deliver).collect();
        if scenario.lose {
            steps.extend((0..self.flight.len()).map(Step::Lose));
        }
        steps.extend(self.due().map(Step::Fire));
        if self.due().next().is_none() {
            steps.push(Step::Sleep);
        }
        for router in 0..=usize::from(scenario.both) {
            steps.extend([0, 1].map(|on| Step::Link(router, on)));
        }
        if scenario.maintain {
            steps.extend([0, 1].map(Step::Maintain));
        }
        steps
    }

    fn apply(&mut self, step: Step) -> Result<(), Violation> {
        let now = self.now;
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{now:>12}  {step:?}");
        }
        match step {
            Step::Lose(index) => {
                self.flight.remove(index);
                return Ok(());
            }
            Step::Sleep => {
                self.now = self.deadline().map_or(now, |at| at.max(now));
                return Ok(());
            }
            Step::Deliver(index) => {
                let Message {
                    to,
                    on,
                    ipv6,
                    says,
                    frame,
                } = self.flight.remove(index);
                if let FrameClass::Carp { meta, payload } = classify(&frame) {
                    let iface = IfaceId(u16::from(on == 1));
                    let router = &mut self.routers[to];
                    if router.node.handle_packet(now, iface, &meta, payload).is_ok() {
                        let [_, advskew, advbase] = says;
                        router.quiet_since[on][usize::from(ipv6)] = now;
                        if !self.dual {
                            router.quiet_since[on] = [now; 2];
                        }
                        let interval = Interval::new(AdvBase::new(advbase), AdvSkew::new(advskew));
                        let status = router.node.status(router.hosts[on]);
                        router.heard[on] = status.filter(|status| status.since < now).map(|_| interval);
                    }
                }
                self.drain(to, true)?;
            }
            Step::Fire(index) => {
                self.routers[index].node.handle_timeout(now);
                self.routers[index].node.handle_drained(now);
                self.drain(index, false)?;
                self.check_hurry(index)?;
            }
            Step::Link(index, on) => {
                let router = &mut self.routers[index];
                router.links[on] ^= true;
                let info = interface(u8::from(index == 1), router.links[on]);
                router
                    .node
                    .handle_interface(now, IfaceId(u16::from(on == 1)), info);
                self.flight
                    .retain(|message| (message.to, message.on) != (index, on));
                self.drain(index, false)?;
            }
            Step::Maintain(index) => {
                let router = &mut self.routers[index];
                router.maintenance ^= true;
                router.node.set_maintenance(now, router.maintenance);
                router.maintained = now;
                self.drain(index, false)?;
            }
        }
        // In any order, where they may overtake one another.
        if self.in_flight == IN_FLIGHT {
            self.flight.sort_unstable();
        }
        Ok(())
    }

    /// Takes what the node wants and tells after something was heard, or after anything else.
    fn drain(&mut self, index: usize, heard: bool) -> Result<(), Violation> {
        let mut frame = [0; MAX_FRAME_LEN];
        for _ in 0..64 {
            let router = &mut self.routers[index];
            let Some(action) = router.node.poll_action(self.now, &mut frame) else {
                while let Some(event) = router.node.poll_event() {
                    if let Some(log) = &mut self.log {
                        let _ = writeln!(log, "{:>12}  node {index}: {:?}", event.at, event.kind);
                    }
                    match event.kind {
                        EventKind::Lost(_) => {
                            return Err(Violation("reports more than the search can hold".into()));
                        }
                        EventKind::Transition { host, from, to, .. } => {
                            let on = usize::from(host == router.hosts[1]);
                            router.check_transition(event.at, self.dialect, on, (from, to), heard)?;
                        }
                        _ => {}
                    }
                }
                return Ok(());
            };
            match action {
                Action::SetOwner { host, owner, seq } => {
                    router.node.handle_owner_result(self.now, host, seq, Ok(()));
                    router.owns[usize::from(host == router.hosts[1])] = owner;
                }
                Action::Transmit {
                    iface, kind, len, tx, ..
                } => {
                    router
                        .node
                        .handle_transmit_result(self.now, tx, TransmitResult::Sent);
                    let (on, to) = (usize::from(iface.0), 1 - index);
                    let passes =
                        router.links[on] && self.routers[to].links[on] && self.flight.len() < self.in_flight;
                    if passes && kind != TransmitKind::Announcement {
                        let FrameClass::Carp { meta, payload } = classify(&frame[..len]) else {
                            return Err(Violation("a frame was sent that is no advertisement".into()));
                        };
                        let says = [payload[4], payload[2], payload[5]];
                        self.flight.push(Message {
                            to,
                            on,
                            ipv6: meta.src.is_ipv6(),
                            says,
                            frame: frame[..len].into(),
                        });
                    }
                }
            }
        }
        Err(Violation("wishes something done without end".into()))
    }

    /// Runs without further faults, every message arriving at once.
    fn run(&mut self, span: Duration) -> Result<(), Violation> {
        let end = self.now + span;
        while self.step_without_faults(end)? {}
        Ok(())
    }

    fn step_without_faults(&mut self, end: Instant) -> Result<bool, Violation> {
        let fire = self.due().next().map(Step::Fire);
        let step = (!self.flight.is_empty()).then_some(Step::Deliver(0)).or(fire);
        if step.is_none() && self.deadline().is_none_or(|at| at > end) {
            return Ok(false);
        }
        self.apply(step.unwrap_or(Step::Sleep))?;
        Ok(true)
    }

    /// Without further faults everything ends where it should, from here and from every state on the way.
    fn settle(&self, scenario: &GroupScenario, good: &mut HashSet<u64>) -> Result<(), Violation> {
        let mut world = self.fork();
        let end = world.now + BOUND;
        let mut path = Vec::new();
        loop {
            let state = world.fingerprint();
            if good.contains(&state) {
                break;
            }
            path.push(state);
            if !world.step_without_faults(end)? {
                world.check(scenario)?;
                break;
            }
        }
        good.extend(path);
        Ok(())
    }

    /// Goes the way once more, as a log.
    fn retell(&self, scenario: &GroupScenario, way: &[Step], violation: &Violation) -> String {
        let mut net = self.fork();
        net.log = Some(String::new());
        let mut verdict = Ok(());
        for step in way {
            verdict = net.apply(*step);
        }
        if verdict.is_ok() {
            net.log
                .iter_mut()
                .for_each(|log| log.push_str("without further faults:\n"));
            let _ = net.run(BOUND);
            let _ = net.check(scenario);
        }
        let log = net.log.unwrap_or_default();
        format!("{log}violation: {violation}")
    }
}
