//! Programs that are told what happens.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration as StdDuration;

use carp_fsm::Duration;
use carp_std::linux::Clock;
use rustix::process::Signal;
use serde_json::Value;

use crate::network::{Daemon, Network};
use crate::words::{ask, done};

/// A hook that runs a shell script, which finds the file `out` in `$1`.
fn hook(network: &Network, script: &str, more: &str) -> (String, PathBuf) {
    let out = network.dir.path().join("out");
    let hook = format!(
        "[[hooks]]\ncommand = [\"/bin/sh\", \"-c\", '''{script}''', \"hook\", \"{}\"]\n{more}\n",
        out.display()
    );
    (hook, out)
}

fn read(out: &PathBuf) -> String {
    fs::read_to_string(out).unwrap_or_default()
}

/// Waits until something is true of the file.
fn until(out: &PathBuf, done: impl Fn(&str) -> bool) -> String {
    let end = Clock.now() + Duration::from_secs(10);
    loop {
        let text = read(out);
        if done(&text) {
            return text;
        }
        assert!(Clock.now() < end, "{text}");
        thread::sleep(StdDuration::from_millis(10));
    }
}

/// Children of a process that have ended and were not collected.
fn zombies(daemon: &Daemon) -> usize {
    let stats = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    let parent = format!(") Z {} ", daemon.child.id());
    stats.filter(|stat| stat.contains(&parent)).count()
}

#[test]
fn events_arrive_in_order_as_json_and_as_variables() {
    let Some(network) = Network::new("hooks") else {
        return;
    };
    let script = "cat >> $1; echo $CARP_EVENT $CARP_VIRTUAL_HOST $CARP_FROM $CARP_TO $CARP_REASON $NOTIFY_SOCKET >> $1";
    let events = "events = [\"transition\", \"demotion\", \"maintenance\", \"reload\"]";
    let (hook, out) = hook(&network, script, events);
    let daemon = network.start("here", &hook);
    daemon.wait_for("BACKUP -> MASTER");
    ask(&network, "here", &["demotion", "add", "x", "7"]);
    ask(&network, "here", &["maintenance", "enter", "--no-wait"]);
    let text = until(&out, |text| text.contains("\nmaintenance"));
    let (json, plain): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('{'));
    assert_eq!(
        plain,
        [
            "transition here@7 INIT BACKUP initialization complete",
            "transition here@7 BACKUP MASTER master timed out",
            "demotion 0 7",
            "maintenance",
        ]
    );
    let (_, printed, _) = ask(&network, "here", &["events", "--json"]);
    let parse = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let json: Vec<_> = json.into_iter().map(parse).collect();
    let printed: Vec<_> = printed.lines().map(parse).collect();
    assert_eq!(json, printed[..4], "as carpd events --json prints them");

    // Others after a reload.
    network.configure("here", "");
    assert_eq!(
        ask(&network, "here", &["reload"]),
        done("hooks: changed (1 -> 0)\nconfiguration: 1 set, 1 unchanged")
    );
    ask(&network, "here", &["demotion", "clear", "x"]);
    thread::sleep(StdDuration::from_millis(200));
    assert_eq!(read(&out), text);
    assert_eq!(zombies(&daemon), 0);
}

#[test]
fn a_slow_one_is_killed_and_delays_nothing() {
    let Some(network) = Network::new("hooks-slow") else {
        return;
    };
    let (hook, out) = hook(&network, "sleep 60 & echo $! $$ >> $1; wait", "timeout = 1");
    let broken = "[[hooks]]\ncommand = [\"/nowhere/hook\"]\n[[hooks]]\ncommand = [\"/bin/false\"]\n";
    let daemon = network.start("here", &format!("{hook}{broken}"));
    daemon.wait_for("INIT -> BACKUP");
    let started = Clock.now();
    daemon.wait_for("carpd: hook /bin/sh: took too long, and was killed (event 1)");
    daemon.wait_for(
        "carpd: hook /nowhere/hook: cannot be started: No such file or directory (os error 2) (event 1)",
    );
    daemon.wait_for("carpd: hook /bin/false: exit status: 1 (event 1)");
    daemon.wait_for("BACKUP -> MASTER");
    let waited = Clock.now() - started;
    assert!(
        waited < Duration::from_millis(3_400),
        "three times advbase, not {waited} s"
    );
    let pids = until(&out, |text| text.lines().count() > 1);
    for pid in pids.lines().next().expect("a line").split(' ') {
        assert!(
            !PathBuf::from(format!("/proc/{pid}")).exists(),
            "{pid} still runs"
        );
    }
    assert_eq!(zombies(&daemon), 0);
}

#[test]
fn carpd_ends_when_the_slowest_has_had_its_time() {
    let Some(network) = Network::new("hooks-end") else {
        return;
    };
    let (hook, out) = hook(
        &network,
        "echo $CARP_TO >> $1; [ $CARP_TO = BACKUP ] || sleep 60",
        "timeout = 1",
    );
    let daemon = network.start("here", &hook);
    daemon.wait_for("BACKUP -> MASTER");
    daemon.wait_for("took too long, and was killed (event 2)");
    daemon.signal(Signal::TERM);
    let stopping = Clock.now();
    daemon.wait_for("MASTER -> INIT (shutting down)");
    daemon.wait_for("carpd: hook /bin/sh: took too long, and was killed (event 3)");
    daemon.wait_for("carpd: stopped");
    assert_eq!(daemon.exit_code(), Some(0));
    let took = Clock.now() - stopping;
    assert!(
        took < Duration::from_millis(3_500),
        "1.5 s for a successor, 1 s for the hook, not {took} s"
    );
    assert_eq!(read(&out), "BACKUP\nMASTER\nINIT\n");
    assert!(!network.has_vip("here"));
}

#[test]
fn only_the_latest_is_of_interest_to_some() {
    let Some(network) = Network::new("hooks-latest") else {
        return;
    };
    let more = "latest_only = true\ntimeout = 60\nevents = [\"demotion\"]";
    let (hook, out) = hook(
        &network,
        "echo $CARP_TO >> $1; until [ -e $1.go ]; do sleep 0.05; done",
        more,
    );
    let daemon = network.start("here", &hook);
    daemon.wait_for("INIT -> BACKUP");
    ask(&network, "here", &["demotion", "add", "x", "1"]);
    until(&out, |text| text == "1\n");
    for weight in 2..=9 {
        let weight = format!("{weight}");
        ask(&network, "here", &["demotion", "add", "x", &weight]);
    }
    fs::write(out.with_extension("go"), "").expect("a file");
    assert_eq!(until(&out, |text| text.ends_with("9\n")), "1\n9\n");
}
