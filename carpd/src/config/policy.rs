//! What the election does beside what is on the wire: keys at the top of the file, named as the fields of
//! [`Policy`].

use std::ops::RangeInclusive;

use carp_fsm::{Duration, Policy};

use super::report::Report;
use super::table::{Number, Table};

/// Most announcements in a row.
const MAX_BURST: u8 = 8;
/// A day, in seconds.
const MAX_REFRESH: u32 = 86_400;
/// A second, in milliseconds.
const MAX_WINDOW: u16 = 1000;
/// An hour, in seconds.
const MAX_GRACE: u16 = 3600;

/// Reads it from the top of the file.
pub(super) fn read(top: &Table<'_>, report: &mut Report) -> Policy {
    let default = Policy::HARDENED;
    let refresh = number(
        top,
        "announce_refresh",
        0..=MAX_REFRESH,
        ", in seconds; 0: never",
        report,
    );
    let window = number(
        top,
        "announce_window",
        1..=MAX_WINDOW,
        ", in milliseconds",
        report,
    );
    let grace = number(
        top,
        "change_grace",
        0..=MAX_GRACE,
        ", in seconds; 0: new passwords and addresses count at once",
        report,
    );
    let burst = number(top, "announce_burst", 1..=MAX_BURST, ", in a row", report);
    let again = number(
        top,
        "reannounce",
        0..=u8::MAX,
        ": with which advertisement; 0: as the dialect does",
        report,
    );
    let frames = number(top, "announce_frames", 0..=u16::MAX, "; 0: no limit", report);
    let not_ready = number(
        top,
        "not_ready_demotion_factor",
        0..=u8::MAX,
        "; 0: nothing is waited for",
        report,
    );
    Policy {
        announce_burst: burst.unwrap_or(default.announce_burst),
        reannounce: again.unwrap_or(default.reannounce),
        announce_refresh: refresh.map_or(default.announce_refresh, |s| Duration::from_secs(s.into())),
        announce_frames: frames.unwrap_or(default.announce_frames),
        announce_window: window.map_or(default.announce_window, |ms| Duration::from_millis(ms.into())),
        change_grace: grace.map_or(default.change_grace, |s| Duration::from_secs(s.into())),
        ignores_replays: top
            .boolean("ignore_replays", report)
            .unwrap_or(default.ignores_replays),
        not_ready_demotion_factor: not_ready.map_or(default.not_ready_demotion_factor, u16::from),
        ..default
    }
}

/// The keys whose values differ, as in the file: `announce_burst`, `1 -> 3`.
pub fn policy_changes(old: &Policy, new: &Policy) -> Vec<(&'static str, String)> {
    let pairs = values(old).into_iter().zip(values(new));
    let changed = pairs.filter(|((_, old), (_, new))| old != new);
    changed
        .map(|((key, old), (_, new))| (key, format!("{old} -> {new}")))
        .collect()
}

fn values(policy: &Policy) -> [(&'static str, String); 8] {
    let (seconds, millis) = (1_000_000, 1000);
    [
        ("announce_burst", policy.announce_burst.to_string()),
        ("reannounce", policy.reannounce.to_string()),
        (
            "announce_refresh",
            (policy.announce_refresh.as_micros() / seconds).to_string(),
        ),
        ("announce_frames", policy.announce_frames.to_string()),
        (
            "announce_window",
            (policy.announce_window.as_micros() / millis).to_string(),
        ),
        (
            "change_grace",
            (policy.change_grace.as_micros() / seconds).to_string(),
        ),
        ("ignore_replays", policy.ignores_replays.to_string()),
        (
            "not_ready_demotion_factor",
            policy.not_ready_demotion_factor.to_string(),
        ),
    ]
}

fn number<T: Number>(
    top: &Table<'_>,
    key: &str,
    range: RangeInclusive<T>,
    meaning: &str,
    report: &mut Report,
) -> Option<T> {
    top.number(key, range, meaning, report)
        .map(toml::Spanned::into_inner)
}
