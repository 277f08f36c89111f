//! `benches/limits.toml`, and how figures compare to it.

use serde::{Deserialize, Serialize};

use crate::figure::Figure;

const FILE: &str = include_str!("../limits.toml");

/// What figures are held to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Of the report.
    pub part: String,
    /// The figures that it is for; `*` stands for anything.
    pub what: String,
    /// Of whom; `*` stands for anything, and is meant if nothing is said.
    #[serde(default = "anybody")]
    pub whom: String,
    /// What of the samples is held to it.
    #[serde(default)]
    pub statistic: Statistic,
    /// What is promised: this,
    pub at_most: Option<f64>,
    /// or this.
    pub at_least: Option<f64>,
    /// Instead with `--quick`, which runs on busy machines and measures less.
    pub quick: Option<f64>,
    /// As long as the promise is not kept: what must not be passed all the same.
    pub until_then: Option<f64>,
    /// Why it is not kept.
    pub missed: Option<String>,
    /// Why it is what it is.
    pub reason: String,
}

/// Of the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// The one that is farthest from zero; of what is promised at least, the smallest.
    #[default]
    Worst,
    /// The one in the middle.
    Median,
}

/// How a figure compares to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The promise is kept.
    Kept,
    /// It is known and explained, and has not grown worse than allowed.
    Missed,
    /// It must not be.
    Exceeded,
}

fn anybody() -> String {
    "*".to_owned()
}

/// All of them.
///
/// # Panics
///
/// If the file is not in order, which a test sees.
pub fn read() -> Vec<Limit> {
    parse(FILE).unwrap_or_else(|error| panic!("{error}"))
}

fn parse(text: &str) -> Result<Vec<Limit>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        limit: Vec<Limit>,
    }
    let limits = toml::from_str::<File>(text)
        .map_err(|error| format!("benches/limits.toml: {error}"))?
        .limit;
    for Limit {
        part,
        what,
        at_most,
        at_least,
        missed,
        until_then,
        ..
    } in &limits
    {
        if at_most.is_some() == at_least.is_some() {
            return Err(format!(
                "benches/limits.toml: {part}, {what}: at_most or at_least, not both or neither"
            ));
        }
        if missed.is_some() != until_then.is_some() {
            return Err(format!(
                "benches/limits.toml: {part}, {what}: missed and until_then belong together"
            ));
        }
    }
    Ok(limits)
}

impl Limit {
    /// What counts in this run, and how it is written.
    pub fn bound(&self, quick: bool) -> f64 {
        let promised = self.at_most.or(self.at_least).unwrap_or(f64::NAN);
        self.quick.filter(|_| quick).unwrap_or(promised)
    }

    /// Whether it is for this figure of this part.
    pub fn is_for(&self, part: &str, figure: &Figure) -> bool {
        self.part == part && matches(&self.what, &figure.what) && matches(&self.whom, &figure.whom)
    }

    /// What of the figure is held to it.
    pub fn value(&self, figure: &Figure) -> f64 {
        match self.statistic {
            Statistic::Worst if self.at_least.is_some() => figure
                .samples
                .iter()
                .copied()
                .reduce(f64::min)
                .unwrap_or(f64::NAN),
            Statistic::Worst => figure.worst(),
            Statistic::Median => figure.median(),
        }
    }

    /// How a figure compares to it. One without samples keeps no limit.
    pub fn outcome(&self, figure: &Figure, quick: bool) -> Outcome {
        let value = self.value(figure);
        let within = |bound: f64| match self.at_least {
            Some(_) => value >= bound,
            None => value.abs() <= bound,
        };
        match self.until_then {
            _ if within(self.bound(quick)) => Outcome::Kept,
            Some(until_then) if within(until_then) => Outcome::Missed,
            _ => Outcome::Exceeded,
        }
    }
}

/// Whether `*` in the pattern can be filled in so that it is the text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.any(|at| matches(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_in_order() {
        assert!(!read().is_empty());
    }

    #[test]
    fn patterns() {
        for (pattern, text, yes) in [
            ("sign", "sign", true),
            ("sign", "sign and emit", false),
            ("*", "", true),
            ("flood: *", "flood: transitions", true),
            ("*, * hosts", "idle, 1 hosts", true),
            ("idle, * hosts", "idle, 1 host", false),
        ] {
            assert_eq!(matches(pattern, text), yes, "{pattern} {text}");
        }
    }

    #[test]
    fn a_missed_limit_must_not_be_missed_by_more() {
        let limits = parse(
            "[[limit]]\npart = 'p'\nwhat = 'w'\nat_most = 10\nuntil_then = 20\nmissed = 'not yet'\nreason = 'r'\n\
             [[limit]]\npart = 'p'\nwhat = 'w'\nat_least = 12\nreason = 'r'\n\
             [[limit]]\npart = 'p'\nwhat = 'w'\nat_most = 10\nquick = 15\nstatistic = 'median'\nreason = 'r'\n",
        )
        .unwrap();
        let figure = |samples: &[f64]| Figure {
            what: "w".to_owned(),
            whom: "anybody".to_owned(),
            unit: String::new(),
            samples: samples.to_vec(),
        };
        let outcome = |limit: usize, samples: &[f64], quick| limits[limit].outcome(&figure(samples), quick);
        assert_eq!(outcome(0, &[10.0], false), Outcome::Kept);
        assert_eq!(outcome(0, &[0.0, 20.0, 0.0], false), Outcome::Missed);
        assert_eq!(outcome(0, &[-21.0], false), Outcome::Exceeded);
        for nothing in [&[f64::NAN][..], &[]] {
            assert_eq!(outcome(0, nothing, true), Outcome::Exceeded);
        }
        assert_eq!(outcome(1, &[12.0], false), Outcome::Kept);
        assert_eq!(outcome(1, &[11.0, 13.0], false), Outcome::Exceeded);
        assert_eq!(outcome(2, &[1.0, 14.0, 99.0], false), Outcome::Exceeded);
        assert_eq!(outcome(2, &[1.0, 14.0, 99.0], true), Outcome::Kept);
        assert!(limits[0].is_for("p", &figure(&[])));
        assert!(!limits[0].is_for("q", &figure(&[])));
    }

    #[test]
    fn half_a_limit_is_none() {
        assert!(parse("[[limit]]\npart = 'p'\nwhat = 'w'\nreason = 'r'\n").is_err());
        assert!(
            parse("[[limit]]\npart = 'p'\nwhat = 'w'\nat_most = 1\nmissed = 'm'\nreason = 'r'\n").is_err()
        );
    }
}
