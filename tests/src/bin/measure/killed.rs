//! SIGKILL at random moments: the guard takes the addresses off, the other node takes over, a restart finds a clean
//! house.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use carp_fsm::Instant;
use carp_std::linux::{Clock, random_seed};
use carpd::lab::measure::master_down;
use carpd::lab::topology::Namespace;
use carpd::lab::{Lab, LabError, Plan, Setup, Software, VIP};
use nix::ifaddrs::getifaddrs;

use crate::bench::{A, B, Bench, MODES, PATIENCE, millis, system, together};

/// As many pairs at a time, all in one mode. More would wait for the lock that the kernel has for all interfaces.
const PAIRS: usize = 5;

/// What happened after one SIGKILL.
#[derive(Clone)]
struct Killed {
    /// When the address was gone from the dead node, in milliseconds.
    gone: f64,
    /// Detection less formula, in milliseconds.
    late: f64,
    /// Whether the dead node still had the address when the other one took over.
    double: bool,
    /// Whether a restart found it.
    found: bool,
}

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    let times = bench.times(20, 200).div_ceil(PAIRS * MODES.len());
    for mode in MODES {
        let killed = together(0..PAIRS, |_| pair(bench, mode, times))?.concat();
        let whom = format!("carpd {mode}");
        let list = |f: fn(&Killed) -> f64| killed.iter().map(f).collect::<Vec<_>>();
        bench.add("SIGKILL: addresses gone after", &whom, "ms", list(|k| k.gone));
        bench.add("SIGKILL: take-over less formula", &whom, "ms", list(|k| k.late));
        let double = list(|k| f64::from(u8::from(k.double)));
        bench.add("SIGKILL: two owners after the take-over", &whom, "", double);
        let found = list(|k| f64::from(u8::from(k.found)));
        bench.add("SIGKILL: a restart finds the address", &whom, "", found);
    }
    thousand(bench)
}

fn pair(bench: &Bench, mode: &str, times: usize) -> Result<Vec<Killed>, LabError> {
    let setups = [0, 100].map(|advskew| Setup::new(Software::Carpd, advskew).with_mode(mode));
    let mut lab = bench.pair(Plan::default(), setups)?;
    (0..times).map(|_| kill(&mut lab)).collect()
}

fn kill(lab: &mut Lab) -> Result<Killed, LabError> {
    let random = random_seed().map_err(system("get random bits"))?;
    lab.client.pause(Duration::from_micros(random % 1_000_000))?;
    let start = Clock.now();
    lab.nodes[A].kill();
    let gone = gone_after(lab.topology.station(1), start)?;
    let [a, b] = &lab.nodes;
    let succession = lab.client.succession([a, b], "B to take over", start, PATIENCE)?;
    let double = lab.nodes[A].has_address(&lab.topology)?;
    lab.client.settle(&lab.nodes[B], PATIENCE)?;
    lab.nodes[A].resume(&lab.topology)?;
    lab.client.pause(Duration::from_millis(200))?;
    let found = lab.nodes[A].has_address(&lab.topology)?;
    lab.client.settle(&lab.nodes[A], PATIENCE)?;
    let formula = millis(master_down(1, 100).as_micros());
    Ok(Killed {
        gone,
        late: millis((succession.first - succession.last).as_micros()) - formula,
        double,
        found,
    })
}

/// With as many addresses as a large router has.
fn thousand(bench: &mut Bench) -> Result<(), LabError> {
    let mut gone = Vec::new();
    for _ in 0..bench.times(1, 10) {
        let mut setup = Setup::new(Software::Carpd, 0);
        for vhid in 10..50 {
            let addresses: Vec<_> = (1..=25).map(|n| format!("\"198.51.{vhid}.{n}/24\"")).collect();
            let _ = writeln!(
                setup.more,
                "[[vhid]]\ninterface = \"eth0\"\nvhid = {vhid}\npassword = \"x\"\nallow_off_subnet = true\naddresses = [{}]",
                addresses.join(", ")
            );
        }
        let mut lab = bench.lab(Plan::default(), [setup])?;
        lab.start(A)?;
        let station = lab.topology.station(1);
        let end = Clock.now() + PATIENCE.into();
        while station.enter(virtual_addresses)?? < 1001 {
            if Clock.now() > end {
                return Err(LabError::NeverHappened {
                    what: "a master of 1001 addresses".to_owned(),
                    patience: PATIENCE,
                });
            }
            lab.client.pause(Duration::from_millis(100))?;
        }
        let killed = Clock.now();
        lab.nodes[A].kill();
        gone.push(gone_after(lab.topology.station(1), killed)?);
    }
    bench.add("SIGKILL: 1001 addresses gone after", "carpd", "ms", gone);
    Ok(())
}

/// The time until no virtual address is left, in milliseconds.
fn gone_after(station: &Namespace, killed: Instant) -> Result<f64, LabError> {
    station.enter(|| {
        while virtual_addresses()? > 0 {
            if Clock.now() > killed + PATIENCE.into() {
                return Err(LabError::NeverHappened {
                    what: "the guard to take the addresses off".to_owned(),
                    patience: PATIENCE,
                });
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(millis((Clock.now() - killed).as_micros()))
    })?
}

/// How many virtual addresses are in this thread's namespace.
fn virtual_addresses() -> Result<usize, LabError> {
    let all = getifaddrs().map_err(|error| system("list addresses")(error.into()))?;
    let is_virtual = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4 == VIP || v4.octets()[..2] == [198, 51],
        IpAddr::V6(_) => false,
    };
    let address = |shown: nix::ifaddrs::InterfaceAddress| {
        let v4 = *shown.address?.as_sockaddr_in()?;
        Some(IpAddr::from(v4.ip()))
    };
    Ok(all
        .filter_map(address)
        .filter(|&address| is_virtual(address))
        .count())
}
