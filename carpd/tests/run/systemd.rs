//! carpd as a service: it tells systemd how it is, and does without root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use crate::SOMEBODY;
use crate::network::{Daemon, Network};

#[test]
fn systemd_is_told() {
    let Some(network) = Network::new("notify") else {
        return;
    };
    let path = network.dir.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let told = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).expect("a message in time");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    };
    let mut command = network.run("here", "");
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let daemon = Daemon::start(command);
    assert_eq!(told(), "READY=1");
    assert!(network.ask("here", &["status"]).status.success(), "it is ready");
    for _ in 0..5 {
        assert_eq!(told(), "WATCHDOG=1", "although nothing happens");
    }
    daemon.signal(Signal::HUP);
    let reloading = loop {
        match told().as_str() {
            "WATCHDOG=1" => {}
            other => break other.to_owned(),
        }
    };
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(
        since.is_some_and(|since| since.parse::<u64>().is_ok()),
        "{reloading}"
    );
    assert_eq!(told(), "READY=1");
    daemon.signal(Signal::TERM);
    loop {
        match told().as_str() {
            "WATCHDOG=1" => {}
            other => break assert_eq!(other, "STOPPING=1"),
        }
    }
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn a_notify_socket_that_cannot_be_used_is_reported() {
    let Some(network) = Network::new("no-notify") else {
        return;
    };
    let output = network
        .run("here", "")
        .env("NOTIFY_SOCKET", "/nowhere/notify")
        .output()
        .expect("carpd starts");
    assert_eq!(
        (output.status.code(), crate::text(&output.stderr)),
        (
            Some(1),
            "carpd: cannot use NOTIFY_SOCKET: No such file or directory (os error 2)\n"
        )
    );
}

/// As the unit has it: another user, two capabilities, the password as a credential.
#[test]
fn two_capabilities_are_enough() {
    let Some(network) = Network::new("capabilities") else {
        return;
    };
    let own = network.dir.path().join("run");
    fs::create_dir_all(&own).expect("a directory");
    let id = Some(SOMEBODY);
    std::os::unix::fs::chown(&own, id, id).expect("the owner");
    let credential = own.join("carpd.password");
    fs::write(&credential, "opensesame").expect("a credential");
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o400)).expect("a mode");
    std::os::unix::fs::chown(&credential, id, id).expect("the owner");
    let copy = network.dir.path().join("carpd");
    fs::copy(env!("CARGO_BIN_EXE_carpd"), &copy).expect("a copy, where somebody can reach it");
    let config = network.dir.path().join("service.toml");
    let socket = own.join("control.sock");
    let text = format!(
        "control_socket = \"{}\"\n[[vhid]]\ninterface = \"here\"\nvhid = 7\naddresses = [\"{}\"]\npassword_file = \
         \"carpd.password\"\n",
        socket.display(),
        network.vip
    );
    fs::write(&config, text).expect("a configuration");

    let id = SOMEBODY.to_string();
    let mut command = network.program("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
        command.args([set, "-all,+net_raw,+net_admin"]);
    }
    command.arg(&copy).args(["run", "--config"]).arg(&config);
    command.env("CREDENTIALS_DIRECTORY", &own);
    let daemon = Daemon::start(command);
    daemon.wait_for("BACKUP -> MASTER");
    assert!(network.has_vip("here"));
    daemon.signal(Signal::TERM);
    daemon.wait_for("carpd: stopped");
    assert!(!network.has_vip("here"));
    assert_eq!(daemon.exit_code(), Some(0));
}
