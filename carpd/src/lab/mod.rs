//! `carpd lab`: real daemons, real packets, real faults, and what a client of the virtual address notices.
//!
//! Two nodes and a client on one switch, in network namespaces of their own. Its parts are public so that tests can
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
use std::net::Ipv4Addr;
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
use self::topology::Topology;

/// The virtual address of the lab.
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
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

/// Two nodes and a client on one switch.
///
/// The fields are in the order in which they go away: the namespaces when no process is left in them.
#[derive(Debug)]
pub struct Lab {
    /// The nodes A and B, on stations 1 and 2.
    pub nodes: [Node; 2],
    /// The client, on station 3.
    pub client: Client,
    /// The network.
    pub topology: Topology,
    _files: TempDir,
}

impl Lab {
    /// Builds the network and starts the client. The nodes do not run yet.
    pub fn new(carpd: &Path, setups: [Setup; 2], interrupted: Arc<AtomicBool>) -> Result<Self, LabError> {
        let dir = TempDir::new()?;
        let [a, b] = setups;
        let nodes = [Node::new(carpd, 1, a, &dir)?, Node::new(carpd, 2, b, &dir)?];
        let topology = Topology::new(3)?;
        let client = Client::start(carpd, topology.station(3), VIP, &dir, interrupted)?;
        Ok(Self {
            nodes,
            client,
            topology,
            _files: dir,
        })
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
    if peer == Some(Software::Ucarp) {
        installed("ucarp", "ucarp")?;
    }
    Ok(())
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
        let mut lab = Lab::new(&options.carpd, setups, Arc::clone(&interrupted))?;
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
