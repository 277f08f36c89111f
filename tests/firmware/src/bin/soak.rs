//! Two nodes in one image for 24 hours of its time: cables are pulled, roles are handed over, and all is counted.
//! Started with `-icount`, it is done in less than a minute.

#![no_std]
#![no_main]

use core::fmt::Write as _;
use core::future::poll_fn;
use core::task::Poll;

use carp_embassy::{Carp, Control, Runner, Shim, Slots, virtual_host};
use carp_firmware::board::{self, Semihosting};
use carp_firmware::time;
use carp_firmware::wire::{Card, Port};
use carp_fsm::{HostId, Policy, State};
use carp_proto::{AdvSkew, Key, MacAddr, Vhid};
use embassy_executor::Spawner;
use embassy_net_driver::{Driver as _, RxToken as _};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_time::{Duration, Instant, Timer};
use static_cell::{ConstStaticCell, StaticCell};

type Mutex = CriticalSectionRawMutex;

const VHID: Vhid = Vhid::new(7).unwrap();
/// Something happens so often; each time takes two minutes.
const ROUND: Duration = Duration::from_secs(600);
const ROUNDS: u32 = 24 * 6;
/// The members agree again after so long, whatever happened.
const SETTLED: Duration = Duration::from_secs(10);

static SLOTS: [ConstStaticCell<Slots<1, 1>>; 2] = [const { ConstStaticCell::new(Slots::EMPTY) }; 2];
static CARPS: [StaticCell<Carp<Mutex, 1>>; 2] = [const { StaticCell::new() }; 2];
static PORTS: ConstStaticCell<[Port; 2]> = ConstStaticCell::new([const { Port::new() }; 2]);

/// What is kept of a node.
#[derive(Clone, Copy)]
struct Member {
    control: Control<Mutex, 1>,
    host: HostId,
    port: &'static Port,
}

#[cortex_m_rt::entry]
fn main() -> ! {
    time::init();
    board::run(|spawner| {
        let ports: &'static [Port; 2] = PORTS.take();
        let members = [0, 1].map(|number| start(spawner, number, ports));
        let Ok(task) = watch(members) else {
            board::exit(false)
        };
        spawner.spawn(task);
    })
}

fn start(spawner: Spawner, number: usize, ports: &'static [Port; 2]) -> Member {
    let last = number as u8 + 1;
    let mac = MacAddr([2, 0, 0, 0, 0, last]);
    let carp = &*CARPS[number].init(Carp::new(
        SLOTS[number].take(),
        Policy::HARDENED,
        last.into(),
        mac,
    ));
    let nic = Card::new(mac.0, &ports[number], Some(&ports[1 - number]));
    let (Ok(stack), Ok(runner)) = (poll_stack(carp.announce(nic)), keep_time(carp.runner())) else {
        board::exit(false)
    };
    spawner.spawn(stack);
    spawner.spawn(runner);
    let mut config = virtual_host(VHID, Key::NONE);
    config.preempt = true;
    config.advskew = AdvSkew::new(100 * number as u8);
    let added = config.addresses.insert([10, 0, 0, 100].into());
    let control = carp.control();
    control.set_addresses(Some([10, 0, 0, last].into()), None);
    let (Ok(_), Ok(host)) = (added, control.insert(config)) else {
        board::exit(false)
    };
    Member {
        control,
        host,
        port: &ports[number],
    }
}

/// All that a network stack does here: it polls.
#[embassy_executor::task(pool_size = 2)]
async fn poll_stack(mut shim: Shim<Card, Mutex, (), 1>) {
    poll_fn(|cx| {
        while let Some((frame, _)) = shim.receive(cx) {
            frame.consume(|_| ());
        }
        Poll::<()>::Pending
    })
    .await;
}

#[embassy_executor::task(pool_size = 2)]
async fn keep_time(mut runner: Runner<Mutex, 1>) {
    runner.run().await;
}

impl Member {
    fn state(&self) -> Option<State> {
        self.control.state(self.host)
    }
}

/// Ends the program if it is not so.
fn require(holds: bool, what: &str, [a, b]: [Member; 2]) {
    if !holds {
        let now = Instant::now().as_millis();
        let states = [a.state(), b.state()];
        let _ = writeln!(Semihosting, "at {now} ms: not {what}: {states:?}");
        board::exit(false);
    }
}

#[embassy_executor::task]
async fn watch(members: [Member; 2]) {
    let [a, b] = members;
    let first_is_master = || a.state() == Some(State::Master) && b.state() == Some(State::Backup);
    let second_is_master = || a.state() != Some(State::Master) && b.state() == Some(State::Master);
    Timer::after(SETTLED).await;
    require(first_is_master(), "elected", members);
    for round in 1..=ROUNDS {
        match round % 4 {
            0 => a.port.set_link(false),
            1 => drop(a.control.hand_over(a.host)),
            2 => a.control.set_maintenance(true),
            _ => drop(a.control.set_enabled(a.host, false)),
        }
        Timer::after(SETTLED).await;
        require(second_is_master(), "handed over", members);
        match round % 4 {
            0 => a.port.set_link(true),
            1 => drop(b.control.hand_over(b.host)),
            2 => a.control.set_maintenance(false),
            _ => drop(a.control.set_enabled(a.host, true)),
        }
        Timer::after(SETTLED).await;
        require(first_is_master(), "taken back", members);
        require(a.control.demotion() == 0, "free of demotion", members);
        Timer::at(Instant::MIN + ROUND * round).await;
        require(first_is_master(), "left alone", members);
    }
    let [sa, sb] = [a, b].map(|member| member.control.stats());
    let hours = Instant::now().as_secs() / 3600;
    let _ = writeln!(
        Semihosting,
        "{hours} h, {ROUNDS} times there and back: {} and {} times MASTER, {} and {} advertisements sent, {} and {} heard, {} and {} frames, stack {} bytes",
        sa.preempt,
        sb.preempt,
        sa.opackets,
        sb.opackets,
        sa.ipackets,
        sb.ipackets,
        a.port.sent(),
        b.port.sent(),
        board::stack().1 - board::unused_stack(),
    );
    // The first election, and one for each round there and back.
    require(
        sa.preempt == u64::from(ROUNDS) + 1 && sb.preempt == u64::from(ROUNDS),
        "as often as it should be",
        members,
    );
    require(
        sa.badauth + sb.badauth + sa.senderr + sb.senderr == 0,
        "without errors",
        members,
    );
    board::exit(true);
}
