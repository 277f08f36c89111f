//! `carpd lab`: what it prints, and that it leaves nothing behind.
//!
//! They need root and iproute2. Without them they say that they are left out, but with `CI=true` they fail.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::Write as _;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use common::TempDir;
use rustix::process::{Pid, Signal, kill_process};

const CARPD: &str = env!("CARGO_BIN_EXE_carpd");
/// Any user but root.
const SOMEBODY: u32 = 65_534;

/// Whether the lab can work here.
fn available() -> bool {
    match carpd::lab::check(None) {
        Ok(()) => true,
        Err(missing) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
            // Not `eprintln!`: the harness keeps what a passing test prints.
            let _ = writeln!(std::io::stderr(), "LEFT OUT: {missing}");
            false
        }
    }
}

fn start(args: &[&str]) -> Child {
    Command::new(CARPD)
        .arg("lab")
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("carpd starts")
}

/// What a lab has made: namespaces, directories and processes.
fn made_by(lab: u32) -> Vec<String> {
    let names = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    };
    let prefix = format!("carplab-{lab}-");
    let mut made = names(Path::new("/run/netns"));
    made.extend(names(&std::env::temp_dir()));
    made.retain(|name| name.starts_with(&prefix));
    made
}

/// The processes whose parent this is.
fn children(parent: u32) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    let pids = processes.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_child = |pid: &String| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| {
            line.strip_prefix("PPid:")
                .is_some_and(|ppid| ppid.trim() == parent.to_string())
        })
    };
    pids.filter(is_child).collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn it_measures_every_fault_and_leaves_nothing_behind() {
    if !available() {
        return;
    }
    let lab = start(&["--json"]);
    let id = lab.id();
    let Output {
        status,
        stdout,
        stderr,
    } = lab.wait_with_output().expect("it ends");
    let report: serde_json::Value = serde_json::from_slice(&stdout).expect("JSON");
    let measurements = report["measurements"].as_array().expect("a list");
    let events: Vec<_> = measurements
        .iter()
        .map(|measurement| measurement["event"].as_str())
        .collect();
    let expected = [
        "crash",
        "return after crash",
        "clean stop",
        "return after clean stop",
        "cable pull",
        "return after cable pull",
    ];
    assert_eq!(events, expected.map(Some), "{}", text(&stderr));
    for measurement in measurements {
        let detection = measurement["detection_us"].as_u64().expect("a time");
        let silent = measurement["formula_us"] == 3_390_625;
        // Generous: the verdict has the narrow limits, and is for a machine that does nothing else.
        let expected = if silent {
            3_370_000..4_500_000
        } else {
            0..1_000_000
        };
        assert!(expected.contains(&detection), "{measurement}");
        assert_eq!(
            measurement["pings_lost"].as_u64() > Some(200),
            silent,
            "{measurement}"
        );
    }
    assert_eq!(status.code(), Some(i32::from(report["passed"] != true)));
    assert_eq!(made_by(id), Vec::<String>::new());
}

#[test]
fn interrupted_it_leaves_nothing_behind() {
    if !available() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut lab = start(&["--runs", "10"]);
        let mut progress = BufReader::new(lab.stderr.take().expect("a pipe"));
        let mut line = String::new();
        progress.read_line(&mut line).expect("progress");
        assert!(line.contains("building the network"), "{line}");
        let nodes_and_client = loop {
            assert!(lab.try_wait().expect("a child").is_none(), "it runs");
            let children = children(lab.id());
            if children.len() == 3 && made_by(lab.id()).len() == 5 {
                break children;
            }
            std::thread::yield_now();
        };
        kill_process(Pid::from_child(&lab), signal).expect("it runs");
        let id = lab.id();
        assert_eq!(lab.wait().expect("it ends").code(), Some(1));
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut progress, &mut rest).expect("progress");
        assert!(rest.ends_with("carpd: lab: interrupted\n"), "{rest}");
        assert_eq!(made_by(id), Vec::<String>::new(), "{signal:?}");
        for process in nodes_and_client {
            assert!(
                !Path::new("/proc").join(&process).exists(),
                "{process} lives after {signal:?}"
            );
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    if !available() {
        return;
    }
    let run = |command: &mut Command| {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().expect("carpd starts");
        (status.code(), text(&stdout).to_owned(), text(&stderr).to_owned())
    };
    // A copy, because somebody need not be able to reach the build directory.
    let dir = TempDir::new("lab");
    let copy = dir.path().join("carpd");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::copy(CARPD, &copy).expect("a copy");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("a mode");
    let message = "carpd: lab: the lab makes network namespaces, and only root may; use sudo\n";
    assert_eq!(
        run(Command::new(&copy).arg("lab").uid(SOMEBODY)),
        (Some(1), String::new(), message.to_owned())
    );

    let message = "carpd: lab: ip is not installed; on Debian: apt-get install iproute2\n";
    let nowhere = dir.path().join("nowhere");
    assert_eq!(
        run(Command::new(CARPD).arg("lab").env("PATH", nowhere)),
        (Some(1), String::new(), message.to_owned())
    );
}
