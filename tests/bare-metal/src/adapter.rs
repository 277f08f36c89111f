//! Calls the public API of `carp-embassy` with a network card that the compiler knows nothing about.

use core::future::Future;
use core::hint::black_box;
use core::pin::pin;
use core::task::{Context, Waker};

use carp_embassy::phy::PhyShim;
use carp_embassy::{
    Carp, Engine, Gateway, PeerSlots, Seat, SeatPackets, SeatState, Seats, Shim, Slots, log_event,
    virtual_host,
};
use carp_fsm::{Cause, HostConfig, Instant, LinkState, Peer, Policy};
#[cfg(feature = "follow")]
use embassy_net::{Ipv4Cidr, Ipv6Cidr, StaticConfigV4, StaticConfigV6};
use embassy_net_driver::{self as driver, Driver as _};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use smoltcp::phy::{self, Device as _};
use smoltcp::time;
use static_cell::{ConstStaticCell, StaticCell};

use crate::{any, any_ip, any_ipv4, any_ipv6, any_key, any_mac, any_vhid};

/// Addresses of a virtual host.
const ADDRS: usize = 2;

type Mutex = NoopRawMutex;

/// A network card without any hardware, with a frame to be received now and then.
pub struct Nic;

/// Its tokens.
pub struct Token;

fn frame() -> &'static mut [u8] {
    black_box(&mut [])
}

impl driver::Driver for Nic {
    type RxToken<'a> = Token;
    type TxToken<'a> = Token;

    fn receive(&mut self, _: &mut Context<'_>) -> Option<(Token, Token)> {
        any::<bool>().then_some((Token, Token))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Token> {
        any::<bool>().then_some(Token)
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> driver::LinkState {
        black_box(driver::LinkState::Up)
    }

    fn capabilities(&self) -> driver::Capabilities {
        driver::Capabilities::default()
    }

    fn hardware_address(&self) -> driver::HardwareAddress {
        driver::HardwareAddress::Ethernet(any())
    }
}

impl driver::RxToken for Token {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(frame())
    }
}

impl driver::TxToken for Token {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: usize, f: F) -> R {
        f(frame())
    }
}

impl phy::Device for Nic {
    type RxToken<'a> = Token;
    type TxToken<'a> = Token;

    fn receive(&mut self, _: time::Instant) -> Option<(Token, Token)> {
        any::<bool>().then_some((Token, Token))
    }

    fn transmit(&mut self, _: time::Instant) -> Option<Token> {
        any::<bool>().then_some(Token)
    }

    fn capabilities(&self) -> phy::DeviceCapabilities {
        phy::DeviceCapabilities::default()
    }
}

impl phy::RxToken for Token {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(frame())
    }
}

impl phy::TxToken for Token {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: usize, f: F) -> R {
        f(frame())
    }
}

fn any_config() -> HostConfig<ADDRS> {
    let mut config = virtual_host(any_vhid(), any_key());
    let _ = config.addresses.insert(any_ip());
    config
}

fn any_peer() -> Peer {
    Peer {
        address: any_ip(),
        min_ttl: any(),
    }
}

fn poll(future: impl Future) {
    let _ = black_box(
        pin!(future)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready(),
    );
}

/// Shim, seats, runner and control.
pub fn shim() {
    static SLOTS: ConstStaticCell<Slots<2, ADDRS>> = ConstStaticCell::new(Slots::EMPTY);
    static PEERS: ConstStaticCell<PeerSlots<2, 3>> = ConstStaticCell::new(PeerSlots::EMPTY);
    static CARP: StaticCell<Carp<Mutex, ADDRS>> = StaticCell::new();
    static PACKETS: ConstStaticCell<SeatPackets<4>> = ConstStaticCell::new(SeatPackets::EMPTY);
    static SEAT: StaticCell<SeatState<Mutex, 4>> = StaticCell::new();

    // A cell that is taken twice panics: that is the program's part.
    let (Some(slots), Some(peers), Some(packets)) = (SLOTS.try_take(), PEERS.try_take(), PACKETS.try_take())
    else {
        return;
    };
    let carp = Carp::new(
        slots.with_peers(peers),
        black_box(Policy::HARDENED),
        any(),
        any_mac(),
    );
    let Some(carp) = CARP.try_uninit().map(|cell| &*cell.write(carp)) else {
        return;
    };
    let state = SeatState::new(any_vhid(), packets);
    let Some(state) = SEAT.try_uninit().map(|cell| cell.write(state)) else {
        return;
    };
    let (seat, mut second) = state.split();
    traffic(carp.announce(Nic));
    traffic::<[Seat<Mutex, 4>; 1]>(carp.accept(Nic, [seat]));
    let cx = &mut Context::from_waker(Waker::noop());
    if let Some((rx, tx)) = driver::Driver::receive(&mut second, cx) {
        driver::RxToken::consume(rx, |frame| _ = black_box(frame));
        driver::TxToken::consume(tx, any(), |frame| _ = black_box(frame));
    }
    if let Some(token) = driver::Driver::transmit(&mut second, cx) {
        driver::TxToken::consume(token, any(), |frame| _ = black_box(frame));
    }
    black_box(second.link_state(cx) == driver::LinkState::Up);
    black_box((second.hardware_address(), driver::Driver::capabilities(&second)));
    command(carp);
    poll(carp.runner().run());
}

