//! What was measured, as it is stored and read again.

use std::collections::BTreeMap;
use std::fmt::Display;

use carp_benches::figure::Figure;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Of the files, if members change their meaning.
pub(crate) const SCHEMA: u32 = 1;

/// What a part has come to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) schema: u32,
    pub(crate) part: String,
    /// Of the sources that were measured; empty if they were not committed.
    pub(crate) commit: String,
    pub(crate) quick: bool,
    /// Machine and versions.
    pub(crate) machine: Vec<(String, String)>,
    /// The steps that were done, and the seconds that each took.
    pub(crate) took: BTreeMap<String, f64>,
    /// How much of the processors something else took when a step began that should have been alone, in percent.
    #[serde(default)]
    pub(crate) busy: BTreeMap<String, f64>,
    /// The steps that were not done, and why.
    pub(crate) left_out: BTreeMap<String, String>,
    pub(crate) figures: Vec<Figure>,
    /// What does not fit into a figure.
    pub(crate) raw: BTreeMap<String, Value>,
}

impl Results {
    pub(crate) fn add(&mut self, what: impl Display, whom: impl Display, unit: &str, samples: Vec<f64>) {
        self.figures.push(Figure::new(what, whom, unit, samples));
    }

    /// Those whose `what` begins like this.
    pub(crate) fn about<'a>(&'a self, what: &'a str) -> impl Iterator<Item = &'a Figure> {
        self.figures
            .iter()
            .filter(move |figure| figure.what.starts_with(what))
    }
}

/// A number for people: three digits that say something, or all of an integer.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        _ if value.is_infinite() => return "never".to_owned(),
        _ if value.is_nan() => return "–".to_owned(),
        size if value.fract() == 0.0 || size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (sign, rest) = text.split_at(usize::from(text.starts_with('-')));
    let (whole, fraction) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && whole.len() > 4 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (-3.0, "-3"),
            (1_560_000.0, "1 560 000"),
            (2848.0, "2848"),
            (1.0123, "1.01"),
            (0.0712, "0.071"),
            (34.56, "34.6"),
            (-123.4, "-123"),
            (f64::INFINITY, "never"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn what_never_happened_survives_storing() {
        let mut results = Results::default();
        results.add("take-over", "somebody", "ms", vec![1.5, f64::INFINITY]);
        let text = serde_json::to_string(&results).unwrap();
        let again: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(again.figures[0].samples, [1.5, f64::INFINITY]);
        assert!(again.figures[0].worst().is_infinite());
    }
}
