//! Something that was measured, as `measure` of carp-tests stores it and the report reads it.

use std::fmt::Display;

use serde::{Deserialize, Deserializer, Serialize};

/// The unit of ratios: how many times as much.
pub const RATIO: &str = "×";

/// Something that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// Of whom.
    pub whom: String,
    /// Of the samples; empty for counts, [`RATIO`] for ratios.
    pub unit: String,
    /// All of them. What never happened took infinitely long, which JSON calls `null`.
    #[serde(deserialize_with = "samples")]
    pub samples: Vec<f64>,
}

impl Figure {
    /// Puts it together.
    pub fn new(what: impl Display, whom: impl Display, unit: &str, samples: Vec<f64>) -> Self {
        Self {
            what: what.to_string(),
            whom: whom.to_string(),
            unit: unit.to_owned(),
            samples,
        }
    }

    /// Of the samples; NaN without any.
    pub fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        match (sorted.len(), sorted.len() / 2) {
            (0, _) => f64::NAN,
            (n, middle) if n % 2 == 1 => sorted[middle],
            (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The sample that is farthest from zero; NaN without any.
    pub fn worst(&self) -> f64 {
        let by_size = |a: &&f64, b: &&f64| a.abs().total_cmp(&b.abs());
        self.samples.iter().max_by(by_size).copied().unwrap_or(f64::NAN)
    }
}

fn samples<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let samples = Vec::<Option<f64>>::deserialize(from)?;
    Ok(samples
        .into_iter()
        .map(|sample| sample.unwrap_or(f64::INFINITY))
        .collect())
}
