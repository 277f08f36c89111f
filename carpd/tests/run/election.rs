//! Keys that change how the election goes, seen from outside.

use std::fs;
use std::thread;
use std::time::Duration;

use carp_std::linux::Clock;

use crate::network::Network;
use crate::words::{ask, done, refused, state, wait_for_state};

/// Two interfaces more, joined like the first two: 198.51.100.2 and .3.
fn second_cable(network: &Network) {
    network.ip(&["link", "add", "here2", "type", "veth", "peer", "name", "there2"]);
    for (interface, address) in [("here2", "198.51.100.2/24"), ("there2", "198.51.100.3/24")] {
        network.ip(&["address", "add", address, "dev", interface]);
        network.ip(&["link", "set", interface, "up"]);
    }
}

fn vhid_8(interface: &str, more: &str) -> String {
    format!(
        "[[vhid]]\ninterface = \"{interface}\"\nvhid = 8\naddresses = [\"198.51.100.10/24\"]\npassword = \
         \"x\"\n{more}"
    )
}

#[test]
fn peers_are_told_by_unicast() {
    let Some(network) = Network::new("unicast") else {
        return;
    };
    // Both ends of the cable are in one namespace, where a packet for `there` would never leave: the other
    // end is another machine.
    let far = network.move_there("unicast-far");
    let better = network.start("here", "peers = [\"192.0.2.3\"]\npreempt = true\n");
    let other = network.start_there(&far, "peers = [\"192.0.2.2\"]\nadvskew = 100\npreempt = true\n");
    better.wait_for("BACKUP -> MASTER (master timed out)");
    other.wait_for("INIT -> BACKUP");
    thread::sleep(Duration::from_millis(100)); // for the first advertisement to be read
    let status = network.json("there");
    let host = &status["virtual_hosts"][0];
    assert_eq!(host["last_peer"]["address"], "192.0.2.2", "{status}");
    assert_eq!(
        (&host["multicast"], &host["peers"]),
        (&false.into(), &serde_json::json!(["192.0.2.2"]))
    );
    // With multicast only, nobody hears the other; the new peers hold without a restart.
    network.configure("here", "peers = [\"192.0.2.99\"]\npreempt = true\n");
    let (code, out, err) = ask(&network, "here", &["reload"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "here@7: changed (peers)\nconfiguration: 1 changed\n"),
        "{err}"
    );
    other.wait_for("BACKUP -> MASTER (master timed out)");
    network.configure(
        "here",
        "peers = [\"192.0.2.3\"]\nmulticast = true\npreempt = true\n",
    );
    let (code, ..) = ask(&network, "here", &["reload"]);
    assert_eq!(code, 0);
    other.wait_for("MASTER -> BACKUP (more frequent advertisement received)");
}

#[test]
fn a_machine_waits_for_its_services() {
    let Some(network) = Network::new("ready") else {
        return;
    };
    let other = network.start("there", "advskew = 100\npreempt = true\n");
    other.wait_for("BACKUP -> MASTER");
    let file = network.configure("here", "preempt = true\n");
    let text = fs::read_to_string(&file).expect("the file");
    let waits = format!("not_ready_demotion_factor = 240\n{text}");
    fs::write(&file, &waits).expect("a file");
    let here = crate::network::Daemon::start(network.carpd(&["run", "--config", &file]));
    here.wait_for("carp: demoted by 240 to 240 (not-ready)");
    here.wait_for("INIT -> BACKUP");
    let (code, out, _) = ask(&network, "here", &["status"]);
    assert!(
        code == 1 && out.ends_with("degraded: 1/1 BACKUP; demoted by 240 (not-ready)\n"),
        "{out}"
    );
    thread::sleep(Duration::from_secs(2));
    assert_eq!(state(&network, "here"), "BACKUP", "although it is better");
    fs::write(&file, waits.replace("240", "100")).expect("a file");
    assert_eq!(
        ask(&network, "here", &["reload"]),
        done("not_ready_demotion_factor: 240 -> 100\nconfiguration: 1 set, 1 unchanged")
    );
    assert_eq!(network.json("here")["demotion"]["total"], 100);
    let used = ask(&network, "here", &["demotion", "add", "not-ready", "5"]);
    assert_eq!(
        used,
        refused("not-ready is a name of carpd's own; write another one, like state-sync")
    );
    assert_eq!(
        ask(&network, "here", &["ready"]),
        done("services: ready; the demotion is 0")
    );
    here.wait_for("carp: demoted by -100 to 0 (not-ready ended)");
    here.wait_for("BACKUP -> MASTER (preempting a slower master)");
    assert_eq!(
        ask(&network, "here", &["ready"]),
        done("services: was ready already; the demotion is 0")
    );
    // A reload does not wait again.
    fs::write(&file, format!("announce_burst = 3\n{waits}")).expect("a file");
    assert_eq!(
        ask(&network, "here", &["reload"]),
        done(
            "announce_burst: 1 -> 3\nnot_ready_demotion_factor: 100 -> 240\nconfiguration: 2 set, 1 unchanged"
        )
    );
    assert_eq!(network.json("here")["demotion"]["total"], 0);
}

