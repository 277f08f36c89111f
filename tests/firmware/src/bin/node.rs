//! A hot-standby node: its own address, and a virtual host in announce or accept mode. TCP echo on port 7 of whatever
//! address it has.
//!
//! Settings are words of the emulator's command line, for example
//! `mac=02:00:00:00:00:01 ip=10.0.0.1 vip=10.0.0.100 vhid=7 key=secret skew=0 mode=accept`.

#![no_std]
#![no_main]

use core::fmt::{self, Write as _};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carp_embassy::{
    Carp, Control, PeerSlots, Runner, Seat, SeatDriver, SeatPackets, SeatState, Shim, Slots, virtual_host,
};
use carp_firmware::board::{self, Semihosting};
use carp_firmware::console::{self, Console};
use carp_firmware::lan9118::{self, Lan9118};
use carp_firmware::time;
use carp_fsm::{Cause, Event, EventKind, HostConfig, HostId, Peer, Policy};
use carp_proto::{AdvBase, AdvSkew, Dialect, Key, MacAddr, Vhid};
use embassy_executor::Spawner;
use embassy_futures::select::select;
use embassy_net::tcp::TcpSocket;
use embassy_net::{
    Config, ConfigV4, ConfigV6, Ipv4Cidr, Ipv6Cidr, Stack, StackResources, StaticConfigV4, StaticConfigV6,
};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_time::Duration;
use static_cell::{ConstStaticCell, StaticCell};

/// Addresses of the virtual host, at most.
const ADDRS: usize = 2;
/// Unicast peers, at most.
const PEERS: usize = 2;
/// Buffers of the second network stack.
const PACKETS: usize = 8;

type Device = &'static mut Lan9118;
type Announce = Shim<Device, NoopRawMutex, (), ADDRS>;
type Accept = Shim<Device, NoopRawMutex, [Seat<NoopRawMutex, PACKETS>; 1], ADDRS>;
type Second = SeatDriver<NoopRawMutex, PACKETS>;

static SLOTS: ConstStaticCell<Slots<1, ADDRS, 16>> = ConstStaticCell::new(Slots::EMPTY);
static PEER_SLOTS: ConstStaticCell<PeerSlots<1, PEERS>> = ConstStaticCell::new(PeerSlots::EMPTY);
static CARP: StaticCell<Carp<NoopRawMutex, ADDRS>> = StaticCell::new();
static NIC: ConstStaticCell<Lan9118> = ConstStaticCell::new(Lan9118::NEW);
static SEAT_PACKETS: ConstStaticCell<SeatPackets<PACKETS>> = ConstStaticCell::new(SeatPackets::EMPTY);
static SEAT: StaticCell<SeatState<NoopRawMutex, PACKETS>> = StaticCell::new();
static MAIN: StaticCell<StackResources<3>> = StaticCell::new();
static SECOND: StaticCell<StackResources<3>> = StaticCell::new();

#[cortex_m_rt::entry]
fn main() -> ! {
    console::init();
    time::init();
    let mut line = [0; 256];
    let Some(settings) = Settings::parse(board::command_line(&mut line)) else {
        let _ = writeln!(Semihosting, "settings: {}", board::command_line(&mut line));
        board::exit(false)
    };
    board::run(|spawner| start(spawner, settings))
}

fn start(spawner: Spawner, settings: Settings) {
    let Settings {
        mac,
        own,
        seed,
        ref host,
        ..
    } = settings;
    let nic = NIC.take();
    nic.start(mac.0);
    let memory = SLOTS.take().with_peers(PEER_SLOTS.take());
    let carp = &*CARP.init(Carp::new(memory, Policy::HARDENED, seed, mac));
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(mac.0[5]));
    let config = addresses(Some(own), Some(link_local));
    let resources = MAIN.init(StackResources::new());
    let stack = if settings.accept {
        let (seat, second) = SEAT.init(SeatState::new(host.vhid, SEAT_PACKETS.take())).split();
        let vip = addresses(host.addresses.ipv4().next(), host.addresses.ipv6().next());
        let (vip_stack, runner) = embassy_net::new(second, vip, SECOND.init(StackResources::new()), seed);
        spawn(spawner, run_second(runner));
        spawn(spawner, echo(vip_stack));
        let (stack, runner) = embassy_net::new(carp.accept(nic, [seat]), config, resources, seed);
        spawn(spawner, run_accept(runner));
        stack
    } else {
        let (stack, runner) = embassy_net::new(carp.announce(nic), config, resources, seed);
        spawn(spawner, run_announce(runner));
        stack
    };
    spawn(spawner, echo(stack));
    spawn(spawner, keep_time(carp.runner()));
    let control = carp.control();
    control.set_addresses(Some(own), Some(link_local));
    let Ok(host) = control.insert(settings.host) else {
        board::exit(false)
    };
    if !settings.peers.is_empty() && control.set_peers(host, false, &settings.peers).is_err() {
        board::exit(false)
    }
    spawn(spawner, tell(control));
    spawn(spawner, obey(control, host));
}

fn spawn<S>(spawner: Spawner, task: Result<embassy_executor::SpawnToken<S>, embassy_executor::SpawnError>) {
    match task {
        Ok(task) => spawner.spawn(task),
        Err(_) => board::exit(false),
    }
}

fn addresses(ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>) -> Config {
    let mut config = Config::default();
    if let Some(address) = ipv4 {
        config.ipv4 = ConfigV4::Static(StaticConfigV4 {
            address: Ipv4Cidr::new(address, 24),
            gateway: None,
            dns_servers: heapless::Vec::new(),
        });
    }
    if let Some(address) = ipv6 {
        config.ipv6 = ConfigV6::Static(StaticConfigV6 {
            address: Ipv6Cidr::new(address, 64),
            gateway: None,
            dns_servers: heapless::Vec::new(),
        });
    }
    config
}

