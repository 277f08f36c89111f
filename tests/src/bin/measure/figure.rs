//! One line of the results: samples, and what they are held to.

use serde::Serialize;

/// Something that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// The part that it belongs to.
    pub(crate) part: String,
    /// What was measured.
    pub(crate) what: String,
    /// Of whom.
    pub(crate) whom: String,
    /// Of the samples.
    pub(crate) unit: &'static str,
    pub(crate) samples: Vec<f64>,
    pub(crate) limits: Vec<Limit>,
    /// Whether the limits are kept; `None` if there are none.
    pub(crate) kept: Option<bool>,
}

/// What samples are held to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Limit {
    statistic: Statistic,
    at_most: f64,
    /// Instead, in the fast form, which runs on busy machines.
    generous: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Statistic {
    Median,
    /// The one that is farthest from zero.
    Worst,
}

impl Limit {
    /// For every sample.
    pub(crate) const fn worst(at_most: f64, generous: f64) -> Self {
        Self {
            statistic: Statistic::Worst,
            at_most,
            generous,
        }
    }

    pub(crate) const fn median(at_most: f64, generous: f64) -> Self {
        Self {
            statistic: Statistic::Median,
            at_most,
            generous,
        }
    }

    /// No sample may be anything but 0, on any machine.
    pub(crate) const ZERO: Self = Self::worst(0.0, 0.0);
}

impl Figure {
    /// The head of [`row`](Self::row).
    pub(crate) const HEAD: [&'static str; 7] = ["what", "whom", "n", "median", "worst", "limit", "verdict"];

    pub(crate) fn judge(mut self, fast: bool) -> Self {
        let bound = |limit: &Limit| if fast { limit.generous } else { limit.at_most };
        let kept = |limit: &Limit| match limit.statistic {
            Statistic::Median => self.median().abs() <= bound(limit),
            Statistic::Worst => self.worst().abs() <= bound(limit),
        };
        if !self.limits.is_empty() {
            self.kept = Some(!self.samples.is_empty() && self.limits.iter().all(kept));
        }
        self
    }

    fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        match (sorted.len(), sorted.len() / 2) {
            (0, _) => f64::NAN,
            (n, middle) if n % 2 == 1 => sorted[middle],
            (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    fn worst(&self) -> f64 {
        let by_size = |a: &&f64, b: &&f64| a.abs().total_cmp(&b.abs());
        self.samples.iter().max_by(by_size).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn verdict(&self) -> &'static str {
        match self.kept {
            None => "-",
            Some(true) => "pass",
            Some(false) => "MISSED",
        }
    }

    pub(crate) fn row(&self, fast: bool) -> [String; 7] {
        let number = |value: f64| {
            let digits = if value.fract() == 0.0 { 0 } else { 2 };
            format!("{value:.digits$} {}", self.unit).trim_end().to_owned()
        };
        let mut limits: Vec<_> = self
            .limits
            .iter()
            .map(|limit| {
                let bound = if fast { limit.generous } else { limit.at_most };
                match limit.statistic {
                    Statistic::Median => format!("median {bound}"),
                    Statistic::Worst => format!("{bound}"),
                }
            })
            .collect();
        if limits.is_empty() {
            limits.push("none".to_owned());
        }
        [
            self.what.clone(),
            self.whom.clone(),
            self.samples.len().to_string(),
            number(self.median()),
            number(self.worst()),
            limits.join(", "),
            self.verdict().to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(samples: &[f64], limits: &[Limit]) -> Figure {
        Figure {
            part: String::new(),
            what: "x".to_owned(),
            whom: "y".to_owned(),
            unit: "ms",
            samples: samples.to_vec(),
            limits: limits.to_vec(),
            kept: None,
        }
    }

    #[test]
    fn every_limit_has_to_be_kept() {
        let limits = [Limit::median(3.0, 30.0), Limit::worst(10.0, 100.0)];
        for (samples, full, fast) in [
            (&[1.0, -3.0, 9.0][..], true, true),
            (&[1.0, 4.0, 9.0], false, true),
            (&[0.0, 0.0, -11.0], false, true),
            (&[0.0, 0.0, -101.0], false, false),
            (&[], false, false),
        ] {
            assert_eq!(
                figure(samples, &limits).judge(false).kept,
                Some(full),
                "{samples:?}"
            );
            assert_eq!(
                figure(samples, &limits).judge(true).kept,
                Some(fast),
                "{samples:?}"
            );
        }
        assert_eq!(figure(&[1.0], &[]).judge(false).kept, None);
    }

    #[test]
    fn a_row_shows_median_and_the_farthest_from_zero() {
        let row = figure(&[1.5, -4.0, 2.0, 0.0], &[Limit::ZERO])
            .judge(true)
            .row(true);
        assert_eq!(row, ["x", "y", "4", "0.75 ms", "-4 ms", "0", "MISSED"]);
    }
}
