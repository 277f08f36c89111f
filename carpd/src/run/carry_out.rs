//! Carries the operator's commands out.

use carp_fsm::{HostId, Instant, State};

use super::commands::Wish;
use super::errands::Plan;
use super::events::Journal;
use super::{Carp, Daemon, demotion, hosts, report, sysctl};
use crate::control::{ALL, Answer, Command, Forced, Outcome};

/// What becomes of a command.
pub(super) enum Step {
    Done(Answer),
    Wait(Wish, Vec<HostId>, Vec<Outcome>),
    Errand(Plan),
}

/// Judges a command as a whole, and carries it out. An error has changed nothing.
pub(super) fn carry_out(command: &Command, daemon: &mut Daemon, now: Instant) -> Result<Step, String> {
    let changes = !matches!(command, Command::Status {} | Command::Events { .. });
    if daemon.stopping && changes {
        return Err("carpd is stopping; wait until it runs again".into());
    }
    let settings = daemon.settings;
    let (carp, journal) = (&mut daemon.carp, &mut daemon.journal);
    Ok(match command {
        Command::Status {} => Step::Done(Answer::Status(Box::new(report::status(daemon, now)))),
        Command::Events { after } => Step::Done(Answer::Events(journal.events(now, *after))),
        Command::Reload {} => Step::Errand(Plan::Reload),
        Command::Maintenance { enter, .. }
            if *enter == carp.node().maintenance() && !daemon.errands.will_store() =>
        {
            let text = if *enter { "entered already" } else { "not entered" };
            let outcome = hosts::outcome("maintenance".to_owned(), text.to_owned());
            Step::Done(Answer::report(vec![outcome]))
        }
        Command::Maintenance { enter, .. } => {
            for member in &journal.members {
                refuse_while_leaving(carp, journal, member.id)?;
            }
            Step::Errand(Plan::Store { maintenance: *enter })
        }
        Command::Set { key, value } => set(daemon, key, value, now)?,
        Command::Disable { target } => {
            let ids = find(journal, target)?;
            set_enabled(carp, journal, &ids, false, now)?;
            Step::Wait(Wish::Disabled, ids, Vec::new())
        }
        Command::Enable { target } => {
            let ids = find(journal, target)?;
            if !settings.allow {
                return Err("net.inet.carp.allow is 0; carpd sysctl allow=1 enables all".into());
            }
            for id in &ids {
                refuse_while_leaving(carp, journal, *id)?;
            }
            set_enabled(carp, journal, &ids, true, now)?;
            Step::Wait(Wish::Enabled, ids, Vec::new())
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
            Step::Wait(Wish::HandedOver, ids, Vec::new())
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
            Step::Wait(Wish::State(state), ids, Vec::new())
        }
        Command::Ready {} => Step::Done(Answer::report(demotion::ready(carp, journal, now))),
        Command::Demote { cause, weight, group } => Step::Done(Answer::report(demotion::enter(
            carp,
            journal,
            now,
            (cause, *weight),
            group.as_deref(),
        )?)),
        Command::Clear { cause, group } => Step::Done(Answer::report(demotion::clear(
            carp,
            journal,
            now,
            cause,
            group.as_deref(),
        )?)),
        Command::ClearAll { force } => {
            Step::Done(Answer::report(demotion::clear_all(carp, journal, now, *force)?))
        }
    })
}

fn set(daemon: &mut Daemon, key: &str, value: &str, now: Instant) -> Result<Step, String> {
    let changed = sysctl::set(daemon, key, value, now)?;
    let outcome = Outcome {
        subject: changed.key,
        done: true,
        text: format!("{} -> {}", changed.from, changed.to),
    };
    let members = daemon.journal.members.iter().filter(|member| member.enabled);
    let ids = members.map(|member| member.id).collect();
    Ok(match changed.allows {
        None => Step::Done(Answer::report(vec![outcome])),
        Some(true) => Step::Wait(Wish::Enabled, ids, vec![outcome]),
        Some(false) => Step::Wait(Wish::Disabled, ids, vec![outcome]),
    })
}

fn set_enabled(
    carp: &mut Carp,
    journal: &mut Journal,
    ids: &[HostId],
    enabled: bool,
    now: Instant,
) -> Result<(), String> {
    for member in journal
        .members
        .iter_mut()
        .filter(|member| ids.contains(&member.id))
    {
        let known = carp.node_mut().set_enabled(now, member.id, enabled);
        known.map_err(|error| error.to_string())?;
        member.enabled = enabled;
    }
    Ok(())
}

/// The virtual hosts that are meant.
fn find(journal: &Journal, target: &str) -> Result<Vec<HostId>, String> {
    let members = journal.members.iter();
    let named = members.filter(|member| target == ALL || member.host.name() == target);
    let ids: Vec<_> = named.map(|member| member.id).collect();
    if ids.is_empty() {
        let names: Vec<_> = journal.members.iter().map(|member| member.host.name()).collect();
        let (target, names) = (target.escape_debug(), names.join(", "));
        return Err(format!("there is no virtual host {target}; write one of {names}"));
    }
    Ok(ids)
}

/// Of all virtual hosts, those that can be handed over. A single one has to be MASTER.
fn masters(carp: &Carp, journal: &Journal, ids: Vec<HostId>, target: &str) -> Result<Vec<HostId>, String> {
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
pub(super) fn refuse_while_leaving(carp: &Carp, journal: &Journal, id: HostId) -> Result<(), String> {
    if carp.node().status(id).is_some_and(|status| status.leaving) {
        let name = journal.name(id);
        return Err(format!("{name} is just bowing out; try again in a second"));
    }
    Ok(())
}
