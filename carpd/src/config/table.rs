//! Reading one table of the file: typed values with their place, and every wrong type or unknown key as a
//! line in the [`Report`].

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::report::Report;

/// What a key with a number can be.
pub(super) trait Number: Copy + PartialOrd + Display + FromStr + TryFrom<i128> {}

impl Number for u8 {}
impl Number for u16 {}
impl Number for u32 {}

/// A table, the keys that it may have, and the place of its header.
pub(super) struct Table<'a> {
    pub(super) items: &'a DeTable<'a>,
    pub(super) header: Range<usize>,
}

impl<'a> Table<'a> {
    /// A string, or `None` if the key is missing or (reported) no string.
    ///
    /// The value is never repeated in the report: it may be a password.
    pub(super) fn string(&self, key: &str, report: &mut Report) -> Option<Spanned<&'a str>> {
        let value = self.items.get(key)?;
        if let DeValue::String(text) = value.get_ref() {
            return Some(Spanned::new(value.span(), text.as_ref()));
        }
        let what = type_of(value);
        report.mistake(
            &value.span(),
            format!("{key} is {what}; write text in quotes: {key} = \"...\""),
        );
        None
    }

    /// A whole number within `range`, or `None` if the key is missing or (reported) anything else.
    ///
    /// `meaning` follows "write a number from A to B" in the report.
    pub(super) fn number<T: Number>(
        &self,
        key: &str,
        range: RangeInclusive<T>,
        meaning: &str,
        report: &mut Report,
    ) -> Option<Spanned<T>> {
        let value = self.items.get(key)?;
        let advice = format!(
            "write a number from {} to {}{meaning}",
            range.start(),
            range.end()
        );
        match value.get_ref() {
            DeValue::Integer(integer) => {
                let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
                match number
                    .and_then(|n| T::try_from(n).ok())
                    .filter(|n| range.contains(n))
                {
                    Some(number) => return Some(Spanned::new(value.span(), number)),
                    None => report.mistake(
                        &value.span(),
                        format!("{key} = {integer} is out of range; {advice}"),
                    ),
                }
            }
            DeValue::String(text) if text.parse::<T>().is_ok_and(|n| range.contains(&n)) => {
                report.mistake(
                    &value.span(),
                    format!("{key} is text; write it without the quotes: {key} = {text}"),
                );
            }
            _ => report.mistake(&value.span(), format!("{key} is {}; {advice}", type_of(value))),
        }
        None
    }

    /// `true` or `false`, or `None` if the key is missing or (reported) anything else.
    pub(super) fn boolean(&self, key: &str, report: &mut Report) -> Option<bool> {
        let value = self.items.get(key)?;
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        let what = type_of(value);
        report.mistake(
            &value.span(),
            format!("{key} is {what}; write {key} = true or {key} = false"),
        );
        None
    }

    /// One of several words and what it means, or the default if the key is missing or (reported) anything else.
    pub(super) fn one_of<T: Copy + Default>(
        &self,
        key: &str,
        values: &[(&str, T)],
        report: &mut Report,
    ) -> T {
        let Some(name) = self.string(key, report) else {
            return T::default();
        };
        if let Some((_, value)) = values.iter().find(|(value, _)| value == name.get_ref()) {
            return *value;
        }
        let wrong = name.get_ref().escape_debug();
        let names: Vec<_> = values.iter().map(|(value, _)| *value).collect();
        let advice = format!("{key} cannot be {wrong}; write {}", names.join(" or "));
        report.mistake(&name.span(), advice);
        T::default()
    }

    /// A list of strings with its own place, or `None` if the key is missing or (reported) no list. Elements
    /// that are no strings are reported and left out.
    pub(super) fn strings(
        &self,
        key: &str,
        example: &str,
        report: &mut Report,
    ) -> Option<Spanned<Vec<Spanned<&'a str>>>> {
        let value = self.items.get(key)?;
        match value.get_ref() {
            DeValue::Array(array) => Some(Spanned::new(
                value.span(),
                strings_in(array, key, example, report),
            )),
            DeValue::String(text) => {
                report.mistake(
                    &value.span(),
                    format!("{key} is one text; write a list: {key} = [\"{text}\"]"),
                );
                None
            }
            _ => {
                let what = type_of(value);
                report.mistake(
                    &value.span(),
                    format!("{key} is {what}; write a list: {key} = [\"{example}\"]"),
                );
                None
            }
        }
    }

    /// Whether the key has a list with nothing in it.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.items
            .get(key)
            .and_then(|value| value.get_ref().as_array())
            .is_some_and(|array| array.is_empty())
    }

    /// Reports every key that is not in `known`. `elsewhere` gives advice on keys which another table has.
    pub(super) fn refuse_unknown_keys(
        &self,
        known: &[&str],
        elsewhere: impl Fn(&str) -> Option<&'static str>,
        report: &mut Report,
    ) {
        for key in self.items.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let text = if let Some(advice) = elsewhere(name) {
                format!("{name} is in the wrong place; {advice}")
            } else if let Some(near) = nearest(name, known) {
                format!("unknown key {}; write {near}", name.escape_debug())
            } else {
                format!(
                    "unknown key {}; the keys here are {}",
                    name.escape_debug(),
                    known.join(", ")
                )
            };
            report.mistake(&key.span(), text);
        }
    }
}

