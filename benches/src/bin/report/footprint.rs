//! What it takes when nothing happens.

use std::fs;

use crate::data::Results;
use crate::fire::NEEDS;
use crate::firmware;
use crate::network::measure;
use crate::page::Section;
use crate::part::{Company, Need, Options, Part, Step};
use crate::plot::{self, Bars};
use crate::tools::{Failure, cells, output, script, workspace};

pub(crate) const PART: Part = Part {
    name: "footprint",
    title: "Footprint",
    builds: &[
        "build --release --package carp-tests --bin measure",
        "build --release --package carpd",
    ],
    steps: &[
        Step {
            name: "idle daemons",
            seconds: [55.0, 120.0],
            needs: &NEEDS,
            company: Company::AloneIfFull,
            run: |options, results| measure(options, results, "idle"),
        },
        Step {
            name: "size of the executables",
            seconds: [1.0, 1.0],
            needs: &[],
            company: Company::Work,
            run: executables,
        },
        Step {
            name: "flash of the core",
            seconds: [3.0, 3.0],
            needs: &[NM],
            company: Company::Work,
            run: core,
        },
        Step {
            name: "flash and RAM of the adapter",
            seconds: [3.0, 3.0],
            needs: &[NM],
            company: Company::Work,
            run: adapter,
        },
        firmware::ALONE,
        firmware::WITH_PEERS,
    ],
    section,
};

const NM: Need = Need::Tool("arm-none-eabi-nm", "binutils-arm-none-eabi");

fn executables(_: Options, results: &mut Results) -> Result<(), Failure> {
    let ours = workspace()
        .join("target/release/carpd")
        .to_string_lossy()
        .into_owned();
    for (whom, path) in [
        ("carpd", ours.as_str()),
        ("ucarp", "/usr/sbin/ucarp"),
        ("keepalived", "/usr/sbin/keepalived"),
    ] {
        if let Ok(file) = fs::metadata(path) {
            results.add(
                "size of the executable, as built or packaged",
                whom,
                "MB",
                vec![f64::from(u32::try_from(file.len())?) / 1e6],
            );
        }
    }
    Ok(())
}

/// The figures are what the script prints; they are judged here.
fn core(_: Options, results: &mut Results) -> Result<(), Failure> {
    let (text, _) = output(&mut script("tests/bare-metal/flash-size.sh"))?;
    let rows = text.lines().map(cells).filter(|row| is_target(row));
    for row in rows {
        let [target, part, flash, _memory, _ram] = row[..] else {
            return Err(unexpected(&text));
        };
        results.add(
            format!("flash of the core: {part}"),
            target,
            "bytes",
            vec![flash.parse()?],
        );
    }
    enough(results, "flash of the core: ", &text)
}

fn adapter(_: Options, results: &mut Results) -> Result<(), Failure> {
    let (text, _) = output(&mut script("tests/bare-metal/embassy-size.sh"))?;
    let rows = text.lines().map(cells).filter(|row| is_target(row));
    for row in rows {
        let [target, firmware, flash, added_flash, ram, added_ram] = row[..] else {
            return Err(unexpected(&text));
        };
        for (what, value) in [
            ("flash", flash),
            ("flash added", added_flash),
            ("RAM", ram),
            ("RAM added", added_ram),
        ] {
            results.add(
                format!("embassy-net firmware, {firmware}: {what}"),
                target,
                "bytes",
                vec![value.parse()?],
            );
        }
    }
    enough(results, "embassy-net firmware, ", &text)
}

fn is_target(row: &[&str]) -> bool {
    row.first()
        .is_some_and(|first| first.starts_with("thumb") || first.starts_with("riscv"))
}

/// A script that broke off says nothing about the targets that it did not come to.
fn enough(results: &Results, what: &str, text: &str) -> Result<(), Failure> {
    let has = |target: &str| results.about(what).any(|figure| figure.whom.starts_with(target));
    if has("thumbv6m") && has("thumbv7em") && has("riscv32") {
        Ok(())
    } else {
        Err(unexpected(text))
    }
}

fn unexpected(text: &str) -> Failure {
    format!(
        "the script ended with: {}",
        text.lines().last().unwrap_or_default()
    )
    .into()
}

fn section(results: &Results, section: &mut Section<'_>) -> Result<(), Failure> {
    section.text(
        "Daemons on four networks, as master and as backup, with nothing to do but to advertise once a second for each \
         virtual host, or to hear that. carpd is one process for all of them, and a second one that takes the addresses \
         off if the first one dies; both count. UCarp needs a process for each virtual host.",
    );
    let pss = |whom: &'static str, hosts: usize| {
        let what = format!("idle, {}, master: PSS", crate::scale::whom(hosts));
        let figure = results
            .figures
            .iter()
            .find(|figure| figure.what == what && figure.whom == whom);
        figure.map_or(f64::NAN, carp_benches::figure::Figure::median)
    };
    let rows = [
        (
            "carpd, 1 virtual host",
            vec![("PSS of the master", pss("carpd", 1))],
        ),
        (
            "carpd, 100 virtual hosts",
            vec![("PSS of the master", pss("carpd", 100))],
        ),
        (
            "carpd, 1000 virtual hosts",
            vec![("PSS of the master", pss("carpd", 1000))],
        ),
        (
            "UCarp, 1 virtual host",
            vec![("PSS of the master", pss("ucarp", 1))],
        ),
        (
            "keepalived, 1 virtual host",
            vec![("PSS of the master", pss("keepalived", 1))],
        ),
    ];
    if rows
        .iter()
        .flat_map(|(_, bars)| bars)
        .any(|(_, value)| value.is_finite())
    {
        section.plot(
            "footprint.svg",
            "memory of idle daemons",
            plot::bars(&Bars {
                title: "Memory of a daemon that is master and has nothing else to do",
                axis: "memory in MB; what processes share counts in proportion (PSS); shorter is better",
                floor: None,
                rows: &rows,
            })?,
        )?;
    }
    section.table("on Linux", |figure| {
        figure.what.starts_with("idle, ") || figure.what.starts_with("size ")
    });
    section.table("on microcontrollers, at opt-level s", |figure| {
        figure.what.starts_with("flash of the core")
    });
    section.table("on microcontrollers, at opt-level s", |figure| {
        figure.what.starts_with("embassy-net")
    });
    section.table("on a Cortex-M3", |figure| {
        figure.what.starts_with("the adapter, ")
    });
    section.table("on an emulated board", |figure| {
        figure.what.starts_with("firmware takes over")
    });
    Ok(())
}
