//! Instructions and stack of what the adapter does, counted with `-icount shift=3`: the same in every run. Ends with a
//! failure if one exceeds its limit.

#![no_std]
#![no_main]

use core::fmt::{self, Write as _};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use carp_embassy::{
    Carp, Control, Memory, PeerSlots, SeatDriver, SeatPackets, SeatState, Seats, Shim, Slots, virtual_host,
};
use carp_firmware::board::{self, INSTRUCTIONS_PER_TICK, Semihosting};
use carp_firmware::frames::{Family, Frame, Peer, bad_checksum, bad_digest, bad_ttl, to, unknown_vhid};
use carp_firmware::time;
use carp_firmware::wire::{Card, LONGEST, Port};
use carp_fsm::{Duration, HostConfig, HostId, Policy, State};
use carp_proto::frame::{emit_arp_reply, emit_arp_request, emit_neighbor_solicitation};
use carp_proto::{AdvSkew, Key, MAX_FRAME_LEN, MacAddr, Vhid};
use embassy_net_driver::{Driver as _, RxToken as _, TxToken as _};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use static_cell::{ConstStaticCell, StaticCell};

const VHID: Vhid = Vhid::new(7).unwrap();
const VIP: [u8; 4] = [10, 0, 0, 100];
const VIP_V6: [u16; 8] = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100];
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const CLIENT: MacAddr = MacAddr([6, 0, 0, 0, 0, 9]);

/// The worst that one call may take: measured on a Cortex-M3, and a tenth more.
const LIMITS: [(&str, u32); 28] = [
    ("a frame that is not CARP's", 1_750),
    ("rejected: TTL", 2_400),
    ("rejected: checksum", 2_500),
    ("rejected: unknown vhid", 2_400),
    ("rejected: digest", 8_400),
    ("accepted advertisement", 10_750),
    ("question answered", 3_700),
    ("advertisement sent", 15_350),
    ("a poll for nothing", 850),
    ("eight rejected at once: TTL", 13_000),
    ("a timeout: BACKUP to MASTER", 16_400),
    ("IPv6: rejected: TTL", 2_850),
    ("IPv6: rejected: checksum", 3_000),
    ("IPv6: rejected: unknown vhid", 2_900),
    ("IPv6: rejected: digest", 8_850),
    ("IPv6: accepted advertisement", 11_250),
    ("IPv6: question answered", 6_650),
    ("IPv6: advertisement sent in both families", 28_200),
    ("IPv6: a timeout: BACKUP to MASTER", 29_250),
    ("seat: the longest frame to it", 9_100),
    ("seat: the longest frame from it", 8_000),
    ("seat: accepted advertisement", 10_850),
    ("seat: advertisement sent", 15_400),
    ("seat: a timeout: BACKUP to MASTER", 16_600),
    ("unicast: accepted advertisement", 11_300),
    ("unicast: advertisement to two, who are asked", 27_750),
    ("unicast: answer of one of them", 2_200),
    ("unicast: a timeout: BACKUP to MASTER", 27_350),
];

/// The largest of all runs: instructions, and bytes of stack.
type Results = [(u32, usize); LIMITS.len()];

struct Bench<'a, S: Seats + 'static> {
    /// What its rows begin with.
    kind: &'static str,
    waker: &'a Waker,
    shim: Shim<Card, NoopRawMutex, S, 2>,
    port: &'static Port,
    control: Control<NoopRawMutex, 2>,
    host: HostId,
    runner: Pin<&'a mut dyn Future<Output = ()>>,
    results: &'a mut Results,
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
    let mut results = [(0, 0); LIMITS.len()];
    announce("", Family::V4, &waker, &mut results);
    announce("IPv6: ", Family::V6, &waker, &mut results);
    accept(&waker, &mut results);
    unicast(&waker, &mut results);
    board::exit(report(&results).unwrap_or(false))
}

