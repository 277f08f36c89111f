//! Leaving on purpose: stops, hand-overs and offers, from the bow-out to the successor.

use carp_proto::Interval;

use super::{Departure, Machine, Reaction, Role, Tenure, View, Wishes};
use crate::state::{InitReason, Reason};
use crate::time::{Duration, Instant};

impl Machine {
    pub(super) fn leave(&mut self, now: Instant, departure: Departure, view: &View) -> Reaction {
        let bows_out = view.policy.bow_out || view.dialect.rules().bow_out_on_down;
        match (self.role, departure) {
            (_, Departure::Offer) => {
                match &mut self.role {
                    // Without a wait nobody could answer.
                    Role::Master { tenure, next_ad, .. } if view.policy.leave_wait > Duration::ZERO => {
                        *tenure = tenure.offering(true);
                        // A peer that preempts does so as soon as it hears us.
                        let soon = now + view.quarter(view.base_skew());
                        *next_ad = soon.min(*next_ad);
                    }
                    Role::Leaving { then, .. } if *then == Departure::StepBack => *then = departure,
                    _ => {}
                }
                Reaction::default()
            }
            // Already on its way: a stop overrides a hand-over, never the other way round, and does not wait
            // longer.
            (
                Role::Leaving {
                    then: Departure::HandOver | Departure::Stop(_),
                    ..
                },
                Departure::HandOver | Departure::StepBack,
            ) => Reaction::default(),
            (Role::Leaving { since, until, .. }, _) => {
                self.role = Role::Leaving {
                    since,
                    until: until.min(now + view.policy.leave_wait),
                    then: departure,
                };
                Reaction::default()
            }
            (Role::Master { .. }, Departure::Stop(reason))
                if view.policy.leave_wait == Duration::ZERO || !bows_out =>
            {
                let reaction = self.become_init(reason, None);
                if bows_out {
                    reaction.with(Wishes::BOW_OUT)
                } else {
                    reaction
                }
            }
            (Role::Master { .. }, _) => self.bow_out(now, departure, view),
            (_, Departure::Stop(reason)) => self.become_init(reason, None),
            (_, Departure::HandOver | Departure::StepBack) => Reaction::default(),
        }
    }

    /// Any advertisement that is no bow-out itself shows that somebody else is MASTER now.
    pub(super) fn heard_successor(
        &mut self,
        now: Instant,
        peer: Interval,
        better: bool,
        then: Departure,
        view: &View,
    ) -> Reaction {
        match then {
            Departure::StepBack => self.follow(now, Reason::HandedOver, peer, false, 0, view),
            Departure::Offer if better => self.follow(now, Reason::HandedOver, peer, false, 0, view),
            Departure::Offer => {
                // It yields when it hears us, we not to its second word, and it has announced the addresses meanwhile.
                self.stay_master(now, view).with(Wishes::ANNOUNCE)
            }
            Departure::HandOver => self.follow(now, Reason::HandedOver, peer, true, 0, view),
            Departure::Stop(reason) => self.become_init(reason, None),
        }
    }

    pub(super) fn stay_master(&mut self, now: Instant, view: &View) -> Reaction {
        self.role = Role::Master {
            next_ad: now + view.period(view.effective_skew()),
            reannounce: view.refresh(),
            answer_from: now,
            ties: 0,
            tenure: Tenure::Kept,
        };
        Reaction::wish(Wishes::ADVERTISE)
    }

    pub(super) fn refused(&mut self, retry: Instant) -> Reaction {
        match self.role {
            Role::Init { .. } | Role::Backup { .. } => Reaction::default(),
            // On its way out, and it has said so.
            Role::Leaving {
                then: Departure::Stop(reason),
                ..
            } => self.become_init(reason, None),
            Role::Leaving { .. } | Role::Master { .. } => {
                let reaction = self.become_init(InitReason::AddressRefused, Some(retry));
                reaction.with(Wishes::BOW_OUT)
            }
        }
    }

    pub(super) fn bow_out(&mut self, now: Instant, then: Departure, view: &View) -> Reaction {
        self.role = Role::Leaving {
            since: now,
            until: now + view.policy.leave_wait,
            then,
        };
        Reaction::wish(Wishes::BOW_OUT)
    }
}
