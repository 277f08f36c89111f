//! Wishes not yet carried out, and the order in which they are.

use super::Families;
use crate::machine::Wishes;
use crate::state::Family;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    Own,
    Advertise(Family),
    BowOut(Family),
    /// The address of this index.
    Announce(u8),
    Disown,
}

/// Wishes not yet carried out. Repeated ones coalesce, contrary ones replace each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    bits: u8,
    /// The next address to announce.
    announced: u8,
}

const OWN: u8 = 1;
const AD4: u8 = 1 << 1;
const AD6: u8 = 1 << 2;
const BOW4: u8 = 1 << 3;
const BOW6: u8 = 1 << 4;
const ANNOUNCE: u8 = 1 << 5;
const DISOWN: u8 = 1 << 6;

impl Pending {
    pub(super) fn disown() -> Self {
        Self {
            bits: DISOWN,
            announced: 0,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// A node that is no longer MASTER has nothing to say.
    pub(crate) fn silence(&mut self) {
        self.bits &= !(OWN | AD4 | AD6 | BOW4 | BOW6 | ANNOUNCE);
    }

    pub(super) fn keep_families(&mut self, families: Families) {
        if !families.ipv4 {
            self.bits &= !(AD4 | BOW4);
        }
        if !families.ipv6 {
            self.bits &= !(AD6 | BOW6);
        }
    }

    pub(super) fn add(&mut self, wishes: Wishes, Families { ipv4, ipv6 }: Families) {
        let families = |four, six| if ipv4 { four } else { 0 } | if ipv6 { six } else { 0 };
        if wishes.contains(Wishes::OWN) {
            self.bits = self.bits & !DISOWN | OWN;
        }
        if wishes.contains(Wishes::BOW_OUT) {
            self.bits = self.bits & !(AD4 | AD6) | families(BOW4, BOW6);
        }
        if wishes.contains(Wishes::ADVERTISE) {
            self.bits = self.bits & !(BOW4 | BOW6) | families(AD4, AD6);
        }
        if wishes.contains(Wishes::ANNOUNCE) {
            self.bits |= ANNOUNCE;
            self.announced = 0;
        }
        if wishes.contains(Wishes::DISOWN) {
            // A bow-out that waits is still sent, unless nobody ever saw a MASTER here.
            let last_words = if self.bits & OWN == 0 { BOW4 | BOW6 } else { 0 };
            self.bits = self.bits & last_words | DISOWN;
        }
    }

    pub(super) fn next(&mut self, announce_first: bool, addresses: usize) -> Option<Output> {
        if announce_first
            && self.bits & OWN == 0
            && let Some(output) = self.next_announcement(addresses)
        {
            return Some(output);
        }
        for (bit, output) in [
            (OWN, Output::Own),
            (BOW4, Output::BowOut(Family::Ipv4)),
            (BOW6, Output::BowOut(Family::Ipv6)),
            (AD4, Output::Advertise(Family::Ipv4)),
            (AD6, Output::Advertise(Family::Ipv6)),
        ] {
            if self.bits & bit != 0 {
                self.bits &= !bit;
                return Some(output);
            }
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

    pub(super) fn restore(&mut self, output: Output) {
        match output {
            Output::Advertise(Family::Ipv4) => self.bits |= AD4,
            Output::Advertise(Family::Ipv6) => self.bits |= AD6,
            Output::BowOut(Family::Ipv4) => self.bits |= BOW4,
            Output::BowOut(Family::Ipv6) => self.bits |= BOW6,
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
        if self.bits & ANNOUNCE == 0 {
            return None;
        }
        let index = self.announced;
        if usize::from(index) >= addresses {
            self.bits &= !ANNOUNCE;
            return None;
        }
        self.announced = index.saturating_add(1);
        Some(Output::Announce(index))
    }
}
