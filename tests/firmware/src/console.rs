//! UART 0: lines out, single-letter commands in.

use core::cell::RefCell;
use core::fmt::{self, Write};
use core::future::poll_fn;
use core::task::Poll;

use critical_section::Mutex;
use embassy_sync::waitqueue::WakerRegistration;
use heapless::Deque;

use crate::board::{Device, Interrupt, Register, unmask};

const DATA: Register = Register::of(Device::Uart0, 0x0);
const STATE: Register = Register::of(Device::Uart0, 0x4);
const CONTROL: Register = Register::of(Device::Uart0, 0x8);
const INTERRUPT: Register = Register::of(Device::Uart0, 0xc);
const DIVIDER: Register = Register::of(Device::Uart0, 0x10);

struct Input {
    bytes: Deque<u8, 16>,
    waker: WakerRegistration,
}

static INPUT: Mutex<RefCell<Input>> = Mutex::new(RefCell::new(Input {
    bytes: Deque::new(),
    waker: WakerRegistration::new(),
}));

/// Starts it.
pub fn init() {
    DIVIDER.write(16);
    // Transmitter, receiver, interrupt of the receiver.
    CONTROL.write(0b1011);
    unmask(Interrupt::UartReceive);
}

/// Waits for the next byte.
pub async fn read() -> u8 {
    poll_fn(|cx| {
        critical_section::with(|cs| {
            let mut input = INPUT.borrow_ref_mut(cs);
            input.waker.register(cx.waker());
            input.bytes.pop_front().map_or(Poll::Pending, Poll::Ready)
        })
    })
    .await
}

pub(crate) fn on_interrupt() {
    critical_section::with(|cs| {
        let mut input = INPUT.borrow_ref_mut(cs);
        INTERRUPT.write(0b10);
        while STATE.read() & 0b10 != 0 {
            let byte = DATA.read() as u8;
            // Somebody types faster than we read.
            let _ = input.bytes.push_back(byte);
        }
        input.waker.wake();
    });
}

/// What is written goes out at once.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while STATE.read() & 0b01 != 0 {}
            DATA.write(u32::from(byte));
        }
        Ok(())
    }
}
