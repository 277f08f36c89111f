//! Network namespaces joined to one switch, which remove themselves.
//!
//! ```text
//!      node 1            node 2            client
//!   eth0 192.0.2.1    eth0 192.0.2.2    eth0 192.0.2.3
//!         |                 |                 |
//!        p1                p2                p3
//!         +------- br0 in the switch ---------+
//! ```
//!
//! Nothing is made in the namespace of the caller, so that removing the namespaces removes everything.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{LabError, tell};

/// The interface of every station, in its own namespace.
pub const INTERFACE: &str = "eth0";
/// The length of the network's prefix.
pub const PREFIX_LEN: u8 = 24;

/// A switch and the stations on it.
#[derive(Debug)]
pub struct Topology {
    stations: Vec<Namespace>,
    switch: Namespace,
}

/// A network namespace. Dropping it deletes it with everything in it; processes in it must have ended.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Topology {
    /// Builds the switch and `stations` stations, numbered from 1: station `n` has the address 192.0.2.`n`.
    ///
    /// The switch knows neither spanning tree nor IGMP snooping, and IPv6 is off: nothing is on the wire that was
    /// not sent on purpose.
    pub fn new(stations: u8) -> Result<Self, LabError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |part: &str| format!("carplab-{}-{number}-{part}", std::process::id());
        let mut topology = Self {
            switch: Namespace::new(name("switch"))?,
            stations: Vec::new(),
        };
        topology.switch.prepare()?;
        topology
            .switch
            .ip("link add br0 type bridge stp_state 0 mcast_snooping 0")?;
        topology.switch.ip("link set br0 up")?;
        for n in 1..=stations {
            let station = Namespace::new(name(&n.to_string()))?;
            station.prepare()?;
            let switch = &topology.switch;
            switch.ip(&format!(
                "link add p{n} type veth peer name {INTERFACE} netns {}",
                station.name
            ))?;
            switch.ip(&format!("link set p{n} master br0 up"))?;
            station.ip(&format!(
                "address add {}/{PREFIX_LEN} dev {INTERFACE}",
                Self::address(n)
            ))?;
            station.ip(&format!("link set {INTERFACE} up"))?;
            topology.stations.push(station);
        }
        Ok(topology)
    }

    /// The address of station `n`.
    pub const fn address(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, n)
    }

    /// The namespace of station `n`.
    ///
    /// # Panics
    ///
    /// If there is no such station.
    pub fn station(&self, n: u8) -> &Namespace {
        &self.stations[usize::from(n) - 1]
    }

    /// Makes the switch drop whatever station `n` sends or should receive. The station does not notice.
    pub fn block(&self, n: u8) -> Result<(), LabError> {
        self.switch.bridge(&format!("link set dev p{n} state 0"))
    }

    /// Undoes [`block`](Self::block).
    pub fn unblock(&self, n: u8) -> Result<(), LabError> {
        self.switch.bridge(&format!("link set dev p{n} state 3"))
    }

    /// Pulls the cable of station `n`, which loses its carrier.
    pub fn unplug(&self, n: u8) -> Result<(), LabError> {
        self.switch.ip(&format!("link set p{n} down")).map(drop)
    }

    /// Plugs the cable in again.
    pub fn plug(&self, n: u8) -> Result<(), LabError> {
        self.switch.ip(&format!("link set p{n} up")).map(drop)
    }
}

impl Namespace {
    fn new(name: String) -> Result<Self, LabError> {
        run("ip", &["netns", "add", &name])?;
        Ok(Self { name })
    }

    /// Runs `ip` with these words in the namespace and returns what it prints.
    pub fn ip(&self, words: &str) -> Result<String, LabError> {
        let mut arguments = vec!["-n", &self.name];
        arguments.extend(words.split_whitespace());
        run("ip", &arguments)
    }

    /// A command that will run in the namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `f` on a thread that lives in the namespace, and waits for it. Sockets that it opens stay in the
    /// namespace wherever they are used.
    ///
    /// # Panics
    ///
    /// If `f` does.
    pub fn enter<R: Send>(&self, f: impl FnOnce() -> R + Send) -> Result<R, LabError> {
        let doing = || format!("enter the network namespace {}", self.name);
        let namespace = File::open(format!("/run/netns/{}", self.name)).map_err(LabError::system(doing()))?;
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(f())
            });
            match thread.join() {
                Ok(result) => {
                    result.map_err(|error: rustix::io::Errno| LabError::system(doing())(error.into()))
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn bridge(&self, words: &str) -> Result<(), LabError> {
        let mut arguments = vec!["-n", &self.name];
        arguments.extend(words.split_whitespace());
        run("bridge", &arguments).map(drop)
    }

    fn prepare(&self) -> Result<(), LabError> {
        let settings = [
            // No router solicitations and no duplicate address detection.
            ("ipv6/conf/all/disable_ipv6", "1"),
            ("ipv6/conf/default/disable_ipv6", "1"),
            // The bridge passes frames on as they are, broken IP headers included.
            ("bridge/bridge-nf-call-iptables", "0"),
        ];
        self.enter(|| {
            for (name, value) in settings {
                let path = format!("/proc/sys/net/{name}");
                // A kernel that does not have the setting does not do the thing.
                if fs::exists(&path).unwrap_or_default() {
                    fs::write(&path, value).map_err(LabError::system(format!("set {path}")))?;
                }
            }
            Ok(())
        })?
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = run("ip", &["netns", "delete", &self.name]) {
            tell(error);
        }
    }
}

/// Runs a tool of iproute2 and returns what it prints.
fn run(tool: &'static str, arguments: &[&str]) -> Result<String, LabError> {
    let output = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0) // a Ctrl-C is for the lab, which then clears up with such commands
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => LabError::Missing {
                tool,
                package: "iproute2",
            },
            _ => LabError::system(format!("run {tool}"))(error),
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(LabError::Command {
        command: format!("{tool} {}", arguments.join(" ")),
        message: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
