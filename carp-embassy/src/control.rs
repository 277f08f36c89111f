use core::future::poll_fn;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::pin::Pin;
use core::task::{Context, Poll};

use carp_fsm::{
    Cause, ConfigError, Event, GroupId, Holding, HostConfig, HostId, HostStatus, LedgerError, LinkMode,
    NoSuchHost, Node, Peer, PeersError, State, Stats,
};
use carp_proto::{Key, Vhid};
use embassy_sync::blocking_mutex::raw::RawMutex;
use futures_core::Stream;

use crate::carp::Shared;
use crate::{Carp, Gateway, IFACE, log_event};

/// The only group of a node on a microcontroller.
const GROUP: GroupId = GroupId(0);

/// A cause that keeps the master's role away as long as anybody else can have it.
const FULL: u16 = 240;

/// The operator's handle: copy it wherever it is wanted.
pub struct Control<M: RawMutex + 'static, const ADDRS: usize> {
    carp: &'static Carp<M, ADDRS>,
}

/// A virtual host on a microcontroller: as [`HostConfig::new`], but with the virtual MAC address
/// ([`LinkMode::Vmac`]). Add its addresses, and change what else differs.
pub fn virtual_host<const ADDRS: usize>(vhid: Vhid, key: Key) -> HostConfig<ADDRS> {
    let mut config = HostConfig::new(IFACE, vhid, key);
    config.mode = LinkMode::Vmac;
    config
}

impl<M: RawMutex, const ADDRS: usize> Control<M, ADDRS> {
    pub(crate) fn new(carp: &'static Carp<M, ADDRS>) -> Self {
        Self { carp }
    }

    /// Adds a virtual host, best made with [`virtual_host`]. It starts as BACKUP as soon as there is a carrier.
    pub fn insert(&self, config: HostConfig<ADDRS>) -> Result<HostId, ConfigError> {
        self.command(|now, shared| shared.engine.node_mut().insert(now, config))
            .unwrap_or(Err(ConfigError::NoRoom))
    }

    /// The addresses of the interface itself: what advertisements are sent from. Tell them whenever they change; for
    /// IPv6, the link-local one. Without one, advertisements leave from the first virtual address of that family, as a
    /// kernel's do, and nobody can be asked where a unicast peer is.
    pub fn set_addresses(&self, ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>) {
        self.command(|now, shared| shared.engine.set_addresses(now, ipv4, ipv6));
    }

    /// To whom a virtual host advertises: to these peers, and with `multicast` also to the groups of CARP. There must
    /// be [room](crate::Slots::with_peers) for them. See [`Node::set_peers`].
    pub fn set_peers(&self, host: HostId, multicast: bool, peers: &[Peer]) -> Result<(), PeersError> {
        self.command(|now, shared| shared.engine.set_peers(now, host, multicast, peers))
            .unwrap_or(Err(PeersError::NoSuchHost(NoSuchHost(host))))
    }

    /// The routers for peers outside of our IPv4 and IPv6 network; `None`: all are in it.
    pub fn set_gateways(&self, ipv4: Option<Gateway>, ipv6: Option<Gateway>) {
        self.command(|_, shared| shared.engine.set_gateways(ipv4, ipv6));
    }

    /// INIT, BACKUP or MASTER; `None` if the virtual host does not exist (any longer).
    pub fn state(&self, host: HostId) -> Option<State> {
        self.read(|node| node.state(host))
    }

    /// Everything about a virtual host at a glance.
    pub fn status(&self, host: HostId) -> Option<HostStatus> {
        self.read(|node| node.status(host))
    }

    /// The kernels' counters: what was received, sent and rejected, by reason.
    pub fn stats(&self) -> Stats {
        self.read(|node| Some(*node.stats())).unwrap_or_default()
    }

    /// Advertisements for unicast peers that were lost here, as nobody answered where the peer is: see
    /// [`Engine::unresolved`](crate::Engine::unresolved).
    pub fn unresolved(&self) -> u32 {
        self.carp
            .with(|_, shared| shared.engine.unresolved())
            .unwrap_or_default()
    }

    /// Sum of what demotes this node.
    pub fn demotion(&self) -> u16 {
        self.read(|node| Some(node.demotion(GROUP))).unwrap_or_default()
    }

    /// What demotes this node now, cause by cause.
    pub fn causes(&self, mut each: impl FnMut(Holding)) {
        self.read(|node| {
            node.causes(GROUP).for_each(&mut each);
            Some(())
        });
    }

