//! A driver for the LAN9118, by polling its FIFOs; its interrupt says when.

use core::cell::{Cell, RefCell};
use core::task::Context;

use critical_section::Mutex;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::WakerRegistration;

use crate::board::{Device, Interrupt, Register, unmask};
use crate::time;

const fn register(offset: usize) -> Register {
    Register::of(Device::Ethernet, offset)
}

const RX_DATA: Register = register(0x00);
const TX_DATA: Register = register(0x20);
const RX_STATUS: Register = register(0x40);
const IRQ_CFG: Register = register(0x54);
const INT_STS: Register = register(0x58);
const INT_EN: Register = register(0x5c);
const TX_CFG: Register = register(0x70);
const HW_CFG: Register = register(0x74);
const RX_DP_CTRL: Register = register(0x78);
const RX_FIFO_INF: Register = register(0x7c);
const TX_FIFO_INF: Register = register(0x80);
const MAC_CSR_CMD: Register = register(0xa4);
const MAC_CSR_DATA: Register = register(0xa8);

/// Registers of the MAC, behind `MAC_CSR_CMD`.
const MAC_CR: u32 = 1;
const ADDRH: u32 = 2;
const ADDRL: u32 = 3;
const MII_ACC: u32 = 6;
const MII_DATA: u32 = 7;

/// Registers of the PHY, behind `MII_ACC`.
const PHY_STATUS: u32 = 1;
const PHY_INTERRUPT_SOURCE: u32 = 29;
const PHY_INTERRUPT_MASK: u32 = 30;

const LINK_UP: u32 = 1 << 2;
/// The status FIFO for received frames is not empty; the PHY has news; room to transmit.
const RECEIVED: u32 = 1 << 3;
const PHY: u32 = 1 << 18;

/// The longest frame, without checksum.
const MTU: usize = 1514;
const WORD: usize = 4;
/// Two command words, and the worst alignment.
const OVERHEAD: u32 = 16;

static WAKER: Mutex<RefCell<WakerRegistration>> = Mutex::new(RefCell::new(WakerRegistration::new()));

/// Advertisements that were sent from here, for tests: how many, when the last one was, and the longest time between
/// two, in ticks.
#[derive(Clone, Copy)]
struct Sent {
    count: u32,
    last: u64,
    longest: u64,
}

static SENT: Mutex<Cell<Sent>> = Mutex::new(Cell::new(Sent {
    count: 0,
    last: 0,
    longest: 0,
}));

/// How many advertisements have left, and the longest time from one to the next since the last call, in microseconds.
pub fn advertisements() -> (u32, u64) {
    critical_section::with(|cs| {
        let sent = SENT.borrow(cs);
        let Sent { count, last, longest } = sent.get();
        sent.set(Sent {
            count,
            last,
            longest: 0,
        });
        (count, longest / time::TICKS)
    })
}

fn note(frame: &[u8]) {
    // IPv4, protocol 112.
    if frame.get(12..14) != Some(&[8, 0]) || frame.get(23) != Some(&112) {
        return;
    }
    let now = time::ticks();
    critical_section::with(|cs| {
        let sent = SENT.borrow(cs);
        let Sent { count, last, longest } = sent.get();
        sent.set(Sent {
            count: count + 1,
            last: now,
            longest: longest.max(now - last),
        });
    });
}

/// The network card.
pub struct Lan9118 {
    mac: [u8; 6],
    buffer: [u8; MTU + 6],
}

impl Lan9118 {
    /// Not started yet; a constant, for a static.
    pub const NEW: Self = Self {
        mac: [0; 6],
        buffer: [0; MTU + 6],
    };

    /// Sets it up. It takes every frame: it has one address filter, and one would need two.
    pub fn start(&mut self, mac: [u8; 6]) {
        self.mac = mac;
        // Store and forward; 5 KiB to transmit.
        HW_CFG.write(0x0015_0000);
        let mut address = [0; 8];
        address[..6].copy_from_slice(&mac);
        let address = u64::from_le_bytes(address);
        write_mac(ADDRL, address as u32);
        write_mac(ADDRH, (address >> 32) as u32);
        // Transmitter on, and status of sent frames need not be read.
        TX_CFG.write(0b110);
        // Promiscuous, transmitter and receiver on.
        write_mac(MAC_CR, 1 << 18 | 1 << 3 | 1 << 2);
        write_phy(PHY_INTERRUPT_MASK, 1 << 4 | 1 << 6);
        INT_STS.write(u32::MAX);
        // The line is active-low until it is told otherwise.
        IRQ_CFG.write(0x111);
        INT_EN.write(RECEIVED | PHY);
        unmask(Interrupt::Ethernet);
    }

