//! What nobody plans: a master that dies, a cable that is pulled, a partition that heals.

use std::net::Ipv4Addr;
use std::time::Duration;

use carp_benches::figure::Figure;
use carp_fsm::Instant;
use carp_std::linux::Clock;
use carpd::lab::measure::master_down;
use carpd::lab::{Client, Lab, LabError, Node, Plan, Setup, Software};

use crate::bench::{A, B, Bench, MODES, PATIENCE, millis, router, together};

/// Of a master with advskew 0.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    let kinds: Vec<_> = bench
        .software()
        .into_iter()
        .flat_map(|software| {
            let modes: &[_] = match software {
                Software::Carpd => &MODES,
                Software::Ucarp | Software::Keepalived => &[""],
            };
            modes.iter().map(move |mode| (software, *mode))
        })
        .collect();
    // One after the other: a millisecond counts.
    for &(software, mode) in &kinds {
        crashes(bench, software, mode)?;
    }
    let healed = together(kinds, |(software, mode)| heals(bench, software, mode))?;
    bench.add_all(healed);
    for software in bench.software() {
        let intervals: &[_] = match software {
            Software::Carpd => &[4, 10],
            Software::Keepalived => &[10],
            Software::Ucarp => &[],
        };
        for &interval in intervals {
            fast_crashes(bench, software, interval)?;
        }
    }
    if !bench.ours() {
        return Ok(());
    }
    let kinds = [true, false].map(|preempt| [0, 1].map(|network| (preempt, network)));
    let pulled = together(kinds.concat(), |(preempt, network)| {
        pulls(bench, preempt, network)
    })?;
    bench.add_all(pulled);
    Ok(())
}

/// How long a backup of advskew 100, or priority 154, waits for a silent master, in milliseconds.
pub(crate) fn formula(software: Software) -> f64 {
    match software {
        Software::Keepalived => 3000.0 + 1000.0 * f64::from(256 - 154) / 256.0,
        Software::Carpd | Software::Ucarp => millis(master_down(1, 100).as_micros()),
    }
}

fn pair(bench: &Bench, software: Software, mode: &str) -> Result<Lab, LabError> {
    bench.pair(
        Plan::default(),
        [0, 100].map(|advskew| Setup::new(software, advskew).with_mode(mode)),
    )
}

/// Waits until A has just advertised.
pub(crate) fn after_advertisement(lab: &mut Lab) -> Result<(), LabError> {
    let (now, master) = (Clock.now(), &lab.nodes[A]);
    lab.client.wait(PATIENCE, "an advertisement of A", |record| {
        record
            .since(now)
            .any(|advertisement| master.is_source(advertisement.source))
            .then_some(())
    })
}

/// So that what is done several times is spread over the time between two advertisements.
#[expect(clippy::cast_possible_truncation, reason = "ten")]
fn part_of_interval(time: usize, times: usize) -> Duration {
    INTERVAL * time as u32 / times as u32
}

/// Port blocked and SIGKILL together.
fn crashes(bench: &mut Bench, software: Software, mode: &str) -> Result<(), LabError> {
    let mut lab = pair(bench, software, mode)?;
    let (mut late, mut outages) = (Vec::new(), Vec::new());
    let times = bench.times(if software == Software::Carpd { 3 } else { 1 }, 10);
    for time in 0..times {
        after_advertisement(&mut lab)?;
        lab.client.pause(part_of_interval(time, times))?;
        let start = Clock.now();
        lab.topology.block(1)?;
        lab.nodes[A].kill();
        let [a, b] = &lab.nodes;
        let succession = lab.client.succession([a, b], "B to take over", start, PATIENCE)?;
        lab.client.settle(&lab.nodes[B], PATIENCE)?;
        late.push(millis((succession.first - succession.last).as_micros()) - formula(software));
        outages.push(millis(lab.client.record().lost_pings(start).outage.as_micros()));
        lab.start(A)?;
        lab.topology.unblock(1)?;
        lab.client.settle(&lab.nodes[A], PATIENCE)?;
    }
    let whom = format!("{software} {mode}");
    bench.add("crash: detection less formula", &whom, "ms", late);
    bench.add("crash: outage for a client", &whom, "ms", outages);
    Ok(())
}

