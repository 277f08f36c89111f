//! Counts the instructions of each operation on an emulated Cortex-M (QEMU's `mps2-an385` and `mps2-an386` with
//! `-icount shift=3`); what they may be is the report's matter. With feature `events`, those of each event of a node,
//! and ends with a failure if one takes more than it may.

#![no_std]
#![no_main]

use core::{
    arch::asm,
    fmt::{self, Write},
    hint::black_box,
    panic::PanicInfo,
    ptr,
};

#[path = "../../../../benches/src/wire.rs"]
mod wire;

use carp_bare_metal::events::{EVENTS, Event, Member, Slots};
use wire::{FLOOR, Fixture, OPERATIONS, Operation, VERIFY};

/// How often an operation runs to be counted.
const RUNS: u32 = 200;
/// `-icount shift=3` gives an instruction 8 ns, the boards' 25 MHz give a tick of `SysTick` 40 ns.
const INSTRUCTIONS_PER_TICK: u32 = 5;
/// `SysTick` counts down from here.
const TICKS: u32 = 0x00ff_ffff;

const SYST_CSR: *mut u32 = 0xe000_e010 as *mut u32;
const SYST_RVR: *mut u32 = 0xe000_e014 as *mut u32;
const SYST_CVR: *mut u32 = 0xe000_e018 as *mut u32;

/// What the processor reads at reset: the initial stack pointer, and where to start.
#[repr(C)]
pub struct Vectors {
    stack: u32,
    reset: extern "C" fn() -> !,
}

/// The boards have 4 MiB of RAM at `0x2000_0000`; nothing here is static, so no RAM needs to be prepared.
// SAFETY: the linker script puts this section, of which it is all, at address 0.
#[unsafe(link_section = ".vectors")]
#[used]
pub static VECTORS: Vectors = Vectors {
    stack: 0x2040_0000,
    reset,
};

extern "C" fn reset() -> ! {
    // One or the other: what both call would be compiled for both.
    let good = if cfg!(feature = "events") {
        report_events() == Ok(true)
    } else {
        report().is_ok()
    };
    // ADP_Stopped_ApplicationExit, or ADP_Stopped_RunTimeErrorUnknown.
    semihosting(0x18, if good { 0x20026 } else { 0x20023 });
    loop {
        core::hint::spin_loop();
    }
}

fn report() -> fmt::Result {
    let fixture = Fixture::new();
    let nothing = count(|_| {}, &fixture);
    let instructions = |operation: &Operation| count(operation.run, &fixture).saturating_sub(nothing);
    let floor = instructions(&OPERATIONS[FLOOR]);
    writeln!(
        Console,
        "{:<28} {:>12} {:>8}",
        "operation", "instructions", "% floor"
    )?;
    for operation in &OPERATIONS {
        let count = instructions(operation);
        writeln!(
            Console,
            "{:<28} {count:>12} {:>8}",
            operation.name,
            count * 100 / floor
        )?;
    }
    Ok(())
}

/// True if no event takes more than it may.
fn report_events() -> Result<bool, fmt::Error> {
    let fixture = Fixture::new();
    let verify = count(OPERATIONS[VERIFY].run, &fixture);
    let mut slots = Slots::EMPTY;
    let mut member = Member::new(&mut slots);
    let mut good = true;
    writeln!(
        Console,
        "{:<28} {:>12} {:>8}",
        "event", "instructions", "% verify"
    )?;
    for event in &EVENTS {
        let count = count_event(event, &mut member);
        let of_verify = count * 100 / verify;
        let exceeded = of_verify > event.limit;
        good &= !exceeded;
        let mark = if exceeded { "  EXCEEDED" } else { "" };
        writeln!(Console, "{:<28} {count:>12} {of_verify:>8}{mark}", event.name)?;
    }
    Ok(good)
}

/// Instructions of one run.
fn count(run: fn(&Fixture), fixture: &Fixture) -> u32 {
    let run = black_box(run);
    let ticks = ticks(|| {
        for _ in 0..RUNS {
            run(fixture);
        }
    });
    ticks * INSTRUCTIONS_PER_TICK / RUNS
}

/// Instructions of one event, what prepares it aside.
fn count_event(event: &Event, member: &mut Member<'_>) -> u32 {
    let mut sum = 0;
    for _ in 0..RUNS {
        (event.prepare)(member);
        sum += ticks(|| (event.run)(member));
    }
    sum * INSTRUCTIONS_PER_TICK / RUNS
}

fn ticks(run: impl FnOnce()) -> u32 {
    // SAFETY: the registers of SysTick, which every Cortex-M of these boards has and nothing else uses.
    unsafe {
        ptr::write_volatile(SYST_CSR, 0);
        ptr::write_volatile(SYST_RVR, TICKS);
        ptr::write_volatile(SYST_CVR, 0);
        ptr::write_volatile(SYST_CSR, 0b101);
        let start = ptr::read_volatile(SYST_CVR);
        run();
        start.wrapping_sub(ptr::read_volatile(SYST_CVR)) & TICKS
    }
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            semihosting(0x03, ptr::from_ref(&byte).addr());
        }
        Ok(())
    }
}

fn semihosting(operation: usize, argument: usize) {
    // SAFETY: QEMU stops at this breakpoint, reads what the argument points to, and continues behind it. It
    // only changes r0.
    unsafe {
        asm!("bkpt 0xab", inout("r0") operation => _, in("r1") argument, options(nostack));
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    let _ = Console.write_str("an operation did not do what it should\n");
    semihosting(0x18, 0x20023);
    loop {
        core::hint::spin_loop();
    }
}