    /// Takes a virtual host out of the election (a MASTER bows out first), or back into it.
    pub fn set_enabled(&self, host: HostId, enabled: bool) -> Result<(), NoSuchHost> {
        self.command(|now, shared| shared.engine.node_mut().set_enabled(now, host, enabled))
            .unwrap_or(Err(NoSuchHost(host)))
    }

    /// Planned hand-over to a backup: see [`Node::hand_over`]. The outcome is an event.
    pub fn hand_over(&self, host: HostId) -> Result<(), NoSuchHost> {
        self.command(|now, shared| shared.engine.node_mut().hand_over(now, host))
            .unwrap_or(Err(NoSuchHost(host)))
    }

    /// Maintenance: every other node is preferred to this one. To keep it over a reset is the application's part.
    pub fn set_maintenance(&self, on: bool) {
        self.command(|now, shared| shared.engine.node_mut().set_maintenance(now, on));
    }

    /// Services here are up, or not. Say `false` before the first virtual host is inserted if they take a while.
    pub fn set_ready(&self, ready: bool) {
        // Neither can fail: the group is there from the beginning, and its ledger has room for this.
        let _ = if ready {
            self.clear(Cause::NotReady)
        } else {
            self.demote(Cause::NotReady, FULL)
        };
    }

    /// Enters a cause of demotion with its weight, or changes the weight. The application's own causes are
    /// [`Cause::External`].
    pub fn demote(&self, cause: Cause, weight: u16) -> Result<(), LedgerError> {
        self.command(|now, shared| shared.engine.node_mut().demote(now, GROUP, cause, weight))
            .unwrap_or(Err(LedgerError::NoSuchGroup(GROUP)))
    }

    /// Strikes a cause of demotion; no error if it does not hold.
    pub fn clear(&self, cause: Cause) -> Result<(), LedgerError> {
        self.command(|now, shared| shared.engine.node_mut().clear(now, GROUP, cause))
            .unwrap_or(Err(LedgerError::NoSuchGroup(GROUP)))
    }

    /// Every virtual host leaves, MASTERs with a bow-out: before a reset on purpose. Wait for
    /// [`is_quiet`](Self::is_quiet), two seconds at most.
    pub fn shutdown(&self) {
        self.command(|now, shared| shared.engine.node_mut().shutdown(now));
    }

    /// After [`shutdown`](Self::shutdown): everything has been left in good order.
    pub fn is_quiet(&self) -> bool {
        self.read(|node| Some(node.is_quiet())).unwrap_or_default()
    }

    /// Any other command or question to the node. Not to be called from within itself: then it returns `None` and
    /// does nothing.
    pub fn with_node<R>(
        &self,
        f: impl FnOnce(carp_fsm::Instant, &mut Node<'static, ADDRS>) -> R,
    ) -> Option<R> {
        self.command(|now, shared| f(now, shared.engine.node_mut()))
    }

    /// Writes what happens to the log, for ever: a task for programs that do not read the events themselves.
    pub async fn log_events(&self) -> ! {
        let mut events = self.events();
        loop {
            log_event(&events.next().await);
        }
    }

    /// What happens from now on, and what has not been read yet: the oldest first. Have one task read them; two would
    /// wake each other all the time.
    pub fn events(&self) -> Events<M, ADDRS> {
        Events { carp: self.carp }
    }

    fn read<R>(self, f: impl FnOnce(&Node<'static, ADDRS>) -> Option<R>) -> Option<R> {
        self.carp.with(|_, shared| f(shared.engine.node())).flatten()
    }

    fn command<R>(self, f: impl FnOnce(carp_fsm::Instant, &mut Shared<ADDRS>) -> R) -> Option<R> {
        self.carp.with(|now, shared| {
            let result = f(now, shared);
            shared.changed();
            result
        })
    }
}

impl<M: RawMutex, const ADDRS: usize> Clone for Control<M, ADDRS> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: RawMutex, const ADDRS: usize> Copy for Control<M, ADDRS> {}

/// What happens, as a stream without an end.
///
/// Events wait in [`Slots`](crate::Slots). If nobody reads them the newest are lost, and
/// [`EventKind::Lost`](carp_fsm::EventKind::Lost) tells how many.
pub struct Events<M: RawMutex + 'static, const ADDRS: usize> {
    carp: &'static Carp<M, ADDRS>,
}

impl<M: RawMutex, const ADDRS: usize> Events<M, ADDRS> {
    /// The next event.
    pub async fn next(&mut self) -> Event {
        poll_fn(|cx| self.carp.poll_event(cx)).await
    }
}

impl<M: RawMutex, const ADDRS: usize> Stream for Events<M, ADDRS> {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.carp.poll_event(cx).map(Some)
    }
}
