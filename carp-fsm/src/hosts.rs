//! All virtual hosts of a node, and the three indices over them: by (interface, vhid), by deadline,
//! and the queue of those that wish something done. Nothing here knows about the election.

use core::cmp::Ordering;

use carp_proto::{Dialect, Vhid};

use crate::host::Host;
use crate::id::{HostId, IfaceId};
use crate::machine::earlier;
use crate::storage::{HostSlot, Link, Pool};
use crate::time::Instant;

/// At most this many hosts, so that a slot number and "none" fit 16 bits.
const MAX_HOSTS: usize = u16::MAX as usize - 1;

pub(crate) struct Hosts<'s, const ADDRS: usize> {
    slots: Pool<'s, HostSlot<ADDRS>>,
    len: u16,
    ready_head: Option<u16>,
    ready_tail: Option<u16>,
}

impl<'s, const ADDRS: usize> Hosts<'s, ADDRS> {
    pub(crate) fn new(slots: Pool<'s, HostSlot<ADDRS>>) -> Self {
        let mut hosts = Self {
            slots,
            len: 0,
            ready_head: None,
            ready_tail: None,
        };
        hosts.play_all();
        hosts
    }

    #[cfg(feature = "sim")]
    pub(crate) fn fork(&self) -> Option<Hosts<'static, ADDRS>> {
        Some(Hosts {
            slots: self.slots.fork()?,
            ..*self
        })
    }

    /// The host in this slot.
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(crate) fn get(&self, slot: u16) -> Option<&Host<ADDRS>> {
        self.slot(slot)?.host.as_ref()
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(crate) fn get_mut(&mut self, slot: u16) -> Option<&mut Host<ADDRS>> {
        self.slot_mut(slot)?.host.as_mut()
    }

    /// The slot of a host that still exists.
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(crate) fn resolve(&self, id: HostId) -> Option<u16> {
        let slot = self.slot(id.slot)?;
        (slot.generation == id.generation && slot.host.is_some()).then_some(id.slot)
    }

    /// The name of who is in this slot.
    pub(crate) fn id(&self, slot: u16) -> HostId {
        HostId {
            slot,
            generation: self.slot(slot).map_or(0, |slot| slot.generation),
        }
    }

    // --- by (interface, vhid) ---

    pub(crate) fn find(&self, iface: IfaceId, vhid: Vhid) -> Option<u16> {
        self.at_rank(self.rank(iface, vhid.get()).ok()?)
    }

    /// The dialect of the first host on an interface, for packets to none of them.
    pub(crate) fn dialect_on(&self, iface: IfaceId) -> Option<Dialect> {
        let rank = self.rank(iface, 0).unwrap_or_else(|rank| rank);
        let host = self.get(self.at_rank(rank)?)?;
        (host.config.iface == iface).then_some(host.config.dialect)
    }

    /// Ranks of all hosts on an interface: they stand side by side.
    pub(crate) fn ranks_on(&self, iface: IfaceId) -> core::ops::Range<u16> {
        // Vhid 0 does not exist, and nothing follows 255.
        let start = self.rank(iface, 0).unwrap_or_else(|rank| rank);
        let end = self
            .rank(iface, u8::MAX)
            .map_or_else(|rank| rank, |rank| rank.saturating_add(1));
        start..end
    }

    /// Ranks of all hosts.
    pub(crate) fn ranks(&self) -> core::ops::Range<u16> {
        0..self.len
    }

    /// The slot of the host at this rank.
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(crate) fn at_rank(&self, rank: u16) -> Option<u16> {
        (rank < self.len).then(|| self.slot(rank).map(|cell| cell.sorted))?
    }

    /// Takes a free slot. `None`: no room, or the vhid exists on that interface (ask `find` first).
    pub(crate) fn insert(&mut self, host: Host<ADDRS>) -> Option<u16> {
        let rank = self.rank(host.config.iface, host.config.vhid.get()).err()?;
        let free = self
            .slots
            .iter()
            .position(|slot| slot.host.is_none())
            .unwrap_or(self.slots.len());
        let before = self.slots.len();
        if free >= MAX_HOSTS || !self.slots.ensure(free, || HostSlot::EMPTY) {
            return None;
        }
        if self.slots.len() != before {
            self.play_all();
        }
        let number = u16::try_from(free).ok()?;
        let mut carried = number;
        for cell in rank..=self.len {
            let cell = self.slot_mut(cell)?;
            carried = core::mem::replace(&mut cell.sorted, carried);
        }
        self.len = self.len.saturating_add(1);
        self.slot_mut(number)?.host = Some(host);
        Some(number)
    }

    /// Forgets the host; its id never comes back.
    pub(crate) fn remove(&mut self, number: u16) {
        self.set_deadline(number, None);
        debug_assert!(
            self.slot(number).is_none_or(|slot| !slot.ready),
            "drain a host before removing it"
        );
        let Some(rank) = self.ranks().find(|rank| self.at_rank(*rank) == Some(number)) else {
            return;
        };
        for cell in rank..self.len.saturating_sub(1) {
            let next = self.slot(cell.saturating_add(1)).map_or(0, |next| next.sorted);
            if let Some(cell) = self.slot_mut(cell) {
                cell.sorted = next;
            }
        }
        self.len = self.len.saturating_sub(1);
        if let Some(slot) = self.slot_mut(number) {
            slot.host = None;
            slot.generation = slot.generation.wrapping_add(1);
        }
    }

    fn rank(&self, iface: IfaceId, vhid: u8) -> Result<u16, u16> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            let Some(host) = self.slot(middle).and_then(|cell| self.get(cell.sorted)) else {
                return Err(low);
            };
            match (host.config.iface, host.config.vhid.get()).cmp(&(iface, vhid)) {
                Ordering::Less => low = middle.saturating_add(1),
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    // --- by deadline: a tournament of all slots ---
    //
    // The winner of a match is who has the earlier deadline. Match 1 is the final; those whose winners meet in match m
    // are 2m and 2m + 1, and numbers from that of the slots on are the slots themselves.

    /// The earliest deadline and whose it is.
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(crate) fn earliest(&self) -> Option<(Instant, u16)> {
        let winner = self.winner(1);
        Some((self.deadline(winner)?, winner))
    }

    pub(crate) fn set_deadline(&mut self, number: u16, deadline: Option<Instant>) {
        let Some(slot) = self.slot_mut(number) else { return };
        slot.deadline = deadline;
        let mut place = self.slots.len().saturating_add(number.into());
        while place > 1 {
            place /= 2;
            self.play(place);
        }
    }

    fn play(&mut self, place: usize) {
        let first = self.winner(place.saturating_mul(2));
        let second = self.winner(place.saturating_mul(2).saturating_add(1));
        let deadline = self.deadline(first);
        let is_first = earlier(deadline, self.deadline(second)) == deadline;
        if let Some(cell) = self.slots.get_mut(place) {
            cell.winner = if is_first { first } else { second };
        }
    }

    fn winner(&self, place: usize) -> u16 {
        match place.checked_sub(self.slots.len()) {
            None => self.slots.get(place).map_or(0, |cell| cell.winner),
            Some(slot) => u16::try_from(slot).unwrap_or(u16::MAX),
        }
    }

    fn deadline(&self, number: u16) -> Option<Instant> {
        self.slot(number)?.deadline
    }

    /// There is another number of slots, which all have other places then.
    fn play_all(&mut self) {
        for place in (1..self.slots.len()).rev() {
            self.play(place);
        }
    }

    // --- the queue of hosts with something to do: first come, first served ---

    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(crate) fn push_ready(&mut self, number: u16) {
        let Some(slot) = self
            .slot_mut(number)
            .filter(|slot| !slot.ready && slot.host.is_some())
        else {
            return;
        };
        slot.ready = true;
        slot.ready_next = Link::NONE;
        match self.ready_tail.replace(number) {
            None => self.ready_head = Some(number),
            Some(tail) => {
                if let Some(tail) = self.slot_mut(tail) {
                    tail.ready_next = Link::to(number);
                }
            }
        }
    }

    pub(crate) fn front_ready(&self) -> Option<u16> {
        self.ready_head
    }

    pub(crate) fn pop_ready(&mut self) {
        let Some(number) = self.ready_head else { return };
        let next = self.slot_mut(number).and_then(|slot| {
            slot.ready = false;
            core::mem::replace(&mut slot.ready_next, Link::NONE).get()
        });
        self.ready_head = next;
        if next.is_none() {
            self.ready_tail = None;
        }
    }

    fn slot(&self, number: u16) -> Option<&HostSlot<ADDRS>> {
        self.slots.get(usize::from(number))
    }

    fn slot_mut(&mut self, number: u16) -> Option<&mut HostSlot<ADDRS>> {
        self.slots.get_mut(usize::from(number))
    }
}

#[cfg(test)]
mod tests;
