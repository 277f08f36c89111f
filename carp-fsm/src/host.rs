//! One virtual host inside a node: its machine, what it wishes done, and its frames.

use core::net::IpAddr;

use carp_proto::frame::{self, MAX_FRAME_LEN};
use carp_proto::{
    Advertisement, AnnouncementSource, Authenticator, Counter, CounterRule, Envelope, Interval, MacAddr,
};
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::config::{HostConfig, InterfaceInfo, LinkMode};
use crate::machine::{Machine, Wishes, earlier};
use crate::policy::Policy;
use crate::state::{Family, InitReason, State};
use crate::time::{Duration, Instant};

/// How soon a frame for which there was no room is tried again.
const BUSY_RETRY: Duration = Duration::from_millis(2);

#[derive(Clone, Debug)]
pub(crate) struct Host<const ADDRS: usize> {
    pub(crate) config: HostConfig<ADDRS>,
    /// Of the configuration and the form that is sent.
    pub(crate) authenticator: Authenticator,
    /// Key or addresses changed lately: an older authenticator signs, too.
    pub(crate) changing: Option<Changing>,
    pub(crate) machine: Machine,
    pub(crate) pending: Pending,
    /// To whom it advertises.
    pub(crate) unicast: Unicast,
    pub(crate) wanted: Wanted,
    /// What the adapter was last asked to make true.
    pub(crate) asked: Asked,
    /// Of what it was last asked; a result that comes later is for another.
    pub(crate) owner_seq: u8,
    /// MASTER: there is no room to transmit, or announcements wait for their turn, until then. Else: addresses are
    /// kept until then.
    pub(crate) waits_until: Option<Instant>,
    pub(crate) refusals: u8,
    /// The counter last sent, or (where the dialect follows it) heard; 0 before the first.
    pub(crate) counter: LastCounter,
    pub(crate) marks: Marks,
    pub(crate) sending: SendHealth,
    pub(crate) peer: Option<PeerSeen>,
}

/// What the operator wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    /// To take part.
    Enabled,
    Disabled,
    /// To go as soon as nothing is pending; there is no way back.
    Removed,
}

/// A counter, or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed(4))] // with the alignment of a u64, every host would be larger by 8 bytes
pub(crate) struct LastCounter(u64);

/// The last valid advertisement of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSeen {
    /// Its source address.
    pub source: IpAddr,
    /// Its advbase and advskew.
    pub interval: Interval,
    /// When it came.
    pub at: Instant,
}

impl<const ADDRS: usize> Host<ADDRS> {
    pub(crate) fn new(now: Instant, config: HostConfig<ADDRS>) -> Self {
        Self {
            authenticator: authenticator(&config, config.dialect.rules().hmac_sent),
            changing: None,
            machine: Machine::new(now, InitReason::NoInterface),
            // What an earlier process may have left behind comes off first.
            pending: Pending::disown(),
            unicast: Unicast::NONE,
            wanted: Wanted::Enabled,
            asked: Asked::Nothing,
            owner_seq: 0,
            waits_until: None,
            refusals: 0,
            counter: LastCounter(0),
            marks: Marks::NONE,
            sending: SendHealth::default(),
            peer: None,
            config,
        }
    }

