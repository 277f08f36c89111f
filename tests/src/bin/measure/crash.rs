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
    let healed = together(kinds, |(software, mode)| {
        let setups = [0, 100].map(|advskew| Setup::new(software, advskew).with_mode(mode));
        heals(bench, &whom(software, mode), setups, INTERVAL)
    })?;
    bench.add_all(healed);
    for software in bench.software() {
        for &interval in fast_intervals(software) {
            fast_crashes(bench, software, interval)?;
            let healed = heals(
                bench,
                &fast_whom(software, interval),
                fast(software, interval),
                Duration::from_millis(interval.into()),
            )?;
            bench.add_all(vec![healed]);
        }
    }
    let pulled = together(bench.others(), |software| pulls_of_others(bench, software))?;
    bench.add_all(pulled);
    if !bench.ours() {
        return Ok(());
    }
    let all = MODES.map(|mode| [true, false].map(|preempt| [0, 1].map(|network| (mode, preempt, network))));
    let pulled = together(all.concat().concat(), |(mode, preempt, network)| {
        pulls(bench, mode, preempt, network)
    })?;
    bench.add_all(pulled);
    Ok(())
}

fn whom(software: Software, mode: &str) -> String {
    format!("{software} {mode}").trim_end().to_owned()
}

/// Milliseconds between advertisements where a second is too long: keepalived takes no less, UCarp nothing of the kind.
pub(crate) fn fast_intervals(software: Software) -> &'static [u16] {
    match software {
        Software::Carpd => &[4, 10],
        Software::Keepalived => &[10],
        Software::Ucarp => &[],
    }
}

pub(crate) fn fast_whom(software: Software, interval: u16) -> String {
    format!("{software} every {interval} ms")
}

/// Two nodes that advertise every so many milliseconds.
pub(crate) fn fast(software: Software, interval: u16) -> [Setup; 2] {
    [0, 1].map(|advskew| Setup {
        interval: Some(interval),
        ..Setup::new(software, advskew)
    })
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
fn part_of(interval: Duration, time: usize, times: usize) -> Duration {
    interval * time as u32 / times as u32
}

/// Port blocked and SIGKILL together.
fn crashes(bench: &mut Bench, software: Software, mode: &str) -> Result<(), LabError> {
    let mut lab = pair(bench, software, mode)?;
    let (mut late, mut outages) = (Vec::new(), Vec::new());
    let times = bench.times(if software == Software::Carpd { 3 } else { 1 }, 10);
    for time in 0..times {
        after_advertisement(&mut lab)?;
        lab.client.pause(part_of(INTERVAL, time, times))?;
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
    let whom = whom(software, mode);
    bench.add("crash: detection less formula", &whom, "ms", late);
    bench.add("crash: outage for a client", &whom, "ms", outages);
    Ok(())
}

/// The same in the fast profile; keepalived at the least that it takes.
fn fast_crashes(bench: &mut Bench, software: Software, interval: u16) -> Result<(), LabError> {
    let mut lab = bench.pair(Plan::default(), fast(software, interval))?;
    let (mut waited, mut outages) = (Vec::new(), Vec::new());
    for _ in 0..bench.times(3, 20) {
        let start = Clock.now();
        lab.topology.block(1)?;
        lab.nodes[A].kill();
        let [a, b] = &lab.nodes;
        let succession = lab.client.succession([a, b], "B to take over", start, PATIENCE)?;
        lab.client.settle(&lab.nodes[B], PATIENCE)?;
        waited.push(millis((succession.first - succession.last).as_micros()));
        outages.push(millis(lab.client.record().lost_pings(start).outage.as_micros()));
        lab.start(A)?;
        lab.topology.unblock(1)?;
        lab.client.settle(&lab.nodes[A], PATIENCE)?;
    }
    let whom = fast_whom(software, interval);
    bench.add("crash in the fast profile: detection", &whom, "ms", waited);
    bench.add(
        "crash in the fast profile: outage for a client",
        &whom,
        "ms",
        outages,
    );
    Ok(())
}

/// The master is cut off, and comes back when the other one is master, too.
fn heals(bench: &Bench, whom: &str, setups: [Setup; 2], interval: Duration) -> Result<Vec<Figure>, LabError> {
    let mut lab = bench.pair(Plan::default(), setups)?;
    let mut lost = Vec::new();
    let times = bench.times(1, 10);
    for time in 0..times {
        lab.topology.block(1)?;
        lab.client.settle(&lab.nodes[B], PATIENCE)?;
        lab.client.pause(part_of(interval, time, times))?;
        let start = Clock.now();
        lab.topology.unblock(1)?;
        lab.client.settle(&lab.nodes[A], PATIENCE)?;
        lost.push(millis(lab.client.record().lost_pings(start).outage.as_micros()));
    }
    Ok(vec![Figure::new(
        "partition healed: outage for a client",
        whom,
        "ms",
        lost,
    )])
}

/// A cable of a router on two networks is pulled: everything moves.
fn pulls(bench: &Bench, mode: &str, preempt: bool, network: u8) -> Result<Vec<Figure>, LabError> {
    let plan = Plan {
        networks: 2,
        ..Plan::default()
    };
    let mut lab = bench.lab(plan, [0, 100].map(|advskew| router(advskew, preempt, mode)))?;
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
        Figure::new(what, whom(Software::Carpd, mode), "ms", samples)
    };
    Ok(vec![
        figure("the other network", there),
        figure("its own network", here),
    ])
}

/// The cable of a master on one network is pulled. That what it is master of on another one follows is not asked of
/// these: UCarp cannot do it, and keepalived has to be told.
fn pulls_of_others(bench: &Bench, software: Software) -> Result<Vec<Figure>, LabError> {
    let mut lab = pair(bench, software, "")?;
    let mut after = Vec::new();
    let times = bench.times(1, 10);
    for time in 0..times {
        after_advertisement(&mut lab)?;
        lab.client.pause(part_of(INTERVAL, time, times))?;
        let start = Clock.now();
        lab.topology.unplug(0, 1)?;
        after.push(moved(&mut lab.client, &lab.nodes, start)?);
        lab.nodes[A].kill();
        lab.topology.plug(0, 1)?;
        lab.start(A)?;
        lab.client.settle(&lab.nodes[A], PATIENCE)?;
    }
    let what = "cable pulled, backup preempting: its own network moves after";
    Ok(vec![Figure::new(what, software, "ms", after)])
}

/// When B has followed A on a client's network, in milliseconds; never, if it takes twice as long as a crash.
fn moved(client: &mut Client, [a, b]: &[Node; 2], start: Instant) -> Result<f64, LabError> {
    match client.succession([a, b], "B to take over", start, Duration::from_secs(7)) {
        Ok(succession) => Ok(millis((succession.first - start).as_micros())),
        Err(LabError::NeverHappened { .. }) => Ok(f64::INFINITY),
        Err(error) => Err(error),
    }
}
