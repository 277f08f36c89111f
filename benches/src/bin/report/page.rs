//! `results.md`.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use carp_benches::figure::Figure;
use carp_benches::limits::{Limit, Outcome, Statistic};

use crate::data::{Results, number};
use crate::part::PARTS;
use crate::tools::Failure;

/// What is said about a part, and the files beside it.
pub(crate) struct Section<'a> {
    results: &'a Results,
    directory: &'a Path,
    text: String,
}

/// How all limits are kept.
#[derive(Default)]
pub(crate) struct Summary {
    kept: usize,
    missed: usize,
    /// Each in words.
    pub(crate) exceeded: Vec<String>,
    not_measured: usize,
}

/// Writes the page and the plots.
pub(crate) fn write(directory: &Path, limits: &[Limit], all: &[Results]) -> Result<(), Failure> {
    let mut page = head(limits, all);
    for (at, results) in all.iter().enumerate() {
        let Some(part) = PARTS.iter().find(|part| part.name == results.part) else {
            continue;
        };
        let _ = writeln!(page, "\n## {}. {}\n", at + 1, part.title);
        let mut section = Section {
            results,
            directory,
            text: String::new(),
        };
        (part.section)(results, &mut section)?;
        page.push_str(&section.text);
        for (step, percent) in &results.busy {
            let _ = writeln!(
                page,
                "The machine was not quiet: {percent} % of its processors were taken by something else when this began: \
                 {step}.\n"
            );
        }
        for (step, why) in &results.left_out {
            let _ = writeln!(page, "Left out: {step}: {why}.\n");
        }
        let _ = writeln!(
            page,
            "Every sample: [results/{0}.json](results/{0}.json).",
            part.name
        );
    }
    let path = directory.join("results.md");
    fs::write(&path, page).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(())
}

fn head(limits: &[Limit], all: &[Results]) -> String {
    let quick = all.iter().any(|results| results.quick);
    let mut page = String::from(
        "# Results\n\nWhat is claimed about this project, measured beside its peers. Written by `cargo run --release -p \
         carp-benches --bin report`, which measures all of it again; do not edit.\n\n",
    );
    if quick {
        page.push_str(
            "**This is a quick run (`--quick`), of few samples and perhaps on a machine that did other things: it shows \
             what is measured, not how good it is.** Limits for times are generous in it.\n\n",
        );
    }
    let machines: Vec<_> = all.iter().map(|results| &results.machine).collect();
    page.push_str("| machine | |\n|---|---|\n");
    if let Some(results) = all.last() {
        for (name, value) in &results.machine {
            let _ = writeln!(page, "| {name} | {value} |");
        }
        let commit = match results.commit.as_str() {
            "" => "sources that were not committed",
            commit => commit,
        };
        let _ = writeln!(page, "| commit | {commit} |");
    }
    let commits = all
        .windows(2)
        .any(|pair| pair[0].commit != pair[1].commit || pair[0].quick != pair[1].quick);
    if commits && machines.len() > 1 {
        page.push_str(
            "\nNot all parts were measured of the same commit with the same options: see their JSON.\n",
        );
    }
    let _ = writeln!(
        page,
        "\n## Limits\n\n{}. They are in `benches/limits.toml`; instructions of a call are asserted where they are counted. \
         *Missed* is what is not kept for a reason that is known (below), and not worse than allowed until then; *exceeded* \
         is a failure. Where there are several samples the worst is the one that is farthest from zero.\n",
        Summary::new(limits, all)
    );
    page.push_str(
        "| part | what | of whom | promised | measured | | why so much |\n|---|---|---|---|---|---|---|\n",
    );
    let mut reasons = String::new();
    for limit in limits {
        limit_rows(&mut page, &mut reasons, limit, all);
    }
    if !reasons.is_empty() {
        let _ = write!(page, "\n### What is missed, and why\n\n{reasons}");
    }
    page
}

/// A figure that a limit is for.
struct Verdict<'a> {
    figure: &'a Figure,
    value: f64,
    outcome: Outcome,
}

