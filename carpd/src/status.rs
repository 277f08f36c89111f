//! What a running carpd says about itself: the JSON document of `carpd status --json`, and its renderings.
//!
//! The document is stable: a later version may add members, and raises [`SCHEMA`] if it changes or removes one.

use std::collections::BTreeMap;
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
    /// Commands that are accepted and wait for a disk: `reload`, `maintenance enter`, `maintenance leave`.
    #[serde(default)]
    pub in_progress: Vec<String>,
    /// Where it is split: one for each group that is.
    pub split_master: Vec<Split>,
    /// What makes this machine less fit to be master.
    pub demotion: Demotion,
    /// How late this machine did what was due.
    pub lateness: Lateness,
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
    /// The group that is.
    pub group: String,
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
    /// What to do about it; null if it does no harm.
    pub advice: Option<String>,
    /// When it was last heard, in milliseconds.
    pub age_ms: u64,
}

/// How late this machine did what was due: what its load, or a pause of a virtual machine, does to the election.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    /// Deadlines by how late they were met, each in the first class that it fits.
    pub classes: Vec<LatenessClass>,
    /// The largest lateness since the start, in microseconds; null before the first deadline.
    pub worst_us: Option<u64>,
    /// When that was, RFC 3339 in UTC.
    pub worst_at: Option<String>,
    /// The largest lateness of more than 100 ms within the last hour, in milliseconds; null if there was none.
    pub bad_ms: Option<u64>,
    /// How long ago the last lateness of more than 100 ms was, in milliseconds; null if not within the last hour.
    pub bad_age_ms: Option<u64>,
}

/// Deadlines that were met about equally late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatenessClass {
    /// At most so late, in microseconds; null: later than all others.
    pub up_to_us: Option<u64>,
    /// How many since the start.
    pub count: u64,
}

/// What demotes: added to the advskew of every virtual host of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demotion {
    /// The sum of the causes' weights of the group with the largest sum; 0 if nothing is wrong.
    pub total: u16,
    /// What is wrong now.
    pub causes: Vec<DemotionCause>,
}

/// Something that demotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemotionCause {
    /// The group that it demotes.
    pub group: String,
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
    /// Those that move together have the same.
    pub group: String,
    /// What demotes it: the sum of its group.
    pub demotion: u16,
    /// Seconds between advertisements, as configured; 0 in the fast profile.
    pub advbase: u8,
    /// Added to advbase, in 1/256 s, as configured.
    pub advskew: u8,
    /// The advskew that is sent and compared: as configured, and demotion.
    pub advskew_sent: u8,
    /// The fast profile; null if it has none.
    pub fast: Option<Fast>,
    /// Whether it takes over from a slower master.
    pub preempt: bool,
    /// For how many seconds after the start, or after its link has come up, it leaves a living master alone.
    pub preempt_delay: u64,
    /// Whether it advertises to everybody on the segment.
    pub multicast: bool,
    /// To whom it advertises by unicast.
    pub peers: Vec<IpAddr>,
    /// Password or addresses have changed: for so long it goes on signing with the old ones, in milliseconds.
    pub signs_old_ms: Option<u64>,
    /// Whose rules it follows: `freebsd`, `openbsd`, `netbsd` or `ucarp`.
    pub dialect: String,
    /// The last other machine that was heard with a valid advertisement.
    pub last_peer: Option<Peer>,
}

/// The fast profile of a virtual host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fast {
    /// After so many intervals a silent master is dead.
    pub dead_ratio: u8,
    /// It was left, because somebody else does not have it; a reload brings it back.
    pub left: bool,
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
    /// Something is in INIT or demoted, addresses are not as they should be, or the fast profile was left.
    Degraded = 1,
    /// Everything is in INIT.
    Down = 2,
}

impl Status {
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
            || !self.split_master.is_empty()
            || self.left_fast().next().is_some()
        {
            Health::Degraded
        } else {
            Health::Healthy
        }
    }

    fn stranger_count(&self) -> usize {
        self.neighbours.iter().filter(|neighbour| neighbour.ours).count()
    }

    /// Those that have left the fast profile.
    fn left_fast(&self) -> impl Iterator<Item = &HostStatus> {
        let left = |host: &&HostStatus| host.fast.as_ref().is_some_and(|fast| fast.left);
        self.virtual_hosts.iter().filter(left)
    }

    /// Whether there is more than one group.
    fn has_groups(&self) -> bool {
        let mut groups = self.virtual_hosts.iter().map(|host| &host.group);
        let first = groups.next();
        groups.any(|group| Some(group) != first)
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

mod netstat;
mod render;
#[cfg(test)]
pub(crate) mod tests;
