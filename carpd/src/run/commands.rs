//! Commands of the operator: judged as a whole, carried out by the node, and answered when their outcome is known.

use std::fmt::Write as _;
use std::net::IpAddr;

use carp_fsm::{Duration, Event, EventKind, HandOver, HostId, HostStatus, Instant, State};

use super::events::{Journal, millis};
use super::{Carp, demotion, report};
use crate::control::{ALL, Answer, Command, Forced, Job, Outcome};

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
    hosts: Vec<Watched>,
}

/// What becomes of a command.
enum Step {
    Done(Answer),
    Wait(Wish, Vec<HostId>),
}

#[derive(Clone, Copy)]
enum Wish {
    Disabled,
    Enabled,
    HandedOver,
    State(State),
}

/// A virtual host that a command is about, and what has happened to it since.
struct Watched {
    id: HostId,
    was: State,
    hand_over: Option<HandOver>,
    /// Whose advertisement changed its state.
    peer: Option<IpAddr>,
    /// Whether the wish is true, and the words for it.
    outcome: Option<(bool, String)>,
}

impl Commands {
    /// Carries a command out. An error has changed nothing.
    pub(super) fn begin(
        &mut self,
        job: Job,
        carp: &mut Carp,
        journal: &mut Journal<'_>,
        stopping: bool,
        now: Instant,
    ) {
        let state = |(id, _): &(HostId, _)| carp.node().state(*id).unwrap_or(State::Init);
        let before: Vec<State> = journal.hosts.iter().map(state).collect();
        match carry_out(&job.command, carp, journal, stopping, now) {
            Err(why) => job.answer(Answer::refusal(why)),
            Ok(Step::Done(answer)) => job.answer(answer),
            Ok(Step::Wait(wish, ids)) => {
                let hosts = journal.hosts.iter().zip(before);
                let hosts = hosts.filter(|((id, _), _)| ids.contains(id));
                let hosts = hosts.map(|((id, _), was)| Watched::new(*id, was)).collect();
                self.waiting.push(Waiting {
                    job,
                    wish,
                    since: now,
                    hosts,
                });
            }
        }
    }

    /// Takes note of what happens meanwhile.
    pub(super) fn note(&mut self, event: &Event) {
        for host in self.waiting.iter_mut().flat_map(|waiting| &mut waiting.hosts) {
            match event.kind {
                EventKind::Transition { host: id, peer, .. } if id == host.id => {
                    host.peer = peer.or(host.peer);
                }
                EventKind::HandOver {
                    host: id, outcome, ..
                } if id == host.id => host.hand_over = Some(outcome),
                _ => {}
            }
        }
    }

    /// Answers the commands whose outcome is known now.
    pub(super) fn finish(&mut self, carp: &Carp, journal: &Journal<'_>, now: Instant) {
        let is_known = |waiting: &mut Waiting| waiting.is_known(carp, now);
        for Waiting { job, hosts, .. } in self.waiting.extract_if(.., is_known) {
            let outcomes = hosts.into_iter().filter_map(|host| {
                let (done, text) = host.outcome?;
                Some(Outcome {
                    subject: journal.name(host.id),
                    done,
                    text,
                })
            });
            job.answer(Answer::report(outcomes.collect()));
        }
    }

    /// When [`finish`](Self::finish) has to be called even if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting
            .iter()
            .filter(|waiting| matches!(waiting.wish, Wish::Enabled))
            .map(|waiting| waiting.since + ELECTION)
            .min()
    }
}

