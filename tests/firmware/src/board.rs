//! The one file that touches the hardware: registers, interrupts, and what semihosting can do.

#![expect(
    unsafe_code,
    reason = "device registers, the vector table and semihosting cannot be reached without"
)]

use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::NVIC;
use embassy_executor::Spawner;
use embassy_executor::raw::Executor;
use static_cell::StaticCell;

/// A device register of 32 bits. Only this file makes them, so reading and writing one is always reading and writing
/// a register of this board, whose side effects are on devices alone: none of them does DMA.
#[derive(Clone, Copy)]
pub struct Register(usize);

impl Register {
    /// The register of a device at an offset in bytes.
    ///
    /// # Panics
    ///
    /// If the device has none there: when it is compiled.
    pub const fn of(device: Device, offset: usize) -> Self {
        assert!(
            offset < 0x1000 && offset.is_multiple_of(4),
            "outside of the device"
        );
        Self(device as usize + offset)
    }

    /// Reads it.
    pub fn read(self) -> u32 {
        // SAFETY: see the type: an aligned register that exists on this board.
        unsafe { ptr::read_volatile(self.0 as *const u32) }
    }

    /// Writes it.
    pub fn write(self, value: u32) {
        // SAFETY: see the type: an aligned register that exists on this board.
        unsafe { ptr::write_volatile(self.0 as *mut u32, value) }
    }
}

/// The devices in use, at their addresses.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Device {
    /// CMSDK APB timer 0: counts down for ever.
    Timer0 = 0x4000_0000,
    /// CMSDK APB timer 1: wakes at a time.
    Timer1 = 0x4000_1000,
    /// CMSDK APB UART 0.
    Uart0 = 0x4000_4000,
    /// The LAN9118.
    Ethernet = 0x4020_0000,
}

/// Interrupts in use, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Interrupt {
    /// A byte came in at UART 0.
    UartReceive = 0,
    /// Timer 0 has wrapped.
    Timer0 = 8,
    /// Timer 1 has run down.
    Timer1 = 9,
    /// The LAN9118 wants something.
    Ethernet = 13,
}

// SAFETY: the numbers are those of the board.
unsafe impl cortex_m::interrupt::InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// Lets an interrupt through, once its device is set up.
pub fn unmask(interrupt: Interrupt) {
    // SAFETY: nobody relies on it being masked.
    unsafe { NVIC::unmask(interrupt) }
}

/// Runs tasks for ever. The processor sleeps with WFI: embassy's own executor waits with WFE, which QEMU runs as a busy
/// loop.
pub fn run(start: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    let executor = EXECUTOR.init(Executor::new(ptr::null_mut()));
    start(executor.spawner());
    loop {
        // SAFETY: from this one place, which is not re-entered.
        unsafe { executor.poll() };
        cortex_m::interrupt::disable();
        // An interrupt that came since then is pending, and WFI does not sleep.
        if !PENDED.load(Ordering::Relaxed) {
            cortex_m::asm::wfi();
        }
        PENDED.store(false, Ordering::Relaxed);
        // SAFETY: they were enabled before.
        unsafe { cortex_m::interrupt::enable() };
    }
}

/// A task was woken since the executor was last polled.
static PENDED: AtomicBool = AtomicBool::new(false);

// SAFETY: the signature that embassy-executor documents.
#[unsafe(export_name = "__pender")]
fn pend(_context: *mut ()) {
    PENDED.store(true, Ordering::Relaxed);
}

// SAFETY: it only calls handlers that lock what they share.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(number: i16) {
    match number {
        0 => crate::console::on_interrupt(),
        8 => crate::time::on_wrap(),
        9 => crate::time::on_alarm(),
        13 => crate::lan9118::on_interrupt(),
        _ => exit(false),
    }
}

/// Instructions executed so far, times 8 ns: what timer 0 counts under `-icount shift=3` are ticks of 40 ns, which are
/// five instructions.
pub const INSTRUCTIONS_PER_TICK: u32 = 5;

/// Writes to the emulator's own console, without an interrupt or a device.
pub struct Semihosting;

impl Write for Semihosting {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            semihosting(0x03, ptr::from_ref(&byte).addr());
        }
        Ok(())
    }
}

/// The arguments that the emulator was given (`-semihosting-config arg=..`), separated by blanks.
pub fn command_line(buffer: &mut [u8]) -> &str {
    let block = [buffer.as_mut_ptr().addr(), buffer.len()];
    if semihosting(0x15, block.as_ptr().addr()) != 0 {
        return "";
    }
    let text = buffer.split(|byte| *byte == 0).next().unwrap_or_default();
    str::from_utf8(text).unwrap_or_default()
}

/// Ends the emulator.
pub fn exit(good: bool) -> ! {
    // ADP_Stopped_ApplicationExit, or ADP_Stopped_RunTimeErrorUnknown.
    semihosting(0x18, if good { 0x20026 } else { 0x20023 });
    loop {
        cortex_m::asm::nop();
    }
}

fn semihosting(operation: usize, argument: usize) -> usize {
    let result;
    // SAFETY: QEMU stops at this breakpoint, reads what the argument points to (for the command line it writes there,
    // within the length it is told), and continues behind it.
    unsafe {
        asm!("bkpt 0xab", inout("r0") operation => result, in("r1") argument, options(nostack));
    }
    result
}

/// How many bytes of the stack were never used, from the paint that `cortex-m-rt` left there.
pub fn unused_stack() -> usize {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    let (end, start) = (ptr::addr_of!(_stack_end), ptr::addr_of!(_stack_start));
    let words = (start.addr() - end.addr()) / 4;
    // SAFETY: the linker gives the bounds of the stack; what is in use of it is not reached, because it is not painted.
    let painted =
        (0..words).take_while(|word| unsafe { end.add(*word).read_volatile() } == cortex_m_rt_paint());
    painted.count() * 4
}

/// What `cortex-m-rt` paints with.
const fn cortex_m_rt_paint() -> u32 {
    0xcccc_cccc
}

/// Paints the unused part of the stack anew.
pub fn paint_stack() {
    unsafe extern "C" {
        static _stack_end: u32;
    }
    let end = ptr::addr_of!(_stack_end).cast_mut();
    let here = cortex_m::register::msp::read() as usize;
    // A margin for this function itself.
    let words = here.saturating_sub(end.addr() + 256) / 4;
    for word in 0..words {
        // SAFETY: below the stack pointer, above the end of the stack: nobody's.
        unsafe { end.add(word).write_volatile(cortex_m_rt_paint()) };
    }
}

/// Bytes of the stack in use now, and of all of it.
pub fn stack() -> (usize, usize) {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    let (end, start) = (
        ptr::addr_of!(_stack_end).addr(),
        ptr::addr_of!(_stack_start).addr(),
    );
    (start - cortex_m::register::msp::read() as usize, start - end)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Semihosting, "{info}");
    exit(false)
}
