//! What a daemon uses, its child processes included.

use std::collections::HashMap;
use std::fs;

use carp_fsm::Duration;
use carpd::lab::process::Process;

/// What a process and its descendants use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Time on a processor, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// How often one of its threads has waited for something: the same as wake-ups.
    pub(crate) wakeups: u64,
    /// Memory, where what is shared counts in proportion, in KiB.
    pub(crate) pss_kib: u64,
    /// Memory, where what is shared counts for each of its processes, in KiB.
    pub(crate) rss_kib: u64,
    /// Memory that is its own alone, in KiB.
    pub(crate) anonymous_kib: u64,
}

impl Usage {
    pub(crate) fn of(process: Option<&Process>) -> Self {
        let mut sum = Self::default();
        let Some(process) = process else { return sum };
        for pid in with_descendants(process.id()) {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            sum.pss_kib += number(&rollup, "Pss:");
            sum.rss_kib += number(&rollup, "Rss:");
            sum.anonymous_kib += number(&rollup, "Pss_Anon:");
            let tasks = fs::read_dir(format!("/proc/{pid}/task"))
                .into_iter()
                .flatten()
                .flatten();
            for task in tasks {
                let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
                let first = |text: &str| text.split_whitespace().next()?.parse::<u64>().ok();
                sum.cpu_ns += first(&read("schedstat")).unwrap_or_default();
                sum.wakeups += number(&read("status"), "voluntary_ctxt_switches:");
            }
        }
        sum
    }

    /// Of a core, in percent.
    #[expect(clippy::cast_precision_loss, reason = "far from 2^53")]
    pub(crate) fn cpu_percent(&self, before: &Self, time: Duration) -> f64 {
        let ns = self.cpu_ns.saturating_sub(before.cpu_ns) as f64;
        ns / (time.as_micros() as f64 * 1000.0) * 100.0
    }

    /// Wake-ups a second.
    #[expect(clippy::cast_precision_loss, reason = "far from 2^53")]
    pub(crate) fn wakeups_per_second(&self, before: &Self, time: Duration) -> f64 {
        self.wakeups.saturating_sub(before.wakeups) as f64 * 1e6 / time.as_micros() as f64
    }
}

/// The number behind a name at the beginning of a line.
fn number(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

fn with_descendants(pid: u32) -> Vec<u32> {
    let mut children = HashMap::<u32, Vec<u32>>::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // Behind the name, which can contain anything: state, parent.
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or_default()).or_default().push(pid);
    }
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children.get(pid).into_iter().flatten());
        next += 1;
    }
    all
}
