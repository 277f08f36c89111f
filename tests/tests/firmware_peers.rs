//! The firmware of the emulated board, carpd and UCarp on one switch: every pair, and all three.
//!
//! Root, iproute2, UCarp and `qemu-system-arm` are needed. Without them the tests say that they are left out; with
//! `CI=true` they fail.
#![cfg(target_os = "linux")]

mod board;
mod live;

use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use board::{Board, Directory, EMULATOR, firmware};
use carp_fsm::Instant;
use carp_std::linux::Clock;
use carpd::lab::topology::{PREFIX_LEN_V6, Topology};
use carpd::lab::{Lab, Plan, Setup, Software, VIP_V6};
use live::PATIENCE;

/// Stations of the lab, by node.
const CARPD: usize = 0;
const UCARP: usize = 1;
/// A node that never runs: the firmware is on its station, and has its address.
const FIRMWARE: usize = 2;
const NAMES: [&str; 3] = ["carpd", "ucarp", "the firmware"];

/// How much longer than the formula it takes until a successor is MASTER. The firmware's own clock says so.
const LATE: f64 = 0.02;
/// The same on the wire, where the machine that emulates all has other things to do.
const SEEN_LATE: f64 = 1.0;
/// UCarp looks at its timer every `advbase + advskew / 256` only, and libpcap may hold it back for another second.
const UCARP_IS_LATE: f64 = 1.391 + 1.0;

struct Bench {
    lab: Lab<3>,
    board: Option<Board>,
    image: PathBuf,
    directory: Directory,
    skews: [u8; 3],
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Multicast,
    /// The virtual address is one of IPv6.
    Ipv6,
    /// The firmware and carpd speak to each other only.
    Unicast,
}

impl Bench {
    /// Nobody runs yet.
    fn new(name: &str, skews: [u8; 3]) -> Option<Self> {
        Self::new_with(name, skews, How::Multicast)
    }

    fn new_with(name: &str, skews: [u8; 3], how: How) -> Option<Self> {
        let mut setups =
            [Software::Carpd, Software::Ucarp, Software::Carpd].map(|software| Setup::new(software, 0));
        for (setup, skew) in setups.iter_mut().zip(skews) {
            setup.advskew = skew;
            // The firmware's settings are separated by blanks.
            setup.password = String::from("secret");
            if setup.software == Software::Carpd && may_be_real_time() {
                setup.top = String::from("realtime_priority = 50\n");
            }
        }
        let mut plan = Plan::default();
        if how == How::Ipv6 {
            setups[CARPD].addresses = vec![format!("{VIP_V6}/{PREFIX_LEN_V6}")];
            (plan.ipv6, plan.target) = (true, VIP_V6.into());
        }
        if how == How::Unicast {
            // It is on the third station.
            setups[CARPD].more = format!("peers = [\"{}\"]\n", Topology::address(0, 3));
        }
        let image = firmware("node")?;
        let lab = live::lab_in(plan, setups)?;
        let station = lab.topology.station(lab.nodes[FIRMWARE].station());
        for words in [
            "address flush dev eth0",
            "tuntap add mode tap name tap0",
            "link add bridge type bridge stp_state 0 mcast_snooping 0",
            "link set bridge up",
            "link set tap0 master bridge up",
            "link set eth0 master bridge",
        ] {
            station.ip(words).unwrap();
        }
        let directory = Directory::new(name);
        Some(Self {
            lab,
            board: None,
            image,
            directory,
            skews,
            how,
        })
    }

