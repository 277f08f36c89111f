//! `carpd run` with a real interface, in a network namespace that each test makes and removes.
//!
//! They need root. Without it they say that they are left out, but with `CI=true` they fail.
#![cfg(target_os = "linux")]

mod check;
#[path = "../common/mod.rs"]
mod common;
mod election;
mod failover;
mod guard;
mod hooks;
mod idle;
mod maintenance;
mod misuse;
mod network;
mod operate;
mod reload;
mod strangers;
mod sysctl;
mod systemd;
mod words;

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use network::{Network, VIP};
use rustix::process::Uid;
use rustix::thread::set_thread_uid;

/// Any user but root.
const SOMEBODY: u32 = 65_534;

/// Milliseconds of the day of a line of the log.
fn millis(line: &str) -> u64 {
    let number = |from: usize, to: usize| line[from..to].parse::<u64>().expect("a time");
    ((number(11, 13) * 60 + number(14, 16)) * 60 + number(17, 19)) * 1000 + number(20, 23)
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn alone_it_becomes_master_takes_the_address_and_gives_it_back() {
    let Some(network) = Network::new("alone") else {
        return;
    };
    let daemon = network.start("here", "");
    let backup = daemon.wait_for("carp: 7@here: INIT -> BACKUP (initialization complete)");
    assert!(!network.has_vip("here"));
    let status = network.ask("here", &["status"]);
    assert_eq!(status.status.code(), Some(0));
    assert!(
        text(&status.stdout).ends_with("\nhealthy: 1/1 BACKUP\n"),
        "{}",
        text(&status.stdout)
    );

    let master = daemon.wait_for("carp: 7@here: BACKUP -> MASTER (master timed out)");
    let waited = (millis(&master) + 86_400_000 - millis(&backup)) % 86_400_000;
    assert!(
        (2_990..3_500).contains(&waited),
        "three times advbase, not {waited} ms"
    );
    assert!(
        network.has_vip("here"),
        "{}",
        network.ip(&["address", "show", "dev", "here"])
    );
    let status = network.ask("here", &["status"]);
    let expected = "\
Interface and VHID  Virtual IP addresses  Status  Description
here@7              192.0.2.10/24         MASTER  LAN gateway

healthy: 1/1 MASTER
";
    let table = text(&status.stdout);
    // A busy machine may be late, which is said above the table.
    let table = &table[table.find("Interface and VHID").expect("a table")..];
    assert_eq!((status.status.code(), table), (Some(0), expected));
    let ifconfig = network.ask("here", &["ifconfig"]);
    assert_eq!(
        text(&ifconfig.stdout),
        "\tcarp: MASTER vhid 7 advbase 1 advskew 0\n"
    );

    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(!network.has_vip("here"));
    assert!(!network.socket("here").exists());
}

#[test]
fn the_json_status_has_everything() {
    let Some(network) = Network::new("json") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let status = network.json("here");
    assert_eq!(status["schema"], 1);
    assert_eq!(status["pid"], daemon.child.id());
    assert_eq!(status["demotion"]["total"], 0);
    assert!(
        status["counters"]["opackets"]
            .as_u64()
            .is_some_and(|sent| sent >= 1),
        "{status}"
    );
    assert_eq!(status["counters"]["badauth"], 0);
    let host = &status["virtual_hosts"][0];
    for (key, value) in [
        ("name", "here@7"),
        ("interface", "here"),
        ("description", "LAN gateway"),
        ("state", "MASTER"),
        ("reason", "master timed out"),
        ("dialect", "freebsd"),
    ] {
        assert_eq!(host[key], value, "{status}");
    }
    assert_eq!(host["addresses"], serde_json::json!([VIP]));
    assert_eq!(host["owner"], true);
    assert_eq!(host["last_peer"], serde_json::Value::Null);
    assert!(!status.to_string().contains("opensesame"));
}

#[test]
fn only_root_and_its_own_user_are_answered() {
    let Some(network) = Network::new("stranger") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    // A copy, because somebody need not be able to reach the build directory.
    let copy = network.dir.path().join("carpd");
    fs::copy(env!("CARGO_BIN_EXE_carpd"), &copy).expect("a copy");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("a mode");
    let output = Command::new(&copy)
        .args(["status", "--socket"])
        .arg(network.socket("here"))
        .uid(SOMEBODY)
        .output()
        .expect("carpd starts");
    let refused = format!(
        "carpd: {}: user 65534 may not ask this carpd; ask as root or as its own user (0)\n",
        network.socket("here").display()
    );
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(3), "", refused.as_str())
    );
}

