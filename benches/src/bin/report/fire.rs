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
            seconds: [35.0, 320.0],
            needs: &NEEDS,
            company: Company::Alone,
            run: |options, results| measure(options, results, "flood"),
        },
        Step {
            name: "replays",
            seconds: [25.0, 160.0],
            needs: &NEEDS,
            company: Company::AloneIfFull,
            run: |options, results| measure(options, results, "replay"),
        },
        Step {
            name: "faults at random",
            seconds: [0.0, 400.0],
            needs: &[Need::Time, Need::Root, Need::Tool("ip", "iproute2")],
            company: Company::Work,
            run: |options, results| measure(options, results, "chaos"),
        },
        Step {
            name: "SIGKILL at random moments",
            seconds: [0.0, 450.0],
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
         four kinds that mean something to them); 1.1 invalid packets a second, to keepalived of its own protocol; and \
         recorded advertisements, as they were, of the last 64 (who recorded for longer is believed: \
         [protocol.md](protocol.md)). A node must not change its state, nor be late with its own \
         advertisements, nor log a line for each. A master that has stopped advertising is later and later.",
    );
    for (file, says, what, title, axis) in [
        (
            "fire.svg",
            "CPU of carpd, UCarp and keepalived in a flood",
            "flood: CPU of a node",
            "A flood of invalid packets: what it takes from the node that it hits, at worst",
            "CPU, in percent of a core; shorter is better",
        ),
        (
            "fire-late.svg",
            "how late carpd, UCarp and keepalived advertise in a flood",
            "flood: latest advertisement",
            "A flood of invalid packets: how late the master advertises, at worst",
            "delay, in milliseconds; shorter is better; after about 3000 a backup takes over",
        ),
    ] {
        let rows: Vec<_> = [
            ("carpd", "carpd, 100 000 a second"),
            ("ucarp", "UCarp, 50 000 a second"),
            ("keepalived", "keepalived, 50 000 a second"),
        ]
        .into_iter()
        .filter_map(|(whom, name)| {
            let figure = results
                .figures
                .iter()
                .find(|figure| figure.what == what && figure.whom == whom)?;
            Some((name, vec![("worst of all kinds of packets", figure.worst())]))
        })
        .collect();
        if rows.is_empty() {
            continue;
        }
        let bars = Bars {
            title,
            axis,
            floor: None,
            rows: &rows,
        };
        section.plot(file, says, plot::bars(&bars)?)?;
    }
    section.table("what", |_| true);
    Ok(())
}
