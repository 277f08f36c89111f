//! Faults at random, and changes of a living pair. Whatever it was: afterwards there is one owner, and nothing demotes.

use std::iter;
use std::time::Duration;

use carp_benches::figure::Figure;
use carp_std::linux::random_seed;
use carpd::lab::topology::{INTERFACE, PREFIX_LEN};
use carpd::lab::{Lab, LabError, Plan, Setup, Software, VHID, VIP};

use crate::bench::{A, B, Bench, MODES, PATIENCE, command, status, system, together, transitions};

/// Faults between two quiet periods.
const BURST: usize = 50;
/// As many pairs in each mode have faults at the same time.
const PAIRS: usize = 4;

/// What is done to a pair in a mode, and what is found.
type Job = fn(&Bench, &str) -> Result<Vec<Figure>, LabError>;

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    let others: [Job; 2] = [reloads, another_address];
    let jobs = iter::repeat_n(faults as Job, PAIRS).chain(others);
    let jobs = jobs.flat_map(|job| MODES.map(|mode| (job, mode)));
    let found = together(jobs, |(job, mode)| job(bench, mode))?;
    bench.add_all(found);
    Ok(())
}

fn pair(bench: &Bench, mode: &str) -> Result<Lab, LabError> {
    let setups = [0, 100].map(|advskew| Setup::new(Software::Carpd, advskew).with_mode(mode));
    bench.pair(Plan::default(), setups)
}

/// Links, daemons and addresses that come and go.
fn faults(bench: &Bench, mode: &str) -> Result<Vec<Figure>, LabError> {
    let mut lab = pair(bench, mode)?;
    let seed = random_seed().map_err(system("get random bits"))?;
    println!("{mode}: the seed of the faults is {seed:#x}");
    let mut random = Random(seed);
    let (mut wrong, mut demoted) = (Vec::new(), Vec::new());
    for _ in 0..bench.times(500, 10_000).div_ceil(BURST * PAIRS) {
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
    let what = format!("{BURST} faults at random, then quiet");
    Ok(vec![
        Figure::new(
            format_args!("{what}: not exactly one owner"),
            format_args!("carpd {mode}"),
            "",
            wrong,
        ),
        Figure::new(
            format_args!("{what}: demotion"),
            format_args!("carpd {mode}"),
            "",
            demoted,
        ),
    ])
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

fn reloads(bench: &Bench, mode: &str) -> Result<Vec<Figure>, LabError> {
    let mut lab = pair(bench, mode)?;
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
    let transitions = vec![after[A] - before[A], after[B] - before[B]];
    Ok(vec![
        Figure::new(
            format_args!("{count} reloads: transitions"),
            format_args!("carpd {mode}"),
            "",
            transitions,
        ),
        Figure::new(
            format_args!("{count} reloads: refused"),
            format_args!("carpd {mode}"),
            "",
            vec![refused],
        ),
    ])
}

/// A virtual address is added to one node and then to the other, and removed in the same way.
fn another_address(bench: &Bench, mode: &str) -> Result<Vec<Figure>, LabError> {
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
    let what = format!(
        "address added and removed on a living pair, {} s apart: transitions",
        apart.as_secs()
    );
    let transitions = vec![after[A] - before[A], after[B] - before[B]];
    Ok(vec![Figure::new(
        what,
        format_args!("carpd {mode}"),
        "",
        transitions,
    )])
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
