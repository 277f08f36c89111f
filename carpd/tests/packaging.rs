//! What packages need beside the executable.
#![cfg(unix)]

mod common;

#[path = "../examples/generate.rs"]
#[expect(dead_code, reason = "its main is for `cargo run --example`")]
mod example;

use std::fs;

use common::TempDir;

#[test]
fn every_command_has_a_manual_page_and_completions() {
    let dir = TempDir::new("generate");
    example::generate(dir.path()).expect("files");
    let read = |file: &str| fs::read_to_string(dir.path().join(file)).expect(file);
    for command in [
        "run",
        "check",
        "status",
        "events",
        "reload",
        "maintenance-enter",
        "test-failover",
        "sysctl",
        "handover",
        "demotion",
        "demotion-add",
        "genkey",
    ] {
        let page = read(&format!("man/carpd-{command}.8"));
        assert!(page.contains(&format!(".TH carpd-{command} 8")), "{page}");
    }
    let page = read("man/carpd.8");
    assert!(
        page.contains("carpd\\-handover(8)") && page.contains("Exit codes:"),
        "{page}"
    );
    assert!(!page.contains("lab-probe"), "it is hidden: {page}");
    let page = read("man/carpd.toml.5");
    assert!(
        page.contains("\n\\&#announce_burst = 1 ") && page.contains("\n\\&advbase = 1\n"),
        "{page}"
    );
    for shell in ["carpd.bash", "_carpd", "carpd.fish"] {
        let completions = read(&format!("completions/{shell}"));
        assert!(
            completions.contains("handover") && completions.contains("follow"),
            "{shell}"
        );
    }
}

/// `systemd-analyze verify` needs an installed carpd; these are the lines that others rely on.
#[test]
fn the_unit_has_what_the_documentation_says() {
    let unit = include_str!("../packaging/carpd.service");
    for line in [
        "Type=notify",
        "ExecReload=/usr/bin/carpd reload",
        "WatchdogSec=10s",
        "LoadCredential=carpd.password:/etc/carpd/carpd.password",
        "CapabilityBoundingSet=CAP_NET_RAW CAP_NET_ADMIN",
        "RuntimeDirectory=carpd",
        "StateDirectory=carpd",
    ] {
        assert!(unit.lines().any(|there| there == line), "{line}");
    }
}
