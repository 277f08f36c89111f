//! The status of a running host.

use std::time::{Duration, SystemTime};

use carp_fsm::Instant;

use super::events::{Journal, millis};
use super::hosts::Member;
use super::{Carp, Daemon, GROUP, sysctl};
use crate::log::{rfc3339, wall_clock};
use crate::status::{
    self, Demotion, DemotionCause, HostStatus, Neighbour, Peer, SCHEMA, STATE_SYNC, Split, Status,
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
    let causes = node.causes(GROUP).map(|holding| DemotionCause {
        cause: journal.cause(holding.cause),
        subject: journal.subject(carp, holding.cause),
        weight: holding.weight,
        age_ms: millis(now - holding.since),
    });
    Status {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started: at(wall, now, journal.started),
        state_sync: STATE_SYNC.to_owned(),
        demotion: Demotion {
            total: node.demotion(GROUP),
            causes: causes.collect(),
        },
        maintenance: daemon.maintenance.clone(),
        split_master: journal
            .split
            .clone()
            .map(|(master, backup)| Split { master, backup }),
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
        advbase: configured.advbase.get(),
        advskew: configured.advskew.get(),
        advskew_sent: host.advskew.get(),
        preempt: carp.node().config(id).is_some_and(|config| config.preempt),
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
