//! Golden files: `tests/vectors/config/*.toml` with what is said about them in `*.expected`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use carp_fsm::{Duration, Peer, Policy, Profile};
use carp_proto::{AdvBase, AdvSkew, Dialect, Key};

use super::*;
use crate::testing::TempDir;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/config")
}

/// Copies the vectors, because a checkout keeps no file modes: only `world*` shall be readable by everybody.
fn copy_with_modes(to: &Path) {
    for entry in fs::read_dir(vectors()).expect("the vectors") {
        let from = entry.expect("a directory entry").path();
        let name = from.file_name().expect("a name");
        let copy = to.join(name);
        fs::write(&copy, fs::read(&from).expect("a vector")).expect("a copy");
        let mode = if name.to_string_lossy().starts_with("world") {
            0o644
        } else {
            0o600
        };
        fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).expect("a mode");
    }
}

fn check_file(path: &Path) -> Loaded {
    let text = fs::read_to_string(path).expect("a vector");
    check(path, &text, Purpose::Check, &here())
}

/// The machine for which the vectors are made.
fn here() -> Machine {
    let interface = |name: &str, is_ethernet, addresses: &[(&str, u8)]| Interface {
        name: name.to_owned(),
        is_ethernet,
        without_ipv6: false,
        addresses: addresses
            .iter()
            .map(|(ip, length)| (ip.parse().expect("an address"), *length))
            .collect(),
    };
    let interfaces = vec![
        interface(
            "eth0",
            true,
            &[
                ("192.0.2.250", 24),
                ("2001:db8::250", 64),
                ("fe80::2", 64),
                ("192.0.2.1", 24), // a virtual address that is on it already
            ],
        ),
        interface(
            "eth1",
            true,
            &[("198.51.100.250", 24), ("192.0.2.251", 24), ("fe80::2", 64)],
        ),
        interface("eth2", true, &[("fe80::2", 64)]),
        interface("lo", false, &[("127.0.0.1", 8), ("::1", 128)]),
    ];
    Machine {
        interfaces: Some(interfaces),
        host_name: Some("alpha.example.net".into()),
        ..Machine::default()
    }
}

#[test]
fn every_kind_of_mistake_is_reported_as_expected() {
    let dir = TempDir::new("golden");
    copy_with_modes(dir.path());
    let bless = std::env::var_os("CARP_BLESS").is_some();
    let mut wrong = String::new();
    let mut files: Vec<_> = fs::read_dir(dir.path())
        .expect("the copies")
        .map(|e| e.expect("an entry").path())
        .collect();
    files.sort();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "toml"))
    {
        let loaded = check_file(file);
        let name = file.file_name().expect("a name").to_string_lossy();
        let said = loaded
            .report
            .to_string()
            .replace(&format!("{}/", dir.path().display()), "");
        assert_eq!(loaded.config.is_some(), loaded.report.is_usable(), "{name}");
        assert_eq!(
            said.lines().count(),
            loaded.report.findings().len(),
            "{name}: one line each:\n{said}"
        );
        assert_eq!(name.starts_with("ok-"), said.is_empty(), "{name}:\n{said}");
        for secret in ["opensesame", "correct horse", "12345678"] {
            assert!(!said.contains(secret), "{name} gives a password away:\n{said}");
        }
        let golden = vectors().join(Path::new(&*name).with_extension("expected"));
        if bless {
            fs::write(&golden, &said).expect("an expectation");
        } else if fs::read_to_string(&golden).ok().as_deref() != Some(&*said) {
            wrong += &said;
        }
    }
    assert!(
        wrong.is_empty(),
        "not as expected (CARP_BLESS=1 rewrites the expectations):\n{wrong}"
    );
}

