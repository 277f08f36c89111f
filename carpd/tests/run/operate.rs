//! The operator's commands to running daemons.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::network::{Network, VIP};
use crate::words::{ask, done, pair, refused, state, wait_for_state};

#[test]
fn a_hand_over_names_the_successor_and_stays() {
    pair!(network, "handover" => better, other);
    let (code, out, err) = ask(&network, "here", &["handover", "here@7"]);
    assert!(
        out.starts_with("here@7: handed over to 192.0.2.3 in ") && out.ends_with(" ms\n"),
        "{out}{err}"
    );
    assert_eq!(code, 0);
    better.wait_for("MASTER -> BACKUP (handed over)");
    other.wait_for("BACKUP -> MASTER");
    assert!(!network.has_vip("here") && network.has_vip("there"));

    assert_eq!(
        ask(&network, "here", &["handover", "here@7"]),
        refused("here@7 is BACKUP here; hand it over where it is MASTER")
    );
    assert_eq!(
        ask(&network, "here", &["handover", "--all"]),
        refused("no virtual host is MASTER here; hand over where they are")
    );
    assert_eq!(
        state(&network, "here"),
        "BACKUP",
        "it resigned, although it preempts"
    );
    let (code, out, _) = ask(&network, "there", &["handover", "--all"]);
    assert!(out.starts_with("there@7: handed over to 192.0.2.2 in "), "{out}");
    assert_eq!(code, 0);
    assert!(network.has_vip("here") && !network.has_vip("there"));
}

#[test]
fn a_hand_over_to_nobody_fails_and_changes_nothing() {
    let Some(network) = Network::new("nobody") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let (code, out, err) = ask(&network, "here", &["handover", "here@7"]);
    assert!(
        out.starts_with("here@7: nobody took over within 1")
            && out.ends_with(" ms, still MASTER; is another node running, and not INIT?\n"),
        "{out}{err}"
    );
    assert_eq!(code, 1);
    assert_eq!(state(&network, "here"), "MASTER");
    assert!(network.has_vip("here"));
}

#[test]
fn a_disabled_master_is_relieved_and_returns_when_enabled() {
    pair!(network, "disable" => better, other);
    let (code, out, err) = ask(&network, "here", &["disable", "--all"]);
    assert!(
        out.starts_with("here@7: disabled; 192.0.2.3 took over in "),
        "{out}{err}"
    );
    assert_eq!(code, 0);
    better.wait_for("MASTER -> INIT (disabled)");
    other.wait_for("BACKUP -> MASTER");
    assert!(!network.has_vip("here") && network.has_vip("there"));
    let (code, out, _) = ask(&network, "here", &["status"]);
    assert!(code == 2 && out.contains("INIT (disabled)"), "{code}: {out}");
    assert_eq!(
        ask(&network, "here", &["state", "here@7", "master"]),
        refused("here@7 is INIT (disabled), which cannot be left by force; mend that")
    );
    assert_eq!(
        ask(&network, "here", &["disable", "here@7"]),
        done("here@7: disabled"),
        "once more does no harm"
    );

    assert_eq!(
        ask(&network, "here", &["enable", "here@7"]),
        done("here@7: enabled, MASTER")
    );
    assert_eq!(
        ask(&network, "there", &["enable", "--all"]),
        done("there@7: enabled, BACKUP; the master is 192.0.2.2")
    );
    assert!(network.has_vip("here") && !network.has_vip("there"));
}

#[test]
fn disabled_is_forgotten_at_a_restart() {
    let Some(network) = Network::new("forget") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    assert_eq!(
        ask(&network, "here", &["disable", "--all"]),
        done("here@7: disabled")
    );
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
}

#[test]
fn a_state_is_forced_as_by_ifconfig() {
    pair!(network, "force" => better, other);
    assert_eq!(
        ask(&network, "here", &["state", "here@7", "master"]),
        done("here@7: was MASTER already")
    );
    assert_eq!(
        ask(&network, "here", &["state", "here@7", "backup"]),
        done("here@7: BACKUP, it was MASTER")
    );
    better.wait_for("MASTER -> BACKUP (user requested)");
    // The election goes on: whose patience ends first is MASTER, and at last the better one.
    better.wait_for("BACKUP -> MASTER (");
    wait_for_state(&network, "there", "BACKUP");
    assert_eq!(
        ask(&network, "there", &["state", "there@7", "master"]),
        done("there@7: MASTER, it was BACKUP")
    );
    other.wait_for("BACKUP -> MASTER (user requested)");
    other.wait_for("MASTER -> BACKUP (more frequent advertisement received)");
}

