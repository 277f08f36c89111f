//! The command as its user meets it: output, messages and exit codes.
#![cfg(unix)]

mod common;

use std::path::Path;
use std::process::{Command, Output};
use std::{fs, str};

use common::TempDir;

fn carpd(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_carpd"))
        .args(args)
        .output()
        .expect("carpd starts")
}

/// Exit code, standard output, standard error.
fn outcome(args: &[&str]) -> (i32, String, String) {
    let output = carpd(args);
    let text = |bytes| str::from_utf8(bytes).expect("text").to_owned();
    (
        output.status.code().expect("no signal"),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn check_reports_every_mistake_and_fails() {
    let dir = TempDir::new("mistakes");
    let vector = manifest_dir().join("../tests/vectors/config/many-mistakes.toml");
    let file = dir.write("carpd.toml", &fs::read_to_string(vector).expect("the vector"));
    let (code, out, err) = outcome(&["check", &file]);
    assert_eq!((code, out.as_str()), (1, ""));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 7, "{err}");
    for (line, number) in lines.iter().zip(2..) {
        assert!(line.starts_with(&format!("{file}:{number}: ")), "{line}");
    }
    #[cfg(target_os = "linux")]
    assert!(
        lines[0].contains("there is no interface em0; write one of "),
        "{err}"
    );
    assert!(!err.contains("correct horse"), "{err}");
}

/// `run` and `check` agree on which node this machine is; neither has an interface to work with here.
#[cfg(target_os = "linux")]
#[test]
fn the_node_is_chosen_by_host_name_or_option() {
    let dir = TempDir::new("nodes");
    let file = dir.write("carpd.toml", "[nodes]\nno-such-machine = 0\nbeta = 100\n");
    let host_name = rustix::system::uname();
    let host_name = host_name.nodename().to_str().expect("text");
    for command in [&["check", &file][..], &["run", "--config", &file]] {
        let (code, _, err) = outcome(command);
        let said = format!(
            "{file}:1: this machine is called {host_name}, which is none of the nodes no-such-machine, beta; "
        );
        assert!(code == 1 && err.contains(&said), "{err}");
        let (_, _, err) = outcome(&[command, &["--node", "delta"]].concat());
        assert!(
            err.contains(":1: there is no node delta; use --node with one of "),
            "{err}"
        );
        let (_, _, err) = outcome(&[command, &["--node", "beta"]].concat());
        assert!(!err.contains("node beta") && !err.contains("is called"), "{err}");
    }
    let file = dir.write(
        "named.toml",
        &format!("[nodes]\n\"{host_name}\" = 0\nbeta = 100\n"),
    );
    let (_, _, err) = outcome(&["check", &file]);
    assert!(!err.contains("is called"), "{err}");
}

#[test]
fn the_defaults_are_a_file_with_every_key() {
    let (code, out, err) = outcome(&["check", "--defaults"]);
    let example = fs::read_to_string(manifest_dir().join("examples/carpd.toml")).expect("the example");
    assert_eq!((code, out, err.as_str()), (0, example, ""));
    assert_eq!(outcome(&["check", "--defaults", "carpd.toml"]).0, 64);
}

#[test]
fn a_password_is_generated() {
    let (code, password, err) = outcome(&["genkey"]);
    assert_eq!((code, password.len(), err.as_str()), (0, 20, ""));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    assert!(password.trim_end().chars().all(plain), "{password}");
    assert_ne!(outcome(&["genkey"]).1, password);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = TempDir::new("unreadable");
    let file = dir
        .path()
        .join("carpd.toml")
        .to_str()
        .expect("a plain path")
        .to_owned();
    for command in [&["check", &file][..], &["run", "--config", &file]] {
        let message = format!("carpd: cannot read {file}: No such file or directory (os error 2)\n");
        assert_eq!(outcome(command), (1, String::new(), message));
    }
}

#[test]
fn misuse_is_explained_with_its_own_exit_code() {
    for (args, hint) in [
        (&[][..], "Usage: carpd <COMMAND>"),
        (&["chekc", "x"], "a similar subcommand exists: 'check'"),
        (&["check"], "<FILE>"),
        (&["run"], "--config <FILE>"),
        (&["run", "carpd.toml"], "unexpected argument 'carpd.toml'"),
        (&["status", "--jsn"], "'--json'"),
        (&["status", "--json", "--watch"], "cannot be used with '--watch'"),
        (&["test-failover", "--port", "0"], "0 is not in 1..=65535"),
        (&["maintenance", "begin"], "unrecognized subcommand 'begin'"),
        (
            &["maintenance", "enter", "eth0@7"],
            "unexpected argument 'eth0@7'",
        ),
        (&["sysctl", "log", "preempt"], "unexpected argument 'preempt'"),
        (&["reload", "carpd.toml"], "unexpected argument 'carpd.toml'"),
        (&["disable"], "<IFACE@VHID|--all>"),
        (&["enable", "eth0@7", "--all"], "cannot be used with '--all'"),
        (&["handover"], "<IFACE@VHID|--all>"),
        (&["state", "eth0@7"], "<STATE>"),
        (&["state", "eth0@7", "init"], "[possible values: master, backup]"),
        (&["demotion", "add", "state-sync"], "<WEIGHT>"),
        (&["demotion", "add", "state-sync", "0"], "0 is not in 1..=255"),
        (&["demotion", "clear"], "<CAUSE|--all>"),
        (
            &["demotion", "clear", "state-sync", "--force"],
            "cannot be used with",
        ),
    ] {
        let (code, out, err) = outcome(args);
        assert_eq!((code, out.as_str()), (64, ""), "{args:?}: {err}");
        assert!(err.contains(hint), "{args:?}: {err}");
    }
}

#[test]
fn help_and_version_are_on_standard_output() {
    let (code, out, err) = outcome(&["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for word in ["run", "check", "status", "ifconfig", "version", "Exit codes:"] {
        assert!(out.contains(word), "{word} is missing: {out}");
    }
    let version = format!("carpd {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(outcome(&["version"]), (0, version.clone(), String::new()));
    assert_eq!(outcome(&["--version"]), (0, version, String::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_daemon_nothing_is_known() {
    for args in [
        &["status", "--socket", "/nowhere/control.sock"][..],
        &["ifconfig", "--socket", "/nowhere/control.sock"],
        &["netstat", "--socket", "/nowhere/control.sock"],
        &["events", "--socket", "/nowhere/control.sock"],
        &["events", "--follow", "--socket", "/nowhere/control.sock"],
        &["demotion", "--socket", "/nowhere/control.sock"],
        &["demotion", "clear", "--all", "--socket", "/nowhere/control.sock"],
        &["reload", "--socket", "/nowhere/control.sock"],
        &["maintenance", "--socket", "/nowhere/control.sock"],
        &["maintenance", "enter", "--socket", "/nowhere/control.sock"],
        &["sysctl", "--socket", "/nowhere/control.sock"],
        &["sysctl", "log=1", "--socket", "/nowhere/control.sock"],
        &["disable", "--all", "--socket", "/nowhere/control.sock"],
        &["state", "eth0@7", "master", "--socket", "/nowhere/control.sock"],
    ] {
        let (code, out, err) = outcome(args);
        assert_eq!((code, out.as_str()), (3, ""));
        assert!(
            err.starts_with("carpd: /nowhere/control.sock: no carpd is running here"),
            "{err}"
        );
        assert_eq!(err.lines().count(), 1, "{err}");
    }
}