    fn register(cx: &Context<'_>) {
        critical_section::with(|cs| WAKER.borrow_ref_mut(cs).register(cx.waker()));
    }

    fn room() -> bool {
        // Only a whole frame counts. The emulated card sends at once, so it always has room.
        TX_FIFO_INF.read() & 0xffff >= MTU as u32 + OVERHEAD
    }

    /// Moves the next frame from the card to the buffer.
    fn read(&mut self) -> Option<usize> {
        loop {
            if frames_waiting() == 0 {
                INT_STS.write(RECEIVED);
                INT_EN.write(RECEIVED | PHY);
                // One that came between is seen now.
                if frames_waiting() == 0 {
                    return None;
                }
            }
            let status = RX_STATUS.read();
            let len = (status >> 16) as usize & 0x3fff;
            let words = len.div_ceil(WORD);
            if status & 1 << 15 != 0 || words * WORD > self.buffer.len() {
                // Discards it.
                RX_DP_CTRL.write(1 << 31);
                continue;
            }
            for chunk in self.buffer.chunks_mut(WORD).take(words) {
                let word = RX_DATA.read().to_le_bytes();
                chunk.copy_from_slice(&word[..chunk.len()]);
            }
            // The checksum is not the stack's.
            return Some(len.saturating_sub(4));
        }
    }
}

pub(crate) fn on_interrupt() {
    let status = INT_STS.read();
    if status & PHY != 0 {
        read_phy(PHY_INTERRUPT_SOURCE);
        INT_STS.write(PHY);
    }
    // Until all frames have been read.
    if status & RECEIVED != 0 {
        INT_EN.write(PHY);
    }
    critical_section::with(|cs| WAKER.borrow_ref_mut(cs).wake());
}

fn frames_waiting() -> u32 {
    RX_FIFO_INF.read() >> 16 & 0xff
}

fn write_mac(register: u32, value: u32) {
    MAC_CSR_DATA.write(value);
    MAC_CSR_CMD.write(1 << 31 | register);
}

fn read_mac(register: u32) -> u32 {
    MAC_CSR_CMD.write(1 << 31 | 1 << 30 | register);
    MAC_CSR_DATA.read()
}

fn read_phy(register: u32) -> u32 {
    write_mac(MII_ACC, 1 << 11 | register << 6);
    read_mac(MII_DATA)
}

fn write_phy(register: u32, value: u32) {
    write_mac(MII_DATA, value);
    write_mac(MII_ACC, 1 << 11 | register << 6 | 1 << 1);
}

impl Driver for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Room)> {
        Self::register(cx);
        if !Self::room() {
            return None;
        }
        let len = self.read()?;
        Some((Received(self.buffer.get_mut(..len)?), Room))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Room> {
        Self::register(cx);
        Self::room().then_some(Room)
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        Self::register(cx);
        // The first reading may be of the past.
        read_phy(PHY_STATUS);
        if read_phy(PHY_STATUS) & LINK_UP == 0 {
            LinkState::Down
        } else {
            LinkState::Up
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

/// A frame in the buffer.
pub struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a frame in the card.
pub struct Room;

impl TxToken for Room {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = [0; MTU];
        let len = len.min(MTU);
        let result = f(&mut frame[..len]);
        note(&frame[..len]);
        // One segment, first and last.
        TX_DATA.write(1 << 13 | 1 << 12 | len as u32);
        TX_DATA.write(len as u32);
        for chunk in frame[..len].chunks(WORD) {
            let mut word = [0; WORD];
            word[..chunk.len()].copy_from_slice(chunk);
            TX_DATA.write(u32::from_le_bytes(word));
        }
        result
    }
}
