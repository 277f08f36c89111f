//! A wire within the image: network cards without hardware.

use core::cell::{Cell, RefCell};
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::WakerRegistration;
use heapless::{Deque, Vec};

/// The longest frame.
pub const LONGEST: usize = 1514;

/// One end of a wire: what has arrived there.
pub struct Port {
    frames: RefCell<Deque<Vec<u8, LONGEST>, 8>>,
    waker: RefCell<WakerRegistration>,
    up: Cell<bool>,
    sent: Cell<u32>,
}

impl Port {
    /// Nothing has arrived; the link is up.
    pub const fn new() -> Self {
        Self {
            frames: RefCell::new(Deque::new()),
            waker: RefCell::new(WakerRegistration::new()),
            up: Cell::new(true),
            sent: Cell::new(0),
        }
    }

    /// Pulls or plugs the cable.
    pub fn set_link(&self, up: bool) {
        self.up.set(up);
        self.waker.borrow_mut().wake();
    }

    /// A frame arrives, if the link is up and there is room.
    pub fn deliver(&self, frame: &[u8]) {
        if self.up.get()
            && let Ok(frame) = Vec::from_slice(frame)
        {
            let _ = self.frames.borrow_mut().push_back(frame);
            self.waker.borrow_mut().wake();
        }
    }

    /// Frames that left from here.
    pub fn sent(&self) -> u32 {
        self.sent.get()
    }

    fn register(&self, cx: &Context<'_>) {
        self.waker.borrow_mut().register(cx.waker());
    }
}

impl Default for Port {
    fn default() -> Self {
        Self::new()
    }
}

/// The card at one end, which sends to the other end, if there is one.
pub struct Card {
    mac: [u8; 6],
    own: &'static Port,
    other: Option<&'static Port>,
    /// What is being sent; behind it what was sent before, as in a card.
    buffer: [u8; LONGEST],
}

impl Card {
    /// A card between two ports.
    pub const fn new(mac: [u8; 6], own: &'static Port, other: Option<&'static Port>) -> Self {
        Self {
            mac,
            own,
            other,
            buffer: [0; LONGEST],
        }
    }
}

impl Driver for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Room<'_>)> {
        self.own.register(cx);
        let waits = !self.own.frames.borrow().is_empty();
        waits.then_some((Received(self.own), Room(self)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Room<'_>> {
        self.own.register(cx);
        Some(Room(self))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.own.register(cx);
        if self.own.up.get() {
            LinkState::Up
        } else {
            LinkState::Down
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = LONGEST;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

/// A frame that has arrived: it stays where it is until it was looked at, so that nothing is copied.
pub struct Received(&'static Port);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        let mut frames = self.0.frames.borrow_mut();
        let result = f(frames.front_mut().map(Vec::as_mut_slice).unwrap_or_default());
        frames.pop_front();
        result
    }
}

/// Room for a frame.
pub struct Room<'a>(&'a mut Card);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Card {
            own, other, buffer, ..
        } = self.0;
        let frame = &mut buffer[..len.min(LONGEST)];
        let result = f(frame);
        if own.up.get() {
            own.sent.set(own.sent.get() + 1);
            if let Some(other) = other {
                other.deliver(frame);
            }
        }
        result
    }
}
