//! What has happened: the log, and the records of `carpd events`.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use carp_fsm::{Cause, Duration, Event, GroupId, HostId, Instant, Reason};
use carp_std::OwnershipError;

use super::groups::Groups;
use super::hosts::{Member, Wanted};
use super::{Carp, report};
use crate::config::{Config, VirtualHost};
use crate::events::{Events, Record, What};
use crate::log::{Log, wall_clock};
use crate::status::SCHEMA;

/// Events that are remembered. One takes about 400 bytes.
const REMEMBERED: usize = 1024;
/// The name of the cause that holds until services are up.
pub(super) const NOT_READY: &str = "not-ready";

/// The virtual hosts, and what has to be remembered about them.
pub(super) struct Journal {
    /// Those of the configuration, in its order.
    pub(super) members: Vec<Member>,
    /// Those that a reload has removed, until the node has forgotten them.
    pub(super) leaving: Vec<Member>,
    /// Those that a reload adds as soon as their place is free.
    pub(super) waiting: Vec<Wanted>,
    /// The place of each name in the configuration.
    pub(super) order: HashMap<String, usize>,
    pub(super) groups: Groups,
    pub(super) started: Instant,
    /// 0: the log has no changes of state.
    pub(super) log_level: u8,
    /// Names of the causes of demotion that the operator has entered, by their number in [`Cause::External`].
    pub(super) external: BTreeMap<u8, String>,
    /// Of each group that is split, a virtual host of which this machine is MASTER and one of which it is BACKUP.
    pub(super) split: BTreeMap<u8, (String, String)>,
    /// The last transition of each virtual host that had one.
    last: HashMap<HostId, (Instant, Reason)>,
    /// What the log has said about the addresses of each virtual host, so that it is said once.
    said: HashMap<HostId, String>,
    /// The log has said that the guard process is missing.
    unguarded: bool,
    /// The errors that have been written are those of then.
    errors_as_of: Option<u64>,
    /// The last events, the oldest first.
    records: VecDeque<Record>,
    /// The number of the last event.
    number: u64,
}

