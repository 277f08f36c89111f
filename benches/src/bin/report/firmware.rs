//! The firmware of the emulated board: what its tests print.

use crate::data::Results;
use crate::part::{Company, Need, Options, Step};
use crate::tools::{Failure, cargo, cells, run};

/// Boards and a switch of the harness.
pub(crate) const ALONE: Step = Step {
    name: "firmware on an emulated board",
    seconds: [0.0, 100.0],
    needs: &[Need::Time, QEMU],
    company: Company::Alone,
    run: alone,
};

/// A board, carpd and UCarp on a bridge of the kernel.
pub(crate) const WITH_PEERS: Step = Step {
    name: "firmware beside carpd and UCarp",
    seconds: [0.0, 150.0],
    needs: &[
        Need::Time,
        Need::Root,
        QEMU,
        Need::Tool("ip", "iproute2"),
        Need::Tool("ucarp", "ucarp"),
    ],
    company: Company::Alone,
    run: with_peers,
};

const QEMU: Need = Need::Tool("qemu-system-arm", "qemu-system-arm");

/// Runs tests, of which a missing tool is a failure, and returns what they print.
fn tests(name: &str, filters: &[&str]) -> Result<String, Failure> {
    let mut command = cargo(["test", "--package", "carp-tests", "--all-features"]);
    command.args(["--test", name, "--", "--nocapture", "--test-threads=1"]);
    let text = run(command.args(filters).env("CI", "true"))?;
    // The first line of a test stands behind its name.
    Ok(text.replace(" ... ", "\n"))
}

/// Each of the tests looks at every frame that crosses the switch; who speaks for the address is asserted.
fn one_owner(text: &str, results: &mut Results) {
    let passed: f64 = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("test result: ok. ")?
                .split(' ')
                .next()?
                .parse::<f64>()
                .ok()
        })
        .sum();
    let what = "firmware: tests of one owner that passed";
    results.add(what, "on every frame", "", vec![passed]);
}

/// What stands behind a word, up to the next blank.
fn after(line: &str, word: &str) -> Option<f64> {
    let (_, rest) = line.split_once(word)?;
    rest.split([' ', ',', ')', ':']).next()?.parse().ok()
}

/// Seconds until a takeover by a backup, as milliseconds more than the formula.
fn late(seconds: f64, advskew: f64) -> f64 {
    let formula = 3000.0 + 1000.0 * advskew / 256.0;
    ((seconds * 1000.0 - formula) * 10.0).round() / 10.0
}

fn with_peers(_: Options, results: &mut Results) -> Result<(), Failure> {
    for line in tests("firmware_peers", &[])?.lines() {
        takeover(line, results);
    }
    if results.figures.is_empty() {
        return Err("the tests print nothing about takeovers".into());
    }
    Ok(())
}

/// What a line says about a takeover, as `firmware_peers` prints it.
fn takeover(line: &str, results: &mut Results) {
    if let Some((who, rest)) = line.split_once(", advskew ")
        && let Some(advskew) = after(rest, "")
        // Its own clock, if it is the firmware; otherwise what was seen.
        && let Some(seconds) = after(rest, "by its own clock Some(").or_else(|| after(rest, ": "))
    {
        let what = "firmware and peers: detection less formula";
        results.add(what, who, "ms", vec![late(seconds, advskew)]);
    }
}

fn alone(_: Options, results: &mut Results) -> Result<(), Failure> {
    let switch = tests("firmware", &[])?;
    one_owner(&switch, results);
    let images = tests("firmware_images", &["instructions_and_stack", "a_storm"])?;
    let text = switch + &images;
    let (mut in_table, mut rows) = (false, 0);
    for line in text.lines() {
        let cells = cells(line);
        if let Some(seconds) = after(line, "by its own clock ") {
            results.add(
                "firmware takes over: detection less formula",
                "carp-embassy",
                "ms",
                vec![late(seconds, 100.0)],
            );
        }
        storm(line, results);
        match cells[..] {
            ["the adapter, worst case", ..] => in_table = true,
            [name, instructions, _limit, stack] if in_table && instructions.parse::<f64>().is_ok() => {
                rows += 1;
                results.add(
                    format!("the adapter, {name}"),
                    "instructions at most",
                    "",
                    vec![instructions.parse()?],
                );
                results.add(
                    format!("the adapter, {name}"),
                    "stack",
                    "bytes",
                    vec![stack.parse()?],
                );
            }
            _ => in_table = false,
        }
    }
    if rows == 0 {
        Err("the image `budget` printed another table".into())
    } else {
        Ok(())
    }
}

/// What a line of the storm says: of the rate, or of the advertisements sent in it.
fn storm(line: &str, results: &mut Results) {
    let whom = |kind: &str| match kind {
        "badttl" => "rejected before the digest",
        _ => "rejected by the digest",
    };
    let Some((kind, rest)) = line.split_once(" at ") else {
        return;
    };
    let Some((place, said)) = rest.split_once(": ") else {
        return;
    };
    for (what, unit, value) in [
        ("offered a second", "", after(said, " us of its time, ")),
        ("rejected a second", "", after(said, "rejected, ")),
        (
            "longest time between advertisements",
            "ms",
            after(said, "crossed the switch, ").map(|micros| micros / 1000.0),
        ),
    ] {
        if let Some(value) = value {
            let what = format!("storm at {place}: {what}");
            results.add(what, whom(kind), unit, vec![value]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(said: fn(&str, &mut Results), line: &str) -> Vec<(String, String, Vec<f64>)> {
        let mut results = Results::default();
        said(line, &mut results);
        let figures = results.figures.into_iter();
        figures
            .map(|figure| (figure.what, figure.whom, figure.samples))
            .collect()
    }

    #[test]
    fn takeovers_are_compared_with_the_formula() {
        let what = "firmware and peers: detection less formula";
        for (line, whom, late) in [
            (
                "the firmware takes over from carpd over IPv6, advskew 100: 3.400000 s on the wire, by its own clock \
                 Some(3.391) s",
                "the firmware takes over from carpd over IPv6",
                0.4,
            ),
            (
                "carpd takes over from the firmware, advskew 50: 3.200313 s on the wire, by its own clock None s",
                "carpd takes over from the firmware",
                5.0,
            ),
        ] {
            assert_eq!(
                figures(takeover, line),
                [(what.to_owned(), whom.to_owned(), vec![late])]
            );
        }
        assert!(figures(takeover, "ok").is_empty());
    }

    #[test]
    fn a_storm_is_a_rate_and_what_it_did() {
        let whom = "rejected before the digest".to_owned();
        let rate = "badttl at the MASTER: 50000 offered in 5025969 us of its time, 9948 per second; 49990 rejected, \
                    9946 per second";
        let figure = |what: &str, value| {
            let what = format!("storm at the MASTER: {what}");
            (what, whom.clone(), vec![value])
        };
        assert_eq!(
            figures(storm, rate),
            [
                figure("offered a second", 9948.0),
                figure("rejected a second", 9946.0)
            ]
        );
        let sent = "badttl at the MASTER: 8 own advertisements so far, all crossed the switch, 1000527 us apart at most";
        assert_eq!(
            figures(storm, sent),
            [figure("longest time between advertisements", 1000.527)]
        );
        assert!(figures(storm, "by its own clock 3.39 s at last").is_empty());
    }
}
