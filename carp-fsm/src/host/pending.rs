//! Wishes not yet carried out, and the order in which they are.

use super::{Destination, Destinations};
use crate::machine::Wishes;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    Own,
    Advertise(Destination),
    BowOut(Destination),
    /// The address of this index.
    Announce(u8),
    Disown,
}

/// Wishes not yet carried out. Repeated ones coalesce, contrary ones replace each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    bits: u8,
    advertise: Destinations,
    bow_out: Destinations,
    /// The next address to announce.
    announced: u8,
}

const OWN: u8 = 1;
const ANNOUNCE: u8 = 1 << 1;
const DISOWN: u8 = 1 << 2;
/// Announcements wait for their turn among those of all hosts.
const PACED: u8 = 1 << 3;
/// It is their turn.
const GRANTED: u8 = 1 << 4;
/// One more round of announcements after this one; up to seven.
const ROUND: u8 = 1 << 5;
const ROUNDS: u8 = 0b111 << 5;

impl Pending {
    pub(super) fn disown() -> Self {
        Self {
            bits: DISOWN,
            advertise: Destinations::NONE,
            bow_out: Destinations::NONE,
            announced: 0,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.bits == 0 && self.advertise.is_empty() && self.bow_out.is_empty()
    }

    /// A node that is no longer MASTER has nothing to say.
    pub(crate) fn silence(&mut self) {
        self.bits &= DISOWN;
        (self.advertise, self.bow_out) = (Destinations::NONE, Destinations::NONE);
    }

    pub(super) fn keep(&mut self, kept: Destinations) {
        self.advertise = self.advertise.and(kept);
        self.bow_out = self.bow_out.and(kept);
    }

    pub(super) fn add(&mut self, wishes: Wishes, to: Destinations) {
        if wishes.contains(Wishes::OWN) {
            self.bits = self.bits & !(DISOWN | PACED) | OWN;
        }
        if wishes.contains(Wishes::BOW_OUT) {
            (self.advertise, self.bow_out) = (Destinations::NONE, self.bow_out.or(to));
        }
        if wishes.contains(Wishes::ADVERTISE) {
            (self.advertise, self.bow_out) = (self.advertise.or(to), Destinations::NONE);
        }
        if wishes.contains(Wishes::ANNOUNCE) {
            // Whoever waits for its turn already has one.
            self.bits = self.bits & !(GRANTED | ROUNDS) | ANNOUNCE;
            self.announced = 0;
        }
        if wishes.contains(Wishes::DISOWN) {
            // A bow-out that waits is still sent, unless nobody ever saw a MASTER here.
            if self.bits & OWN != 0 {
                self.bow_out = Destinations::NONE;
            }
            (self.bits, self.advertise) = (DISOWN, Destinations::NONE);
        }
    }

    pub(super) fn next(&mut self, announce_first: bool, addresses: usize) -> Option<Output> {
        if announce_first
            && self.bits & OWN == 0
            && let Some(output) = self.next_announcement(addresses)
        {
            return Some(output);
        }
        if self.bits & OWN != 0 {
            self.bits &= !OWN;
            return Some(Output::Own);
        }
        if let Some(to) = self.bow_out.take_first() {
            return Some(Output::BowOut(to));
        }
        if let Some(to) = self.advertise.take_first() {
            return Some(Output::Advertise(to));
        }
        if let Some(output) = self.next_announcement(addresses) {
            return Some(output);
        }
        if self.bits & DISOWN != 0 {
            self.bits &= !DISOWN;
            return Some(Output::Disown);
        }
        None
    }

    /// Every address is announced so often in a row, 1 to 8 times.
    pub(crate) fn announce_in_a_row(&mut self, burst: u8) {
        let more = burst.clamp(1, 8).saturating_sub(1);
        self.bits = self.bits & !ROUNDS | ROUND.saturating_mul(more);
    }

    /// Announcements still to be sent, this one included, and whether they may be sent without asking.
    pub(crate) fn announcements(self, addresses: usize) -> (usize, bool) {
        let rounds = usize::from(self.bits / ROUND);
        let left = addresses.saturating_sub(self.announced.into());
        let all = rounds.saturating_mul(addresses).saturating_add(left);
        (all.saturating_add(1), self.bits & GRANTED != 0)
    }

    /// Announcements wait for their turn.
    pub(crate) fn pace(&mut self) {
        self.bits |= PACED;
    }

    pub(crate) fn is_paced(self) -> bool {
        self.bits & PACED != 0
    }

    /// There is no room to transmit at all: announcements ask for their turn again when there is.
    pub(crate) fn give_way(&mut self) {
        self.bits &= !PACED;
    }

    /// The wait is over, for whatever it was.
    pub(crate) fn resume(&mut self) {
        if self.is_paced() {
            self.bits = self.bits & !PACED | GRANTED;
        }
    }

    pub(super) fn restore(&mut self, output: Output) {
        match output {
            Output::Advertise(to) => self.advertise.add(to),
            Output::BowOut(to) => self.bow_out.add(to),
            Output::Announce(index) => {
                self.announced = if self.bits & ANNOUNCE == 0 {
                    index
                } else {
                    self.announced.min(index)
                };
                self.bits |= ANNOUNCE;
            }
            Output::Own | Output::Disown => {}
        }
    }

    fn next_announcement(&mut self, addresses: usize) -> Option<Output> {
        if self.bits & ANNOUNCE == 0 || self.is_paced() {
            return None;
        }
        if usize::from(self.announced) >= addresses {
            self.announced = 0;
            if self.bits & ROUNDS == 0 || addresses == 0 {
                self.bits &= !(ANNOUNCE | GRANTED | ROUNDS);
                return None;
            }
            self.bits = self.bits.saturating_sub(ROUND);
        }
        let index = self.announced;
        self.announced = index.saturating_add(1);
        Some(Output::Announce(index))
    }
}
