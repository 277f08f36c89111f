//! Settings that change while carpd runs.

use crate::network::Network;
use crate::words::{ask, done, pair, refused, state, wait_for_state};

const ALL: &str = "\
net.inet.carp.allow: 1
net.inet.carp.demotion: 0
net.inet.carp.dscp: dialect
net.inet.carp.ifdown_demotion_factor: 240
net.inet.carp.log: 1
net.inet.carp.preempt: 0
net.inet.carp.senderr_demotion_factor: 240
net.inet.carp.suppress_preempt: 0";

fn set(network: &Network, setting: &str) -> (i32, String, String) {
    ask(network, "here", &["sysctl", setting])
}

#[test]
fn settings_have_the_names_of_the_sysctls() {
    let Some(network) = Network::new("sysctl") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("INIT -> BACKUP");
    assert_eq!(ask(&network, "here", &["sysctl"]), done(ALL));
    assert_eq!(set(&network, "log"), done("net.inet.carp.log: 1"));
    assert_eq!(set(&network, "net.inet.carp.log"), done("net.inet.carp.log: 1"));

    assert_eq!(set(&network, "preempt=1"), done("net.inet.carp.preempt: 0 -> 1"));
    assert_eq!(network.json("here")["virtual_hosts"][0]["preempt"], true);
    assert_eq!(
        set(&network, "dscp=46"),
        done("net.inet.carp.dscp: dialect -> 46")
    );
    assert_eq!(
        set(&network, "dscp=dialect"),
        done("net.inet.carp.dscp: 46 -> dialect")
    );

    // A number is added, as on FreeBSD, and never more taken away than was added.
    assert_eq!(
        set(&network, "net.inet.carp.demotion=240"),
        done("net.inet.carp.demotion: 0 -> 240")
    );
    assert_eq!(
        set(&network, "suppress_preempt"),
        done("net.inet.carp.suppress_preempt: 1")
    );
    assert_eq!(
        set(&network, "demotion=-241"),
        refused(
            "demotion=-241 is out of range: 240 was added this way, and stays within 0 to 65535; carpd demotion shows \
             the causes"
        )
    );
    assert_eq!(
        set(&network, "demotion=-240"),
        done("net.inet.carp.demotion: 240 -> 0")
    );

    // Faults that last count with the new weight.
    network.ip(&["link", "set", "there", "down"]);
    daemon.wait_for("carp: demoted by 240 to 240 (interface down)");
    assert_eq!(
        set(&network, "ifdown_demotion_factor=100"),
        done("net.inet.carp.ifdown_demotion_factor: 240 -> 100")
    );
    daemon.wait_for("carp: demoted by -140 to 100 (interface down)");
    assert_eq!(set(&network, "demotion"), done("net.inet.carp.demotion: 100"));

    for (setting, why) in [
        ("log=3", "log=3 is out of range; write a number from 0 to 2"),
        (
            "allow=yes",
            "allow=yes is out of range; write a number from 0 to 1",
        ),
        ("allow=", "allow= is out of range; write a number from 0 to 1"),
        (
            "dscp=64",
            "dscp=64 is out of range; write a number from 0 to 63, or dialect",
        ),
        (
            "suppress_preempt=0",
            "suppress_preempt can only be read: it counts what demotes this machine",
        ),
        (
            "demotion=x",
            "demotion=x is no whole number; write how much to add, like demotion=240, or to take away, like \
             demotion=-240",
        ),
        (
            "arpbalance=1",
            "there is no key arpbalance; write one of allow, preempt, log, demotion, suppress_preempt, \
             ifdown_demotion_factor, senderr_demotion_factor, dscp",
        ),
        (
            "arpbalance",
            "there is no key arpbalance; write one of allow, demotion, dscp, ifdown_demotion_factor, log, preempt, \
             senderr_demotion_factor, suppress_preempt",
        ),
    ] {
        assert_eq!(set(&network, setting), refused(why));
    }
    assert_eq!(
        network.json("here")["demotion"]["total"],
        100,
        "nothing has changed"
    );
}

