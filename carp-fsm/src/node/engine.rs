//! How inputs become steps of the machines, and their wishes become actions.

use core::net::IpAddr;

use carp_proto::{Advertisement, Interval, MAX_FRAME_LEN, MULTICAST_V4, MULTICAST_V6, MacAddr, TieRule};

use super::Node;
use crate::action::{Action, TransmitKind, TxId};
use crate::config::{HostConfig, LinkMode, LinkState};
use crate::event::EventKind;
use crate::host::{Asked, Destination, Families, Host, LEFT_FAST, Output, Signature, Wanted};
use crate::id::{HostId, IfaceId, NoSuchHost};
use crate::ledger::Cause;
use crate::machine::{Departure, HandOver, Input, View, Wishes, earlier};
use crate::state::{Family, InitReason, Reason, State};
use crate::stats::bump;
use crate::time::{Duration, Instant};

/// What holds a virtual host back from taking part.
enum Obstacle {
    /// Nothing can be sent either.
    Physical(InitReason),
    /// It is so wished: bow out first.
    Wished(InitReason),
}

impl<const ADDRS: usize> Node<'_, ADDRS> {
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(super) fn clamp(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    pub(super) fn resolve(&self, id: HostId) -> Option<&Host<ADDRS>> {
        self.hosts.get(self.hosts.resolve(id)?)
    }

    pub(super) fn view(&self, slot: u16) -> Option<View> {
        let host = self.hosts.get(slot)?;
        let HostConfig {
            iface,
            dialect,
            advskew,
            preempt,
            preempt_delay,
            group,
            ..
        } = host.config;
        let (advbase, dead_ratio) = host.cadence();
        let (Families { ipv4, ipv6 }, demotion) = (host.waits(), self.demotion(group));
        let interface = self.interface(iface);
        Some(View {
            dialect,
            policy: self.policy,
            advbase,
            advskew,
            dead_ratio,
            demotion,
            // Whoever is better takes the rest.
            preempt: preempt || (self.policy.fails_over_as_group && self.is_split(group)),
            preempt_delay,
            mac: interface.map_or(MacAddr([0; 6]), |interface| interface.mac),
            maintenance: self.maintenance,
            ipv4,
            ipv6,
        })
    }

    pub(super) fn alter(
        &mut self,
        now: Instant,
        id: HostId,
        change: impl FnOnce(&mut Host<ADDRS>),
    ) -> Result<(), NoSuchHost> {
        let now = self.clamp(now);
        let slot = self.hosts.resolve(id).ok_or(NoSuchHost(id))?;
        change(self.hosts.get_mut(slot).ok_or(NoSuchHost(id))?);
        self.settle(now, slot);
        self.hosts.push_ready(slot);
        Ok(())
    }

    pub(super) fn command(&mut self, now: Instant, id: HostId, input: Input) -> Result<(), NoSuchHost> {
        let now = self.clamp(now);
        let slot = self.hosts.resolve(id).ok_or(NoSuchHost(id))?;
        self.step(now, slot, input, None);
        Ok(())
    }

    /// One step of one machine, and what follows from it.
    pub(super) fn step(&mut self, now: Instant, slot: u16, input: Input, peer: Option<IpAddr>) {
        let Some(view) = self.view(slot) else { return };
        let id = self.hosts.id(slot);
        let Some(host) = self.hosts.get_mut(slot) else {
            return;
        };
        let effects = host.machine.step(now, input, &view);
        let mut wishes = effects.wishes;
        if let Some(transition) = effects.transition {
            if transition.to == State::Master {
                bump(&mut self.stats.preempt);
            }
            if transition.to == State::Init {
                host.marks.put(LEFT_FAST, false);
            }
            if transition.from == State::Init {
                // A bow-out that still waits would disturb whoever has taken over meanwhile.
                host.silence();
            }
            let yields = transition.to == State::Backup && wishes.contains(Wishes::DISOWN);
            if yields && host.config.mode == LinkMode::Plain && view.policy.linger > Duration::ZERO {
                wishes = wishes.without(Wishes::DISOWN);
                host.silence();
                host.waits_until = Some(now + view.policy.linger);
            }
            let kind = EventKind::Transition {
                host: id,
                from: transition.from,
                to: transition.to,
                reason: transition.reason,
                peer,
            };
            self.events.push(now, kind);
        }
        if let Some(outcome) = effects.hand_over {
            let done = matches!(outcome, HandOver::Done(_));
            if done {
                // The successor is there; a bow-out that still waits would only disturb it.
                host.silence();
            }
            let kind = EventKind::HandOver {
                host: id,
                outcome,
                peer: peer.filter(|_| done),
            };
            self.events.push(now, kind);
        }
        if wishes.contains(Wishes::DISOWN) {
            host.waits_until = None;
        }
        host.wish(wishes);
        if wishes.contains(Wishes::OWN) {
            host.pending.announce_in_a_row(view.policy.announce_burst);
        }
        // One that is being removed is forgotten when it has nothing left to do.
        if !wishes.is_empty() || host.wanted == Wanted::Removed {
            self.hosts.push_ready(slot);
        }
        self.reschedule(slot);
        if let Some(transition) = effects.transition {
            if let Some(splits) = self.parts.splits {
                (splits.look_later)(self, now, slot, transition);
            }
            if matches!(transition.reason, Reason::MasterTimedOut | Reason::FollowingGroup) {
                self.offer_if_lost(now, slot);
            }
        }
    }

    /// The interface has another MAC address: in plain mode that is where clients send to.
    pub(super) fn announce_mac(&mut self, slot: u16) {
        let told = |host: &&mut Host<ADDRS>| {
            host.is_owner() && host.state() == State::Master && host.config.mode == LinkMode::Plain
        };
        if let Some(host) = self.hosts.get_mut(slot).filter(told) {
            host.wish(Wishes::ANNOUNCE);
            self.hosts.push_ready(slot);
        }
    }

    pub(super) fn reschedule(&mut self, slot: u16) {
        let Some(host) = self.hosts.get(slot) else { return };
        let change = host
            .changing
            .and_then(|_| (self.parts.keys?.until)(&self.keys, slot));
        let deadline = earlier(host.deadline(), change);
        self.hosts.set_deadline(slot, deadline);
    }

    /// A MASTER without its addresses is none.
    pub(super) fn refused(&mut self, now: Instant, slot: u16) {
        let first_retry = self.policy.refused_retry.as_micros();
        let Some(host) = self.hosts.get_mut(slot) else {
            return;
        };
        let wait = Duration::from_micros(first_retry.saturating_mul(1 << host.refusals.min(6)));
        host.refusals = host.refusals.saturating_add(1);
        self.step(now, slot, Input::Refused(now + wait), None);
    }

    /// Every timer that is due acts, the earliest first.
    pub(super) fn run_timers(&mut self, now: Instant) {
        let mut awake = false;
        while let Some(due) = self.hosts.earliest().filter(|(deadline, _)| *deadline <= now) {
            self.run_timer(now, due.1);
            // Only where time ends, and no deadline can be set beyond it.
            if self.hosts.earliest() == Some(due) {
                break;
            }
            awake = true;
        }
        while awake {
            awake = self.bring_forward(now);
        }
        if let Some(splits) = self.parts.splits {
            // In this order: what moved here a moment ago, by a timer or by what was heard, is no longer told from what
            // moved long ago once somebody has looked.
            (splits.hurry)(self, now);
            (splits.look)(self, now);
        }
    }

    /// Sends the advertisement that is due next, if that is a moment from now.
    fn bring_forward(&mut self, now: Instant) -> bool {
        let due = |(deadline, slot): (Instant, u16)| {
            let (host, view) = (self.hosts.get(slot)?, self.view(slot)?);
            let sixteenth = Duration::from_micros(view.interval().micros() / 16);
            let early = deadline - now;
            let is_due = early > Duration::ZERO
                && early <= view.policy.brings_forward.min(sixteenth)
                && host.machine.advertises_at() == Some(deadline);
            is_due.then_some((deadline, slot))
        };
        let Some((deadline, slot)) = self.hosts.earliest().and_then(due) else {
            return false;
        };
        // For this machine it is that time already.
        self.time_out(deadline, slot);
        true
    }

    fn run_timer(&mut self, now: Instant, slot: u16) {
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        let retry = self.policy.senderr_retry;
        let Some(host) = self.hosts.get_mut(slot) else {
            return;
        };
        if due(&mut host.waits_until) {
            host.pending.resume();
            host.let_go();
            self.hosts.push_ready(slot);
        }
        if let Some(keys) = self.parts.keys {
            (keys.end_change)(self, now, slot);
        }
        let Some(host) = self.hosts.get_mut(slot) else {
            return;
        };
        if due(&mut host.sending.retry_at) {
            if host.state() == State::Master {
                host.sending.try_later(now, retry);
            } else {
                host.forgive();
                self.judge_sending(now, slot);
            }
        }
        if self
            .hosts
            .get(slot)
            .is_some_and(|host| host.state() == State::Init)
        {
            // Time to try again, if it may take part at all.
            self.settle(now, slot);
        } else {
            self.time_out(now, slot);
        }
    }

    fn time_out(&mut self, at: Instant, slot: u16) {
        let host = self.hosts.get_mut(slot);
        if host.is_some_and(|host| host.misses_round(at, &self.policy)) {
            self.judge_sending(self.now, slot);
        }
        self.step(at, slot, Input::Timeout, None);
    }

    /// The verdict on sending changed.
    pub(super) fn judge_sending(&mut self, now: Instant, slot: u16) {
        let Some(host) = self.hosts.get(slot) else { return };
        let id = self.hosts.id(slot);
        let (group, failing) = (host.config.group, host.sending.failing_since.is_some());
        self.weigh(now, group, Cause::SendErrors(id), failing);
    }

    /// Brings the machine into line with whether it can and may take part.
    pub(super) fn settle(&mut self, now: Instant, slot: u16) {
        let Some(host) = self.hosts.get(slot) else { return };
        let input = match self.obstacle(host) {
            None => Input::Start,
            Some(Obstacle::Physical(reason)) => Input::Stop(reason),
            Some(Obstacle::Wished(reason)) => Input::Leave(Departure::Stop(reason)),
        };
        self.step(now, slot, input, None);
    }

    /// The addresses of a host changed. Kernels then start it over, OpenBSD's only if one was added.
    pub(super) fn readdress(&mut self, now: Instant, slot: u16, added: bool) {
        let host = self.hosts.get(slot);
        let by_removal = host.is_some_and(|host| host.config.dialect.rules().removal_restarts);
        if !self.policy.live_changes && (added || by_removal) {
            self.step(now, slot, Input::Stop(InitReason::AddressesChanged), None);
        }
        self.settle(now, slot);
        if let Some(host) = self.hosts.get_mut(slot).filter(|host| host.is_owner()) {
            // Other addresses than those it has: asked for even though it owns.
            host.asked.again();
            if host.state() == State::Master {
                host.wish(Wishes::OWN.with(Wishes::ANNOUNCE));
                self.hosts.push_ready(slot);
            }
        }
    }

    fn obstacle(&self, host: &Host<ADDRS>) -> Option<Obstacle> {
        let Some(interface) = self.interface(host.config.iface) else {
            return Some(Obstacle::Physical(InitReason::NoInterface));
        };
        if !self.carries(interface.link) {
            return Some(Obstacle::Physical(InitReason::LinkDown));
        }
        if host.config.addresses.is_empty() && !self.policy.election_only {
            return Some(Obstacle::Physical(InitReason::NoAddress));
        }
        let wished = [
            (self.shutting_down, InitReason::ShuttingDown),
            (host.wanted == Wanted::Removed, InitReason::Removed),
            (host.wanted == Wanted::Disabled, InitReason::Disabled),
        ];
        wished
            .into_iter()
            .find(|(wished, _)| *wished)
            .map(|(_, reason)| Obstacle::Wished(reason))
    }

    pub(super) fn carries(&self, link: LinkState) -> bool {
        match link {
            LinkState::Up => true,
            LinkState::Down => false,
            LinkState::Unknown => self.policy.unknown_link_is_up,
        }
    }

    pub(super) fn forget_if_removed(&mut self, now: Instant, slot: u16) {
        let Some(host) = self.hosts.get(slot) else { return };
        let gone = host.wanted == Wanted::Removed
            && host.state() == State::Init
            && host.pending.is_empty()
            && host.waits_until.is_none();
        if gone && !host.is_owner() {
            let group = host.config.group;
            let cause = match host.sending.failing_since {
                Some(_) => Cause::SendErrors(self.hosts.id(slot)),
                None => Cause::LinkDown(host.config.iface),
            };
            self.hosts.remove(slot);
            self.forget(slot);
            self.weigh(now, group, cause, false);
        }
    }

    /// Is there room in the window for this announcement? Else the host has its turn later, for all that it has
    /// left to announce, and says everything else meanwhile.
    pub(super) fn may_announce(&mut self, now: Instant, slot: u16, output: Output) -> bool {
        let window = self.policy.announce_window.as_micros();
        // Of 32 bits: a division of 64 is a kilobyte on small processors. Longer than 71 minutes is as good as that.
        let micros = u32::try_from(window).unwrap_or(u32::MAX);
        let Some(each) = micros
            .checked_div(self.policy.announce_frames.into())
            .map(u64::from)
        else {
            return true;
        };
        let Some(host) = self.hosts.get_mut(slot) else {
            return false;
        };
        let (left, granted) = host.pending.announcements(host.config.addresses.len());
        if granted {
            return true;
        }
        let begins = self.announced_until.max(now);
        let takes = |frames| Duration::from_micros(each.saturating_mul(frames));
        if begins - now < self.policy.announce_window {
            self.announced_until = begins + takes(1);
            return true;
        }
        self.announced_until = begins + takes(u64::try_from(left).unwrap_or(u64::MAX));
        // When all of them fit into the window.
        let wait = Duration::from_micros((self.announced_until - now).as_micros().saturating_sub(window));
        host.restore(now, output);
        host.pending.pace();
        host.waits_until = Some(now + wait.max(Duration::from_micros(1)));
        self.reschedule(slot);
        false
    }

    pub(super) fn act(
        &mut self,
        slot: u16,
        output: Output,
        frame: &mut [u8; MAX_FRAME_LEN],
    ) -> Option<Action> {
        let id = self.hosts.id(slot);
        let view = self.view(slot)?;
        let chance = self.draw_counter();
        let host = self.hosts.get_mut(slot)?;
        let iface = host.config.iface;
        let interface = || self.interfaces.get(usize::from(iface.0))?.info;
        let (kind, to, by, interval) = match output {
            Output::Own | Output::Disown => {
                let mut owner = output == Output::Own;
                if owner && host.asked == Asked::Nothing {
                    // What an earlier process left behind comes off even if nobody drained until now.
                    owner = false;
                    host.wish(Wishes::OWN);
                }
                // Who yields and takes over again within the linger owns all the time.
                if !host.asked.ask(owner) {
                    return None;
                }
                host.owner_seq = host.owner_seq.wrapping_add(1);
                return Some(Action::SetOwner {
                    host: id,
                    owner,
                    seq: host.owner_seq.into(),
                });
            }
            Output::Announce(index) => {
                return Some(Action::Transmit {
                    iface,
                    host: id,
                    kind: TransmitKind::Announcement,
                    len: host.emit_announcement(index, &interface()?, frame)?,
                    next_hop: None,
                    tx: TxId { host: id, output },
                });
            }
            Output::Advertise(to, by) => (TransmitKind::Advertisement, to, by, view.interval()),
            Output::BowOut(to, by) => (TransmitKind::BowOut, to, by, Interval::BOW_OUT),
        };
        let interface = interface()?;
        let older = match by {
            Signature::InForce => None,
            Signature::Older => Some((self.parts.keys?.signing)(&self.keys, slot)?),
        };
        let peer = to.peer();
        let to = match peer {
            Some(index) => (self.parts.peers?.address)(&self.peers, slot, index)?,
            None if to == Destination::IPV4 => MULTICAST_V4.into(),
            None => MULTICAST_V6.into(),
        };
        let counter = host.next_counter(&self.policy, chance);
        if let Some(replays) = self.parts.replays {
            (replays.sent)(&mut self.memory, self.now, slot, counter, interval);
        }
        let advertisement = Advertisement {
            vhid: host.config.vhid,
            advbase: interval.base(),
            advskew: interval.skew(),
            demotion: view.demotion_byte(),
            counter,
            digest: older.unwrap_or(&host.authenticator).sign(counter),
        };
        let len = host.emit_advertisement(&advertisement, to, &interface, frame)?;
        bump(match Family::of(to) {
            Family::Ipv4 => &mut self.stats.opackets,
            Family::Ipv6 => &mut self.stats.opackets6,
        });
        Some(Action::Transmit {
            iface,
            host: id,
            kind,
            len,
            next_hop: peer.map(|_| to),
            tx: TxId { host: id, output },
        })
    }

    fn draw_counter(&mut self) -> u64 {
        loop {
            let counter = self.random.draw();
            if counter != 0 {
                return counter;
            }
        }
    }

    /// UCarp breaks ties by comparing addresses as they lie in a little-endian machine's memory.
    pub(super) fn has_lower_source(&self, slot: u16, iface: IfaceId, peer: IpAddr) -> bool {
        let raw = |address: core::net::Ipv4Addr| u32::from_le_bytes(address.octets());
        let ties = |host: &Host<ADDRS>| host.config.dialect.rules().tie == TieRule::HigherLittleEndianSource;
        let Some(host) = self.hosts.get(slot).filter(|host| ties(host)) else {
            return false;
        };
        // Without an address of its own it sends from a virtual one.
        let own = self.interface(iface).and_then(|interface| interface.ipv4);
        let own = own.or_else(|| host.config.addresses.ipv4().next());
        matches!((peer, own), (IpAddr::V4(peer), Some(own)) if raw(peer) < raw(own))
    }
}