/// The tables of a list `[[key]]`. What is none is reported.
pub(super) fn tables<'a>(array: &'a DeArray<'a>, key: &str, report: &mut Report) -> Vec<Table<'a>> {
    let mut tables = Vec::new();
    for element in array {
        if let DeValue::Table(items) = element.get_ref() {
            tables.push(Table {
                items,
                header: element.span(),
            });
        } else {
            let what = type_of(element);
            report.mistake(
                &element.span(),
                format!("{key} contains {what}; write a [[{key}]] table instead"),
            );
        }
    }
    tables
}

fn strings_in<'a>(
    array: &'a DeArray<'a>,
    key: &str,
    example: &str,
    report: &mut Report,
) -> Vec<Spanned<&'a str>> {
    let mut strings = Vec::new();
    for element in array {
        if let DeValue::String(text) = element.get_ref() {
            strings.push(Spanned::new(element.span(), text.as_ref()));
        } else {
            let what = type_of(element);
            report.mistake(
                &element.span(),
                format!("{key} contains {what}; write text in quotes, like \"{example}\""),
            );
        }
    }
    strings
}

/// The value's type in words that fit after "is".
pub(super) fn type_of(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The key that was probably meant: at most two slips away, or an abbreviation (`pass`, `iface`).
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let slips = |key: &&&str| edits(&name, key);
    let close = known
        .iter()
        .min_by_key(slips)
        .filter(|key| slips(key) <= 2 && slips(key) < key.len() / 2);
    close
        .or_else(|| {
            known
                .iter()
                .find(|key| name.len() >= 3 && abbreviates(&name, key))
        })
        .copied()
}

/// Whether all letters of `short` occur in `long` in that order, the first letters being the same.
fn abbreviates(short: &str, long: &str) -> bool {
    let mut rest = long.chars();
    short.chars().next() == long.chars().next() && short.chars().all(|c| rest.any(|l| l == c))
}

/// How many letters must be added, removed, changed or swapped with their neighbour.
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(a != b))
                .min(rows[i][j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        assert_eq!(edits("advskw", "advskew"), 1);
        assert_eq!(edits("pasword", "password"), 1);
        assert_eq!(edits("prempet", "preempt"), 2);
        assert_eq!(edits("vhdi", "vhid"), 1);
        assert_eq!(edits("", "vhid"), 4);
    }

    #[test]
    fn suggestions_are_the_ones_a_person_would_make() {
        let known = [
            "interface",
            "vhid",
            "addresses",
            "password",
            "password_file",
            "advskew",
            "description",
        ];
        for (wrong, right) in [
            ("advskw", Some("advskew")),
            ("AdvSkew", Some("advskew")),
            ("address", Some("addresses")),
            ("iface", Some("interface")),
            ("pass", Some("password")),
            ("password-file", Some("password_file")),
            ("desc", Some("description")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(wrong, &known), right, "{wrong}");
        }
    }
}
