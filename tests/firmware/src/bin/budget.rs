//! Instructions and stack of what the adapter does, counted with `-icount shift=3`: the same in every run. Ends with a
//! failure if one exceeds its limit.

#![no_std]
#![no_main]

use core::fmt::{self, Write as _};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use carp_embassy::{Carp, Control, Engine, Shim, Slots, virtual_host};
use carp_firmware::board::{self, INSTRUCTIONS_PER_TICK, Semihosting};
use carp_firmware::time;
use carp_firmware::wire::{Card, Frame, Port};
use carp_fsm::{Duration, HostConfig, Instant, LinkState, Policy, State, TransmitResult};
use carp_proto::{AdvSkew, Key, MAX_FRAME_LEN, MacAddr, Vhid};
use embassy_net_driver::{Driver as _, RxToken as _};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use static_cell::{ConstStaticCell, StaticCell};

const VHID: Vhid = Vhid::new(7).unwrap();
const VIP: [u8; 4] = [10, 0, 0, 100];
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

type TheShim = Shim<Card, NoopRawMutex, (), 2>;

/// The worst that one call may take: measured on a Cortex-M3, and a tenth more.
const LIMITS: [(&str, u32); 11] = [
    ("a frame that is not CARP's", 1_830),
    ("rejected: TTL", 2_430),
    ("rejected: checksum", 2_700),
    ("rejected: unknown vhid", 2_700),
    ("rejected: digest", 8_600),
    ("accepted advertisement", 10_500),
    ("question answered", 3_600),
    ("advertisement sent", 14_500),
    ("a poll for nothing", 800),
    ("eight rejected at once: TTL", 13_900),
    ("a timeout: BACKUP to MASTER", 15_200),
];

struct Bench<'a> {
    waker: &'a Waker,
    shim: TheShim,
    port: &'static Port,
    /// The largest, of all runs.
    results: [(u32, usize); LIMITS.len()],
}

#[cortex_m_rt::entry]
fn main() -> ! {
    time::init();
    board::run(|spawner| match measure_all() {
        Ok(task) => spawner.spawn(task),
        Err(_) => board::exit(false),
    })
}

/// A task, because timers only know the wakers of tasks.
#[embassy_executor::task]
async fn measure_all() {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    board::exit(run(&waker).unwrap_or(false))
}

fn config(advskew: u8) -> HostConfig<2> {
    let mut config = virtual_host(VHID, Key::NONE);
    config.advskew = AdvSkew::new(advskew);
    let _ = config.addresses.insert(VIP.into());
    config
}