/// The example fits a machine with such interfaces, beside its password files.
#[test]
fn the_example_is_good() {
    let dir = TempDir::new("example");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/carpd.toml");
    let file = dir.path().join("carpd.toml");
    fs::copy(example, &file).expect("a copy");
    for password in ["lan.password", "wan.password"] {
        let path = dir.path().join(password);
        fs::write(&path, "opensesame\n").expect("a password");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    let loaded = check_file(&file);
    assert_eq!(loaded.report.to_string(), "");
    assert_eq!(
        loaded.config.expect("no mistakes").size(),
        "2 virtual hosts on node alpha"
    );
}

/// What the example has commented out is what holds without it.
#[test]
fn the_example_has_the_defaults() {
    let keys = [
        "allow",
        "log",
        "ifdown_demotion_factor",
        "senderr_demotion_factor",
        "not_ready_demotion_factor",
        "preempt_delay",
        "change_grace",
        "ignore_replays",
        "announce_burst",
        "reannounce",
        "announce_refresh",
        "announce_frames",
        "announce_window",
        "lock_memory",
    ];
    let top = EXAMPLE.split("\n[[vhid]]").next().expect("a top");
    let mut text = String::new();
    for key in keys {
        let begin = format!("#{key} = ");
        let mut lines = top.lines().filter(|line| line.starts_with(&begin));
        let line = lines.next().unwrap_or_else(|| panic!("{key} is not there"));
        text = text + &line[1..] + "\n";
    }
    text += "[[vhid]]\ninterface = \"eth0\"\nvhid = 7\naddresses = []\npassword = \"x\"\n";
    let loaded = check(Path::new("/nowhere/carpd.toml"), &text, Purpose::Check, &here());
    let config = loaded.config.unwrap_or_else(|| panic!("{}", loaded.report));
    assert_eq!(config.policy, Policy::HARDENED);
    assert_eq!(config.settings, Settings::default());
    assert_eq!(config.process, Process::default());
    assert_eq!(config.hosts[0].preempt_delay, Duration::ZERO);
}

/// At the start of the machine its addresses may still have to come.
#[test]
fn what_does_not_fit_stops_the_check_and_not_the_daemon() {
    let file = vectors().join("fit-off-subnet.toml");
    let text = fs::read_to_string(&file).expect("a vector");
    let text = text
        .replace("\"yes\"", "false")
        .replace("password_file = \"secret.key\"", "password = \"x\"");
    let file = Path::new("/nowhere/carpd.toml");
    assert!(!check(file, &text, Purpose::Check, &here()).report.is_usable());
    let loaded = check(file, &text, Purpose::Run, &here());
    assert!(loaded.config.is_some(), "{}", loaded.report);
    assert_eq!(loaded.report.findings().len(), 2, "{}", loaded.report);
}

#[test]
fn all_keys_arrive() {
    let loaded = check_file(&vectors().join("ok-full.toml"));
    let config = loaded.config.expect("no mistakes");
    assert_eq!(config.control_socket, Path::new("/run/carpd/other.sock"));
    let expected = Settings {
        allow: true,
        preempt: true,
        log: 2,
        ifdown_demotion_factor: 255,
        senderr_demotion_factor: 0,
        dscp: carp_fsm::Dscp::new(63),
    };
    assert_eq!(config.settings, expected);
    assert_eq!(config.log_format, crate::log::Format::Json);
    let [lan, wan] = config.hosts.as_slice() else {
        panic!("two hosts")
    };
    let key = Key::from_passphrase(b"opensesame").expect("short enough");
    assert_eq!(
        (lan.interface.as_str(), lan.vhid.get(), lan.dialect),
        ("eth0", 7, Dialect::OpenBsd)
    );
    assert_eq!(
        (lan.timing.advbase, lan.timing.advskew, lan.preempt),
        (AdvBase::new(255), AdvSkew::new(240), Some(false))
    );
    assert_eq!(lan.description.as_deref(), Some("LAN gateway"));
    assert_eq!(
        lan.addresses.iter().map(|vip| vip.prefix).collect::<Vec<_>>(),
        [Some(24), Some(32), None, Some(64)]
    );
    assert_eq!(lan.key, key);
    assert_eq!(
        (wan.interface.as_str(), wan.vhid.get(), wan.dialect),
        ("eth1", 7, Dialect::FreeBsd)
    );
    assert_eq!(
        (wan.timing.advbase, wan.timing.advskew, wan.preempt),
        (AdvBase::new(1), AdvSkew::new(0), None)
    );
    assert_eq!(wan.key, key, "without the line end");
    assert_eq!(wan.description, None);
}

#[test]
fn the_policy_arrives() {
    let config = check_file(&vectors().join("ok-policy.toml"))
        .config
        .expect("no mistakes");
    let expected = Policy {
        announce_burst: 3,
        reannounce: 0,
        announce_refresh: Duration::from_secs(60),
        announce_frames: 50,
        announce_window: Duration::from_millis(20),
        change_grace: Duration::from_secs(300),
        ignores_replays: false,
        not_ready_demotion_factor: 240,
        ..Policy::HARDENED
    };
    assert_eq!(config.policy, expected);
    let changes = policy_changes(&Policy::HARDENED, &config.policy);
    assert_eq!(changes.len(), 8);
    assert_eq!(changes[2], ("announce_refresh", "0 -> 60".to_owned()));
    assert_eq!(policy_changes(&expected, &expected), []);
}

#[test]
fn groups_arrive() {
    let config = check_file(&vectors().join("ok-groups.toml"))
        .config
        .expect("no mistakes");
    let of = |host: &VirtualHost| {
        let seconds = host.preempt_delay.as_micros() / 1_000_000;
        (host.group.clone(), host.preempt, seconds)
    };
    let hosts: Vec<_> = config.hosts.iter().map(of).collect();
    let expected = [
        ("lan", Some(true), 60),
        ("lan", Some(false), 5),
        ("dmz", None, 10),
        ("carp", None, 10),
    ];
    assert_eq!(
        hosts,
        expected.map(|(group, preempt, delay)| (group.to_owned(), preempt, delay))
    );
}

#[test]
fn peers_arrive() {
    let peer = |address: &str, min_ttl| Peer {
        address: address.parse().expect("an address"),
        min_ttl,
    };
    let of = |file: &str| {
        let config = check_file(&vectors().join(file)).config.expect("no mistakes");
        config
            .hosts
            .into_iter()
            .map(|host| host.destinations)
            .collect::<Vec<_>>()
    };
    let listed = of("ok-peers.toml");
    assert!(!listed[0].multicast && listed[1].multicast && listed[2].multicast);
    assert_eq!(listed[0].peers, [peer("192.0.2.3", 255)]);
    assert_eq!(
        listed[1].peers,
        [peer("203.0.113.9", 253), peer("2001:db8:9::1", 253)]
    );
    assert_eq!(listed[2].peers, []);
    // The own address is left out.
    let of_nodes = of("ok-peers-of-nodes.toml");
    assert!(!of_nodes[0].multicast);
    assert_eq!(
        of_nodes[0].peers,
        [peer("192.0.2.251", 0), peer("fe80::b", 0), peer("192.0.2.252", 0)]
    );
}

#[test]
fn the_fast_profile_arrives() {
    let file = vectors().join("ok-fast.toml");
    let text = fs::read_to_string(&file).expect("a vector");
    for (node, advskews) in [("alpha", [3, 27]), ("beta", [4, 26])] {
        let machine = Machine {
            node: Some(node.into()),
            ..here()
        };
        let loaded = check(&file, &text, Purpose::Check, &machine);
        let config = loaded.config.expect("no mistakes");
        for (host, advskew) in config.hosts.iter().zip(advskews) {
            assert_eq!(host.dialect, Dialect::OpenBsd);
            assert_eq!(host.timing.advbase, AdvBase::new(0));
            assert_eq!(host.timing.advskew, AdvSkew::new(advskew), "{node}");
        }
        assert_eq!(config.hosts[0].timing.profile, Profile::fast(4));
        assert_eq!(config.hosts[1].timing.profile, Profile::fast(3));
    }
}

#[test]
fn hooks_arrive() {
    let config = check_file(&vectors().join("ok-hooks.toml"))
        .config
        .expect("no mistakes");
    let words = ["/bin/sh", "-c", "logger \"$CARP_TEXT\""].map(str::to_owned);
    let (all, short) = (&config.hooks[0], &config.hooks[1]);
    assert_eq!((all.command.as_slice(), all.timeout), (&words[..], 60));
    assert_eq!(all.events, crate::events::What::NAMES);
    assert_eq!((short.events.as_slice(), short.timeout), (&["transition"][..], 5));
    assert!(all.latest_only && !short.latest_only);
}

#[test]
fn each_node_has_its_own_advskew() {
    let file = vectors().join("ok-nodes.toml");
    let text = fs::read_to_string(&file).expect("a vector");
    let text = text.replace("password_file = \"secret.key\"", "password = \"x\"");
    let load = |host_name: Option<&str>, node: Option<&str>| {
        let machine = Machine {
            host_name: host_name.map(str::to_owned),
            node: node.map(str::to_owned),
            ..here()
        };
        check(Path::new("/nowhere/carpd.toml"), &text, Purpose::Check, &machine)
    };
    for (host_name, node, name, advskews) in [
        (Some("alpha"), None, "alpha", [0, 150]),
        (Some("beta.example.net"), None, "beta", [100, 100]),
        (Some("alpha"), Some("gamma"), "gamma", [200, 200]),
        (None, Some("beta"), "beta", [100, 100]),
    ] {
        let config = load(host_name, node).config.expect("no mistakes");
        assert_eq!(config.node.as_deref(), Some(name));
        assert_eq!(config.size(), format!("2 virtual hosts on node {name}"));
        assert_eq!(
            config
                .hosts
                .iter()
                .map(|host| host.timing.advskew)
                .collect::<Vec<_>>(),
            advskews.map(AdvSkew::new)
        );
    }
    for (host_name, node, said) in [
        (
            Some("delta"),
            None,
            "this machine is called delta, which is none of the nodes alpha, beta, gamma; ",
        ),
        (
            Some("alpha"),
            Some("delta"),
            "there is no node delta; use --node with one of alpha, beta, gamma\n",
        ),
        (
            None,
            None,
            "the name of this machine is not known; use --node with one of ",
        ),
    ] {
        let report = load(host_name, node).report.to_string();
        assert!(
            report.starts_with(&format!("/nowhere/carpd.toml:3: {said}")) && report.lines().count() == 1,
            "{report}"
        );
    }
}

#[test]
fn a_node_without_nodes_is_a_mistake() {
    let text = fs::read_to_string(vectors().join("ok-full.toml")).expect("a vector");
    let machine = Machine {
        node: Some("alpha".into()),
        ..here()
    };
    let report = check(Path::new("x.toml"), &text, Purpose::Check, &machine).report;
    let said = "x.toml:1: there is no table [nodes]; leave --node out, or write the table";
    assert!(report.to_string().starts_with(said), "{report}");
}

#[test]
fn a_file_that_is_no_text_is_located() {
    let dir = TempDir::new("utf8");
    let file = dir.path().join("latin1.toml");
    fs::write(&file, b"# one\n# caf\xe9\n").expect("a file");
    let report = load(&file, Purpose::Check, &here())
        .expect("readable")
        .report
        .to_string();
    assert!(
        report.ends_with("latin1.toml:2: this line is not UTF-8 text; save the file as UTF-8\n"),
        "{report}"
    );
}

#[test]
fn no_text_makes_it_panic() {
    // Every prefix of files that together have every key, and the same with one byte replaced.
    for file in [
        "ok-full",
        "ok-policy",
        "ok-groups",
        "ok-peers-of-nodes",
        "ok-fast",
    ] {
        let text = fs::read_to_string(vectors().join(file).with_extension("toml")).expect("a vector");
        for end in 0..text.len() {
            let _ = check(Path::new("x"), &text[..end], Purpose::Check, &here());
            for byte in ["\"", "[", "=", "\n", "9"] {
                let mut changed = text.clone();
                changed.replace_range(end..=end, byte);
                let _ = check(Path::new("x"), &changed, Purpose::Check, &here());
            }
        }
    }
}
