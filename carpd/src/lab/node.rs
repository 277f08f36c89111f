use std::fmt::{self, Write as _};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use carp_std::linux::Clock;
use rustix::process::Signal;
use serde::Serialize;

use super::process::{Process, TempDir};
use super::topology::{INTERFACE, PREFIX_LEN, Topology};
use super::{LabError, VHID, VIP};
use crate::control;
use crate::status::Status;

/// How long a node may take to end in good order.
const LAST_WORDS: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(10);
/// Of keepalived, which does not start as long as a process has the number that is in one.
const PID_FILES: [&str; 2] = ["parent", "vrrp"];

/// What runs on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Software {
    /// This project's daemon.
    Carpd,
    /// UCarp, as packaged by Debian.
    Ucarp,
    /// keepalived, as packaged by Debian, which speaks VRRP.
    Keepalived,
}

/// How a node is configured. It has one virtual host; carpd can have more.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What runs on it.
    pub software: Software,
    /// Its advskew; its advbase is 1. For keepalived: 254 less its priority.
    pub advskew: u8,
    /// Whether it takes over from a slower master.
    pub preempt: bool,
    /// The password, 1 to 19 printable characters.
    pub password: String,
    /// The interface of the virtual host.
    pub interface: String,
    /// The virtual addresses, each with its prefix length. UCarp has the first one only.
    pub addresses: Vec<String>,
    /// Milliseconds between advertisements, instead of a second: carpd's fast profile, where `advskew` is the place
    /// (0, 1, ..); keepalived's `advert_int`. UCarp has nothing like it.
    pub interval: Option<u16>,
    /// The dead ratio of the fast profile.
    pub dead_ratio: u8,
    /// Lines for the top of carpd's configuration file.
    pub top: String,
    /// Lines for its virtual host; tables may follow. For keepalived: more blocks.
    pub more: String,
    /// Another executable of its software than the lab's, or the installed one.
    pub executable: Option<PathBuf>,
}

impl Setup {
    /// A node that preempts, with the address and the password of the lab.
    pub fn new(software: Software, advskew: u8) -> Self {
        Self {
            software,
            advskew,
            preempt: true,
            password: "carpd lab".to_owned(),
            interface: INTERFACE.to_owned(),
            addresses: vec![format!("{VIP}/{PREFIX_LEN}")],
            interval: None,
            dead_ratio: 3,
            top: String::new(),
            more: String::new(),
            executable: None,
        }
    }

    /// The same with another `mode` of carpd's virtual host; none if empty.
    #[must_use]
    pub fn with_mode(mut self, mode: &str) -> Self {
        if !mode.is_empty() {
            self.more = format!("mode = \"{mode}\"\n{}", self.more);
        }
        self
    }

    /// The first virtual address.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn vip(&self) -> &str {
        let (address, _) = self.addresses[0].split_once('/').unwrap_or_default();
        address
    }
}

/// One of the machines that share the address.
#[derive(Debug)]
pub struct Node {
    station: u8,
    setup: Setup,
    executable: PathBuf,
    files: PathBuf,
    /// The configuration; for UCarp the password.
    config: PathBuf,
    process: Option<Process>,
    starts: u32,
}

impl Node {
    /// A node that does not run yet, on the station of this number. `carpd` is the executable of carpd.
    pub fn new(carpd: &Path, station: u8, setup: Setup, dir: &TempDir) -> Result<Self, LabError> {
        let config = match setup.software {
            Software::Carpd => dir.write(
                &format!("node{station}.toml"),
                &carpd_config(dir.path(), station, &setup),
            )?,
            Software::Ucarp => {
                for (name, verb) in [("up", "add"), ("down", "del")] {
                    let script =
                        format!("#!/bin/sh\nexec ip address {verb} \"$2/{PREFIX_LEN}\" dev \"$1\"\n");
                    dir.write_script(&format!("node{station}-{name}"), &script)?;
                }
                dir.write(&format!("node{station}.password"), &setup.password)?
            }
            Software::Keepalived => dir.write(&format!("node{station}.conf"), &keepalived_config(&setup))?,
        };
        let executable = setup.executable.clone().unwrap_or_else(|| match setup.software {
            Software::Carpd => carpd.to_owned(),
            software => software.to_string().into(),
        });
        Ok(Self {
            station,
            setup,
            executable,
            files: dir.path().to_owned(),
            config,
            process: None,
            starts: 0,
        })
    }

