//! A wire within the image: network cards without hardware.

use core::cell::RefCell;
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::WakerRegistration;
use heapless::Deque;

/// The longest frame: no advertisement, question or announcement is longer.
pub const LONGEST: usize = 160;

/// A frame and its length.
pub type Frame = heapless::Vec<u8, LONGEST>;

/// One end of a wire: what has arrived there.
pub struct Port {
    state: RefCell<State>,
}

struct State {
    frames: Deque<Frame, 8>,
    waker: WakerRegistration,
    up: bool,
    sent: u32,
}

impl Port {
    /// Nothing has arrived; the link is up.
    pub const fn new() -> Self {
        Self {
            state: RefCell::new(State {
                frames: Deque::new(),
                waker: WakerRegistration::new(),
                up: true,
                sent: 0,
            }),
        }
    }

    /// Pulls or plugs the cable.
    pub fn set_link(&self, up: bool) {
        let mut state = self.state.borrow_mut();
        state.up = up;
        state.waker.wake();
    }

    /// A frame arrives, if the link is up and there is room.
    pub fn deliver(&self, frame: &[u8]) {
        let mut state = self.state.borrow_mut();
        if state.up
            && let Ok(frame) = Frame::from_slice(frame)
        {
            let _ = state.frames.push_back(frame);
            state.waker.wake();
        }
    }

    /// Frames that left from here.
    pub fn sent(&self) -> u32 {
        self.state.borrow().sent
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
}

impl Card {
    /// A card between two ports.
    pub const fn new(mac: [u8; 6], own: &'static Port, other: Option<&'static Port>) -> Self {
        Self { mac, own, other }
    }
}

impl Driver for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Room<'_>)> {
        let mut state = self.own.state.borrow_mut();
        state.waker.register(cx.waker());
        let frame = state.frames.pop_front()?;
        Some((Received(frame), Room(self)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Room<'_>> {
        self.own.state.borrow_mut().waker.register(cx.waker());
        Some(Room(self))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        let mut state = self.own.state.borrow_mut();
        state.waker.register(cx.waker());
        if state.up { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

/// A frame that has arrived.
pub struct Received(Frame);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
        f(&mut self.0)
    }
}

/// Room for a frame.
pub struct Room<'a>(&'a Card);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = [0; LONGEST];
        let frame = &mut frame[..len.min(LONGEST)];
        let result = f(frame);
        let up = {
            let mut state = self.0.own.state.borrow_mut();
            state.sent += u32::from(state.up);
            state.up
        };
        if let Some(other) = self.0.other.filter(|_| up) {
            other.deliver(frame);
        }
        result
    }
}
