use alloc::format;
use std::string::ToString;
use std::vec;

use super::*;

const SETTINGS: &str = "
    # A comment.
    mac 0200deadbe01
    ifaddr 10.0.0.1/24
    0 set vhid=1 advbase=1 advskew=0 pass=secret
    addr vhid=1 10.0.0.100/24
";

fn lines(script: &str) -> Vec<String> {
    let events = run(Dialect::FreeBsd, &format!("{SETTINGS}{script}")).unwrap();
    events.iter().map(ToString::to_string).collect()
}

#[test]
fn prints_lines_of_json() {
    let lines = lines("3500 dump\n3600 end\n4000 nonsense");
    assert_eq!(lines.len(), 5);
    assert_eq!(
        lines[0],
        r#"{"t": 0.0, "ev": "state", "who": "1@em0", "from": "INIT", "to": "BACKUP", "reason": "initialization complete"}"#
    );
    assert!(lines[2].starts_with(r#"{"t": 3001.0, "ev": "tx", "what": "ad4", "frame": "01005e000012"#));
    assert!(lines[3].starts_with(r#"{"t": 3001.0, "ev": "tx", "what": "garp", "frame": "ffffffffffff"#));
    assert_eq!(
        lines[4],
        r#"{"t": 3500.0, "ev": "dump", "who": "1@em0", "state": "MASTER", "advbase": 1, "advskew": 0, "demotion": 0}"#
    );
}

#[test]
fn an_advertisement_is_sent_on_request_and_the_next_an_interval_later() {
    let lines = lines("500 sendad\n3500 sendad\n3700 sendad vhid=1\n4800 end");
    let sent: Vec<&str> = lines
        .iter()
        .filter(|line| line.contains("ad4"))
        .map(|line| &line[..13])
        .collect();
    // A BACKUP has nothing to say.
    assert_eq!(
        sent,
        [
            r#"{"t": 3001.0,"#,
            r#"{"t": 3500.0,"#,
            r#"{"t": 3700.0,"#,
            r#"{"t": 4701.0,"#
        ]
    );
}

/// A peer's advertisement that the first virtual host of `SETTINGS` accepts.
fn a_peers_frame() -> String {
    let peer = format!("{SETTINGS}5000 end").replace("10.0.0.1/24", "10.0.0.2/24");
    let events = run(Dialect::FreeBsd, &peer).unwrap();
    let frame = events.iter().find_map(|event| match &event.kind {
        ScriptEventKind::Sent { what: "ad4", frame } => Some(frame.clone()),
        _ => None,
    });
    frame
        .unwrap()
        .iter()
        .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

#[test]
fn without_permission_freebsd_stops_and_the_others_go_deaf() {
    let frame = a_peers_frame();
    let script =
        format!("1000 sysctl allow 0\n1500 frame {frame}\n4000 sysctl allow 1\n4500 frame {frame}\n5000 end");
    let freebsd = lines(&script);
    assert!(
        freebsd[1].contains(r#""to": "INIT", "reason": "hardware interface down""#),
        "{freebsd:?}"
    );
    assert!(
        freebsd[2].contains(r#""t": 1500.0, "ev": "rx", "result": "not allowed""#),
        "{freebsd:?}"
    );
    assert!(
        freebsd[3].contains(r#""t": 4000.0, "ev": "state", "who": "1@em0", "from": "INIT", "to": "BACKUP""#),
        "{freebsd:?}"
    );
    assert!(freebsd[4].contains(r#""result": "accepted""#), "{freebsd:?}");

    let script = format!("{SETTINGS}{script}")
        .replace("vhid=1", "carp0")
        .replace("set carp0", "set carp0 vhid=1");
    let openbsd: Vec<String> = run(Dialect::OpenBsd, &script)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(openbsd[1].contains("not allowed"), "{openbsd:?}");
    assert!(
        openbsd[2]
            .contains(r#""t": 3000.0, "ev": "state", "who": "1@carp0", "from": "BACKUP", "to": "MASTER""#),
        "{openbsd:?}"
    );
}

#[test]
fn addresses_can_be_taken_away() {
    let lines = lines("10 deladdr vhid=1 10.0.0.100/24\n20 end");
    assert!(
        lines[1].contains(r#""to": "INIT", "reason": "hardware interface up""#),
        "{lines:?}"
    );
}

#[test]
fn every_mistake_names_its_line_and_the_remedy() {
    for (line, remedy) in [
        ("jump", "is no command"),
        ("set advbase=1", "needs vhid=N"),
        ("set vhid=0", "1 to 255"),
        ("set vhid=1 advbase=300", "0 to 255"),
        ("set vhid=1 advskew=255", "use 0 to 254"),
        ("set vhid=1 colour=red", "use advbase"),
        ("addr vhid=2 10.0.0.1/24", "`set` it first"),
        ("addr vhid=1 10.0.0/24", "is not an address"),
        ("pkt 123", "hex digits"),
        ("link sideways", "use up or down"),
        ("sysctl colour 1", "use preempt, demotion or allow"),
        ("demote carp", "a word is missing"),
        ("5 dump\n4 dump", "sort the lines"),
    ] {
        let script = format!("set vhid=1 pass=secret\n{line}");
        let error = run(Dialect::FreeBsd, &script).unwrap_err();
        assert!(error.what.contains(remedy), "{line}: {error}");
        assert_eq!(error.line, script.lines().count(), "{line}");
    }
    let error = run(Dialect::OpenBsd, "end\n").unwrap();
    assert_eq!(error, vec![]);
}
