//! The firmware of the emulated board elects, hands over and answers, with this program as the switch between them.
//!
//! QEMU is needed (`qemu-system-arm`), root is not.
#![cfg(unix)]

mod board;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use board::client::Client;
use board::switch::{Crossed, Switch};
use board::{Board, Directory, firmware, now};
use carp_proto::frame::{FrameClass, classify, emit_arp_request, emit_neighbor_solicitation};
use carp_proto::{MAX_FRAME_LEN, MacAddr, Packet, Vhid};

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100));
const VIP_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100));
const VHID: Vhid = Vhid::new(7).unwrap();

/// Boards on one switch, a client on another port.
struct Lab {
    boards: Vec<Board>,
    client: Client,
    switch: Switch,
    image: std::path::PathBuf,
    directory: Directory,
    how: How,
}

#[derive(Clone, Copy)]
struct How {
    mode: &'static str,
    vip: IpAddr,
    /// Boards speak to each other by unicast, and to nobody else.
    unicast: bool,
}

impl Lab {
    /// Starts a board for each advskew.
    fn new(name: &str, mode: &'static str, skews: &[u8]) -> Option<Self> {
        let how = How {
            mode,
            vip: VIP,
            unicast: false,
        };
        Self::start_all(name, how, skews)
    }

    fn start_all(name: &str, how: How, skews: &[u8]) -> Option<Self> {
        let image = firmware("node")?;
        let (switch, directory) = (Switch::new(), Directory::new(name));
        let mut lab = Self {
            boards: Vec::new(),
            client: Client::start(&switch, how.vip),
            switch,
            image,
            directory,
            how,
        };
        for (number, skew) in skews.iter().enumerate() {
            let board = lab.start(number, *skew);
            lab.boards.push(board);
        }
        Some(lab)
    }

    fn start(&self, number: usize, skew: u8) -> Board {
        let last = number + 1;
        let How { mode, vip, unicast } = self.how;
        let settings = format!(
            "mac=02:00:00:00:00:0{last} ip=10.0.0.{last} vip={vip} vhid={VHID} key=secret skew={skew} seed={} mode={mode}{}",
            self.switch.log().len() + last,
            match (unicast, last) {
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

/// Anything from a virtual address, or that says where it is.
fn speaks_for_vip(crossed: &Crossed) -> bool {
    let frame = &crossed.frame;
    let (sender, hardware) = match frame[12..14] {
        [8, 0] => (&frame[26..30], &frame[6..12]),
        [8, 6] => (&frame[28..32], &frame[22..28]),
        // The target of a neighbour advertisement, and its only option.
        [0x86, 0xdd] if frame[20] == 58 && frame[54] == 136 => (&frame[62..78], &frame[80..86]),
        [0x86, 0xdd] => (&frame[22..38], &frame[6..12]),
        _ => return false,
    };
    let is_vip = |vip| match vip {
        IpAddr::V4(address) => sender == address.octets(),
        IpAddr::V6(address) => sender == address.octets(),
    };
    let speaks = is_vip(VIP) || is_vip(VIP_V6);
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
    let how = How {
        mode: "accept",
        vip: VIP,
        unicast: true,
    };
    let Some(mut lab) = Lab::start_all("unicast", how, &[0, 100]) else {
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

/// Over `ff02::12`; the client finds the address by neighbour solicitations.
#[test]
fn two_boards_elect_over_ipv6() {
    let how = How {
        mode: "accept",
        vip: VIP_V6,
        unicast: false,
    };
    let Some(mut lab) = Lab::start_all("ipv6", how, &[0, 100]) else {
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
    lab.check_owners(&[a, b, new]);
    for Crossed { frame, .. } in lab
        .switch
        .log()
        .iter()
        .filter(|crossed| is_advertisement(crossed))
    {
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 0x12], "{frame:x?}");
    }
    for board in &mut lab.boards {
        assert_eq!((board.number("badauth"), board.number("senderr")), (0, 0));
    }
}

#[test]
fn in_announce_mode_exactly_one_answers_from_the_virtual_mac_address() {
    let is_arp_reply = |frame: &[u8]| frame[12..14] == [8, 6] && frame[20..22] == [0, 2];
    exactly_one_answers("announce", VIP, is_arp_reply);
}

#[test]
fn in_announce_mode_exactly_one_answers_neighbour_solicitations() {
    // A neighbour advertisement that was asked for.
    let is_answer = |frame: &[u8]| {
        frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 136 && frame[58] & 0x40 != 0
    };
    exactly_one_answers("announce6", VIP_V6, is_answer);
}

fn exactly_one_answers(name: &str, vip: IpAddr, is_answer: impl Fn(&[u8]) -> bool) {
    let how = How {
        mode: "announce",
        vip,
        unicast: false,
    };
    let Some(mut lab) = Lab::start_all(name, how, &[0, 100]) else {
        return;
    };
    let ports: Vec<_> = lab.boards.iter().map(|board| board.port).collect();
    let asker = lab.switch.add_own_port();
    // Who answers three questions that everybody hears.
    let answerers = |lab: &Lab| {
        let before = lab.switch.log().len();
        for _ in 0..3 {
            lab.switch.send(asker, question(vip));
            thread::sleep(Duration::from_millis(300));
        }
        let log = lab.switch.log();
        let new = log.iter().skip(before);
        new.filter(|crossed| crossed.frame.starts_with(&ASKER.0) && is_answer(&crossed.frame))
            .map(|crossed| crossed.from)
            .collect::<Vec<_>>()
    };
    lab.wait_for_states(&["MASTER", "BACKUP"]);
    assert_eq!(answerers(&lab), [ports[0]; 3]);
    lab.boards[0].kill();
    lab.boards[1].wait_for_state("MASTER");
    assert_eq!(answerers(&lab), [ports[1]; 3]);
    lab.check_owners(&ports);
}

const ASKER: MacAddr = MacAddr([6, 0, 0, 0, 0, 0xa]);

/// Who has this address?
fn question(vip: IpAddr) -> Vec<u8> {
    let mut buffer = [0; MAX_FRAME_LEN];
    let len = match vip {
        IpAddr::V4(vip) => emit_arp_request(ASKER, [10, 0, 0, 10].into(), vip, &mut buffer),
        IpAddr::V6(vip) => {
            let asker = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xa];
            emit_neighbor_solicitation(ASKER, asker.into(), vip, &mut buffer)
        }
    };
    buffer[..len].to_vec()
}