#[embassy_executor::task]
async fn run_announce(mut runner: embassy_net::Runner<'static, Announce>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn run_accept(mut runner: embassy_net::Runner<'static, Accept>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn run_second(mut runner: embassy_net::Runner<'static, Second>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn keep_time(mut runner: Runner<NoopRawMutex, ADDRS>) {
    runner.run().await;
}

/// One connection at a time; one that is silent for five seconds makes room for the next. When the link of a second
/// network stack goes down, its clients are somebody else's.
#[embassy_executor::task(pool_size = 2)]
async fn echo(stack: Stack<'static>) {
    let (mut received, mut to_send) = ([0; 1024], [0; 1024]);
    loop {
        stack.wait_link_up().await;
        let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
        socket.set_timeout(Some(Duration::from_secs(5)));
        select(serve(&mut socket), stack.wait_link_down()).await;
        socket.abort();
    }
}

async fn serve(socket: &mut TcpSocket<'_>) {
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
}

/// One line for each event.
#[embassy_executor::task]
async fn tell(control: Control<NoopRawMutex, ADDRS>) {
    let mut events = control.events();
    loop {
        let Event { at, kind } = events.next().await;
        let _ = match kind {
            EventKind::Transition {
                host,
                from,
                to,
                reason,
                ..
            } => {
                let peer = control.status(host).and_then(|status| status.peer);
                let heard = peer.map_or(carp_fsm::Instant::ZERO, |peer| peer.at);
                let late = time::late_by();
                writeln!(
                    Console,
                    "{at} {from} -> {to}: {reason}; heard {heard}, woken {late} us late"
                )
            }
            EventKind::Demotion { to, cause, .. } => writeln!(Console, "{at} demotion {to}: {cause}"),
            EventKind::HandOver { outcome, .. } => writeln!(Console, "{at} hand-over: {outcome:?}"),
            EventKind::Lost(count) => writeln!(Console, "{at} {count} events lost"),
            other => writeln!(Console, "{at} {other:?}"),
        };
    }
}

/// What the application has to say about itself.
const CAUSE: Cause = Cause::External(1);

/// One letter, one command.
#[embassy_executor::task]
async fn obey(control: Control<NoopRawMutex, ADDRS>, host: HostId) {
    loop {
        match console::read().await {
            b'm' => control.set_maintenance(true),
            b'M' => control.set_maintenance(false),
            b'd' => drop(control.set_enabled(host, false)),
            b'e' => drop(control.set_enabled(host, true)),
            b'x' => drop(control.demote(CAUSE, 200)),
            b'X' => drop(control.clear(CAUSE)),
            b'h' => drop(control.hand_over(host)),
            b's' => control.shutdown(),
            b'?' => drop(report(control, host)),
            b't' => drop(writeln!(Console, "time {}", micros())),
            _ => {}
        }
    }
}

fn report(control: Control<NoopRawMutex, ADDRS>, host: HostId) -> fmt::Result {
    let stats = control.stats();
    let (used, all) = board::stack();
    let (sent, longest) = lan9118::advertisements();
    writeln!(
        Console,
        "status {} micros {} advertisements {sent} longest {longest} demotion {} ipackets {} opackets {} badauth {} badttl {} onomem {} senderr {} unused stack {} of {all} in use {used}",
        control.state(host).map_or("gone", |state| match state {
            carp_fsm::State::Init => "INIT",
            carp_fsm::State::Backup => "BACKUP",
            carp_fsm::State::Master => "MASTER",
        }),
        micros(),
        control.demotion(),
        stats.ipackets,
        stats.opackets,
        stats.badauth,
        stats.badttl,
        stats.onomem,
        stats.senderr,
        board::unused_stack(),
    )
}

fn micros() -> u64 {
    embassy_time::Instant::now().as_micros()
}

/// What the command line says.
struct Settings {
    mac: MacAddr,
    own: Ipv4Addr,
    seed: u64,
    accept: bool,
    host: HostConfig<ADDRS>,
    /// Of the same family as its virtual addresses. None: it speaks to the group.
    peers: heapless::Vec<Peer, PEERS>,
}

impl Settings {
    fn parse(line: &str) -> Option<Self> {
        let word = |name: &str| {
            line.split(' ')
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let mut mac = [0; 6];
        for (byte, text) in mac.iter_mut().zip(word("mac")?.split(':')) {
            *byte = u8::from_str_radix(text, 16).ok()?;
        }
        let vhid = Vhid::new(word("vhid")?.parse().ok()?)?;
        let mut host = virtual_host(vhid, Key::from_passphrase(word("key")?.as_bytes()).ok()?);
        for vip in word("vip")?.split(',') {
            host.addresses.insert(vip.parse::<IpAddr>().ok()?).ok()?;
        }
        host.advskew = AdvSkew::new(word("skew")?.parse().ok()?);
        host.advbase = AdvBase::new(word("base").map_or(Some(1), |base| base.parse().ok())?);
        host.dialect = word("dialect").map_or(Some(Dialect::FreeBsd), |dialect| dialect.parse().ok())?;
        host.preempt = word("preempt") != Some("no");
        let mut peers = heapless::Vec::new();
        for peer in word("peers").into_iter().flat_map(|peers| peers.split(',')) {
            let address = peer.parse().ok()?;
            peers
                .push(Peer {
                    address,
                    min_ttl: 255,
                })
                .ok()?;
        }
        Some(Self {
            peers,
            mac: MacAddr(mac),
            own: word("ip")?.parse().ok()?,
            seed: word("seed")?.parse().ok()?,
            accept: word("mode") == Some("accept"),
            host,
        })
    }
}
