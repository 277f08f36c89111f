//! A hot-standby TCP server on a tap device: the program for a microcontroller, on this computer.
//!
//! `./run.sh` builds it, starts it in a network namespace beside a `carpd` (with sudo), and takes turns.

use std::env;
use std::net::Ipv4Addr;

use carp_embassy::{
    Carp, Control, Runner, Seat, SeatDriver, SeatPackets, SeatState, Shim, Slots, virtual_host,
};
use carp_fsm::Policy;
use carp_proto::{AdvSkew, Key, MacAddr, Vhid};
use embassy_executor::Spawner;
use embassy_futures::select::select;
use embassy_net::driver::{Driver as _, HardwareAddress};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_net_tuntap::TunTapDevice;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use static_cell::{ConstStaticCell, StaticCell};

const PACKETS: usize = 4;

type Device = Shim<TunTapDevice, NoopRawMutex, [Seat<NoopRawMutex, PACKETS>; 1], 1>;

static SLOTS: ConstStaticCell<Slots<1, 1>> = ConstStaticCell::new(Slots::EMPTY);
static CARP: StaticCell<Carp<NoopRawMutex, 1>> = StaticCell::new();
static BUFFERS: ConstStaticCell<SeatPackets<PACKETS>> = ConstStaticCell::new(SeatPackets::EMPTY);
static SEAT: StaticCell<SeatState<NoopRawMutex, PACKETS>> = StaticCell::new();
static MAIN: StaticCell<StackResources<2>> = StaticCell::new();
static SECOND: StaticCell<StackResources<2>> = StaticCell::new();

const USAGE: &str = "usage: linux-tap TAP OWN-ADDRESS VIRTUAL-ADDRESS VHID PASSWORD ADVSKEW";

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    env_logger::Builder::new()
        .filter_level("info".parse().expect("a level"))
        .parse_default_env()
        .init();
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [tap, own, vip, vhid, password, skew] = &arguments[..] else {
        panic!("{USAGE}")
    };
    let own: Ipv4Addr = own.parse().expect(USAGE);
    let vip: Ipv4Addr = vip.parse().expect(USAGE);
    let vhid = Vhid::new(vhid.parse().expect(USAGE)).expect("a vhid is not 0");

    let device = TunTapDevice::new(tap).expect("the tap device must exist");
    let HardwareAddress::Ethernet(mac) = device.hardware_address() else {
        panic!("{tap} is not a tap device")
    };
    let seed = getrandom::u64().expect("random numbers");

    let carp = &*CARP.init(Carp::new(SLOTS.take(), Policy::HARDENED, seed, MacAddr(mac)));
    let (seat, second) = SEAT.init(SeatState::new(vhid, BUFFERS.take())).split();

    // One stack with the board's own address, one with the virtual address.
    let (_, runner) = embassy_net::new(
        carp.accept(device, [seat]),
        ipv4(own),
        MAIN.init(StackResources::new()),
        seed,
    );
    let (vip_stack, vip_runner) =
        embassy_net::new(second, ipv4(vip), SECOND.init(StackResources::new()), seed);
    spawner.spawn(run_main(runner).expect("the only one"));
    spawner.spawn(run_second(vip_runner).expect("the only one"));
    spawner.spawn(keep_time(carp.runner()).expect("the only one"));
    spawner.spawn(log_events(carp.control()).expect("the only one"));

    let control = carp.control();
    control.set_addresses(Some(own), None);
    let mut config = virtual_host(
        vhid,
        Key::from_passphrase(password.as_bytes()).expect("1 to 19 bytes"),
    );
    config.preempt = true;
    config.advskew = AdvSkew::new(skew.parse().expect(USAGE));
    config
        .addresses
        .insert(vip.into())
        .expect("an address of a machine");
    control.insert(config).expect("a virtual host that can be");

    serve(vip_stack).await;
}

fn ipv4(address: Ipv4Addr) -> Config {
    Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(address, 24),
        gateway: None,
        dns_servers: heapless::Vec::new(),
    })
}

#[embassy_executor::task]
async fn run_main(mut runner: embassy_net::Runner<'static, Device>) {
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

/// Says hello on port 7 of the virtual address, as long as that is here.
async fn serve(stack: Stack<'static>) {
    let (mut received, mut to_send) = ([0; 1024], [0; 1024]);
    loop {
        stack.wait_link_up().await;
        let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
        let hello = async {
            if socket.accept(7).await.is_ok() {
                let _ = socket.write(b"hello from linux-tap\n").await;
                socket.close();
                let _ = socket.flush().await;
            }
        };
        select(hello, stack.wait_link_down()).await;
    }
}