/// One virtual host, announced; with addresses of both families if packets come in the second one.
fn announce(kind: &'static str, family: Family, waker: &Waker, results: &mut Results) {
    let (carp, port) = adapter(slots());
    let mut runner = pin!(async { carp.runner().run().await });
    let mut bench = Bench {
        kind,
        waker,
        shim: carp.announce(Card::new(MAC.0, port, None)),
        port,
        control: carp.control(),
        host: insert(carp.control(), config(100, family)),
        runner: runner.as_mut(),
        results,
    };
    bench.poll();
    // The peer counts its time by itself, so that its advertisements are fresh.
    let mut peer = Peer::new(slots(), config(0, family));
    for _ in 0..50 {
        let good = peer.advertisement(family);
        bench.frame("accepted advertisement", &good);
        bench.frame("rejected: TTL", &bad_ttl(&good));
        bench.frame("rejected: checksum", &bad_checksum(&good));
        bench.frame("rejected: unknown vhid", &unknown_vhid(&good));
        bench.frame("rejected: digest", &bad_digest(&good));
        if family == Family::V4 {
            bench.frame("a frame that is not CARP's", &other(MAC));
            bench.measure("a poll for nothing", Bench::poll);
            for _ in 0..8 {
                bench.port.deliver(&bad_ttl(&good));
            }
            bench.measure("eight rejected at once: TTL", Bench::poll);
        }
    }
    let heard = bench.control.stats();
    let rejected = (heard.badttl, heard.badsum, heard.badvhid, heard.badauth);
    let ttl = if family == Family::V4 { 450 } else { 50 };
    bench.require(rejected == (ttl, 50, 50, 50), State::Backup);
    bench.time_out(|| peer.advertisement(family));
    for _ in 0..50 {
        // An advertisement that is due meanwhile would be counted, too.
        while bench.is_due_within(Duration::from_millis(20)) {
            bench.act();
        }
        bench.frame("question answered", &question(family));
    }
    for _ in 0..10 {
        bench.advertise(if family == Family::V4 {
            "advertisement sent"
        } else {
            "advertisement sent in both families"
        });
    }
}

/// One virtual host with a network stack of its own.
fn accept(waker: &Waker, results: &mut Results) {
    static PACKETS: ConstStaticCell<SeatPackets<4>> = ConstStaticCell::new(SeatPackets::EMPTY);
    static SEAT: StaticCell<SeatState<NoopRawMutex, 4>> = StaticCell::new();

    let (carp, port) = adapter(slots());
    let (seat, mut second) = SEAT.init(SeatState::new(VHID, PACKETS.take())).split();
    let mut runner = pin!(async { carp.runner().run().await });
    let mut bench = Bench {
        kind: "seat: ",
        waker,
        shim: carp.accept(Card::new(MAC.0, port, None), [seat]),
        port,
        control: carp.control(),
        host: insert(carp.control(), config(100, Family::V4)),
        runner: runner.as_mut(),
        results,
    };
    bench.poll();
    let mut peer = Peer::new(slots(), config(0, Family::V4));
    for _ in 0..50 {
        bench.frame("accepted advertisement", &peer.advertisement(Family::V4));
    }
    bench.require(true, State::Backup);
    bench.time_out(|| peer.advertisement(Family::V4));
    let mut longest = [0; LONGEST];
    longest[..64].copy_from_slice(&other(VHID.mac()));
    for _ in 0..20 {
        while bench.is_due_within(Duration::from_millis(20)) {
            bench.act();
        }
        bench.port.deliver(&longest);
        bench.measure("the longest frame to it", |bench| {
            bench.poll();
            let got = second.receive(&mut Context::from_waker(bench.waker));
            let len = got.map(|(frame, _)| frame.consume(|frame| frame.len()));
            bench.require(len == Some(LONGEST), State::Master);
        });
        let before = bench.port.sent();
        bench.measure("the longest frame from it", |bench| {
            send_longest(&mut second, bench.waker);
            bench.poll();
        });
        bench.require(bench.port.sent() == before + 1, State::Master);
    }
    for _ in 0..10 {
        bench.advertise("advertisement sent");
    }
}

fn send_longest(second: &mut SeatDriver<NoopRawMutex, 4>, waker: &Waker) {
    if let Some(room) = second.transmit(&mut Context::from_waker(waker)) {
        room.consume(LONGEST, |_| ());
    }
}