/// The same in the fast profile; keepalived at the least that it takes.
fn fast_crashes(bench: &mut Bench, software: Software, interval: u16) -> Result<(), LabError> {
    let setup = |advskew| Setup {
        interval: Some(interval),
        ..Setup::new(software, advskew)
    };
    let mut lab = bench.pair(Plan::default(), [setup(0), setup(1)])?;
    let mut outages = Vec::new();
    for _ in 0..bench.times(3, 20) {
        let start = Clock.now();
        lab.topology.block(1)?;
        lab.nodes[A].kill();
        lab.client.settle(&lab.nodes[B], PATIENCE)?;
        outages.push(millis(lab.client.record().lost_pings(start).outage.as_micros()));
        lab.start(A)?;
        lab.topology.unblock(1)?;
        lab.client.settle(&lab.nodes[A], PATIENCE)?;
    }
    bench.add(
        "crash in the fast profile: outage for a client",
        format_args!("{software} every {interval} ms"),
        "ms",
        outages,
    );
    Ok(())
}

/// The master is cut off, and comes back when the other one is master, too.
fn heals(bench: &Bench, software: Software, mode: &str) -> Result<Vec<Figure>, LabError> {
    let mut lab = pair(bench, software, mode)?;
    let mut lost = Vec::new();
    let times = bench.times(1, 10);
    for time in 0..times {
        lab.topology.block(1)?;
        lab.client.settle(&lab.nodes[B], PATIENCE)?;
        lab.client.pause(part_of_interval(time, times))?;
        let start = Clock.now();
        lab.topology.unblock(1)?;
        lab.client.settle(&lab.nodes[A], PATIENCE)?;
        lost.push(millis(lab.client.record().lost_pings(start).outage.as_micros()));
    }
    let whom = format!("{software} {mode}");
    Ok(vec![Figure::new(
        "partition healed: outage for a client",
        whom,
        "ms",
        lost,
    )])
}

/// A cable of a router on two networks is pulled: everything moves.
fn pulls(bench: &Bench, preempt: bool, network: u8) -> Result<Vec<Figure>, LabError> {
    let plan = Plan {
        networks: 2,
        ..Plan::default()
    };
    let mut lab = bench.lab(plan, [0, 100].map(|advskew| router(advskew, preempt, MODES[0])))?;
    let mut other = lab.another_client("eth1", Ipv4Addr::new(192, 0, 3, 10).into())?;
    let (mut there, mut here) = (Vec::new(), Vec::new());
    for _ in 0..bench.times(1, 10) {
        // Without a preempting B it matters who was there first.
        lab.start(A)?;
        lab.client.settle(&lab.nodes[A], PATIENCE)?;
        lab.start(B)?;
        // It has heard A on both networks by then.
        lab.client.pause(2 * INTERVAL)?;
        let start = Clock.now();
        lab.topology.unplug(network, 1)?;
        let first = moved(&mut lab.client, &lab.nodes, start)?;
        let second = moved(&mut other, &lab.nodes, start)?;
        let (own, another) = if network == 0 {
            (first, second)
        } else {
            (second, first)
        };
        here.push(own);
        there.push(another);
        for node in [A, B] {
            lab.nodes[node].kill();
        }
        lab.topology.plug(network, 1)?;
    }
    let peers = if preempt { "preempting" } else { "not preempting" };
    let figure = |which: &str, samples| {
        let what = format!("cable pulled, backup {peers}: {which} moves after");
        Figure::new(what, "carpd", "ms", samples)
    };
    Ok(vec![
        figure("the other network", there),
        figure("its own network", here),
    ])
}

/// When B has followed A on a client's network, in milliseconds; never, if it takes twice as long as a crash.
fn moved(client: &mut Client, [a, b]: &[Node; 2], start: Instant) -> Result<f64, LabError> {
    match client.succession([a, b], "B to take over", start, Duration::from_secs(7)) {
        Ok(succession) => Ok(millis((succession.first - start).as_micros())),
        Err(LabError::NeverHappened { .. }) => Ok(f64::INFINITY),
        Err(error) => Err(error),
    }
}