    fn start(&mut self, node: usize) {
        if node != FIRMWARE {
            return self.lab.start(node).unwrap();
        }
        let (own, vip) = (
            self.lab.nodes[FIRMWARE].address(),
            self.lab.nodes[CARPD].setup().vip(),
        );
        let (skew, seed) = (self.skews[FIRMWARE], Clock.now().as_micros());
        let peers = if self.how == How::Unicast {
            format!(" peers={}", self.lab.nodes[CARPD].address())
        } else {
            String::new()
        };
        let settings = format!(
            "mac=02:00:00:00:00:03 ip={own} vip={vip} vhid=7 key=secret skew={skew} seed={seed} mode=accept{peers}"
        );
        let station = self.lab.topology.station(self.lab.nodes[FIRMWARE].station());
        let mut emulator = station.command(EMULATOR);
        emulator.args([
            "-netdev",
            "tap,id=n0,ifname=tap0,script=no,downscript=no",
            "-net",
            "nic,netdev=n0",
        ]);
        let board = Board::start_with(emulator, &self.image, &self.directory, 0, &settings);
        self.board = Some(board);
    }

    /// Switches a node off at once: nothing of it remains, no bow-out is sent.
    fn kill(&mut self, node: usize) {
        if node == FIRMWARE {
            self.board = None;
        } else {
            self.lab.nodes[node].kill();
        }
    }

    /// Waits until a node is the only master for two seconds, and the client has answers.
    fn settle(&mut self, node: usize) {
        let start = Clock.now();
        let node = &self.lab.nodes[node];
        let what = format!("{} as the only master", node.address());
        let found = self.lab.client.wait(PATIENCE, &what, |record| {
            let recent = Clock.now().as_micros().saturating_sub(2_000_000);
            let recent = Instant::from_micros(recent).max(start);
            let enough = Clock.now() - start >= carp_fsm::Duration::from_secs(2);
            let answered = record
                .pings
                .iter()
                .rev()
                .take(10)
                .filter(|ping| ping.answered)
                .count()
                == 10;
            let master = record.sole_master(recent, 1);
            (enough && answered && master.is_some_and(|source| node.is_source(source))).then_some(())
        });
        found.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
    }

    /// Kills a master and returns the seconds from its last advertisement to the first one of its successor.
    fn succession(&mut self, old: usize, new: usize) -> f64 {
        let start = Clock.now();
        self.kill(old);
        let nodes = [old, new].map(|node| &self.lab.nodes[node]);
        let what = format!("{} to take over from {}", nodes[1].address(), nodes[0].address());
        let found = self.lab.client.succession(nodes, &what, start, PATIENCE);
        let found = found.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
        Duration::from(found.first - found.last).as_secs_f64()
    }

    /// Compares how long a successor took with the formula; `seen` is what the client saw.
    fn check(&self, old: usize, successor: usize, advskew: u8, seen: f64) {
        let own = self
            .board
            .as_ref()
            .filter(|_| successor == FIRMWARE)
            .map(Board::detection);
        let [heir, old] = [successor, old].map(|node| NAMES[node]);
        let how = if self.how == How::Ipv6 { " over IPv6" } else { "" };
        println!(
            "{heir} takes over from {old}{how}, advskew {advskew}: {seen:.6} s on the wire, by its own clock {own:?} s"
        );
        if let Some(own) = own {
            let expected = expected(advskew, LATE);
            assert!(expected.contains(&own), "{own} s, not {expected:?}");
        }
        let late = match successor {
            UCARP => UCARP_IS_LATE + SEEN_LATE,
            // It gets a processor when it wants one.
            CARPD if may_be_real_time() => LATE,
            _ => SEEN_LATE,
        };
        let expected = expected(advskew, late);
        assert!(expected.contains(&seen), "{seen} s, not {expected:?}");
    }

    fn logs(&self) -> String {
        let board = self.board.as_ref().map(Board::lines);
        let nodes = [CARPD, UCARP].map(|node| self.lab.nodes[node].log());
        format!("firmware: {board:#?}\n{}", nodes.join("\n"))
    }
}

/// The formula for an advskew, and how much later it may be.
fn expected(advskew: u8, late: f64) -> Range<f64> {
    let formula = 3.0 + f64::from(advskew) / 256.0;
    // The clocks of the emulator and of the kernel are not one.
    formula - 0.002..formula + late
}

