//! What may happen next, and in words.

use carp_fsm::State;

use super::scenario::{DEMOTION, Fault, TICK};
use super::seat::Seat;
use super::world::World;

/// What may happen next. The number is a node, or a message under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message arrives.
    Deliver(u8),
    /// A message arrives, and a copy of it is still under way.
    Duplicate(u8),
    /// A message is lost.
    Lose(u8),
    /// The due timers of a node act.
    Fire(u8),
    /// Time passes: one tick, or less if a deadline comes first.
    Wait,
    /// Time passes until the next deadline.
    Sleep,
    /// A node stops dead.
    Crash(u8),
    /// A node starts.
    Start(u8),
    /// The cable of a node is pulled or plugged.
    Link(u8),
    /// A node is cut off, or reached again, and does not notice.
    Isolate(u8),
    /// A node hears nobody any longer, though it is heard; or it hears again.
    Deafen(u8),
    /// The operator demotes a node, or lifts that.
    Demote(u8),
    /// Planned hand-over.
    HandOver(u8),
    /// Into maintenance mode, or out of it.
    Maintain(u8),
    /// The operator switches the virtual host off or on.
    Enable(u8),
    /// The node stops in good order.
    Shutdown(u8),
    /// Forced to the other of MASTER and BACKUP.
    Force(u8),
    /// Sending starts or stops to fail.
    SendErrors(u8),
    /// A node stops to run, or goes on and hears what came meanwhile.
    Pause(u8),
    /// The adapter refuses addresses from now on, or takes them again.
    Refuse(u8),
    /// A node gets the new key.
    Rekey(u8),
    /// A node can no longer send to the next one, or can again.
    Unreachable(u8),
}

