//! What nobody should ask, and what nobody else may ask: it is refused in a sentence, and nothing changes.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::network::Network;
use crate::words::ask;
use crate::{SOMEBODY, text};

/// All that a command could change.
fn snapshot(network: &Network) -> Value {
    let status = network.json("here");
    let hosts = status["virtual_hosts"].as_array().expect("a list").iter();
    let keys = [
        "name",
        "state",
        "reason",
        "owner",
        "leaving",
        "advskew_sent",
        "addresses",
        "preempt",
    ];
    let hosts: Vec<_> = hosts.map(|host| keys.map(|key| host[key].clone())).collect();
    let (_, events, _) = ask(network, "here", &["events"]);
    // A busy machine may be late at any time.
    let is_about_us = |line: &&str| !line.contains(" ms late: ");
    let events: Vec<_> = events.lines().filter(is_about_us).map(str::to_owned).collect();
    json!({
        "hosts": hosts,
        "demotion": status["demotion"],
        "maintenance": status["maintenance"],
        "sysctl": status["sysctl"],
        "events": events,
    })
}

/// Writes anything into the control socket, and reads the answer.
fn talk(network: &Network, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(network.socket("here")).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let _ = stream.write_all(request); // it may be refused before it is read
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn every_nonsense_is_refused_and_changes_nothing() {
    let Some(network) = Network::new("nonsense") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let before = snapshot(&network);
    let deep = format!("{{\"schema\":1,\"command\":{}\n", "[".repeat(4000));
    let name = "x".repeat(4000);
    let long = format!("{{\"schema\":1,\"command\":\"disable\",\"target\":\"{name}\"}}\n");
    let oversize = vec![b'x'; 1_000_000];
    let command = |rest: &str| format!("{{\"schema\":1,\"command\":{rest}}}\n");
    let typed = [
        ("\"dance\"", "unknown variant `dance`"),
        (
            "\"disable\",\"target\":7",
            "invalid type: integer `7`, expected a string",
        ),
        (
            "\"disable\",\"target\":\"\"",
            "there is no virtual host ; write one of here@7",
        ),
        (
            "\"disable\",\"target\":\"eth9@7\"",
            "there is no virtual host eth9@7",
        ),
        (
            "\"disable\",\"target\":\"here@7\",\"force\":true",
            "unknown field `force`",
        ),
        (
            "\"state\",\"target\":\"here@7\",\"state\":\"init\"",
            "unknown variant `init`",
        ),
        (
            "\"demote\",\"cause\":\"x\",\"weight\":0",
            "the weight 0 is out of range",
        ),
        (
            "\"demote\",\"cause\":\"x\",\"weight\":256",
            "the weight 256 is out of range",
        ),
        ("\"demote\",\"cause\":\"x\",\"weight\":-1", "expected u16"),
        ("\"demote\",\"cause\":\"x\",\"weight\":1e99", "expected u16"),
        ("\"demote\",\"cause\":\"\",\"weight\":1", "is no name for a cause"),
        (
            "\"demote\",\"cause\":\"a\\nb\",\"weight\":1",
            "a\\\\nb is no name for a cause",
        ),
        (
            "\"demote\",\"cause\":\"operator\",\"weight\":1",
            "operator is a name of carpd's own",
        ),
        ("\"clear\",\"cause\":\"x\"", "there is no cause x"),
        ("\"clear_all\",\"force\":1", "expected a boolean"),
        ("\"set\",\"key\":\"log\",\"value\":2", "expected a string"),
        ("\"set\",\"key\":\"log\",\"value\":\"9\"", "log=9 is out of range"),
        ("\"set\",\"key\":\"logs\",\"value\":\"1\"", "there is no key logs"),
        ("\"maintenance\"", "missing field `enter`"),
        ("\"maintenance\",\"enter\":\"yes\"", "expected a boolean"),
        ("\"reload\",\"file\":\"/etc/passwd\"", "unknown field `file`"),
        ("\"events\",\"after\":-1", "expected u64"),
    ];
    let typed = typed.map(|(rest, why)| (command(rest).into_bytes(), why));
    let raw: [(&[u8], &str); 12] = [
        (b"", "does not end with a newline"),
        (b"\n", "the request is not understood"),
        (b"\0\0\0\0\n", "the request is not understood"),
        (b"status\n", "the request is not understood"),
        (b"GET / HTTP/1.1\r\n\r\n", "the request is not understood"),
        (b"\xff\xfe\n", "the request is not understood"),
        (b"null\n", "the request is not understood"),
        (b"{}\n", "the request has no schema"),
        (
            b"{\"schema\":\"1\",\"command\":\"status\"}\n",
            "speaks schema 1, not \\\"1\\\"",
        ),
        (deep.as_bytes(), "the request is not understood"),
        (long.as_bytes(), "there is no virtual host xxx"),
        (&oversize, "longer than 4096 bytes"),
    ];
    let raw = raw.map(|(request, why)| (request.to_vec(), why));
    for (request, why) in typed.into_iter().chain(raw) {
        let answer = talk(&network, &request);
        assert!(
            answer.starts_with("{\"schema\":1,\"error\":\"")
                && answer.ends_with("\"}\n")
                && answer.contains(why),
            "{why}: {answer}"
        );
    }
    assert_eq!(snapshot(&network), before);
}

#[test]
fn no_other_user_commands_it() {
    let Some(network) = Network::new("others") else {
        return;
    };
    let daemon = network.start("here", "");
    daemon.wait_for("BACKUP -> MASTER");
    let before = snapshot(&network);
    // A copy, because somebody need not be able to reach the build directory.
    let copy = network.dir.path().join("carpd");
    fs::copy(env!("CARGO_BIN_EXE_carpd"), &copy).expect("a copy");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("a mode");
    let commands: [&[&str]; 15] = [
        &["status"],
        &["events"],
        &["netstat"],
        &["ifconfig"],
        &["disable", "--all"],
        &["enable", "--all"],
        &["handover", "--all"],
        &["state", "here@7", "backup"],
        &["demotion", "add", "x", "240"],
        &["demotion", "clear", "--all", "--force"],
        &["sysctl", "allow=0"],
        &["reload"],
        &["maintenance", "enter"],
        &["maintenance", "leave", "--no-wait"],
        &["test-failover"],
    ];
    for args in commands {
        let output = Command::new(&copy)
            .args(args)
            .arg("--socket")
            .arg(network.socket("here"))
            .uid(SOMEBODY)
            .gid(SOMEBODY)
            .output()
            .expect("carpd starts");
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(
            said.contains("user 65534 may not ask this carpd; ask as root or as its own user (0)\n"),
            "{args:?}: {said}"
        );
        assert!(!output.status.success(), "{args:?}");
    }
    assert_eq!(snapshot(&network), before);
}
