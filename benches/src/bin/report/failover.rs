//! How long nobody answers.

use carp_benches::figure::Figure;

use crate::data::Results;
use crate::fire::NEEDS;
use crate::network::measure;
use crate::page::Section;
use crate::part::{Company, Need, Options, Part, Step};
use crate::plot::{self, Curve, Curves, exact};
use crate::timeline;
use crate::tools::{Failure, patient, program, run};

pub(crate) const PART: Part = Part {
    name: "failover",
    title: "Fail-over",
    builds: &[
        "build --release --package carp-tests --bin measure",
        "build --release --package carp-tests --bin fast_table",
    ],
    steps: &[
        Step {
            name: "crashes, partitions, pulled cables",
            seconds: [100.0, 800.0],
            needs: &NEEDS,
            company: Company::AloneIfFull,
            run: |options, results| measure(options, results, "crash"),
        },
        Step {
            name: "planned changes",
            seconds: [90.0, 560.0],
            needs: &NEEDS,
            company: Company::AloneIfFull,
            run: |options, results| measure(options, results, "planned"),
        },
        Step {
            name: "the fast profile, ten real minutes",
            seconds: [0.0, 130.0],
            needs: &[
                Need::Time,
                Need::Root,
                Need::Tool("ip", "iproute2"),
                Need::Tool("nft", "nftables"),
            ],
            company: Company::AloneIfFull,
            run: |options, results| measure(options, results, "loss"),
        },
        Step {
            name: "one crash, in detail",
            seconds: [20.0, 60.0],
            needs: &NEEDS,
            company: Company::AloneIfFull,
            run: |options, results| measure(options, results, "timeline"),
        },
        Step {
            name: "the fast profile, simulated",
            seconds: [1.0, 30.0],
            needs: &[],
            company: Company::Work,
            run: fast_profile,
        },
    ],
    section,
};

/// Of a crash, in each profile.
const CRASHED: [&str; 2] = [
    "crash: outage for a client",
    "crash in the fast profile: outage for a client",
];

/// The figures are what `fast_table` prints.
fn fast_profile(options: Options, results: &mut Results) -> Result<(), Failure> {
    let hours = options.times(20, 1000).to_string();
    let table = run(patient(&program("carp-tests", "fast_table", "release")).arg(hours))?;
    let rows = table.lines().filter(|line| line.starts_with("| 0/"));
    for row in rows.map(|row| {
        row.trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect::<Vec<_>>()
    }) {
        let [_, _, interval, ratio, median, most, longest, false_per_hour] = row[..] else {
            return Err("fast_table printed another table".into());
        };
        let whom = format!("every {interval} ms, dead ratio {ratio}");
        for (what, unit, value) in [
            ("median from crash to new MASTER", "ms", median),
            ("99 % from crash to new MASTER", "ms", most),
            ("longest from crash to new MASTER", "ms", longest),
            ("false fail-overs per hour at 1 % loss", "", false_per_hour),
        ] {
            results.add(
                format!("fast profile, simulated: {what}"),
                &whom,
                unit,
                vec![value.parse()?],
            );
        }
    }
    Ok(())
}

fn section(results: &Results, section: &mut Section<'_>) -> Result<(), Failure> {
    section.text(
        "Two nodes with real daemons, a client that pings the virtual address every 10 ms, and a switch between them, \
         each in a network namespace ([lab.md](lab.md)). The backup has advskew 100 (keepalived: priority 154), so it \
         should wait 3.39 s for a master that has died (keepalived: 3.40 s). *Detection less formula* is what it waited \
         longer, from the last advertisement that it heard; the *outage* is what the client noticed. \"never\" means \
         that it did not happen within the time of the test, and an empty field that there is no such thing: UCarp and \
         keepalived know neither hand-over nor maintenance, and UCarp no interval below a second. Where there is more \
         than one sample, it is the median, the worst and how many.",
    );
    if let Some(svg) = timeline::picture(results)? {
        section.plot(
            "timeline.svg",
            "what a client notices while each daemon takes over from a crashed master",
            svg,
        )?;
    }
    let curve = |figure: &Figure| Curve {
        name: match figure.whom.trim() {
            "carpd plain" => "carpd every second, its own MAC address".to_owned(),
            "carpd vmac" => "carpd every second, virtual MAC address".to_owned(),
            "ucarp" => "UCarp every second".to_owned(),
            "keepalived" => "keepalived every second".to_owned(),
            every => every.to_owned(),
        },
        points: distribution(&figure.samples),
    };
    let curves: Vec<_> = CRASHED
        .iter()
        .flat_map(|what| results.about(what))
        .map(curve)
        .collect();
    if !curves.is_empty() {
        section.plot(
            "failover.svg",
            "which part of the crashes was over for a client within which time",
            plot::curves(&Curves {
                title: "How soon after a crash of the master clients are answered again; further left is better",
                x: "outage that a client noticed, in milliseconds (logarithmic); names say how often the master advertises",
                y: "crashes that were over by then, in percent",
                legend: plotters::chart::SeriesLabelPosition::MiddleMiddle,
                lines: &curves,
                ticks: &[10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0],
            })?,
        )?;
    }
    section.table("what happened", |figure| {
        !figure.what.starts_with("fast profile, simulated")
    });
    section.transposed("fast profile, simulated", |what| {
        what.strip_prefix("fast profile, simulated: ")
    });
    Ok(())
}

/// How many percent of the samples are at most so large: a staircase.
fn distribution(samples: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut points = vec![(10.0, 0.0)];
    let percent = |count: usize| 100.0 * exact(count) / exact(samples.len());
    for (at, sample) in sorted.iter().enumerate().filter(|(_, sample)| sample.is_finite()) {
        points.extend([(*sample, percent(at)), (*sample, percent(at + 1))]);
    }
    points.extend(points.last().map(|(_, percent)| (10_000.0, *percent)));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_a_staircase_to_what_was_reached() {
        let steps = distribution(&[200.0, 100.0]);
        assert_eq!(
            steps,
            [
                (10.0, 0.0),
                (100.0, 0.0),
                (100.0, 50.0),
                (200.0, 50.0),
                (200.0, 100.0),
                (10_000.0, 100.0)
            ]
        );
        let never = distribution(&[100.0, f64::INFINITY]);
        assert_eq!(never.last(), Some(&(10_000.0, 50.0)));
    }
}
