//! `carpd run` with a real interface, in a network namespace that each test makes and removes.
//!
//! They need root. Without it they say that they are left out, but with `CI=true` they fail.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use common::TempDir;

const VIP: &str = "192.0.2.10/24";
/// Any user but root.
const SOMEBODY: u32 = 65_534;

/// Runs `ip`, which must succeed.
fn ip(args: &[&str]) -> String {
    let output = Command::new("ip")
        .args(args)
        .output()
        .expect("ip of iproute2 is installed");
    assert!(
        output.status.success(),
        "ip {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// A network namespace with two interfaces that are joined by a cable: `here` (192.0.2.2/24) and `there`
/// (192.0.2.3/24).
struct Network {
    namespace: String,
    dir: TempDir,
}

impl Network {
    /// `None`: there are no rights for it, and this is not the place where that matters.
    fn new(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "this test needs root"
            );
            // Not by `eprintln!`, which a passing test keeps to itself.
            let _ = writeln!(io::stderr(), "LEFT OUT: the test '{name}' of carpd run needs root");
            return None;
        }
        let namespace = format!("carpd-{name}-{}", std::process::id());
        let dir = TempDir::new(name);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        ip(&["netns", "add", &namespace]);
        let network = Self { namespace, dir };
        network.ip(&["link", "add", "here", "type", "veth", "peer", "name", "there"]);
        for (interface, address) in [("here", "192.0.2.2/24"), ("there", "192.0.2.3/24")] {
            network.ip(&["address", "add", address, "dev", interface]);
            network.ip(&["link", "set", interface, "up"]);
        }
        Some(network)
    }

    fn ip(&self, args: &[&str]) -> String {
        ip(&[&["-n", &self.namespace][..], args].concat())
    }

    fn has_vip(&self, interface: &str) -> bool {
        self.ip(&["-o", "address", "show", "dev", interface])
            .contains(VIP)
    }

    /// The control socket of the carpd on an interface.
    fn socket(&self, interface: &str) -> PathBuf {
        self.dir.path().join(format!("{interface}.sock"))
    }

    /// `carpd run` for one virtual host on an interface, its file ending with `more`.
    fn run(&self, interface: &str, more: &str) -> Command {
        let socket = self.socket(interface);
        let config = format!(
            "control_socket = \"{}\"\n[[vhid]]\ninterface = \"{interface}\"\nvhid = 7\naddresses = [\"{VIP}\"]\n\
             password = \"opensesame\"\ndescription = \"LAN gateway\"\n{more}",
            socket.display()
        );
        let config = self.dir.write(&format!("{interface}.toml"), &config);
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            &self.namespace,
            env!("CARGO_BIN_EXE_carpd"),
            "run",
            "--config",
            &config,
        ]);
        command
    }

    /// Starts [`run`](Self::run).
    fn start(&self, interface: &str, more: &str) -> Daemon {
        let mut child = self
            .run(interface, more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("carpd starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Daemon { child, lines }
    }

    /// Asks the carpd on an interface.
    fn ask(&self, interface: &str, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carpd"));
        command
            .args(args)
            .arg("--socket")
            .arg(self.socket(interface))
            .output()
            .expect("carpd starts")
    }

    fn json(&self, interface: &str) -> serde_json::Value {
        serde_json::from_slice(&self.ask(interface, &["status", "--json"]).stdout).expect("JSON")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.namespace])
            .status();
    }
}

struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

impl Daemon {
    /// Waits for a line of the log that contains `text`, and returns it.
    fn wait_for(&self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(10)) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen = seen + &line + "\n",
                Err(error) => panic!("no line with {text:?} ({error}), but:\n{seen}"),
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Waits for the end and returns the exit code; `None` after a signal.
    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Milliseconds of the day of a line of the log.
fn millis(line: &str) -> u64 {
    let number = |from: usize, to: usize| line[from..to].parse::<u64>().expect("a time");
    ((number(11, 13) * 60 + number(14, 16)) * 60 + number(17, 19)) * 1000 + number(20, 23)
}

fn text(bytes: &[u8]) -> &str {
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
    assert_eq!((status.status.code(), text(&status.stdout)), (Some(0), expected));
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
fn of_two_the_better_one_is_master_and_hands_over_when_stopped() {
    let Some(network) = Network::new("two") else {
        return;
    };
    let better = network.start("here", "preempt = true\n");
    let other = network.start("there", "advskew = 100\npreempt = true\n");
    better.wait_for("BACKUP -> MASTER (master timed out)");
    // The first advertisement may not have been read yet.
    while network.json("there")["virtual_hosts"][0]["last_peer"].is_null() {
        thread::sleep(Duration::from_millis(10));
    }
    let host = &network.json("there")["virtual_hosts"][0];
    assert_eq!(
        (&host["state"], &host["advskew"]),
        (&"BACKUP".into(), &100.into())
    );
    let peer = &host["last_peer"];
    assert_eq!(
        (&peer["address"], &peer["advskew"]),
        (&"192.0.2.2".into(), &0.into())
    );
    assert!(network.has_vip("here") && !network.has_vip("there"));

    better.signal(rustix::process::Signal::TERM);
    other.wait_for("BACKUP -> MASTER (preempting a slower master) ");
    better.wait_for("MASTER -> INIT (shutting down) ");
    better.wait_for("carp: 7@here: handed over ");
    assert_eq!(better.exit_code(), Some(0));
    assert!(!network.has_vip("here") && network.has_vip("there"));
}
