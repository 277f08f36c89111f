//! Two runs side by side: their ratios should agree, whatever the machine did meanwhile.

use std::fmt;
use std::path::Path;

use carp_benches::figure::{Figure, RATIO};

use crate::data::{Results, number};
use crate::part::PARTS;
use crate::tools::Failure;

/// By how much of the first one two ratios may differ.
const TOLERANCE: f64 = 0.10;

/// What two runs have in common, and where they disagree.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    /// Ratios that both have.
    both: usize,
    /// A line for each that differs, or that only one of them has.
    differences: Vec<String>,
}

impl Comparison {
    /// Of the directories that were given to `--out`.
    pub(crate) fn read(directories: [&Path; 2]) -> Result<Self, Failure> {
        let mut comparison = Self::default();
        for part in &PARTS {
            let [first, second] = directories.map(|directory| crate::load(&directory.join("results"), part));
            match (first, second) {
                (Some(first), Some(second)) => comparison.add(&first, &second),
                (None, None) => {}
                _ => comparison
                    .differences
                    .push(format!("{}: only one of them has it", part.name)),
            }
        }
        if comparison.both == 0 {
            let [first, second] = directories.map(Path::display);
            return Err(format!("no ratio is in both {first}/results and {second}/results").into());
        }
        Ok(comparison)
    }

    pub(crate) fn agrees(&self) -> bool {
        self.differences.is_empty()
    }

    fn add(&mut self, first: &Results, second: &Results) {
        let ratios = |results: &'_ Results| -> Vec<Figure> {
            let ratios = results.figures.iter().filter(|figure| figure.unit == RATIO);
            ratios.cloned().collect()
        };
        let mut others = ratios(second);
        for one in ratios(first) {
            let same = |other: &Figure| other.what == one.what && other.whom == one.whom;
            let Some(other) = others.iter().position(same).map(|at| others.swap_remove(at)) else {
                self.only_one(&first.part, &one);
                continue;
            };
            self.both += 1;
            let (a, b) = (one.median(), other.median());
            // What is no number does not.
            let agrees = (b - a).abs() <= TOLERANCE * a.abs();
            if !agrees {
                self.differences.push(format!(
                    "{}: {}, {}: {} and {}",
                    first.part,
                    one.what,
                    one.whom,
                    number(a),
                    number(b)
                ));
            }
        }
        for other in others {
            self.only_one(&first.part, &other);
        }
    }

    fn only_one(&mut self, part: &str, figure: &Figure) {
        self.differences.push(format!(
            "{part}: {}, {}: only one of them has it",
            figure.what, figure.whom
        ));
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.differences {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "{} ratios are in both, {} disagree (by more than {:.0} %, or one of them lacks it)",
            self.both,
            self.differences.len(),
            TOLERANCE * 100.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(ratios: &[(&str, f64)]) -> Results {
        let mut results = Results {
            part: "crypto".to_owned(),
            ..Results::default()
        };
        for &(what, value) in ratios {
            results.add(what, "time", RATIO, vec![value]);
            results.add(format!("{what}, absolute"), "time", "ns", vec![value * 1000.0]);
        }
        results
    }

    fn compared(first: &[(&str, f64)], second: &[(&str, f64)]) -> Comparison {
        let mut comparison = Comparison::default();
        comparison.add(&results(first), &results(second));
        comparison
    }

    #[test]
    fn ratios_within_a_tenth_agree() {
        let comparison = compared(
            &[("sign", 1.0), ("verify", 2.0)],
            &[("verify", 1.81), ("sign", 1.09)],
        );
        assert!(comparison.agrees(), "{comparison}");
        assert_eq!(comparison.both, 2);
    }

    #[test]
    fn others_are_named() {
        let comparison = compared(
            &[("sign", 1.0), ("verify", 2.0), ("parse", 1.0), ("gone", 1.0)],
            &[
                ("sign", 1.11),
                ("verify", 1.79),
                ("parse", f64::NAN),
                ("new", 1.0),
            ],
        );
        assert_eq!(
            comparison.differences,
            [
                "crypto: sign, time: 1 and 1.11",
                "crypto: verify, time: 2 and 1.79",
                "crypto: parse, time: 1 and –",
                "crypto: gone, time: only one of them has it",
                "crypto: new, time: only one of them has it",
            ]
        );
        assert!(!comparison.agrees());
    }

    #[test]
    fn directories_without_results_are_an_error() {
        let nowhere = Path::new("nowhere");
        assert!(Comparison::read([nowhere, nowhere]).is_err());
    }
}
