mod owning;

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use carp_fsm::{
    Action, ConfigError, Duration, Event, HostConfig, HostId, IfaceId, Instant, LinkMode, Node, Policy,
    ReconfigureError, Storage,
};
use carp_proto::frame::{FrameClass, MAX_FRAME_LEN, classify};
use carp_proto::{Rejection, Vhid};

use crate::linux::{Clock, Stopper, Wake};
use crate::{Lateness, Link, OnRemoval, OwnershipError, Prefix, VirtualAddress, VirtualHost};

/// Room for one received frame, in bytes. Longer ones are cut, and then fail
/// their length check; no advertisement comes near it.
const FRAME_LEN: usize = 2048;

/// Addresses that somebody else takes off are put back at once, and again after this time, if they
/// are taken off again.
const PUT_BACK_AFTER: Duration = Duration::from_secs(1);

/// A node at work: a [`Node`] and the [`Link`] that carries out what it wants.
///
/// Run it on a thread of its own with [`run`](Self::run), or inside another event loop: wait until the
/// descriptor ([`AsFd`]) is readable, call [`process`](Self::process), read the events, and wait
/// again. The descriptor covers the network, changes of interfaces and the node's deadline; there is
/// no timer to keep.
///
/// *After any command (`insert`, or one through [`node_mut`](Self::node_mut)) call `process`*, or
/// nothing happens until the next packet. `ADDRS` is the largest number of addresses of one virtual
/// host.
pub struct Host<L, const ADDRS: usize> {
    node: Node<'static, ADDRS>,
    link: L,
    wake: Wake,
    stopping: bool,
    residents: HashMap<HostId, Resident>,
    /// A virtual host may be gone since we last looked.
    look_for_removed: bool,
    /// Whose addresses somebody else has taken off.
    taken_away: Vec<HostId>,
    ownership_changes: u64,
    /// The last packet that was not accepted, until somebody asks.
    rejected: Option<Rejected>,
    frame: Box<[u8; FRAME_LEN]>,
    /// For when the timer is set.
    armed: Option<Instant>,
    lateness: Lateness,
}

/// A packet of IP protocol 112 that was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Where it came in.
    pub iface: IfaceId,
    /// The source address that it claims.
    pub source: IpAddr,
    /// The vhid (of VRRP: the VRID) that it claims, if it is long enough.
    pub vhid: Option<u8>,
    /// Why it was not accepted.
    pub why: Rejection,
}

/// What the link has to know about a virtual host, and what it last said.
#[derive(Debug)]
struct Resident {
    iface: IfaceId,
    vhid: Vhid,
    mode: LinkMode,
    addresses: Vec<VirtualAddress>,
    /// What failed last and has not succeeded since: being the owner (`true`), or not being it.
    error: Option<(bool, OwnershipError)>,
    on_removal: OnRemoval,
    /// Not before this are the addresses put back again.
    put_back_from: Instant,
    /// Of the last order to own the addresses, or not to.
    seq: u32,
}

impl Resident {
    fn virtual_host(&self) -> VirtualHost<'_> {
        VirtualHost {
            iface: self.iface,
            vhid: self.vhid,
            mode: self.mode,
            addresses: &self.addresses,
        }
    }

    /// Remembers what the link said to an order. Returns whether there is another error now, or none any more.
    fn note(&mut self, owner: bool, said: Result<(), OwnershipError>) -> bool {
        match said {
            // After a refusal the node disowns: that it can does not answer the refusal.
            Ok(()) => self.error.take_if(|(failed, _)| owner || !*failed).is_some(),
            Err(error) => {
                self.error = Some((owner, error));
                true
            }
        }
    }
}

impl<L: Link, const ADDRS: usize> Host<L, ADDRS> {
    /// A node without virtual hosts. The seed must differ at every start:
    /// [`random_seed`](crate::linux::random_seed).
    pub fn new(link: L, policy: Policy, seed: u64) -> io::Result<Self> {
        Ok(Self {
            node: Node::new(policy, seed, Storage::growing()),
            wake: Wake::new(&link)?,
            link,
            stopping: false,
            residents: HashMap::new(),
            look_for_removed: false,
            taken_away: Vec::new(),
            ownership_changes: 0,
            rejected: None,
            frame: Box::new([0; FRAME_LEN]),
            armed: None,
            lateness: Lateness::default(),
        })
    }

