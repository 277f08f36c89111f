//! Packets that say nothing, at a rate that no network has. Nothing may change, nothing may be late.

use std::thread;
use std::time::Duration;

use carp_fsm::Instant;
use carp_std::Link;
use carp_std::linux::{Clock, set_realtime_priority};
use carp_tests::invalid;
use carpd::lab::topology::{INTERFACE, Namespace, Topology};
use carpd::lab::{Lab, LabError, Node, Plan, Setup, Software};

use crate::bench::{A, B, Bench, joined, millis, raw, system, transitions};
use crate::usage::Usage;

/// Packets a second; a little more than is promised, as a generator that was held up does not catch up in the end.
const RATE: u32 = 102_000;
/// At which others are measured: more makes some of them fail.
const RATE_OF_OTHERS: u32 = 50_000;

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    let kinds = invalid::flood();
    if bench.ours() {
        let mut lab = pair(bench, Software::Carpd)?;
        let mut sums = Sums::default();
        for (kind, frame) in &kinds {
            flood(
                bench,
                &mut lab,
                kind,
                std::slice::from_ref(frame),
                RATE,
                &mut sums,
            )?;
        }
        sums.add(bench, "carpd");
        other_traffic(bench, &mut lab)?;
        few(bench, Software::Carpd)?;
    }
    for software in bench.others() {
        let mut lab = pair(bench, software)?;
        let mut sums = Sums::default();
        for (kind, frame) in kinds.iter().filter(|(kind, _)| invalid::COMMON.contains(kind)) {
            flood(
                bench,
                &mut lab,
                kind,
                std::slice::from_ref(frame),
                RATE_OF_OTHERS,
                &mut sums,
            )?;
        }
        sums.add(bench, &software.to_string());
        few(bench, software)?;
    }
    Ok(())
}

fn pair(bench: &Bench, software: Software) -> Result<Lab, LabError> {
    bench.pair(
        Plan::default(),
        [0, 100].map(|advskew| Setup::new(software, advskew)),
    )
}

/// Of all kinds.
#[derive(Default)]
struct Sums {
    offered: Vec<f64>,
    transitions: Vec<f64>,
    late: Vec<f64>,
    lost: Vec<f64>,
    lines: Vec<f64>,
    bytes: Vec<f64>,
    growth: Vec<f64>,
    cpu: Vec<f64>,
}

impl Sums {
    fn add(self, bench: &mut Bench, whom: &str) {
        let what = |what: &str| format!("flood: {what}");
        bench.add(what("packets a second"), whom, "", self.offered);
        bench.add(what("transitions"), whom, "", self.transitions);
        bench.add(what("latest advertisement"), whom, "ms", self.late);
        bench.add(what("pings lost"), whom, "", self.lost);
        bench.add(what("lines logged"), whom, "", self.lines);
        bench.add(what("bytes logged"), whom, "", self.bytes);
        bench.add(what("memory added"), whom, "KiB", self.growth);
        bench.add(what("CPU of a node"), whom, "%", self.cpu);
    }
}

fn flood(
    bench: &Bench,
    lab: &mut Lab,
    kind: &str,
    frames: &[Vec<u8>],
    rate: u32,
    sums: &mut Sums,
) -> Result<(), LabError> {
    let time = Duration::from_secs(if bench.fast { 2 } else { 10 });
    let usage = |lab: &Lab| lab.nodes.each_ref().map(|node| Usage::of(node.process()));
    let logs = |lab: &Lab| lab.nodes.each_ref().map(Node::log);
    let start = Clock.now();
    let before = (usage(lab), logs(lab), lab.nodes.each_ref().map(transitions));
    let Sent { packets, offered } = send_beside(lab, frames, rate, time)?;
    let took = Clock.now() - start;
    let after = (usage(lab), logs(lab), lab.nodes.each_ref().map(transitions));
    let cpu = [A, B].map(|node| after.0[node].cpu_percent(&before.0[node], took));
    println!(
        "{kind}: {packets} packets in {took} s, CPU {:.1} % and {:.1} %",
        cpu[A], cpu[B]
    );
    sums.offered.push(offered);
    sums.late.push(latest(lab, start));
    sums.lost
        .push(f64::from(lab.client.record().lost_pings(start).count));
    sums.cpu.extend(cpu);
    for node in [A, B] {
        sums.transitions.push(after.2[node] - before.2[node]);
        let logged = after.1[node].get(before.1[node].len()..).unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "far from 2^53")]
        for (sum, number) in [
            (&mut sums.lines, logged.lines().count()),
            (&mut sums.bytes, logged.len()),
        ] {
            sum.push(number as f64);
        }
        let anonymous = |usage: &[Usage; 2]| usage[node].anonymous_kib;
        #[expect(clippy::cast_precision_loss, reason = "far from 2^53")]
        sums.growth
            .push(anonymous(&after.0).saturating_sub(anonymous(&before.0)) as f64);
    }
    Ok(())
}