fn run(waker: &Waker) -> Result<bool, fmt::Error> {
    static SLOTS: ConstStaticCell<Slots<1, 2>> = ConstStaticCell::new(Slots::EMPTY);
    static PEER: ConstStaticCell<Slots<1, 2>> = ConstStaticCell::new(Slots::EMPTY);
    static CARP: StaticCell<Carp<NoopRawMutex, 2>> = StaticCell::new();
    static PORT: StaticCell<Port> = StaticCell::new();

    let port: &'static Port = PORT.init(Port::new());
    let carp = &*CARP.init(Carp::new(SLOTS.take(), Policy::HARDENED, 1, MAC));
    let control = carp.control();
    control.set_addresses(Some([10, 0, 0, 1].into()), None);
    let mut bench = Bench {
        waker,
        shim: carp.announce(Card::new(MAC.0, port, None)),
        port,
        results: [(0, 0); LIMITS.len()],
    };
    let Ok(host) = control.insert(config(100)) else {
        return Ok(false);
    };
    bench.poll();

    // The peer counts its time by itself, so that its advertisements are fresh.
    let mut peer = Peer::new(PEER.take());
    for _ in 0..50 {
        let good = peer.advertisement();
        bench.frame(5, &good);
        bench.frame(1, &with(&good, 22, 1));
        bench.frame(2, &changed(&good, 14 + 20 + 35, 0xff));
        bench.frame(3, &unknown_vhid(&good));
        bench.frame(4, &bad_digest(&good));
        bench.frame(0, &other());
        bench.measure(8, Bench::poll);
        for _ in 0..8 {
            bench.port.deliver(&with(&good, 22, 1));
        }
        bench.measure(9, Bench::poll);
    }
    let heard = control.stats();
    let rejected = (heard.badttl, heard.badsum, heard.badvhid, heard.badauth);
    if control.state(host) != Some(State::Backup) || rejected != (450, 50, 50, 50) {
        writeln!(Semihosting, "not what was to be measured: {heard:?}")?;
        return Ok(false);
    }
    let mut runner = carp.runner();
    let mut running = pin!(runner.run());
    for _ in 0..3 {
        bench.port.deliver(&peer.advertisement());
        bench.poll();
        sleep_until_due(control);
        bench.measure(10, |bench| {
            let _ = running.as_mut().poll(&mut Context::from_waker(bench.waker));
            bench.act();
        });
        if control.state(host) != Some(State::Master) {
            writeln!(Semihosting, "not MASTER: {:?}", control.status(host))?;
            return Ok(false);
        }
    }
    for _ in 0..50 {
        // An advertisement that is due meanwhile would be counted, too.
        while due_within(control, Duration::from_millis(20)) {
            bench.act();
        }
        bench.frame(6, &question());
    }
    advertise(running, control, &mut bench);
    bench.report()
}

impl Bench<'_> {
    fn poll(&mut self) {
        while let Some((frame, _)) = self.shim.receive(&mut Context::from_waker(self.waker)) {
            frame.consume(|_| ());
        }
    }

    /// A timer acts when no frame waits any more, and the poll that follows sends.
    fn act(&mut self) {
        self.poll();
        self.poll();
    }

    /// A frame arrives, and what follows from it is done.
    fn frame(&mut self, row: usize, frame: &[u8]) {
        self.port.deliver(frame);
        self.measure(row, Self::poll);
    }

    fn measure(&mut self, row: usize, run: impl FnOnce(&mut Self)) {
        board::paint_stack();
        let (used, all) = board::stack();
        let nothing = time::ticks();
        let start = time::ticks();
        run(self);
        let ticks = (time::ticks() - start).saturating_sub(start - nothing);
        let deepest = all - board::unused_stack();
        let result = &mut self.results[row];
        result.0 = result.0.max(ticks as u32 * INSTRUCTIONS_PER_TICK);
        result.1 = result.1.max(deepest.saturating_sub(used));
    }

    fn report(&self) -> Result<bool, fmt::Error> {
        let mut good = true;
        writeln!(
            Semihosting,
            "{:<28} {:>12} {:>8} {:>8}",
            "the adapter, worst case", "instructions", "limit", "stack"
        )?;
        for ((instructions, stack), (name, limit)) in self.results.iter().zip(LIMITS) {
            let mark = if *instructions > limit || *instructions == 0 {
                "  EXCEEDED"
            } else {
                ""
            };
            good &= mark.is_empty();
            writeln!(
                Semihosting,
                "{name:<28} {instructions:>12} {limit:>8} {stack:>8}{mark}"
            )?;
        }
        let idle = |row: usize| self.results[row].0;
        writeln!(
            Semihosting,
            "an idle second as BACKUP: {}, as MASTER: {}",
            idle(5),
            idle(7)
        )?;
        let rates = [self.results[9].0 / 8, idle(4)].map(|instructions| 25_000_000 / instructions.max(1));
        writeln!(
            Semihosting,
            "at 25 MHz and one instruction per cycle: {} per second rejected before the digest, {} by it",
            rates[0], rates[1]
        )?;
        writeln!(
            Semihosting,
            "flash and static RAM: tests/bare-metal/embassy-size.sh"
        )?;
        Ok(good)
    }
}