/// Does this machine give real-time priorities?
fn may_be_real_time() -> bool {
    let tried = Command::new("chrt").args(["-f", "1", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// `master` is preferred; it dies, `backup` follows, and gives way when it returns.
fn pair(name: &str, master: usize, backup: usize) {
    pair_by(name, How::Multicast, master, backup);
}

fn pair_by(name: &str, how: How, master: usize, backup: usize) {
    let mut skews = [200; 3];
    (skews[master], skews[backup]) = (0, 100);
    let Some(mut bench) = Bench::new_with(name, skews, how) else {
        return;
    };
    bench.start(master);
    bench.start(backup);
    bench.settle(master);
    let seen = bench.succession(master, backup);
    bench.check(master, backup, 100, seen);
    bench.settle(backup);
    bench.start(master);
    bench.settle(master);
}

#[test]
fn the_firmware_follows_carpd_and_gives_way_to_it() {
    pair("follows-carpd", CARPD, FIRMWARE);
}

#[test]
fn carpd_follows_the_firmware_and_gives_way_to_it() {
    pair("before-carpd", FIRMWARE, CARPD);
}

#[test]
fn the_firmware_follows_ucarp_and_gives_way_to_it() {
    pair("follows-ucarp", UCARP, FIRMWARE);
}

#[test]
fn ucarp_follows_the_firmware_and_gives_way_to_it() {
    pair("before-ucarp", FIRMWARE, UCARP);
}

#[test]
fn the_firmware_follows_carpd_over_ipv6() {
    pair_by("follows-ipv6", How::Ipv6, CARPD, FIRMWARE);
}

#[test]
fn carpd_follows_the_firmware_over_ipv6() {
    pair_by("before-ipv6", How::Ipv6, FIRMWARE, CARPD);
}

/// Each has to find out the other's MAC address. The client hears nothing of it.
#[test]
fn the_firmware_and_carpd_by_unicast() {
    let Some(mut bench) = Bench::new_with("unicast", [0, 200, 100], How::Unicast) else {
        return;
    };
    let settled = |bench: &mut Bench, carpd: &str, firmware: &str| {
        board::wait(
            || {
                let board = bench.board.as_ref().map(Board::state);
                let last = live::transitions(&bench.lab.nodes[CARPD]).pop();
                let carpd = last.is_some_and(|last| last.contains(&format!("-> {carpd} ")));
                (carpd && board.as_deref() == Some(firmware)).then_some(())
            },
            &format!(
                "carpd to be {carpd} and the firmware {firmware}\n{}",
                bench.logs()
            ),
        );
    };
    bench.start(CARPD);
    bench.start(FIRMWARE);
    settled(&mut bench, "MASTER", "BACKUP");
    bench.kill(CARPD);
    let detection = bench.board.as_ref().unwrap().detection();
    println!("advskew 100, by unicast: by its own clock {detection} s");
    assert!(expected(100, LATE).contains(&detection), "{detection} s");
    bench.start(CARPD);
    settled(&mut bench, "MASTER", "BACKUP");
    let board = bench.board.as_mut().unwrap();
    assert_eq!((board.number("senderr"), board.number("badauth")), (0, 0));
}

#[test]
fn all_three_one_after_the_other() {
    let Some(mut bench) = Bench::new("three", [50, 150, 0]) else {
        return;
    };
    for node in [FIRMWARE, CARPD, UCARP] {
        bench.start(node);
    }
    bench.settle(FIRMWARE);
    let to_carpd = bench.succession(FIRMWARE, CARPD);
    bench.check(FIRMWARE, CARPD, 50, to_carpd);
    bench.settle(CARPD);
    bench.succession(CARPD, UCARP);
    bench.settle(UCARP);
    bench.start(CARPD);
    bench.settle(CARPD);
    bench.start(FIRMWARE);
    bench.settle(FIRMWARE);
}
