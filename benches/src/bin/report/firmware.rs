//! The firmware of the emulated board: what its tests print.

use crate::data::Results;
use crate::part::{Company, Need, Options, Step};
use crate::tools::{Failure, cargo, cells, run};

pub(crate) const STEP: Step = Step {
    name: "firmware on an emulated board",
    seconds: [0.0, 60.0],
    needs: &[Need::Time, Need::Tool("qemu-system-arm", "qemu-system-arm")],
    company: Company::Alone,
    run: firmware,
};

/// Milliseconds that a backup of advskew 100 waits.
const FORMULA: f64 = 3390.625;

fn firmware(_: Options, results: &mut Results) -> Result<(), Failure> {
    let mut command = cargo([
        "test",
        "--package",
        "carp-tests",
        "--all-features",
        "--test",
        "firmware_images",
    ]);
    command.args(["--test", "firmware", "--", "--nocapture", "--test-threads=1"]);
    command.args(["instructions_and_stack", "a_storm", "a_backup_takes_over"]);
    let text = run(&mut command)?;
    let (mut in_table, mut rows) = (false, 0);
    for line in text.lines() {
        let cells = cells(line);
        if let Some((_, rest)) = line.split_once("by its own clock ") {
            let seconds: f64 = rest.split_whitespace().next().unwrap_or_default().parse()?;
            let late = (seconds * 1000.0 - FORMULA).round();
            results.add(
                "firmware takes over: detection less formula",
                "carp-embassy",
                "ms",
                vec![late],
            );
        }
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
