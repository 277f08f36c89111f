//! Causes of demotion that the operator enters and strikes.
//!
//! The node's sums follow from the causes that hold, so a cause that it observes itself (an interface that is down,
//! sending that fails) cannot be struck: it would have to be observed again at once.

use std::collections::BTreeSet;

use carp_fsm::{Cause, GroupId, Instant, LEDGER_LEN};

use super::Carp;
use super::events::{Journal, NOT_READY};
use crate::control::Outcome;

/// The largest weight of a cause. A sum of 240 makes any machine the last choice.
const MAX_WEIGHT: u16 = 255;
/// The longest name of a cause.
const MAX_NAME: usize = 32;
/// Causes of the node's own that can be shown under these names.
const OWN_NAMES: &[&str] = &["maintenance", "operator", NOT_READY, "all"];

/// Enters a cause, or changes its weight: for one group, or for all.
pub(super) fn enter(
    carp: &mut Carp,
    journal: &mut Journal,
    now: Instant,
    (name, weight): (&str, u16),
    group: Option<&str>,
) -> Result<Vec<Outcome>, String> {
    check(name, weight)?;
    let groups = meant(carp, journal, group)?;
    let held = causes(carp, journal);
    let known = held.iter().copied().find(|cause| journal.cause(*cause) == name);
    let is_free = |cause: &Cause| !held.contains(cause);
    let cause = known.or_else(|| (0..=u8::MAX).map(Cause::External).find(is_free));
    let has_room = |group: &GroupId| {
        let entered = carp.node().causes(*group).map(|holding| holding.cause);
        let entered: Vec<_> = entered.filter(|cause| !is_observed(*cause)).collect();
        entered.len() < LEDGER_LEN || cause.is_some_and(|cause| entered.contains(&cause))
    };
    let cause = cause.filter(|_| groups.iter().all(has_room)).ok_or_else(|| {
        format!("{LEDGER_LEN} causes are entered already; clear one with carpd demotion clear CAUSE")
    })?;
    set(carp, now, cause, weight, &groups)?;
    if group.is_none() {
        journal.groups.set_everywhere(cause, Some(weight));
    }
    if let Cause::External(number) = cause {
        journal.external.insert(number, name.to_owned());
    }
    Ok(vec![outcome(
        carp,
        journal,
        name,
        &format!("demotes by {weight}"),
    )])
}

/// Adds to the cause `operator` of all groups, which never falls below 0. As on FreeBSD, where it is the sum.
pub(super) fn add(carp: &mut Carp, journal: &mut Journal, now: Instant, change: i32) -> Result<(), String> {
    let held = journal.groups.everywhere(Cause::Operator).unwrap_or(0);
    let Ok(weight) = u16::try_from(i32::from(held).saturating_add(change)) else {
        return Err(format!(
            "demotion={change} is out of range: {held} was added this way, and stays within 0 to {}; carpd demotion \
             shows the causes",
            u16::MAX
        ));
    };
    let groups = meant(carp, journal, None)?;
    set(carp, now, Cause::Operator, weight, &groups)?;
    let weight = Some(weight).filter(|weight| *weight > 0);
    journal.groups.set_everywhere(Cause::Operator, weight);
    Ok(())
}

/// Strikes one cause, of one group or of all.
pub(super) fn clear(
    carp: &mut Carp,
    journal: &mut Journal,
    now: Instant,
    name: &str,
    group: Option<&str>,
) -> Result<Vec<Outcome>, String> {
    let groups = meant(carp, journal, group)?;
    let held: Vec<_> = groups
        .iter()
        .flat_map(|group| carp.node().causes(*group).map(|holding| holding.cause))
        .collect();
    let mut entered = held.iter().copied().filter(|cause| !is_observed(*cause));
    let Some(cause) = entered.find(|cause| journal.cause(*cause) == name) else {
        let names: BTreeSet<_> = held.iter().map(|cause| title(carp, journal, *cause)).collect();
        let observed = held.iter().find(|cause| {
            is_observed(**cause) && (title(carp, journal, **cause) == name || journal.cause(**cause) == name)
        });
        let quoted = name.escape_debug();
        return Err(match observed {
            Some(cause) => format!(
                "{}: carpd observes this fault; it clears itself when it is mended",
                title(carp, journal, *cause)
            ),
            None if names.is_empty() => format!("there is no cause {quoted}; nothing demotes this machine"),
            None => {
                let names: Vec<_> = names.into_iter().collect();
                format!(
                    "there is no cause {quoted}; what demotes is: {}",
                    names.join(", ")
                )
            }
        });
    };
    if cause == Cause::NotReady {
        return Ok(ready(carp, journal, now));
    }
    set(carp, now, cause, 0, &groups)?;
    journal.groups.set_everywhere(cause, None);
    Ok(vec![outcome(carp, journal, name, "cleared")])
}

