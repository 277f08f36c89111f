//! One crash, in all detail that a client sees.

use std::time::Duration;

use carp_fsm::Instant;
use carp_std::linux::Clock;
use carpd::lab::measure::{PING_INTERVAL, Record};
use carpd::lab::{Lab, LabError, Node, Plan, Setup};
use serde_json::json;

use crate::bench::{A, B, Bench, PATIENCE};
use crate::crash::{after_advertisement, formula};

/// What is kept before the crash.
const BEFORE: Duration = Duration::from_secs(3);
/// And after the new master has come.
const AFTER: Duration = Duration::from_secs(4);
/// Since the last advertisement, so that it is a crash like most.
const PAUSE: Duration = Duration::from_millis(400);
/// Half an interval of pings: one that is answered in between is two intervals.
const LATE: Duration = Duration::from_millis(5);

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    for software in bench.software() {
        let setups = [0, 100].map(|advskew| Setup::new(software, advskew));
        let mut lab = bench.pair(Plan::default(), setups)?;
        lab.client.pause(BEFORE)?;
        after_advertisement(&mut lab)?;
        lab.client.pause(PAUSE)?;
        let crash = Clock.now();
        lab.topology.block(1)?;
        lab.nodes[A].kill();
        lab.client.settle(&lab.nodes[B], PATIENCE)?;
        lab.client.pause(AFTER)?;
        let Lab { client, nodes, .. } = &lab;
        let since = |at: Instant| (exact(at.as_micros()) - exact(crash.as_micros())) / 1e6;
        let of = |node: &Node| -> Vec<f64> {
            let all = client.record().advertisements.iter();
            let own = all.filter(|advertisement| node.is_source(advertisement.source));
            own.map(|advertisement| since(advertisement.at)).collect()
        };
        let outages: Vec<_> = outages(client.record())
            .into_iter()
            .map(|[from, to]| [since(from), since(to)])
            .collect();
        let raw = json!({
            "formula": formula(software) / 1000.0 - PAUSE.as_secs_f64(),
            "advertisements": [of(&nodes[A]), of(&nodes[B])],
            "outages": outages,
        });
        bench.keep(format!("timeline of {software}"), raw);
    }
    Ok(())
}

/// Each run of lost pings, from the first of them to the next that was answered.
fn outages(record: &Record) -> Vec<[Instant; 2]> {
    let mut outages: Vec<[Instant; 2]> = Vec::new();
    for ping in record.pings.iter().filter(|ping| !ping.answered) {
        let end = ping.at + PING_INTERVAL;
        match outages.last_mut() {
            Some([_, before]) if ping.at <= *before + LATE.into() => *before = end,
            _ => outages.push([ping.at, end]),
        }
    }
    outages
}

#[expect(clippy::cast_precision_loss, reason = "far from 2^53")]
fn exact(micros: u64) -> f64 {
    micros as f64
}
