//! The guard process: what a carpd that was killed does not leave behind.

use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write as _};
use std::thread;
use std::time::Duration as StdDuration;

use carp_fsm::Duration;
use carp_std::linux::Clock;
use rustix::process::{Pid, Signal, kill_process};

use crate::network::{Daemon, Network, VIP};
use crate::words::ask;

/// What is promised: 200 ms. A loaded machine gets more before the test fails.
const LIMIT: Duration = Duration::from_secs(2);

#[test]
fn killed_at_any_moment_it_leaves_no_address_behind() {
    // Promotion comes 3 s after the start: half of them die close to it, the others some time after it.
    let moments: Vec<u64> = (0..8_u64)
        .map(|i| {
            let random = RandomState::new().hash_one(i);
            if i < 4 {
                2_950 + random % 100
            } else {
                3_200 + random % 1_500
            }
        })
        .collect();
    thread::scope(|scope| {
        for (i, &moment) in moments.iter().enumerate() {
            scope.spawn(move || killed_after(i, moment));
        }
    });
}

fn killed_after(number: usize, millis: u64) {
    let Some(network) = Network::new(&format!("guard{number}")) else {
        return;
    };
    network.ip(&["address", "add", "192.0.2.99/24", "dev", "here"]);
    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    thread::sleep(StdDuration::from_millis(millis));
    let owned = network.has_vip("here");
    daemon.signal(Signal::KILL);
    let gone = gone_after(&network);
    // Not by `println!`, which a passing test keeps to itself.
    let _ = writeln!(
        io::stderr(),
        "killed {millis} ms after the start, owner: {owned}; without the address after {gone} s"
    );
    assert!(gone < LIMIT, "{gone} s");
    assert_eq!(daemon.exit_code(), None);
    thread::sleep(StdDuration::from_millis(100)); // whatever was under way is done
    assert!(!network.has_vip("here"));
    let left = network.ip(&["-o", "-4", "address", "show", "dev", "here"]);
    assert!(
        left.contains("192.0.2.2/24") && left.contains("192.0.2.99/24"),
        "{left}"
    );

    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    assert!(!network.has_vip("here"));
}

#[test]
fn the_interface_with_the_virtual_mac_goes_too() {
    let Some(network) = Network::new("guard-vmac") else {
        return;
    };
    let daemon = network.start("here", "mode = \"vmac\"");
    daemon.wait_for("BACKUP -> MASTER");
    assert!(network.has_vip("carp7-here") && !network.has_vip("here"));
    // The guard of a guard that was killed knows everything, too.
    let first = guard_of(&daemon);
    kill_process(first, Signal::KILL).expect("it runs");
    daemon.wait_for("carpd: the guard process has ended; it is started again");
    guard_after(&network, &daemon, first);
    let killed = Clock.now();
    daemon.signal(Signal::KILL);
    let is_there = || network.ip(&["-o", "link", "show"]).contains("carp7-here");
    while is_there() {
        assert!(Clock.now() - killed < LIMIT, "it is left");
    }
    let _ = writeln!(
        io::stderr(),
        "without the interface after {} s",
        Clock.now() - killed
    );

    let daemon = network.start("here", "mode = \"vmac\"");
    daemon.wait_for("INIT -> BACKUP");
    assert!(is_there(), "made in time");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(!is_there());
}

