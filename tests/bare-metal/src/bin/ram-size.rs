//! A symbol for each part of a node's memory, as large as the part: what `ram-size.sh` reads.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

use carp_bare_metal::ADDRESSES;
use carp_fsm::{
    CounterSlot, EventSlot, GroupSlot, HostConfig, HostSlot, InterfaceSlot, KeySlot, Machine, NeighbourSlot,
    Node, PeerSeen, PeerSlot,
};
use carp_proto::{AddressSet, Authenticator};

macro_rules! sizes {
    ($($name:ident: $part:ty),+ $(,)?) => {
        $(
            #[used]
            static $name: [u8; size_of::<$part>()] = [0; size_of::<$part>()];
        )+
    };
}

sizes! {
    HOST_SLOT: HostSlot<ADDRESSES>,
    HOST_CONFIG: HostConfig<ADDRESSES>,
    AUTHENTICATOR: Authenticator,
    ADDRESS_SET: AddressSet<ADDRESSES>,
    MACHINE: Machine,
    PEER_SEEN: PeerSeen,
    INTERFACE_SLOT: InterfaceSlot,
    GROUP_SLOT: GroupSlot,
    EVENT_SLOT: EventSlot,
    COUNTER_SLOT: CounterSlot,
    KEY_SLOT: KeySlot,
    PEER_SLOT: PeerSlot,
    NEIGHBOUR_SLOT: NeighbourSlot,
    NODE: Node<'static, ADDRESSES>,
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

// SAFETY: the only symbol of this name; it is the entry point that build.rs tells the linker.
#[unsafe(no_mangle)]
extern "C" fn entry() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
