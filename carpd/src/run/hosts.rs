//! The virtual hosts of the node, made to agree with the configuration: at the start, and at each reload.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::mem;
use std::net::IpAddr;

use carp_fsm::{HostConfig, HostId, Instant, PeersError, State};
use carp_proto::AddressSet;
use carp_std::Prefix;

use super::Carp;
use super::claims::Claims;
use super::events::Journal;
use super::groups::Groups;
use crate::config::{Destinations, MAX_ADDRESSES, Settings, VirtualHost};
use crate::control::Outcome;

/// A virtual host that the node has.
pub(super) struct Member {
    pub(super) id: HostId,
    /// As configured.
    pub(super) host: VirtualHost,
    /// Unless the operator has disabled it.
    pub(super) enabled: bool,
}

/// A virtual host that the configuration wants.
pub(super) struct Wanted {
    config: HostConfig<MAX_ADDRESSES>,
    host: VirtualHost,
    enabled: bool,
}

/// What a reload has done.
#[derive(Default)]
pub(super) struct Difference {
    /// One for each virtual host that was changed or added.
    pub(super) outcomes: Vec<Outcome>,
    /// Those that are leaving for good, with their names and the states that they were in.
    pub(super) removed: Vec<(HostId, String, State)>,
    changed: usize,
    added: usize,
    /// Settings that are other ones now.
    pub(super) set: usize,
    unchanged: usize,
}

/// `2 changed, 1 added, 1 removed, 5 unchanged`, without zeros.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.changed, "changed"),
            (self.added, "added"),
            (self.removed.len(), "removed"),
            (self.set, "set"),
            (self.unchanged, "unchanged"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(&counts.join(", "))
    }
}

/// Claims the interfaces of the configuration.
pub(super) fn claim(claims: &mut Claims, hosts: &[VirtualHost]) -> Result<(), String> {
    hosts.iter().try_for_each(|host| claims.claim(&host.interface))
}

/// Opens the interfaces of the configuration. An error has changed nothing.
pub(super) fn wanted(
    carp: &mut Carp,
    groups: &mut Groups,
    hosts: &[VirtualHost],
    settings: Settings,
) -> Result<Vec<Wanted>, Box<dyn Error>> {
    let mut all = Vec::new();
    for host in hosts {
        let iface = carp.link_mut().add_interface(&host.interface)?;
        let mut config = HostConfig::new(iface, host.vhid, host.key.clone());
        config.advbase = host.timing.advbase;
        config.advskew = host.timing.advskew;
        config.profile = host.timing.profile;
        config.preempt = host.preempt.unwrap_or(settings.preempt);
        config.preempt_delay = host.preempt_delay;
        config.group = groups.id(&host.group)?;
        config.dscp = settings.dscp;
        config.dialect = host.dialect;
        config.peers_repeat_counter = host.peers_repeat_counter;
        config.mode = host.mode;
        config.addresses = AddressSet::try_from_iter(host.addresses.iter().map(|vip| vip.ip))?;
        all.push(Wanted {
            config,
            host: host.clone(),
            enabled: true,
        });
    }
    // The interfaces are claimed: what is left there was not necessarily left by these virtual hosts.
    carp.link_mut().remove_leftovers()?;
    Ok(all)
}

/// Changes, adds and removes virtual hosts, so that they are what is wanted. The others are not touched.
pub(super) fn apply(carp: &mut Carp, journal: &mut Journal, wanted: Vec<Wanted>, now: Instant) -> Difference {
    let names = wanted.iter().map(|wanted| wanted.host.name());
    journal.order = names.zip(0..).collect();
    let before = mem::take(&mut journal.members).into_iter();
    let mut before: BTreeMap<_, _> = before.map(|member| (member.host.name(), member)).collect();
    let waiting = mem::take(&mut journal.waiting);
    let mut difference = Difference::default();
    for mut wanted in wanted {
        let name = wanted.host.name();
        let Some(mut member) = before.remove(&name) else {
            let earlier = waiting.iter().find(|earlier| earlier.host.name() == name);
            wanted.enabled = earlier.is_none_or(|earlier| earlier.enabled);
            difference.added += 1;
            difference.outcomes.push(outcome(name, "added".to_owned()));
            journal.waiting.push(wanted);
            continue;
        };
        if let Some(key) = replacing(&member.host, &wanted.host) {
            // That is another virtual host: the old one leaves first.
            wanted.enabled = member.enabled;
            difference.changed += 1;
            let text = format!("replaced ({key})");
            difference.outcomes.push(outcome(name, text));
            journal.waiting.push(wanted);
            leave(carp, journal, member, now);
            continue;
        }
        let mut changed = changed(&member.host, &wanted.host);
        if carp
            .node()
            .status(member.id)
            .is_some_and(|status| status.left_fast)
        {
            changed.push("fast again");
        }
        if changed.is_empty() {
            difference.unchanged += 1;
        } else {
            difference.changed += 1;
            let result = change(carp, &member, &wanted, now);
            difference.outcomes.push(match &result {
                Ok(()) => outcome(name, format!("changed ({})", changed.join(", "))),
                Err(error) => Outcome {
                    done: false,
                    ..outcome(name, error.to_string())
                },
            });
            if result.is_ok() {
                member.host = wanted.host;
            }
        }
        journal.members.push(member);
    }
    for (name, member) in before {
        let state = carp.node().state(member.id).unwrap_or(State::Init);
        difference.removed.push((member.id, name, state));
        leave(carp, journal, member, now);
    }
    difference
}

