//! Codec and authentication, as ratios to two raw SHA-1 compressions: nothing that computes an HMAC can take less.

use std::hint::black_box;

use carp_benches::wire::{FLOOR, Fixture, OPERATIONS, VERIFY};

use carp_benches::figure::{Figure, RATIO};

use crate::callgrind::{Counted, instructions};
use crate::data::Results;
use crate::page::Section;
use crate::part::{Company, Need, Options, Part, Step};
use crate::plot::{self, Bars};
use crate::tools::{Failure, cells, now, run, script};

pub(crate) const PART: Part = Part {
    name: "crypto",
    title: "Wire format and authentication",
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
            seconds: [10.0, 10.0],
            needs: &[Need::Tool("valgrind", "valgrind")],
            company: Company::Work,
            run: counts,
        },
        Step {
            name: "instructions on microcontrollers",
            seconds: [4.0, 4.0],
            needs: &[Need::Tool("qemu-system-arm", "qemu-system-arm")],
            company: Company::Work,
            run: microcontrollers,
        },
    ],
    section,
};

/// Runs of an operation in a round.
const RUNS: u32 = 1000;
/// Who is measured, as the page says it.
const TIME: &str = "time, this machine";
const HOST: &str = "instructions, this machine";
const CORTEX: [(&str, &str); 2] = [
    ("thumbv6m-none-eabi", "instructions, Cortex-M0 code"),
    ("thumbv7em-none-eabihf", "instructions, Cortex-M4 code"),
];

/// Side by side in each round, so that the speed of the machine cancels out; the median round counts.
#[expect(clippy::unnecessary_wraps, reason = "as every step")]
fn times(options: Options, results: &mut Results) -> Result<(), Failure> {
    let fixture = Fixture::new();
    let mut nanoseconds = vec![Vec::new(); OPERATIONS.len()];
    for _ in 0..options.times(401, 4001) {
        for (operation, nanoseconds) in OPERATIONS.iter().zip(&mut nanoseconds) {
            let start = now();
            for _ in 0..RUNS {
                black_box(operation.run)(black_box(&fixture));
            }
            nanoseconds.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(RUNS));
        }
    }
    let medians = nanoseconds.into_iter().map(|mut rounds| {
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    });
    add(results, TIME, "ns", &medians.collect::<Vec<_>>());
    Ok(())
}

fn counts(_: Options, results: &mut Results) -> Result<(), Failure> {
    let counts: Result<Vec<f64>, _> = (0..OPERATIONS.len())
        .map(|at| instructions(Counted::Wire(at)))
        .collect();
    add(results, HOST, "", &counts?);
    Ok(())
}

/// The figures are what the script prints.
fn microcontrollers(_: Options, results: &mut Results) -> Result<(), Failure> {
    let text = run(&mut script("tests/bare-metal/instructions.sh"))?;
    for (target, whom) in CORTEX {
        let table = text.lines().skip_while(|line| !line.starts_with(target)).skip(1);
        let count = |name: &str| {
            let row = table.clone().find(|line| cells(line).first() == Some(&name))?;
            cells(row).get(1)?.parse::<f64>().ok()
        };
        let counts: Option<Vec<f64>> = OPERATIONS.iter().map(|operation| count(operation.name)).collect();
        add(
            results,
            whom,
            "",
            &counts.ok_or("tests/bare-metal/instructions.sh printed another table")?,
        );
    }
    Ok(())
}

/// Absolute, and as ratios to the floor.
fn add(results: &mut Results, whom: &str, unit: &str, values: &[f64]) {
    for (operation, value) in OPERATIONS.iter().zip(values) {
        results.add(operation.name, whom, unit, vec![*value]);
        results.add(
            format!("{}: of the floor", operation.name),
            whom,
            RATIO,
            vec![value / values[FLOOR]],
        );
        if operation.name.starts_with("reject by ") {
            let ratio = vec![value / values[VERIFY]];
            results.add(
                format!("{}: of a verification", operation.name),
                whom,
                RATIO,
                ratio,
            );
        }
    }
}

fn section(results: &Results, section: &mut Section<'_>) -> Result<(), Failure> {
    section.text(
        "An advertisement is authenticated by an HMAC of SHA-1, which takes at least two runs of its compression \
         function: the floor. Times are the medians of rounds in which all operations take turns. Instructions are \
         counted by callgrind and by QEMU, and are the same in every run; there the compression is portable code, \
         while the times are those of a processor with SHA instructions, if this one has them.",
    );
    let bars: Vec<_> = [
        ("sign", "sign an advertisement"),
        ("verify", "verify one"),
        ("receive, bytes to verdict", "all checks of a packet"),
        ("receive, bad digest", "the same, wrong password"),
        ("sign and emit a frame", "sign, and write the frame"),
    ]
    .into_iter()
    .map(|(name, says)| {
        let what = format!("{name}: of the floor");
        let values = [TIME, HOST, CORTEX[0].1, CORTEX[1].1].map(|whom| {
            let figure = results
                .figures
                .iter()
                .find(|figure| figure.what == what && figure.whom == whom);
            (whom, figure.map_or(f64::NAN, Figure::median))
        });
        (says, values.to_vec())
    })
    .collect();
    section.plot(
        "crypto.svg",
        "what each operation costs, as a multiple of two raw SHA-1 compressions",
        plot::bars(&Bars {
            title: "What authentication costs beyond the two hashes that nothing can avoid",
            axis: "cost; 1, the thin line, is two raw SHA-1 compressions; shorter is better",
            floor: Some(1.0),
            rows: &bars,
        })?,
    )?;
    section.table("operation", |figure| figure.what.ends_with("of the floor"));
    section.table("operation", |figure| figure.what.ends_with("of a verification"));
    section.table("operation", |figure| !figure.what.contains(": of "));
    Ok(())
}
