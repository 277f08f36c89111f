//! Causes of demotion that the operator enters and strikes.
//!
//! The node's sum follows from the causes that hold, so a cause that it observes itself (an interface that is down,
//! sending that fails) cannot be struck: it would have to be observed again at once.

use carp_fsm::{Cause, Holding, Instant, LEDGER_LEN};

use super::events::Journal;
use super::{Carp, GROUP};
use crate::control::Outcome;

/// The largest weight of a cause. A sum of 240 makes any machine the last choice.
const MAX_WEIGHT: u16 = 255;
/// The longest name of a cause.
const MAX_NAME: usize = 32;
/// Causes of the node's own that can be shown under these names.
const OWN_NAMES: &[&str] = &["maintenance", "operator", "all"];

/// Enters a cause, or changes its weight.
pub(super) fn enter(
    carp: &mut Carp,
    journal: &mut Journal,
    now: Instant,
    name: &str,
    weight: u16,
) -> Result<Vec<Outcome>, String> {
    check(name, weight)?;
    let held: Vec<Cause> = carp.node().causes(GROUP).map(|holding| holding.cause).collect();
    let known = held.iter().copied().find(|cause| journal.cause(*cause) == name);
    let is_free = |cause: &Cause| !held.contains(cause);
    let cause = known.or_else(|| (0..=u8::MAX).map(Cause::External).find(is_free));
    let entered = cause.filter(|cause| carp.node_mut().demote(now, GROUP, *cause, weight).is_ok());
    let cause = entered.ok_or_else(|| {
        format!("{LEDGER_LEN} causes are entered already; clear one with carpd demotion clear CAUSE")
    })?;
    if let Cause::External(number) = cause {
        journal.external.insert(number, name.to_owned());
    }
    Ok(vec![outcome(carp, name, true, &format!("demotes by {weight}"))])
}

/// Strikes one cause.
pub(super) fn clear(
    carp: &mut Carp,
    journal: &Journal,
    now: Instant,
    name: &str,
) -> Result<Vec<Outcome>, String> {
    let held: Vec<Cause> = carp.node().causes(GROUP).map(|holding| holding.cause).collect();
    let mut entered = held.iter().copied().filter(|cause| !is_observed(*cause));
    let Some(cause) = entered.find(|cause| journal.cause(*cause) == name) else {
        let names: Vec<_> = held.iter().map(|cause| title(carp, journal, *cause)).collect();
        let observed = held.iter().zip(&names).find(|(cause, title)| {
            is_observed(**cause) && (*title == name || journal.cause(**cause) == name)
        });
        let quoted = name.escape_debug();
        return Err(match observed {
            Some((_, title)) => {
                format!("{title}: carpd observes this fault; it clears itself when it is mended")
            }
            None if names.is_empty() => format!("there is no cause {quoted}; nothing demotes this machine"),
            None => format!(
                "there is no cause {quoted}; what demotes is: {}",
                names.join(", ")
            ),
        });
    };
    strike(carp, now, cause)?;
    Ok(vec![outcome(carp, name, true, "cleared")])
}

/// Strikes all causes. While one lasts that is observed, none is struck without `force`; with it, that one counts
/// nothing until it ends.
pub(super) fn clear_all(
    carp: &mut Carp,
    journal: &Journal,
    now: Instant,
    force: bool,
) -> Result<Vec<Outcome>, String> {
    let counts = |holding: &Holding| holding.weight > 0;
    let held = carp
        .node()
        .causes(GROUP)
        .filter(counts)
        .map(|holding| holding.cause);
    let (observed, entered): (Vec<_>, Vec<_>) = held.partition(|cause| is_observed(*cause));
    if !observed.is_empty() && !force {
        let titles: Vec<_> = observed
            .iter()
            .map(|cause| title(carp, journal, *cause))
            .collect();
        return Err(format!(
            "a fault still lasts ({}); mend it, or with --force let it count nothing until it ends",
            titles.join(", ")
        ));
    }
    let titles =
        |causes: &[Cause]| -> Vec<_> { causes.iter().map(|cause| title(carp, journal, *cause)).collect() };
    let (entered, observed) = (titles(&entered), titles(&observed));
    carp.node_mut()
        .clear_all(now, GROUP, true)
        .map_err(|error| error.to_string())?;
    let cleared = entered.iter().map(|title| outcome(carp, title, true, "cleared"));
    let forced = "counts nothing until the fault ends";
    let forced = observed.iter().map(|title| outcome(carp, title, true, forced));
    let mut outcomes: Vec<_> = cleared.chain(forced).collect();
    if outcomes.is_empty() {
        outcomes.push(outcome(carp, "demotion", true, "nothing to clear"));
    }
    Ok(outcomes)
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

fn strike(carp: &mut Carp, now: Instant, cause: Cause) -> Result<(), String> {
    carp.node_mut()
        .clear(now, GROUP, cause)
        .map_err(|error| error.to_string())
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

fn outcome(carp: &Carp, subject: &str, done: bool, text: &str) -> Outcome {
    Outcome {
        subject: subject.to_owned(),
        done,
        text: format!("{text}; the demotion is {}", carp.node().demotion(GROUP)),
    }
}
