//! A node with more and more virtual hosts.

use carp_benches::figure::RATIO;
use carp_benches::group::MOVES;
use carp_benches::node::{EVENTS, Fixture, HOSTS};

use crate::callgrind::{Counted, instructions};
use crate::data::Results;
use crate::page::Section;
use crate::part::{Company, Need, Options, Part, Step};
use crate::plot::{self, Curve, Curves};
use crate::tools::{Failure, cells, now, run, script};

pub(crate) const PART: Part = Part {
    name: "scale",
    title: "Many virtual hosts",
    builds: &[],
    steps: &[
        Step {
            name: "times on this machine",
            seconds: [1.0, 10.0],
            needs: &[],
            company: Company::Alone,
            run: times,
        },
        Step {
            name: "instructions on this machine",
            seconds: [30.0, 30.0],
            needs: &[Need::Tool("valgrind", "valgrind")],
            company: Company::Work,
            run: counts,
        },
        Step {
            name: "RAM per virtual host",
            seconds: [4.0, 4.0],
            needs: &[Need::Tool("arm-none-eabi-nm", "binutils-arm-none-eabi")],
            company: Company::Work,
            run: memory,
        },
    ],
    section,
};

/// Events are prepared and measured so many at a time.
const BATCH: u32 = 256;
/// Rows of the script.
const HOST: &str = "HostSlot<4>: a host with 4 addresses";
const PEER: &str = "of it: PeerSeen";
/// What moves a group, with so many virtual hosts.
const GROUPS: [usize; 2] = [16, 4096];
const EACH: &str = ": instructions for each host of the group";
const STEP: &str = "a step of the machine alone";

/// So many virtual hosts, in words.
pub(crate) fn whom(hosts: usize) -> String {
    match hosts {
        1 => "1 virtual host".to_owned(),
        _ => format!("{hosts} virtual hosts"),
    }
}

/// The sizes take turns, so that none of them has the better machine.
#[expect(clippy::unnecessary_wraps, reason = "as every step")]
fn times(options: Options, results: &mut Results) -> Result<(), Failure> {
    let mut fixtures = HOSTS.map(Fixture::new);
    for event in &EVENTS {
        let mut rounds = HOSTS.map(|_| Vec::new());
        for _ in 0..options.times(31, 301) {
            for (fixture, rounds) in fixtures.iter_mut().zip(&mut rounds) {
                (event.prepare)(fixture, BATCH as usize);
                let start = now();
                for _ in 0..BATCH {
                    (event.run)(fixture);
                }
                rounds.push((start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)).round());
            }
        }
        for (hosts, rounds) in HOSTS.into_iter().zip(rounds) {
            results.add(format!("{}: time", event.name), whom(hosts), "ns", rounds);
        }
    }
    Ok(())
}

fn counts(_: Options, results: &mut Results) -> Result<(), Failure> {
    for (at, event) in EVENTS.iter().enumerate() {
        let mut counts = [0.0; HOSTS.len()];
        for (count, hosts) in counts.iter_mut().zip(HOSTS) {
            *count = instructions(Counted::Node(at, hosts))?;
            results.add(
                format!("{}: instructions", event.name),
                whom(hosts),
                "",
                vec![*count],
            );
        }
        let ratio = counts[4] / counts[1];
        results.add(
            format!("{}: 4096 hosts to 4", event.name),
            "instructions",
            RATIO,
            vec![ratio],
        );
    }
    for (at, group) in MOVES.iter().enumerate() {
        let mut counts = [0.0; GROUPS.len()];
        for (count, hosts) in counts.iter_mut().zip(GROUPS) {
            *count = (instructions(Counted::Group(at, hosts))? / plot::exact(hosts)).round();
            results.add(format!("{}{EACH}", group.name), whom(hosts), "", vec![*count]);
        }
        results.add(
            format!("{}{EACH}, 4096 hosts to 16", group.name),
            "instructions",
            RATIO,
            vec![counts[1] / counts[0]],
        );
    }
    results.add(STEP, "instructions", "", vec![instructions(Counted::Step)?]);
    Ok(())
}

/// The figures are what the script prints.
fn memory(_: Options, results: &mut Results) -> Result<(), Failure> {
    let text = run(&mut script("tests/bare-metal/ram-size.sh"))?;
    let mut host = 0.0;
    for row in text.lines().skip(1).map(cells) {
        let [target, part, bytes] = row[..] else { continue };
        let bytes: f64 = bytes.parse()?;
        results.add(format!("RAM: {part}"), target, "bytes", vec![bytes]);
        match part {
            HOST => host = bytes,
            PEER => results.add(
                "RAM: a host with 4 addresses, less its peer",
                target,
                "bytes",
                vec![host - bytes],
            ),
            _ => {}
        }
    }
    Ok(())
}

fn section(results: &Results, section: &mut Section<'_>) -> Result<(), Failure> {
    section.text(
        "Two nodes with as many virtual hosts each: one is BACKUP of all and hears advertisements for one after the \
         other, the other one is MASTER of all and its timers fire. Hearing contains one verification and advertising \
         one signature, which is most of it.",
    );
    let curves: Vec<_> = EVENTS
        .iter()
        .map(|event| {
            let what = format!("{}: time", event.name);
            let point = |hosts: usize| {
                let (what, whom) = (what.as_str(), whom(hosts));
                let figure = results
                    .figures
                    .iter()
                    .find(|figure| figure.what == what && figure.whom == whom)?;
                Some((plot::exact(hosts), figure.median()))
            };
            Curve {
                name: event.name.to_owned(),
                points: HOSTS.into_iter().filter_map(point).collect(),
            }
        })
        .collect();
    section.plot(
        "scale.svg",
        "time per event of a node with 1 to 4096 virtual hosts",
        plot::curves(&Curves {
            title: "What an event costs grows slowly with the number of virtual hosts",
            x: "virtual hosts on the node (logarithmic)",
            y: "time per event, in nanoseconds; lower is better",
            legend: plotters::chart::SeriesLabelPosition::LowerMiddle,
            lines: &curves,
            ticks: &HOSTS.map(plot::exact),
        })?,
    )?;
    section.table("event", |figure| figure.what.ends_with(": time"));
    section.table("event", |figure| figure.what.ends_with(": instructions"));
    section.text(
        "What moves a group is work for each of its hosts. With all of them in one group, on up to 17 interfaces, and all \
         that follows, advertisements included:",
    );
    section.table("event", |figure| figure.what.ends_with(EACH));
    section.table("event", |figure| figure.whom == "instructions");
    section.table("RAM on 32-bit processors", |figure| {
        figure.what.starts_with("RAM: ")
    });
    Ok(())
}
