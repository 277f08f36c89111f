//! What a running carpd says about itself: the JSON document of `carpd status --json`, and its renderings.
//!
//! The document is stable: a later version may add members, and raises [`SCHEMA`] if it changes or removes one.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Version of the document and of the control socket's protocol.
pub const SCHEMA: u32 = 1;

/// Connection states are another program's business.
pub const STATE_SYNC: &str = "not managed";

/// The whole daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of the running daemon.
    pub version: String,
    /// Its process identifier.
    pub pid: u32,
    /// When it was started, RFC 3339 in UTC.
    pub started: String,
    /// Whether connection states are kept in step with the other machines: always [`STATE_SYNC`].
    pub state_sync: String,
    /// Since when it is in maintenance mode, RFC 3339 in UTC; null if it is not.
    pub maintenance: Option<String>,
    /// Where it is split; null if it is not.
    pub split_master: Option<Split>,
    /// What makes this machine less fit to be master.
    pub demotion: Demotion,
    /// What holds for all virtual hosts, by the names of FreeBSD's `net.inet.carp` sysctls, without that prefix.
    pub sysctl: BTreeMap<String, String>,
    /// The virtual hosts, in the order of the configuration.
    pub virtual_hosts: Vec<HostStatus>,
    /// Who spoke lately on our interfaces what is not understood, or should not be there.
    pub neighbours: Vec<Neighbour>,
    /// Packet counters by the names of the BSD kernels (`netstat -s -p carp`).
    pub counters: BTreeMap<String, u64>,
}

/// MASTER on one interface and BACKUP on another: what comes in on one may go out nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// A virtual host of which it is MASTER.
    pub master: String,
    /// One of which it is BACKUP.
    pub backup: String,
}

/// Somebody on the network who is not one of us, or whom we do not understand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The interface on which it is heard.
    pub interface: String,
    /// Its vhid, or VRRP's number.
    pub vhid: u8,
    /// Whether that is a vhid of ours.
    pub ours: bool,
    /// Its source address.
    pub source: IpAddr,
    /// Its MAC address, if it is known.
    pub mac: Option<String>,
    /// What is wrong with it, in words that follow its address.
    pub what: String,
    /// When it was last heard, in milliseconds.
    pub age_ms: u64,
}

/// How much all virtual hosts are demoted: added to their advskew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demotion {
    /// The sum of the causes' weights; 0 if nothing is wrong.
    pub total: u16,
    /// What is wrong now.
    pub causes: Vec<DemotionCause>,
}

/// Something that demotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemotionCause {
    /// In words: `interface down`.
    pub cause: String,
    /// The interface (`eth0`) or virtual host (`eth0@7`) it is about, if it is about one.
    pub subject: Option<String>,
    /// What it adds to the advskew.
    pub weight: u16,
    /// For how long it has held, in milliseconds.
    pub age_ms: u64,
}

/// One virtual host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Interface and VHID: `eth0@7`.
    pub name: String,
    /// Name of the interface.
    pub interface: String,
    /// Virtual host identifier, 1 to 255.
    pub vhid: u8,
    /// Free text from the configuration.
    pub description: Option<String>,
    /// Virtual addresses as configured: `192.0.2.10/24`.
    pub addresses: Vec<String>,
    /// State of the election.
    pub state: State,
    /// Why it is in this state, in the words of the BSD kernels.
    pub reason: String,
    /// Since when, RFC 3339 in UTC.
    pub since: String,
    /// For how long, in milliseconds. Unlike `since`, it does not jump when the wall clock is set.
    pub age_ms: u64,
    /// Whether it has said goodbye, and keeps its addresses only until its successor is heard.
    pub leaving: bool,
    /// Whether the virtual addresses are wanted on this machine now.
    pub owner: bool,
    /// Why the addresses are not on the interface although wanted, or on it although not wanted.
    pub address_error: Option<String>,
    /// Seconds between advertisements, as configured.
    pub advbase: u8,
    /// Added to advbase, in 1/256 s, as configured.
    pub advskew: u8,
    /// The advskew that is sent and compared: as configured, and demotion.
    pub advskew_sent: u8,
    /// Whether it takes over from a slower master.
    pub preempt: bool,
    /// Whose rules it follows: `freebsd`, `openbsd`, `netbsd` or `ucarp`.
    pub dialect: String,
    /// The last other machine that was heard with a valid advertisement.
    pub last_peer: Option<Peer>,
}

