//! A node and what surrounds it.

use carp_fsm::sim::SEGMENT;
use std::net::{IpAddr, Ipv6Addr};

use carp_fsm::{HostConfig, HostId, Instant, InterfaceInfo, LinkState, Node, Peer, Policy, Profile};
use carp_proto::{AddressSet, AdvBase, AdvSkew, Authenticator, Dialect, HmacVariant, Key, MacAddr, Vhid};

use super::reference::Rank;
use super::scenario::{DEMOTION, Member, Speak};

/// An address of each family.
pub(super) const ADDRS: usize = 2;

/// A node and what surrounds it.
pub(super) struct Seat {
    pub(super) running: Option<(Box<Node<'static, ADDRS>>, HostId)>,
    pub(super) link: bool,
    pub(super) isolated: bool,
    /// It is heard, but hears nobody.
    pub(super) deaf: bool,
    pub(super) demoted: bool,
    /// Kept by its adapter: it holds across restarts.
    pub(super) maintenance: bool,
    pub(super) enabled: bool,
    pub(super) shutdown: bool,
    pub(super) send_errors: bool,
    pub(super) paused: bool,
    pub(super) refuses: bool,
    /// What the adapter was last asked to make true, and did.
    pub(super) owner: Option<bool>,
    /// The hand-over under way, if any, was asked for by the operator, and still is.
    pub(super) asked: bool,
    /// Handed over on request, and not MASTER since.
    pub(super) resigned: bool,
    /// Yielded to an equal, and has heard nobody since.
    pub(super) tied: bool,
    /// The last that was heard is worse, but an equal may be about to preempt it as well.
    pub(super) preempts: bool,
    /// Entered BACKUP, or heard an advertisement there, over IPv4 and over IPv6.
    pub(super) quiet_since: [Instant; 2],
    /// The advskew that it heard last in BACKUP.
    pub(super) heard: Option<u8>,
    /// It had the fast profile, and left it.
    pub(super) left_fast: bool,
    /// It has the new key.
    pub(super) rekeyed: bool,
    /// When it got that, if it has known the old one.
    pub(super) changed: Option<Instant>,
    /// What it sends to the next node does not leave.
    pub(super) unreachable: bool,
    pub(super) sending: Sending,
    /// Since when [`Sending::failing`].
    pub(super) failing_since: Instant,
}

/// Is a node demoted because it cannot send? Counted apart from the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sending {
    pub(super) errors: u8,
    pub(super) successes: u8,
    pub(super) failing: bool,
}

impl Sending {
    /// We let errors add up, and forgive; kernels count errors in a row, and FreeBSD's never forgives.
    pub(super) fn count(&mut self, sent: bool, policy: &Policy, dialect: Dialect) {
        if sent {
            self.successes += 1;
            let forgives = policy.senderr_adds_up || dialect != Dialect::FreeBsd;
            if self.successes >= 3 && (forgives || !self.failing) {
                *self = Self::default();
            } else if !policy.senderr_adds_up && !self.failing {
                self.errors = 0;
            }
            self.successes = self.successes.min(3);
        } else {
            self.successes = 0;
            self.errors = (self.errors + 1).min(3);
            self.failing |= self.errors == 3;
        }
    }
}

impl Seat {
    pub(super) fn empty(now: Instant) -> Self {
        Self {
            running: None,
            link: true,
            isolated: false,
            deaf: false,
            demoted: false,
            maintenance: false,
            enabled: true,
            shutdown: false,
            send_errors: false,
            paused: false,
            refuses: false,
            owner: None,
            asked: false,
            resigned: false,
            tied: false,
            preempts: false,
            quiet_since: [now; 2],
            heard: None,
            left_fast: false,
            rekeyed: false,
            changed: None,
            unreachable: false,
            sending: Sending::default(),
            failing_since: now,
        }
    }

    pub(super) fn fork(&self) -> Self {
        Self {
            running: self.running.as_ref().map(|(node, host)| {
                let copy = node.fork().expect("its memory is its own");
                (Box::new(copy), *host)
            }),
            ..*self
        }
    }

    /// Of a node that runs.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.paused {
            return None;
        }
        self.running.as_ref()?.0.next_deadline()
    }

    /// It heard this in BACKUP.
    pub(super) fn hear(&mut self, rank: Rank) {
        self.heard = Some(rank.interval.to_be_bytes()[1]);
    }

    /// Takes part, and is heard and hears as far as it is not isolated. Who has the addresses already does not need
    /// to be given them.
    pub(super) fn healthy(&self) -> bool {
        let can_own = !self.refuses || self.owner == Some(true);
        self.running.is_some() && self.link && self.enabled && !self.shutdown && !self.send_errors && can_own
    }

    /// Sum of what holds.
    pub(super) fn demotion(&self) -> u16 {
        [
            (self.demoted, DEMOTION),
            (!self.link, 240),
            (self.sending.failing, 240),
        ]
        .into_iter()
        .filter_map(|(holds, weight)| holds.then_some(weight))
        .sum()
    }
}

pub(super) fn interface(index: u8, link: bool) -> InterfaceInfo {
    InterfaceInfo {
        mac: MacAddr([2, 0, 0, 0, 0, index]),
        ipv4: Some([10, 0, 0, index + 1].into()),
        ipv6: Some(link_local(index)),
        link: if link { LinkState::Up } else { LinkState::Down },
    }
}

pub(super) fn link_local(index: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(index) + 1)
}

/// The old key, or the new one.
fn key(rekeyed: bool) -> Key {
    Key::from_bytes([if rekeyed { 8 } else { 7 }; 20])
}

pub(super) fn configuration(member: &Member, speak: Speak, rekeyed: bool) -> HostConfig<ADDRS> {
    HostConfig {
        advbase: AdvBase::new(member.advbase),
        advskew: AdvSkew::new(member.advskew),
        profile: member.fast.map_or(Profile::Normal, Profile::fast),
        preempt: member.preempt,
        dialect: member.dialect,
        addresses: addresses(speak),
        ..HostConfig::new(SEGMENT, VHID, key(rekeyed))
    }
}

/// All other nodes.
pub(super) fn peers(own: u8, members: usize) -> Vec<Peer> {
    let others = (0..).take(members).filter(|index| *index != own);
    let peer = |index: u8| Peer {
        address: IpAddr::from([10, 0, 0, index + 1]),
        min_ttl: 255,
    };
    others.map(peer).collect()
}

/// What the new key signs.
pub(super) fn new_signer(speak: Speak) -> Authenticator {
    Authenticator::new(&key(true), VHID, &addresses(speak), HmacVariant::Plain)
}

const VHID: Vhid = Vhid::new(7).expect("7 is not 0");

fn addresses(speak: Speak) -> AddressSet<ADDRS> {
    let mut addresses = AddressSet::new();
    addresses.insert([192, 0, 2, 7].into()).expect("room");
    if speak == Speak::Both {
        let ipv6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
        addresses.insert(ipv6.into()).expect("room");
    }
    addresses
}