#[test]
fn who_may_not_change_addresses_holds_elections_about_none() {
    let Some(network) = Network::new("no-admin") else {
        return;
    };
    let without_admin = |network: &Network, file: &str| {
        let mut command = network.program("setpriv");
        command.args(["--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]);
        command.args([env!("CARGO_BIN_EXE_carpd"), "run", "--config", file]);
        command
    };
    let refused = "carpd: not permitted to change the addresses of here: run as root, give carpd the capability \
                   CAP_NET_ADMIN, or write addresses = [] for an election that is about no address\n";
    let file = network.configure("here", "");
    let output = without_admin(&network, &file)
        .output()
        .expect("setpriv of util-linux");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), refused));

    let with_addresses = fs::read_to_string(&file).expect("the file");
    let without = with_addresses.replace(&format!("\"{VIP}\""), "");
    fs::write(&file, without).expect("a file");
    let daemon = network::Daemon::start(without_admin(&network, &file));
    daemon.wait_for("BACKUP -> MASTER");
    fs::write(&file, with_addresses).expect("a file");
    let reload = network.ask("here", &["reload"]);
    assert_eq!(
        (reload.status.code(), text(&reload.stderr)),
        (Some(1), format!("{refused}nothing has changed\n").as_str())
    );
}

#[test]
fn a_cable_that_is_pulled_is_init_and_demotes() {
    let Some(network) = Network::new("cable") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    network.ip(&["link", "set", "there", "down"]);
    daemon.wait_for("carp: 7@here: MASTER -> INIT (hardware interface down)");
    daemon.wait_for("carp: demoted by 240 to 240 (interface down) interface=here");
    let status = network.ask("here", &["status"]);
    assert_eq!(status.status.code(), Some(2));
    assert!(
        text(&status.stdout).contains("INIT (hardware interface down)"),
        "{}",
        text(&status.stdout)
    );
    assert!(
        text(&status.stdout).ends_with("down: 1/1 INIT; demoted by 240 (interface down: here)\n"),
        "{}",
        text(&status.stdout)
    );
    network.ip(&["link", "set", "there", "up"]);
    daemon.wait_for("carp: demoted by -240 to 0 (interface up)");
    daemon.wait_for("BACKUP -> MASTER");
    assert!(network.has_vip("here"));
}

#[test]
fn what_a_killed_carpd_left_behind_is_cleared_away() {
    let Some(network) = Network::new("killed") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    // The guard first, while carpd cannot start another one.
    let guard = guard::guard_of(&daemon);
    daemon.signal(rustix::process::Signal::STOP);
    rustix::process::kill_process(guard, rustix::process::Signal::KILL).expect("it runs");
    daemon.signal(rustix::process::Signal::KILL);
    assert_eq!(daemon.exit_code(), None);
    assert!(network.has_vip("here") && network.socket("here").exists());

    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    assert!(network.ask("here", &["status"]).status.success());
    assert!(!network.has_vip("here"));
}

#[test]
fn a_second_carpd_on_the_same_socket_is_refused() {
    let Some(network) = Network::new("second") else {
        return;
    };
    let first = network.start("here", "");
    first.wait_for("INIT -> BACKUP");
    let second = network.run("here", "").output().expect("carpd starts");
    let refused = format!(
        "carpd: another carpd listens on {} (process {}); stop it, or set another control_socket\n",
        network.socket("here").display(),
        first.child.id()
    );
    assert_eq!(
        (second.status.code(), text(&second.stderr)),
        (Some(1), refused.as_str())
    );
    assert!(
        network.ask("here", &["status"]).status.success(),
        "the first still answers"
    );
}

/// Takes a name of sockets of the network as any user can.
fn squat(network: &Network, name: &str) -> UnixListener {
    let name = SocketAddr::from_abstract_name(name).expect("a name");
    let take = || {
        set_thread_uid(Uid::from_raw(SOMEBODY)).expect("another user"); // of a thread that ends here
        UnixListener::bind_addr(&name).expect("a socket")
    };
    network.namespace.enter(take).expect("a network namespace")
}

#[test]
fn a_second_carpd_on_the_same_interface_is_refused() {
    let Some(network) = Network::new("claimed") else {
        return;
    };
    let squatter = squat(&network, "carpd/there");
    let first = network.start("here", "");
    first.wait_for("BACKUP -> MASTER");
    let other = network.configure("here", "");
    let configuration = fs::read_to_string(&other).expect("the file");
    let other = network
        .dir
        .write("other.toml", &configuration.replace("here.sock", "other.sock"));
    let second = network
        .carpd(&["run", "--config", &other])
        .output()
        .expect("carpd starts");
    let refused = format!(
        "another carpd has virtual hosts on here (process {}); write these into its file, or stop it\n",
        first.child.id()
    );
    assert_eq!(
        (second.status.code(), text(&second.stderr)),
        (Some(1), format!("carpd: {refused}").as_str())
    );
    assert!(network.has_vip("here"), "it has touched nothing");

    // One that is on another interface must not get here by a reload. Where any user has taken the name, it starts.
    let there = network.start("there", "advskew = 100\n");
    there.wait_for("INIT -> BACKUP");
    let file = network.configure("there", "advskew = 100\n");
    let configuration = fs::read_to_string(&file).expect("the file");
    fs::write(&file, configuration.replace("\"there\"", "\"here\"")).expect("a file");
    let reload = network.ask("there", &["reload"]);
    assert_eq!(
        (reload.status.code(), text(&reload.stderr)),
        (Some(1), format!("carpd: {refused}nothing has changed\n").as_str())
    );
    drop(squatter);

    // When the first one has died, the next one takes its place.
    first.signal(rustix::process::Signal::KILL);
    first.exit_code();
    let next = network.carpd(&["run", "--config", &other]);
    network::Daemon::start(next).wait_for("INIT -> BACKUP");
}

