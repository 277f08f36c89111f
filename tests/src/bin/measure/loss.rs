//! A network that loses packets: what the fast profile makes of it when nobody has crashed.

use std::time::Duration;

use carp_benches::figure::Figure;
use carpd::lab::{Lab, LabError, Plan, Setup, Software};

use crate::bench::{B, Bench, together};

/// As many pairs share the minutes; they need next to no processor.
const PAIRS: u32 = 5;
/// Milliseconds between advertisements, and how many have to be missing: 30 to 40 ms until a crash is noticed.
const INTERVAL: u16 = 10;
const DEAD_RATIO: u8 = 4;

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    if !bench.ours() {
        return Ok(());
    }
    let minutes = if bench.fast { 1 } else { 10 };
    let each = Duration::from_mins(1) * minutes / PAIRS;
    let found = together(0..PAIRS, |_| false_failovers(bench, each))?;
    let what = format!("fast profile, {minutes} min at 1 % loss");
    let whom = format!("carpd every {INTERVAL} ms, dead ratio {DEAD_RATIO}");
    let figure = |what: String, values: fn(&(f64, f64)) -> f64| {
        let sum = found.iter().map(values).sum();
        Figure::new(what, &whom, "", vec![sum])
    };
    bench.add_all(vec![vec![
        figure(format!("{what}: false fail-overs"), |(failovers, _)| *failovers),
        figure(format!("{what}: packets lost"), |(_, lost)| *lost),
    ]]);
    Ok(())
}

/// How often B became master beside a living A, and how many packets to it were lost.
fn false_failovers(bench: &Bench, time: Duration) -> Result<(f64, f64), LabError> {
    let setup = |advskew| Setup {
        interval: Some(INTERVAL),
        dead_ratio: DEAD_RATIO,
        ..Setup::new(Software::Carpd, advskew)
    };
    let mut lab = bench.pair(Plan::default(), [setup(0), setup(1)])?;
    let promotions = |lab: &Lab| u32::try_from(lab.nodes[B].log().matches("-> MASTER").count());
    let before = promotions(&lab).unwrap_or_default();
    lab.topology.lose(lab.nodes[B].station(), 1)?;
    lab.client.pause(time)?;
    let failovers = promotions(&lab).unwrap_or(u32::MAX) - before;
    Ok((f64::from(failovers), f64::from(lab.topology.lost()?)))
}