/// Strikes all causes. While one lasts that is observed, none is struck without `force`; with it, that one counts
/// nothing until it ends.
pub(super) fn clear_all(
    carp: &mut Carp,
    journal: &mut Journal,
    now: Instant,
    force: bool,
) -> Result<Vec<Outcome>, String> {
    let groups = journal.members_groups(carp);
    let counting = groups.iter().flat_map(|group| carp.node().causes(*group));
    let counting = counting.filter(|holding| holding.weight > 0);
    let (observed, entered): (Vec<_>, Vec<_>) = counting
        .map(|holding| holding.cause)
        .partition(|cause| is_observed(*cause));
    let titles = |causes: &[Cause]| -> BTreeSet<_> {
        causes.iter().map(|cause| title(carp, journal, *cause)).collect()
    };
    let (entered, observed) = (titles(&entered), titles(&observed));
    if !observed.is_empty() && !force {
        let observed: Vec<_> = observed.into_iter().collect();
        return Err(format!(
            "a fault still lasts ({}); mend it, or with --force let it count nothing until it ends",
            observed.join(", ")
        ));
    }
    for group in groups {
        let cleared = carp.node_mut().clear_all(now, group, true);
        cleared.map_err(|error| error.to_string())?;
    }
    carp.node_mut().handle_ready(now);
    journal.groups.forget_everywhere();
    let cleared = entered
        .iter()
        .map(|title| outcome(carp, journal, title, "cleared"));
    let forced = "counts nothing until the fault ends";
    let forced = observed.iter().map(|title| outcome(carp, journal, title, forced));
    let mut outcomes: Vec<_> = cleared.chain(forced).collect();
    if outcomes.is_empty() {
        outcomes.push(outcome(carp, journal, "demotion", "nothing to clear"));
    }
    Ok(outcomes)
}

/// Services here are up.
pub(super) fn ready(carp: &mut Carp, journal: &Journal, now: Instant) -> Vec<Outcome> {
    let waited = causes(carp, journal).contains(&Cause::NotReady);
    carp.node_mut().handle_ready(now);
    let text = if waited { "ready" } else { "was ready already" };
    vec![outcome(carp, journal, "services", text)]
}

/// Who waits for services waits with another weight; with 0, no longer.
pub(super) fn wait_with(carp: &mut Carp, journal: &Journal, now: Instant, weight: u16) -> Result<(), String> {
    if weight == 0 {
        carp.node_mut().handle_ready(now);
        return Ok(());
    }
    let groups = journal.members_groups(carp).into_iter();
    let waits = |group: &GroupId| {
        let mut causes = carp.node().causes(*group);
        causes.any(|holding| holding.cause == Cause::NotReady && holding.weight != weight)
    };
    let groups: Vec<_> = groups.filter(waits).collect();
    set(carp, now, Cause::NotReady, weight, &groups)
}

fn check(name: &str, weight: u16) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let quoted = name.escape_debug();
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fits) {
        return Err(format!(
            "{quoted} is no name for a cause; write one like state-sync: a to z, 0 to 9, - and _, at most {MAX_NAME}"
        ));
    }
    if OWN_NAMES.contains(&name) {
        return Err(format!(
            "{name} is a name of carpd's own; write another one, like state-sync"
        ));
    }
    if !(1..=MAX_WEIGHT).contains(&weight) {
        return Err(format!(
            "the weight {weight} is out of range; write a number from 1 to {MAX_WEIGHT}"
        ));
    }
    Ok(())
}

/// The groups that a command is about.
fn meant(carp: &Carp, journal: &Journal, name: Option<&str>) -> Result<Vec<GroupId>, String> {
    let groups = journal.members_groups(carp);
    let Some(name) = name else { return Ok(groups) };
    let found = journal.groups.find(name).filter(|id| groups.contains(id));
    found.map(|id| vec![id]).ok_or_else(|| {
        let names: Vec<_> = groups.iter().map(|id| journal.groups.name(*id)).collect();
        let (name, names) = (name.escape_debug(), names.join(", "));
        format!("there is no group {name}; write one of {names}")
    })
}

/// What demotes any group.
fn causes(carp: &Carp, journal: &Journal) -> Vec<Cause> {
    let groups = journal.members_groups(carp).into_iter();
    groups
        .flat_map(|group| carp.node().causes(group).map(|holding| holding.cause))
        .collect()
}

/// Enters a cause, or strikes it (0).
fn set(carp: &mut Carp, now: Instant, cause: Cause, weight: u16, groups: &[GroupId]) -> Result<(), String> {
    for group in groups {
        let node = carp.node_mut();
        let done = match weight {
            0 => node.clear(now, *group, cause),
            _ => node.demote(now, *group, cause, weight),
        };
        done.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The node alone knows whether it holds.
fn is_observed(cause: Cause) -> bool {
    matches!(cause, Cause::LinkDown(_) | Cause::SendErrors(_))
}

/// `interface down: eth0`.
fn title(carp: &Carp, journal: &Journal, cause: Cause) -> String {
    match journal.subject(carp, cause) {
        Some(subject) => format!("{}: {subject}", journal.cause(cause)),
        None => journal.cause(cause),
    }
}

fn outcome(carp: &Carp, journal: &Journal, subject: &str, text: &str) -> Outcome {
    Outcome {
        subject: subject.to_owned(),
        done: true,
        text: format!("{text}; the demotion is {}", journal.demotion(carp)),
    }
}
