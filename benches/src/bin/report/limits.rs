//! `benches/limits.toml`, and how figures compare to it.

use serde::Deserialize;

use crate::data::{Figure, Results};

const FILE: &str = include_str!("../../../limits.toml");

/// What figures are held to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    pub(crate) part: String,
    /// The figures that it is for; `*` stands for anything.
    pub(crate) what: String,
    #[serde(default = "anybody")]
    pub(crate) whom: String,
    #[serde(default)]
    pub(crate) statistic: Statistic,
    /// What is promised: one of the two.
    pub(crate) at_most: Option<f64>,
    pub(crate) at_least: Option<f64>,
    /// Instead with `--quick`, which runs on busy machines and measures less.
    pub(crate) quick: Option<f64>,
    /// As long as the promise is not kept: what must not be passed all the same.
    pub(crate) until_then: Option<f64>,
    /// Why it is not kept.
    pub(crate) missed: Option<String>,
    /// Why it is what it is.
    pub(crate) reason: String,
}

/// Of the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Statistic {
    #[default]
    Worst,
    Median,
}

/// How a figure compares to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Kept,
    /// It is known and explained, and has not grown worse than allowed.
    Missed,
    /// It must not be.
    Exceeded,
}

/// A limit and a figure that it is for.
pub(crate) struct Verdict<'a> {
    pub(crate) figure: &'a Figure,
    pub(crate) value: f64,
    pub(crate) outcome: Outcome,
}

fn anybody() -> String {
    "*".to_owned()
}

/// All of them.
pub(crate) fn read() -> Result<Vec<Limit>, String> {
    parse(FILE)
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
    pub(crate) fn bound(&self, quick: bool) -> f64 {
        let promised = self.at_most.or(self.at_least).unwrap_or(f64::NAN);
        self.quick.filter(|_| quick).unwrap_or(promised)
    }

    /// How all figures that it is for compare to it.
    pub(crate) fn judge<'a>(&'a self, all: &'a [Results], quick: bool) -> Vec<Verdict<'a>> {
        let part = all.iter().filter(|results| results.part == self.part);
        let figures = part.flat_map(|results| &results.figures);
        let mine =
            figures.filter(|figure| matches(&self.what, &figure.what) && matches(&self.whom, &figure.whom));
        mine.map(|figure| {
            let value = match self.statistic {
                Statistic::Worst => figure.worst(),
                Statistic::Median => figure.median(),
            };
            let within = |bound: f64| match self.at_least {
                Some(_) => value >= bound,
                None => value.abs() <= bound,
            };
            let outcome = match self.until_then {
                _ if within(self.bound(quick)) => Outcome::Kept,
                Some(until_then) if within(until_then) => Outcome::Missed,
                _ => Outcome::Exceeded,
            };
            Verdict {
                figure,
                value,
                outcome,
            }
        })
        .collect()
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
        assert!(!read().unwrap().is_empty());
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
        let outcome = |limit: usize, samples: &[f64], quick| {
            let mut results = Results {
                part: "p".to_owned(),
                ..Results::default()
            };
            results.add("w", "anybody", "", samples.to_vec());
            let all = [results];
            let verdicts = limits[limit].judge(&all, quick);
            verdicts[0].outcome
        };
        assert_eq!(outcome(0, &[10.0], false), Outcome::Kept);
        assert_eq!(outcome(0, &[0.0, 20.0, 0.0], false), Outcome::Missed);
        assert_eq!(outcome(0, &[-21.0], false), Outcome::Exceeded);
        assert_eq!(outcome(0, &[f64::NAN], false), Outcome::Exceeded);
        assert_eq!(outcome(1, &[12.0], false), Outcome::Kept);
        assert_eq!(outcome(1, &[11.0], false), Outcome::Exceeded);
        assert_eq!(outcome(2, &[1.0, 14.0, 99.0], false), Outcome::Exceeded);
        assert_eq!(outcome(2, &[1.0, 14.0, 99.0], true), Outcome::Kept);
        assert!(limits[0].judge(&[], false).is_empty());
    }

    #[test]
    fn half_a_limit_is_none() {
        assert!(parse("[[limit]]\npart = 'p'\nwhat = 'w'\nreason = 'r'\n").is_err());
        assert!(
            parse("[[limit]]\npart = 'p'\nwhat = 'w'\nat_most = 1\nmissed = 'm'\nreason = 'r'\n").is_err()
        );
    }
}
