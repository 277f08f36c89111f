//! Links only if no panic is left: the panic handler calls a function that does not exist.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

#[path = "../platform.rs"]
mod platform;

unsafe extern "C" {
    fn a_panic_is_left() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: it is never called; the linker fails as soon as it might be.
    unsafe { a_panic_is_left() }
}

// SAFETY: the only symbol of this name; it is the entry point that build.rs tells the linker.
#[unsafe(no_mangle)]
extern "C" fn entry() -> ! {
    carp_bare_metal::codec();
    carp_bare_metal::auth();
    carp_bare_metal::frames();
    carp_bare_metal::explanation();
    carp_bare_metal::rest();
    carp_bare_metal::text();
    carp_bare_metal::node::machine();
    carp_bare_metal::node::everything();
    carp_bare_metal::node::smallest();
    carp_bare_metal::node::text();
    carp_bare_metal::adapter::shim();
    carp_bare_metal::adapter::phy();
    #[cfg(feature = "plant-a-panic")]
    core::hint::black_box([1u8; 4][core::hint::black_box(3)]);
    #[cfg(feature = "plant-a-panic")]
    core::hint::black_box(core::hint::black_box(&[1u8][..])[core::hint::black_box(3)]);
    loop {
        core::hint::spin_loop();
    }
}
