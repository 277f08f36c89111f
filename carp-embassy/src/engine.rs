//! What an adapter has to do besides moving frames: without a clock, an executor or a lock.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carp_fsm::{
    Action, Duration, HostId, IfaceId, Instant, InterfaceInfo, LinkMode, LinkState, Node, OwnerError, Peer,
    PeersError, Policy, TransmitResult, TxId,
};
use carp_proto::frame::{FrameClass, classify, emit_arp_reply, emit_neighbor_advertisement};
use carp_proto::{MAX_FRAME_LEN, MacAddr, Vhid};
use heapless::Deque;

use crate::Memory;
use crate::resolver::{Gateway, Resolve, Unresolved};

/// The only interface of an engine.
pub const IFACE: IfaceId = IfaceId(0);

/// Answers to ARP and neighbour solicitations that wait to be sent. Whoever gets none asks again.
const REPLIES: usize = 4;

/// The node asks again so soon after there was no room.
const ROOM_RETRY: Duration = Duration::from_millis(2);

/// A [`Node`] on one Ethernet interface, between frames received and frames to be sent.
///
/// [`Shim`](crate::Shim) runs one under embassy, [`PhyShim`](crate::phy::PhyShim) over smoltcp's `phy`. Under
/// another system, run it yourself; whenever something has happened:
///
/// 1. [`handle_timeout`](Self::handle_timeout);
/// 2. each received frame through [`receive`](Self::receive), which says whether the network stack gets it, until
///    no frame waits, or as many as wait in the card were taken: a flood never ends;
/// 3. [`handle_drained`](Self::handle_drained);
/// 4. [`poll_transmit`](Self::poll_transmit) and [`sent`](Self::sent) until there is nothing to send, or no room;
/// 5. sleep until [`next_deadline`](Self::next_deadline), or a frame, or room to send.
///
/// One task does that. Commands of others, [`node_mut`](Self::node_mut), need a lock of your system around the
/// engine, and have to wake that task; so do a carrier that comes or goes, and addresses that change. Events are read
/// with [`Node::poll_event`].
///
/// ```
/// use carp_embassy::{Engine, Slots, Verdict, virtual_host};
/// use carp_fsm::{Instant, LinkState, Policy, TransmitResult};
/// use carp_proto::{Key, MAX_FRAME_LEN, MacAddr, Vhid};
///
/// /// What your system has.
/// trait System {
///     /// Microseconds since the start, never less than before.
///     fn now(&self) -> Instant;
///     /// The next frame that waits in the network card.
///     fn receive(&mut self) -> Option<Vec<u8>>;
///     /// False: there is no room now.
///     fn send(&mut self, frame: &[u8]) -> bool;
///     fn give_to_stack(&mut self, frame: &[u8]);
///     fn sleep_until(&mut self, deadline: Option<Instant>);
/// }
///
/// /// Call it for ever.
/// fn once(system: &mut impl System, engine: &mut Engine<'_, 1>) {
///     engine.handle_timeout(system.now());
///     while let Some(mut frame) = system.receive() {
///         match engine.receive(system.now(), &frame, &()) {
///             Verdict::Heard | Verdict::Swallow => continue,
///             Verdict::Readdress => frame[..6].copy_from_slice(&engine.mac().0),
///             Verdict::Pass => {}
///         }
///         system.give_to_stack(&frame);
///     }
///     engine.handle_drained(system.now());
///     let mut buffer = [0; MAX_FRAME_LEN];
///     while let Some((len, ticket)) = engine.poll_transmit(system.now(), &mut (), &mut buffer) {
///         let sent = system.send(&buffer[..len]);
///         let result = if sent { TransmitResult::Sent } else { TransmitResult::Busy };
///         engine.sent(system.now(), ticket, result);
///         if !sent {
///             break;
///         }
///     }
///     system.sleep_until(engine.next_deadline());
/// }
///
/// // The MAC address is the interface's own; take the seed from a random number generator.
/// let mut slots = Slots::<1, 1>::EMPTY;
/// let mut engine = Engine::new(&mut slots, Policy::HARDENED, 4711, MacAddr([2, 0, 0, 0, 0, 1]));
/// engine.set_link(Instant::ZERO, LinkState::Up);
/// engine.set_addresses(Instant::ZERO, Some([192, 0, 2, 1].into()), None);
/// let mut config = virtual_host(Vhid::new(7).unwrap(), Key::from_passphrase(b"secret")?);
/// config.addresses.insert([192, 0, 2, 7].into())?;
/// let host = engine.node_mut().insert(Instant::ZERO, config)?;
/// # let mut laboratory = Laboratory { now: 0, sent: 0 };
/// # while laboratory.now < 5_000_000 {
/// #     once(&mut laboratory, &mut engine);
/// # }
/// # assert_eq!(engine.node().state(host), Some(carp_fsm::State::Master));
/// # assert!(laboratory.sent > 2, "advertisements and announcements");
/// # struct Laboratory { now: u64, sent: u32 }
/// # impl System for Laboratory {
/// #     fn now(&self) -> Instant { Instant::from_micros(self.now) }
/// #     fn receive(&mut self) -> Option<Vec<u8>> { None }
/// #     fn send(&mut self, _: &[u8]) -> bool { self.sent += 1; true }
/// #     fn give_to_stack(&mut self, _: &[u8]) {}
/// #     fn sleep_until(&mut self, deadline: Option<Instant>) { self.now = deadline.unwrap().as_micros(); }
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine<'s, const ADDRS: usize> {
    node: Node<'s, ADDRS>,
    interface: InterfaceInfo,
    replies: Deque<Reply, REPLIES>,
    /// Where unicast peers are, if there can be any.
    resolver: Option<&'s mut (dyn Resolve + Send)>,
    /// For the last frame there was no room.
    busy: bool,
    unresolved: u32,
}

