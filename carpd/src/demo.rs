//! `carpd demo`: an election that anybody can watch. No root, no network; virtual time.
//!
//! Three nodes on a simulated segment run the shipping [`Node`](carp_fsm::Node) with real frames. Every
//! claim it prints is measured from the simulation's trace, and one that fails makes the exit code 1.

use carp_fsm::sim::{Fault, NodeId, NodePlan, Sim, TraceEntry, TraceKind, virtual_host};
use carp_fsm::{
    ConfigError, Duration, EventKind, HandOver, HostConfig, Instant, Policy, State, TransmitKind,
};
use carp_proto::{AdvBase, AdvSkew, Dialect, Vhid};

mod ownership;

use ownership::Ownership;

/// Name and advskew of each node; the last byte of its address is its position.
const NODES: [(&str, u8); 3] = [("alpha", 0), ("beta", 100), ("gamma", 200)];
const ADVBASE: u8 = 1;
const VHID: Vhid = Vhid::new(7).expect("7 is not 0");
const SEED: u64 = 0xca59;

/// Runs the demonstration: what it has to say, and whether everything went as CARP promises.
pub fn run() -> (String, bool) {
    match play() {
        Ok(show) => (show.text, show.broken == 0),
        Err(error) => (format!("FAIL: the nodes could not be set up: {error}\n"), false),
    }
}

fn play() -> Result<Show, ConfigError> {
    let mut show = Show::new()?;
    let [alpha, beta, _gamma] = show.nodes;

    show.act(
        "Election. Nobody is MASTER yet, and everybody listens first.",
        8_000,
        |_| {},
    );
    show.detection("at the start nobody was heard", alpha, None);
    show.states([State::Master, State::Backup, State::Backup]);

    show.act("Crash. alpha stops dead, without a word.", 6_500, |sim| {
        sim.crash(alpha);
    });
    show.detection("alpha fell silent", beta, Some(alpha));
    show.states([State::Init, State::Master, State::Backup]);

    show.act(
        "Return. alpha is back, hears the slower beta, and preempts it.",
        5_000,
        |sim| sim.restart(alpha),
    );
    show.no_gap();
    show.states([State::Master, State::Backup, State::Backup]);

    show.act(
        "Planned hand-over. alpha bows out, but keeps the address until a successor is heard.",
        5_000,
        |sim| {
            if let Some(host) = sim.host(alpha, VHID) {
                sim.command(alpha, |node, now| {
                    // It was looked up in the same breath, so it exists.
                    let _ = node.hand_over(now, host);
                });
            }
        },
    );
    show.no_gap();
    show.states([State::Backup, State::Master, State::Backup]);

    show.one_owner();
    show.verdict();
    Ok(show)
}

struct Show {
    text: String,
    sim: Sim,
    nodes: [NodeId; 3],
    /// Entries of the trace that were told already.
    told: usize,
    act_began: Instant,
    /// Which of the nodes has the address, as far as it was told.
    has: [bool; 3],
    kept: u32,
    broken: u32,
}

impl Show {
    fn new() -> Result<Self, ConfigError> {
        let mut sim = Sim::new(SEED);
        let mut add = |position: u8, (name, advskew): (&str, u8)| {
            let advbase = AdvBase::new(ADVBASE);
            let host = HostConfig {
                advbase,
                preempt: true,
                ..virtual_host(VHID, advskew)
            };
            sim.add(NodePlan::new(name, [10, 0, 0, position]).host(host))
        };
        let nodes = [add(1, NODES[0])?, add(2, NODES[1])?, add(3, NODES[2])?];
        let text = "\
Three nodes share the address 192.0.2.7 (vhid 7, advbase 1, preempt on). The one with the lowest
advskew is preferred: alpha has 0, beta 100, gamma 200. The network is simulated and time is virtual;
the election and every byte of every frame are those of a running carpd.
"
        .to_owned();
        Ok(Self {
            text,
            sim,
            nodes,
            told: 0,
            act_began: Instant::ZERO,
            has: [false; 3],
            kept: 0,
            broken: 0,
        })
    }