/// How all figures that it is for compare to a limit.
fn judge<'a>(limit: &'a Limit, all: &'a [Results], quick: bool) -> Vec<Verdict<'a>> {
    let figures = all
        .iter()
        .flat_map(|results| results.figures.iter().map(|figure| (&results.part, figure)));
    let mine = figures.filter(|(part, figure)| limit.is_for(part, figure));
    mine.map(|(_, figure)| Verdict {
        figure,
        value: limit.value(figure),
        outcome: limit.outcome(figure, quick),
    })
    .collect()
}

/// One row for all figures that keep it, and one for each that does not.
fn limit_rows(page: &mut String, reasons: &mut String, limit: &Limit, all: &[Results]) {
    let quick = all
        .iter()
        .any(|results| results.part == limit.part && results.quick);
    let verdicts = judge(limit, all, quick);
    let mut why = limit.reason.as_str();
    let mut row = |what: &str, whom: &str, unit: &str, value: &str, word: &str| {
        let (part, promised) = (&limit.part, promise(limit, quick, unit));
        let (what, whom) = (what.replace('*', "…"), whom.replace('*', "…"));
        let _ = writeln!(
            page,
            "| {part} | {what} | {whom} | {promised} | {value} | {word} | {why} |"
        );
        why = "";
    };
    if verdicts.is_empty() {
        row(&limit.what, &limit.whom, "", "", "not measured");
    }
    let closest = verdicts
        .iter()
        .filter(|verdict| verdict.outcome == Outcome::Kept)
        .max_by(|a, b| {
            let upwards = a.value.abs().total_cmp(&b.value.abs());
            if limit.at_least.is_some() {
                upwards.reverse()
            } else {
                upwards
            }
        });
    if let Some(Verdict { figure, value, .. }) = closest {
        let value = with_unit(*value, &figure.unit);
        match verdicts.len() {
            1 => row(&figure.what, &figure.whom, &figure.unit, &value, "kept"),
            n => {
                let bound = if limit.at_least.is_some() { "least" } else { "most" };
                row(
                    &limit.what,
                    &limit.whom,
                    &figure.unit,
                    &format!("{value} at {bound}, of {n} figures"),
                    "kept",
                );
            }
        }
    }
    for Verdict {
        figure,
        value,
        outcome,
    } in verdicts
    {
        let word = match outcome {
            Outcome::Kept => continue,
            Outcome::Missed => "**missed**",
            Outcome::Exceeded => "**EXCEEDED**",
        };
        row(
            &figure.what,
            &figure.whom,
            &figure.unit,
            &with_unit(value, &figure.unit),
            word,
        );
        let missed = in_words(limit, figure, value, quick);
        let why = limit.missed.as_deref().unwrap_or("nobody knows why yet");
        let _ = writeln!(reasons, "* {missed}: {why}.");
    }
}

/// What does not keep its limit, and by how much.
fn in_words(limit: &Limit, figure: &Figure, value: f64, quick: bool) -> String {
    let Figure { what, whom, unit, .. } = figure;
    let (value, promised) = (with_unit(value, unit), promise(limit, quick, unit));
    let known = match limit.until_then {
        Some(known) if limit.outcome(figure, quick) == Outcome::Exceeded => {
            format!(", and {} was known", with_unit(known, unit))
        }
        _ => String::new(),
    };
    format!(
        "{}, {what}, {whom}: {value} instead of {promised}{known}",
        limit.part
    )
}

/// What a limit allows.
fn promise(limit: &Limit, quick: bool, unit: &str) -> String {
    let median = match limit.statistic {
        Statistic::Median => "median ",
        Statistic::Worst => "",
    };
    let sign = if limit.at_least.is_some() { "≥" } else { "≤" };
    let real = limit.bound(false);
    let this = limit.bound(quick);
    let generous = if this.total_cmp(&real).is_eq() {
        String::new()
    } else {
        format!(" (quick: {})", number(this))
    };
    format!("{median}{sign} {}{generous}", with_unit(real, unit))
}