/// Who owns the addresses of a virtual host while this node is MASTER.
///
/// `()`, the announce mode: nobody but the engine, which answers ARP and neighbour solicitations for them.
pub trait Owners {
    /// Has this virtual host a network stack of its own, which answers for its addresses?
    fn is_seated(&self, vhid: Vhid) -> bool;

    /// The addresses of the virtual host are here, or not here.
    fn set_owner(&mut self, vhid: Vhid, mode: LinkMode, owner: bool) -> Result<(), OwnerError>;
}

impl Owners for () {
    fn is_seated(&self, _: Vhid) -> bool {
        false
    }

    fn set_owner(&mut self, _: Vhid, _: LinkMode, _: bool) -> Result<(), OwnerError> {
        Ok(())
    }
}

/// What to do with a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the network stack's.
    Pass,
    /// It was sent to the virtual MAC address of a master without a stack of its own: the network stack takes it
    /// if its destination is replaced by the interface's own MAC address.
    Readdress,
    /// A valid advertisement for one of our virtual hosts: nothing for the network stack.
    Heard,
    /// Another packet of IP protocol 112, or a question for an address of ours: nothing for the network stack.
    Swallow,
}

/// Names a frame from [`Engine::poll_transmit`].
#[derive(Clone, Copy, Debug)]
pub struct Ticket(Origin);

#[derive(Clone, Copy, Debug)]
enum Origin {
    Node(TxId),
    Reply,
    Question,
}

/// "`address` is at the MAC address of `host`."
#[derive(Clone, Copy, Debug)]
struct Reply {
    host: HostId,
    address: Asked,
    to_mac: MacAddr,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Ipv4 { target: Ipv4Addr, sender: Ipv4Addr },
    Ipv6 { target: Ipv6Addr, sender: Ipv6Addr },
}

impl<'s, const ADDRS: usize> Engine<'s, ADDRS> {
    /// An engine without virtual hosts, whose link is down and which has no addresses yet. `mac` is the
    /// interface's own; the seed must differ at every start (see [`Node::new`]).
    pub fn new(memory: impl Into<Memory<'s, ADDRS>>, policy: Policy, seed: u64, mac: MacAddr) -> Self {
        let Memory { storage, resolver } = memory.into();
        let interface = InterfaceInfo {
            mac,
            ipv4: None,
            ipv6: None,
            link: LinkState::Down,
        };
        let mut node = Node::new(policy, seed, storage);
        node.handle_interface(Instant::ZERO, IFACE, interface);
        Self {
            node,
            interface,
            replies: Deque::new(),
            resolver,
            busy: false,
            unresolved: 0,
        }
    }

