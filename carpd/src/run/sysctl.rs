//! Settings by the names of FreeBSD's `net.inet.carp` sysctls, while carpd runs.

use std::collections::{BTreeMap, HashSet};

use carp_fsm::{Dscp, Instant, Policy};

use super::carry_out::refuse_while_leaving;
use super::{Daemon, demotion, hosts};
use crate::config::{MAX_DSCP, MAX_LOG, Settings};

/// What every key may have in front.
const PREFIX: &str = "net.inet.carp.";
/// The word for the DSCP that the dialect's kernel has.
const OF_DIALECT: &str = "dialect";
/// Every key.
const KEYS: [&str; 8] = [
    "allow",
    "preempt",
    "log",
    "demotion",
    "suppress_preempt",
    "ifdown_demotion_factor",
    "senderr_demotion_factor",
    "dscp",
];

/// A setting that has been changed.
pub(super) struct Changed {
    /// `net.inet.carp.log`.
    pub(super) key: String,
    pub(super) from: String,
    pub(super) to: String,
    /// Whether virtual hosts go into INIT or leave it.
    pub(super) allows: Option<bool>,
}

/// All keys and values.
pub(super) fn all(daemon: &Daemon) -> BTreeMap<String, String> {
    KEYS.iter()
        .map(|key| ((*key).to_owned(), value(daemon, key)))
        .collect()
}

fn value(daemon: &Daemon, key: &str) -> String {
    let Daemon { carp, journal, .. } = daemon;
    match key {
        "demotion" => journal.demotion(carp).to_string(),
        "suppress_preempt" => {
            let groups = journal.members_groups(carp).into_iter();
            let causes = groups.flat_map(|group| carp.node().causes(group));
            let causes: HashSet<_> = causes.map(|holding| holding.cause).collect();
            causes.len().to_string()
        }
        key => setting(daemon.settings, key),
    }
}

fn setting(settings: Settings, key: &str) -> String {
    match key {
        "allow" => u8::from(settings.allow).to_string(),
        "preempt" => u8::from(settings.preempt).to_string(),
        "log" => settings.log.to_string(),
        "ifdown_demotion_factor" => settings.ifdown_demotion_factor.to_string(),
        "senderr_demotion_factor" => settings.senderr_demotion_factor.to_string(),
        _ => settings
            .dscp
            .map_or(OF_DIALECT.to_owned(), |dscp| dscp.get().to_string()),
    }
}

/// Changes one. An error has changed nothing.
pub(super) fn set(daemon: &mut Daemon, key: &str, text: &str, now: Instant) -> Result<Changed, String> {
    let key = key.strip_prefix(PREFIX).unwrap_or(key);
    if !KEYS.contains(&key) {
        let (key, keys) = (key.escape_debug(), KEYS.join(", "));
        return Err(format!("there is no key {key}; write one of {keys}"));
    }
    let from = value(daemon, key);
    let mut settings = daemon.settings;
    match key {
        "allow" => settings.allow = number(key, text, 0, 1)? == 1,
        "preempt" => settings.preempt = number(key, text, 0, 1)? == 1,
        "log" => settings.log = number(key, text, 0, MAX_LOG)?,
        "ifdown_demotion_factor" => settings.ifdown_demotion_factor = number(key, text, 0, u8::MAX)?,
        "senderr_demotion_factor" => settings.senderr_demotion_factor = number(key, text, 0, u8::MAX)?,
        "dscp" if text == OF_DIALECT => settings.dscp = None,
        "dscp" => settings.dscp = Dscp::new(number(key, text, 0, MAX_DSCP)?),
        "demotion" => demote(daemon, text, now)?,
        _ => {
            return Err(format!(
                "{key} can only be read: it counts what demotes this machine"
            ));
        }
    }
    if settings.allow && !daemon.settings.allow {
        for member in &daemon.journal.members {
            refuse_while_leaving(&daemon.carp, &daemon.journal, member.id)?;
        }
    }
    let allows = (settings.allow != daemon.settings.allow).then_some(settings.allow);
    adopt(daemon, settings, now)?;
    Ok(Changed {
        key: format!("{PREFIX}{key}"),
        from,
        to: value(daemon, key),
        allows,
    })
}

