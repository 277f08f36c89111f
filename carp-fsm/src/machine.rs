//! The election of one virtual host: a pure function of (now, input, view) to effects.
//!
//! No I/O, no frames, no keys: everything here can be tested as a table. Rules: `docs/protocol.md`
//! §7 to §11; the BSD functions behind them are named where they apply.

use carp_proto::Interval;

use crate::state::{InitReason, Reason, State, Transition};
use crate::time::{Duration, Instant};

/// The election of one virtual host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    role: Role,
    /// Of the state.
    since: Instant,
}

impl Machine {
    /// In INIT from now on, for this reason.
    pub const fn new(now: Instant, reason: InitReason) -> Self {
        Self {
            role: Role::Init { reason, retry: None },
            since: now,
        }
    }

    /// INIT, BACKUP or MASTER. A MASTER that bowed out is MASTER until it lets go.
    pub const fn state(&self) -> State {
        match self.role {
            Role::Init { .. } => State::Init,
            Role::Backup { .. } => State::Backup,
            Role::Master { .. } | Role::Leaving { .. } => State::Master,
        }
    }

    /// Since when it is in this state.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// Why it is in INIT, if it is.
    pub const fn init_reason(&self) -> Option<InitReason> {
        match self.role {
            Role::Init { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// It bowed out and waits for its successor.
    pub const fn is_leaving(&self) -> bool {
        matches!(self.role, Role::Leaving { .. })
    }

    /// It will bow out for whoever is better, at the next deadline.
    pub const fn offers(&self) -> bool {
        matches!(self.role, Role::Master { tenure, .. } if tenure.offers())
    }

    /// Since when it has bowed out to hand over, and not because it stops.
    const fn handing_over_since(&self) -> Option<Instant> {
        match self.role {
            Role::Leaving {
                since,
                then: Departure::HandOver | Departure::StepBack | Departure::Offer,
                ..
            } => Some(since),
            _ => None,
        }
    }

    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self.role {
            Role::Init { retry, .. } => retry,
            Role::Backup { down4, down6, .. } => earlier(down4, down6),
            Role::Master { next_ad, .. } => Some(next_ad),
            Role::Leaving { until, .. } => Some(until),
        }
    }

    /// When a periodic advertisement is due, if it is MASTER and not on its way out.
    pub const fn advertises_at(&self) -> Option<Instant> {
        match self.role {
            Role::Master { next_ad, .. } => Some(next_ad),
            _ => None,
        }
    }

    /// One step. Every rule of the election is below this line, or in the modules of this one.
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: what it is inlined into is too large for its registers
    pub fn step(&mut self, now: Instant, input: Input, view: &View) -> Effects {
        let (before, from) = (self.role, self.state());
        let asked = self.handing_over_since();
        let Reaction { mut wishes, reason } = self.react(now, input, view);
        let to = self.state();
        // INIT for another reason is the same state.
        let transition = reason
            .filter(|_| from != to)
            .map(|reason| Transition { from, to, reason });
        if transition.is_some() {
            self.since = now;
        }
        if from == State::Master && to != State::Master {
            wishes = wishes.with(Wishes::DISOWN);
        }
        let hand_over = match (before, input) {
            (Role::Leaving { since, .. }, Input::Heard { .. }) if to != State::Master => {
                Some(HandOver::Done(now - since))
            }
            (_, Input::Leave(Departure::HandOver | Departure::StepBack))
                if self.handing_over_since().is_none() =>
            {
                Some(HandOver::NotMaster)
            }
            // Whatever ends a hand-over, a stop that overrides it included, who asked for it is told.
            _ => asked
                .filter(|_| self.handing_over_since().is_none())
                .map(|since| HandOver::NobodyTookOver(now - since)),
        };
        Effects {
            wishes,
            transition,
            hand_over,
        }
    }

    fn react(&mut self, now: Instant, input: Input, view: &View) -> Reaction {
        match input {
            Input::Start => self.start(now, view),
            Input::Stop(reason) => self.become_init(reason, None),
            Input::Refused(retry) => self.refused(retry),
            Input::Leave(departure) => self.leave(now, departure, view),
            Input::Heard {
                family,
                interval,
                demotion,
                lower_source,
            } => match self.role {
                Role::Backup { .. } => self.heard_as_backup(now, family, interval, demotion, view),
                Role::Master {
                    tenure: Tenure::Kept, ..
                } if !view.maintenance && is_tie(interval, demotion, view) => Reaction::default(),
                Role::Master { ties, tenure, .. }
                    if master_yields(interval, demotion, lower_source, view) =>
                {
                    let tie = is_tie(interval, demotion, view);
                    let ties = if view.policy.parts_equals && tie {
                        // 0 is no tie.
                        ties.checked_add(1).unwrap_or(1)
                    } else {
                        0
                    };
                    let reason = Reason::MoreFrequentAdvertisement;
                    let reaction = self.follow(now, reason, interval, false, ties, view);
                    if tie || !(tenure.is_settled() && view.policy.answer_worse_master) {
                        return reaction;
                    }
                    reaction.with(Wishes::ADVERTISE)
                }
                // A bow-out is no master, but it came from the virtual MAC address: with two families the second
                // one can follow our first advertisement, and switches must be told again where the address is.
                Role::Master { .. } if interval != Interval::BOW_OUT || !view.maintenance => {
                    self.answer_worse_master(now, interval, view)
                }
                Role::Init { .. } | Role::Master { .. } => Reaction::default(),
                Role::Leaving { .. } if interval == Interval::BOW_OUT => Reaction::default(),
                Role::Leaving { then, .. } => {
                    let better = !is_tie(interval, demotion, view)
                        && master_yields(interval, demotion, lower_source, view);
                    self.heard_successor(now, interval, better, then, view)
                }
            },
            Input::Timeout => self.timeout(now, view),
            Input::DemotionChanged { worse } => self.demotion_changed(now, worse, view),
            Input::Reconfigured => self.reconfigured(now, view),
            Input::Overdue(at) => self.hurry(at),
            Input::Force(state) => self.force(now, state, view),
        }
    }

    /// `carp_setrun` in INIT: always wait in BACKUP first (§8).
    fn start(&mut self, now: Instant, view: &View) -> Reaction {
        match self.role {
            // Refused addresses are not asked for again before their time, whatever else happens.
            Role::Init {
                retry: Some(retry), ..
            } if now < retry => Reaction::default(),
            Role::Init { .. } => self.become_backup(now, Reason::InitializationComplete, view),
            // The stop was taken back while the successor was still awaited.
            Role::Leaving {
                then: Departure::Stop(_),
                ..
            } => self.stay_master(now, view),
            _ => Reaction::default(),
        }
    }

    fn timeout(&mut self, now: Instant, view: &View) -> Reaction {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Reaction::default();
        }
        match &mut self.role {
            Role::Init { .. } => self.start(now, view),
            // Either family alone is enough (`carp_master_down`, §8).
            Role::Backup { because, .. } => {
                let because = *because;
                if because == Reason::PreemptingSlowerMaster && !view.preempt {
                    self.stop_preempting(now, view);
                    return Reaction::default();
                }
                self.become_master(now, because, view)
            }
            Role::Master { tenure, .. } if tenure.offers() && view.maintenance => {
                self.bow_out(now, Departure::StepBack, view)
            }
            Role::Master { tenure, .. } if tenure.offers() => self.bow_out(now, Departure::Offer, view),
            Role::Master {
                next_ad,
                reannounce,
                tenure,
                ties,
                ..
            } => {
                *ties = 0;
                if *tenure == Tenure::Kept {
                    *tenure = Tenure::Settled;
                }
                // Counted from the deadline, not from now, so that lateness does not add up; what was
                // slept through is not made up for.
                let period = view.period(view.effective_skew());
                let next = *next_ad + period;
                *next_ad = if view.policy.keeps_pace && next > now {
                    next
                } else {
                    now + period
                };
                let mut wishes = Wishes::ADVERTISE;
                if *reannounce == 1 {
                    wishes = wishes.with(Wishes::ANNOUNCE);
                    *tenure = Tenure::Settled;
                }
                *reannounce = match *reannounce {
                    1 => view.refresh(),
                    n => n.saturating_sub(1),
                };
                Reaction::wish(wishes)
            }
            Role::Leaving { then, .. } => match *then {
                Departure::Stop(reason) => self.become_init(reason, None),
                Departure::HandOver | Departure::StepBack | Departure::Offer => self.stay_master(now, view),
            },
        }
    }

    /// What changed is advertised at once (`carp_demote_adj`, §10).
    fn demotion_changed(&mut self, now: Instant, worse: bool, view: &View) -> Reaction {
        let told = worse || view.policy.tells_recovery || view.dialect.rules().tells_recovery;
        match &mut self.role {
            Role::Master { next_ad, tenure, .. } => {
                *tenure = tenure.offering(tenure.offers() && worse);
                if told {
                    *next_ad = now + view.period(view.effective_skew());
                    return Reaction::wish(Wishes::ADVERTISE);
                }
            }
            // No longer the equal that it was, and perhaps no longer better than the master.
            _ => self.stop_preempting(now, view),
        }
        Reaction::default()
    }

    /// A preemption that is being delayed does not happen; the master was just heard.
    fn stop_preempting(&mut self, now: Instant, view: &View) {
        if let Role::Backup {
            down4,
            down6,
            because,
            ties,
            ..
        } = &mut self.role
        {
            *ties = 0;
            if !matches!(*because, Reason::MasterTimedOut | Reason::FollowingGroup) {
                *because = Reason::MasterTimedOut;
                (*down4, *down6) = view.down_timers(now, view.waits(0));
            }
        }
    }

    /// OpenBSD and NetBSD start the timers anew (`carp_setrun`), FreeBSD leaves them; we also tell the
    /// others at once, so that they decide by what is true now.
    fn reconfigured(&mut self, now: Instant, view: &View) -> Reaction {
        let live = view.policy.live_changes;
        if !live && !view.dialect.rules().changes_restart_timers {
            return Reaction::default();
        }
        let mut wishes = Wishes::default();
        match &mut self.role {
            Role::Backup {
                down4,
                down6,
                because,
                ties,
                stance,
                ..
            } => {
                *ties = 0;
                *because = Reason::MasterTimedOut;
                let patient = *stance == Stance::Resigned || view.maintenance || view.dead_ratio.is_some();
                let before = earlier(*down4, *down6).filter(|_| patient);
                let wait = view.waits(0);
                // What a slower master needs was heard before.
                let wait = before.map_or(wait, |down| wait.max(down - now));
                (*down4, *down6) = view.down_timers(now, wait);
            }
            Role::Master { next_ad, .. } => {
                *next_ad = now + view.period(view.effective_skew());
                if live {
                    wishes = Wishes::ADVERTISE;
                }
            }
            Role::Init { .. } | Role::Leaving { .. } => {}
        }
        Reaction::wish(wishes)
    }

    fn force(&mut self, now: Instant, state: State, view: &View) -> Reaction {
        match (self.role, state) {
            // Who is stopping cannot become BACKUP; to let go at once is all that can be forced.
            (
                Role::Leaving {
                    then: Departure::Stop(reason),
                    ..
                },
                State::Backup,
            ) => self.become_init(reason, None),
            (Role::Master { .. } | Role::Leaving { .. }, State::Backup) => {
                self.become_backup(now, Reason::UserRequested, view)
            }
            (Role::Backup { .. }, State::Master) => self.become_master(now, Reason::UserRequested, view),
            _ => Reaction::default(),
        }
    }

    fn become_master(&mut self, now: Instant, reason: Reason, view: &View) -> Reaction {
        // The first interval uses the skew as configured: `carp_setrun` sets the timer after
        // `carp_send_ad` did (§8).
        let next_ad = now + view.period(view.base_skew());
        // Whoever steps back to a slower one, and is called back by the bow-out of another node in maintenance, to which
        // the slower one yielded, would step back again, and so would that one: a circle without a pause.
        let called_back = view.maintenance && now < self.since + view.period(view.effective_skew());
        let ties = match self.role {
            Role::Backup { ties, .. } => ties,
            _ => 0,
        };
        self.role = Role::Master {
            next_ad,
            reannounce: view.reannounce(),
            answer_from: if called_back { next_ad } else { now },
            ties,
            tenure: match reason {
                Reason::MasterTimedOut => Tenure::Settled,
                _ => Tenure::New,
            },
        };
        Reaction::change(reason).with(Wishes::OWN.with(Wishes::ADVERTISE).with(Wishes::ANNOUNCE))
    }

    fn become_backup(&mut self, now: Instant, reason: Reason, view: &View) -> Reaction {
        let wait = match self.role {
            Role::Init { .. } => view.waits_at_first(),
            _ => view.waits(0),
        };
        self.enter_backup(now, reason, wait, false, 0, view)
    }

    /// Becomes BACKUP of the master that was heard.
    fn follow(
        &mut self,
        now: Instant,
        reason: Reason,
        peer: Interval,
        resigned: bool,
        ties: u8,
        view: &View,
    ) -> Reaction {
        let wait = view.waits_for(peer, view.is_willing(peer, resigned), ties);
        self.enter_backup(now, reason, wait, resigned, ties, view)
    }

    fn enter_backup(
        &mut self,
        now: Instant,
        reason: Reason,
        wait: Duration,
        resigned: bool,
        ties: u8,
        view: &View,
    ) -> Reaction {
        let (down4, down6) = view.down_timers(now, wait);
        let stance = match self.state() {
            _ if resigned => Stance::Resigned,
            State::Init if view.preempt_delay > Duration::ZERO => Stance::Starting,
            _ => Stance::Ready,
        };
        self.role = Role::Backup {
            down4,
            down6,
            because: Reason::MasterTimedOut,
            stance,
            ties,
        };
        Reaction::change(reason)
    }

    fn become_init(&mut self, reason: InitReason, retry: Option<Instant>) -> Reaction {
        self.role = Role::Init { reason, retry };
        Reaction::change(Reason::Stopped(reason))
    }
}

#[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

mod compare;
mod effects;
mod heard;
mod input;
mod leaving;
#[cfg(feature = "sim")]
mod relative;
mod role;
#[cfg(test)]
mod tests;
mod view;

use compare::{is_tie, master_yields};
use effects::Reaction;
pub use effects::{Effects, HandOver, Wishes};
pub use input::{Departure, Input};
#[cfg(feature = "sim")]
pub(crate) use relative::relative;
use role::{Role, Stance, Tenure};
pub use view::View;
