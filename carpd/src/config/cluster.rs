//! The `[cluster]` table: what is agreed between the machines, and checked.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Report;
use super::table::{Table, type_of};
use super::vhid::Draft;

pub(super) const KEYS: &[&str] = &["vhids", "sync_interface"];

/// What is agreed. All of it may be missing.
#[derive(Default)]
pub(super) struct Cluster {
    /// The vhids that are ours on these networks, as written and as ranges.
    vhids: Option<(String, Vec<RangeInclusive<u8>>)>,
    /// The interface over which the machines copy states and configurations.
    sync_interface: Option<String>,
}

impl Cluster {
    /// Reads the table.
    pub(super) fn read(document: &DeTable<'_>, report: &mut Report) -> Self {
        let Some((key, value)) = document.get_key_value("cluster") else {
            return Self::default();
        };
        let DeValue::Table(items) = value.get_ref() else {
            let what = type_of(value);
            report.mistake(
                &key.span(),
                format!("cluster is {what}; write a line [cluster], and its keys below it"),
            );
            return Self::default();
        };
        let table = Table {
            items,
            header: key.span(),
        };
        table.refuse_unknown_keys(KEYS, |_| None, report);
        let vhids = table.string("vhids", report).and_then(|text| {
            let ranges = ranges(text.get_ref());
            if ranges.is_none() {
                report.mistake(
                    &text.span(),
                    "vhids is no list of numbers from 1 to 255; write vhids = \"1-20, 200\"",
                );
            }
            Some(((*text.get_ref()).to_owned(), ranges?))
        });
        let sync = table.string("sync_interface", report);
        Self {
            vhids,
            sync_interface: sync.map(Spanned::into_inner).map(str::to_owned),
        }
    }

    /// Warns of what is not as agreed.
    pub(super) fn compare(&self, drafts: &[Draft], report: &mut Report) {
        for draft in drafts {
            let Some(vhid) = &draft.vhid else { continue };
            let number = *vhid.get_ref();
            if let Some((text, ranges)) = &self.vhids
                && !ranges.iter().any(|range| range.contains(&number))
            {
                let text = text.escape_debug();
                report.warning(
                    &vhid.span(),
                    format!(
                        "vhid {number} is not among those of this cluster ({text}); write one that is, or add it to \
                         vhids in [cluster]"
                    ),
                );
            }
            if draft.interface.is_some() && draft.interface == self.sync_interface {
                let name = draft.interface.as_deref().unwrap_or_default();
                report.warning(
                    &vhid.span(),
                    format!(
                        "{name} is the sync interface, which connects the machines only and needs no virtual host; \
                         remove this one"
                    ),
                );
            }
        }
    }
}

/// `1-20, 200`.
fn ranges(text: &str) -> Option<Vec<RangeInclusive<u8>>> {
    let number = |text: &str| text.trim().parse::<u8>().ok().filter(|number| *number > 0);
    let range = |part: &str| match part.split_once('-') {
        None => number(part).map(|number| number..=number),
        Some((from, to)) => {
            let (from, to) = (number(from)?, number(to)?);
            (from <= to).then_some(from..=to)
        }
    };
    text.split(',').map(range).collect()
}

/// Warns if the virtual hosts of a group can end up on different machines because nothing says preempt.
pub(super) fn warn_without_preempt(drafts: &[Draft], report: &mut Report) {
    let groups: BTreeSet<_> = drafts.iter().map(|draft| &draft.group).collect();
    for group in groups {
        let members: Vec<_> = drafts.iter().filter(|draft| draft.group == *group).collect();
        let several = members
            .iter()
            .any(|other| other.interface != members[0].interface);
        let mut silent = members.iter().filter(|draft| draft.preempt.is_none());
        let Some(vhid) = silent.find_map(|draft| draft.vhid.as_ref()).filter(|_| several) else {
            continue;
        };
        report.warning(
            &vhid.span(),
            "nothing says preempt, so that after a fault the virtual hosts of this machine can stay on different \
             machines; write preempt = true at the top of the file, or false if that is meant",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_lists_of_numbers_and_ranges() {
        assert_eq!(ranges("7"), Some(vec![7..=7]));
        assert_eq!(ranges("1-20, 200 - 201"), Some(vec![1..=20, 200..=201]));
        for wrong in ["", "0", "256", "1-", "20-1", "1;2", "a", "1,,2", "-1"] {
            assert_eq!(ranges(wrong), None, "{wrong}");
        }
    }
}
