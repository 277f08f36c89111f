//! What can be asked of a node. Nothing here changes it.

use carp_proto::{AdvBase, AdvSkew, Vhid};

use super::Node;
use crate::config::{HostConfig, InterfaceInfo};
use crate::host::{Host, LEFT_FAST, PeerSeen};
use crate::id::{GroupId, HostId, IfaceId};
use crate::ledger::Holding;
use crate::machine::earlier;
use crate::state::{InitReason, State};
use crate::stats::Stats;
use crate::time::Instant;

/// A virtual host at a glance, from [`Node::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostStatus {
    /// INIT, BACKUP or MASTER.
    pub state: State,
    /// Why it is in INIT, if it is.
    pub init_reason: Option<InitReason>,
    /// It bowed out and waits for its successor.
    pub leaving: bool,
    /// Since when it is in this state.
    pub since: Instant,
    /// The addresses were last asked to be here.
    pub owner: bool,
    /// advbase on the wire.
    pub advbase: AdvBase,
    /// advskew on the wire: configured, and demotion added as the dialect does.
    pub advskew: AdvSkew,
    /// It left the [fast profile](crate::Profile::Fast), which it is configured for.
    pub left_fast: bool,
    /// Sum of its group's demotion.
    pub demotion: u16,
    /// Key or addresses changed: until then it signs with the old ones as well, for those who have not changed yet.
    pub signs_old_until: Option<Instant>,
    /// The last valid advertisement of somebody else.
    pub peer: Option<PeerSeen>,
}

/// # Inspection
impl<const ADDRS: usize> Node<'_, ADDRS> {
    /// INIT, BACKUP or MASTER; `None` if the host does not exist (any longer).
    pub fn state(&self, host: HostId) -> Option<State> {
        Some(self.resolve(host)?.state())
    }

    /// Were the addresses last asked to be on this machine?
    pub fn is_owner(&self, host: HostId) -> bool {
        self.resolve(host).is_some_and(Host::is_owner)
    }

    /// As configured.
    pub fn config(&self, host: HostId) -> Option<&HostConfig<ADDRS>> {
        Some(&self.resolve(host)?.config)
    }

    /// Everything about a virtual host that `status` commands show.
    pub fn status(&self, id: HostId) -> Option<HostStatus> {
        let slot = self.hosts.resolve(id)?;
        let (host, view) = (self.hosts.get(slot)?, self.view(slot)?);
        Some(HostStatus {
            state: host.state(),
            init_reason: host.machine.init_reason(),
            leaving: host.machine.is_leaving(),
            since: host.machine.since(),
            owner: host.is_owner(),
            advbase: view.interval().base(),
            advskew: view.interval().skew(),
            left_fast: host.marks.has(LEFT_FAST),
            demotion: view.demotion,
            signs_old_until: self.keys.until(slot),
            peer: host.peer,
        })
    }

    /// All virtual hosts, by interface and vhid.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> {
        self.hosts
            .ranks()
            .filter_map(|rank| Some(self.hosts.id(self.hosts.at_rank(rank)?)))
    }

    /// The virtual host of this interface and vhid.
    pub fn find(&self, iface: IfaceId, vhid: Vhid) -> Option<HostId> {
        Some(self.hosts.id(self.hosts.find(iface, vhid)?))
    }

    /// What was last reported of an interface.
    pub fn interface(&self, iface: IfaceId) -> Option<&InterfaceInfo> {
        self.interfaces.get(usize::from(iface.0))?.info.as_ref()
    }

    /// Sum of what demotes a group now.
    pub fn demotion(&self, group: GroupId) -> u16 {
        self.groups
            .get(usize::from(group.0))
            .map_or(0, |group| group.demotion)
    }

    /// What demotes a group now, cause by cause.
    pub fn causes(&self, group: GroupId) -> impl Iterator<Item = Holding> {
        let entered = self
            .groups
            .get(usize::from(group.0))
            .map(|group| group.ledger.iter());
        entered.into_iter().flatten().chain(self.observed_causes(group))
    }

    /// Is the node in maintenance mode?
    pub fn maintenance(&self) -> bool {
        self.maintenance
    }

    /// The kernels' counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// When [`handle_timeout`](Self::handle_timeout) and [`handle_drained`](Self::handle_drained) are due;
    /// `None`: only when something else happens. Once in the past, it stays there until handled.
    pub fn next_deadline(&self) -> Option<Instant> {
        let host = self.hosts.earliest().map(|(deadline, _)| deadline);
        earlier(host, self.look_at)
    }

    /// After [`shutdown`](Self::shutdown): nothing is to be owned here any longer, nothing left to send. Addresses that
    /// could not be taken off ([`OwnerError`](crate::OwnerError)) may still be there.
    pub fn is_quiet(&self) -> bool {
        self.hosts.front_ready().is_none()
            && self.hosts.ranks().all(|rank| {
                let host = self.hosts.at_rank(rank).and_then(|slot| self.hosts.get(slot));
                host.is_none_or(|host| {
                    !host.is_owner() && host.pending.is_empty() && host.state() == State::Init
                })
            })
    }
}
