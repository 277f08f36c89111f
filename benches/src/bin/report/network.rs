//! Real daemons on real packets: what `measure` of carp-tests has measured.

use std::fs;
use std::path::PathBuf;
use std::thread;

use serde::Deserialize;
use serde_json::Value;

use carp_benches::figure::Figure;

use crate::data::Results;
use crate::part::Options;
use crate::tools::{Failure, output, program};

/// Of `host.json`, the members that are used here.
#[derive(Deserialize)]
struct Host {
    figures: Vec<Figure>,
    errors: Vec<String>,
    #[serde(default)]
    raw: std::collections::BTreeMap<String, Value>,
}

/// Runs a part of `measure`, of carpd and its peers. In the quick form they are measured at the same time, each thing
/// once.
pub(crate) fn measure(options: Options, results: &mut Results, part: &str) -> Result<(), Failure> {
    if !options.quick {
        return take(results, one(part, &[]).map_err(Failure::from)?);
    }
    let all = ["carpd", "ucarp", "keepalived"];
    let hosts: Vec<Result<Host, String>> = thread::scope(|scope| {
        let start = |software| scope.spawn(move || one(part, &["--once", "--software", software]));
        let children: Vec<_> = all.into_iter().map(start).collect();
        let join = |child: thread::ScopedJoinHandle<'_, _>| {
            child
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        children.into_iter().map(join).collect()
    });
    hosts.into_iter().try_for_each(|host| take(results, host?))
}

fn take(results: &mut Results, host: Host) -> Result<(), Failure> {
    if !host.errors.is_empty() {
        return Err(host.errors.join("; ").into());
    }
    results.figures.extend(host.figures);
    results.raw.extend(host.raw);
    Ok(())
}

/// Its exit code says whether its figures are good; that is judged here.
fn one(part: &str, more: &[&str]) -> Result<Host, String> {
    let directory = directory(part, more);
    let mut command = program("carp-tests", "measure", "release");
    command
        .args(["--only", part])
        .args(more)
        .arg("--out")
        .arg(&directory);
    let (said, _) = output(&mut command).map_err(|error| error.to_string())?;
    let text = fs::read_to_string(directory.join("host.json"));
    // Whatever is left there is in the directory for temporary files.
    let _ = fs::remove_dir_all(&directory);
    let text = text.map_err(|_| {
        format!(
            "measure has stored nothing: {}",
            said.lines().last().unwrap_or_default()
        )
    })?;
    serde_json::from_str(&text).map_err(|error| format!("what measure has stored cannot be read: {error}"))
}

fn directory(part: &str, more: &[&str]) -> PathBuf {
    let name = format!("carp-report-{}-{part}{}", std::process::id(), more.concat());
    std::env::temp_dir().join(name)
}
