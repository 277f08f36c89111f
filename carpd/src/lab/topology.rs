//! Network namespaces joined to switches, which remove themselves.
//!
//! ```text
//!      node 1            node 2            client
//!   eth0 192.0.2.1    eth0 192.0.2.2    eth0 192.0.2.3
//!         |                 |                 |
//!       p1e0              p2e0              p3e0
//!         +-------- br0 in the switch --------+
//! ```
//!
//! With more networks, each station has `eth1` on `br1`, and so on. Nothing is made in the namespace of the caller, so
//! that removing the namespaces removes everything.

use std::fs::{self, File};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{LabError, tell};

/// The interface of every station on the first network, in its own namespace.
pub const INTERFACE: &str = "eth0";
/// The length of the prefix of each network.
pub const PREFIX_LEN: u8 = 24;
/// The same for IPv6.
pub const PREFIX_LEN_V6: u8 = 64;

/// Switches and the stations on them.
#[derive(Debug)]
pub struct Topology {
    stations: Vec<Namespace>,
    /// All switches are bridges in one namespace.
    switch: Namespace,
    networks: u8,
}

/// What to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// How many stations, numbered from 1.
    pub stations: u8,
    /// How many networks, numbered from 0; every station is on each.
    pub networks: u8,
    /// Whether the stations have IPv6 addresses besides. Without, there is no IPv6 at all.
    pub ipv6: bool,
}

/// A network namespace. Dropping it deletes it with everything in it; processes in it must have ended.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Topology {
    /// Builds switches and stations. Station `n` has the address [`address`](Self::address)`(network, n)` on each
    /// network, and the IPv6 addresses if wanted.
    ///
    /// The switches know neither spanning tree nor multicast snooping, and nobody detects duplicates or asks for
    /// routers: next to nothing is on the wire that was not sent on purpose.
    pub fn new(wiring: Wiring) -> Result<Self, LabError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |part: &str| format!("carplab-{}-{number}-{part}", std::process::id());
        let mut topology = Self {
            switch: Namespace::new(name("switch"), false)?,
            stations: Vec::new(),
            networks: wiring.networks,
        };
        for network in 0..wiring.networks {
            topology.switch.ip(&format!(
                "link add br{network} type bridge stp_state 0 mcast_snooping 0"
            ))?;
            topology.switch.ip(&format!("link set br{network} up"))?;
        }
        for n in 1..=wiring.stations {
            let station = Namespace::new(name(&n.to_string()), wiring.ipv6)?;
            for network in 0..wiring.networks {
                topology.connect(network, n, &station, wiring.ipv6)?;
            }
            topology.stations.push(station);
        }
        Ok(topology)
    }

    fn connect(&self, network: u8, n: u8, station: &Namespace, ipv6: bool) -> Result<(), LabError> {
        let (port, interface) = (port(network, n), format!("eth{network}"));
        self.switch.ip(&format!(
            "link add {port} type veth peer name {interface} netns {}",
            station.name
        ))?;
        self.switch
            .ip(&format!("link set {port} master br{network} up"))?;
        station.ip(&format!(
            "address add {}/{PREFIX_LEN} dev {interface}",
            Self::address(network, n)
        ))?;
        if ipv6 {
            station.ip(&format!("link set {interface} addrgenmode none"))?;
            for address in [Self::address_v6(network, n), Self::link_local(n)] {
                station.ip(&format!(
                    "address add {address}/{PREFIX_LEN_V6} dev {interface} nodad"
                ))?;
            }
        }
        station.ip(&format!("link set {interface} up")).map(drop)
    }

    /// The address of station `n` on a network: 192.0.2.`n` on the first one, 192.0.3.`n` on the next.
    ///
    /// # Panics
    ///
    /// If there are 253 networks before it.
    pub const fn address(network: u8, n: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2 + network, n)
    }

    /// The IPv6 address of station `n` on a network: `2001:db8:network::n`.
    pub const fn address_v6(network: u8, n: u8) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, network as u16, 0, 0, 0, 0, n as u16)
    }

    /// The link-local address of station `n`, from which it sends its IPv6 advertisements: `fe80::n`.
    pub const fn link_local(n: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n as u16)
    }

    /// The namespace of station `n`.
    ///
    /// # Panics
    ///
    /// If there is no such station.
    pub fn station(&self, n: u8) -> &Namespace {
        &self.stations[usize::from(n) - 1]
    }

    /// Makes the switches drop whatever station `n` sends or should receive. The station does not notice.
    pub fn block(&self, n: u8) -> Result<(), LabError> {
        self.ports(n)
            .try_for_each(|port| self.switch.bridge(&format!("link set dev {port} state 0")))
    }

    /// Undoes [`block`](Self::block).
    pub fn unblock(&self, n: u8) -> Result<(), LabError> {
        self.ports(n)
            .try_for_each(|port| self.switch.bridge(&format!("link set dev {port} state 3")))
    }

    /// Pulls the cable of station `n` to a network; its interface loses the carrier.
    pub fn unplug(&self, network: u8, n: u8) -> Result<(), LabError> {
        self.switch
            .ip(&format!("link set {} down", port(network, n)))
            .map(drop)
    }

    /// Plugs the cable in again.
    pub fn plug(&self, network: u8, n: u8) -> Result<(), LabError> {
        self.switch
            .ip(&format!("link set {} up", port(network, n)))
            .map(drop)
    }

    /// Makes the switches lose a share of what goes to station `n`, at random. Needs `nft`.
    ///
    /// # Errors
    ///
    /// If `nft` is missing or refuses.
    pub fn lose(&self, n: u8, percent: u8) -> Result<(), LabError> {
        let chain = "{ type filter hook forward priority 0; }";
        let rule = format!("oifname \"p{n}e*\" numgen random mod 100 < {percent} counter drop");
        self.nft(&format!(
            "add table bridge loss; add chain bridge loss to{n} {chain}; add rule bridge loss to{n} {rule}"
        ))
        .map(drop)
    }

    /// How many packets [`lose`](Self::lose) has made the switches lose.
    ///
    /// # Errors
    ///
    /// If nothing was to be lost.
    pub fn lost(&self) -> Result<u32, LabError> {
        let rules = self.nft("list table bridge loss")?;
        let counts = rules.split("counter packets ").skip(1);
        let counts = counts.filter_map(|rest| rest.split_whitespace().next()?.parse::<u32>().ok());
        Ok(counts.sum())
    }

    fn nft(&self, words: &str) -> Result<String, LabError> {
        run("ip", &["netns", "exec", &self.switch.name, "nft", words])
    }

    fn ports(&self, n: u8) -> impl Iterator<Item = String> {
        (0..self.networks).map(move |network| port(network, n))
    }
}

