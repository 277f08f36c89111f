//! One line of the results: a figure, and how it compares to its limits.

use carp_benches::figure::Figure;
use carp_benches::limits::{Limit, Outcome, Statistic};
use serde::Serialize;

/// A figure that was measured and judged.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// The part that it belongs to.
    pub(crate) part: String,
    #[serde(flatten)]
    figure: Figure,
    /// The worst of all its limits; `None` if there are none.
    pub(crate) outcome: Option<Outcome>,
    /// What they allow.
    #[serde(skip)]
    allowed: String,
}

impl Line {
    /// The head of [`row`](Self::row).
    pub(crate) const HEAD: [&'static str; 7] = ["what", "whom", "n", "median", "worst", "limit", "verdict"];

    /// Judged by those of the limits that are for it. `of_report`: the part of the report that they name.
    pub(crate) fn new(part: String, figure: Figure, limits: &[Limit], of_report: &str, fast: bool) -> Self {
        let mine = limits.iter().filter(|limit| limit.is_for(of_report, &figure));
        let outcome = mine.clone().map(|limit| limit.outcome(&figure, fast)).max();
        let allowed: Vec<_> = mine
            .map(|limit| match limit.statistic {
                Statistic::Median => format!("median {}", limit.bound(fast)),
                Statistic::Worst => limit.bound(fast).to_string(),
            })
            .collect();
        let allowed = match &allowed[..] {
            [] => "none".to_owned(),
            all => all.join(", "),
        };
        Self {
            part,
            figure,
            outcome,
            allowed,
        }
    }

    fn verdict(&self) -> &'static str {
        match self.outcome {
            None => "-",
            Some(Outcome::Kept) => "pass",
            Some(Outcome::Missed) => "missed",
            Some(Outcome::Exceeded) => "EXCEEDED",
        }
    }

    pub(crate) fn row(&self) -> [String; 7] {
        let Figure {
            what,
            whom,
            unit,
            samples,
        } = &self.figure;
        let number = |value: f64| {
            let digits = if value.fract() == 0.0 { 0 } else { 2 };
            format!("{value:.digits$} {unit}").trim_end().to_owned()
        };
        [
            what.clone(),
            whom.clone(),
            samples.len().to_string(),
            number(self.figure.median()),
            number(self.figure.worst()),
            self.allowed.clone(),
            self.verdict().to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a crash, of which carpd promises a worst and a median.
    fn line(whom: &str, samples: &[f64], fast: bool) -> Line {
        let figure = Figure {
            what: "crash: detection less formula".to_owned(),
            whom: whom.to_owned(),
            unit: "ms".to_owned(),
            samples: samples.to_vec(),
        };
        Line::new(
            "crash".to_owned(),
            figure,
            &carp_benches::limits::read(),
            "failover",
            fast,
        )
    }

    #[test]
    fn every_limit_has_to_be_kept() {
        let (kept, exceeded) = (Some(Outcome::Kept), Some(Outcome::Exceeded));
        for (samples, full, fast) in [
            (&[1.0, -3.0, 9.0][..], kept, kept),
            (&[1.0, 4.0, 9.0], exceeded, kept),
            (&[0.0, 0.0, -11.0], exceeded, kept),
            (&[0.0, 0.0, -201.0], exceeded, exceeded),
            (&[], exceeded, exceeded),
        ] {
            assert_eq!(line("carpd plain", samples, false).outcome, full, "{samples:?}");
            assert_eq!(line("carpd plain", samples, true).outcome, fast, "{samples:?}");
        }
        assert_eq!(line("ucarp plain", &[900.0], false).outcome, None);
    }

    #[test]
    fn a_row_shows_median_and_the_farthest_from_zero() {
        let row = line("carpd vmac", &[1.5, -400.0, 2.0, 0.0], true).row();
        let what = "crash: detection less formula";
        assert_eq!(
            row,
            [
                what,
                "carpd vmac",
                "4",
                "0.75 ms",
                "-400 ms",
                "200, median 100",
                "EXCEEDED"
            ]
        );
        assert_eq!(line("ucarp plain", &[1.0], true).row()[5..], ["none", "-"]);
    }
}
