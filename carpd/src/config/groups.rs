//! The `[groups]` table: virtual hosts that move together, and what holds for all of a group.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Report;
use super::table::{Table, type_of};
use super::vhid::Draft;

/// The group of every virtual host that names none. OpenBSD calls it so, too.
pub const DEFAULT_GROUP: &str = "carp";
/// An hour, in seconds.
const MAX_PREEMPT_DELAY: u16 = 3600;
/// The longest name.
const MAX_NAME: usize = 32;

pub(super) const KEYS: &[&str] = &["preempt", "preempt_delay"];

/// All groups.
#[derive(Default)]
pub(super) struct Groups(Vec<Spanned<Group>>);

/// What holds for the virtual hosts of one, unless they say otherwise.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) preempt: Option<bool>,
    pub(super) preempt_delay: Option<u16>,
}

impl Groups {
    /// Reads the table. What is of no use is reported.
    pub(super) fn read(document: &DeTable<'_>, report: &mut Report) -> Self {
        let Some((key, value)) = document.get_key_value("groups") else {
            return Self::default();
        };
        let DeValue::Table(items) = value.get_ref() else {
            let what = type_of(value);
            report.mistake(
                &key.span(),
                format!("groups is {what}; write a line [groups], and NAME = {{ preempt = true }} below it for each"),
            );
            return Self::default();
        };
        let group = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &str = AsRef::as_ref(key.get_ref());
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fits) {
                let name = name.escape_debug();
                let advice = format!("write one of letters, digits, - and _, at most {MAX_NAME}");
                report.mistake(&key.span(), format!("{name} is no name for a group; {advice}"));
                return None;
            }
            let DeValue::Table(items) = value.get_ref() else {
                let what = type_of(value);
                report.mistake(
                    &value.span(),
                    format!("{name} is {what}; write {name} = {{ preempt = true }}, or {name} = {{}}"),
                );
                return Some(Spanned::new(key.span(), Group::named(name)));
            };
            let table = Table {
                items,
                header: key.span(),
            };
            table.refuse_unknown_keys(KEYS, |_| None, report);
            let group = Group {
                name: name.to_owned(),
                preempt: table.boolean("preempt", report),
                preempt_delay: preempt_delay(&table, report),
            };
            Some(Spanned::new(key.span(), group))
        };
        Self(items.iter().filter_map(group).collect())
    }

    /// The group of a virtual host.
    pub(super) fn of(&self, table: &Table<'_>, report: &mut Report) -> Group {
        let wanted = table.string("group", report);
        let name = wanted.as_ref().map_or(DEFAULT_GROUP, |name| *name.get_ref());
        let known = self.0.iter().find(|group| group.get_ref().name == name);
        if let (None, Some(wanted)) = (known, wanted.filter(|_| name != DEFAULT_GROUP)) {
            let names: Vec<_> = self.0.iter().map(|group| group.get_ref().name.as_str()).collect();
            let others = match names.join(", ") {
                names if names.is_empty() => String::new(),
                names => format!("write one of {names}, or "),
            };
            let name = name.escape_debug();
            report.mistake(
                &wanted.span(),
                format!("there is no group {name}; {others}write {name} = {{}} in a table [groups]"),
            );
        }
        known.map_or_else(|| Group::named(DEFAULT_GROUP), |group| group.get_ref().clone())
    }

    /// Warns of groups in which there is nobody.
    pub(super) fn warn_of_empty(&self, drafts: &[Draft], report: &mut Report) {
        for group in &self.0 {
            let name = &group.get_ref().name;
            if drafts.iter().all(|draft| draft.group != *name) {
                report.warning(
                    &group.span(),
                    format!("no virtual host is in group {name}; write group = \"{name}\" into its [[vhid]]"),
                );
            }
        }
    }
}

impl Group {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            preempt: None,
            preempt_delay: None,
        }
    }
}

/// Seconds for which a living master is left alone after the start, or after the link has come up.
pub(super) fn preempt_delay(table: &Table<'_>, report: &mut Report) -> Option<u16> {
    let meaning = ", the seconds after the start for which a living master is left alone";
    let delay = table.number("preempt_delay", 0..=MAX_PREEMPT_DELAY, meaning, report);
    delay.map(Spanned::into_inner)
}