impl World<'_> {
    /// What may happen next.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::with_capacity(24);
        let allowed = |fault| self.scenario.faults.contains(&fault);
        for (index, message) in (0_u8..).zip(&self.flight) {
            // One of several equal messages stands for all.
            let before = index
                .checked_sub(1)
                .and_then(|before| self.flight.get(usize::from(before)));
            if before.is_some_and(|before| before.looks_like(message)) {
                continue;
            }
            if !self.seats[usize::from(message.to)].paused {
                steps.push(Step::Deliver(index));
                if allowed(Fault::Duplicate) && !message.copy {
                    steps.push(Step::Duplicate(index));
                }
            }
            if allowed(Fault::Lose) {
                steps.push(Step::Lose(index));
            }
        }
        let due = self.due();
        if due.is_empty() {
            if let Some(next) = self.next_deadline() {
                steps.push(Step::Sleep);
                if next - self.now > TICK {
                    steps.push(Step::Wait);
                }
            } else if self.seats.iter().any(|seat| seat.paused) {
                steps.push(Step::Wait);
            }
        }
        steps.extend(due.into_iter().map(Step::Fire));
        for (index, seat) in (0..).zip(&self.seats) {
            self.faults_of(index, seat, &mut steps);
        }
        steps
    }

    pub(super) fn faults_of(&self, index: u8, seat: &Seat, steps: &mut Vec<Step>) {
        let allowed = |fault| self.scenario.faults.contains(&fault);
        let Some((node, host)) = &seat.running else {
            steps.push(Step::Start(index));
            return;
        };
        if seat.paused {
            steps.push(Step::Pause(index));
            return;
        }
        let state = node.state(*host).unwrap_or(State::Init);
        let leaving = node.status(*host).is_some_and(|status| status.leaving);
        let offers = [
            (Fault::Crash, true, Step::Crash(index)),
            (Fault::Link, true, Step::Link(index)),
            (Fault::Isolate, seat.link, Step::Isolate(index)),
            (Fault::Deafen, seat.link, Step::Deafen(index)),
            (Fault::Demote, true, Step::Demote(index)),
            (
                Fault::HandOver,
                state == State::Master && !leaving,
                Step::HandOver(index),
            ),
            (Fault::Maintain, true, Step::Maintain(index)),
            (Fault::Disable, !seat.shutdown, Step::Enable(index)),
            (Fault::Shutdown, !seat.shutdown, Step::Shutdown(index)),
            (Fault::Force, state != State::Init, Step::Force(index)),
            (Fault::SendErrors, true, Step::SendErrors(index)),
            (Fault::Pause, true, Step::Pause(index)),
            (Fault::Refuse, true, Step::Refuse(index)),
            (Fault::Rekey, !seat.rekeyed, Step::Rekey(index)),
            (Fault::Unreachable, true, Step::Unreachable(index)),
        ];
        steps.extend(
            offers
                .into_iter()
                .filter_map(|(fault, possible, step)| (possible && allowed(fault)).then_some(step)),
        );
        // Only an idle process is replaced by a new one; a crash explores the rest.
        if seat.shutdown && node.is_quiet() {
            steps.push(Step::Start(index));
        }
    }

    /// A step in words.
    pub(super) fn tell(&self, step: Step) -> String {
        let name = |index: u8| self.member(index).name;
        let message = |index: u8| self.flight[usize::from(index)].to_string_in(self);
        let seat = |index: u8| &self.seats[usize::from(index)];
        match step {
            Step::Deliver(index) => format!("{} arrives", message(index)),
            Step::Duplicate(index) => format!("{} arrives; a copy is still under way", message(index)),
            Step::Lose(index) => format!("{} is lost", message(index)),
            Step::Fire(index) => format!("timer of {}", name(index)),
            Step::Wait => "time passes".into(),
            Step::Sleep => "time passes until the next deadline".into(),
            Step::Crash(index) => format!("{} crashes", name(index)),
            Step::Start(index) => format!("{} starts", name(index)),
            Step::Link(index) if seat(index).link => format!("the cable of {} is pulled", name(index)),
            Step::Link(index) => format!("the cable of {} is plugged in", name(index)),
            Step::Isolate(index) if seat(index).isolated => format!("{} is reached again", name(index)),
            Step::Isolate(index) => format!("{} is cut off and does not notice", name(index)),
            Step::Deafen(index) if seat(index).deaf => format!("{} hears the others again", name(index)),
            Step::Deafen(index) => format!("{} hears nobody any longer, and does not notice", name(index)),
            Step::Demote(index) if seat(index).demoted => {
                format!("the demotion of {} is lifted", name(index))
            }
            Step::Demote(index) => format!("{} is demoted by {DEMOTION}", name(index)),
            Step::HandOver(index) => format!("{} is to hand over", name(index)),
            Step::Maintain(index) if seat(index).maintenance => {
                format!("{} leaves maintenance mode", name(index))
            }
            Step::Maintain(index) => format!("{} enters maintenance mode", name(index)),
            Step::Enable(index) if seat(index).enabled => format!("{} is disabled", name(index)),
            Step::Enable(index) => format!("{} is enabled", name(index)),
            Step::Shutdown(index) => format!("{} is shut down", name(index)),
            Step::Force(index) => format!("the state of {} is forced", name(index)),
            Step::SendErrors(index) if seat(index).send_errors => format!("{} can send again", name(index)),
            Step::SendErrors(index) => format!("{} cannot send any more", name(index)),
            Step::Pause(index) if seat(index).paused => format!("{} runs again", name(index)),
            Step::Pause(index) => format!("{} is paused", name(index)),
            Step::Refuse(index) if seat(index).refuses => {
                format!("{} can take the addresses again", name(index))
            }
            Step::Refuse(index) => format!("{} cannot take the addresses any more", name(index)),
            Step::Rekey(index) => format!("{} gets the new key", name(index)),
            Step::Unreachable(index) if seat(index).unreachable => {
                format!("{} reaches {} again", name(index), name(self.next(index)))
            }
            Step::Unreachable(index) => {
                format!(
                    "{} does not reach {} any longer",
                    name(index),
                    name(self.next(index))
                )
            }
        }
    }
}
