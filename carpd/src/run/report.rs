//! The status of a running host.

use std::time::{Duration, SystemTime};

use carp_fsm::{GroupId, Instant, Profile};

use super::events::{Journal, millis};
use super::hosts::Member;
use super::neighbours::advice;
use super::{Carp, Daemon, sysctl};
use crate::log::{rfc3339, wall_clock};
use crate::status::{
    self, Demotion, DemotionCause, Fast, HostStatus, Lateness, LatenessClass, Neighbour, Peer, SCHEMA,
    STATE_SYNC, Split, Status,
};

/// What FreeBSD makes of every advskew above it: in maintenance, or demoted.
const STEPPED_BACK: u8 = 240;

/// Who was not heard for so long is not there any more.
const NEIGHBOUR_SILENCE: carp_fsm::Duration = carp_fsm::Duration::from_secs(60);

/// All that is known now.
pub(super) fn status(daemon: &Daemon, now: Instant) -> Status {
    let Daemon { carp, journal, .. } = daemon;
    let wall = wall_clock();
    let node = carp.node();
    let causes = |group: GroupId| {
        node.causes(group).map(move |holding| DemotionCause {
            group: journal.groups.name(group).to_owned(),
            cause: journal.cause(holding.cause),
            subject: journal.subject(carp, holding.cause),
            weight: holding.weight,
            age_ms: millis(now - holding.since),
        })
    };
    Status {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started: at(wall, now, journal.started),
        state_sync: STATE_SYNC.to_owned(),
        demotion: Demotion {
            total: journal.demotion(carp),
            causes: journal
                .members_groups(carp)
                .into_iter()
                .flat_map(causes)
                .collect(),
        },
        maintenance: daemon.maintenance.clone(),
        in_progress: daemon
            .errands
            .in_progress()
            .map(|plan| plan.to_string())
            .collect(),
        split_master: journal
            .split
            .iter()
            .map(|(group, (master, backup))| Split {
                group: journal.groups.name(GroupId(*group)).to_owned(),
                master: master.clone(),
                backup: backup.clone(),
            })
            .collect(),
        lateness: lateness(daemon, wall, now),
        sysctl: sysctl::all(daemon),
        virtual_hosts: journal
            .members
            .iter()
            .filter_map(|member| host(carp, journal, member, wall, now))
            .collect(),
        neighbours: neighbours(carp, now),
        counters: node
            .stats()
            .iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

fn lateness(daemon: &Daemon, wall: SystemTime, now: Instant) -> Lateness {
    let lateness = daemon.carp.lateness();
    let classes = lateness.classes().map(|(bound, count)| LatenessClass {
        up_to_us: bound.map(carp_fsm::Duration::as_micros),
        count,
    });
    let (worst, bad) = (lateness.worst(), daemon.late.bad(now));
    Lateness {
        classes: classes.collect(),
        worst_us: worst.map(|(late, _)| late.as_micros()),
        worst_at: worst.map(|(_, then)| at(wall, now, then)),
        bad_ms: bad.map(|(late, _)| millis(late)),
        bad_age_ms: bad.map(|(_, ago)| millis(ago)),
    }
}

fn neighbours(carp: &Carp, now: Instant) -> Vec<Neighbour> {
    let node = carp.node();
    let mut all: Vec<_> = node
        .neighbours()
        .filter(|neighbour| now - neighbour.heard < NEIGHBOUR_SILENCE)
        .map(|neighbour| Neighbour {
            interface: carp
                .link()
                .interface_name(neighbour.iface)
                .unwrap_or("?")
                .to_owned(),
            vhid: neighbour.vhid.get(),
            ours: node.find(neighbour.iface, neighbour.vhid).is_some(),
            source: neighbour.source,
            mac: neighbour.mac.map(|mac| mac.to_string()),
            what: neighbour.kind.to_string(),
            advice: advice(
                neighbour.kind,
                node.find(neighbour.iface, neighbour.vhid).is_some(),
            )
            .map(str::to_owned),
            age_ms: millis(now - neighbour.heard),
        })
        .collect();
    all.sort_by(|a, b| (&a.interface, a.vhid, a.source).cmp(&(&b.interface, b.vhid, b.source)));
    all
}

fn host(
    carp: &Carp,
    journal: &Journal,
    member: &Member,
    wall: SystemTime,
    now: Instant,
) -> Option<HostStatus> {
    let &Member {
        id,
        host: ref configured,
        ..
    } = member;
    let host = carp.node().status(id)?;
    let reason = host.init_reason.map(|reason| reason.to_string());
    let reason = reason.or_else(|| journal.reason(id).map(|reason| reason.to_string()));
    Some(HostStatus {
        name: configured.name(),
        interface: configured.interface.clone(),
        vhid: configured.vhid.get(),
        description: configured.description.clone(),
        addresses: configured.addresses.iter().map(ToString::to_string).collect(),
        state: state(host.state),
        reason: reason.unwrap_or_default(),
        since: at(wall, now, host.since),
        age_ms: millis(now - host.since),
        leaving: host.leaving,
        owner: host.owner,
        address_error: carp.ownership_error(id).map(ToString::to_string),
        group: configured.group.clone(),
        demotion: host.demotion,
        advbase: configured.timing.advbase.get(),
        advskew: configured.timing.advskew.get(),
        advskew_sent: host.advskew.get(),
        fast: match configured.timing.profile {
            Profile::Normal => None,
            Profile::Fast { dead_ratio } => Some(Fast {
                dead_ratio: dead_ratio.get(),
                left: host.left_fast,
            }),
        },
        preempt: carp.node().config(id).is_some_and(|config| config.preempt),
        preempt_delay: configured.preempt_delay.as_micros() / 1_000_000,
        multicast: configured.destinations.multicast,
        peers: configured
            .destinations
            .peers
            .iter()
            .map(|peer| peer.address)
            .collect(),
        signs_old_ms: host.signs_old_until.map(|until| millis(until - now)),
        dialect: configured.dialect.to_string(),
        last_peer: host.peer.map(|peer| Peer {
            address: peer.source,
            advbase: peer.interval.base().get(),
            advskew: peer.interval.skew().get(),
            age_ms: millis(now - peer.at),
            steps_back: peer.interval.skew().get() >= STEPPED_BACK
                && now - peer.at < carp_fsm::Duration::from_micros(3 * peer.interval.micros()),
        }),
    })
}

/// A state, in the status's type.
pub(super) fn state(state: carp_fsm::State) -> status::State {
    match state {
        carp_fsm::State::Init => status::State::Init,
        carp_fsm::State::Backup => status::State::Backup,
        carp_fsm::State::Master => status::State::Master,
    }
}

/// The time of day of an instant, as the wall clock has it now.
pub(super) fn at(wall: SystemTime, now: Instant, then: Instant) -> String {
    let ago = Duration::from_micros((now - then).as_micros());
    rfc3339(wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH))
}