    /// Does it listen to advertisements of this family (`carp_find_ifa`, `carp_proto_input_c`, §3)?
    pub(crate) fn listens(&self, family: Family, policy: &Policy) -> bool {
        let deaf = self.config.dialect.rules().deaf_in_init && !policy.hears_in_init;
        if self.state() == State::Init && deaf {
            return false;
        }
        match family {
            Family::Ipv4 => self.sends().ipv4,
            Family::Ipv6 => self.sends().ipv6,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let own = earlier(self.machine.deadline(), self.sending.retry_at);
        earlier(own, self.waits_until)
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(crate) fn wish(&mut self, wishes: Wishes) {
        if wishes.contains(Wishes::OWN) {
            self.waits_until = None;
        }
        let (to, older) = (self.destinations(), self.older_destinations());
        self.sending.wish(wishes, to);
        if wishes.contains(Wishes::BOW_OUT) || wishes.contains(Wishes::ADVERTISE) {
            self.marks.put(BOWS_OUT, wishes.contains(Wishes::BOW_OUT));
            self.marks.put(HELD_BACK, false);
        }
        self.pending.add(wishes, to, older, self.marks.has(BOWS_OUT));
    }

    /// Nothing more is said.
    pub(crate) fn silence(&mut self) {
        self.sending.forget_round();
        self.pending.silence();
    }

    /// While there is no room to transmit, nothing is done; the timer brings it back.
    pub(crate) fn waits_for_room(&self) -> bool {
        let speaks = self.state() == State::Master || self.is_refused();
        self.waits_until.is_some() && speaks && !self.pending.is_paced()
    }

    /// The next thing to do, in the order that is safe.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        // Where clients learn a new MAC address, they learn it before the old master hears us and lets go.
        let announce_first =
            self.config.mode == LinkMode::Plain || self.config.dialect.rules().announces_first;
        let bows_out = self.marks.has(BOWS_OUT);
        self.pending
            .next(announce_first, bows_out, self.config.addresses.len())
    }

    /// Writes the frame of an advertisement to a group of CARP, or to a peer.
    pub(crate) fn emit_advertisement(
        &self,
        advertisement: &Advertisement,
        to: IpAddr,
        interface: &InterfaceInfo,
        buffer: &mut [u8; MAX_FRAME_LEN],
    ) -> Option<usize> {
        let HostConfig {
            vhid,
            dialect,
            addresses,
            ..
        } = &self.config;
        // Without an address of its own the interface speaks from a virtual one (`carp_best_ifa`, §1).
        let mut envelope = match to {
            IpAddr::V4(_) => {
                let own = interface.ipv4.or_else(|| addresses.ipv4().next());
                Envelope::multicast_v4(*vhid, own.unwrap_or(Ipv4Addr::UNSPECIFIED), *dialect)
            }
            IpAddr::V6(_) => {
                let own = interface.ipv6.or_else(|| addresses.ipv6().next());
                Envelope::multicast_v6(*vhid, own.unwrap_or(Ipv6Addr::UNSPECIFIED), *dialect)
            }
        };
        if !to.is_multicast() {
            envelope.dst = to;
            envelope.dst_mac = UNRESOLVED;
            // The interface's own, as FreeBSD does: switches learn no virtual one in vain.
            envelope.src_mac = interface.mac;
        }
        if let Some(dscp) = self.config.dscp {
            envelope.tos = dscp.tos();
        }
        frame::emit_advertisement(advertisement, &envelope, *dialect, buffer)
    }

    /// Writes the frame that announces the address of this index; `None` if there is none.
    pub(crate) fn emit_announcement(
        &self,
        index: u8,
        interface: &InterfaceInfo,
        buffer: &mut [u8; MAX_FRAME_LEN],
    ) -> Option<usize> {
        let virtual_mac = self.config.vhid.mac();
        let owner = match self.config.mode {
            LinkMode::Vmac => virtual_mac,
            LinkMode::Plain => interface.mac,
        };
        let ethernet_source = match (self.config.mode, self.config.dialect.rules().announcement_source) {
            (LinkMode::Vmac, AnnouncementSource::VirtualMac) => virtual_mac,
            // From no advertisement do switches learn where the virtual MAC address is.
            (LinkMode::Vmac, _) if !self.unicast.is_multicast() => virtual_mac,
            _ => interface.mac,
        };
        Some(match self.config.addresses.iter().nth(usize::from(index))? {
            IpAddr::V4(address) => frame::emit_gratuitous_arp(ethernet_source, owner, address, buffer),
            IpAddr::V6(address) => frame::emit_unsolicited_na(ethernet_source, owner, address, false, buffer),
        })
    }

    pub(crate) fn state(&self) -> State {
        self.machine.state()
    }

    /// The counter of the next advertisement. `chance` is never 0: a fresh OpenBSD backup takes 0 for its
    /// own (§6).
    pub(crate) fn next_counter(&mut self, policy: &Policy, chance: u64) -> Counter {
        let LastCounter(last) = self.counter;
        let next = match self.config.dialect.rules().counter {
            _ if policy.fresh_counters => chance,
            CounterRule::RandomThenFollow if self.marks.has(FOLLOWS) => last.wrapping_add(1),
            CounterRule::Cookie if last != 0 => last,
            CounterRule::RandomThenFollow | CounterRule::Cookie => chance,
        };
        self.counter = LastCounter(next);
        Counter::new(next)
    }

    /// Of the last advertisement, sent or not; 0 before the first.
    pub(crate) fn last_counter(&self) -> u64 {
        let LastCounter(last) = self.counter;
        last
    }

    #[cfg(feature = "sim")]
    pub(crate) fn set_counter(&mut self, next: u64) {
        self.counter = LastCounter(match self.config.dialect.rules().counter {
            CounterRule::RandomThenFollow => next.wrapping_sub(1),
            CounterRule::Cookie => next,
        });
        self.marks.put(FOLLOWS, true);
    }

    /// A counter was heard in a valid advertisement. False: it is our own come back, where the dialect
    /// looks for that (`carp_proto_input_c`, §6).
    pub(crate) fn hears_counter(&mut self, policy: &Policy, heard: Counter) -> bool {
        let rules = self.config.dialect.rules();
        if rules.own_counter_is_loop && LastCounter(heard.get()) == self.counter {
            return false;
        }
        if !policy.fresh_counters && rules.counter == CounterRule::RandomThenFollow {
            self.counter = LastCounter(heard.get());
            self.marks.put(FOLLOWS, true);
        }
        true
    }

    pub(crate) fn is_owner(&self) -> bool {
        self.asked.is_owner()
    }

    /// The addresses could not be taken off: it is tried again, unless a MASTER wants them by now.
    pub(crate) fn still_there(&mut self, now: Instant, retry: Duration) {
        self.asked.again();
        if self.state() != State::Master {
            self.waits_until = Some(now + retry.max(BUSY_RETRY));
        }
    }

    /// There was no room for a frame. It is still to be sent, unless something contrary was wished since:
    /// who bowed out does not advertise, and who has left MASTER has nothing more to say.
    pub(crate) fn restore(&mut self, now: Instant, output: Output) {
        let still_meant = match output {
            Output::BowOut(..) => self.machine.is_leaving() || self.is_refused(),
            Output::Advertise(..) => self.state() == State::Master && !self.machine.is_leaving(),
            Output::Announce(_) => self.state() == State::Master,
            Output::Own | Output::Disown => false,
        };
        if still_meant {
            self.pending.restore(output);
            self.pending.give_way();
            self.waits_until = Some(now + BUSY_RETRY);
        }
    }

    /// A wait has ended: addresses that it keeps go, and of what was held back only the bow-out is still meant whose
    /// addresses were refused.
    pub(crate) fn let_go(&mut self) {
        if self.state() != State::Master {
            self.marks.put(BOWS_OUT, self.is_refused());
            self.wish(Wishes::DISOWN);
        }
    }

    /// It could not have the addresses, and waits to try again: whoever else waits is to take over at once.
    fn is_refused(&self) -> bool {
        self.machine.init_reason() == Some(InitReason::AddressRefused)
    }
}

/// The adapter finds out the MAC address of a peer.
const UNRESOLVED: MacAddr = MacAddr([0; 6]);

mod asked;
mod changing;
mod destinations;
#[cfg(feature = "sim")]
mod election;
mod marks;
mod pending;
mod sending;
#[cfg(test)]
mod tests;

pub(crate) use asked::Asked;
use changing::authenticator;
pub(crate) use changing::{Changing, Families};
use destinations::Destinations;
pub(crate) use destinations::{Destination, MAX_PEERS, Unicast};
pub(crate) use marks::{BOWS_OUT, FOLLOWS, HELD_BACK, IGNORES_LINK, IGNORES_SENDING, LEFT_FAST, Marks};
pub(crate) use pending::{Output, Pending, Signature};
#[cfg(feature = "sim")]
use sending::SEND_THRESHOLD;
use sending::SendHealth;