#[test]
fn what_is_not_allowed_is_in_init() {
    pair!(network, "allow" => better, other);
    let (code, out, err) = set(&network, "allow=0");
    assert!(
        code == 0
            && out.starts_with("here@7: disabled; 192.0.2.3 took over in ")
            && out.ends_with("\nnet.inet.carp.allow: 1 -> 0\n"),
        "{out}{err}"
    );
    better.wait_for("MASTER -> INIT (disabled)");
    other.wait_for("BACKUP -> MASTER");
    assert_eq!(
        ask(&network, "here", &["enable", "--all"]),
        refused("net.inet.carp.allow is 0; carpd sysctl allow=1 enables all")
    );
    // One that is disabled stays so.
    assert_eq!(
        ask(&network, "here", &["disable", "here@7"]),
        done("here@7: disabled")
    );
    assert_eq!(set(&network, "allow=1"), done("net.inet.carp.allow: 0 -> 1"));
    assert_eq!(state(&network, "here"), "INIT");
    assert_eq!(ask(&network, "here", &["enable", "here@7"]).0, 0);
    wait_for_state(&network, "here", "MASTER");
}

#[test]
fn settings_of_the_file_hold_and_reload() {
    let Some(network) = Network::new("settings") else {
        return;
    };
    let file = network.configure("here", "");
    let text = std::fs::read_to_string(&file).expect("the file");
    let with = |settings: &str| std::fs::write(&file, format!("{settings}\n{text}")).expect("a file");
    with("allow = false\nlog = 0\ndscp = 46");
    let daemon = crate::network::Daemon::start(network.carpd(&["run", "--config", &file]));
    daemon.wait_for("carp: 7@here: INIT (disabled)");
    assert_eq!(set(&network, "allow"), done("net.inet.carp.allow: 0"));
    assert_eq!(set(&network, "preempt=1"), done("net.inet.carp.preempt: 0 -> 1"));
    with("allow = true\nlog = 0\ndscp = 46");
    assert_eq!(
        ask(&network, "here", &["reload"]),
        done("net.inet.carp.allow: 0 -> 1\nconfiguration: 1 set, 1 unchanged")
    );
    wait_for_state(&network, "here", "MASTER");
    assert_eq!(
        set(&network, "preempt"),
        done("net.inet.carp.preempt: 1"),
        "it was not in the file"
    );
    assert_eq!(set(&network, "log=1"), done("net.inet.carp.log: 0 -> 1"));
    ask(&network, "here", &["demotion", "add", "x", "1"]);
    // The first transition was not worth a line, but is remembered.
    let next = daemon.wait_for("carp: ");
    assert!(next.contains("carp: demoted by 1 to 1 (x)"), "{next}");
    assert!(ask(&network, "here", &["events"]).1.contains("BACKUP -> MASTER"));
}

#[test]
fn bad_packets_are_told_of_and_not_one_by_one() {
    let Some(network) = Network::new("badlog") else {
        return;
    };
    let here = network.start("here", "");
    here.wait_for("INIT -> BACKUP");
    assert_eq!(set(&network, "log=2"), done("net.inet.carp.log: 1 -> 2"));
    let there = network.start_stranger("there");
    there.wait_for("BACKUP -> MASTER");
    let line = here.wait_for("carpd: bad packets in ");
    assert!(
        line.ends_with(" s: 1 badauth; the last from 192.0.2.3 on here with vhid 7"),
        "{line}"
    );
}

#[test]
fn the_log_can_be_json() {
    let Some(network) = Network::new("log-json") else {
        return;
    };
    let file = network.configure("here", "");
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, format!("log_format = \"json\"\n{text}")).expect("a file");
    let daemon = crate::network::Daemon::start(network.carpd(&["run", "--config", &file]));
    let next =
        |text: &str| -> serde_json::Value { serde_json::from_str(&daemon.wait_for(text)).expect("JSON") };
    let started = next("started, 1 virtual host");
    assert!(
        started["event"] == "other" && started["time"].is_string(),
        "{started}"
    );
    let backup = next("INIT -> BACKUP");
    let (_, events, _) = ask(&network, "here", &["events", "--json"]);
    let event: serde_json::Value =
        serde_json::from_str(events.lines().next().expect("a line")).expect("JSON");
    assert_eq!(backup, event, "as carpd events --json has it");
    network.configure("here", "");
    assert_eq!(
        ask(&network, "here", &["reload"]),
        done("log_format: json -> text\nconfiguration: 1 set, 1 unchanged")
    );
    assert!(
        daemon
            .wait_for("reload: 1 set, 1 unchanged")
            .contains("Z carpd: reload")
    );
}
