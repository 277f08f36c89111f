//! Faults at random, and changes of a living pair. Whatever it was: afterwards there is one owner, and nothing demotes.

use std::thread;
use std::time::Duration;

use carp_std::linux::random_seed;
use carpd::lab::topology::{INTERFACE, PREFIX_LEN};
use carpd::lab::{Lab, LabError, Plan, Setup, Software, VHID, VIP};

use crate::bench::{A, B, Bench, MODES, PATIENCE, command, joined, status, system, transitions};

/// Faults between two quiet periods.
const BURST: usize = 50;

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    // Beside each other: most of the time both wait.
    let shared = &*bench;
    let results = thread::scope(|scope| {
        MODES
            .map(|mode| scope.spawn(move || faults(shared, mode)))
            .map(joined)
    });
    for (mode, result) in MODES.into_iter().zip(results) {
        let Quiet { wrong, demoted } = result?;
        let (what, whom) = (
            format!("{BURST} faults at random, then quiet"),
            format!("carpd {mode}"),
        );
        bench.add(format_args!("{what}: not exactly one owner"), &whom, "", wrong);
        bench.add(format_args!("{what}: demotion"), &whom, "", demoted);
    }
    for mode in MODES {
        reloads(bench, mode)?;
        another_address(bench, mode)?;
    }
    Ok(())
}

fn pair(bench: &Bench, mode: &str) -> Result<Lab, LabError> {
    let setups = [0, 100].map(|advskew| Setup::new(Software::Carpd, advskew).with_mode(mode));
    bench.pair(Plan::default(), setups)
}

/// What was found after each burst of faults.
struct Quiet {
    wrong: Vec<f64>,
    demoted: Vec<f64>,
}

/// Links, daemons and addresses that come and go.
fn faults(bench: &Bench, mode: &str) -> Result<Quiet, LabError> {
    let mut lab = pair(bench, mode)?;
    let seed = random_seed().map_err(system("get random bits"))?;
    println!("{mode}: the seed of the faults is {seed:#x}");
    let mut random = Random(seed);
    let (mut wrong, mut demoted) = (Vec::new(), Vec::new());
    for _ in 0..bench.times(500, 10_000).div_ceil(BURST) {
        for _ in 0..BURST {
            fault(&mut lab, &mut random)?;
        }
        lab.client.settle(&lab.nodes[A], PATIENCE)?;
        let owners = [
            lab.nodes[A].has_address(&lab.topology)?,
            lab.nodes[B].has_address(&lab.topology)?,
        ];
        let mut states = Vec::new();
        for node in &lab.nodes {
            let status = status(&bench.carpd, node)?;
            states.push(status["virtual_hosts"][0]["state"].clone());
            demoted.push(status["demotion"]["total"].as_f64().unwrap_or(f64::NAN));
        }
        let right = owners == [true, false] && states == ["MASTER", "BACKUP"];
        if !right {
            println!("{mode}: {owners:?} {states:?}");
        }
        wrong.push(f64::from(u8::from(!right)));
    }
    Ok(Quiet { wrong, demoted })
}

fn fault(lab: &mut Lab, random: &mut Random) -> Result<(), LabError> {
    let node = usize::from(random.below(2) == 1);
    let station = lab.nodes[node].station();
    match random.below(3) {
        0 => {
            lab.topology.unplug(0, station)?;
            lab.client.pause(Duration::from_millis(random.below(20)))?;
            lab.topology.plug(0, station)?;
        }
        1 => {
            lab.nodes[node].kill();
            lab.client.pause(Duration::from_millis(random.below(20)))?;
            lab.nodes[node].resume(&lab.topology)?;
        }
        _ => {
            // Where it is not, nothing is taken off: on one of the two in each mode.
            for interface in [INTERFACE, &format!("carp{VHID}-{INTERFACE}")] {
                let delete = format!("address del {VIP}/{PREFIX_LEN} dev {interface}");
                let _ = lab.topology.station(station).ip(&delete);
            }
        }
    }
    lab.client.pause(Duration::from_millis(random.below(50)))
}

fn reloads(bench: &mut Bench, mode: &str) -> Result<(), LabError> {
    let mut lab = pair(bench, mode)?;
    let whom = format!("carpd {mode}");
    let before = lab.nodes.each_ref().map(transitions);
    let mut refused = 0.0;
    for time in 0..bench.times(200, 1000) {
        let node = &mut lab.nodes[time % 2];
        let mut setup = node.setup().clone();
        setup.more = format!("description = \"version {time}\"");
        node.configure(setup.with_mode(mode))?;
        let (done, message) = command(&bench.carpd, node, &["reload"])?;
        if !done {
            println!("{message}");
            refused += 1.0;
        }
    }
    lab.client.settle(&lab.nodes[A], PATIENCE)?;
    let after = lab.nodes.each_ref().map(transitions);
    let count = bench.times(200, 1000);
    bench.add(
        format_args!("{count} reloads: transitions"),
        &whom,
        "",
        vec![after[A] - before[A], after[B] - before[B]],
    );
    bench.add(format_args!("{count} reloads: refused"), &whom, "", vec![refused]);
    Ok(())
}

/// A virtual address is added to one node and then to the other, and removed in the same way.
fn another_address(bench: &mut Bench, mode: &str) -> Result<(), LabError> {
    let mut lab = pair(bench, mode)?;
    let before = lab.nodes.each_ref().map(transitions);
    let apart = Duration::from_secs(if bench.fast { 5 } else { 10 });
    for addresses in [2, 1] {
        for node in [B, A] {
            let mut setup = lab.nodes[node].setup().clone();
            setup.addresses.truncate(1);
            if addresses == 2 {
                setup.addresses.push(format!("192.0.2.11/{PREFIX_LEN}"));
            }
            lab.nodes[node].configure(setup)?;
            let (done, message) = command(&bench.carpd, &lab.nodes[node], &["reload"])?;
            if !done {
                return Err(LabError::Command {
                    command: "carpd reload".to_owned(),
                    message,
                });
            }
            lab.client.pause(apart)?;
        }
    }
    lab.client.settle(&lab.nodes[A], PATIENCE)?;
    let after = lab.nodes.each_ref().map(transitions);
    bench.add(
        format_args!(
            "address added and removed on a living pair, {} s apart: transitions",
            apart.as_secs()
        ),
        format_args!("carpd {mode}"),
        "",
        vec![after[A] - before[A], after[B] - before[B]],
    );
    Ok(())
}

/// xorshift64: good enough to choose faults.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
