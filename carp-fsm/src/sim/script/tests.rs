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
        ("sysctl colour 1", "use preempt or demotion"),
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
