//! What kernels were seen to do, our node does too: the same transitions at the same times, and the same frames.
//! `tests/vectors/elections/README.md` says where the recordings come from.

use std::{fs, path::PathBuf, time::Duration};

use carp_fsm::sim::script::{self, ScriptEvent, ScriptEventKind};
use carp_proto::{Dialect, FrameClass, frame::classify};
use serde_json::Value;

/// Both sides count in timer ticks, so this is only for the last digit.
const TOLERANCE: Duration = Duration::from_millis(1);

fn scenarios() -> Vec<Value> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/elections/kernel-elections.json");
    let document: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    document["scenarios"].as_array().unwrap().clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key} in {value}"))
}

fn lines(run: &Value) -> String {
    let lines = run["input_script"].as_array().unwrap().iter();
    lines
        .map(|line| line.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Runs every recording of this kernel.
fn replay(implementation: &str, dialect: Dialect) -> usize {
    let mut runs = 0;
    for scenario in scenarios() {
        for run in scenario["runs"].as_array().unwrap() {
            if text(run, "impl") == implementation {
                let name = format!("{} of {implementation}", text(&scenario, "name"));
                let script = lines(run);
                let events = script::run(dialect, &script).unwrap_or_else(|error| panic!("{name}: {error}"));
                compare(&name, &script, run["output_events"].as_array().unwrap(), &events);
                runs += 1;
            }
        }
    }
    carp_tests::tell_agreement("elections of kernels", std::iter::repeat_n(dialect, runs));
    runs
}

fn compare(name: &str, script: &str, recorded: &[Value], events: &[ScriptEvent]) {
    let fixed_counter = script.contains("\ncounter ");
    let recorded: Vec<&Value> = recorded
        .iter()
        .filter(|event| ["state", "tx", "txerr", "rx"].contains(&text(event, "ev")))
        // Together with its bow-out, OpenBSD may repeat its gratuitous ARP, for an address that it gives up.
        .filter(|event| !(name.starts_with("master-goes-down") && is_last_announcement(event)))
        .collect();
    for kind in ["state", "tx", "txerr", "rx"] {
        let theirs = recorded.iter().filter(|event| text(event, "ev") == kind);
        let ours = events.iter().filter(|event| kind_of(event) == kind);
        let (theirs, ours): (Vec<_>, Vec<_>) = (theirs.collect(), ours.collect());
        let log: Vec<String> = ours.iter().map(ToString::to_string).collect();
        for (their, our) in theirs.iter().zip(&ours) {
            let recorded_at = Duration::from_secs_f64(their["t"].as_f64().unwrap() / 1_000.0);
            let ours_at = Duration::from_micros(our.at.as_micros());
            assert!(
                recorded_at.abs_diff(ours_at) <= TOLERANCE,
                "{name}: {their}\nours: {}",
                log.join("\n")
            );
            agree(name, their, our, fixed_counter);
        }
        assert_eq!(theirs.len(), ours.len(), "{name}: {kind}\n{}", log.join("\n"));
    }
}

fn is_last_announcement(event: &Value) -> bool {
    event["t"].as_f64() == Some(6000.0) && event["what"] == "garp"
}

fn kind_of(event: &ScriptEvent) -> &'static str {
    match event.kind {
        ScriptEventKind::State { .. } => "state",
        ScriptEventKind::Sent { .. } => "tx",
        ScriptEventKind::SendError { .. } => "txerr",
        ScriptEventKind::Received { .. } => "rx",
        ScriptEventKind::Dump { .. } => "dump",
    }
}

fn agree(name: &str, theirs: &Value, ours: &ScriptEvent, fixed_counter: bool) {
    match &ours.kind {
        ScriptEventKind::State {
            who,
            from,
            to,
            reason,
        } => {
            assert_eq!(text(theirs, "who"), who, "{name}: {theirs}");
            assert_eq!(text(theirs, "from"), from.to_string(), "{name}: {theirs}");
            assert_eq!(text(theirs, "to"), to.to_string(), "{name}: {theirs}");
            assert_eq!(theirs["reason"].as_str(), reason.as_deref(), "{name}: {theirs}");
        }
        ScriptEventKind::Sent { what, frame } => {
            assert_eq!(text(theirs, "what"), *what, "{name}: {theirs}\nours: {ours}");
            let mut recorded = hex(text(theirs, "frame"));
            let mut sent = frame.clone();
            if what.starts_with("ad") {
                let payload = sent.len() - 36;
                if !fixed_counter {
                    // The counter is a random number on both sides, and checksum and digest follow from it. That ours
                    // are right is for `every_advertisement_verifies`.
                    for frame in [&mut recorded, &mut sent] {
                        frame[payload + 6..].fill(0);
                    }
                }
                // OpenBSD's identification is a random number that the recording fixed; the header's checksum follows.
                if *what == "ad4" && name.ends_with("openbsd") {
                    for frame in [&mut recorded, &mut sent] {
                        frame[18..20].fill(0);
                        frame[24..26].fill(0);
                    }
                }
            }
            assert_eq!(recorded, sent, "{name}: {theirs}\nours: {ours}");
        }
        ScriptEventKind::SendError { errno } => assert_eq!(theirs["errno"], *errno, "{name}"),
        ScriptEventKind::Received { result } => {
            assert_eq!(text(theirs, "result"), *result, "{name}: {theirs}");
        }
        ScriptEventKind::Dump { .. } => {}
    }
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn freebsd() {
    assert_eq!(replay("freebsd", Dialect::FreeBsd), 16);
}

#[test]
fn openbsd() {
    assert_eq!(replay("openbsd", Dialect::OpenBsd), 18);
}

/// A second node with the same settings accepts every advertisement that the first one sends in a recording.
#[test]
fn every_advertisement_verifies() {
    let mut advertisements = 0;
    for scenario in scenarios() {
        for run in scenario["runs"].as_array().unwrap() {
            let dialect: Dialect = text(run, "impl").parse().unwrap();
            let script = lines(run);
            let settings = script.lines().filter(|line| {
                let is_setting = ["mac", "ifaddr", "set", "addr"]
                    .iter()
                    .any(|word| line.contains(word));
                is_setting && !line.contains("state=")
            });
            for event in script::run(dialect, &script).unwrap() {
                let ScriptEventKind::Sent {
                    what: "ad4" | "ad6",
                    frame,
                } = &event.kind
                else {
                    continue;
                };
                let digits = frame
                    .iter()
                    .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
                assert!(matches!(classify(frame), FrameClass::Carp { .. }));
                // The settings that hold when it is sent: a key changes before the advertisements that use it.
                let holding = settings.clone().filter(|line| {
                    let time = line
                        .split_whitespace()
                        .next()
                        .and_then(|time| time.parse::<u64>().ok());
                    time.is_none_or(|time| time * 1_000 <= event.at.as_micros())
                });
                let mut second: Vec<String> = holding.map(|line| strip_time(line).to_owned()).collect();
                second.push(format!("frame {digits}"));
                second.push("1 end".to_owned());
                let heard = script::run(dialect, &second.join("\n")).unwrap();
                let results = heard.iter().filter_map(|event| match event.kind {
                    ScriptEventKind::Received { result } => Some(result),
                    _ => None,
                });
                assert_eq!(results.collect::<Vec<_>>(), ["accepted"], "{event}\n{script}");
                advertisements += 1;
            }
        }
    }
    assert!(advertisements > 100, "{advertisements}");
}

fn strip_time(line: &str) -> &str {
    line.trim_start_matches(|character: char| character.is_ascii_digit())
        .trim_start()
}