fn with_unit(value: f64, unit: &str) -> String {
    let unit = if value.is_infinite() { "" } else { unit };
    format!("{} {unit}", number(value)).trim_end().to_owned()
}

impl Section<'_> {
    pub(crate) fn text(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}\n");
    }

    /// Writes the picture and shows it.
    pub(crate) fn plot(&mut self, file: &str, says: &str, svg: String) -> Result<(), Failure> {
        let path = self.directory.join("results").join(file);
        fs::write(&path, svg).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let _ = writeln!(self.text, "![Plot: {says}](results/{file})\n");
        Ok(())
    }

    /// The figures that are meant: a row for what, a column for whom.
    pub(crate) fn table(&mut self, head: &str, meant: impl Fn(&Figure) -> bool) {
        let figures: Vec<&Figure> = self
            .results
            .figures
            .iter()
            .filter(|figure| meant(figure))
            .collect();
        table(&mut self.text, head, &figures);
    }

    /// The figures whose `what` is named: a row for whom, a column for each name.
    pub(crate) fn transposed<'a>(&'a mut self, head: &str, name: impl Fn(&'a str) -> Option<&'a str>) {
        let figures: Vec<Figure> = self
            .results
            .figures
            .iter()
            .filter_map(|figure| {
                let whom = name(&figure.what)?.to_owned();
                Some(Figure {
                    what: figure.whom.clone(),
                    whom,
                    ..figure.clone()
                })
            })
            .collect();
        table(&mut self.text, head, &figures.iter().collect::<Vec<_>>());
    }
}

fn table(text: &mut String, head: &str, figures: &[&Figure]) {
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for figure in figures {
        if !rows.contains(&&figure.what) {
            rows.push(&figure.what);
        }
        if !columns.contains(&&figure.whom) {
            columns.push(&figure.whom);
        }
    }
    if rows.is_empty() {
        return;
    }
    let _ = write!(text, "| {head} |");
    for column in &columns {
        let _ = write!(text, " {column} |");
    }
    let _ = writeln!(text, "\n|---|{}", "--:|".repeat(columns.len()));
    for row in rows {
        let _ = write!(text, "| {row} |");
        for column in &columns {
            let figure = figures
                .iter()
                .find(|figure| figure.what == *row && figure.whom == **column);
            let _ = write!(text, " {} |", figure.map_or(String::new(), |figure| cell(figure)));
        }
        text.push('\n');
    }
    text.push('\n');
}

/// Median and worst, and of how many samples.
fn cell(figure: &Figure) -> String {
    let median = with_unit(figure.median(), &figure.unit);
    match figure.samples.len() {
        0 => "–".to_owned(),
        1 => median,
        n if figure.median().total_cmp(&figure.worst()).is_eq() => format!("{median} (n = {n})"),
        n => format!("{median}, worst {} (n = {n})", number(figure.worst())),
    }
}

impl Summary {
    pub(crate) fn new(limits: &[Limit], all: &[Results]) -> Self {
        let mut sum = Self::default();
        for limit in limits {
            let quick = all
                .iter()
                .any(|results| results.part == limit.part && results.quick);
            let verdicts = judge(limit, all, quick);
            sum.not_measured += usize::from(verdicts.is_empty());
            for verdict in verdicts {
                match verdict.outcome {
                    Outcome::Kept => sum.kept += 1,
                    Outcome::Missed => sum.missed += 1,
                    Outcome::Exceeded => {
                        let Verdict { figure, value, .. } = verdict;
                        sum.exceeded.push(in_words(limit, figure, value, quick));
                    }
                }
            }
        }
        sum
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kept,
            missed,
            exceeded,
            not_measured,
        } = self;
        write!(
            f,
            "{kept} limits kept, {missed} missed for a known reason, {} exceeded, {not_measured} not measured",
            exceeded.len()
        )
    }
}