fn carry_out(
    command: &Command,
    carp: &mut Carp,
    journal: &mut Journal<'_>,
    stopping: bool,
    now: Instant,
) -> Result<Step, String> {
    let changes = !matches!(command, Command::Status {} | Command::Events { .. });
    if stopping && changes {
        return Err("carpd is stopping; wait until it runs again".into());
    }
    Ok(match command {
        Command::Status {} => Step::Done(Answer::Status(Box::new(report::status(carp, journal, now)))),
        Command::Events { after } => Step::Done(Answer::Events(journal.events(now, *after))),
        Command::Disable { target } => {
            let ids = find(journal, target)?;
            for id in &ids {
                let known = carp.node_mut().set_enabled(now, *id, false);
                known.map_err(|error| error.to_string())?;
            }
            Step::Wait(Wish::Disabled, ids)
        }
        Command::Enable { target } => {
            let ids = find(journal, target)?;
            for id in &ids {
                refuse_while_leaving(carp, journal, *id)?;
            }
            for id in &ids {
                let known = carp.node_mut().set_enabled(now, *id, true);
                known.map_err(|error| error.to_string())?;
            }
            Step::Wait(Wish::Enabled, ids)
        }
        Command::Handover { target } => {
            let ids = masters(carp, journal, find(journal, target)?, target)?;
            for id in &ids {
                refuse_while_leaving(carp, journal, *id)?;
            }
            for id in &ids {
                let known = carp.node_mut().hand_over(now, *id);
                known.map_err(|error| error.to_string())?;
            }
            Step::Wait(Wish::HandedOver, ids)
        }
        Command::State { target, state } => {
            let ids = find(journal, target)?;
            let state = match state {
                Forced::Master => State::Master,
                Forced::Backup => State::Backup,
            };
            for id in &ids {
                refuse_while_leaving(carp, journal, *id)?;
                if let Some(reason) = carp.node().status(*id).and_then(|status| status.init_reason) {
                    let name = journal.name(*id);
                    return Err(format!(
                        "{name} is INIT ({reason}), which cannot be left by force; mend that"
                    ));
                }
            }
            for id in &ids {
                let known = carp.node_mut().force_state(now, *id, state);
                known.map_err(|error| error.to_string())?;
            }
            Step::Wait(Wish::State(state), ids)
        }
        Command::Demote { cause, weight } => Step::Done(Answer::report(demotion::enter(
            carp, journal, now, cause, *weight,
        )?)),
        Command::Clear { cause } => Step::Done(Answer::report(demotion::clear(carp, journal, now, cause)?)),
        Command::ClearAll { force } => {
            Step::Done(Answer::report(demotion::clear_all(carp, journal, now, *force)?))
        }
    })
}

/// The virtual hosts that are meant.
fn find(journal: &Journal<'_>, target: &str) -> Result<Vec<HostId>, String> {
    let named = |id: &HostId| target == ALL || journal.name(*id) == target;
    let ids: Vec<_> = journal.hosts.iter().map(|(id, _)| *id).filter(named).collect();
    if ids.is_empty() {
        let names: Vec<_> = journal.hosts.iter().map(|(_, host)| host.name()).collect();
        let (target, names) = (target.escape_debug(), names.join(", "));
        return Err(format!("there is no virtual host {target}; write one of {names}"));
    }
    Ok(ids)
}

/// Of all virtual hosts, those that can be handed over. A single one has to be MASTER.
fn masters(
    carp: &Carp,
    journal: &Journal<'_>,
    ids: Vec<HostId>,
    target: &str,
) -> Result<Vec<HostId>, String> {
    if target != ALL
        && let [id] = ids[..]
        && let Some(state) = carp.node().state(id).filter(|state| *state != State::Master)
    {
        let name = journal.name(id);
        return Err(format!("{name} is {state} here; hand it over where it is MASTER"));
    }
    let is_master = |id: &HostId| carp.node().state(*id) == Some(State::Master);
    let masters: Vec<_> = ids.into_iter().filter(is_master).collect();
    if masters.is_empty() {
        return Err("no virtual host is MASTER here; hand over where they are".into());
    }
    Ok(masters)
}

/// What bows out already can be disabled, but nothing else: its departure would end otherwise than announced.
fn refuse_while_leaving(carp: &Carp, journal: &Journal<'_>, id: HostId) -> Result<(), String> {
    if carp.node().status(id).is_some_and(|status| status.leaving) {
        let name = journal.name(id);
        return Err(format!("{name} is just bowing out; try again in a second"));
    }
    Ok(())
}

impl Waiting {
    fn is_known(&mut self, carp: &Carp, now: Instant) -> bool {
        for host in self.hosts.iter_mut().filter(|host| host.outcome.is_none()) {
            host.outcome = match carp.node().status(host.id) {
                None => Some((false, "it does not exist any longer".to_owned())),
                Some(status) => host.judge(self.wish, &status, self.since, now),
            };
            if let (Some((done, text)), Some(error)) = (&mut host.outcome, carp.ownership_error(host.id)) {
                *done = false;
                let _ = write!(text, "; but {error}");
            }
        }
        self.hosts.iter().all(|host| host.outcome.is_some())
    }
}

impl Watched {
    fn new(id: HostId, was: State) -> Self {
        Self {
            id,
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
            Wish::HandedOver => match self.hand_over {
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
