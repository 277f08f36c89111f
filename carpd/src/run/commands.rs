//! Commands of the operator: judged as a whole, carried out by the node, and answered when their outcome is known.

use std::fmt::Write as _;
use std::net::IpAddr;

use carp_fsm::{Duration, Event, EventKind, HandOver, HostId, HostStatus, Instant, State};

use super::Daemon;
use super::carry_out::{Step, carry_out};
use super::errands::{Asker, Errand, Plan};
use super::events::millis;
use super::hosts::{self, Difference, Member};
use crate::control::{Answer, Command, Job, Outcome};

/// How long `enable` waits for the election to be decided. A master with advbase 1 is heard, or missed, sooner.
const ELECTION: Duration = Duration::from_secs(10);

/// The commands whose outcome is not known yet.
#[derive(Default)]
pub(super) struct Commands {
    waiting: Vec<Waiting>,
}

struct Waiting {
    job: Job,
    wish: Wish,
    since: Instant,
    /// What is known already.
    outcomes: Vec<Outcome>,
    hosts: Vec<Watched>,
}

#[derive(Clone, Copy)]
pub(super) enum Wish {
    Disabled,
    Enabled,
    HandedOver,
    State(State),
    Reloaded,
    Maintained,
    MaintainedNoLonger,
}

/// A virtual host that a command is about, and what has happened to it since.
struct Watched {
    id: HostId,
    name: String,
    was: State,
    hand_over: Option<HandOver>,
    /// Whose advertisement changed its state.
    peer: Option<IpAddr>,
    /// Whether the wish is true, and the words for it.
    outcome: Option<(bool, String)>,
}

impl Commands {
    /// Carries a command out. An error has changed nothing.
    pub(super) fn begin(&mut self, job: Job, daemon: &mut Daemon, now: Instant) {
        let state = |member: &Member| {
            (
                member.id,
                daemon.carp.node().state(member.id).unwrap_or(State::Init),
            )
        };
        let before: Vec<_> = daemon.journal.members.iter().map(state).collect();
        match carry_out(&job.command, daemon, now) {
            Err(why) => job.answer(Answer::refusal(why)),
            Ok(Step::Done(answer)) => job.answer(answer),
            Ok(Step::Errand(Plan::Reload)) => daemon.errands.ask(Errand::Reload(Asker::Client(job))),
            Ok(Step::Errand(Plan::Store { maintenance })) => {
                daemon.errands.ask(Errand::Store { job, maintenance });
            }
            Ok(Step::Wait(wish, ids, outcomes)) => {
                let hosts = before.into_iter().filter(|(id, _)| ids.contains(id));
                let hosts = hosts
                    .map(|(id, was)| Watched::new(id, daemon.journal.name(id), was))
                    .collect();
                self.waiting.push(Waiting {
                    job,
                    wish,
                    since: now,
                    outcomes,
                    hosts,
                });
            }
        }
    }

    /// Answers who has asked for maintenance mode, now or when its outcome is known.
    pub(super) fn maintained(
        &mut self,
        job: Job,
        maintenance: bool,
        stored: Result<Vec<(HostId, String, State)>, String>,
        now: Instant,
    ) {
        let hosts = match stored {
            Ok(hosts) => hosts,
            Err(why) => return job.answer(Answer::refusal(why)),
        };
        let (wish, text) = if maintenance {
            (Wish::Maintained, "entered")
        } else {
            (Wish::MaintainedNoLonger, "left")
        };
        let outcomes = vec![hosts::outcome("maintenance".to_owned(), text.to_owned())];
        if matches!(job.command, Command::Maintenance { wait: false, .. }) {
            return job.answer(Answer::report(outcomes));
        }
        self.waiting.push(Waiting {
            job,
            wish,
            since: now,
            outcomes,
            hosts: hosts.into_iter().map(Watched::from).collect(),
        });
    }

    /// Answers a reload, now or when those that were removed have left.
    pub(super) fn reloaded(&mut self, job: Job, reloaded: Result<Difference, String>, now: Instant) {
        let difference = match reloaded {
            Ok(difference) => difference,
            Err(why) => return job.answer(Answer::refusal(why)),
        };
        let configuration = Outcome {
            subject: "configuration".to_owned(),
            done: true,
            text: difference.to_string(),
        };
        let (mut outcomes, removed) = (difference.outcomes, difference.removed.into_iter());
        outcomes.push(configuration);
        self.waiting.push(Waiting {
            job,
            wish: Wish::Reloaded,
            since: now,
            outcomes,
            hosts: removed.map(Watched::from).collect(),
        });
    }

    /// Takes note of what happens meanwhile.
    pub(super) fn note(&mut self, event: &Event) {
        for host in self.waiting.iter_mut().flat_map(|waiting| &mut waiting.hosts) {
            match event.kind {
                EventKind::Transition { host: id, peer, .. } if id == host.id => {
                    host.peer = peer.or(host.peer);
                }
                EventKind::HandOver {
                    host: id,
                    outcome,
                    peer,
                } if id == host.id => {
                    host.hand_over = Some(outcome);
                    host.peer = peer.or(host.peer);
                }
                _ => {}
            }
        }
    }