/// How much later than after a second an advertisement of A has come since then, in milliseconds. From the one before
/// until now: a master that has fallen silent is late, too.
fn latest(lab: &Lab, since: Instant) -> f64 {
    let record = lab.client.record();
    let of_master = record
        .advertisements
        .iter()
        .filter(|advertisement| lab.nodes[A].is_source(advertisement.source))
        .map(|advertisement| advertisement.at);
    let before = of_master.clone().take_while(|at| *at < since).last();
    let times: Vec<_> = before
        .into_iter()
        .chain(of_master.filter(|at| *at >= since))
        .chain([Clock.now()])
        .collect();
    let gaps = times
        .windows(2)
        .map(|pair| millis((pair[1] - pair[0]).as_micros()) - 1000.0);
    gaps.fold(0.0, f64::max)
}

/// What has nothing to do with us must not even wake us.
fn other_traffic(bench: &mut Bench, lab: &mut Lab) -> Result<(), LabError> {
    let time = Duration::from_secs(if bench.fast { 2 } else { 10 });
    let start = Clock.now();
    let before = Usage::of(lab.nodes[A].process());
    let Sent { packets, .. } = send_beside(
        lab,
        &[invalid::other_traffic(Topology::address(0, Lab::<2>::CLIENT))],
        RATE,
        time,
    )?;
    let took = Clock.now() - start;
    let after = Usage::of(lab.nodes[A].process());
    println!("other traffic: {packets} packets in {took} s");
    let wakeups = after.wakeups_per_second(&before, took);
    bench.add(
        "other traffic at the same rate: wake-ups a second",
        "carpd",
        "",
        vec![wakeups],
    );
    let cpu = after.cpu_percent(&before, took);
    bench.add("other traffic at the same rate: CPU", "carpd", "%", vec![cpu]);
    Ok(())
}

/// A little more often than advertisements are.
fn few(bench: &mut Bench, software: Software) -> Result<(), LabError> {
    let mut lab = pair(bench, software)?;
    let (mut link, iface) = raw(lab.topology.station(Lab::<2>::CLIENT), INTERFACE)?;
    let (start, before) = (Clock.now(), lab.nodes.each_ref().map(transitions));
    let mut kinds = invalid::flood();
    if software == Software::Keepalived {
        // Of its own protocol.
        kinds = vec![("checksum", invalid::mis_summed_vrrp())];
    }
    for (_, frame) in kinds.iter().cycle().take(if bench.fast { 12 } else { 30 }) {
        let _ = link.send_frame(iface, frame);
        lab.client.pause(Duration::from_millis(909))?;
    }
    let after = lab.nodes.each_ref().map(transitions);
    let changes = vec![after[A] - before[A], after[B] - before[B]];
    bench.add("1.1 invalid packets a second: transitions", software, "", changes);
    let late = vec![latest(&lab, start)];
    bench.add(
        "1.1 invalid packets a second: latest advertisement",
        software,
        "ms",
        late,
    );
    Ok(())
}

/// Sends from the client's station, which hears nothing of it, while the client goes on.
fn send_beside(lab: &mut Lab, frames: &[Vec<u8>], rate: u32, time: Duration) -> Result<Sent, LabError> {
    let Lab { topology, client, .. } = lab;
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(topology.station(Lab::<2>::CLIENT), frames, rate, time));
        while !sender.is_finished() {
            client.pause(Duration::from_millis(20))?;
        }
        joined(sender)
    })
}

/// A flood.
struct Sent {
    packets: u32,
    /// In a second.
    offered: f64,
}

/// Sends frames in turn, the share of a millisecond at a time.
fn send(station: &Namespace, frames: &[Vec<u8>], rate: u32, time: Duration) -> Result<Sent, LabError> {
    let (mut link, iface) = raw(station, INTERFACE)?;
    // A network does not wait until a processor is free.
    set_realtime_priority(1).map_err(system("get a real-time priority"))?;
    let start = Clock.now();
    let mut frames = frames.iter().cycle();
    let mut sent = 0;
    loop {
        let elapsed = Duration::from(Clock.now() - start);
        let due = elapsed.min(time).as_micros() * u128::from(rate) / 1_000_000;
        while u128::from(sent) < due {
            if let Some(frame) = frames.next() {
                let _ = link.send_frame(iface, frame);
            }
            sent += 1;
        }
        if elapsed >= time {
            return Ok(Sent {
                packets: sent,
                offered: f64::from(sent) / elapsed.as_secs_f64(),
            });
        }
        thread::sleep(Duration::from_millis(1));
    }
}
