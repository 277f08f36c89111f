//! Images that run by themselves in warped time, and a storm at an emulated network card of the speed of a small
//! microcontroller.
//!
//! QEMU is needed (`qemu-system-arm`), root is not.
#![cfg(unix)]

mod board;

use std::process::Command;
use std::thread;
use std::time::Duration;

use board::switch::Switch;
use board::{Board, Directory, firmware, now};
use carp_proto::frame::{FrameClass, classify};

/// Runs an image to its end, in as much time as the computer needs for it. It says by itself whether all was well.
fn run(bin: &str) {
    let Some(image) = firmware(bin) else { return };
    let output = Command::new("qemu-system-arm")
        .args(["-M", "mps2-an385", "-display", "none", "-monitor", "none"])
        .args(["-serial", "none", "-nic", "none", "-icount", "shift=3,sleep=off"])
        .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
        .arg(image)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr)
        .replace("qemu-system-arm: warning: nic lan9118.0 has no peer\n", "");
    println!("{text}{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{text}");
}

/// Two nodes, 144 times there and back, and nothing else happens.
#[test]
fn twenty_four_hours() {
    run("soak");
}

#[test]
fn instructions_and_stack_are_within_their_limits() {
    run("budget");
}

/// How much later than a second after the one before an advertisement may leave in a storm, in microseconds of the
/// firmware's own time. The frames that fill the receiver's memory come first.
const LATE: u64 = 50_000;

/// A processor with 31 million instructions per second.
const LIKE_A_MICROCONTROLLER: [&str; 2] = ["-icount", "shift=5,align=off,sleep=on"];

#[test]
fn a_storm_changes_nothing() {
    let Some(image) = firmware("node") else { return };
    let (switch, directory) = (Switch::new(), Directory::new("storm"));
    let start = |number: usize, skew: u8| {
        let settings = format!(
            "mac=02:00:00:00:00:0{number} ip=10.0.0.{number} vip=10.0.0.100 vhid=7 key=secret skew={skew} seed={number} mode=announce"
        );
        Board::start_at(&image, &directory, &switch, &LIKE_A_MICROCONTROLLER, &settings)
    };
    let mut boards = [start(1, 0), start(2, 100)];
    boards[0].wait_for_state("MASTER");
    let attacker = switch.add_own_port();
    thread::sleep(Duration::from_secs(2));
    let good = switch
        .log()
        .into_iter()
        .find(|crossed| matches!(classify(&crossed.frame), FrameClass::Carp { .. }))
        .unwrap()
        .frame;
    let bad_ttl = rewritten(&good, |frame| frame[22] = 64);
    let bad_digest = rewritten(&good, |frame| frame[69] ^= 0xff);

    // The clocks of two emulators are not one: the rate is right for one board at a time. A little more than 10 000 and 2000,
    // as what is late in the end is not sent.
    let floods = [("badttl", &bad_ttl, 10_100), ("badauth", &bad_digest, 2_020)];
    for ((name, frame, rate), target) in floods.into_iter().flat_map(|flood| [(flood, 0), (flood, 1)]) {
        // Forgets the longest so far.
        boards[0].number("longest");
        let before = boards[target].numbers([name, "micros"]);
        let offered = flood(&switch, attacker, frame, rate, &mut boards[target]);
        let longest = boards[0].number("longest");
        let after = boards[target].numbers([name, "micros"]);
        let [rejected, micros] = [0, 1].map(|index| after[index] - before[index]);
        let [offered_rate, rejected_rate] = [offered, rejected].map(|count| count * 1_000_000 / micros);
        let place = ["the MASTER", "the BACKUP"][target];
        println!(
            "{name} at {place}: {offered} offered in {micros} us of its time, {offered_rate} per second; {rejected} rejected, {rejected_rate} per second",
        );
        assert!(offered_rate >= rate / 100 * 95, "{offered_rate} {name} offered");
        // What comes while it has no room, the card drops: what this computer had no time to send comes at once.
        assert!(
            rejected_rate >= rate / 100 * 75,
            "{rejected_rate} {name} rejected"
        );
        // What is lost stays lost.
        let sent = board::wait(
            || {
                let sent = boards[0].number("advertisements");
                (advertisements(&switch, boards[0].port) == sent).then_some(sent)
            },
            "every advertisement to cross the switch",
        );
        println!(
            "{name} at {place}: {sent} own advertisements so far, all crossed the switch, {longest} us apart at most"
        );
        assert!(
            (999_000..1_000_000 + LATE).contains(&longest),
            "{name}: nothing was sent for {longest} us"
        );
    }
    assert_eq!([boards[0].state(), boards[1].state()], ["MASTER", "BACKUP"]);
    for board in &boards {
        let changes = board.lines().iter().filter(|line| line.contains(" -> ")).count();
        assert!(changes <= 2, "{:#?}", board.lines());
    }
}

/// Sends copies of a frame, from somebody else's MAC address, at a rate per second, for five seconds: both by the clock
/// of a board. The emulator's is not ours: it is behind when the computer is busy, and ahead when the board is, as what it
/// computes takes less time here. Returns how many.
fn flood(switch: &Switch, port: usize, frame: &[u8], rate: u64, board: &mut Board) -> u64 {
    const TIME: u64 = 5_000_000;
    let start = board.time();
    let (mut sent, mut pace, mut asked) = (0, 1.0, None);
    let (mut board_time, mut known_at) = (start, now());
    while board_time - start < TIME {
        match asked {
            None => asked = Some(board.ask_time()),
            Some(line) => {
                if let Some(answer) = board.answered_time(line) {
                    let passed = known_at.elapsed().as_secs_f64() * 1e6;
                    let by_board = u32::try_from(answer - board_time).unwrap();
                    pace = (f64::from(by_board) / passed).clamp(0.01, 4.0);
                    (board_time, known_at, asked) = (answer, now(), None);
                }
            }
        }
        let ahead = known_at.elapsed().mul_f64(pace).min(Duration::from_millis(20));
        let elapsed = board_time - start + u64::try_from(ahead.as_micros()).unwrap();
        while sent < elapsed.min(TIME) * rate / 1_000_000 {
            switch.send(port, frame.to_vec());
            sent += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    sent
}

/// With both checksums made right, and another source in the Ethernet header, so that the switch does not learn it.
fn rewritten(frame: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut frame = frame.to_vec();
    change(&mut frame);
    frame[6..12].copy_from_slice(&[6, 0, 0, 0, 0, 7]);
    for (sum, covered) in [(24..26, 14..34), (40..42, 34..70)] {
        frame[sum.clone()].fill(0);
        let value = carp_proto::checksum(&frame[covered]);
        frame[sum].copy_from_slice(&value.to_be_bytes());
    }
    frame
}

fn advertisements(switch: &Switch, port: usize) -> u64 {
    let log = switch.log();
    let own = log.iter().filter(|crossed| {
        crossed.from == port && matches!(classify(&crossed.frame), FrameClass::Carp { .. })
    });
    own.count() as u64
}