/// Changes a virtual host while it goes on.
fn change(carp: &mut Carp, member: &Member, wanted: &Wanted, now: Instant) -> Result<(), Box<dyn Error>> {
    let Wanted { config, host, .. } = wanted;
    let others = member.host.destinations != host.destinations;
    if others {
        // The old peers may not suit the new addresses, nor the new peers the old ones; nothing is sent before all is
        // changed.
        carp.node_mut().set_peers(now, member.id, true, &[])?;
    }
    let changed = carp.reconfigure(now, member.id, config.clone(), prefixes(host));
    if others {
        let host = if changed.is_ok() { host } else { &member.host };
        set_destinations(carp, member.id, host, now)?;
    }
    changed?;
    carp.set_on_removal(member.id, host.on_removal);
    Ok(())
}

fn set_destinations(carp: &mut Carp, id: HostId, host: &VirtualHost, now: Instant) -> Result<(), PeersError> {
    let Destinations { multicast, peers } = &host.destinations;
    carp.node_mut().set_peers(now, id, *multicast, peers)
}

fn leave(carp: &mut Carp, journal: &mut Journal, member: Member, now: Instant) {
    // One that the node does not know has left already.
    let _ = carp.node_mut().remove(now, member.id);
    journal.leaving.push(member);
}

/// Adds those that wait and whose place is free: one with the same interface and vhid may have to leave first.
/// Returns whether there were any.
pub(super) fn insert_waiting(
    carp: &mut Carp,
    journal: &mut Journal,
    allow: bool,
    now: Instant,
) -> Result<bool, String> {
    let is_free = |wanted: &mut Wanted| {
        let Wanted { config, .. } = wanted;
        carp.node().find(config.iface, config.vhid).is_none()
    };
    let free: Vec<_> = journal.waiting.extract_if(.., is_free).collect();
    let any = !free.is_empty();
    for Wanted {
        config,
        host,
        enabled,
    } in free
    {
        let (prefix, group) = (prefixes(&host), config.group);
        let failed = |error: &dyn fmt::Display| format!("vhid {} on {}: {error}", host.vhid, host.interface);
        let id = carp.insert(now, config, prefix).map_err(|error| failed(&error))?;
        set_destinations(carp, id, &host, now).map_err(|error| failed(&error))?;
        journal.groups.join(carp, now, group);
        carp.set_on_removal(id, host.on_removal);
        if !(enabled && allow) {
            carp.node_mut()
                .set_enabled(now, id, false)
                .map_err(|error| error.to_string())?;
        }
        journal.members.push(Member { id, host, enabled });
    }
    let Journal { members, order, .. } = journal;
    if any {
        members.sort_by_cached_key(|member| order.get(&member.host.name()).copied());
    }
    Ok(any)
}

/// Makes the virtual hosts go by other settings.
pub(super) fn adopt(
    carp: &mut Carp,
    journal: &Journal,
    before: Settings,
    settings: Settings,
    now: Instant,
) -> Result<(), String> {
    for Member { id, host, enabled } in &journal.members {
        let Some(config) = carp.node().config(*id) else {
            continue;
        };
        let preempt = host.preempt.unwrap_or(settings.preempt);
        if (config.preempt, config.dscp) != (preempt, settings.dscp) {
            let mut config = config.clone();
            (config.preempt, config.dscp) = (preempt, settings.dscp);
            carp.node_mut()
                .reconfigure(now, *id, config)
                .map_err(|error| error.to_string())?;
        }
        if before.allow != settings.allow && *enabled {
            carp.node_mut()
                .set_enabled(now, *id, settings.allow)
                .map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// With which prefix length each address is put on the interface.
fn prefixes(host: &VirtualHost) -> impl Fn(IpAddr) -> Prefix + use<> {
    let vips = host.addresses.clone();
    move |ip| {
        let vip = vips.iter().find(|vip| vip.ip == ip);
        vip.and_then(|vip| vip.prefix)
            .map_or(Prefix::Interface, Prefix::Length)
    }
}

/// The key that differs and makes it another virtual host.
fn replacing(old: &VirtualHost, new: &VirtualHost) -> Option<&'static str> {
    let other_dialect = old.dialect != new.dialect;
    let keys = [
        // It has a dialect of its own.
        ("fast", other_dialect && old.timing.profile != new.timing.profile),
        ("dialect", other_dialect),
        ("mode", old.mode != new.mode),
        ("group", old.group != new.group),
    ];
    keys.iter().find(|(_, differs)| *differs).map(|(key, _)| *key)
}

/// The keys that differ.
fn changed(old: &VirtualHost, new: &VirtualHost) -> Vec<&'static str> {
    let keys = [
        ("addresses", old.addresses != new.addresses),
        ("password", old.key != new.key),
        ("advbase", old.timing.advbase != new.timing.advbase),
        ("advskew", old.timing.advskew != new.timing.advskew),
        ("fast", old.timing.profile != new.timing.profile),
        ("preempt", old.preempt != new.preempt),
        ("preempt_delay", old.preempt_delay != new.preempt_delay),
        ("peers", old.destinations != new.destinations),
        (
            "peers_repeat_counter",
            old.peers_repeat_counter != new.peers_repeat_counter,
        ),
        ("description", old.description != new.description),
        ("on_removal", old.on_removal != new.on_removal),
    ];
    let differing = keys.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}

pub(super) fn outcome(subject: String, text: String) -> Outcome {
    Outcome {
        subject,
        done: true,
        text,
    }
}