/// One virtual host that advertises to two peers.
fn unicast(waker: &Waker, results: &mut Results) {
    static PEERS: ConstStaticCell<PeerSlots<1, 2>> = ConstStaticCell::new(PeerSlots::EMPTY);

    let (carp, port) = adapter(slots().with_peers(PEERS.take()));
    let control = carp.control();
    let host = insert(control, config(100, Family::V4));
    let peers = [2, 3].map(|last| carp_fsm::Peer {
        address: [10, 0, 0, last].into(),
        min_ttl: 255,
    });
    if control.set_peers(host, false, &peers).is_err() {
        board::exit(false)
    }
    let mut runner = pin!(async { carp.runner().run().await });
    let mut bench = Bench {
        kind: "unicast: ",
        waker,
        shim: carp.announce(Card::new(MAC.0, port, None)),
        port,
        control,
        host,
        runner: runner.as_mut(),
        results,
    };
    bench.poll();
    let mut peer = Peer::new(slots(), config(0, Family::V4));
    let mut next = || to(&peer.advertisement(Family::V4), MAC, [10, 0, 0, 1]);
    for _ in 0..50 {
        bench.frame("accepted advertisement", &next());
    }
    bench.require(true, State::Backup);
    bench.time_out(next);
    let mut lost = None;
    for _ in 0..10 {
        bench.advertise("advertisement to two, who are asked");
        bench.require(
            lost.is_none_or(|lost| control.unresolved() == lost),
            State::Master,
        );
        lost = Some(control.unresolved());
        for last in [2, 3] {
            bench.frame("answer of one of them", &answer(last));
        }
    }
}

/// Other memory with every call.
fn slots() -> &'static mut Slots<1, 2> {
    static SLOTS: [ConstStaticCell<Slots<1, 2>>; 8] = [const { ConstStaticCell::new(Slots::EMPTY) }; 8];

    match SLOTS.iter().find_map(ConstStaticCell::try_take) {
        Some(slots) => slots,
        None => board::exit(false),
    }
}

type Adapter = Carp<NoopRawMutex, 2>;

fn adapter(memory: impl Into<Memory<'static, 2>>) -> (&'static Adapter, &'static Port) {
    static CARPS: [StaticCell<Adapter>; 4] = [const { StaticCell::new() }; 4];
    static PORTS: [StaticCell<Port>; 4] = [const { StaticCell::new() }; 4];

    let carp = CARPS.iter().find_map(StaticCell::try_uninit);
    let port = PORTS.iter().find_map(StaticCell::try_uninit);
    match (carp, port) {
        (Some(carp), Some(port)) => (
            carp.write(Carp::new(memory, Policy::HARDENED, 1, MAC)),
            port.write(Port::new()),
        ),
        _ => board::exit(false),
    }
}

fn config(advskew: u8, family: Family) -> HostConfig<2> {
    let mut config = virtual_host(VHID, Key::NONE);
    config.advskew = AdvSkew::new(advskew);
    let _ = config.addresses.insert(VIP.into());
    if family == Family::V6 {
        let _ = config.addresses.insert(VIP_V6.into());
    }
    config
}

fn insert(control: Control<NoopRawMutex, 2>, config: HostConfig<2>) -> HostId {
    let link_local = [0xfe80, 0, 0, 0, 0, 0, 0, 1];
    control.set_addresses(Some([10, 0, 0, 1].into()), Some(link_local.into()));
    match control.insert(config) {
        Ok(host) => host,
        Err(_) => board::exit(false),
    }
}

