//! `carpd lab`: real daemons, real packets, real faults, and what a client of the virtual address notices.
//!
//! Nodes and a client on a switch, in network namespaces of their own. Its parts are public so that tests can
//! build other situations from them. `docs/lab.md` describes the measurements.

mod client;
mod error;
mod faults;
pub mod measure;
mod node;
pub(crate) mod probe;
pub mod process;
pub mod report;
pub mod topology;

use std::fmt::Display;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

pub use self::client::Client;
pub use self::error::LabError;
pub use self::node::{Node, Setup, Software};
pub use self::process::TempDir;

use self::report::{Measurement, Report};
use self::topology::{INTERFACE, Topology, Wiring};

/// The virtual address of the lab.
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The same for IPv6.
pub const VIP_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
/// The virtual host of the lab.
pub const VHID: u8 = 7;
/// The advskew of the node that is master when all is well, and that of the other one.
pub const ADVSKEWS: [u8; 2] = [0, 100];

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Put this software in place of the second node, and then of the first.
    pub peer: Option<Software>,
    /// How many times each fault is caused.
    pub runs: u32,
    /// The executable of carpd.
    pub carpd: PathBuf,
}

/// Nodes, and a client of their virtual address.
///
/// The fields are in the order in which they go away: the namespaces when no process is left in them.
#[derive(Debug)]
pub struct Lab<const N: usize = 2> {
    /// The nodes A, B and so on, on stations 1, 2 and so on.
    pub nodes: [Node; N],
    /// The client, on the next station.
    pub client: Client,
    /// The network.
    pub topology: Topology,
    files: TempDir,
    carpd: PathBuf,
    interrupted: Arc<AtomicBool>,
}

/// The surroundings of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many networks there are; each station is on all of them.
    pub networks: u8,
    /// Whether there is IPv6.
    pub ipv6: bool,
    /// What the client pings. It listens for advertisements of the same family.
    pub target: IpAddr,
}

impl Default for Plan {
    /// One switch, no IPv6.
    fn default() -> Self {
        Self {
            networks: 1,
            ipv6: false,
            target: VIP.into(),
        }
    }
}

impl<const N: usize> Lab<N> {
    /// Builds the network and starts the client. The nodes do not run yet.
    ///
    /// # Panics
    ///
    /// If there are more than 250 nodes.
    pub fn new(
        carpd: &Path,
        plan: Plan,
        setups: [Setup; N],
        interrupted: Arc<AtomicBool>,
    ) -> Result<Self, LabError> {
        let files = TempDir::new()?;
        let mut nodes = Vec::new();
        for (station, setup) in (1..=250).zip(setups) {
            nodes.push(Node::new(carpd, station, setup, &files)?);
        }
        let Ok(nodes) = nodes.try_into() else {
            panic!("at most 250 nodes")
        };
        let topology = Topology::new(Wiring {
            stations: Self::CLIENT,
            networks: plan.networks,
            ipv6: plan.ipv6,
        })?;
        let station = topology.station(Self::CLIENT);
        let stop = Arc::clone(&interrupted);
        let client = Client::start(carpd, station, INTERFACE, plan.target, &files, stop)?;
        Ok(Self {
            nodes,
            client,
            topology,
            files,
            carpd: carpd.to_owned(),
            interrupted,
        })
    }

    /// The station of the client.
    #[expect(clippy::cast_possible_truncation, reason = "checked in new")]
    pub const CLIENT: u8 = N as u8 + 1;

    /// Another client on the station of the first one.
    pub fn another_client(&self, interface: &str, target: IpAddr) -> Result<Client, LabError> {
        let station = self.topology.station(Self::CLIENT);
        let stop = Arc::clone(&self.interrupted);
        Client::start(&self.carpd, station, interface, target, &self.files, stop)
    }

    /// Starts a node.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn start(&mut self, node: usize) -> Result<(), LabError> {
        self.nodes[node].start(&self.topology)
    }
}

/// Whether everything that the lab needs is there.
pub fn check(peer: Option<Software>) -> Result<(), LabError> {
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    installed("ip", "iproute2")?;
    installed("bridge", "iproute2")?;
    match peer {
        None | Some(Software::Carpd) => Ok(()),
        Some(Software::Ucarp) => installed("ucarp", "ucarp"),
        Some(Software::Keepalived) => installed("keepalived", "keepalived"),
    }
}

/// Measures, and tells on standard error how far it is.
///
/// SIGINT, SIGTERM and SIGHUP end it, with everything cleared away.
pub fn run(options: &Options) -> Report {
    let mut measurements = Vec::new();
    let error = measure_all(options, &mut measurements).err();
    Report::new(measurements, error)
}

fn measure_all(options: &Options, measurements: &mut Vec<Measurement>) -> Result<(), LabError> {
    check(options.peer)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(LabError::system("handle signals"))?;
    }
    let rounds = match options.peer {
        None => vec![[Software::Carpd; 2]],
        Some(peer) => vec![[Software::Carpd, peer], [peer, Software::Carpd]],
    };
    for software in rounds {
        tell(format_args!(
            "A {}, B {}: building the network",
            software[0], software[1]
        ));
        let setups = [0, 1].map(|node| Setup::new(software[node], ADVSKEWS[node]));
        let mut lab = Lab::new(&options.carpd, Plan::default(), setups, Arc::clone(&interrupted))?;
        let result = faults::measure(&mut lab, options.runs, measurements);
        if let Err(LabError::NeverHappened { .. }) = result {
            for node in &lab.nodes {
                tell(format_args!("the log of {node}:\n{}", node.log()));
            }
        }
        result?;
    }
    Ok(())
}

/// Tells on standard error what is going on. It can be closed; then there is nobody to tell.
fn tell(what: impl Display) {
    let _ = writeln!(io::stderr(), "carpd lab: {what}");
}

fn installed(tool: &'static str, package: &'static str) -> Result<(), LabError> {
    let started = Command::new(tool)
        .arg("-h")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match started {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LabError::Missing { tool, package }),
        Err(error) => Err(LabError::system(format!("run {tool}"))(error)),
    }
}
