//! The configuration changes while carpd runs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use carp_std::linux::Clock;
use carpd::lab::measure::Observation;
use rustix::process::Signal;
use serde_json::Value;

use crate::network::Network;
use crate::words::{ask, done, pair, refused, state};

/// Reloads of one daemon. `CARPD_RELOADS` says another number.
const RELOADS: usize = 100;

/// A second virtual host, which needs no network of its own.
const SECOND: &str =
    "[[vhid]]\ninterface = \"here\"\nvhid = 8\naddresses = [\"192.0.2.11/24\"]\npassword = \"x\"\n";

fn transitions(network: &Network, interface: &str) -> Vec<String> {
    let (_, events, _) = ask(network, interface, &["events", "--json"]);
    let events = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let transitions = events.filter(|event| event["event"] == "transition");
    transitions.map(|event| event["text"].to_string()).collect()
}

fn addresses(network: &Network) -> String {
    network.ip(&["-o", "-4", "address", "show", "dev", "here"])
}

#[test]
fn the_difference_is_applied_and_the_rest_goes_on() {
    let Some(network) = Network::new("reload") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let reload = || ask(&network, "here", &["reload"]);
    assert_eq!(reload(), done("configuration: 1 unchanged"));

    // Another virtual host.
    network.configure("here", &format!("advskew = 1\n{SECOND}"));
    assert_eq!(
        reload(),
        done("here@7: changed (advskew)\nhere@8: added\nconfiguration: 1 changed, 1 added")
    );
    daemon.wait_for("carpd: reload: 1 changed, 1 added");
    daemon.wait_for("carp: 8@here: INIT -> BACKUP");
    let status = network.json("here");
    let names: Vec<_> = [0, 1]
        .map(|place| status["virtual_hosts"][place]["name"].clone())
        .into();
    assert_eq!(names, ["here@7", "here@8"]);
    assert_eq!(status["virtual_hosts"][0]["advskew_sent"], 1);
    daemon.wait_for("carp: 8@here: BACKUP -> MASTER");

    // Other addresses and another prefix length, of a master.
    let file = network.dir.path().join("here.toml");
    let text = fs::read_to_string(&file).expect("the file");
    fs::write(
        &file,
        text.replace("192.0.2.10/24\"", "192.0.2.20/24\", \"192.0.2.10/32\""),
    )
    .expect("a file");
    assert_eq!(
        reload(),
        done("here@7: changed (addresses)\nconfiguration: 1 changed, 1 unchanged")
    );
    let there = addresses(&network);
    for address in ["192.0.2.20/24", "192.0.2.10/32", "192.0.2.11/24"] {
        assert!(there.contains(address), "{there}");
    }
    assert!(!there.contains("192.0.2.10/24"), "{there}");

    // Back, and one less.
    network.configure("here", "");
    assert_eq!(
        reload(),
        done(
            "here@8: removed; nobody took over yet\nhere@7: changed (addresses, advskew)\nconfiguration: 1 changed, 1 removed"
        )
    );
    daemon.wait_for("carp: 8@here: MASTER -> INIT (vhid removed)");
    let there = addresses(&network);
    assert!(network.has_vip("here"), "{there}");
    assert!(
        !there.contains("192.0.2.20") && !there.contains("192.0.2.11"),
        "{there}"
    );
    let transitions = transitions(&network, "here");
    let of_the_first = transitions.iter().filter(|line| line.contains("7@here"));
    assert_eq!(
        of_the_first.count(),
        2,
        "INIT -> BACKUP -> MASTER: {transitions:?}"
    );
    assert!(
        ask(&network, "here", &["status"])
            .1
            .ends_with("\nhealthy: 1/1 MASTER\n")
    );
}