    /// Adds a virtual host. `prefix` says for each of its addresses with which
    /// prefix length it is put on the interface.
    pub fn insert(
        &mut self,
        now: Instant,
        config: HostConfig<ADDRS>,
        prefix: impl Fn(IpAddr) -> Prefix,
    ) -> Result<HostId, ConfigError> {
        let resident = Resident {
            iface: config.iface,
            vhid: config.vhid,
            mode: config.mode,
            addresses: with_prefixes(&config, prefix),
            error: None,
            on_removal: OnRemoval::default(),
            put_back_from: now,
            seq: 0,
        };
        let host = self.node.insert(now, config)?;
        self.forget_removed();
        self.residents.insert(host, resident);
        Ok(host)
    }

    /// Changes a virtual host as [`Node::reconfigure`] does, and with which prefix lengths its addresses
    /// are put on the interface.
    ///
    /// A MASTER goes on: it has its new addresses before the old ones are taken off.
    pub fn reconfigure(
        &mut self,
        now: Instant,
        id: HostId,
        config: HostConfig<ADDRS>,
        prefix: impl Fn(IpAddr) -> Prefix,
    ) -> Result<(), ReconfigureError> {
        let addresses = with_prefixes(&config, prefix);
        self.node.reconfigure(now, id, config)?;
        let Some(resident) = self
            .residents
            .get_mut(&id)
            .filter(|host| host.addresses != addresses)
        else {
            return Ok(());
        };
        let mut dropped = mem::replace(&mut resident.addresses, addresses);
        dropped.retain(|old| resident.addresses.iter().all(|new| new.address != old.address));
        if self.node.is_owner(id) {
            // Where the addresses themselves have changed, the node asks again and is told of an error.
            let _ = self.set_owner(id, true);
        }
        self.drop_addresses(id, &dropped);
        Ok(())
    }

    /// What the virtual host does when somebody else takes its addresses off, from now on. Ignored if
    /// there is no such virtual host.
    pub fn set_on_removal(&mut self, host: HostId, on_removal: OnRemoval) {
        if let Some(resident) = self.residents.get_mut(&host) {
            resident.on_removal = on_removal;
        }
    }