/// Takes over from a configuration file what differs from the file before. What was set meanwhile stays.
pub(super) fn merge(
    current: Settings,
    before: Settings,
    file: Settings,
) -> (Settings, Vec<(String, String)>) {
    fn newer<T: Copy + PartialEq>(current: T, before: T, file: T) -> T {
        if before == file { current } else { file }
    }
    let merged = Settings {
        allow: newer(current.allow, before.allow, file.allow),
        preempt: newer(current.preempt, before.preempt, file.preempt),
        log: newer(current.log, before.log, file.log),
        ifdown_demotion_factor: newer(
            current.ifdown_demotion_factor,
            before.ifdown_demotion_factor,
            file.ifdown_demotion_factor,
        ),
        senderr_demotion_factor: newer(
            current.senderr_demotion_factor,
            before.senderr_demotion_factor,
            file.senderr_demotion_factor,
        ),
        dscp: newer(current.dscp, before.dscp, file.dscp),
    };
    let changed = KEYS
        .iter()
        .filter(|key| !matches!(**key, "demotion" | "suppress_preempt"));
    let changed = changed.filter(|key| setting(current, key) != setting(merged, key));
    let words = |key: &&str| {
        let text = format!("{} -> {}", setting(current, key), setting(merged, key));
        (format!("{PREFIX}{key}"), text)
    };
    (merged, changed.map(words).collect())
}

/// Makes settings those of the running node.
pub(super) fn adopt(daemon: &mut Daemon, settings: Settings, now: Instant) -> Result<(), String> {
    let Daemon {
        carp,
        journal,
        settings: before,
        policy,
        ..
    } = daemon;
    let policy = Policy {
        ifdown_demotion_factor: settings.ifdown_demotion_factor.into(),
        senderr_demotion_factor: settings.senderr_demotion_factor.into(),
        ..*policy
    };
    carp.node_mut().set_policy(now, policy);
    demotion::wait_with(carp, journal, now, policy.not_ready_demotion_factor)?;
    hosts::adopt(carp, journal, *before, settings, now)?;
    journal.log_level = settings.log;
    daemon.settings = settings;
    Ok(())
}

/// As on FreeBSD, the number is added.
fn demote(daemon: &mut Daemon, text: &str, now: Instant) -> Result<(), String> {
    let Ok(change) = text.parse::<i32>() else {
        let text = text.escape_debug();
        return Err(format!(
            "demotion={text} is no whole number; write how much to add, like demotion=240, or to take away, like \
             demotion=-240"
        ));
    };
    demotion::add(&mut daemon.carp, &mut daemon.journal, now, change)
}

fn number(key: &str, text: &str, min: u8, max: u8) -> Result<u8, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| {
        let or = if key == "dscp" { ", or dialect" } else { "" };
        format!(
            "{key}={} is out of range; write a number from {min} to {max}{or}",
            text.escape_debug()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_brings_what_the_file_has_changed_and_nothing_else() {
        let file = Settings::default();
        let current = Settings {
            log: 2,
            preempt: true,
            ..file
        };
        assert_eq!(
            merge(current, file, file),
            (current, vec![]),
            "set meanwhile: stays"
        );
        let changed = Settings {
            dscp: Dscp::new(46),
            log: 0,
            ..file
        };
        let (merged, told) = merge(current, file, changed);
        assert_eq!(
            merged,
            Settings {
                preempt: true,
                ..changed
            }
        );
        let told: Vec<_> = told.iter().map(|(key, text)| format!("{key}: {text}")).collect();
        assert_eq!(
            told,
            ["net.inet.carp.log: 2 -> 0", "net.inet.carp.dscp: dialect -> 46"]
        );
    }

    #[test]
    fn numbers_are_checked() {
        assert_eq!(number("log", "2", 0, 2), Ok(2));
        for wrong in ["3", "-1", "", "1.0", " 1", "true"] {
            let error = number("log", wrong, 0, 2).expect_err("out of range");
            assert!(
                error.ends_with("is out of range; write a number from 0 to 2"),
                "{error}"
            );
        }
    }
}
