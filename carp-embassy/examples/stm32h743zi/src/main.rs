//! A hot-standby TCP server on a Nucleo-H743ZI: two boards, one address. README.md has the wiring.

#![no_std]
#![no_main]

use carp_embassy::{
    Carp, Control, Runner, Seat, SeatDriver, SeatPackets, SeatState, Shim, Slots, virtual_host,
};
use carp_fsm::Policy;
use carp_proto::{AdvSkew, Key, MacAddr, Vhid};
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_futures::select::select;
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Ipv4Address, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_stm32::eth::{self, Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::peripherals::{ETH, ETH_SMA, RNG};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::{bind_interrupts, pac, uid};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use panic_probe as _;
use static_cell::{ConstStaticCell, StaticCell};

/// The same on both boards.
const VHID: Vhid = Vhid::new(7).unwrap();
const VIRTUAL: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(192, 0, 2, 7), 24);
const PASSWORD: &[u8] = b"change me";
/// The board that should be master has 0, the other one 100.
const ADVSKEW: AdvSkew = AdvSkew::new(100);

const PACKETS: usize = 4;

type Driver = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;
type Main = Shim<Driver, NoopRawMutex, [Seat<NoopRawMutex, PACKETS>; 1], 1>;

static SLOTS: ConstStaticCell<Slots<1, 1>> = ConstStaticCell::new(Slots::EMPTY);
static CARP: StaticCell<Carp<NoopRawMutex, 1>> = StaticCell::new();
static BUFFERS: ConstStaticCell<SeatPackets<PACKETS>> = ConstStaticCell::new(SeatPackets::EMPTY);
static SEAT: StaticCell<SeatState<NoopRawMutex, PACKETS>> = StaticCell::new();
static QUEUE: ConstStaticCell<PacketQueue<4, 4>> = ConstStaticCell::new(PacketQueue::new());
static MAIN: StaticCell<StackResources<3>> = StaticCell::new();
static SECOND: StaticCell<StackResources<2>> = StaticCell::new();

bind_interrupts!(struct Irqs {
    ETH => eth::InterruptHandler;
    RNG => rng::InterruptHandler<RNG>;
});

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let p = embassy_stm32::init(clocks());

    // A locally administered MAC address from the chip's unique number.
    let [a, b, c, d, ..] = uid::uid();
    let mac = [0x02, a, b, c, d, 0x07];
    let mut random = [0; 8];
    let mut rng = Rng::new(p.RNG, Irqs);
    rng.fill_bytes(&mut random);
    let seed = u64::from_le_bytes(random);

    let ethernet = Ethernet::new(
        QUEUE.take(),
        p.ETH,
        Irqs,
        p.PA1,
        p.PA7,
        p.PC4,
        p.PC5,
        p.PG13,
        p.PB13,
        p.PG11,
        mac,
        p.ETH_SMA,
        p.PA2,
        p.PC1,
    );
    pass_virtual_mac(VHID.mac());

    let carp = &*CARP.init(Carp::new(SLOTS.take(), Policy::HARDENED, seed, MacAddr(mac)));
    let (seat, second) = SEAT.init(SeatState::new(VHID, BUFFERS.take())).split();

    // One stack with the board's own address, by DHCP, and one with the virtual address.
    let own = Config::dhcpv4(embassy_net::DhcpConfig::default());
    let (stack, runner) = embassy_net::new(
        carp.accept(ethernet, [seat]),
        own,
        MAIN.init(StackResources::new()),
        seed,
    );
    let fixed = Config::ipv4_static(StaticConfigV4 {
        address: VIRTUAL,
        gateway: None,
        dns_servers: heapless::Vec::new(),
    });
    let (vip_stack, vip_runner) = embassy_net::new(second, fixed, SECOND.init(StackResources::new()), seed);
    spawner.spawn(defmt::unwrap!(run_main(runner)));
    spawner.spawn(defmt::unwrap!(run_second(vip_runner)));
    spawner.spawn(defmt::unwrap!(keep_time(carp.runner())));
    spawner.spawn(defmt::unwrap!(log_events(carp.control())));
    spawner.spawn(defmt::unwrap!(follow(carp.control(), stack)));

    let mut config = virtual_host(VHID, defmt::unwrap!(Key::from_passphrase(PASSWORD).ok()));
    config.advskew = ADVSKEW;
    config.preempt = true;
    defmt::unwrap!(config.addresses.insert(VIRTUAL.address().into()).ok());
    defmt::unwrap!(carp.control().insert(config).ok());

    serve(vip_stack).await;
}

/// 400 MHz from the internal oscillator.
fn clocks() -> embassy_stm32::Config {
    use embassy_stm32::rcc::{
        AHBPrescaler, APBPrescaler, HSIPrescaler, Hsi48Config, Pll, PllDiv, PllMul, PllPreDiv, PllSource,
        Sysclk, VoltageScale,
    };

    let mut config = embassy_stm32::Config::default();
    config.rcc.hsi = Some(HSIPrescaler::DIV1);
    config.rcc.csi = true;
    config.rcc.hsi48 = Some(Hsi48Config::default()); // for the random numbers
    config.rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.ahb_pre = AHBPrescaler::DIV2;
    config.rcc.apb1_pre = APBPrescaler::DIV2;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config.rcc.apb3_pre = APBPrescaler::DIV2;
    config.rcc.apb4_pre = APBPrescaler::DIV2;
    config.rcc.voltage_scale = VoltageScale::Scale1;
    config
}

/// Lets frames to the virtual MAC address pass: the second of the MAC's address filters. The driver has set the first
/// one, and lets all groups pass.
fn pass_virtual_mac(mac: MacAddr) {
    let [a, b, c, d, e, f] = mac.0;
    let registers = pac::ETH.ethernet_mac();
    // The low half last: that is when both take effect.
    registers.macahr(0).modify(|half| {
        half.set_addrhi(u16::from_le_bytes([e, f]));
        half.set_ae(true);
    });
    registers
        .macalr(0)
        .write(|half| half.set_addrlo(u32::from_le_bytes([a, b, c, d])));
}

#[embassy_executor::task]
async fn run_main(mut runner: embassy_net::Runner<'static, Main>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn run_second(mut runner: embassy_net::Runner<'static, SeatDriver<NoopRawMutex, PACKETS>>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn keep_time(mut runner: Runner<NoopRawMutex, 1>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn log_events(control: Control<NoopRawMutex, 1>) {
    control.log_events().await;
}

/// Advertisements leave from whatever address DHCP gives.
#[embassy_executor::task]
async fn follow(control: Control<NoopRawMutex, 1>, stack: Stack<'static>) {
    control.follow(stack, None).await;
}

/// Echoes on port 7 of the virtual address, as long as that is here.
async fn serve(stack: Stack<'static>) -> ! {
    let (mut received, mut to_send) = ([0; 2048], [0; 2048]);
    loop {
        stack.wait_link_up().await;
        let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
        let echo = async {
            if socket.accept(7).await.is_err() {
                return;
            }
            let mut buffer = [0; 256];
            while let Ok(len @ 1..) = socket.read(&mut buffer).await {
                let mut rest = &buffer[..len];
                while !rest.is_empty() {
                    match socket.write(rest).await {
                        Ok(written) => rest = &rest[written..],
                        Err(_) => return,
                    }
                }
            }
        };
        select(echo, stack.wait_link_down()).await;
    }
}
