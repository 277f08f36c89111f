//! The firmware of the emulated board elects, hands over and answers, with this program as the switch between them.
//!
//! QEMU is needed (`qemu-system-arm`), root is not.
#![cfg(unix)]

mod board;

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use board::client::Client;
use board::switch::{Crossed, Switch};
use board::{Board, Directory, firmware, now};
use carp_proto::frame::{FrameClass, classify};
use carp_proto::{Packet, Vhid};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const VHID: Vhid = Vhid::new(7).unwrap();

/// Boards on one switch, a client on another port.
struct Lab {
    boards: Vec<Board>,
    client: Client,
    switch: Switch,
    image: std::path::PathBuf,
    directory: Directory,
    mode: &'static str,
    /// Boards speak to each other by unicast, and to nobody else.
    unicast: bool,
}

impl Lab {
    /// Starts a board for each advskew.
    fn new(name: &str, mode: &'static str, skews: &[u8]) -> Option<Self> {
        Self::start_all(name, mode, false, skews)
    }

    fn start_all(name: &str, mode: &'static str, unicast: bool, skews: &[u8]) -> Option<Self> {
        let image = firmware("node")?;
        let (switch, directory) = (Switch::new(), Directory::new(name));
        let mut lab = Self {
            boards: Vec::new(),
            client: Client::start(&switch, VIP),
            switch,
            image,
            directory,
            mode,
            unicast,
        };
        for (number, skew) in skews.iter().enumerate() {
            let board = lab.start(number, *skew);
            lab.boards.push(board);
        }
        Some(lab)
    }

    fn start(&self, number: usize, skew: u8) -> Board {
        let (last, mode) = (number + 1, self.mode);
        let settings = format!(
            "mac=02:00:00:00:00:0{last} ip=10.0.0.{last} vip={VIP} vhid={VHID} key=secret skew={skew} seed={} mode={mode}{}",
            self.switch.log().len() + last,
            match (self.unicast, last) {
                (false, _) => String::new(),
                (true, 1) => String::from(" peers=10.0.0.2"),
                (true, _) => String::from(" peers=10.0.0.1"),
            }
        );
        Board::start(&self.image, &self.directory, &self.switch, &settings)
    }

    fn states(&self) -> Vec<String> {
        self.boards.iter().map(Board::state).collect()
    }

    fn wait_for_states(&self, states: &[&str]) {
        for (board, state) in self.boards.iter().zip(states) {
            board.wait_for_state(state);
        }
    }

    /// The times of the advertisements from a port, other than bow-outs.
    fn advertisements(&self, port: usize) -> Vec<Instant> {
        let log = self.switch.log();
        let advertisements = log
            .iter()
            .filter(|crossed| crossed.from == port && is_advertisement(crossed));
        advertisements.map(|crossed| crossed.at).collect()
    }

    /// Checks every frame that crossed the switch in the client's segment: who speaks for the virtual address does so
    /// from the virtual MAC address, and until `changes` have taken place, nobody who spoke for it before speaks again.
    fn check_owners(&self, changes: &[usize]) {
        let mut owners = Vec::new();
        for crossed in self.switch.log() {
            if crossed.segment == 0 && speaks_for_vip(&crossed) && owners.last() != Some(&crossed.from) {
                owners.push(crossed.from);
            }
        }
        assert_eq!(owners, changes, "ports that spoke for the virtual address");
    }
}

fn is_advertisement(crossed: &Crossed) -> bool {
    match classify(&crossed.frame) {
        FrameClass::Carp { payload, .. } => {
            let packet = Packet::new_checked(payload).unwrap();
            packet.advbase().get() != u8::MAX
        }
        _ => false,
    }
}