/// The runner wakes when it is time, and the stack polls.
fn advertise(mut running: Pin<&mut impl Future>, control: Control<NoopRawMutex, 2>, bench: &mut Bench<'_>) {
    for _ in 0..10 {
        let before = control.stats().opackets;
        while control.stats().opackets == before {
            sleep_until_due(control);
            bench.measure(7, |bench| {
                let _ = running.as_mut().poll(&mut Context::from_waker(bench.waker));
                bench.act();
            });
        }
    }
}

fn sleep_until_due(control: Control<NoopRawMutex, 2>) {
    while !due_within(control, Duration::ZERO) {
        cortex_m::asm::nop();
    }
}

fn due_within(control: Control<NoopRawMutex, 2>, time: Duration) -> bool {
    let due = control.with_node(|now, node| {
        node.next_deadline()
            .is_some_and(|deadline| deadline <= now + time)
    });
    due == Some(true)
}

/// A better node, in a time of its own.
struct Peer {
    engine: Engine<'static, 2>,
    now: Instant,
}

impl Peer {
    fn new(slots: &'static mut Slots<1, 2>) -> Self {
        let mut engine = Engine::new(slots, Policy::HARDENED, 2, MacAddr([2, 0, 0, 0, 0, 2]));
        engine.set_link(Instant::ZERO, LinkState::Up);
        engine.set_addresses(Instant::ZERO, Some([10, 0, 0, 2].into()), None);
        let _ = engine.node_mut().insert(Instant::ZERO, config(0));
        Self {
            engine,
            now: Instant::ZERO,
        }
    }

    fn advertisement(&mut self) -> Frame {
        loop {
            self.now = self.engine.next_deadline().unwrap_or(self.now).max(self.now);
            self.engine.handle_timeout(self.now);
            self.engine.handle_drained(self.now);
            let mut buffer = [0; MAX_FRAME_LEN];
            let mut advertisement = None;
            while let Some((len, ticket)) = self.engine.poll_transmit(self.now, &mut (), &mut buffer) {
                self.engine.sent(self.now, ticket, TransmitResult::Sent);
                if buffer[12..14] == [8, 0] {
                    advertisement = Frame::from_slice(&buffer[..len]).ok();
                }
            }
            if let Some(advertisement) = advertisement {
                return advertisement;
            }
        }
    }
}

/// With one byte of the IPv4 header replaced, and its checksum made right.
fn with(frame: &Frame, at: usize, value: u8) -> Frame {
    let mut frame = frame.clone();
    frame[at] = value;
    frame[24..26].fill(0);
    let sum = carp_proto::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn changed(frame: &Frame, at: usize, flip: u8) -> Frame {
    let mut frame = frame.clone();
    frame[at] ^= flip;
    frame
}

/// With the checksum of the advertisement made right.
fn resummed(mut frame: Frame) -> Frame {
    frame[40..42].fill(0);
    let sum = carp_proto::checksum(&frame[34..70]);
    frame[40..42].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn unknown_vhid(frame: &Frame) -> Frame {
    resummed(changed(frame, 35, 0x40))
}

fn bad_digest(frame: &Frame) -> Frame {
    resummed(changed(frame, 69, 0xff))
}

/// A TCP segment for the network stack.
fn other() -> Frame {
    let mut frame = Frame::new();
    let _ = frame.extend_from_slice(&[0; 64]);
    frame[..6].copy_from_slice(&MAC.0);
    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
    frame[17] = 40;
    frame[22..24].copy_from_slice(&[64, 6]);
    let sum = carp_proto::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn question() -> Frame {
    let mut frame = Frame::new();
    let _ = frame.extend_from_slice(&[0; 60]);
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&[6, 0, 0, 0, 0, 9]);
    frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&[6, 0, 0, 0, 0, 9]);
    frame[28..32].copy_from_slice(&[10, 0, 0, 9]);
    frame[38..42].copy_from_slice(&VIP);
    frame
}