/// The switch's end of the cable from station `n` to a network.
fn port(network: u8, n: u8) -> String {
    format!("p{n}e{network}")
}

impl Namespace {
    /// Makes one in which nothing is sent that nobody has ordered, with or without IPv6.
    pub fn new(name: String, ipv6: bool) -> Result<Self, LabError> {
        run("ip", &["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.prepare(ipv6)?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// As `ip netns` calls it.
    pub fn name(&self) -> &str {
        &self.name
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

    fn prepare(&self, ipv6: bool) -> Result<(), LabError> {
        let off = if ipv6 { "0" } else { "1" };
        let settings = [
            ("ipv6/conf/all/disable_ipv6", off),
            ("ipv6/conf/default/disable_ipv6", off),
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
            // The bridge passes frames on as they are, broken IP headers included.
            ("bridge/bridge-nf-call-iptables", "0"),
            ("bridge/bridge-nf-call-ip6tables", "0"),
        ];
        settings
            .iter()
            .try_for_each(|(name, value)| self.set(name, value))
    }

    /// Writes a setting below `/proc/sys/net`. A kernel that does not have it does not do the thing, which is fine.
    pub fn set(&self, name: &str, value: &str) -> Result<(), LabError> {
        let path = format!("/proc/sys/net/{name}");
        self.enter(|| match fs::exists(&path) {
            Ok(true) => fs::write(&path, value).map_err(LabError::system(format!("set {path}"))),
            _ => Ok(()),
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
