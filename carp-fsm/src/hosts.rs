//! All virtual hosts of a node, and the three indices over them: by (interface, vhid), by deadline,
//! and the queue of those that wish something done. Nothing here knows about the election.

use core::cmp::Ordering;

use carp_proto::{Dialect, Vhid};

use crate::host::Host;
use crate::id::{HostId, IfaceId};
use crate::storage::{HostSlot, Link, Pool};
use crate::time::Instant;

/// At most this many hosts, so that a slot number and "none" fit 16 bits.
const MAX_HOSTS: usize = u16::MAX as usize - 1;

pub(crate) struct Hosts<'s, const ADDRS: usize> {
    slots: Pool<'s, HostSlot<ADDRS>>,
    len: u16,
    heap_len: u16,
    ready_head: Option<u16>,
    ready_tail: Option<u16>,
}

impl<'s, const ADDRS: usize> Hosts<'s, ADDRS> {
    pub(crate) fn new(slots: Pool<'s, HostSlot<ADDRS>>) -> Self {
        Self {
            slots,
            len: 0,
            heap_len: 0,
            ready_head: None,
            ready_tail: None,
        }
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

    pub(crate) fn id(&self, slot: u16) -> Option<HostId> {
        Some(HostId {
            slot,
            generation: self.slot(slot)?.generation,
        })
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
        if free >= MAX_HOSTS || !self.slots.ensure(free, || HostSlot::EMPTY) {
            return None;
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

    // --- by deadline: a binary heap ---

    /// The earliest deadline and whose it is.
    #[cfg_attr(target_pointer_width = "32", inline(never))] // for flash: it has many callers
    pub(crate) fn earliest(&self) -> Option<(Instant, u16)> {
        let slot = self.heap_at(0)?;
        Some((self.slot(slot)?.deadline?, slot))
    }

    pub(crate) fn set_deadline(&mut self, number: u16, deadline: Option<Instant>) {
        let Some(slot) = self.slot_mut(number) else { return };
        slot.deadline = deadline;
        match (slot.heap_pos.get(), deadline) {
            (None, None) => {}
            (None, Some(_)) => {
                let last = self.heap_len;
                self.heap_len = last.saturating_add(1);
                self.heap_put(last, number);
                self.sift_up(last);
            }
            (Some(pos), Some(_)) => {
                let pos = self.sift_up(pos);
                self.sift_down(pos);
            }
            (Some(pos), None) => {
                slot.heap_pos = Link::NONE;
                self.heap_len = self.heap_len.saturating_sub(1);
                let last = self.heap_len;
                if pos != last
                    && let Some(moved) = self.slot(last).map(|cell| cell.heap)
                {
                    self.heap_put(pos, moved);
                    let pos = self.sift_up(pos);
                    self.sift_down(pos);
                }
            }
        }
    }

    fn sift_up(&mut self, mut pos: u16) -> u16 {
        while pos > 0 {
            let parent = pos.saturating_sub(1) / 2;
            if !self.heap_less(pos, parent) {
                break;
            }
            self.heap_swap(pos, parent);
            pos = parent;
        }
        pos
    }

    fn sift_down(&mut self, mut pos: u16) {
        loop {
            let left = pos.saturating_mul(2).saturating_add(1);
            let right = left.saturating_add(1);
            let child = if self.heap_less(right, left) { right } else { left };
            if !self.heap_less(child, pos) {
                return;
            }
            self.heap_swap(pos, child);
            pos = child;
        }
    }

    /// Is the deadline at heap position `a` before that at `b`? False beyond the end.
    fn heap_less(&self, a: u16, b: u16) -> bool {
        let deadline = |pos| self.heap_at(pos).and_then(|slot| self.slot(slot)?.deadline);
        match (deadline(a), deadline(b)) {
            (Some(a), Some(b)) => a < b,
            (a, _) => a.is_some(),
        }
    }

    fn heap_swap(&mut self, a: u16, b: u16) {
        if let (Some(at_a), Some(at_b)) = (self.heap_at(a), self.heap_at(b)) {
            self.heap_put(a, at_b);
            self.heap_put(b, at_a);
        }
    }

    fn heap_at(&self, pos: u16) -> Option<u16> {
        (pos < self.heap_len).then(|| self.slot(pos).map(|cell| cell.heap))?
    }

    fn heap_put(&mut self, pos: u16, number: u16) {
        if let Some(cell) = self.slot_mut(pos) {
            cell.heap = number;
        }
        if let Some(slot) = self.slot_mut(number) {
            slot.heap_pos = Link::to(pos);
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