    /// Answers the commands whose outcome is known now.
    pub(super) fn finish(&mut self, daemon: &Daemon, now: Instant) {
        let is_known = |waiting: &mut Waiting| waiting.is_known(daemon, now);
        for waiting in self.waiting.extract_if(.., is_known) {
            let outcomes = waiting.hosts.into_iter().filter_map(|host| {
                let (done, text) = host.outcome?;
                let subject = host.name;
                Some(Outcome { subject, done, text })
            });
            let answer = Answer::report(outcomes.chain(waiting.outcomes).collect());
            waiting.job.answer(answer);
        }
    }

    /// When [`finish`](Self::finish) has to be called even if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting
            .iter()
            .filter(|waiting| matches!(waiting.wish, Wish::Enabled | Wish::MaintainedNoLonger))
            .map(|waiting| waiting.since + ELECTION)
            .min()
    }
}

impl Waiting {
    fn is_known(&mut self, daemon: &Daemon, now: Instant) -> bool {
        let Daemon { carp, journal, .. } = daemon;
        for host in self.hosts.iter_mut().filter(|host| host.outcome.is_none()) {
            host.outcome = match carp.node().status(host.id) {
                None if matches!(self.wish, Wish::Reloaded) => {
                    Some((true, format!("removed{}", host.successor())))
                }
                None => Some((false, "it does not exist any longer".to_owned())),
                Some(status) => host.judge(self.wish, &status, self.since, now),
            };
            if let (Some((done, text)), Some(error)) = (&mut host.outcome, carp.ownership_error(host.id)) {
                *done = false;
                let _ = write!(text, "; but {error}");
            }
        }
        let is_open = matches!(self.wish, Wish::Reloaded) && !journal.waiting.is_empty();
        self.hosts.iter().all(|host| host.outcome.is_some()) && !is_open
    }
}

impl From<(HostId, String, State)> for Watched {
    fn from((id, name, was): (HostId, String, State)) -> Self {
        Self::new(id, name, was)
    }
}

impl Watched {
    fn new(id: HostId, name: String, was: State) -> Self {
        Self {
            id,
            name,
            was,
            hand_over: None,
            peer: None,
            outcome: None,
        }
    }

    /// Whether the wish has come true, and the words for it; `None` as long as that is open.
    fn judge(&self, wish: Wish, status: &HostStatus, since: Instant, now: Instant) -> Option<(bool, String)> {
        let state = status.state;
        let is = match status.init_reason {
            Some(reason) => format!("INIT ({reason})"),
            None => state.to_string(),
        };
        match wish {
            // Known when the node has forgotten it.
            Wish::Reloaded => None,
            Wish::Disabled if state != State::Init || status.owner => None,
            Wish::Disabled => Some((true, format!("disabled{}", self.successor()))),
            Wish::Enabled => {
                let heard = status.peer.filter(|peer| peer.at >= since);
                match (state, heard) {
                    (State::Init, _) => Some((false, format!("enabled, but {is}"))),
                    (State::Master, _) => Some((true, "enabled, MASTER".to_owned())),
                    (State::Backup, Some(peer)) => {
                        Some((true, format!("enabled, BACKUP; the master is {}", peer.source)))
                    }
                    (State::Backup, None) if now >= since + ELECTION => {
                        Some((true, "enabled, BACKUP; no master is heard yet".to_owned()))
                    }
                    (State::Backup, None) => None,
                }
            }
            Wish::MaintainedNoLonger => {
                let heard = status.peer.filter(|peer| peer.at >= since);
                match (state, heard) {
                    (State::Backup, None) if now < since + ELECTION => None,
                    (State::Backup, Some(peer)) => {
                        Some((true, format!("BACKUP; the master is {}", peer.source)))
                    }
                    _ => Some((true, is)),
                }
            }
            Wish::Maintained if self.was != State::Master => Some((true, is)),
            Wish::HandedOver | Wish::Maintained => match self.hand_over {
                Some(HandOver::Done(_)) if state == State::Master => {
                    Some((false, "handed over, but MASTER again".to_owned()))
                }
                Some(HandOver::Done(_)) if status.owner => None,
                Some(HandOver::Done(after)) => {
                    let peer = self
                        .peer
                        .map_or_else(|| "a successor".into(), |peer| peer.to_string());
                    Some((true, format!("handed over to {peer} in {} ms", millis(after))))
                }
                Some(HandOver::NobodyTookOver(after)) => Some((
                    false,
                    format!(
                        "nobody took over within {} ms, still MASTER; is another node running, and not INIT?",
                        millis(after)
                    ),
                )),
                Some(HandOver::NotMaster) => {
                    Some((false, format!("not handed over: it was not MASTER, it is {is}")))
                }
                None if status.leaving => None,
                None => Some((false, format!("not handed over: it is {is} now"))),
            },
            Wish::State(wanted) if state != wanted => Some((false, format!("is {is} all the same"))),
            // Where the addresses are follows a little later.
            Wish::State(wanted) if status.owner != (wanted == State::Master) => None,
            Wish::State(wanted) if self.was == wanted => Some((true, format!("was {wanted} already"))),
            Wish::State(wanted) => Some((true, format!("{wanted}, it was {}", self.was))),
        }
    }

    /// Who has the addresses now, as far as that is known.
    fn successor(&self) -> String {
        match (self.hand_over, self.peer) {
            (Some(HandOver::Done(after)), Some(peer)) => {
                format!("; {peer} took over in {} ms", millis(after))
            }
            _ if self.was == State::Master => "; nobody took over yet".to_owned(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
