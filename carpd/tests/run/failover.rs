//! `carpd test-failover`.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::network::Network;
use crate::text;
use crate::words::{ask, pair, state};

/// What is printed, without the times.
fn without_times(text: &str) -> String {
    let is_time = |word: &&str| {
        !(!word.ends_with('.') && word.contains('.') && word.parse::<f64>().is_ok()) && *word != "s"
    };
    let line = |line: &str| line.split(' ').filter(is_time).collect::<Vec<_>>().join(" ");
    text.lines()
        .map(line)
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// Inside, where the addresses are.
fn test(network: &Network, interface: &str, more: &[&str]) -> (i32, String) {
    let mut command = network.carpd(&["test-failover", "--socket"]);
    let output = command
        .arg(network.socket(interface))
        .args(more)
        .output()
        .expect("carpd starts");
    assert_eq!(text(&output.stderr), "");
    (
        output.status.code().expect("no signal"),
        without_times(text(&output.stdout)),
    )
}

#[test]
fn seven_steps_and_everything_is_as_it_was() {
    pair!(network, "failover" => better, other);
    network.ip(&["link", "set", "lo", "up"]); // both machines are one here
    let expected = |last: &str| {
        format!(
            "\
1. everything is MASTER here, and nothing is wrong    PASS
   here@7
2. maintenance mode is entered here                   PASS
   here@7: handed over to 192.0.2.3 in N ms
   maintenance: entered
3. everything is BACKUP here                          PASS
   here@7: handed over to 192.0.2.3 in N ms
4. everything is MASTER on the other machine          PASS
   here@7: 192.0.2.3 is MASTER
5. the virtual addresses answer                       PASS
   192.0.2.10: answers in
6. maintenance mode is left here                      PASS
7. everything is MASTER here again                    PASS
{last}"
        )
    };
    let peer = network.socket("there");
    for more in [&[][..], &["--peer", peer.to_str().expect("text")]] {
        let (code, out) = test(&network, "here", more);
        let out: String = out
            .lines()
            .map(|line| match line.split_once(" in ") {
                Some((before, after)) if after.ends_with(" ms") => format!("{before} in N ms\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(
            out,
            expected("PASS: here@7: over to the other machine and back in\n")
        );
        assert_eq!(code, 0);
        assert_eq!(
            (state(&network, "here"), state(&network, "there")),
            ("MASTER".into(), "BACKUP".into())
        );
        assert!(network.json("here")["maintenance"].is_null());
        thread::sleep(Duration::from_millis(100)); // the addresses stay until clients know the new owner
        assert!(network.has_vip("here") && !network.has_vip("there"));
    }
    better.wait_for("carpd: maintenance left");
    other.wait_for("MASTER -> BACKUP");

    // Where nothing is MASTER there is nothing to be tested.
    let (code, out) = test(&network, "there", &[]);
    assert!(
        code == 1
            && out.ends_with("\nFAIL: there@7 is BACKUP here; run the test where everything is MASTER\n"),
        "{out}"
    );
}

#[test]
fn without_another_machine_it_fails_and_cleans_up() {
    let Some(network) = Network::new("failover-alone") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let (code, out) = test(&network, "here", &[]);
    assert!(
        code == 1 && out.contains("FAIL: here@7 does not preempt, and would not come back by itself; "),
        "{out}"
    );
    assert!(
        !ask(&network, "here", &["events"]).1.contains("maintenance"),
        "nothing has been tried"
    );

    ask(&network, "here", &["sysctl", "preempt=1"]);
    let (code, out) = test(&network, "here", &[]);
    assert!(
        code == 1
            && out.contains(
                "\n2. maintenance mode is entered here                   FAIL\n   here@7: nobody took over"
            )
            && out.contains("\n6. maintenance mode is left here                      PASS\n")
            && out.contains("\n7. everything is MASTER here again                    PASS\n")
            && out.contains("\nFAIL: here@7: nobody took over within"),
        "{out}"
    );
    assert!(network.json("here")["maintenance"].is_null());
    let (code, _) = test(&network, "here", &["--peer", "/nowhere/control.sock"]);
    assert_eq!(code, 3);
}

/// The connection of who has typed it is often through the addresses that move.
#[test]
fn a_terminal_that_goes_away_leaves_nobody_in_maintenance() {
    let Some(network) = Network::new("failover-hangup") else {
        return;
    };
    let daemon = network.start("here", "preempt = true\n");
    daemon.wait_for("BACKUP -> MASTER");
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        let mut command = network.carpd(&["test-failover", "--socket"]);
        let mut test = command
            .arg(network.socket("here"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("carpd starts");
        // Nobody takes over, which is known after more than a second.
        daemon.wait_for("carpd: maintenance entered");
        drop((test.stdout.take(), test.stderr.take()));
        kill_process(Pid::from_child(&test), signal).expect("it runs");
        assert_eq!(test.wait().expect("it ends").code(), Some(1), "{signal:?}");
        daemon.wait_for("carpd: maintenance left");
        assert!(network.json("here")["maintenance"].is_null(), "{signal:?}");
    }
}

/// What `carpd status` calls degraded is no place for a test.
#[test]
fn with_a_stranger_on_the_network_it_is_not_begun() {
    let Some(network) = Network::new("failover-stranger") else {
        return;
    };
    let there = network.start_stranger("there");
    there.wait_for("BACKUP -> MASTER");
    let here = network.start("here", "preempt = true\n");
    here.wait_for(" has another password, ");
    here.wait_for("BACKUP -> MASTER");
    let (code, out) = test(&network, "here", &[]);
    let why = "degraded: 1/1 MASTER; others with a vhid of ours: 1; mend that first\n";
    assert!(code == 1 && out.ends_with(&format!("\nFAIL: {why}")), "{out}");
    assert!(!ask(&network, "here", &["events"]).1.contains("maintenance"));
}

#[test]
fn a_service_must_accept() {
    pair!(network, "failover-port" => better, other);
    network.ip(&["link", "set", "lo", "up"]); // both machines are one here
    let (code, out) = test(&network, "here", &["--port", "80"]);
    assert!(
        code == 1 && out.contains("192.0.2.10:80 does not answer (Connection refused"),
        "{out}"
    );
    assert!(
        out.contains("\n7. everything is MASTER here again                    PASS\n"),
        "{out}"
    );
    better.wait_for("carpd: maintenance left");
    other.wait_for("MASTER -> BACKUP");
}
