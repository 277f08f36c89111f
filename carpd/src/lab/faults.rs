//! The faults, one after the other, each followed by the return of the node that had it.

use std::time::Duration;

use carp_std::linux::Clock;

use super::measure::master_down;
use super::report::{Case, Event, Fault, Measurement, Party};
use super::{ADVSKEWS, Lab, LabError, tell};

/// For every takeover. UCarp looks at its link again only ten seconds after it was lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of node A when it is master. Faults are spread over it.
const INTERVAL: Duration = Duration::from_secs(1);

const A: usize = 0;
const B: usize = 1;

/// Causes every fault `runs` times. What has been measured when something goes wrong is kept.
pub(super) fn measure(lab: &mut Lab, runs: u32, measurements: &mut Vec<Measurement>) -> Result<(), LabError> {
    lab.start(A)?;
    lab.start(B)?;
    lab.client.settle(&lab.nodes[A], PATIENCE)?;
    for run in 0..runs {
        for fault in Fault::ALL {
            // In the first run right after an advertisement: the longest outage that this fault can cause.
            after_advertisement(lab, INTERVAL * run / runs)?;
            measurements.push(observe(lab, run, Event::Loss(fault), cause)?);
            measurements.push(observe(lab, run, Event::Return(fault), heal)?);
        }
    }
    Ok(())
}

fn after_advertisement(lab: &mut Lab, wait: Duration) -> Result<(), LabError> {
    let (now, master) = (Clock.now(), &lab.nodes[A]);
    lab.client.wait(PATIENCE, "an advertisement of A", |record| {
        record
            .since(now)
            .any(|advertisement| master.is_source(advertisement.source))
            .then_some(())
    })?;
    lab.client.pause(wait)
}

/// Makes something happen and measures what follows, until the new master is alone and the address answers.
fn observe(
    lab: &mut Lab,
    run: u32,
    event: Event,
    happen: fn(&mut Lab, Fault) -> Result<(), LabError>,
) -> Result<Measurement, LabError> {
    let (fault, from, to) = match event {
        Event::Loss(fault) => (fault, A, B),
        Event::Return(fault) => (fault, B, A),
    };
    let (old, new) = (from, to);
    let (from, to) = (party(lab, from), party(lab, to));
    tell(format_args!("{event}: {from} -> {to}"));

    let start = Clock.now();
    happen(lab, fault)?;
    let what = format!("{to} to take over");
    let succession = lab
        .client
        .succession([&lab.nodes[old], &lab.nodes[new]], &what, start, PATIENCE)?;
    lab.client.settle(&lab.nodes[new], PATIENCE)?;
    if event == Event::Loss(Fault::Stop) {
        lab.nodes[A].wait_for_end()?;
    }
    let lost = lab.client.record().lost_pings(start);
    let formula = master_down(1, ADVSKEWS[B]);
    Ok(Measurement::new(
        Case { run, event, from, to },
        formula,
        succession.first - start,
        succession,
        lost,
    ))
}

fn cause(lab: &mut Lab, fault: Fault) -> Result<(), LabError> {
    match fault {
        Fault::Crash => {
            // The port first: what the node sends before it dies is heard by nobody.
            lab.topology.block(1)?;
            lab.nodes[A].kill();
            Ok(())
        }
        Fault::Stop => {
            lab.nodes[A].terminate();
            Ok(())
        }
        Fault::Pull => lab.topology.unplug(0, 1),
    }
}

fn heal(lab: &mut Lab, fault: Fault) -> Result<(), LabError> {
    match fault {
        Fault::Crash => {
            lab.start(A)?; // this takes the address off, as a reboot does: no moment before may it be heard
            lab.topology.unblock(1)
        }
        Fault::Stop => lab.start(A),
        Fault::Pull => lab.topology.plug(0, 1),
    }
}

fn party(lab: &Lab, node: usize) -> Party {
    Party {
        node: ['A', 'B'][node],
        software: lab.nodes[node].setup().software,
    }
}
