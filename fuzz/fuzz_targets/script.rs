//! Any script, for every dialect: it runs, or ends with an error that names its line. Frames that it receives are as
//! arbitrary as the rest of it.

#![no_main]

use carp_fsm::sim::script::{self, ScriptEventKind};
use carp_proto::Dialect;
use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};

/// Virtual time costs real time: a master advertises every 4 ms at most, for so long.
const LONGEST_MILLIS: u64 = 20_000;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    dialect: u8,
    text: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let dialect = Dialect::ALL[usize::from(input.dialect) % 4];
    let times = input
        .text
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    if times.max().is_some_and(|latest| latest > LONGEST_MILLIS) {
        return;
    }
    match script::run(dialect, input.text) {
        Ok(events) => {
            assert!(
                events.windows(2).all(|pair| pair[0].at <= pair[1].at),
                "events are in order"
            );
            for event in &events {
                let line = event.to_string();
                assert!(line.starts_with("{\"t\": ") && line.ends_with('}') && !line.contains('\n'));
                if let ScriptEventKind::State { from, to, .. } = event.kind {
                    assert_ne!(from, to);
                }
            }
            assert_eq!(
                script::run(dialect, input.text),
                Ok(events),
                "the same script does the same"
            );
        }
        Err(error) => {
            assert!((1..=input.text.lines().count()).contains(&error.line));
            assert!(!error.what.is_empty());
        }
    }
});
