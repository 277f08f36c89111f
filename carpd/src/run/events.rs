//! Events of the node: lines of the log, in the words of the FreeBSD kernel with details behind, and the records
//! of `carpd events`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;

use carp_fsm::{Cause, Duration, Event, EventKind, HandOver, HostId, Instant, NeighbourKind, Reason, State};
use carp_std::OwnershipError;

use super::hosts::{Member, Wanted};
use super::{Carp, report};
use crate::config::{Config, VirtualHost};
use crate::events::{Events, Record, What};
use crate::log::{Log, wall_clock};
use crate::status::SCHEMA;

/// Events that are remembered. One takes about 400 bytes.
const REMEMBERED: usize = 1024;

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
    pub(super) started: Instant,
    /// 0: the log has no changes of state.
    pub(super) log_level: u8,
    /// Names of the causes of demotion that the operator has entered, by their number in [`Cause::External`].
    pub(super) external: BTreeMap<u8, String>,
    /// A virtual host of which this machine is MASTER and one of which it is BACKUP, if it is split.
    pub(super) split: Option<(String, String)>,
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
            started,
            log_level: 1,
            external: BTreeMap::new(),
            split: None,
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

    fn tell(&mut self, carp: &Carp, event: Event) -> (String, What) {
        match event.kind {
            EventKind::Transition {
                host,
                from,
                to,
                reason,
                peer,
            } => {
                let before = self.last.insert(host, (event.at, reason));
                let after = event.at - before.map_or(self.started, |(at, _)| at);
                let mut line = transition(&self.log_name(host), from, to, reason);
                let _ = write!(line, " after={}", seconds(after));
                if let Some(peer) = peer {
                    let _ = write!(line, " peer={peer}");
                }
                let status = carp.node().status(host);
                let what = What::Transition {
                    virtual_host: self.name(host),
                    from: report::state(from),
                    to: report::state(to),
                    reason: reason.to_string(),
                    after_ms: millis(after),
                    peer,
                    advskew: status.map_or(0, |status| status.advskew.get()),
                    demotion: status.map_or(0, |status| status.demotion),
                };
                (line, what)
            }
            EventKind::Demotion {
                from,
                to,
                cause,
                holds,
                ..
            } => {
                let mut line = demotion(from, to, &self.cause_in_log(cause, holds));
                let subject = self.subject(carp, cause);
                if let (Cause::LinkDown(_), Some(interface)) = (cause, &subject) {
                    let _ = write!(line, " interface={interface}");
                }
                let what = What::Demotion {
                    from,
                    to,
                    cause: self.cause(cause),
                    subject,
                    holds,
                };
                (line, what)
            }
            EventKind::HandOver { host, outcome, .. } => {
                let line = format!("carp: {}: {}", self.log_name(host), hand_over(outcome));
                let what = What::Handover {
                    virtual_host: self.name(host),
                    done: matches!(outcome, HandOver::Done(_)),
                    after_ms: match outcome {
                        HandOver::Done(after) | HandOver::NobodyTookOver(after) => Some(millis(after)),
                        HandOver::NotMaster => None,
                    },
                };
                (line, what)
            }
            EventKind::FastProfileLeft { host, peer, interval } => {
                let name = self.log_name(host);
                let line = format!("carpd: {name}: leaves the fast profile: {peer} advertises {interval}");
                (line, What::Other {})
            }
            EventKind::SplitMaster { master, backup, .. } => {
                let (master, backup) = (self.name(master), self.name(backup));
                let line = format!("carpd: split: MASTER of {master}, but BACKUP of {backup}");
                self.split = Some((master.clone(), backup.clone()));
                let what = What::SplitMaster {
                    holds: true,
                    master: Some(master),
                    backup: Some(backup),
                };
                (line, what)
            }
            EventKind::SplitMasterEnded { .. } => {
                self.split = None;
                let what = What::SplitMaster {
                    holds: false,
                    master: None,
                    backup: None,
                };
                ("carpd: split no longer".to_owned(), what)
            }
            EventKind::TakenAway { host } => {
                let name = self.log_name(host);
                let line = format!("carpd: {name}: somebody else took addresses off; putting them back");
                let virtual_host = self.name(host);
                (line, What::TakenAway { virtual_host })
            }
            EventKind::Neighbour {
                host,
                iface,
                vhid,
                source,
                kind,
            } => {
                let interface = carp.link().interface_name(iface).unwrap_or("?");
                let whose = if host.is_some() { "our vhid" } else { "vhid" };
                let advice = match kind {
                    NeighbourKind::RepeatsCounter => {
                        "; if it is OpenBSD, set peers_repeat_counter = true for this vhid and reload"
                    }
                    _ => "",
                };
                let line = format!("carpd: {interface}: {source} {kind} ({whose} {vhid}){advice}");
                let what = What::Neighbour {
                    interface: interface.to_owned(),
                    vhid: vhid.get(),
                    ours: host.is_some(),
                    source,
                    what: kind.to_string(),
                };
                (line, what)
            }
            EventKind::Lost(count) => (format!("carpd: {count} events lost"), What::Other {}),
            other => (format!("carpd: {other:?}"), What::Other {}),
        }
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

    /// A cause of demotion by its name.
    pub(super) fn cause(&self, cause: Cause) -> String {
        match cause {
            Cause::External(number) => self.external.get(&number).cloned(),
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

    /// A cause of demotion that came or went, in the kernel's words.
    fn cause_in_log(&self, cause: Cause, holds: bool) -> String {
        match cause {
            Cause::LinkDown(_) => if holds { "interface down" } else { "interface up" }.to_owned(),
            Cause::SendErrors(host) => {
                let interface = self.configured(host).map_or("", |host| &host.interface);
                format!("send {} on {interface}", if holds { "error" } else { "ok" })
            }
            other if holds => self.cause(other),
            other => format!("{} ended", self.cause(other)),
        }
    }
}

fn transition(name: &str, from: State, to: State, reason: Reason) -> String {
    format!("carp: {name}: {from} -> {to} ({reason})")
}

fn demotion(from: u16, to: u16, cause: &str) -> String {
    format!(
        "carp: demoted by {} to {to} ({cause})",
        i32::from(to) - i32::from(from)
    )
}

fn hand_over(outcome: HandOver) -> String {
    match outcome {
        HandOver::Done(after) => format!("handed over after={}", seconds(after)),
        HandOver::NobodyTookOver(after) => {
            format!("nobody took over, still MASTER after={}", seconds(after))
        }
        HandOver::NotMaster => "nothing to hand over".to_owned(),
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    duration.as_micros() / 1000
}

fn seconds(duration: Duration) -> String {
    let millis = millis(duration);
    format!("{}.{:03}s", millis / 1000, millis % 1000)
}

#[cfg(test)]
mod tests {
    use carp_fsm::InitReason;

    use super::*;

    /// Lines that people search for: they must stay as the FreeBSD kernel prints them.
    #[test]
    fn the_words_are_the_kernels() {
        for (from, to, reason, line) in [
            (
                State::Init,
                State::Backup,
                Reason::InitializationComplete,
                "INIT -> BACKUP (initialization complete)",
            ),
            (
                State::Backup,
                State::Master,
                Reason::MasterTimedOut,
                "BACKUP -> MASTER (master timed out)",
            ),
            (
                State::Backup,
                State::Master,
                Reason::MasterWillTimeOut,
                "BACKUP -> MASTER (master will time out)",
            ),
            (
                State::Backup,
                State::Master,
                Reason::PreemptingSlowerMaster,
                "BACKUP -> MASTER (preempting a slower master)",
            ),
            (
                State::Master,
                State::Backup,
                Reason::MoreFrequentAdvertisement,
                "MASTER -> BACKUP (more frequent advertisement received)",
            ),
            (
                State::Master,
                State::Init,
                Reason::Stopped(InitReason::LinkDown),
                "MASTER -> INIT (hardware interface down)",
            ),
        ] {
            assert_eq!(
                transition("1@em0", from, to, reason),
                format!("carp: 1@em0: {line}")
            );
        }
        assert_eq!(
            demotion(0, 240, "interface down"),
            "carp: demoted by 240 to 240 (interface down)"
        );
        assert_eq!(
            demotion(480, 240, "interface up"),
            "carp: demoted by -240 to 240 (interface up)"
        );
    }

    #[test]
    fn durations_are_in_seconds() {
        assert_eq!(seconds(Duration::from_micros(3_390_625)), "3.390s");
        assert_eq!(seconds(Duration::from_micros(999)), "0.000s");
    }
}
