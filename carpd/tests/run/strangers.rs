//! Somebody else has our vhid.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::network::{Daemon, Network};
use crate::words::{ask, state};

#[test]
fn who_has_another_password_is_named() {
    let Some(network) = Network::new("strangers") else {
        return;
    };
    let there = network.start_stranger("there");
    there.wait_for("BACKUP -> MASTER");

    // At the start, before it becomes MASTER itself.
    let here = network.start("here", "");
    let line = here.wait_for("192.0.2.3");
    let what = "192.0.2.3 has another password, or an address list that has nothing to do with ours";
    let advice = "if it is one of ours, give both the same password and addresses; otherwise give one of the two \
                  another vhid";
    let said = format!("carpd: here: {what} (our vhid 7); {advice}");
    assert!(line.ends_with(&said), "{line}");
    let (_, out, _) = ask(&network, "here", &["status"]);
    assert!(out.contains(&format!("\nhere@7: {what} (")), "{out}");
    assert!(out.contains(&format!(" s ago)\n  {advice}\n")), "{out}");
    let status = network.json("here");
    let neighbour = &status["neighbours"][0];
    assert_eq!(
        (&neighbour["ours"], &neighbour["vhid"]),
        (&true.into(), &7.into()),
        "{status}"
    );
    assert_eq!(status["virtual_hosts"][0]["state"], "BACKUP");
}

#[test]
fn who_has_another_dialect_is_named() {
    let Some(network) = Network::new("dialects") else {
        return;
    };
    let there = network.start("there", "dialect = \"ucarp\"\n");
    there.wait_for("BACKUP -> MASTER");
    let file = network.configure("here", "");
    let text = fs::read_to_string(&file).expect("the file");
    let three = text.replace(
        "[\"192.0.2.10/24\"]",
        "[\"192.0.2.10/24\", \"192.0.2.11/24\", \"192.0.2.12/24\"]",
    );
    fs::write(&file, three).expect("a file");
    let here = Daemon::start(network.carpd(&["run", "--config", &file]));
    let line = here.wait_for("192.0.2.3");
    let said = "192.0.2.3 has our password, but its address list is 192.0.2.10 alone, as UCarp's (our vhid 7); if it is \
                UCarp, write a [[vhid]] with that address alone and dialect = \"ucarp\"; otherwise give both the same \
                addresses";
    assert!(line.ends_with(said), "{line}");
    let (code, out, _) = ask(&network, "here", &["status", "--verdict"]);
    assert_eq!(
        (code, out.as_str()),
        (1, "degraded: 1/1 BACKUP; others with a vhid of ours: 1\n")
    );
}

/// Whoever can send packets must not be able to fill the disk.
#[test]
fn a_flood_is_counted_and_logged_once() {
    let Some(network) = Network::new("stranger-flood") else {
        return;
    };
    let far = network.move_there("stranger-flood-far");
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let before = network.json("here")["counters"]["badver"].as_u64();
    far.enter(|| {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112))).expect("a socket");
        socket.bind_device(Some(b"there")).expect("an interface");
        socket.set_multicast_ttl_v4(255).expect("a TTL");
        let group = SocketAddr::from(([224, 0, 0, 18], 0)).into();
        for round in 0..200 {
            let mut advertisement = [0; 36];
            advertisement[0] = if round % 2 == 0 { 0x31 } else { 0x41 }; // of a version that nobody speaks
            advertisement[1] = 7;
            let sum = carp_proto::checksum(&advertisement).to_be_bytes();
            advertisement[6..8].copy_from_slice(&sum);
            socket.send_to(&advertisement, &group).expect("sent");
        }
    })
    .expect("a network namespace");
    daemon.wait_for("carpd: here: 192.0.2.3 speaks version 3 of CARP (our vhid 7); ");
    thread::sleep(Duration::from_millis(200));
    let counted = network.json("here")["counters"]["badver"].as_u64();
    assert_eq!(counted, before.map(|before| before + 200));
    let events = ask(&network, "here", &["events"]).1;
    assert_eq!(events.matches("192.0.2.3").count(), 1, "{events}");
    assert_eq!(state(&network, "here"), "MASTER");
}

#[test]
fn a_split_machine_says_so() {
    let Some(network) = Network::new("split") else {
        return;
    };
    network.ip(&["link", "add", "here2", "type", "veth", "peer", "name", "there2"]);
    for (interface, address) in [("here2", "198.51.100.2/24"), ("there2", "198.51.100.3/24")] {
        network.ip(&["address", "add", address, "dev", interface]);
        network.ip(&["link", "set", interface, "up"]);
    }
    let second = |interface: &str| {
        format!(
            "[[vhid]]\ninterface = \"{interface}\"\nvhid = 8\naddresses = [\"198.51.100.10/24\"]\npassword = \"x\"\n"
        )
    };
    // Nobody preempts.
    let here = network.start("here", &format!("preempt = false\n{}", second("here2")));
    here.wait_for("carp: 7@here: BACKUP -> MASTER");
    let there = network.start(
        "there",
        &format!("preempt = false\nadvskew = 100\n{}", second("there2")),
    );
    there.wait_for("carp: 7@there: INIT -> BACKUP");
    let (code, out, _) = ask(&network, "here", &["handover", "here2@8"]);
    assert_eq!(code, 0, "{out}");
    here.wait_for("carpd: split: MASTER of here@7, but BACKUP of here2@8");
    let (code, out, _) = ask(&network, "here", &["status"]);
    assert!(
        code == 1
            && out
                .ends_with("degraded: 1 MASTER, 1 BACKUP; split: MASTER of here@7, but BACKUP of here2@8\n"),
        "{out}"
    );
    assert_eq!(network.json("here")["split_master"][0]["backup"], "here2@8");
    let (code, out, _) = ask(&network, "here", &["handover", "here@7"]);
    assert_eq!(code, 0, "{out}");
    here.wait_for("carpd: split no longer");
    assert_eq!(network.json("here")["split_master"], serde_json::json!([]));
}