#[test]
fn causes_are_entered_listed_and_cleared() {
    pair!(network, "demotion" => better, other);
    assert_eq!(
        ask(&network, "here", &["demotion"]),
        done("nothing demotes this machine")
    );
    assert_eq!(
        ask(&network, "here", &["demotion", "add", "state-sync", "240"]),
        done("state-sync: demotes by 240; the demotion is 240")
    );
    better.wait_for("carp: demoted by 240 to 240 (state-sync)");
    other.wait_for("BACKUP -> MASTER (preempting a slower master)");
    let (code, out, _) = ask(&network, "here", &["status"]);
    assert!(
        code == 1 && out.starts_with("WARNING: demoted by 240, ") && out.contains("\n  state-sync (240)\n"),
        "{out}"
    );
    assert_eq!(
        ask(&network, "here", &["demotion", "add", "state-sync", "10"]),
        done("state-sync: demotes by 10; the demotion is 10")
    );
    let (_, out, _) = ask(&network, "here", &["demotion"]);
    assert!(out.contains("\nstate-sync      10  "), "{out}");
    assert_eq!(
        ask(&network, "here", &["demotion", "clear", "sync"]),
        refused("there is no cause sync; what demotes is: state-sync")
    );
    assert_eq!(
        ask(&network, "here", &["demotion", "clear", "state-sync"]),
        done("state-sync: cleared; the demotion is 0")
    );
    better.wait_for("carp: demoted by -10 to 0 (state-sync ended)");
    assert_eq!(
        ask(&network, "here", &["demotion", "clear", "--all"]),
        done("demotion: nothing to clear; the demotion is 0")
    );
}

#[test]
fn a_fault_that_lasts_is_cleared_by_force_only() {
    let Some(network) = Network::new("lasting") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    ask(&network, "here", &["demotion", "add", "state-sync", "5"]);
    network.ip(&["link", "set", "there", "down"]);
    daemon.wait_for("carp: demoted by 240 to 245 (interface down)");
    assert_eq!(
        ask(&network, "here", &["demotion", "clear", "interface down"]),
        refused("interface down: here: carpd observes this fault; it clears itself when it is mended")
    );
    assert_eq!(
        ask(&network, "here", &["demotion", "clear", "--all"]),
        refused(
            "a fault still lasts (interface down: here); mend it, or with --force let it count nothing until it ends"
        )
    );
    assert_eq!(
        network.json("here")["demotion"]["total"],
        245,
        "nothing has changed"
    );
    let (code, out, _) = ask(&network, "here", &["demotion", "clear", "--all", "--force"]);
    let expected = "\
state-sync: cleared; the demotion is 0
interface down: here: counts nothing until the fault ends; the demotion is 0
";
    assert_eq!((code, out.as_str()), (0, expected));
    let (_, out, _) = ask(&network, "here", &["demotion"]);
    assert!(out.contains("\ninterface down: here       0  "), "{out}");
    assert_eq!(
        ask(&network, "here", &["demotion", "clear", "--all"]),
        done("demotion: nothing to clear; the demotion is 0")
    );
    // The end of the fault takes away what counts, and nothing else.
    network.ip(&["link", "set", "there", "up"]);
    wait_for_state(&network, "here", "BACKUP");
    assert_eq!(network.json("here")["demotion"]["total"], 0);
    network.ip(&["link", "set", "there", "down"]);
    daemon.wait_for("carp: demoted by 240 to 240 (interface down)");
    network.ip(&["link", "set", "there", "up"]);
    daemon.wait_for("carp: demoted by -240 to 0 (interface up)");
}

