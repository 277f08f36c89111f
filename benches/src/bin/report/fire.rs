//! What somebody else can do to a pair of nodes.

use crate::data::Results;
use crate::network::measure;
use crate::page::Section;
use crate::part::{Company, Need, Part, Step};
use crate::plot::{self, Bars};
use crate::tools::Failure;

pub(crate) const PART: Part = Part {
    name: "fire",
    title: "Under fire",
    builds: &["build --release --package carp-tests --bin measure"],
    steps: &[
        Step {
            name: "floods of invalid packets",
            seconds: [35.0, 400.0],
            needs: &NEEDS,
            company: Company::Alone,
            run: |options, results| measure(options, results, "flood"),
        },
        Step {
            name: "replays",
            seconds: [20.0, 480.0],
            needs: &NEEDS,
            company: Company::AloneIfFull,
            run: |options, results| measure(options, results, "replay"),
        },
        Step {
            name: "faults at random",
            seconds: [0.0, 1300.0],
            needs: &[Need::Time, Need::Root, Need::Tool("ip", "iproute2")],
            company: Company::Any,
            run: |options, results| measure(options, results, "chaos"),
        },
        Step {
            name: "SIGKILL at random moments",
            seconds: [0.0, 1000.0],
            needs: &[Need::Time, Need::Root, Need::Tool("ip", "iproute2")],
            company: Company::AloneIfFull,
            run: |options, results| measure(options, results, "killed"),
        },
    ],
    section,
};

/// Of all that is measured with daemons.
pub(crate) const NEEDS: [Need; 4] = [
    Need::Root,
    Need::Tool("ip", "iproute2"),
    Need::Tool("ucarp", "ucarp"),
    Need::Tool("keepalived", "keepalived"),
];

fn section(results: &Results, section: &mut Section<'_>) -> Result<(), Failure> {
    section.text(
        "Somebody without the password sends to a pair of nodes: ten kinds of invalid advertisements, one after the \
         other, at 100 000 a second to carpd and 50 000 to the others (which would fail at more, and get the \
         four kinds that mean something to them); 1.1 invalid packets a second; and recorded advertisements, as they \
         were. A node must not change its state, nor be late with its own advertisements, nor log a line for each.",
    );
    let rows: Vec<_> = [
        ("CPU, percent of a core", "flood: CPU of a node"),
        ("lateness, milliseconds", "flood: latest advertisement"),
    ]
    .into_iter()
    .map(|(name, what)| {
        let bar = |whom| {
            let figure = results
                .figures
                .iter()
                .find(|figure| figure.what == what && figure.whom == whom);
            (whom, figure.map_or(f64::NAN, carp_benches::figure::Figure::worst))
        };
        (name, ["carpd", "ucarp", "keepalived"].map(bar).to_vec())
    })
    .collect();
    if rows
        .iter()
        .flat_map(|(_, bars)| bars)
        .any(|(_, value)| value.is_finite())
    {
        section.plot(
            "fire.svg",
            "CPU and delay of carpd, UCarp and keepalived in a flood",
            plot::bars(&Bars {
                title: "What a flood of invalid packets costs the nodes that it hits, in the worst case",
                axis: "CPU of a node, and how late its advertisements were; carpd is sent twice as many packets as the others",
                floor: None,
                rows: &rows,
            })?,
        )?;
    }
    section.table("what", |_| true);
    Ok(())
}