    fn say(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// One act of the play: something is done, time passes, and what happened is told.
    fn act(&mut self, title: &str, millis: u64, does: impl FnOnce(&mut Sim)) {
        self.say(&format!("\n{title}"));
        self.act_began = self.sim.now();
        does(&mut self.sim);
        self.sim.run_for(Duration::from_millis(millis));

        let entries = self.sim.trace()[self.told..].to_vec();
        self.told = self.sim.trace().len();
        for entry in &entries {
            if let Some(what) = self.tell(entry) {
                self.say(&format!("{:>12} s  {:<6} {what}", entry.at, entry.name));
            }
        }
        for (node, (name, _)) in self.nodes.into_iter().zip(NODES) {
            let advertised = TraceKind::Sent(TransmitKind::Advertisement);
            let count = entries
                .iter()
                .filter(|entry| entry.node == node && entry.kind == advertised)
                .count();
            if count > 0 {
                self.say(&format!("{:>12}    {name:<6} advertised {count} times", ""));
            }
        }
    }

    /// How long `node` waited for a master it did not hear, beside the formula.
    fn detection(&mut self, what: &str, node: NodeId, master: Option<NodeId>) {
        let (name, advskew) = NODES[node.0];
        let formula = Dialect::FreeBsd.master_down_micros(AdvBase::new(ADVBASE), AdvSkew::new(advskew));
        let promoted = self.sim.trace().iter().rfind(|entry| {
            let to_master = matches!(
                entry.kind,
                TraceKind::Event(EventKind::Transition {
                    to: State::Master,
                    ..
                })
            );
            entry.node == node && to_master && entry.at >= self.act_began
        });
        let Some(promoted) = promoted.map(|entry| entry.at) else {
            return self.check(false, &format!("{what}, and {name} did not take over"));
        };
        let heard = |entry: &&TraceEntry| {
            let TraceKind::Heard { from, .. } = entry.kind else {
                return false;
            };
            entry.node == node && master == Some(from)
        };
        let last_heard = self
            .sim
            .trace()
            .iter()
            .rfind(heard)
            .map_or(Instant::ZERO, |entry| entry.at);
        let measured = (promoted - last_heard).as_micros();
        let text = format!(
            "{what}: {name} waited {}; 3*advbase + advskew/256 is {}",
            seconds(measured),
            seconds(formula)
        );
        self.check(measured.abs_diff(formula) <= 1_000, &text);
    }

    fn states(&mut self, promised: [State; 3]) {
        let found = self.sim.states(VHID);
        let line = |states: &[State]| {
            let named = NODES
                .iter()
                .zip(states)
                .map(|((name, _), state)| format!("{name} {state}"));
            named.collect::<Vec<_>>().join(", ")
        };
        let mut text = line(&found);
        if found != promised {
            text = format!("{text}, where CARP promises {}", line(&promised));
        }
        self.check(found == promised, &text);
    }

    fn no_gap(&mut self) {
        let gap = Ownership::of(self.sim.trace(), self.sim.now()).longest_gap_since(self.act_began);
        let text = format!("without an owner: {}", seconds(gap.as_micros()));
        self.check(gap == Duration::ZERO, &text);
    }

    /// Two owners at a time are a fact of CARP while an advertisement is under way (150 us at most here), and
    /// while the old one lingers until clients have learnt the new MAC address.
    fn one_owner(&mut self) {
        let overlap = Ownership::of(self.sim.trace(), self.sim.now()).longest_overlap();
        let bound = Policy::HARDENED.linger + Duration::from_micros(150);
        self.say("\nOver the whole play");
        let text = format!("two owners at a time: for at most {overlap} s (an old owner lingers 0.02 s)");
        self.check(overlap <= bound, &text);
    }

    fn verdict(&mut self) {
        let (kept, broken, time) = (self.kept, self.broken, self.sim.now());
        let verdict = if broken == 0 { "PASS" } else { "FAIL" };
        self.say(&format!(
            "\n{verdict}: {kept} promises kept, {broken} broken, in {time} s of virtual time"
        ));
    }

    /// What a newcomer wants to know of. Periodic advertisements are counted instead.
    fn tell(&mut self, entry: &TraceEntry) -> Option<String> {
        let had = match entry.kind {
            TraceKind::Owner { owner, .. } => std::mem::replace(&mut self.has[entry.node.0], owner),
            TraceKind::Fault(Fault::Crash) => std::mem::replace(&mut self.has[entry.node.0], false),
            _ => false,
        };
        Some(match entry.kind {
            TraceKind::Event(EventKind::Transition { from, to, reason, .. }) => {
                format!("{from} -> {to} ({reason})")
            }
            TraceKind::Event(EventKind::HandOver {
                outcome: HandOver::Done(after),
                ..
            }) => {
                format!("heard its successor {after} s after the bow-out")
            }
            TraceKind::Owner { owner: true, .. } => "puts 192.0.2.7 on".to_owned(),
            TraceKind::Owner { owner: false, .. } if had => "takes 192.0.2.7 off".to_owned(),
            TraceKind::Sent(TransmitKind::BowOut) => "bows out: somebody else take over, now".to_owned(),
            TraceKind::Sent(TransmitKind::Announcement) => {
                "tells the segment where 192.0.2.7 is (gratuitous ARP)".to_owned()
            }
            TraceKind::Fault(fault) => fault.to_string().to_uppercase(),
            _ => return None,
        })
    }

    fn check(&mut self, kept: bool, text: &str) {
        *(if kept { &mut self.kept } else { &mut self.broken }) += 1;
        self.say(&format!("  {:<4} {text}", if kept { "ok" } else { "FAIL" }));
    }
}

fn seconds(micros: u64) -> String {
    format!("{} s", Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn keeps_every_promise() {
        let (text, passed) = run();
        assert!(passed, "{text}");
        assert!(text.contains("beta waited 3.390625 s"), "{text}");
        assert!(
            text.contains("beta   BACKUP -> MASTER (master timed out)"),
            "{text}"
        );
        assert!(text.contains("alpha  MASTER -> BACKUP (handed over)"), "{text}");
    }
}