/// A client pings a MASTER whose file gets another description and another address, and loses them again.
#[test]
fn a_client_of_a_living_master_notices_nothing() {
    let Some(network) = Network::new("reload-client") else {
        return;
    };
    let far = network.move_there("reload-client-far");
    // It learns an address from the announcement alone, without having asked.
    far.set("ipv4/conf/there/arp_accept", "1").expect("a setting");
    let better = network.start("here", "preempt = true\n");
    let other = network.start_there(&far, "advskew = 100\npreempt = true\n");
    better.wait_for("BACKUP -> MASTER");
    other.wait_for("INIT -> BACKUP");
    let mut probe = far.command(env!("CARGO_BIN_EXE_carpd"));
    probe
        .args(["lab-probe", "192.0.2.10", "there"])
        .stdout(Stdio::piped());
    let mut probe = probe.spawn().expect("carpd starts");
    let observed = BufReader::new(probe.stdout.take().expect("a pipe"));
    let observed = observed.lines().map(|line| line.expect("a line"));
    let mut pings = observed
        .map(|line| serde_json::from_str(&line).expect("an observation"))
        .filter_map(|observation| match observation {
            Observation::Ping(ping) => Some(ping),
            Observation::Advertisement(_) => None,
        });
    let mut answers = |number: usize| {
        let lost = pings.by_ref().take(number).filter(|ping| !ping.answered);
        assert_eq!(lost.count(), 0, "of {number} pings");
    };
    answers(10);
    let neighbours = || far.ip("neigh show dev there").expect("neighbours");
    assert!(!neighbours().contains("192.0.2.20"), "{}", neighbours());

    let changed = |old: &str, new: &str| {
        for (interface, what) in [("here", "addresses, description"), ("there", "addresses")] {
            let file = network.dir.path().join(format!("{interface}.toml"));
            let text = fs::read_to_string(&file).expect("the file");
            let mut text = text.replace(old, new);
            if interface == "here" {
                text = text.replace("LAN gateway", "gateway");
            }
            fs::write(&file, text).expect("a file");
            let said = format!("{interface}@7: changed ({what})\nconfiguration: 1 changed");
            assert_eq!(ask(&network, interface, &["reload"]), done(&said));
        }
    };
    changed("\"192.0.2.10/24\"", "\"192.0.2.10/24\", \"192.0.2.20/24\"");
    answers(150); // an advertisement, and a time-out if it were not understood
    let mac = network.ip(&["-br", "link", "show", "dev", "here"]);
    let mac = mac.split_whitespace().nth(2).expect("a MAC address");
    assert!(
        neighbours().contains(&format!("192.0.2.20 lladdr {mac}")),
        "it was announced: {}",
        neighbours()
    );
    assert!(addresses(&network).contains("192.0.2.20/24"));
    assert_eq!(network.json("here")["virtual_hosts"][0]["description"], "gateway");
    answers(200);
    assert_eq!(transitions(&network, "here").len(), 2, "INIT -> BACKUP -> MASTER");
    assert_eq!(transitions(&network, "there").len(), 1, "INIT -> BACKUP");
    probe.kill().expect("it runs");
    probe.wait().expect("it ends");
}

#[test]
fn another_dialect_is_another_virtual_host() {
    let Some(network) = Network::new("redialect") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    assert_eq!(
        ask(&network, "here", &["disable", "--all"]),
        done("here@7: disabled")
    );
    network.configure("here", "dialect = \"openbsd\"\n");
    assert_eq!(
        ask(&network, "here", &["reload"]),
        done("here@7: replaced (dialect)\nconfiguration: 1 changed")
    );
    let host = &network.json("here")["virtual_hosts"][0];
    assert_eq!(
        (&host["dialect"], &host["reason"]),
        (&"openbsd".into(), &"disabled".into()),
        "{host}"
    );
}

#[test]
fn each_key_is_applied_or_refused_and_said() {
    let Some(network) = Network::new("reload-keys") else {
        return;
    };
    let hook = network.dir.write("hook", "#!/bin/sh\n");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("a mode");
    network.dir.write("password", "opensesame\n");
    let daemon = network.start("here", "advskew = 1\n");
    daemon.wait_for("INIT -> BACKUP");
    let file = network.configure("here", "advskew = 1\n[groups]\nlan = {}\n");
    assert_eq!(ask(&network, "here", &["reload"]).0, 0);
    let before = fs::read_to_string(&file).expect("the file");

    let anew = "cannot change while carpd runs; restart it";
    let hooks = format!("[[hooks]]\ncommand = [\"{hook}\"]");
    let at_top = |line: &str| format!("{line}\n{before}");
    let of_host = |line: &str| before.replace("advskew = 1", &format!("advskew = 1\n{line}"));
    let key = |line: &str| line.split(" = ").next().expect("a key").to_owned();
    let set = |line: &str| (at_top(line), format!("{}: ", key(line)));
    let sysctl = |line: &str| (at_top(line), format!("net.inet.carp.{}: ", key(line)));
    let changed = |line: &str| (of_host(line), format!("here@7: changed ({})", key(line)));
    let instead = |old: &str, new: &str, says: &str| (before.replace(old, new), says.to_owned());
    let changes = [
        sysctl("preempt = true"),
        sysctl("allow = false"),
        sysctl("log = 2"),
        sysctl("ifdown_demotion_factor = 100"),
        sysctl("senderr_demotion_factor = 100"),
        sysctl("dscp = 10"),
        set("log_format = \"json\""),
        set("not_ready_demotion_factor = 9"),
        set("change_grace = 5"),
        set("ignore_replays = false"),
        set("announce_burst = 3"),
        set("reannounce = 0"),
        set("announce_refresh = 10"),
        set("announce_frames = 5"),
        set("announce_window = 20"),
        (at_top("realtime_priority = 50"), anew.to_owned()),
        (at_top("lock_memory = true"), anew.to_owned()),
        (
            at_top("preempt_delay = 5"),
            "here@7: changed (preempt_delay)".to_owned(),
        ),
        instead("here.sock", "other.sock", "until carpd is restarted"),
        instead("state-here", "state", "until carpd is restarted"),
        (format!("{before}{hooks}\n"), "hooks: changed (0 -> 1)".to_owned()),
        instead("LAN gateway", "another", "here@7: changed (description)"),
        changed("advbase = 2"),
        changed("preempt = true"),
        changed("preempt_delay = 4"),
        changed("peers = [\"192.0.2.3\"]"),
        changed("on_removal = \"demote\""),
        changed("peers_repeat_counter = true"),
        (of_host("fast = true"), "here@7: replaced (fast)".to_owned()),
        (
            of_host("dialect = \"openbsd\""),
            "here@7: replaced (dialect)".to_owned(),
        ),
        (of_host("mode = \"vmac\""), "here@7: replaced (mode)".to_owned()),
        (of_host("group = \"lan\""), "here@7: replaced (group)".to_owned()),
        instead("advskew = 1", "advskew = 2", "here@7: changed (advskew)"),
        instead("\"opensesame\"", "\"other\"", "here@7: changed (password)"),
        instead(
            "password = \"opensesame\"",
            "password_file = \"password\"",
            "1 unchanged",
        ),
        instead("192.0.2.10/24", "192.0.2.11/24", "here@7: changed (addresses)"),
        instead("vhid = 7", "vhid = 8", "here@8: added"),
        instead("\"here\"", "\"there\"", "there@7: added"),
    ];
    for (text, says) in changes {
        fs::write(&file, &text).expect("a file");
        let (code, out, err) = ask(&network, "here", &["reload"]);
        let refused = says == anew || says.starts_with("until");
        assert_eq!(code, i32::from(refused), "{text}\n{out}{err}");
        assert!(
            if refused { &err } else { &out }.contains(&says),
            "not {says:?}:\n{out}{err}\nof\n{text}"
        );
        fs::write(&file, &before).expect("a file");
        let (code, out, err) = ask(&network, "here", &["reload"]);
        assert_eq!(code, 0, "back: {out}{err}");
    }
}

