//! Maintenance mode, as the operator meets it.

use std::fs;

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