/// The other machine of a virtual host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Source address of its advertisement.
    pub address: IpAddr,
    /// The advbase in it.
    pub advbase: u8,
    /// The advskew in it, demotion included.
    pub advskew: u8,
    /// How long ago, in milliseconds.
    pub age_ms: u64,
    /// It lives, and steps back as this machine does in maintenance: it is in maintenance mode, or demoted.
    pub steps_back: bool,
}

/// State of the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Takes no part: something is missing or wrong.
    Init,
    /// Listens to the master.
    Backup,
    /// Has the virtual addresses.
    Master,
}

/// The verdict on a [`Status`], and the exit code of `carpd status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Everything takes part in the election, undemoted, with its addresses in order.
    Healthy = 0,
    /// Something is in INIT or demoted, or addresses are not as they should be.
    Degraded = 1,
    /// Everything is in INIT.
    Down = 2,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
        })
    }
}

/// `interface down: eth0`.
impl fmt::Display for DemotionCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        self.subject
            .as_ref()
            .map_or(Ok(()), |subject| write!(f, ": {subject}"))
    }
}

impl Status {
    /// The table of `carpd status`, its lines ended, with the verdict below.
    pub fn table(&self) -> String {
        let described = self.virtual_hosts.iter().any(|host| host.description.is_some());
        let last = if described { "Description" } else { "" };
        let mut rows =
            vec![["Interface and VHID", "Virtual IP addresses", "Status", last].map(str::to_owned)];
        for host in &self.virtual_hosts {
            let state = match host.state {
                State::Init => format!("INIT ({})", host.reason),
                state => state.to_string(),
            };
            let description = host.description.clone().unwrap_or_default();
            rows.push([host.name.clone(), host.addresses.join(", "), state, description]);
        }
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let (names, addresses, states) = (width(0), width(1), width(2));
        let mut text = self.maintenance_warning();
        text += &self.demotion.warning();
        for [name, address, state, description] in &rows {
            let line = format!("{name:names$}  {address:addresses$}  {state:states$}  {description}");
            text += line.trim_end();
            text.push('\n');
        }
        for HostStatus {
            name, address_error, ..
        } in &self.virtual_hosts
        {
            if let Some(error) = address_error {
                let _ = writeln!(text, "\n{name}: {error}");
            }
        }
        text += &self.strangers();
        let _ = writeln!(text, "\n{}", self.verdict());
        text
    }

    /// Those who have a vhid of ours and are not one of us: why two machines may be MASTER.
    fn strangers(&self) -> String {
        let mut text = String::new();
        for neighbour in self.neighbours.iter().filter(|neighbour| neighbour.ours) {
            let Neighbour {
                interface,
                vhid,
                source,
                what,
                age_ms,
                ..
            } = neighbour;
            let _ = writeln!(
                text,
                "\n{interface}@{vhid}: {source} {what} ({} s ago)",
                age_ms / 1000
            );
        }
        text
    }

    /// The lines of `carpd status --short`, one for each virtual host: name, state, addresses.
    pub fn short(&self) -> String {
        let mut text = String::new();
        for HostStatus {
            name,
            state,
            addresses,
            ..
        } in &self.virtual_hosts
        {
            let _ = writeln!(text, "{name} {state} {}", addresses.join(","));
        }
        text
    }

    /// The lines that BSD's `ifconfig` prints: a tab, then `carp: MASTER vhid 200 advbase 1 advskew 0`.
    pub fn ifconfig(&self) -> String {
        let mut text = String::new();
        for HostStatus {
            state,
            vhid,
            advbase,
            advskew,
            ..
        } in &self.virtual_hosts
        {
            let _ = writeln!(
                text,
                "\tcarp: {state} vhid {vhid} advbase {advbase} advskew {advskew}"
            );
        }
        text
    }

    /// The lines of `carpd sysctl`: all keys, or one. An error says which there are.
    pub fn sysctl(&self, key: Option<&str>) -> Result<String, String> {
        let key = key.map(|key| key.strip_prefix("net.inet.carp.").unwrap_or(key));
        let wanted = self
            .sysctl
            .iter()
            .filter(|(name, _)| key.is_none_or(|key| key == *name));
        let mut lines = String::new();
        for (name, value) in wanted {
            let _ = writeln!(lines, "net.inet.carp.{name}: {value}");
        }
        match key {
            Some(key) if lines.is_empty() => {
                let names: Vec<_> = self.sysctl.keys().map(String::as_str).collect();
                let (key, names) = (key.escape_debug(), names.join(", "));
                Err(format!("there is no key {key}; write one of {names}"))
            }
            _ => Ok(lines),
        }
    }