    /// The number of its station.
    pub fn station(&self) -> u8 {
        self.station
    }

    /// Its own address on the first network.
    pub fn address(&self) -> Ipv4Addr {
        Topology::address(0, self.station)
    }

    /// Whether an advertisement with this source is its own.
    pub fn is_source(&self, source: IpAddr) -> bool {
        match source {
            IpAddr::V4(address) => address.octets()[3] == self.station,
            IpAddr::V6(address) => address.octets()[15] == self.station,
        }
    }

    /// How it is configured.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Changes the configuration of carpd, which will read it when it is told to.
    pub fn configure(&mut self, setup: Setup) -> Result<(), LabError> {
        let text = carpd_config(&self.files, self.station, &setup);
        let doing = format!("write {}", self.config.display());
        fs::write(&self.config, text).map_err(LabError::system(doing))?;
        self.setup = setup;
        Ok(())
    }

    /// Starts its daemon, as on a machine that has just been booted: without what the one before may have left.
    pub fn start(&mut self, topology: &Topology) -> Result<(), LabError> {
        let namespace = topology.station(self.station);
        for address in &self.setup.addresses {
            let (address, _) = address.split_once('/').unwrap_or_default();
            namespace.ip(&format!("address flush to {address}"))?;
        }
        for of in PID_FILES {
            // It may have taken it away itself.
            let _ = fs::remove_file(self.pid_file(of));
        }
        self.resume(topology)
    }

    /// Starts its daemon as on a machine on which it has died a moment ago.
    pub fn resume(&mut self, topology: &Topology) -> Result<(), LabError> {
        let namespace = topology.station(self.station);
        let mut command = namespace.command(&self.executable);
        match self.setup.software {
            Software::Carpd => {
                command.arg("run").arg("--config").arg(&self.config);
            }
            Software::Ucarp => self.ucarp_options(&mut command),
            Software::Keepalived => self.keepalived_options(&mut command),
        }
        self.starts += 1;
        let log = self
            .files
            .join(format!("node{}-{}.log", self.station, self.starts));
        self.process = Some(Process::start(&self.to_string(), &mut command, log)?);
        Ok(())
    }

    /// Kills its daemon. The address stays on the machine if it was there, unless something else takes it off.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks its daemon to end.
    pub fn terminate(&mut self) {
        if let Some(process) = &mut self.process {
            process.signal(Signal::TERM);
        }
    }

