//! Which counters were heard or sent lately: what comes a second time is not news.

use carp_proto::{Counter, Interval};

use crate::storage::{CounterSlot, Pool};
use crate::time::{Duration, Instant};

/// The counters of all virtual hosts, the same number of slots for each.
pub(super) struct Memory<'s> {
    slots: Pool<'s, CounterSlot>,
    per_host: usize,
}

/// What a counter says about an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was not heard before.
    Fresh,
    /// The network delivered it twice: the same again within one interval.
    Duplicate,
    /// We sent it ourselves, just like this.
    Own,
    /// A peer said nothing else since: it sends one counter for ever, or its last words are played again.
    Repeated,
    /// Somebody recorded it, from a peer or from us, and plays it again.
    Replay,
}

impl<'s> Memory<'s> {
    pub(super) fn new(slots: Pool<'s, CounterSlot>, per_host: usize) -> Self {
        Self { slots, per_host }
    }

    /// A host moved into this slot: nothing is remembered.
    pub(super) fn clear(&mut self, host: u16) {
        let end = usize::from(host).saturating_add(1).saturating_mul(self.per_host);
        if let Some(last) = end.checked_sub(1) {
            // Without room there is no memory, which is allowed.
            self.slots.ensure(last, || CounterSlot::EMPTY);
        }
        self.of(host).fill(CounterSlot::EMPTY);
    }

    /// Judges a counter that was heard, and remembers it if it is fresh. Where peers repeat theirs, only our own
    /// tell anything.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        host: u16,
        counter: Counter,
        interval: Interval,
        peers_repeat: bool,
    ) -> Verdict {
        let heard = CounterSlot::new(now, counter, interval, false);
        // A peer that sends 0 breaks a rule, and is no worse off for it.
        let is_known = |slot: &&mut CounterSlot| slot.counter == heard.counter && heard.counter != 0;
        let Some(known) = self.of(host).iter_mut().find(is_known) else {
            self.remember(host, heard);
            return Verdict::Fresh;
        };
        let same = known.interval == heard.interval;
        let since = Duration::from_micros(u64::from(heard.when.wrapping_sub(known.when)) << 10);
        // Not less than what can be told apart.
        let lately = since <= Duration::from_micros(interval.micros()) + Duration::from_millis(2);
        let (own, counter) = (known.sent, known.counter);
        let newest = self.of(host).iter().find(|slot| !slot.sent && slot.counter != 0);
        let is_newest = newest.is_some_and(|newest| newest.counter == counter);
        match (own, same) {
            (true, true) => Verdict::Own,
            (false, _) if peers_repeat => Verdict::Fresh,
            (false, true) if lately => Verdict::Duplicate,
            (false, true) if is_newest => Verdict::Repeated,
            _ => Verdict::Replay,
        }
    }

    pub(super) fn sent(&mut self, now: Instant, host: u16, counter: Counter, interval: Interval) {
        self.remember(host, CounterSlot::new(now, counter, interval, true));
    }

    /// It was not sent after all: what is remembered next takes its place, so that trying again forgets nothing.
    pub(super) fn not_sent(&mut self, host: u16, counter: u64) {
        let is_it = |slot: &&mut CounterSlot| slot.sent && slot.counter == counter;
        if let Some(slot) = self.of(host).iter_mut().find(is_it) {
            *slot = CounterSlot::EMPTY;
        }
    }

    /// The newest is first; the oldest falls out, if there is no gap before it.
    fn remember(&mut self, host: u16, new: CounterSlot) {
        let mut carried = new;
        for slot in self.of(host) {
            core::mem::swap(slot, &mut carried);
            if carried.counter == 0 {
                return;
            }
        }
    }

    #[cfg(feature = "sim")]
    pub(super) fn knows(&self, host: u16, counter: Counter) -> bool {
        let start = usize::from(host).saturating_mul(self.per_host);
        let slots = self.slots.iter().skip(start).take(self.per_host);
        counter.get() != 0 && slots.into_iter().any(|slot| slot.counter == counter.get())
    }

    #[cfg(feature = "sim")]
    pub(super) fn fork(&self) -> Option<Memory<'static>> {
        Some(Memory {
            slots: self.slots.fork()?,
            per_host: self.per_host,
        })
    }

    fn of(&mut self, host: u16) -> &mut [CounterSlot] {
        let start = usize::from(host).saturating_mul(self.per_host);
        let end = start.saturating_add(self.per_host);
        self.slots.get_mut(start..end).unwrap_or_default()
    }
}