impl Journal {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            members: Vec::new(),
            leaving: Vec::new(),
            waiting: Vec::new(),
            order: HashMap::new(),
            groups: Groups::new(),
            started,
            log_level: 1,
            external: BTreeMap::new(),
            split: BTreeMap::new(),
            last: HashMap::new(),
            said: HashMap::new(),
            unguarded: false,
            errors_as_of: None,
            records: VecDeque::new(),
            number: 0,
        }
    }

    /// Writes what the beginning looks like: a virtual host that stays in INIT has no transition to tell of.
    pub(super) fn start(&self, carp: &Carp, config: &Config, log: &mut Log) {
        let (size, socket) = (config.size(), config.control_socket.display());
        let version = env!("CARGO_PKG_VERSION");
        log.line(&format!(
            "carpd: {version} started, {size}, control socket {socket}"
        ));
        for &Member { id, .. } in &self.members {
            if let Some(reason) = carp.node().status(id).and_then(|status| status.init_reason) {
                log.line(&format!("carp: {}: INIT ({reason})", self.log_name(id)));
            }
        }
    }

    /// Why the host is in its state: the reason of its last transition.
    pub(super) fn reason(&self, host: HostId) -> Option<Reason> {
        self.last.get(&host).map(|(_, reason)| *reason)
    }

    /// The events after a number.
    pub(super) fn events(&self, now: Instant, after: u64) -> Events {
        Events {
            schema: SCHEMA,
            started: report::at(wall_clock(), now, self.started),
            events: self
                .records
                .iter()
                .filter(|record| record.number > after)
                .cloned()
                .collect(),
        }
    }

    /// All that is remembered, the oldest first.
    pub(super) fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.records.iter()
    }

    /// Writes and remembers what has happened.
    pub(super) fn write(&mut self, carp: &Carp, now: Instant, event: Event, log: &mut Log) {
        let (text, what) = self.tell(carp, event);
        self.record(now, event.at, text, what, log);
    }

    /// Writes and remembers what has happened `at` an instant.
    pub(super) fn record(&mut self, now: Instant, at: Instant, text: String, what: What, log: &mut Log) {
        let is_carps_own = matches!(
            what,
            What::Transition { .. } | What::Demotion { .. } | What::Handover { .. }
        );
        self.number += 1;
        let record = Record {
            number: self.number,
            time: report::at(wall_clock(), now, at),
            what,
            text,
        };
        if self.log_level > 0 || !is_carps_own {
            log.event(&record);
        }
        if self.records.len() == REMEMBERED {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// Writes what is newly wrong with the addresses of virtual hosts.
    ///
    /// No event tells of it: an address can fail to come off some time after the transition.
    pub(super) fn write_errors(&mut self, carp: &Carp, log: &mut Log) {
        let unguarded = carp.link().guard_error();
        if let Some(error) = unguarded.filter(|_| !self.unguarded) {
            log.line(&format!("carpd: {error}; it is started again"));
        }
        self.unguarded = unguarded.is_some();
        if self.errors_as_of == Some(carp.ownership_changes()) {
            return;
        }
        self.errors_as_of = Some(carp.ownership_changes());
        for id in self.members.iter().chain(&self.leaving).map(|member| member.id) {
            let Some(error) = carp.ownership_error(id) else {
                self.said.remove(&id);
                continue;
            };
            let error = error.to_string();
            if self.said.get(&id) != Some(&error) {
                log.line(&format!("carpd: {}: {error}", self.log_name(id)));
                self.said.insert(id, error);
            }
        }
    }

    /// How many virtual hosts have addresses here that carpd put on and could not take off.
    pub(super) fn left_behind(&self, carp: &Carp) -> usize {
        let is_ours = |error: &&OwnershipError| !matches!(error, OwnershipError::Foreign { .. });
        self.all()
            .filter(|member| carp.could_not_disown(member.id))
            .filter_map(|member| carp.ownership_error(member.id))
            .filter(is_ours)
            .count()
    }

    /// The virtual host, as configured.
    fn configured(&self, host: HostId) -> Option<&VirtualHost> {
        self.all()
            .find(|member| member.id == host)
            .map(|member| &member.host)
    }

    /// Those that are leaving, too.
    fn all(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().chain(&self.leaving)
    }

    /// Forgets the virtual hosts that the node has forgotten.
    pub(super) fn forget_removed(&mut self, carp: &Carp) {
        let Self { last, said, .. } = self;
        self.leaving.retain(|Member { id, .. }| {
            let is_here = carp.node().state(*id).is_some();
            if !is_here {
                last.remove(id);
                said.remove(id);
            }
            is_here
        });
    }

    /// `eth0@7`.
    pub(super) fn name(&self, host: HostId) -> String {
        self.configured(host)
            .map_or_else(|| host.to_string(), VirtualHost::name)
    }

    /// `7@eth0`, as the kernel's log has it.
    fn log_name(&self, host: HostId) -> String {
        match self.configured(host) {
            Some(VirtualHost { vhid, interface, .. }) => format!("{vhid}@{interface}"),
            None => host.to_string(),
        }
    }

    /// The groups that have members.
    pub(super) fn members_groups(&self, carp: &Carp) -> Vec<GroupId> {
        let groups = self
            .members
            .iter()
            .filter_map(|member| carp.node().config(member.id));
        let groups: BTreeSet<_> = groups.map(|config| config.group.0).collect();
        groups.into_iter().map(GroupId).collect()
    }

    /// The sum of what demotes the group that is demoted most.
    pub(super) fn demotion(&self, carp: &Carp) -> u16 {
        let groups = self.members_groups(carp).into_iter();
        groups.map(|group| carp.node().demotion(group)).max().unwrap_or(0)
    }

    /// Whether there is more than one.
    fn has_groups(&self) -> bool {
        let mut groups = self.members.iter().map(|member| &member.host.group);
        let first = groups.next();
        groups.any(|group| Some(group) != first)
    }

    /// A cause of demotion by its name.
    pub(super) fn cause(&self, cause: Cause) -> String {
        match cause {
            Cause::External(number) => self.external.get(&number).cloned(),
            Cause::NotReady => Some(NOT_READY.to_owned()),
            _ => None,
        }
        .unwrap_or_else(|| cause.to_string())
    }

    /// The interface or virtual host that a cause is about.
    pub(super) fn subject(&self, carp: &Carp, cause: Cause) -> Option<String> {
        match cause {
            Cause::LinkDown(iface) => carp.link().interface_name(iface).map(str::to_owned),
            Cause::SendErrors(host) => Some(self.name(host)),
            _ => None,
        }
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    duration.as_micros() / 1000
}

mod words;
