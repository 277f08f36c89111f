//! The status of a running host.

use std::time::{Duration, SystemTime};

use carp_fsm::{Cause, GroupId, HostId, Instant};

use super::Carp;
use super::events::Journal;
use crate::config::VirtualHost;
use crate::log::{rfc3339, wall_clock};
use crate::status::{self, Demotion, DemotionCause, HostStatus, Peer, SCHEMA, Status};

/// The group in which all virtual hosts of carpd are.
const GROUP: GroupId = GroupId(0);

/// All that is known now.
pub(super) fn status(carp: &Carp, journal: &Journal<'_>, now: Instant) -> Status {
    let wall = wall_clock();
    let node = carp.node();
    let causes = node.causes(GROUP).map(|holding| DemotionCause {
        cause: holding.cause.to_string(),
        subject: subject(carp, journal, holding.cause),
        weight: holding.weight,
        age_ms: millis(now, holding.since),
    });
    Status {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started: at(wall, now, journal.started),
        demotion: Demotion {
            total: node.demotion(GROUP),
            causes: causes.collect(),
        },
        virtual_hosts: journal
            .hosts
            .iter()
            .filter_map(|&(id, configured)| host(carp, journal, id, configured, wall, now))
            .collect(),
        counters: node
            .stats()
            .iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

fn host(
    carp: &Carp,
    journal: &Journal<'_>,
    id: HostId,
    configured: &VirtualHost,
    wall: SystemTime,
    now: Instant,
) -> Option<HostStatus> {
    let host = carp.node().status(id)?;
    let reason = host.init_reason.map(|reason| reason.to_string());
    let reason = reason.or_else(|| journal.reason(id).map(|reason| reason.to_string()));
    let VirtualHost { interface, vhid, .. } = configured;
    Some(HostStatus {
        name: format!("{interface}@{vhid}"),
        interface: interface.clone(),
        vhid: vhid.get(),
        description: configured.description.clone(),
        addresses: configured.addresses.iter().map(ToString::to_string).collect(),
        state: match host.state {
            carp_fsm::State::Init => status::State::Init,
            carp_fsm::State::Backup => status::State::Backup,
            carp_fsm::State::Master => status::State::Master,
        },
        reason: reason.unwrap_or_default(),
        since: at(wall, now, host.since),
        age_ms: millis(now, host.since),
        leaving: host.leaving,
        owner: host.owner,
        address_error: carp.ownership_error(id).map(ToString::to_string),
        advbase: configured.advbase.get(),
        advskew: configured.advskew.get(),
        advskew_sent: host.advskew.get(),
        preempt: configured.preempt,
        dialect: configured.dialect.to_string(),
        last_peer: host.peer.map(|peer| Peer {
            address: peer.source,
            advbase: peer.interval.base().get(),
            advskew: peer.interval.skew().get(),
            age_ms: millis(now, peer.at),
        }),
    })
}

/// The interface or virtual host that a cause is about.
fn subject(carp: &Carp, journal: &Journal<'_>, cause: Cause) -> Option<String> {
    match cause {
        Cause::LinkDown(iface) => carp.link().interface_name(iface).map(str::to_owned),
        Cause::SendErrors(host) => {
            let (_, configured) = journal.hosts.iter().find(|(id, _)| *id == host)?;
            Some(format!("{}@{}", configured.interface, configured.vhid))
        }
        _ => None,
    }
}

/// The time of day of an instant, as the wall clock has it now.
fn at(wall: SystemTime, now: Instant, then: Instant) -> String {
    let ago = Duration::from_micros((now - then).as_micros());
    rfc3339(wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH))
}

fn millis(now: Instant, then: Instant) -> u64 {
    (now - then).as_micros() / 1000
}
