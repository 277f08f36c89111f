use carp_fsm::{CounterSlot, EventSlot, GroupSlot, HostSlot, InterfaceSlot, Storage};

/// Counters of advertisements that each virtual host remembers, against loops and what is played again soon.
const COUNTERS: usize = 8;

/// The memory of up to `HOSTS` virtual hosts with up to `ADDRS` addresses each, and of `EVENTS` events that wait to be
/// read. Place it in a static: it is a constant, so that it never is on the stack.
///
/// ```
/// use carp_embassy::Slots;
/// use static_cell::ConstStaticCell;
///
/// static SLOTS: ConstStaticCell<Slots<1, 2>> = ConstStaticCell::new(Slots::EMPTY);
/// ```
pub struct Slots<const HOSTS: usize, const ADDRS: usize, const EVENTS: usize = 8> {
    hosts: [HostSlot<ADDRS>; HOSTS],
    interface: InterfaceSlot,
    groups: [GroupSlot; 1],
    events: [EventSlot; EVENTS],
    counters: [[CounterSlot; COUNTERS]; HOSTS],
}

impl<const HOSTS: usize, const ADDRS: usize, const EVENTS: usize> Slots<HOSTS, ADDRS, EVENTS> {
    /// Nothing in it yet.
    pub const EMPTY: Self = Self {
        hosts: [const { HostSlot::EMPTY }; HOSTS],
        interface: InterfaceSlot::EMPTY,
        groups: [GroupSlot::EMPTY],
        events: [EventSlot::EMPTY; EVENTS],
        counters: [[CounterSlot::EMPTY; COUNTERS]; HOSTS],
    };

    pub(crate) fn storage(&mut self) -> Storage<'_, ADDRS> {
        Storage::on_one_interface(
            &mut self.hosts,
            &mut self.interface,
            &mut self.groups,
            &mut self.events,
        )
        .with_replay_memory(self.counters.as_flattened_mut(), COUNTERS)
    }
}
