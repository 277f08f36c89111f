use carp_fsm::{CounterSlot, EventSlot, GroupSlot, HostSlot, InterfaceSlot, Storage};

use crate::{Memory, PeerSlots};

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

    /// With room for unicast peers ([`Control::set_peers`](crate::Control::set_peers)), and what finds out their MAC
    /// addresses: 2 KiB of flash, which nobody has who does not call this.
    pub fn with_peers<'s, const PEERS: usize>(
        &'s mut self,
        peers: &'s mut PeerSlots<HOSTS, PEERS>,
    ) -> Memory<'s, ADDRS> {
        peers.join(self.storage())
    }

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
