//! What an event is called: a line of the log, in the words of the FreeBSD kernel with details behind, and a record
//! for programs.

use std::fmt::Write as _;

use carp_fsm::{Cause, Duration, Event, EventKind, HandOver, Reason, State};

use super::{Journal, millis};
use crate::events::What;
use crate::run::neighbours::advice;
use crate::run::{Carp, report};

impl Journal {
    /// The line, and the record.
    pub(super) fn tell(&mut self, carp: &Carp, event: Event) -> (String, What) {
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
                group,
                from,
                to,
                cause,
                holds,
            } => {
                let mut line = demotion(from, to, &self.cause_in_log(cause, holds));
                let subject = self.subject(carp, cause);
                if let (Cause::LinkDown(_), Some(interface)) = (cause, &subject) {
                    let _ = write!(line, " interface={interface}");
                }
                let group = self.groups.name(group).to_owned();
                if self.has_groups() {
                    let _ = write!(line, " group={group}");
                }
                let what = What::Demotion {
                    group,
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
                let line = format!(
                    "carpd: {name}: leaves the fast profile, because {peer} advertises {interval} and does not have \
                     it; mend that, then carpd reload, where it is MASTER first"
                );
                let virtual_host = self.name(host);
                (line, What::FastLeft { virtual_host, peer })
            }
            EventKind::SplitMaster {
                group,
                master,
                backup,
            } => {
                let (master, backup) = (self.name(master), self.name(backup));
                let line = format!("carpd: split: MASTER of {master}, but BACKUP of {backup}");
                self.split.insert(group.0, (master.clone(), backup.clone()));
                let what = What::SplitMaster {
                    group: self.groups.name(group).to_owned(),
                    holds: true,
                    master: Some(master),
                    backup: Some(backup),
                };
                (line, what)
            }
            EventKind::SplitMasterEnded { group } => {
                self.split.remove(&group.0);
                let group = self.groups.name(group).to_owned();
                let mut line = "carpd: split no longer".to_owned();
                if self.has_groups() {
                    let _ = write!(line, " group={group}");
                }
                let what = What::SplitMaster {
                    group,
                    holds: false,
                    master: None,
                    backup: None,
                };
                (line, what)
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
                let advice = advice(kind, host.is_some());
                let mut line = format!("carpd: {interface}: {source} {kind} ({whose} {vhid})");
                if let Some(advice) = advice {
                    let _ = write!(line, "; {advice}");
                }
                let what = What::Neighbour {
                    interface: interface.to_owned(),
                    vhid: vhid.get(),
                    ours: host.is_some(),
                    source,
                    what: kind.to_string(),
                    advice: advice.map(str::to_owned),
                };
                (line, what)
            }
            EventKind::Lost(count) => (format!("carpd: {count} events lost"), What::Other {}),
            other => (format!("carpd: {other:?}"), What::Other {}),
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
