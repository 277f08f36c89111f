//! Maintenance mode, as the operator meets it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::network::Network;
use crate::words::{ask, done, pair, state, wait_for_state};

fn maintenance(network: &Network, interface: &str, word: &str) -> (i32, String, String) {
    ask(network, interface, &["maintenance", word])
}

#[test]
fn it_hands_over_lasts_across_a_restart_and_ends() {
    pair!(network, "maintain" => better, other);
    assert_eq!(
        ask(&network, "here", &["maintenance"]),
        done("not in maintenance")
    );
    let (code, out, err) = maintenance(&network, "here", "enter");
    assert!(
        code == 0
            && out.starts_with("here@7: handed over to 192.0.2.3 in ")
            && out.ends_with(" ms\nmaintenance: entered\n"),
        "{out}{err}"
    );
    assert!(!network.has_vip("here") && network.has_vip("there"));
    better.wait_for("MASTER -> BACKUP (handed over)");
    other.wait_for("BACKUP -> MASTER");
    assert_eq!(
        maintenance(&network, "here", "enter"),
        done("maintenance: entered already")
    );
    let (code, out, _) = ask(&network, "here", &["status"]);
    assert!(
        code == 1
            && out.starts_with("MAINTENANCE since 20")
            && out.ends_with("\ndegraded: 1/1 BACKUP; in maintenance\n"),
        "{out}"
    );
    assert_eq!(network.json("here")["virtual_hosts"][0]["advskew_sent"], 240);

    // A restart does not end it, and does not take over.
    better.signal(Signal::TERM);
    assert_eq!(better.exit_code(), Some(0));
    let better = network.start("here", "preempt = true\n");
    better.wait_for("carpd: in maintenance since 20");
    better.wait_for("INIT -> BACKUP");
    assert!(network.json("here")["maintenance"].is_string());

    // Both of them: one stays master, and the status says so.
    let (code, out, _) = maintenance(&network, "there", "enter");
    assert!(code == 0 && out.ends_with("maintenance: entered\n"), "{out}");
    wait_for_state(&network, "here", "MASTER");
    let (_, out, _) = ask(&network, "there", &["status"]);
    assert!(
        out.contains("\n  there@7: the peer 192.0.2.2 is also in maintenance, or demoted\n"),
        "{out}"
    );
    assert_eq!(
        maintenance(&network, "there", "leave"),
        done("there@7: MASTER\nmaintenance: left")
    );
    assert_eq!(state(&network, "here"), "BACKUP");
    assert_eq!(
        maintenance(&network, "here", "leave"),
        done("here@7: MASTER\nmaintenance: left")
    );
    assert_eq!(
        maintenance(&network, "here", "leave"),
        done("maintenance: not entered")
    );
    better.signal(Signal::TERM);
    assert_eq!(better.exit_code(), Some(0));
    let better = network.start("here", "preempt = true\n");
    better.wait_for("INIT -> BACKUP");
    assert!(network.json("here")["maintenance"].is_null(), "it has been left");
}

#[test]
fn without_a_successor_it_says_so_and_holds_all_the_same() {
    let Some(network) = Network::new("maintain-alone") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let (code, out, _) = maintenance(&network, "here", "enter");
    assert!(
        code == 1
            && out.starts_with("here@7: nobody took over within 1")
            && out.contains(
                " ms, still MASTER; is another node running, and not INIT?\nmaintenance: entered\n"
            ),
        "{out}"
    );
    assert!(network.has_vip("here"));
    let (code, out, _) = ask(&network, "here", &["maintenance", "leave", "--no-wait"]);
    assert_eq!((code, out.as_str()), (0, "maintenance: left\n"));
    let events = ask(&network, "here", &["events"]).1;
    assert!(
        events.contains("carpd: maintenance entered\n") && events.ends_with("carpd: maintenance left\n"),
        "{events}"
    );
}

/// Commands that wait for a disk are neither refused nor forgotten, and are done in their order when it answers.
#[test]
fn a_disk_that_hangs_delays_commands_and_refuses_none() {
    let Some(network) = Network::new("maintain-hangs") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    // Reading a pipe takes until somebody writes into it.
    let file = network.dir.path().join("here.toml");
    let text = fs::read_to_string(&file).expect("the file");
    fs::remove_file(&file).expect("the file");
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR).expect("a pipe");
    let ask_meanwhile = |args: &[&str]| -> Child {
        Command::new(env!("CARGO_BIN_EXE_carpd"))
            .args(args)
            .arg("--socket")
            .arg(network.socket("here"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("carpd starts")
    };
    let in_progress = |wanted: &[&str]| {
        for _ in 0..1000 {
            if network.json("here")["in_progress"] == serde_json::json!(wanted) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{wanted:?} are not in progress");
    };
    let reload = ask_meanwhile(&["reload"]);
    in_progress(&["reload"]);
    let enter = ask_meanwhile(&["maintenance", "enter"]);
    in_progress(&["reload", "maintenance enter"]);
    for command in [reload, enter] {
        let output = command.wait_with_output().expect("it ends");
        let said = crate::text(&output.stderr);
        assert!(
            output.status.code() == Some(3)
                && said.contains("here.sock: accepted, but not done after 30 s: ")
                && output.stdout.is_empty(),
            "{said}"
        );
    }
    // It is not entered yet, but will be: to leave is no empty wish.
    let leave = ask_meanwhile(&["maintenance", "leave", "--no-wait"]);
    in_progress(&["reload", "maintenance enter", "maintenance leave"]);
    let (_, out, _) = ask(&network, "here", &["status"]);
    assert!(
        out.starts_with(
            "IN PROGRESS: reload, then maintenance enter, then maintenance leave; waits for the disk, "
        ),
        "{out}"
    );
    fs::write(&file, text).expect("a reader");
    daemon.wait_for("carpd: reload: 1 unchanged");
    daemon.wait_for("carpd: maintenance entered");
    daemon.wait_for("carpd: maintenance left");
    let output = leave.wait_with_output().expect("it ends");
    assert_eq!(crate::text(&output.stdout), "maintenance: left\n");
    in_progress(&[]);
}

/// A flag that would be lost at the next restart is worth nothing.
#[test]
fn what_cannot_be_stored_changes_nothing() {
    let Some(network) = Network::new("maintain-disk") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let directory = network.dir.path().join("state-here");
    fs::write(&directory, "no directory").expect("a file");
    let (code, out, err) = maintenance(&network, "here", "enter");
    assert!(
        code == 1 && out.is_empty() && err.starts_with("carpd: maintenance mode cannot be stored in "),
        "{out}{err}"
    );
    daemon.wait_for("carpd: maintenance mode cannot be stored in ");
    assert_eq!(state(&network, "here"), "MASTER");
    assert!(network.json("here")["maintenance"].is_null());
    assert!(!ask(&network, "here", &["events"]).1.contains("maintenance"));

    // Unknown is not the same as no: it does not start.
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
    let output = network.run("here", "").output().expect("carpd starts");
    let said = crate::text(&output.stderr);
    assert!(
        output.status.code() == Some(1) && said.contains("mend that, or set another state_directory"),
        "{said}"
    );
}