impl<S: Seats> Bench<'_, S> {
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

    /// The runner wakes when it is time, and the stack polls.
    fn wake(&mut self) {
        let _ = self.runner.as_mut().poll(&mut Context::from_waker(self.waker));
        self.act();
    }

    /// A frame arrives, and what follows from it is done.
    fn frame(&mut self, row: &str, frame: &[u8]) {
        self.port.deliver(frame);
        self.measure(row, Self::poll);
    }

    /// BACKUP again, and MASTER, three times.
    fn time_out(&mut self, mut advertisement: impl FnMut() -> Frame) {
        for _ in 0..3 {
            self.port.deliver(&advertisement());
            self.poll();
            self.sleep_until_due();
            self.measure("a timeout: BACKUP to MASTER", Self::wake);
            self.require(true, State::Master);
        }
    }

    /// Waits until it advertises.
    fn advertise(&mut self, row: &str) {
        let before = self.control.stats().opackets;
        while self.control.stats().opackets == before {
            self.sleep_until_due();
            self.measure(row, Self::wake);
        }
    }

    fn sleep_until_due(&self) {
        let deadline = self.control.with_node(|_, node| node.next_deadline());
        if let Some(deadline) = deadline.flatten() {
            embassy_time_driver::schedule_wake(deadline.as_micros(), self.waker);
        }
        while !self.is_due_within(Duration::ZERO) {
            cortex_m::asm::wfi();
        }
    }

    fn is_due_within(&self, time: Duration) -> bool {
        let due = self.control.with_node(|now, node| {
            node.next_deadline()
                .is_some_and(|deadline| deadline <= now + time)
        });
        due == Some(true)
    }

    /// Ends the program if something else happened than was to be measured.
    fn require(&self, holds: bool, state: State) {
        if !holds || self.control.state(self.host) != Some(state) {
            let (status, counted) = (self.control.status(self.host), self.control.stats());
            let kind = self.kind;
            let _ = writeln!(
                Semihosting,
                "{kind}not what was to be measured: {status:?} {counted:?}"
            );
            board::exit(false);
        }
    }

    fn measure(&mut self, row: &str, run: impl FnOnce(&mut Self)) {
        board::paint_stack();
        let (used, all) = board::stack();
        let nothing = time::ticks();
        let start = time::ticks();
        run(self);
        let ticks = (time::ticks() - start).saturating_sub(start - nothing);
        let deepest = all - board::unused_stack();
        let is_row = |name: &str| name.strip_prefix(self.kind) == Some(row);
        match LIMITS.iter().position(|(name, _)| is_row(name)) {
            Some(index) => {
                let result = &mut self.results[index];
                result.0 = result.0.max(ticks as u32 * INSTRUCTIONS_PER_TICK);
                result.1 = result.1.max(deepest.saturating_sub(used));
            }
            None => board::exit(false),
        }
    }
}

fn report(results: &Results) -> Result<bool, fmt::Error> {
    let mut good = true;
    writeln!(
        Semihosting,
        "{:<46} {:>12} {:>8} {:>8}",
        "the adapter, worst case", "instructions", "limit", "stack"
    )?;
    for ((instructions, stack), (name, limit)) in results.iter().zip(LIMITS) {
        let mark = if *instructions > limit || *instructions == 0 {
            "  EXCEEDED"
        } else {
            ""
        };
        good &= mark.is_empty();
        writeln!(
            Semihosting,
            "{name:<46} {instructions:>12} {limit:>8} {stack:>8}{mark}"
        )?;
    }
    let of = |row: &str| {
        let index = LIMITS.iter().position(|(name, _)| *name == row);
        index.map_or(0, |index| results[index].0)
    };
    writeln!(
        Semihosting,
        "an idle second as BACKUP: {}, as MASTER: {}",
        of("accepted advertisement"),
        of("advertisement sent")
    )?;
    let rates = [of("eight rejected at once: TTL") / 8, of("rejected: digest")];
    let rates = rates.map(|instructions| 25_000_000 / instructions.max(1));
    writeln!(
        Semihosting,
        "at 25 MHz and one instruction per cycle: {} per second rejected before the digest, {} by it",
        rates[0], rates[1]
    )?;
    Ok(good)
}

/// A TCP segment.
fn other(to: MacAddr) -> Frame {
    let mut frame = Frame::new();
    let _ = frame.extend_from_slice(&[0; 64]);
    frame[..6].copy_from_slice(&to.0);
    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
    frame[17] = 40;
    frame[22..24].copy_from_slice(&[64, 6]);
    let sum = carp_proto::checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// A client asks who has the virtual address.
fn question(family: Family) -> Frame {
    let mut buffer = [0; MAX_FRAME_LEN];
    let len = match family {
        Family::V4 => emit_arp_request(CLIENT, [10, 0, 0, 9].into(), VIP.into(), &mut buffer),
        Family::V6 => {
            let client = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 9];
            emit_neighbor_solicitation(CLIENT, client.into(), VIP_V6.into(), &mut buffer)
        }
    };
    Frame::from_slice(&buffer[..len]).unwrap_or_default()
}

/// A peer says where it is.
fn answer(last: u8) -> Frame {
    let mut buffer = [0; MAX_FRAME_LEN];
    let mac = MacAddr([2, 0, 0, 0, 0, last]);
    let address = [10, 0, 0, last].into();
    let len = emit_arp_reply(mac, mac, address, MAC, [10, 0, 0, 1].into(), &mut buffer);
    Frame::from_slice(&buffer[..len]).unwrap_or_default()
}