fn traffic<S: Seats>(mut shim: Shim<Nic, Mutex, S, ADDRS>) {
    let cx = &mut Context::from_waker(Waker::noop());
    if let Some((rx, _)) = shim.receive(cx) {
        driver::RxToken::consume(rx, |frame| _ = black_box(frame));
    }
    black_box(driver::Driver::transmit(&mut shim, cx).is_some());
    black_box(shim.link_state(cx) == driver::LinkState::Up);
    black_box((shim.hardware_address(), driver::Driver::capabilities(&shim)));
}

fn command(carp: &'static Carp<Mutex, ADDRS>) {
    let control = carp.control();
    control.set_addresses(any::<bool>().then(any_ipv4), any::<bool>().then(any_ipv6));
    if let Ok(host) = control.insert(any_config()) {
        black_box((control.state(host), control.status(host)));
        black_box(control.set_enabled(host, any()).is_ok());
        black_box(control.set_peers(host, any(), &[any_peer(), any_peer()]).is_ok());
        black_box(control.hand_over(host).is_ok());
        black_box(control.with_node(|now, node| node.remove(now, host).is_ok()));
    }
    let gateway = || {
        any::<bool>().then(|| Gateway {
            network: any_ip(),
            prefix_len: any(),
            router: any_ip(),
        })
    };
    control.set_gateways(gateway(), gateway());
    #[cfg(feature = "follow")]
    follow(control);
    control.set_maintenance(any());
    control.set_ready(any());
    black_box(control.demote(Cause::External(any()), any()).is_ok());
    black_box(control.clear(Cause::External(any())).is_ok());
    black_box((control.stats(), control.demotion(), control.unresolved()));
    control.causes(|holding| _ = black_box(holding));
    control.shutdown();
    black_box(control.is_quiet());
    let mut events = control.events();
    let next = async {
        log_event(&events.next().await);
    };
    poll(next);
    poll(control.log_events());
}

/// What [`Control::follow`] does with what it reads.
#[cfg(feature = "follow")]
fn follow(control: carp_embassy::Control<Mutex, ADDRS>) {
    let ipv4 = any::<bool>().then(|| StaticConfigV4 {
        address: Ipv4Cidr::new(any_ipv4(), any::<u8>() & 31),
        gateway: any::<bool>().then(any_ipv4),
        dns_servers: heapless::Vec::new(),
    });
    let ipv6 = any::<bool>().then(|| StaticConfigV6 {
        address: Ipv6Cidr::new(any_ipv6(), any::<u8>() & 127),
        gateway: any::<bool>().then(any_ipv6),
        dns_servers: heapless::Vec::new(),
    });
    control.set_stack_config(ipv4, ipv6, any::<bool>().then(any_ipv6));
}

/// The same over smoltcp's devices, with peers and seats, and the engine itself.
pub fn phy() {
    static PACKETS: ConstStaticCell<SeatPackets<4>> = ConstStaticCell::new(SeatPackets::EMPTY);
    static SEAT: StaticCell<SeatState<Mutex, 4>> = StaticCell::new();

    let Some(packets) = PACKETS.try_take() else {
        return;
    };
    let state = SeatState::new(any_vhid(), packets);
    let Some(state) = SEAT.try_uninit().map(|cell| cell.write(state)) else {
        return;
    };
    let (seat, mut second) = state.split();
    phy_traffic(());
    phy_traffic([seat]);
    let now = time::Instant::from_micros(any::<i64>());
    if let Some((rx, tx)) = phy::Device::receive(&mut second, now) {
        phy::RxToken::consume(rx, |frame| _ = black_box(frame));
        phy::TxToken::consume(tx, any(), |frame| _ = black_box(frame));
    }
    black_box(phy::Device::transmit(&mut second, now).is_some());
    black_box(phy::Device::capabilities(&second));
}

fn phy_traffic<S: Seats>(seats: S) {
    let (mut slots, mut peers) = (Slots::<1, ADDRS>::EMPTY, PeerSlots::<1, 3>::EMPTY);
    let mut engine = Engine::new(slots.with_peers(&mut peers), Policy::HARDENED, any(), any_mac());
    let now = Instant::from_micros(any());
    if let Ok(host) = engine.node_mut().insert(now, any_config()) {
        black_box(
            engine
                .set_peers(now, host, any(), &[any_peer(), any_peer()])
                .is_ok(),
        );
    }
    engine.set_addresses(now, any::<bool>().then(any_ipv4), any::<bool>().then(any_ipv6));
    black_box((engine.mac(), engine.link(), engine.node().is_quiet()));
    let mut shim = PhyShim::new(Nic, engine, seats);
    let now = time::Instant::from_micros(any::<i64>());
    shim.set_link(now, black_box(LinkState::Up));
    if let Some((rx, _)) = shim.receive(now) {
        phy::RxToken::consume(rx, |frame| _ = black_box(frame));
    }
    black_box(shim.transmit(now).is_some());
    black_box((shim.poll_at(), shim.capabilities()));
    shim.drained(now);
    black_box(shim.engine().next_deadline());
}