    /// Waits until the daemon, which was asked to, has ended, and fails if it calls that a failure.
    pub fn wait_for_end(&mut self) -> Result<(), LabError> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        let end = Clock.now() + LAST_WORDS.into();
        loop {
            match process.try_wait() {
                Some(status) if status.success() => return Ok(()),
                Some(_) => return Err(process.ended()),
                None if Clock.now() < end => std::thread::sleep(TICK),
                None => {
                    return Err(LabError::NeverHappened {
                        what: format!("the end of {self}"),
                        patience: LAST_WORDS,
                    });
                }
            }
        }
    }

    /// Whether it was started, and neither killed nor seen to end.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// What its daemon has written since it was started; nothing if none runs.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// The process of its daemon.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Whether the first virtual address is on the machine.
    pub fn has_address(&self, topology: &Topology) -> Result<bool, LabError> {
        let shown = topology
            .station(self.station)
            .ip(&format!("-o address show to {}", self.setup.vip()))?;
        Ok(!shown.is_empty())
    }

    /// What carpd says about itself.
    ///
    /// # Errors
    ///
    /// If it does not answer, or the node runs something else.
    pub fn status(&self) -> Result<Status, control::AskError> {
        control::ask_status(&self.socket())
    }

    /// The control socket of its carpd.
    pub fn socket(&self) -> PathBuf {
        socket(&self.files, self.station)
    }

    fn ucarp_options(&self, command: &mut Command) {
        let script = |name: &str| self.files.join(format!("node{}-{name}", self.station));
        command
            .args([
                "--interface",
                &self.setup.interface,
                "--srcip",
                &self.address().to_string(),
            ])
            .args(["--vhid", &VHID.to_string(), "--addr", self.setup.vip()])
            .args(["--advbase", "1", "--advskew", &self.setup.advskew.to_string()])
            .arg("--passfile")
            .arg(&self.config)
            .arg("--upscript")
            .arg(script("up"))
            .arg("--downscript")
            .arg(script("down"))
            .arg("--shutdown"); // take the address off at the end
        if self.setup.preempt {
            command.arg("--preempt");
        }
    }

    fn pid_file(&self, of: &str) -> PathBuf {
        self.files.join(format!("node{}-{of}.pid", self.station))
    }

    fn keepalived_options(&self, command: &mut Command) {
        let [parent, vrrp] = PID_FILES.map(|of| self.pid_file(of));
        command
            .args([
                "--vrrp",
                "--dont-fork",
                "--log-console",
                "--no-syslog",
                "--log-detail",
            ])
            .args(["--dont-respawn", "--use-file"])
            .arg(&self.config)
            .arg("--pid")
            .arg(parent)
            .arg("--vrrp_pid")
            .arg(vrrp);
    }
}

/// `A carpd`.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = char::from(b'@'.saturating_add(self.station));
        write!(f, "{letter} {}", self.setup.software)
    }
}

impl fmt::Display for Software {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Carpd => "carpd",
            Self::Ucarp => "ucarp",
            Self::Keepalived => "keepalived",
        })
    }
}

fn socket(dir: &Path, station: u8) -> PathBuf {
    dir.join(format!("node{station}.sock"))
}

fn carpd_config(files: &Path, station: u8, setup: &Setup) -> String {
    let Setup {
        advskew,
        preempt,
        interface,
        interval,
        dead_ratio,
        top,
        more,
        ..
    } = setup;
    let pace = match interval {
        None => "advbase = 1".to_owned(),
        Some(interval) => format!("fast = {{ interval = {interval}, dead_ratio = {dead_ratio} }}"),
    };
    let path = |path: PathBuf| toml::Value::from(&*path.to_string_lossy());
    let socket = path(socket(files, station));
    let state = path(files.join(format!("node{station}-state")));
    let password = toml::Value::from(setup.password.as_str());
    let addresses = toml::Value::from(setup.addresses.clone());
    format!(
        "control_socket = {socket}\n\
         state_directory = {state}\n\
         {top}\n\
         [[vhid]]\n\
         interface = \"{interface}\"\n\
         vhid = {VHID}\n\
         addresses = {addresses}\n\
         password = {password}\n\
         {pace}\n\
         advskew = {advskew}\n\
         preempt = {preempt}\n\
         {more}\n"
    )
}

fn keepalived_config(setup: &Setup) -> String {
    let Setup {
        advskew,
        preempt,
        interface,
        addresses,
        interval,
        more,
        ..
    } = setup;
    let seconds = f64::from(interval.unwrap_or(1000)) / 1000.0;
    let mut list = String::new();
    for address in addresses {
        let _ = writeln!(list, "        {address} dev {interface}");
    }
    let nopreempt = if *preempt { "" } else { "    nopreempt\n" };
    format!(
        "global_defs {{\n    vrrp_version 3\n}}\n\
         vrrp_instance lab {{\n    state BACKUP\n    interface {interface}\n    virtual_router_id {VHID}\n    \
         priority {}\n    advert_int {seconds}\n{nopreempt}    virtual_ipaddress {{\n{list}    }}\n}}\n{more}",
        254 - advskew
    )
}