/// An ARP packet or an IPv4 packet from the virtual address.
fn speaks_for_vip(crossed: &Crossed) -> bool {
    let frame = &crossed.frame;
    let (sender, hardware) = match frame[12..14] {
        [8, 0] => (&frame[26..30], &frame[6..12]),
        [8, 6] => (&frame[28..32], &frame[22..28]),
        _ => return false,
    };
    let speaks = sender == VIP.octets();
    assert!(
        !speaks || hardware == VHID.mac().0,
        "not from the virtual MAC address: {crossed:?}"
    );
    speaks
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[test]
fn a_backup_takes_over_from_a_master_that_dies_and_gives_way_when_it_returns() {
    let Some(mut lab) = Lab::new("die", "accept", &[0, 100]) else {
        return;
    };
    lab.wait_for_states(&["MASTER", "BACKUP"]);
    lab.client.wait_for_echo();

    let (a, b) = (lab.boards[0].port, lab.boards[1].port);
    lab.boards[0].kill();
    let killed = now();
    lab.boards[1].wait_for_state("MASTER");
    // Three intervals and the skew.
    let detection = lab.boards[1].detection();
    assert!((3.390..3.411).contains(&detection), "{detection} s");
    // The same on the wire; the machine that emulates both has other things to do.
    let last = *lab.advertisements(a).last().unwrap();
    let first = board::wait(|| lab.advertisements(b).first().copied(), "an advertisement");
    let seen = seconds(first - last);
    println!("by its own clock {detection} s, on the wire {seen} s");
    assert!((3.3..4.0).contains(&seen), "{seen} s");
    let back = lab.client.wait_for_echo();
    assert!(seconds(back - killed) < 4.5, "{:?}", back - killed);

    let returned = now();
    lab.boards[0] = lab.start(0, 0);
    let new = lab.boards[0].port;
    lab.wait_for_states(&["MASTER", "BACKUP"]);
    lab.client.wait_for_echo();
    thread::sleep(Duration::from_secs(1));
    lab.client.wait_for_echo();
    let silence = lab.client.longest_silence(returned);
    assert!(
        seconds(silence) < 1.5,
        "{silence:?}: the connection breaks, the address does not"
    );
    lab.check_owners(&[a, b, new]);
}

#[test]
fn three_boards_and_everything_that_happens_to_cables() {
    let Some(mut lab) = Lab::new("cable", "accept", &[0, 100, 200]) else {
        return;
    };
    lab.wait_for_states(&["MASTER", "BACKUP", "BACKUP"]);
    lab.client.wait_for_echo();
    let ports: Vec<_> = lab.boards.iter().map(|board| board.port).collect();

    // The cable is pulled at the card: it knows, and is no master any more.
    lab.boards[0].set_link(false);
    lab.wait_for_states(&["INIT", "MASTER", "BACKUP"]);
    lab.client.wait_for_echo();
    lab.boards[0].set_link(true);
    lab.wait_for_states(&["MASTER", "BACKUP", "BACKUP"]);
    lab.client.wait_for_echo();

    // Cut off behind the switch, it does not: two masters, each in its segment, until they meet again.
    lab.switch.set_segment(ports[0], 1);
    lab.wait_for_states(&["MASTER", "MASTER", "BACKUP"]);
    lab.client.wait_for_echo();
    lab.switch.set_segment(ports[0], 0);
    lab.wait_for_states(&["MASTER", "BACKUP", "BACKUP"]);
    lab.client.wait_for_echo();

    // Half a second late, but as regular as before.
    lab.switch.set_delay(ports[0], Duration::from_millis(500));
    thread::sleep(Duration::from_secs(5));
    assert_eq!(lab.states(), ["MASTER", "BACKUP", "BACKUP"]);
    let [a, b, _] = ports[..] else { panic!("three") };
    lab.check_owners(&[a, b, a, b, a]);
    for board in &mut lab.boards {
        assert_eq!((board.number("badauth"), board.number("senderr")), (0, 0));
    }
}

#[test]
fn whoever_leaves_on_purpose_leaves_no_gap() {
    let Some(mut lab) = Lab::new("leave", "accept", &[0, 100]) else {
        return;
    };
    lab.wait_for_states(&["MASTER", "BACKUP"]);
    let ports: Vec<_> = lab.boards.iter().map(|board| board.port).collect();
    lab.client.wait_for_echo();

    let start = now();
    lab.boards[0].type_in("m");
    lab.wait_for_states(&["BACKUP", "MASTER"]);
    lab.client.wait_for_echo();
    lab.boards[0].type_in("M");
    lab.wait_for_states(&["MASTER", "BACKUP"]);
    lab.client.wait_for_echo();
    // Its application says that it is worse off.
    lab.boards[0].type_in("x");
    lab.wait_for_states(&["BACKUP", "MASTER"]);
    lab.client.wait_for_echo();
    lab.boards[0].type_in("X");
    lab.wait_for_states(&["MASTER", "BACKUP"]);
    lab.client.wait_for_echo();
    lab.boards[0].type_in("h");
    lab.wait_for_states(&["BACKUP", "MASTER"]);
    lab.client.wait_for_echo();
    lab.boards[1].type_in("s");
    lab.wait_for_states(&["MASTER", "INIT"]);
    lab.client.wait_for_echo();
    // Each time the connection breaks, because nobody shares its state, and is made again.
    let silence = lab.client.longest_silence(start);
    assert!(seconds(silence) < 1.5, "{silence:?}");
    let [a, b] = ports[..] else { panic!("two") };
    lab.check_owners(&[a, b, a, b, a, b, a]);
}

/// Nobody tells the boards each other's MAC addresses, and nothing goes to the group.
#[test]
fn two_boards_elect_by_unicast() {
    let Some(mut lab) = Lab::start_all("unicast", "accept", true, &[0, 100]) else {
        return;
    };
    lab.wait_for_states(&["MASTER", "BACKUP"]);
    lab.client.wait_for_echo();
    let (a, b) = (lab.boards[0].port, lab.boards[1].port);
    lab.boards[0].kill();
    lab.boards[1].wait_for_state("MASTER");
    let detection = lab.boards[1].detection();
    assert!((3.390..3.411).contains(&detection), "{detection} s");
    lab.client.wait_for_echo();

    lab.boards[0] = lab.start(0, 0);
    let new = lab.boards[0].port;
    lab.wait_for_states(&["MASTER", "BACKUP"]);
    lab.client.wait_for_echo();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(lab.states(), ["MASTER", "BACKUP"]);
    let log = lab.switch.log();
    let advertisements = log.iter().filter(|crossed| is_advertisement(crossed));
    for Crossed { from, frame, .. } in advertisements {
        let to = if *from == b { 1 } else { 2 };
        assert_eq!(frame[..6], [2, 0, 0, 0, 0, to], "{frame:x?}");
    }
    lab.check_owners(&[a, b, new]);
    for board in &mut lab.boards {
        assert_eq!(board.number("senderr"), 0);
    }
}

#[test]
fn in_announce_mode_exactly_one_answers_from_the_virtual_mac_address() {
    let Some(mut lab) = Lab::new("announce", "announce", &[0, 100]) else {
        return;
    };
    lab.wait_for_states(&["MASTER", "BACKUP"]);
    thread::sleep(Duration::from_millis(1_500));
    let ports: Vec<_> = lab.boards.iter().map(|board| board.port).collect();
    lab.boards[0].kill();
    lab.boards[1].wait_for_state("MASTER");
    thread::sleep(Duration::from_millis(1_500));
    // The client has the answer and asks again when it does not get further: nobody accepts its connections.
    let answers = |port| {
        let answer = |crossed: &&Crossed| crossed.frame[12..14] == [8, 6] && crossed.frame[20..22] == [0, 2];
        let log = lab.switch.log();
        log.iter()
            .filter(answer)
            .filter(|crossed| crossed.from == port)
            .count()
    };
    assert!(answers(ports[0]) > 0);
    lab.check_owners(&ports);
}