#[test]
fn both_families_go() {
    for (mode, interface) in [("plain", "here"), ("vmac", "carp7-here")] {
        let Some(network) = Network::new(&format!("guard-{mode}-six")) else {
            return;
        };
        network.ip(&["address", "add", "2001:db8::2/64", "dev", "here", "nodad"]);
        let file = network.configure("here", &format!("mode = \"{mode}\"\n"));
        let text = fs::read_to_string(&file).expect("the file");
        let both = text.replace(VIP, &format!("{VIP}\", \"2001:db8::10/64"));
        fs::write(&file, both).expect("a file");
        let start = || Daemon::start(network.carpd(&["run", "--config", &file]));
        let owned = || {
            let there = network.ip(&["-o", "address", "show"]);
            [VIP, "2001:db8::10/64"].map(|address| there.contains(address))
        };
        let daemon = start();
        daemon.wait_for("BACKUP -> MASTER");
        assert_eq!(owned(), [true; 2], "{mode}");
        assert!(network.has_vip(interface), "{mode}");
        let killed = Clock.now();
        daemon.signal(Signal::KILL);
        while owned() != [false; 2] {
            assert!(Clock.now() - killed < LIMIT, "{mode}: left: {:?}", owned());
        }
        let _ = writeln!(
            io::stderr(),
            "{mode}: without both families after {} s",
            Clock.now() - killed
        );
        assert_eq!(daemon.exit_code(), None);
        let own = network.ip(&["-o", "address", "show", "dev", "here"]);
        assert!(
            own.contains("192.0.2.2/24") && own.contains("2001:db8::2/64"),
            "{own}"
        );

        // One that starts and stops leaves nothing behind either.
        let daemon = start();
        daemon.wait_for("BACKUP -> MASTER");
        assert_eq!(owned(), [true; 2], "{mode}");
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.exit_code(), Some(0));
        assert_eq!(owned(), [false; 2], "{mode}");
        let links = network.ip(&["-br", "link", "show"]);
        assert!(!links.contains("carp7-here"), "{mode}: {links}");
    }
}

#[test]
fn an_interface_that_was_to_be_removed_a_little_later_goes_too() {
    let Some(network) = Network::new("guard-late") else {
        return;
    };
    let vmac = "[[vhid]]\ninterface = \"here\"\nvhid = 8\naddresses = [\"192.0.2.11/24\"]\npassword = \"x\"\nmode = \"vmac\"\n";
    let daemon = network.start("here", vmac);
    daemon.wait_for("carp: 8@here: INIT -> BACKUP");
    let is_there = || network.ip(&["-o", "link", "show"]).contains("carp8-here");
    assert!(is_there());
    network.configure("here", "");
    let (_, reloaded, _) = ask(&network, "here", &["reload"]);
    assert!(reloaded.contains("here@8: removed"), "{reloaded}");
    let killed = Clock.now();
    daemon.signal(Signal::KILL);
    while is_there() {
        assert!(Clock.now() - killed < LIMIT, "it is left");
    }
}

#[test]
fn a_thousand_addresses_go_as_quickly() {
    let Some(network) = Network::new("guard-many") else {
        return;
    };
    let mut hosts = String::new();
    for vhid in 10..50 {
        let addresses: Vec<_> = (1..=25).map(|n| format!("\"198.51.{vhid}.{n}/24\"")).collect();
        let addresses = addresses.join(", ");
        let _ = writeln!(
            hosts,
            "[[vhid]]\ninterface = \"here\"\nvhid = {vhid}\npassword = \"x\"\nallow_off_subnet = true\naddresses = [{addresses}]"
        );
    }
    let daemon = network.start("here", &hosts);
    for _ in 0..41 {
        daemon.wait_for("BACKUP -> MASTER");
    }
    let count = || {
        let shown = network.ip(&["-o", "-4", "address", "show", "dev", "here"]);
        shown.matches("198.51.").count()
    };
    assert!(count() >= 1000);
    let killed = Clock.now();
    daemon.signal(Signal::KILL);
    while count() > 0 {
        assert!(Clock.now() - killed < LIMIT, "{} are left", count());
    }
    let _ = writeln!(
        io::stderr(),
        "without 1000 addresses after {} s",
        Clock.now() - killed
    );
    assert!(!network.has_vip("here"));
}