    /// How this node is.
    pub fn health(&self) -> Health {
        let init = self.count(State::Init);
        if init > 0 && init == self.virtual_hosts.len() {
            Health::Down
        } else if init > 0
            || self.maintenance.is_some()
            || self.demotion.total > 0
            || self.address_errors() > 0
            || self.stranger_count() > 0
            || self.split_master.is_some()
        {
            Health::Degraded
        } else {
            Health::Healthy
        }
    }

    /// One line for a tired operator: `healthy: 6/6 MASTER`.
    pub fn verdict(&self) -> String {
        let all = self.virtual_hosts.len();
        let counts: Vec<_> = [State::Master, State::Backup, State::Init]
            .into_iter()
            .map(|state| (self.count(state), state))
            .filter(|(count, _)| *count > 0)
            .collect();
        let mut text = match self.health() {
            Health::Healthy => "healthy: ",
            Health::Degraded => "degraded: ",
            Health::Down => "down: ",
        }
        .to_owned();
        if let [(_, state)] = counts.as_slice() {
            let _ = write!(text, "{all}/{all} {state}");
        } else {
            let counts: Vec<_> = counts
                .iter()
                .map(|(count, state)| format!("{count} {state}"))
                .collect();
            text += &counts.join(", ");
        }
        if self.maintenance.is_some() {
            text += "; in maintenance";
        }
        if self.demotion.total > 0 {
            let causes: Vec<_> = self.demotion.causes.iter().map(ToString::to_string).collect();
            let _ = write!(
                text,
                "; demoted by {} ({})",
                self.demotion.total,
                causes.join(", ")
            );
        }
        if let Some(Split { master, backup }) = &self.split_master {
            let _ = write!(text, "; split: MASTER of {master}, but BACKUP of {backup}");
        }
        let errors = self.address_errors();
        if errors > 0 {
            let _ = write!(text, "; addresses not in order: {errors}");
        }
        let strangers = self.stranger_count();
        if strangers > 0 {
            let _ = write!(text, "; others with a vhid of ours: {strangers}");
        }
        text
    }

    /// The box above the table while in maintenance mode.
    fn maintenance_warning(&self) -> String {
        let Some(since) = &self.maintenance else {
            return String::new();
        };
        let mut text = format!(
            "MAINTENANCE since {since}: other machines are preferred. carpd maintenance leave ends it.\n"
        );
        for HostStatus { name, last_peer, .. } in &self.virtual_hosts {
            if let Some(Peer { address, .. }) = last_peer.as_ref().filter(|peer| peer.steps_back) {
                let _ = writeln!(
                    text,
                    "  {name}: the peer {address} is also in maintenance, or demoted"
                );
            }
        }
        text.push('\n');
        text
    }

    fn stranger_count(&self) -> usize {
        self.neighbours.iter().filter(|neighbour| neighbour.ours).count()
    }

    fn address_errors(&self) -> usize {
        self.virtual_hosts
            .iter()
            .filter(|host| host.address_error.is_some())
            .count()
    }

    fn count(&self, state: State) -> usize {
        self.virtual_hosts
            .iter()
            .filter(|host| host.state == state)
            .count()
    }
}

impl Demotion {
    /// The box above the table of `carpd status`; empty if nothing demotes.
    fn warning(&self) -> String {
        if self.total == 0 {
            return String::new();
        }
        let total = self.total;
        let mut text =
            format!("WARNING: demoted by {total}, added to every advskew: other machines are preferred.\n");
        for cause in &self.causes {
            let _ = writeln!(text, "  {cause} ({})", cause.weight);
        }
        text.push('\n');
        text
    }

    /// The table of `carpd demotion`.
    pub fn table(&self) -> String {
        if self.causes.is_empty() {
            return "nothing demotes this machine\n".to_owned();
        }
        let names: Vec<_> = self.causes.iter().map(ToString::to_string).collect();
        let width = names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0)
            .max(5);
        let mut text = format!("{:width$}  Weight  Age\n", "Cause");
        for (name, DemotionCause { weight, age_ms, .. }) in names.iter().zip(&self.causes) {
            let _ = writeln!(text, "{name:width$}  {weight:>6}  {} s", age_ms / 1000);
        }
        let _ = writeln!(text, "\ndemoted by {}", self.total);
        text
    }
}

mod netstat;
#[cfg(test)]
pub(crate) mod tests;
