use std::fmt;
use std::net::Ipv4Addr;
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

/// What runs on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Software {
    /// This project's daemon.
    Carpd,
    /// UCarp, as packaged by Debian.
    Ucarp,
}

/// How a node is configured.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What runs on it.
    pub software: Software,
    /// Its advskew; its advbase is 1.
    pub advskew: u8,
    /// Whether it takes over from a slower master.
    pub preempt: bool,
    /// The password, 1 to 19 printable characters.
    pub password: String,
}

impl Setup {
    /// A node that preempts, with the password of the lab.
    pub fn new(software: Software, advskew: u8) -> Self {
        Self {
            software,
            advskew,
            preempt: true,
            password: "carpd lab".to_owned(),
        }
    }
}

/// One of the machines that share the address.
#[derive(Debug)]
pub struct Node {
    station: u8,
    setup: Setup,
    carpd: PathBuf,
    files: PathBuf,
    /// The configuration, or for UCarp the password.
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
                &config(&socket(dir.path(), station), &setup),
            )?,
            Software::Ucarp => {
                for (name, verb) in [("up", "add"), ("down", "del")] {
                    let script =
                        format!("#!/bin/sh\nexec ip address {verb} \"$2/{PREFIX_LEN}\" dev \"$1\"\n");
                    dir.write(&format!("node{station}-{name}"), &script)?;
                }
                dir.write(&format!("node{station}.password"), &setup.password)?
            }
        };
        Ok(Self {
            station,
            setup,
            carpd: carpd.to_owned(),
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

    /// Its own address.
    pub fn address(&self) -> Ipv4Addr {
        Topology::address(self.station)
    }

    /// How it is configured.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Starts its daemon, as on a machine that has just been booted: without what the one before may have left.
    pub fn start(&mut self, topology: &Topology) -> Result<(), LabError> {
        let namespace = topology.station(self.station);
        namespace.ip(&format!("address flush dev {INTERFACE} to {VIP}/32"))?;
        let mut command = match self.setup.software {
            Software::Carpd => {
                let mut command = namespace.command(&self.carpd);
                command.arg("run").arg("--config").arg(&self.config);
                command
            }
            Software::Ucarp => {
                let mut command = namespace.command("ucarp");
                self.ucarp_options(&mut command);
                command
            }
        };
        self.starts += 1;
        let log = self
            .files
            .join(format!("node{}-{}.log", self.station, self.starts));
        self.process = Some(Process::start(&self.to_string(), &mut command, log)?);
        Ok(())
    }

    /// Kills its daemon. The address stays on the machine if it was there.
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

    /// Whether the virtual address is on its interface.
    pub fn has_address(&self, topology: &Topology) -> Result<bool, LabError> {
        let shown = topology
            .station(self.station)
            .ip(&format!("-o address show dev {INTERFACE} to {VIP}/32"))?;
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
            .args(["--interface", INTERFACE, "--srcip", &self.address().to_string()])
            .args(["--vhid", &VHID.to_string(), "--addr", &VIP.to_string()])
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
        })
    }
}

fn socket(dir: &Path, station: u8) -> PathBuf {
    dir.join(format!("node{station}.sock"))
}

fn config(socket: &Path, setup: &Setup) -> String {
    let Setup {
        advskew,
        preempt,
        password,
        ..
    } = setup;
    let (socket, password) = (
        toml::Value::from(&*socket.to_string_lossy()),
        toml::Value::from(password.as_str()),
    );
    format!(
        "control_socket = {socket}\n\
         [[vhid]]\n\
         interface = \"{INTERFACE}\"\n\
         vhid = {VHID}\n\
         addresses = [\"{VIP}/{PREFIX_LEN}\"]\n\
         password = {password}\n\
         advbase = 1\n\
         advskew = {advskew}\n\
         preempt = {preempt}\n"
    )
}