#[test]
fn groups_are_demoted_apart() {
    let Some(network) = Network::new("groups") else {
        return;
    };
    second_cable(&network);
    let more = format!(
        "[groups]\nlab = {{ preempt = true }}\n{}",
        vhid_8("here2", "group = \"lab\"\n")
    );
    let here = network.start("here", &more);
    here.wait_for("carp: 7@here: BACKUP -> MASTER");
    here.wait_for("carp: 8@here2: BACKUP -> MASTER");
    // The cable of one group does not concern the other.
    network.ip(&["link", "set", "there2", "down"]);
    here.wait_for("carp: demoted by 240 to 240 (interface down) interface=here2 group=lab");
    let status = network.json("here");
    let hosts = &status["virtual_hosts"];
    assert_eq!(
        (&hosts[0]["group"], &hosts[0]["demotion"], &hosts[0]["preempt"]),
        (&"carp".into(), &0.into(), &false.into())
    );
    assert_eq!(
        (&hosts[1]["group"], &hosts[1]["demotion"], &hosts[1]["preempt"]),
        (&"lab".into(), &240.into(), &true.into())
    );
    let (_, out, _) = ask(&network, "here", &["status"]);
    assert!(
        out.contains("\n  lab: interface down: here2 (240)\n") && out.contains("  Group  Description\n"),
        "{out}"
    );
    network.ip(&["link", "set", "there2", "up"]);
    here.wait_for("carp: demoted by -240 to 0 (interface up)");

    let wrong = ask(
        &network,
        "here",
        &["demotion", "add", "sync", "100", "--group", "lan"],
    );
    assert_eq!(wrong, refused("there is no group lan; write one of carp, lab"));
    let entered = ask(
        &network,
        "here",
        &["demotion", "add", "sync", "100", "--group", "lab"],
    );
    assert_eq!(entered, done("sync: demotes by 100; the demotion is 100"));
    let (_, out, _) = ask(&network, "here", &["demotion"]);
    assert!(
        out.starts_with("Group  Cause  Weight  Age\nlab    sync      100  "),
        "{out}"
    );
    let entered = ask(&network, "here", &["demotion", "add", "all-of-it", "7"]);
    assert_eq!(entered, done("all-of-it: demotes by 7; the demotion is 107"));

    // A weight of its own stays when somebody joins the group.
    let entered = ask(
        &network,
        "here",
        &["demotion", "add", "all-of-it", "9", "--group", "lab"],
    );
    assert_eq!(entered, done("all-of-it: demotes by 9; the demotion is 109"));
    let joining = "[[vhid]]\ninterface = \"here2\"\nvhid = 9\naddresses = [\"198.51.100.11/24\"]\npassword = \
                   \"x\"\ngroup = \"lab\"\n";
    network.configure("here", &(more + joining));
    let (code, out, err) = ask(&network, "here", &["reload"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(network.json("here")["demotion"]["total"], 109);

    // A group that a reload brings is demoted by what demotes all.
    let more = "[groups]\nlab = {}\nnew = {}\n".to_owned() + &vhid_8("here2", "group = \"new\"\n");
    network.configure("here", &more);
    let (code, out, err) = ask(&network, "here", &["reload"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("here2@8: replaced (group)"), "{out}");
    wait_for_state(&network, "here", "MASTER");
    let status = network.json("here");
    let causes = status["demotion"]["causes"].as_array().expect("causes");
    let causes: Vec<_> = causes
        .iter()
        .map(|cause| (&cause["group"], &cause["weight"]))
        .collect();
    assert_eq!(
        causes,
        [(&"carp".into(), &7.into()), (&"new".into(), &7.into())],
        "{status}"
    );
    let cleared = ask(&network, "here", &["demotion", "clear", "--all"]);
    assert_eq!(cleared, done("all-of-it: cleared; the demotion is 0"));
}

#[test]
fn the_fast_profile_takes_milliseconds_and_is_left_for_others() {
    let Some(network) = Network::new("fast") else {
        return;
    };
    let fast = "fast = { interval = 50, dead_ratio = 4 }\npreempt = true\n";
    let here = network.start("here", fast);
    let there = network.start("there", &format!("{fast}advskew = 1\n"));
    here.wait_for("BACKUP -> MASTER");
    there.wait_for("INIT -> BACKUP");
    let (_, out, _) = ask(&network, "there", &["ifconfig"]);
    assert_eq!(out, "\tcarp: BACKUP vhid 7 advbase 0 advskew 14\n");
    let died = Clock.now();
    here.signal(rustix::process::Signal::KILL);
    there.wait_for("BACKUP -> MASTER (master timed out)");
    let took = Clock.now() - died;
    assert!(took.as_micros() < 1_000_000, "{took:?}, not 3 seconds");
    drop(here);

    // Somebody without it.
    let here = network.start("here", "dialect = \"openbsd\"\nadvskew = 10\npreempt = true\n");
    here.wait_for("INIT -> BACKUP");
    let (_, out, _) = ask(&network, "here", &["state", "here@7", "master"]);
    assert!(out.starts_with("here@7: MASTER"), "{out}");
    let line = there.wait_for("leaves the fast profile, because 192.0.2.2 advertises ");
    assert!(
        line.ends_with("mend that, then carpd reload, where it is MASTER first"),
        "{line}"
    );
    let (code, out, _) = ask(&network, "there", &["status"]);
    assert!(
        code == 1
            && out.contains("there@7: has left the fast profile")
            && out.ends_with("; fast profile left: 1\n"),
        "{out}"
    );
    assert_eq!(network.json("there")["virtual_hosts"][0]["fast"]["left"], true);
    drop(here);
    let (code, out, _) = ask(&network, "there", &["reload"]);
    let changed = ": warning: the fast profile is for nodes that all have it, and kernels do not; list them in [nodes], so \
                   that nobody is forgotten\nthere@7: changed (fast again)\nconfiguration: 1 changed\n";
    assert!(code == 0 && out.ends_with(changed), "{out}");
    assert_eq!(network.json("there")["virtual_hosts"][0]["fast"]["left"], false);
}

#[test]
fn who_sleeps_too_long_says_so() {
    let Some(network) = Network::new("late") else {
        return;
    };
    let here = network.start("here", "");
    here.wait_for("BACKUP -> MASTER");
    here.signal(rustix::process::Signal::STOP);
    thread::sleep(Duration::from_millis(1500));
    here.signal(rustix::process::Signal::CONT);
    here.wait_for(" ms late: this machine is overloaded, or was paused");
    let (code, out, _) = ask(&network, "here", &["status"]);
    assert!(
        code == 0
            && out.starts_with("WARNING: this machine was up to ")
            && out.contains(" ms late within the last hour"),
        "{out}"
    );
    let lateness = &network.json("here")["lateness"];
    assert!(
        lateness["bad_ms"]
            .as_u64()
            .is_some_and(|millis| (100..60_000).contains(&millis)),
        "{lateness}"
    );
    let (_, out, _) = ask(&network, "here", &["netstat"]);
    assert!(
        out.contains("\nlateness:\n\t") && out.contains(" later than 100 ms\n"),
        "{out}"
    );
}
