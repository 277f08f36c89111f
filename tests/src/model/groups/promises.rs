//! What is promised of groups, at every step and in the end.

use super::{
    ADVBASE, Dialect, Duration, GroupScenario, Instant, Net, Router, State, TURN, Violation, reference,
};

impl Router {
    /// Without hearing anything a BACKUP becomes MASTER only after its master-down time; or, if since it last heard
    /// its master the other one of its group took over from whoever bowed out, was slower or more demoted, after that
    /// master's interval.
    pub(super) fn check_transition(
        &mut self,
        now: Instant,
        dialect: Dialect,
        on: usize,
        (from, to): (State, State),
        heard: bool,
    ) -> Result<(), Violation> {
        if (from, to) == (State::Backup, State::Master) && heard {
            self.moved[1 - on] = Some(now);
        } else if (from, to) == (State::Backup, State::Master) {
            // The silence of either family is enough.
            let [ipv4, ipv6] = self.quiet_since[on];
            let quiet = (now - ipv4.min(ipv6)).as_micros();
            let patience = reference::master_down(dialect, ADVBASE, self.advskew, self.maintenance);
            let moves = self.policy.fails_over_as_group
                && !self.maintenance
                && self.moved[on].is_some_and(|at| at >= self.last_heard(on));
            let since = (now - self.last_heard(on)).as_micros();
            let overdue = self.heard[on].is_some_and(|interval| since > interval.micros());
            if quiet < patience && !(moves && overdue) {
                return Err(Violation(format!(
                    "advskew {} takes over on interface {on} after {quiet} us of silence; its group moves: {moves}",
                    self.advskew
                )));
            }
        }
        if to != State::Master {
            (self.quiet_since[on], self.heard[on]) = ([now; 2], None);
        }
        Ok(())
    }

    pub(super) fn last_heard(&self, on: usize) -> Instant {
        let [ipv4, ipv6] = self.quiet_since[on];
        ipv4.max(ipv6)
    }
}

impl Net {
    /// Once its group moves here, and for as long as it stays, a BACKUP has a deadline soon after its master's next
    /// advertisement.
    pub(super) fn check_hurry(&self, index: usize) -> Result<(), Violation> {
        let router = &self.routers[index];
        for on in [0, 1] {
            let follows = router.policy.fails_over_as_group
                && !router.maintenance
                && [on, 1 - on].map(|on| router.node.state(router.hosts[on]))
                    == [Some(State::Backup), Some(State::Master)]
                && router.moved[on].is_some_and(|at| at > router.last_heard(on).max(router.maintained));
            let Some(interval) = router.heard[on].filter(|_| follows) else {
                continue;
            };
            let interval = interval.micros();
            let soon = router.last_heard(on) + Duration::from_micros(interval + interval / 16) + TURN;
            if router
                .node
                .next_deadline()
                .is_none_or(|at| at > soon.max(self.now))
            {
                return Err(Violation(format!(
                    "node {index} does not hurry on interface {on}, though its group moves there"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn is_master(&self, router: usize, on: usize) -> bool {
        let Router { node, hosts, .. } = &self.routers[router];
        node.state(hosts[on]) == Some(State::Master)
    }

    pub(super) fn check(&self, scenario: &GroupScenario) -> Result<(), Violation> {
        let blame = |what: String| Err(Violation(format!("in the end, {what}")));
        for on in [0, 1] {
            let linked = self.routers.iter().any(|router| router.links[on]);
            let masters = [0, 1].iter().filter(|index| self.is_master(**index, on)).count();
            if masters != usize::from(linked) {
                return blame(format!("interface {on} has {masters} masters"));
            }
            for (index, router) in self.routers.iter().enumerate() {
                if router.owns[on] != self.is_master(index, on) {
                    return blame(format!(
                        "node {index} is not both MASTER and owner on interface {on}"
                    ));
                }
            }
        }
        let whole = |index: usize| self.routers[index].links == [true; 2];
        let at_home = |index: usize| [0, 1].iter().all(|on| self.is_master(index, *on));
        if self.routers.iter().any(|router| router.maintenance) {
            return Ok(());
        }
        let home = match (whole(0), whole(1)) {
            (true, true) if scenario.preempt => at_home(0),
            (true, true) => at_home(0) || at_home(1),
            (true, false) => at_home(0),
            (false, true) => at_home(1),
            (false, false) => true,
        };
        if home {
            Ok(())
        } else {
            blame("the group is not at the node that has all its links".into())
        }
    }
}