#[test]
fn an_address_of_somebody_else_is_reported_and_left_alone() {
    let Some(network) = Network::new("foreign") else {
        return;
    };
    network.ip(&["address", "add", VIP, "dev", "here"]);
    let daemon = network.start("here", "");
    daemon.wait_for("carpd: 7@here: 192.0.2.10/24 is on here already, put there by somebody else");
    let status = network.ask("here", &["status"]);
    assert_eq!(status.status.code(), Some(1));
    let table = text(&status.stdout);
    assert!(
        table.contains("\nhere@7: 192.0.2.10/24 is on here already"),
        "{table}"
    );
    assert!(
        table.ends_with("\ndegraded: 1/1 BACKUP; addresses not in order: 1\n"),
        "{table}"
    );
    daemon.wait_for("MASTER -> INIT (address refused)");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(network.has_vip("here"));
}

#[test]
fn an_address_that_somebody_takes_off_comes_back() {
    let Some(network) = Network::new("taken") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    network.ip(&["address", "del", VIP, "dev", "here"]);
    daemon.wait_for("carpd: 7@here: somebody else took addresses off; putting them back");
    thread::sleep(Duration::from_millis(200)); // the line comes with the order, not after it
    assert!(network.has_vip("here"));
    daemon.signal(rustix::process::Signal::TERM);
    daemon.wait_for("carp: 7@here: MASTER -> INIT (shutting down)");
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(!network.has_vip("here"));
}

#[test]
fn of_two_the_better_one_is_master_and_hands_over_when_stopped() {
    if let Some(network) = Network::new("two") {
        the_better_one_is_master_and_hands_over(&network, |source| source == "192.0.2.2");
    }
}

#[test]
fn the_same_without_ipv4() {
    if let Some(mut network) = Network::new("six") {
        for interface in ["here", "there"] {
            network.ip(&["-4", "address", "flush", "dev", interface]);
        }
        network.vip = "2001:db8::10/64";
        the_better_one_is_master_and_hands_over(&network, |source| source.starts_with("fe80::"));
    }
}

fn the_better_one_is_master_and_hands_over(network: &Network, is_source: impl Fn(&str) -> bool) {
    let better = network.start("here", "preempt = true\n");
    let other = network.start("there", "advskew = 100\npreempt = true\n");
    better.wait_for("BACKUP -> MASTER (master timed out)");
    thread::sleep(Duration::from_millis(100)); // for the first advertisement to be read
    let status = network.json("there");
    let host = &status["virtual_hosts"][0];
    assert_eq!(
        (&host["state"], &host["advskew"]),
        (&"BACKUP".into(), &100.into())
    );
    let peer = &host["last_peer"];
    assert!(
        peer["address"].as_str().is_some_and(is_source) && peer["advskew"] == 0,
        "{peer}"
    );
    assert!(network.has_vip("here") && !network.has_vip("there"));

    better.signal(rustix::process::Signal::TERM);
    other.wait_for("BACKUP -> MASTER (preempting a slower master) ");
    better.wait_for("MASTER -> INIT (shutting down) ");
    better.wait_for("carp: 7@here: handed over ");
    assert_eq!(better.exit_code(), Some(0));
    assert!(!network.has_vip("here") && network.has_vip("there"));
}

#[test]
fn one_file_for_both_nodes() {
    let Some(network) = Network::new("nodes") else {
        return;
    };
    // The interfaces differ here, because both ends of the cable are in one namespace.
    let file = |interface: &str| {
        let socket = network.socket(interface);
        let text = format!(
            "control_socket = \"{}\"\npreempt = true\n[nodes]\nalpha = 0\nbeta = 100\n[[vhid]]\ninterface = \
             \"{interface}\"\nvhid = 7\naddresses = [\"{VIP}\"]\npassword = \"opensesame\"\n",
            socket.display()
        );
        network.dir.write(&format!("{interface}-nodes.toml"), &text)
    };
    let run = |interface, node| {
        let command = network.carpd(&["run", "--config", &file(interface), "--node", node]);
        network::Daemon::start(command)
    };
    let (beta, alpha) = (run("here", "beta"), run("there", "alpha"));
    alpha.wait_for("started, 1 virtual host on node alpha, ");
    alpha.wait_for("BACKUP -> MASTER");
    beta.wait_for("INIT -> BACKUP");
    assert_eq!(network.json("here")["virtual_hosts"][0]["advskew"], 100);
    assert_eq!(network.json("there")["virtual_hosts"][0]["advskew"], 0);
    assert!(network.has_vip("there") && !network.has_vip("here"));
}
