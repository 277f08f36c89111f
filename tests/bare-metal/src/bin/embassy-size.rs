//! An embassy-net firmware with a TCP server, without CARP, in announce mode (with a unicast peer) and in accept
//! mode: what the image grows by is what CARP costs. It has no hardware, and is never run.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use carp_bare_metal::adapter::Nic;
#[cfg(feature = "announce")]
use carp_embassy::{Carp, Control, Slots, virtual_host};
#[cfg(feature = "accept")]
use carp_embassy::{Seat, SeatDriver, SeatPackets, SeatState};
#[cfg(feature = "announce")]
use carp_fsm::{EventKind, Policy};
#[cfg(feature = "announce")]
use carp_proto::{Key, MacAddr, Vhid};
use embassy_executor::Spawner;
use embassy_executor::raw::Executor;
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Ipv4Address, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
#[cfg(feature = "announce")]
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use static_cell::StaticCell;

#[path = "../platform.rs"]
mod platform;

#[cfg(not(feature = "announce"))]
type Device = Nic;
#[cfg(all(feature = "announce", not(feature = "accept")))]
type Device = carp_embassy::Shim<Nic, NoopRawMutex, (), 1>;
#[cfg(feature = "accept")]
type Device = carp_embassy::Shim<Nic, NoopRawMutex, [Seat<NoopRawMutex, PACKETS>; 1], 1>;

/// Packets of a seat: 1514 bytes each.
#[cfg(feature = "accept")]
const PACKETS: usize = 4;

#[cfg(feature = "announce")]
const VHID: Vhid = Vhid::new(7).unwrap();

/// Virtual hosts that there is memory for.
#[cfg(feature = "announce")]
const HOSTS: usize = if cfg!(feature = "second") { 2 } else { 1 };

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

// SAFETY: the signature that embassy-executor documents.
#[unsafe(export_name = "__pender")]
fn pend(context: *mut ()) {
    black_box(context);
}

// SAFETY: the only symbol of this name; it is the entry point that build.rs tells the linker.
#[unsafe(no_mangle)]
extern "C" fn entry() -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    let executor = EXECUTOR.init(Executor::new(core::ptr::null_mut()));
    start(executor.spawner());
    loop {
        // SAFETY: from this one place.
        unsafe { executor.poll() };
    }
}

fn start(spawner: Spawner) {
    static MAIN: StaticCell<StackResources<2>> = StaticCell::new();

    let (stack, runner) = embassy_net::new(device(spawner), config(), MAIN.init(StackResources::new()), 1);
    spawn(spawner, run(runner));
    spawn(spawner, serve(stack));
}

fn config() -> Config {
    Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(black_box(Ipv4Address::LOCALHOST), 24),
        gateway: None,
        dns_servers: heapless::Vec::new(),
    })
}

fn spawn<S>(spawner: Spawner, task: Result<embassy_executor::SpawnToken<S>, embassy_executor::SpawnError>) {
    if let Ok(task) = task {
        spawner.spawn(task);
    }
}

#[embassy_executor::task]
async fn run(mut runner: embassy_net::Runner<'static, Device>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn serve(stack: Stack<'static>) {
    let (mut received, mut to_send) = ([0; 512], [0; 512]);
    loop {
        let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
        if socket.accept(502).await.is_ok() {
            let mut buffer = [0; 64];
            while let Ok(len @ 1..) = socket.read(&mut buffer).await {
                if socket.write(&buffer[..len]).await.is_err() {
                    break;
                }
            }
        }
    }
}

#[cfg(not(feature = "announce"))]
fn device(_: Spawner) -> Device {
    Nic
}

#[cfg(feature = "announce")]
fn device(spawner: Spawner) -> Device {
    static SLOTS: static_cell::ConstStaticCell<Slots<HOSTS, 1>> =
        static_cell::ConstStaticCell::new(Slots::EMPTY);
    #[cfg(feature = "unicast")]
    static PEERS: static_cell::ConstStaticCell<carp_embassy::PeerSlots<HOSTS, 1>> =
        static_cell::ConstStaticCell::new(carp_embassy::PeerSlots::EMPTY);
    static CARP: StaticCell<Carp<NoopRawMutex, 1>> = StaticCell::new();

    let mac = MacAddr(black_box([0; 6]));
    #[cfg(not(feature = "unicast"))]
    let memory = SLOTS.take();
    #[cfg(feature = "unicast")]
    let memory = SLOTS.take().with_peers(PEERS.take());
    let carp = &*CARP.init(Carp::new(memory, Policy::HARDENED, black_box(1), mac));
    spawn(spawner, keep_time(carp.runner()));
    spawn(spawner, operate(carp.control()));
    attach(spawner, carp)
}

#[cfg(all(feature = "announce", not(feature = "accept")))]
fn attach(_: Spawner, carp: &'static Carp<NoopRawMutex, 1>) -> Device {
    carp.announce(Nic)
}

#[cfg(feature = "accept")]
fn attach(spawner: Spawner, carp: &'static Carp<NoopRawMutex, 1>) -> Device {
    static SECOND: StaticCell<StackResources<2>> = StaticCell::new();
    static BUFFERS: static_cell::ConstStaticCell<SeatPackets<PACKETS>> =
        static_cell::ConstStaticCell::new(SeatPackets::EMPTY);
    static SEAT: StaticCell<SeatState<NoopRawMutex, PACKETS>> = StaticCell::new();

    let (seat, second) = SEAT.init(SeatState::new(VHID, BUFFERS.take())).split();
    let (_, runner) = embassy_net::new(second, config(), SECOND.init(StackResources::new()), 1);
    spawn(spawner, run_second(runner));
    carp.accept(Nic, [seat])
}

#[cfg(feature = "accept")]
#[embassy_executor::task]
async fn run_second(mut runner: embassy_net::Runner<'static, SeatDriver<NoopRawMutex, PACKETS>>) {
    runner.run().await;
}

#[cfg(feature = "announce")]
#[embassy_executor::task]
async fn keep_time(mut runner: carp_embassy::Runner<NoopRawMutex, 1>) {
    runner.run().await;
}

#[cfg(feature = "announce")]
#[embassy_executor::task]
async fn operate(control: Control<NoopRawMutex, 1>) {
    let mut config = virtual_host(
        VHID,
        Key::from_passphrase(black_box(b"secret")).unwrap_or(Key::NONE),
    );
    let _ = config.addresses.insert(black_box([10, 0, 0, 100].into()));
    control.set_addresses(Some(black_box([10, 0, 0, 1].into())), None);
    let Ok(host) = control.insert(config) else { return };
    #[cfg(feature = "unicast")]
    let _ = control.set_peers(
        host,
        false,
        &[carp_fsm::Peer {
            address: black_box([10, 0, 0, 2].into()),
            min_ttl: 255,
        }],
    );
    let mut events = control.events();
    loop {
        if let EventKind::Transition { to, .. } = events.next().await.kind {
            black_box((to, control.state(host)));
        }
    }
}