    /// The node, for inspection.
    pub fn node(&self) -> &Node<'s, ADDRS> {
        &self.node
    }

    /// The node, for commands. Its virtual hosts are on [`IFACE`].
    pub fn node_mut(&mut self) -> &mut Node<'s, ADDRS> {
        &mut self.node
    }

    /// The interface's own MAC address.
    pub fn mac(&self) -> MacAddr {
        self.interface.mac
    }

    /// Is there a carrier?
    pub fn link(&self) -> LinkState {
        self.interface.link
    }

    /// The carrier came or went.
    pub fn set_link(&mut self, now: Instant, link: LinkState) {
        if self.interface.link != link {
            self.interface.link = link;
            self.node.handle_interface(now, IFACE, self.interface);
        }
    }

    /// The addresses of the interface itself: what advertisements are sent from. IPv6 takes the link-local one.
    pub fn set_addresses(&mut self, now: Instant, ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>) {
        if (self.interface.ipv4, self.interface.ipv6) != (ipv4, ipv6) {
            (self.interface.ipv4, self.interface.ipv6) = (ipv4, ipv6);
            self.node.handle_interface(now, IFACE, self.interface);
        }
    }

    /// To whom a virtual host advertises: see [`Node::set_peers`]. Asks for their MAC addresses ahead, so that they are
    /// known when they are needed.
    pub fn set_peers(
        &mut self,
        now: Instant,
        host: HostId,
        multicast: bool,
        peers: &[Peer],
    ) -> Result<(), PeersError> {
        self.node.set_peers(now, host, multicast, peers)?;
        if let Some(resolver) = &mut self.resolver {
            for peer in peers {
                let _ = resolver.resolve(now, peer.address);
            }
        }
        Ok(())
    }

    /// The routers for peers outside of our IPv4 and IPv6 network; `None`: all are in it. Has no effect without
    /// [peers](crate::Slots::with_peers).
    pub fn set_gateways(&mut self, ipv4: Option<Gateway>, ipv6: Option<Gateway>) {
        if let Some(resolver) = &mut self.resolver {
            resolver.set_gateways([ipv4, ipv6]);
        }
    }

    /// Advertisements for unicast peers that were lost here, as nobody answered where the peer is. The node takes them
    /// for sent: an operator may look here why a peer hears nothing.
    pub fn unresolved(&self) -> u32 {
        self.unresolved
    }

    /// A whole Ethernet frame came in. Nobody but the holder of a key causes more than a counter to rise, and an
    /// answer to a question.
    ///
    /// Frames with an 802.1Q tag pass: CARP is spoken on the interface, not in its VLANs.
    // Not inlined, like the next one: in the poll of a network stack they spill each other's registers.
    #[inline(never)]
    pub fn receive(&mut self, now: Instant, frame: &[u8], owners: &impl Owners) -> Verdict {
        let Some((&dst, rest)) = frame.split_first_chunk::<6>() else {
            return Verdict::Pass;
        };
        let ether_type = rest.get(6..8);
        if ether_type == Some(&[0x81, 0x00]) || ether_type == Some(&[0x88, 0xa8]) {
            return Verdict::Pass;
        }
        match classify(frame) {
            FrameClass::Carp { meta, payload } => {
                return match self.node.handle_packet(now, IFACE, &meta, payload) {
                    Ok(_) => {
                        if let (Some(resolver), Some(link), 255) = (&mut self.resolver, meta.link, meta.ttl) {
                            resolver.handle_peer(now, meta.src, link.src);
                        }
                        Verdict::Heard
                    }
                    // It has been counted by its reason.
                    Err(_) => Verdict::Swallow,
                };
            }
            FrameClass::ArpRequest {
                target,
                sender,
                sender_mac,
            } => {
                if let Some(resolver) = &mut self.resolver {
                    resolver.handle_asker(now, sender.into(), sender_mac);
                }
                if target != sender {
                    let asked = Asked::Ipv4 { target, sender };
                    return self.asked(target.into(), asked, Some(sender_mac), owners);
                }
            }
            FrameClass::NeighborSolicitation {
                target,
                sender,
                sender_mac,
            } => {
                if let (Some(resolver), Some(mac)) = (&mut self.resolver, sender_mac) {
                    resolver.handle_asker(now, sender.into(), mac);
                }
                let asked = Asked::Ipv6 { target, sender };
                return self.asked(target.into(), asked, sender_mac, owners);
            }
            _ => {
                if let Some(resolver) = &mut self.resolver {
                    resolver.handle_frame(now, frame, self.interface.mac);
                }
            }
        }
        let is_for = |host: &HostId| {
            let config = self.node.config(*host);
            config.is_some_and(|config| config.vhid.mac() == MacAddr(dst) && !owners.is_seated(config.vhid))
        };
        match self.node.hosts().find(is_for) {
            Some(host) if self.node.is_owner(host) => Verdict::Readdress,
            _ => Verdict::Pass,
        }
    }

    /// Time has passed: see [`Node::handle_timeout`]. What is due acts in
    /// [`handle_drained`](Self::handle_drained).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.node.handle_timeout(now);
    }

    /// No received frame waits: see [`Node::handle_drained`]. Says whether a timer acted, so that there may be
    /// something to send.
    pub fn handle_drained(&mut self, now: Instant) -> bool {
        let before = self.next_deadline();
        self.node.handle_drained(now);
        before != self.next_deadline()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.node.next_deadline()
    }

    /// The next frame to be sent: its length in the buffer. Tell what became of it with [`sent`](Self::sent), and
    /// stop when there was no room.
    #[inline(never)]
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        owners: &mut impl Owners,
        frame: &mut [u8; MAX_FRAME_LEN],
    ) -> Option<(usize, Ticket)> {
        while let Some(action) = self.node.poll_action(now, frame) {
            match action {
                Action::SetOwner { host, owner, seq } => {
                    let result = match self.node.config(host) {
                        Some(config) => owners.set_owner(config.vhid, config.mode, owner),
                        None => Ok(()),
                    };
                    self.node.handle_owner_result(now, host, seq, result);
                }
                Action::Transmit {
                    len,
                    next_hop: None,
                    tx,
                    ..
                } => return Some((len, Ticket(Origin::Node(tx)))),
                Action::Transmit {
                    len,
                    next_hop: Some(peer),
                    tx,
                    ..
                } => {
                    let found = match &mut self.resolver {
                        Some(resolver) => resolver.resolve(now, peer),
                        None => Err(Unresolved::Silent),
                    };
                    let result = match (found, frame.first_chunk_mut()) {
                        (Ok(mac), Some(destination)) => {
                            *destination = mac.0;
                            return Some((len, Ticket(Origin::Node(tx))));
                        }
                        (Err(Unresolved::Wait), _) => TransmitResult::Busy,
                        // Sent and lost, as on every other system: a peer that is off is no fault of ours.
                        _ => {
                            self.unresolved = self.unresolved.saturating_add(1);
                            TransmitResult::Sent
                        }
                    };
                    self.node.handle_transmit_result(now, tx, result);
                }
            }
        }
        while let Some(reply) = self.replies.front().copied() {
            if let Some(len) = self.emit(&reply, frame) {
                return Some((len, Ticket(Origin::Reply)));
            }
            self.replies.pop_front();
        }
        let question = self.resolver.as_mut()?.question(now, &self.interface, frame)?;
        Some((question, Ticket(Origin::Question)))
    }

    /// What became of a frame from [`poll_transmit`](Self::poll_transmit). [`TransmitResult::Busy`] if there is no
    /// room now, which is no fault.
    pub fn sent(&mut self, now: Instant, ticket: Ticket, result: TransmitResult) {
        self.busy = result == TransmitResult::Busy;
        match ticket.0 {
            Origin::Node(tx) => self.node.handle_transmit_result(now, tx, result),
            Origin::Reply | Origin::Question if result == TransmitResult::Busy => {}
            Origin::Reply => {
                self.replies.pop_front();
            }
            Origin::Question => {
                if let Some(resolver) = &mut self.resolver {
                    resolver.asked(now);
                }
            }
        }
    }

    /// There was no room for a frame that is about to come again: what room there is by now is kept for it.
    pub(crate) fn keeps_room(&mut self, now: Instant) -> bool {
        self.busy = self.busy && self.next_deadline().is_some_and(|at| at <= now + ROOM_RETRY);
        self.busy
    }

    /// Somebody asks who has an address. Only the owner of it answers.
    fn asked(
        &mut self,
        target: IpAddr,
        address: Asked,
        to_mac: Option<MacAddr>,
        owners: &impl Owners,
    ) -> Verdict {
        let has = |host: &HostId| {
            let config = self.node.config(*host);
            config.is_some_and(|config| config.addresses.contains(&target) && !owners.is_seated(config.vhid))
        };
        let Some(host) = self.node.hosts().find(has) else {
            return Verdict::Pass;
        };
        if let Some(to_mac) = to_mac.filter(|mac| !mac.is_group())
            && self.node.is_owner(host)
        {
            // Too many at once: they ask again.
            let _ = self.replies.push_back(Reply {
                host,
                address,
                to_mac,
            });
        }
        Verdict::Swallow
    }

    fn emit(&self, reply: &Reply, frame: &mut [u8; MAX_FRAME_LEN]) -> Option<usize> {
        let config = self
            .node
            .config(reply.host)
            .filter(|_| self.node.is_owner(reply.host))?;
        let mac = match config.mode {
            LinkMode::Vmac => config.vhid.mac(),
            LinkMode::Plain => self.interface.mac,
        };
        Some(match reply.address {
            Asked::Ipv4 { target, sender } => emit_arp_reply(mac, mac, target, reply.to_mac, sender, frame),
            Asked::Ipv6 { target, sender } => {
                // `sender` is `::` in duplicate address detection: then the answer goes to all nodes.
                emit_neighbor_advertisement(mac, mac, target, reply.to_mac, sender, false, frame)
            }
        })
    }
}
