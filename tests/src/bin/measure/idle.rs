//! What it costs when nothing happens.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use carp_std::linux::Clock;
use carpd::lab::{LabError, Plan, Setup, Software, TempDir};

use crate::bench::{A, B, Bench, PATIENCE, status, system};
use crate::usage::Usage;

const NETWORKS: u8 = 4;

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    if bench.ours() {
        for hosts in [1, 100, 1000] {
            idle(bench, Software::Carpd, hosts)?;
        }
    }
    for software in bench.others() {
        idle(bench, software, 1)?;
    }
    Ok(())
}

fn idle(bench: &mut Bench, software: Software, hosts: usize) -> Result<(), LabError> {
    // Each has an executable of its own: what two processes share counts half for each.
    let files = TempDir::new()?;
    let copy = |name: &str| {
        let path = files.path().join(name);
        fs::copy(&bench.carpd, &path).map_err(system("copy the executable"))?;
        Ok::<_, LabError>(path)
    };
    let setup = |advskew, executable| Setup {
        more: more_hosts(hosts, advskew),
        executable: Some(executable),
        ..Setup::new(software, advskew)
    };
    let plan = Plan {
        networks: NETWORKS,
        ..Plan::default()
    };
    let setups = [setup(0, copy("a")?), setup(100, copy("b")?)];
    let mut lab = bench.pair(plan, setups)?;
    if software == Software::Carpd {
        let end = Clock.now() + PATIENCE.into();
        while !all_masters(bench, &lab.nodes[A])? {
            lab.client.pause(Duration::from_millis(200))?;
            if Clock.now() > end {
                return Err(LabError::NeverHappened {
                    what: format!("{hosts} masters"),
                    patience: PATIENCE,
                });
            }
        }
    }
    lab.client.pause(Duration::from_secs(3))?;
    let usage = |node: usize| Usage::of(lab.nodes[node].process());
    let (start, before) = (Clock.now(), [usage(A), usage(B)]);
    lab.client
        .pause(Duration::from_secs(if bench.fast { 10 } else { 60 }))?;
    let usage = |node: usize| Usage::of(lab.nodes[node].process());
    let (after, time) = ([usage(A), usage(B)], Clock.now() - start);
    for (node, role) in [(A, "master"), (B, "backup")] {
        let plural = if hosts == 1 { "" } else { "s" };
        let what = format!("idle, {hosts} virtual host{plural}, {role}");
        #[expect(clippy::cast_precision_loss, reason = "far from 2^53")]
        let mb = |kib: u64| vec![kib as f64 * 1024.0 / 1e6];
        bench.add(
            format_args!("{what}: PSS"),
            software,
            "MB",
            mb(after[node].pss_kib),
        );
        bench.add(
            format_args!("{what}: memory of its own"),
            software,
            "MB",
            mb(after[node].anonymous_kib),
        );
        let per_minute = after[node].cpu_percent(&before[node], time) * 600.0;
        bench.add(
            format_args!("{what}: CPU a minute"),
            software,
            "ms",
            vec![per_minute],
        );
        let wakeups = after[node].wakeups_per_second(&before[node], time);
        bench.add(
            format_args!("{what}: wake-ups a second"),
            software,
            "",
            vec![wakeups],
        );
    }
    Ok(())
}

fn all_masters(bench: &Bench, node: &carpd::lab::Node) -> Result<bool, LabError> {
    let status = status(&bench.carpd, node)?;
    let hosts = status["virtual_hosts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    Ok(hosts.iter().all(|host| host["state"] == "MASTER"))
}

/// All but the first one, over all networks.
fn more_hosts(hosts: usize, advskew: u8) -> String {
    let mut text = String::new();
    let all = (1..=250_u8).flat_map(|vhid| (0..NETWORKS).map(move |network| (network, vhid)));
    let others = all.filter(|&place| place != (0, carpd::lab::VHID));
    for (network, vhid) in others.take(hosts - 1) {
        let _ = write!(
            text,
            "[[vhid]]\ninterface = \"eth{network}\"\nvhid = {vhid}\naddresses = [\"10.{network}.0.{vhid}/32\"]\npassword \
             = \"x\"\nallow_off_subnet = true\nadvskew = {advskew}\npreempt = true\n"
        );
    }
    text
}
