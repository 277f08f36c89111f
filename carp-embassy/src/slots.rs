use carp_fsm::{CounterSlot, EventSlot, GroupSlot, HostSlot, InterfaceSlot, Storage};
use heapless::Vec;

use crate::{Memory, PeerSlots};

/// Counters of advertisements that each virtual host remembers, against loops and what is played again soon.
const COUNTERS: usize = 8;

/// The memory of up to `HOSTS` virtual hosts with up to `ADDRS` addresses each, and of `EVENTS` events that wait to be
/// read. Place it in a static: it is a constant, so that it never is on the stack, and all zero, so that it takes no
/// flash.
///
/// ```
/// use carp_embassy::Slots;
/// use static_cell::ConstStaticCell;
///
/// static SLOTS: ConstStaticCell<Slots<1, 2>> = ConstStaticCell::new(Slots::EMPTY);
/// ```
// Vectors where the empty value has bits that are set: it is written there when it is wanted.
pub struct Slots<const HOSTS: usize, const ADDRS: usize, const EVENTS: usize = 8> {
    hosts: Vec<HostSlot<ADDRS>, HOSTS>,
    interface: Vec<InterfaceSlot, 1>,
    groups: [GroupSlot; 1],
    events: Vec<EventSlot, EVENTS>,
    counters: [[CounterSlot; COUNTERS]; HOSTS],
}

impl<const HOSTS: usize, const ADDRS: usize, const EVENTS: usize> Slots<HOSTS, ADDRS, EVENTS> {
    /// Nothing in it yet.
    pub const EMPTY: Self = Self {
        hosts: Vec::new(),
        interface: Vec::new(),
        groups: [GroupSlot::EMPTY],
        events: Vec::new(),
        counters: [[CounterSlot::EMPTY; COUNTERS]; HOSTS],
    };

    /// With room for unicast peers ([`Control::set_peers`](crate::Control::set_peers)), and what finds out their MAC
    /// addresses: 4 to 6 KiB of flash, which nobody has who does not call this.
    pub fn with_peers<'s, const PEERS: usize>(
        &'s mut self,
        peers: &'s mut PeerSlots<HOSTS, PEERS>,
    ) -> Memory<'s, ADDRS> {
        peers.join(self.storage())
    }

    pub(crate) fn storage(&mut self) -> Storage<'_, ADDRS> {
        Storage::on_one_interface(
            filled(&mut self.hosts, HostSlot::default),
            filled(&mut self.interface, InterfaceSlot::default),
            &mut self.groups,
            filled(&mut self.events, EventSlot::default),
        )
        .with_replay_memory(self.counters.as_flattened_mut(), COUNTERS)
    }
}

impl<'s, const HOSTS: usize, const ADDRS: usize, const EVENTS: usize>
    From<&'s mut Slots<HOSTS, ADDRS, EVENTS>> for Memory<'s, ADDRS>
{
    fn from(slots: &'s mut Slots<HOSTS, ADDRS, EVENTS>) -> Self {
        Self {
            storage: slots.storage(),
            resolver: None,
        }
    }
}

/// All of a vector, with the empty value in every place.
pub(crate) fn filled<T, const N: usize>(memory: &mut Vec<T, N>, empty: impl Fn() -> T) -> &mut [T] {
    memory.clear();
    while memory.push(empty()).is_ok() {}
    memory
}