#[test]
fn a_bad_file_changes_nothing() {
    let Some(network) = Network::new("reload-bad") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let before = network.json("here")["virtual_hosts"][0]["addresses"].clone();
    let file = network.configure("here", "advskew = 255\nvhdi = 1\n");
    let mistakes = format!(
        "{file}:9: advskew = 255 is out of range; write a number from 0 to 254, in 1/256 s (255 is kept for the \
         goodbye of a master)\n{file}:10: unknown key vhdi; write vhid"
    );
    assert_eq!(
        ask(&network, "here", &["reload"]),
        refused(&format!("{mistakes}\nnothing has changed"))
    );
    daemon.signal(Signal::HUP);
    for line in mistakes.lines() {
        daemon.wait_for(&format!("carpd: {line}")); // of the command
    }
    daemon.wait_for("carpd: reload refused, nothing has changed");
    for line in mistakes.lines() {
        daemon.wait_for(&format!("carpd: {line}")); // of the signal
    }
    daemon.wait_for("carpd: reload refused, nothing has changed");

    fs::remove_file(&file).expect("a file");
    let (code, _, said) = ask(&network, "here", &["reload"]);
    assert!(
        code == 1 && said.starts_with(&format!("carpd: cannot read {file}: No such file")),
        "{said}"
    );
    fs::write(&file, "control_socket = \"/run/other.sock\"\n[[vhid]]\ninterface = \"here\"\nvhid = 9\naddresses = [\"192.0.2.9\"]\npassword = \"x\"\n").expect("a file");
    let (code, _, said) = ask(&network, "here", &["reload"]);
    assert!(code == 1 && said.contains("until carpd is restarted"), "{said}");

    assert_eq!(network.json("here")["virtual_hosts"][0]["addresses"], before);
    assert_eq!(state(&network, "here"), "MASTER");
    network.configure("here", "");
    daemon.signal(Signal::HUP);
    daemon.wait_for("carpd: reload: 1 unchanged");
    assert_eq!(transitions(&network, "here").len(), 2);
}

#[test]
fn many_reloads_are_no_reason_for_a_transition() {
    let number = std::env::var("CARPD_RELOADS").map_or(RELOADS, |number| number.parse().expect("a number"));
    pair!(network, "reloads" => better, other);
    let began = Clock.now();
    for round in 0..number {
        let description = format!(
            "preempt = true\n# {round}\n{}",
            if round % 2 == 0 { "" } else { SECOND }
        );
        network.configure("here", &description);
        assert_eq!(ask(&network, "here", &["reload"]).0, 0);
        // The other one is told by a signal.
        network.configure(
            "there",
            &format!("advskew = {}\npreempt = true\n", 100 + round % 2),
        );
        other.signal(Signal::HUP);
    }
    let took = (Clock.now() - began).as_micros() / 1000;
    for (interface, expected) in [("here", "MASTER"), ("there", "BACKUP")] {
        let host = &network.json(interface)["virtual_hosts"][0];
        assert_eq!(host["state"], expected, "{host}");
        let age = host["age_ms"].as_u64().expect("a number");
        assert!(
            age >= took,
            "{number} reloads took {took} ms, and it changed its state {age} ms ago"
        );
    }
    better.wait_for("carpd: reload: ");
    other.wait_for("carpd: reload: ");
}
