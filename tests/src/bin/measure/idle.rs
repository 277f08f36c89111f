//! What it costs when nothing happens.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use carp_benches::figure::Figure;
use carp_std::linux::Clock;
use carpd::lab::{Lab, LabError, Node, Plan, Setup, Software, TempDir};

use crate::bench::{A, B, Bench, PATIENCE, status, system, together};
use crate::usage::Usage;

const NETWORKS: u8 = 4;

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    let kinds = bench.software().into_iter().flat_map(|software| {
        let hosts: &[_] = match software {
            Software::Carpd | Software::Keepalived => &[1, 100, 1000],
            // It needs a process for each.
            Software::Ucarp => &[1],
        };
        hosts.iter().map(move |hosts| (software, *hosts))
    });
    // What a process takes does not depend on others, unless they are busy: first all of them start, then all are idle.
    let started = together(kinds, |(software, hosts)| start(bench, software, hosts))?;
    let found = together(started, |mut idle| idle.measure(bench))?;
    bench.add_all(found);
    Ok(())
}

/// Two nodes that have nothing to do.
struct Idle {
    software: Software,
    hosts: usize,
    lab: Lab,
    /// Of the executables.
    _files: TempDir,
}

fn start(bench: &Bench, software: Software, hosts: usize) -> Result<Idle, LabError> {
    // Each has an executable of its own: what two processes share counts half for each.
    let files = TempDir::new()?;
    let original = match software {
        // As it is installed: `measure` is a larger program.
        Software::Carpd => bench.carpd.with_file_name("carpd"),
        Software::Ucarp | Software::Keepalived => Path::new("/usr/sbin").join(software.to_string()),
    };
    let copy = |name: &str| {
        let path = files.path().join(name);
        let doing = format!("copy {} (cargo build --release -p carpd)", original.display());
        fs::copy(&original, &path).map_err(system(&doing))?;
        Ok::<_, LabError>(path)
    };
    let setup = |advskew, executable| Setup {
        more: more_hosts(software, hosts, advskew),
        executable: Some(executable),
        ..Setup::new(software, advskew)
    };
    let plan = Plan {
        networks: NETWORKS,
        ..Plan::default()
    };
    let setups = [setup(0, copy("a")?), setup(100, copy("b")?)];
    let mut lab = bench.pair(plan, setups)?;
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
    Ok(Idle {
        software,
        hosts,
        lab,
        _files: files,
    })
}

impl Idle {
    fn measure(&mut self, bench: &Bench) -> Result<Vec<Figure>, LabError> {
        let (lab, hosts) = (&mut self.lab, self.hosts);
        lab.client.pause(Duration::from_secs(3))?;
        let usage = |lab: &Lab| [A, B].map(|node| Usage::of(lab.nodes[node].process()));
        let (start, before) = (Clock.now(), usage(lab));
        lab.client
            .pause(Duration::from_secs(if bench.fast { 10 } else { 60 }))?;
        let (after, time) = (usage(lab), Clock.now() - start);
        let mut found = Vec::new();
        for (node, role) in [(A, "master"), (B, "backup")] {
            let plural = if hosts == 1 { "" } else { "s" };
            let (after, before) = (&after[node], &before[node]);
            #[expect(clippy::cast_precision_loss, reason = "far from 2^53")]
            let mb = |kib: u64| kib as f64 * 1024.0 / 1e6;
            let figures = [
                ("PSS", "MB", mb(after.pss_kib)),
                ("RSS", "MB", mb(after.rss_kib)),
                ("memory of its own", "MB", mb(after.anonymous_kib)),
                ("CPU a minute", "ms", after.cpu_percent(before, time) * 600.0),
                ("wake-ups a second", "", after.wakeups_per_second(before, time)),
            ];
            found.extend(figures.map(|(what, unit, value)| {
                let what = format!("idle, {hosts} virtual host{plural}, {role}: {what}");
                Figure::new(what, self.software, unit, vec![value])
            }));
        }
        Ok(found)
    }
}

/// carpd says so; the others are given time by whoever measures.
fn all_masters(bench: &Bench, node: &Node) -> Result<bool, LabError> {
    if node.setup().software != Software::Carpd {
        return Ok(true);
    }
    let status = status(&bench.carpd, node)?;
    let hosts = status["virtual_hosts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    Ok(hosts.iter().all(|host| host["state"] == "MASTER"))
}

/// All but the first one, over all networks.
fn more_hosts(software: Software, hosts: usize, advskew: u8) -> String {
    let mut text = String::new();
    let all = (1..=250_u8).flat_map(|vhid| (0..NETWORKS).map(move |network| (network, vhid)));
    let others = all.filter(|&place| place != (0, carpd::lab::VHID));
    for (network, vhid) in others.take(hosts - 1) {
        let address = format!("10.{network}.0.{vhid}/32");
        let _ = if software == Software::Keepalived {
            write!(
                text,
                "vrrp_instance more{network}.{vhid} {{\n state BACKUP\n interface eth{network}\n virtual_router_id \
                 {vhid}\n priority {}\n advert_int 1\n virtual_ipaddress {{\n {address} dev eth{network}\n }}\n}}\n",
                254 - advskew
            )
        } else {
            write!(
                text,
                "[[vhid]]\ninterface = \"eth{network}\"\nvhid = {vhid}\naddresses = [\"{address}\"]\npassword = \
                 \"x\"\nallow_off_subnet = true\nadvskew = {advskew}\npreempt = true\n"
            )
        };
    }
    text
}
