//! What follows from an advertisement: a BACKUP takes over or goes on waiting, a MASTER answers.

use carp_proto::{Demotion, Interval};

use super::compare::outlasted;
use super::{Departure, Machine, Reaction, Role, Stance, View, Wishes, earlier};
use crate::state::{Family, Reason};
use crate::time::{Duration, Instant};

impl Machine {
    /// `carp_input_c` in BACKUP: the first rule that matches (§9).
    pub(super) fn heard_as_backup(
        &mut self,
        now: Instant,
        family: Family,
        peer: Interval,
        peer_demotion: Demotion,
        view: &View,
    ) -> Reaction {
        let started = self.since + view.preempt_delay <= now;
        let Role::Backup { stance, .. } = &mut self.role else {
            return Reaction::default();
        };
        if started && *stance == Stance::Starting {
            *stance = Stance::Ready;
        }
        let bows_out = peer == Interval::BOW_OUT;
        let willing = view.is_willing(peer, *stance == Stance::Resigned);
        let preempts = bows_out || (willing && *stance != Stance::Starting);
        let compares_demotion = view.compares_demotion();
        let mine = view.demotion_byte();
        let reason =
            if view.preempt && view.interval() < peer && (!compares_demotion || peer_demotion >= mine) {
                Some(Reason::PreemptingSlowerMaster)
            } else if compares_demotion && peer_demotion > mine {
                Some(Reason::PreemptingMoreDemotedMaster)
            } else {
                None
            };
        if let Some(reason) = reason.filter(|_| preempts) {
            return self.preempt(now, reason, bows_out, view);
        }
        if willing && outlasted(peer, view) {
            return self.become_master(now, Reason::MasterWillTimeOut, view);
        }
        if let Role::Backup {
            down4,
            down6,
            because,
            ties,
            ..
        } = &mut self.role
        {
            if *because != Reason::MasterTimedOut {
                // The equal was first, the master is no longer worse, or it lives, whatever was lost in the other
                // family.
                *because = Reason::MasterTimedOut;
                (*down4, *down6) = view.down_timers(now, view.waits(*ties));
            }
            let down = match family {
                Family::Ipv4 => down4,
                Family::Ipv6 => down6,
            };
            // A family in which we have no address has no timer to start (`carp_find_ifa`).
            if let Some(down) = down {
                let quiet = view.waits(*ties) - (*down - now);
                if view.is_one_period(quiet) {
                    *ties = 0;
                }
                *down = now + view.waits_for(peer, willing, *ties);
            }
        }
        Reaction::default()
    }

    /// The group moves here: a master that is not heard by then is dead. One that lives is left alone by whoever
    /// does not preempt on purpose, so its silence is given the full time there. Where one family is silent for so long
    /// that it takes over sooner anyway, that is the reason.
    pub(super) fn hurry(&mut self, at: Instant) -> Reaction {
        if let Role::Backup {
            down4,
            down6,
            stance: Stance::Ready,
            because,
            ..
        } = &mut self.role
            && earlier(*down4, *down6).is_some_and(|down| at < down)
        {
            for down in [down4, down6].into_iter().flatten() {
                *down = at;
            }
            *because = Reason::FollowingGroup;
        }
        Reaction::default()
    }

    pub(super) fn answer_worse_master(&mut self, now: Instant, peer: Interval, view: &View) -> Reaction {
        if view.maintenance {
            if matches!(self.role, Role::Master { answer_from, .. } if now < answer_from) {
                return Reaction::default();
            }
            // Whoever lives may have it. It has perhaps yielded to us already: the bow-out brings it back. Or it is
            // MASTER still: then it is heard again within its interval.
            let reaction = self.leave(now, Departure::StepBack, view);
            if let Role::Leaving { until, .. } = &mut self.role {
                *until = *until + Duration::from_micros(peer.micros());
            }
            return reaction;
        }
        let quarter = view.quarter(view.effective_skew());
        match &mut self.role {
            // What is due next is not put off, however often somebody is answered. Two at once: the last word of one
            // may make a third take over.
            Role::Master { answer_from, .. }
                if view.policy.answer_worse_master && *answer_from <= now + quarter =>
            {
                *answer_from = now.max(*answer_from) + quarter;
                Reaction::wish(Wishes::ADVERTISE.with(Wishes::ANNOUNCE))
            }
            _ => Reaction::default(),
        }
    }

    /// Takes over from a worse master that lives: at once, unless we have tied. Our equal has heard it as well; both
    /// would tie again, and if nobody waits less for silence than the worse one, so for ever.
    fn preempt(&mut self, now: Instant, reason: Reason, bows_out: bool, view: &View) -> Reaction {
        if let Role::Backup {
            down4,
            down6,
            because,
            ties,
            ..
        } = &mut self.role
            && !bows_out
            && *ties > 0
        {
            let pending = earlier(*down4, *down6).unwrap_or(now);
            (*down4, *down6) = view.down_timers(now, view.parting(*ties).min(pending - now));
            *because = reason;
            return Reaction::default();
        }
        self.become_master(now, reason, view)
    }
}
