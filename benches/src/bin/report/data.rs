//! What was measured, as it is stored and read again.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Of the files, if members change their meaning.
pub(crate) const SCHEMA: u32 = 1;

/// Something that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// Of whom.
    pub(crate) whom: String,
    /// Of the samples; empty for counts and ratios.
    pub(crate) unit: String,
    /// All of them. What never happened took infinitely long, which JSON calls `null`.
    #[serde(deserialize_with = "samples")]
    pub(crate) samples: Vec<f64>,
}

impl Figure {
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        match (sorted.len(), sorted.len() / 2) {
            (0, _) => f64::NAN,
            (n, middle) if n % 2 == 1 => sorted[middle],
            (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The sample that is farthest from zero.
    pub(crate) fn worst(&self) -> f64 {
        let by_size = |a: &&f64, b: &&f64| a.abs().total_cmp(&b.abs());
        self.samples.iter().max_by(by_size).copied().unwrap_or(f64::NAN)
    }
}

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
    /// The steps that were not done, and why.
    pub(crate) left_out: BTreeMap<String, String>,
    pub(crate) figures: Vec<Figure>,
    /// What does not fit into a figure.
    pub(crate) raw: BTreeMap<String, Value>,
}

impl Results {
    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        whom: impl Into<String>,
        unit: &str,
        samples: Vec<f64>,
    ) {
        self.figures.push(Figure {
            what: what.into(),
            whom: whom.into(),
            unit: unit.to_owned(),
            samples,
        });
    }

    /// Those whose `what` begins like this.
    pub(crate) fn about<'a>(&'a self, what: &'a str) -> impl Iterator<Item = &'a Figure> {
        self.figures
            .iter()
            .filter(move |figure| figure.what.starts_with(what))
    }
}

fn samples<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let samples = Vec::<Option<f64>>::deserialize(from)?;
    Ok(samples
        .into_iter()
        .map(|sample| sample.unwrap_or(f64::INFINITY))
        .collect())
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