#[test]
fn what_both_left_is_removed_at_the_start_whatever_is_configured_by_then() {
    let Some(network) = Network::new("guard-both") else {
        return;
    };
    let second = |vhid: u8, address: &str, mode: &str| {
        format!(
            "[[vhid]]\ninterface = \"here\"\nvhid = {vhid}\naddresses = [\"{address}/24\"]\npassword = \"x\"\nmode = \"{mode}\"\n"
        )
    };
    let before = second(8, "192.0.2.11", "plain") + &second(9, "192.0.2.12", "vmac");
    let daemon = network.start("here", &before);
    for _ in 0..3 {
        daemon.wait_for("BACKUP -> MASTER");
    }
    let guard = guard_of(&daemon);
    daemon.signal(Signal::STOP); // so that it starts no other one
    for process in [guard, Pid::from_child(&daemon.child)] {
        kill_process(process, Signal::KILL).expect("it runs");
    }
    assert_eq!(daemon.exit_code(), None);
    let left = || network.ip(&["-o", "-4", "address", "show"]);
    for address in ["192.0.2.10/", "192.0.2.11/", "192.0.2.12/"] {
        assert!(left().contains(address), "nobody tidied up: {}", left());
    }

    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    for address in ["192.0.2.10/", "192.0.2.11/", "192.0.2.12/"] {
        assert!(!left().contains(address), "{}", left());
    }
    assert!(!network.ip(&["-o", "link", "show"]).contains("carp9-here"));
    assert!(left().contains("192.0.2.2/24"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn the_guard_ends_with_carpd_and_not_before() {
    let Some(network) = Network::new("guard-end") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let first = guard_of(&daemon);
    // The last one is what a watchdog sends to all processes of a service.
    for signal in [
        Signal::TERM,
        Signal::INT,
        Signal::HUP,
        Signal::QUIT,
        Signal::ABORT,
    ] {
        kill_process(first, signal).expect("it runs");
    }
    thread::sleep(StdDuration::from_millis(100));
    assert_eq!(guard_of(&daemon), first);

    // One that is killed is replaced, and the new one knows what the first one knew.
    kill_process(first, Signal::KILL).expect("it runs");
    daemon.wait_for("carpd: the guard process has ended; it is started again");
    let second = guard_after(&network, &daemon, first);
    assert!(network.has_vip("here"), "carpd lives: the address stays");
    daemon.signal(Signal::KILL);
    let gone = gone_after(&network);
    assert!(gone < LIMIT, "{gone} s");
    wait_for_end(second);

    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    let guard = guard_of(&daemon);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
    wait_for_end(guard);
}

fn gone_after(network: &Network) -> Duration {
    let killed = Clock.now();
    while network.has_vip("here") && Clock.now() - killed < LIMIT {}
    Clock.now() - killed
}

/// The only child of the daemon. Waits for it.
pub(crate) fn guard_of(daemon: &Daemon) -> Pid {
    let pid = daemon.child.id();
    let end = Clock.now() + Duration::from_secs(10);
    loop {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it runs");
        if let Ok(child) = children.trim().parse() {
            return Pid::from_raw(child).expect("a process");
        }
        assert!(Clock.now() < end, "children: {children}");
        thread::sleep(StdDuration::from_millis(10));
    }
}

/// The guard that takes the place of one that has ended, which remains a child until it is collected.
fn guard_after(network: &Network, daemon: &Daemon, first: Pid) -> Pid {
    let end = Clock.now() + Duration::from_secs(10);
    loop {
        let guard = guard_of(daemon);
        if guard != first {
            // Who gets an answer knows that the guard has been told everything, too: the same loop does both.
            network.json("here");
            return guard;
        }
        assert!(Clock.now() < end, "no other guard is started");
        thread::sleep(StdDuration::from_millis(10));
    }
}

fn wait_for_end(process: Pid) {
    let end = Clock.now() + Duration::from_secs(10);
    // A zombie has ended: who collects it is not our affair.
    while fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()))
        .is_ok_and(|stat| !stat.contains(") Z "))
    {
        assert!(Clock.now() < end, "the guard still runs");
        thread::sleep(StdDuration::from_millis(10));
    }
}
