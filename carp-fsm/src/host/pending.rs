//! Wishes not yet carried out, and the order in which they are.

use super::{Destination, Destinations};
use crate::machine::Wishes;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    Own,
    Advertise(Destination, Signature),
    BowOut(Destination, Signature),
    /// The address of this index.
    Announce(u8),
    Disown,
}

/// With which key and addresses something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Signature {
    /// Those that are configured.
    InForce,
    /// Those from before a change that others may not have heard of (§11).
    Older,
}

/// Wishes not yet carried out. Repeated ones coalesce, contrary ones replace each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    bits: u8,
    /// Who is still to be told, in advertisements or bow-outs; the host knows which.
    tell: Destinations,
    /// The same, signed as before a change.
    tell_older: Destinations,
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
            tell: Destinations::NONE,
            tell_older: Destinations::NONE,
            announced: 0,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.bits == 0 && !self.tells()
    }

    /// Is there somebody to be told?
    pub(super) fn tells(self) -> bool {
        !(self.tell.is_empty() && self.tell_older.is_empty())
    }

    /// A node that is no longer MASTER has nothing to say.
    pub(crate) fn silence(&mut self) {
        self.bits &= DISOWN;
        self.keep(Destinations::NONE, Destinations::NONE);
    }

    pub(super) fn keep(&mut self, kept: Destinations, older: Destinations) {
        self.tell = self.tell.and(kept);
        self.tell_older = self.tell_older.and(older);
    }

    pub(super) fn add(&mut self, wishes: Wishes, to: Destinations, older: Destinations, bows_out: bool) {
        if wishes.contains(Wishes::OWN) {
            self.bits = self.bits & !(DISOWN | PACED) | OWN;
        }
        if wishes.contains(Wishes::BOW_OUT) || wishes.contains(Wishes::ADVERTISE) {
            (self.tell, self.tell_older) = (to, older);
        }
        if wishes.contains(Wishes::ANNOUNCE) {
            // Whoever waits for its turn already has one.
            self.bits = self.bits & !(GRANTED | ROUNDS) | ANNOUNCE;
            self.announced = 0;
        }
        if wishes.contains(Wishes::DISOWN) {
            // A bow-out that waits is still sent, unless nobody ever saw a MASTER here.
            if self.bits & OWN != 0 || !bows_out {
                self.keep(Destinations::NONE, Destinations::NONE);
            }
            self.bits = DISOWN;
        }
    }

    pub(super) fn next(&mut self, announce_first: bool, bows_out: bool, addresses: usize) -> Option<Output> {
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
        if let Some(to) = self.tell.or(self.tell_older).first() {
            // The older one first: whoever does not understand the other has heard from us already.
            let by = if self.tell_older.remove(to) {
                Signature::Older
            } else {
                self.tell.remove(to);
                Signature::InForce
            };
            return Some(if bows_out {
                Output::BowOut(to, by)
            } else {
                Output::Advertise(to, by)
            });
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
            Output::Advertise(to, Signature::InForce) | Output::BowOut(to, Signature::InForce) => {
                self.tell.add(to);
            }
            Output::Advertise(to, Signature::Older) | Output::BowOut(to, Signature::Older) => {
                self.tell_older.add(to);
            }
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