    /// The node, for inspection.
    pub fn node(&self) -> &Node<'static, ADDRS> {
        &self.node
    }

    /// The node, for commands. Call [`process`](Self::process) afterwards; insert and change
    /// virtual hosts with [`insert`](Self::insert) and [`reconfigure`](Self::reconfigure).
    pub fn node_mut(&mut self) -> &mut Node<'static, ADDRS> {
        self.look_for_removed = true;
        &mut self.node
    }

    /// The link.
    pub fn link(&self) -> &L {
        &self.link
    }

    /// The link, for example to add interfaces. Call [`process`](Self::process)
    /// afterwards.
    pub fn link_mut(&mut self) -> &mut L {
        &mut self.link
    }

    /// Why the virtual host's addresses could not be put on (that is: what is
    /// behind [`InitReason::AddressRefused`](carp_fsm::InitReason)), or not be
    /// taken off. `None` once it has worked.
    pub fn ownership_error(&self, host: HostId) -> Option<&OwnershipError> {
        self.residents.get(&host)?.error.as_ref().map(|(_, error)| error)
    }

    /// Whether the virtual host has addresses on this machine that could not be taken off, as
    /// [`ownership_error`](Self::ownership_error) says.
    pub fn could_not_disown(&self, host: HostId) -> bool {
        let resident = self.residents.get(&host);
        resident.is_some_and(|resident| matches!(resident.error, Some((false, _))))
    }

    /// Rises whenever what [`ownership_error`](Self::ownership_error) says of any virtual host may have
    /// changed. Nobody has to ask for each of a thousand in vain.
    pub fn ownership_changes(&self) -> u64 {
        self.ownership_changes
    }

    /// How late `process` was called after its deadlines.
    pub fn lateness(&self) -> &Lateness {
        &self.lateness
    }

    /// When `process` has to be called again even if nothing arrives. The
    /// descriptor gets readable then.
    pub fn deadline(&self) -> Option<Instant> {
        let put_back = self.taken_away.iter().filter_map(|host| self.residents.get(host));
        let put_back = put_back.map(|resident| resident.put_back_from);
        put_back.chain(self.node.next_deadline()).min()
    }

    /// Takes in what has happened, lets the node decide and carries it out.
    /// Never blocks; calling it too often does no harm. `now` is
    /// [`Clock::now`]. An error means that the timer cannot be set: the host is
    /// of no use any more.
    pub fn process(&mut self, now: Instant) -> io::Result<()> {
        if let Some(deadline) = self.armed.take_if(|deadline| *deadline <= now) {
            self.lateness.note(deadline, now);
        }
        if self.wake.take_stop() {
            self.stopping = true;
            self.node.shutdown(now);
        }
        while let Some((iface, info)) = self.link.poll_change() {
            self.node.handle_interface(now, iface, info);
        }
        while let Some(iface) = self.link.poll_addresses() {
            self.check_addresses(iface);
        }
        self.put_back(now);
        self.node.handle_timeout(now);
        self.receive(now);
        self.node.handle_drained(now);
        self.act(now);
        if std::mem::take(&mut self.look_for_removed) {
            self.forget_removed();
        }
        self.armed = self.deadline();
        self.wake.arm(self.armed)
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.node.poll_event()
    }

    /// The last packet that was not accepted, if there was one since the last call. All of them are counted
    /// ([`Node::stats`]).
    pub fn take_rejected(&mut self) -> Option<Rejected> {
        self.rejected.take()
    }

    /// Whether [`Stopper::stop`] was called and everything has been left in good
    /// order: what ends [`run`](Self::run).
    pub fn is_stopped(&self) -> bool {
        self.stopping && self.node.is_quiet()
    }

    /// What stops this host. The next [`process`](Self::process) then shuts the
    /// node down.
    pub fn stopper(&self) -> Stopper {
        self.wake.stopper()
    }

    /// Runs until [`Stopper::stop`] is called and the node has left everything
    /// in good order. Every event is handed to `on_event`.
    pub fn run(&mut self, mut on_event: impl FnMut(&Self, Event)) -> io::Result<()> {
        loop {
            self.process(Clock.now())?;
            while let Some(event) = self.poll_event() {
                on_event(self, event);
            }
            if self.is_stopped() {
                return Ok(());
            }
            self.wake.wait()?;
        }
    }

    /// The node forgets a removed host some time after it was told to.
    fn forget_removed(&mut self) {
        let (node, link) = (&self.node, &mut self.link);
        self.residents.retain(|&id, resident| {
            let lives = node.state(id).is_some();
            if !lives {
                link.release(&resident.virtual_host());
            }
            lives
        });
    }

    /// Reads everything that waits. What arrives meanwhile may be read, too, but
    /// a flood does not keep us here: see `Link::queue_limit`.
    fn receive(&mut self, now: Instant) {
        for _ in 0..self.link.queue_limit() {
            let Some((iface, len)) = self.link.recv(&mut self.frame[..]) else {
                return;
            };
            if let FrameClass::Carp { meta, payload } = classify(&self.frame[..len]) {
                // Counted by its reason; of a flood, the last one is remembered.
                if let Err(why) = self.node.handle_packet(now, iface, &meta, payload) {
                    self.rejected = Some(Rejected {
                        iface,
                        source: meta.src,
                        vhid: payload.get(1).copied(),
                        why,
                    });
                }
            }
        }
    }

    fn act(&mut self, now: Instant) {
        let mut frame = [0; MAX_FRAME_LEN];
        while let Some(action) = self.node.poll_action(now, &mut frame) {
            match action {
                Action::SetOwner { host, owner, seq } => {
                    // One that is removed is forgotten as soon as it has left.
                    self.look_for_removed |= !owner;
                    if let Some(resident) = self.residents.get_mut(&host) {
                        resident.seq = seq;
                    }
                    let result = self.set_owner(host, owner);
                    self.node.handle_owner_result(now, host, seq, result);
                }
                Action::Transmit {
                    iface,
                    len,
                    next_hop: None,
                    tx,
                    ..
                } => {
                    let result = self.link.send_frame(iface, &frame[..len]);
                    self.node.handle_transmit_result(now, tx, result);
                }
                Action::Transmit {
                    iface,
                    len,
                    next_hop: Some(peer),
                    tx,
                    ..
                } => {
                    let result = self.link.send_unicast(iface, &frame[..len], peer);
                    self.node.handle_transmit_result(now, tx, result);
                }
            }
        }
    }
}

fn with_prefixes<const ADDRS: usize>(
    config: &HostConfig<ADDRS>,
    prefix: impl Fn(IpAddr) -> Prefix,
) -> Vec<VirtualAddress> {
    let address = |address| VirtualAddress {
        address,
        prefix: prefix(address),
    };
    config.addresses.iter().map(address).collect()
}

impl<L, const ADDRS: usize> AsFd for Host<L, ADDRS> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
