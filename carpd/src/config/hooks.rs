//! The `[[hooks]]` tables: programs that are told what has happened.

use std::path::Path;

use toml::de::DeTable;

use super::report::Report;
use super::table::{Table, tables};
use crate::events::What;

pub(super) const KEYS: &[&str] = &["command", "events", "timeout", "latest_only"];
/// Seconds that a program may take.
const TIMEOUT: u8 = 5;
/// At most: systemd waits not much longer for the end of a service.
const MAX_TIMEOUT: u8 = 60;

/// A program that is told what has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The program by its full path, and its arguments. No shell is asked.
    pub command: Vec<String>,
    /// The events that it wants, by their [`What::name`].
    pub events: Vec<&'static str>,
    /// Seconds after which it is killed, 1 to 60.
    pub timeout: u8,
    /// Of several events of one kind about one virtual host that wait, only the latest is of interest.
    pub latest_only: bool,
}

/// Reads all of them.
pub(super) fn read(document: &DeTable<'_>, report: &mut Report) -> Vec<Hook> {
    let Some((key, value)) = document.get_key_value("hooks") else {
        return Vec::new();
    };
    let wrong = "hooks is no list of tables; write [[hooks]], once for each program";
    let Some(array) = value.get_ref().as_array() else {
        report.mistake(&key.span(), wrong);
        return Vec::new();
    };
    let tables = tables(array, "hooks", report);
    tables.iter().filter_map(|table| hook(table, report)).collect()
}

fn hook(table: &Table<'_>, report: &mut Report) -> Option<Hook> {
    table.refuse_unknown_keys(KEYS, |_| None, report);
    let command = command(table, report);
    let mut events = Vec::new();
    if let Some(names) = table.strings("events", "transition", report) {
        for name in names.get_ref() {
            if let Some(known) = What::NAMES.iter().find(|known| **known == *name.get_ref()) {
                events.push(*known);
            } else {
                let (wrong, names) = (name.get_ref().escape_debug(), What::NAMES.join(", "));
                report.mistake(
                    &name.span(),
                    format!("there is no event {wrong}; write one of {names}"),
                );
            }
        }
    } else {
        events.push("transition");
    }
    let timeout = table.number("timeout", 1..=MAX_TIMEOUT, ", in seconds", report);
    Some(Hook {
        command: command?,
        events,
        timeout: timeout.map_or(TIMEOUT, toml::Spanned::into_inner),
        latest_only: table.boolean("latest_only", report).unwrap_or(false),
    })
}

fn command(table: &Table<'_>, report: &mut Report) -> Option<Vec<String>> {
    const EXAMPLE: &str = "/usr/local/bin/on-carp-event";
    if !table.items.contains_key("command") {
        let advice = format!("write command = [\"{EXAMPLE}\"]");
        report.mistake(&table.header, format!("no command; {advice}"));
        return None;
    }
    let list = table.strings("command", EXAMPLE, report)?;
    let words: Vec<_> = list
        .get_ref()
        .iter()
        .map(|word| (*word.get_ref()).to_owned())
        .collect();
    let Some(program) = words.first() else {
        report.mistake(
            &list.span(),
            format!("the command is empty; write [\"{EXAMPLE}\"]"),
        );
        return None;
    };
    if words.iter().any(|word| word.contains('\0')) {
        report.mistake(
            &list.span(),
            "the command contains a NUL character; write it without",
        );
        return None;
    }
    let quoted = program.escape_debug();
    if !program.starts_with('/') {
        report.mistake(
            &list.span(),
            format!("{quoted} is no full path; write one like \"{EXAMPLE}\", and each argument as a text of its own"),
        );
        return None;
    }
    if !is_program(Path::new(program)) {
        report.warning(
            &list.span(),
            format!("{quoted} is no program that can be run; mend that"),
        );
    }
    Some(words)
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(_path: &Path) -> bool {
    true
}