#[test]
fn every_misuse_is_refused_and_changes_nothing() {
    let Some(network) = Network::new("misuse") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    let unknown = "there is no virtual host 7@here; write one of here@7";
    let long = "x".repeat(33);
    for (args, why) in [
        (&["disable", "7@here"][..], unknown),
        (&["enable", "7@here"], unknown),
        (&["handover", "7@here"], unknown),
        (&["state", "7@here", "master"], unknown),
        (
            &["demotion", "clear", "x"],
            "there is no cause x; nothing demotes this machine",
        ),
        (
            &["demotion", "add", "maintenance", "1"],
            "maintenance is a name of carpd's own; write another one, like state-sync",
        ),
        (
            &["demotion", "add", "a b\x1b", "1"],
            "a b\\u{1b} is no name for a cause; write one like state-sync: a to z, 0 to 9, - and _, at most 32",
        ),
    ] {
        assert_eq!(ask(&network, "here", args), refused(why));
    }
    let (code, _, err) = ask(&network, "here", &["demotion", "add", &long, "1"]);
    assert!(code == 1 && err.contains("is no name for a cause"), "{err}");
    for number in 0..8 {
        let name = format!("cause-{number}");
        assert_eq!(ask(&network, "here", &["demotion", "add", &name, "1"]).0, 0);
    }
    assert_eq!(
        ask(&network, "here", &["demotion", "add", "ninth", "1"]),
        refused("8 causes are entered already; clear one with carpd demotion clear CAUSE")
    );
    assert_eq!(network.json("here")["demotion"]["total"], 8);
    assert_eq!(ask(&network, "here", &["demotion", "clear", "--all"]).0, 0);
    assert_eq!(network.json("here")["demotion"]["total"], 0);
    assert_eq!(state(&network, "here"), "BACKUP");
}

#[test]
fn events_are_remembered_and_followed() {
    let Some(network) = Network::new("events") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let (code, out, _) = ask(&network, "here", &["events"]);
    let lines: Vec<_> = out.lines().collect();
    assert!(
        code == 0
            && lines.len() == 2
            && lines[0].contains("Z carp: 7@here: INIT -> BACKUP (initialization complete) after=")
            && lines[1].contains("Z carp: 7@here: BACKUP -> MASTER (master timed out) after="),
        "{out}"
    );
    let (_, out, _) = ask(&network, "here", &["events", "--json"]);
    let last: serde_json::Value = serde_json::from_str(out.lines().last().expect("a line")).expect("JSON");
    for (key, value) in [
        ("number", 2.into()),
        ("event", "transition".into()),
        ("virtual_host", "here@7".into()),
        ("from", "BACKUP".into()),
        ("to", "MASTER".into()),
        ("reason", "master timed out".into()),
        ("peer", serde_json::Value::Null),
        ("advskew", 0.into()),
        ("demotion", 0.into()),
    ] {
        assert_eq!(last[key], value, "{key}: {last}");
    }
    assert!(
        last["after_ms"].as_u64().is_some_and(|after| after >= 2990),
        "{last}"
    );

    let mut follow = Command::new(env!("CARGO_BIN_EXE_carpd"))
        .args(["events", "--follow", "--socket"])
        .arg(network.socket("here"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("carpd starts");
    let mut lines = BufReader::new(follow.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert!(next().contains("INIT -> BACKUP") && next().contains("BACKUP -> MASTER"));
    ask(&network, "here", &["demotion", "add", "state-sync", "5"]);
    assert!(next().ends_with(" carp: demoted by 5 to 5 (state-sync)"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
    let code = follow.wait().expect("it ends").code();
    assert_eq!(code, Some(3), "it ends with the daemon");
}

#[test]
fn the_widget_the_counters_and_the_watch() {
    let Some(network) = Network::new("widget") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    let mut watch = Command::new(env!("CARGO_BIN_EXE_carpd"))
        .args(["status", "--short", "--watch", "--socket"])
        .arg(network.socket("here"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("carpd starts");
    let mut lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    assert_eq!(next(), format!("here@7 BACKUP {VIP}"));
    daemon.wait_for("BACKUP -> MASTER");
    assert_eq!([next(), next()], [String::new(), format!("here@7 MASTER {VIP}")]);
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");

    assert_eq!(
        ask(&network, "here", &["status", "--short"]),
        done(&format!("here@7 MASTER {VIP}"))
    );
    let (code, out, _) = ask(&network, "here", &["netstat"]);
    assert!(
        code == 0
            && out.starts_with("carp:\n\t0 packets received (IPv4)\n")
            && out.contains("\n\t\t0 discarded for bad authentication\n")
            && out.contains("\n\t1 transition to master\nlateness:\n"),
        "{out}"
    );
    assert_eq!(network.json("here")["state_sync"], "not managed");
}
