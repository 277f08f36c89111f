//! What the documentation tells people to type is understood.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use carpd::config::{self, Machine, Purpose};

/// Where commands are mentioned.
const DOCUMENTS: [&str; 5] = [
    "README.md",
    "packaging/carpd.service",
    "../README.md",
    "../docs/recipes.md",
    "../docs/lab.md",
];

fn read(document: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).expect("a document")
}

/// The fenced blocks of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect()
}

/// Everything in a document that begins with `carpd ` and is meant to be typed.
fn commands(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2).map(str::trim);
    let spans = spans.filter(|span| span.starts_with("carpd ")).map(str::to_owned);
    let lines = blocks(text, "sh").into_iter().flat_map(str::lines);
    let service = text.lines().filter_map(|line| line.split_once("=/usr/bin/"));
    let lines = lines.chain(service.map(|(_, command)| command));
    let lines = lines.filter_map(|line| {
        let begin = line
            .find("carpd ")
            .filter(|at| *at == 0 || line[..*at].ends_with("; "))?;
        let end = line[begin..]
            .find([')', '#', '>'])
            .map_or(line.len(), |at| begin + at);
        Some(line[begin..end].trim().to_owned())
    });
    spans.chain(lines).collect()
}

/// A placeholder as somebody would fill it in.
fn filled_in(word: &str) -> String {
    match word.trim_matches(['[', ']']) {
        "WEIGHT" => "240".to_owned(),
        "KEY=VALUE" | "KEY[=VALUE" => "log=1".to_owned(),
        word => word.to_owned(),
    }
}

#[test]
fn every_command_in_the_documentation_is_understood() {
    let mut number = 0;
    for document in DOCUMENTS {
        for command in commands(&read(document)) {
            let words: Vec<_> = command.split_whitespace().map(filled_in).collect();
            // `carpd status, `...: the name of a command alone may lack what it needs.
            let outcome = carpd::cli::definition().try_get_matches_from(&words);
            let is_a_name = words.len() <= 3;
            if let Err(error) = outcome {
                use clap::error::ErrorKind::{MissingRequiredArgument, MissingSubcommand};
                let lacks = matches!(error.kind(), MissingRequiredArgument | MissingSubcommand);
                let asks = matches!(
                    error.kind(),
                    clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
                );
                assert!((lacks && is_a_name) || asks, "{document}: {command}\n{error}");
            }
            number += 1;
        }
    }
    assert!(number > 40, "only {number} commands are found");
}

#[test]
fn every_configuration_in_the_documentation_is_known() {
    let machine = Machine {
        host_name: Some("alpha".into()),
        ..Machine::default()
    };
    for document in DOCUMENTS {
        for block in blocks(&read(document), "toml") {
            let report = config::check(Path::new("doc.toml"), block, Purpose::Check, &machine).report;
            for finding in report.findings() {
                // A piece of a file lacks what the others have; a password file is not here.
                let known = [
                    "no virtual host; ",
                    "cannot read ",
                    "is no program that can be run",
                    "no virtual host is in group ",
                ];
                assert!(
                    known.iter().any(|known| finding.text.contains(known)),
                    "{document}: {}\n{block}",
                    finding.text
                );
            }
        }
    }
}

/// Nobody has to read the source to learn what can be written.
#[test]
fn every_key_is_documented() {
    let (reference, example) = (read("README.md"), read("examples/carpd.toml"));
    for key in config::keys() {
        let named = format!("`{key}`");
        let has_row = reference.lines().any(|line| {
            let first = line.split(" | ").next().unwrap_or_default();
            line.starts_with("| ") && first.contains(&named)
        });
        assert!(has_row, "{key} is in no table of README.md");
        let written = [format!("{key} = "), format!("[{key}]"), format!("[[{key}]]")];
        assert!(
            written.iter().any(|written| example.contains(written)),
            "{key} is not in the example"
        );
    }
}

/// Programs read these documents: every member has its words.
#[test]
fn every_member_of_the_status_is_documented() {
    fn members<'j>(value: &'j serde_json::Value, found: &mut Vec<&'j str>) {
        match value {
            serde_json::Value::Object(object) => {
                for (name, value) in object {
                    found.push(name);
                    // These have the keys of the kernels.
                    if !matches!(name.as_str(), "counters" | "sysctl") {
                        members(value, found);
                    }
                }
            }
            serde_json::Value::Array(array) => array.iter().for_each(|value| members(value, found)),
            _ => {}
        }
    }
    let status = serde_json::from_str(&read("../tests/vectors/status.json")).expect("JSON");
    let reference = read("README.md");
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    members(&status, &mut found);
    for name in found {
        let forms = [
            format!("`{name}`"),
            format!(".{name}`"),
            format!("{name}[]`"),
            format!("`{name}."),
        ];
        if !forms.iter().any(|form| reference.contains(form)) {
            missing.push(name);
        }
    }
    assert_eq!(missing, Vec::<&str>::new(), "not in README.md");
    for event in carpd::events::What::NAMES {
        assert!(reference.contains(&format!("`{event}`")), "{event}");
    }
}

/// What is commented out in the example, too: a `#` without a space behind it.
#[test]
fn every_key_of_the_example_is_known() {
    let machine = Machine {
        host_name: Some("alpha".into()),
        ..Machine::default()
    };
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    let text: String = read("examples/carpd.toml").lines().map(uncomment).collect();
    let report = config::check(Path::new("carpd.toml"), &text, Purpose::Check, &machine).report;
    for finding in report.findings() {
        let known = ["cannot read ", "is no program that can be run"];
        assert!(known.iter().any(|known| finding.text.contains(known)), "{report}");
    }
    assert!(
        text.lines().filter(|line| line.contains(" = ")).count() > 25,
        "{text}"
    );
}

#[test]
fn every_script_in_the_documentation_is_a_script() {
    for document in DOCUMENTS {
        for block in blocks(&read(document), "sh") {
            let output = Command::new("sh")
                .args(["-n", "-c", block])
                .output()
                .expect("a shell");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}: {said}\n{block}");
        }
    }
}

/// `nft` itself checks them, in a network namespace of its own.
#[test]
fn the_rules_for_nftables_are_accepted() {
    let is_missing = Command::new("nft").arg("--version").output().is_err();
    if is_missing || !rustix::process::geteuid().is_root() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "this test needs root and nft of nftables"
        );
        // Not by `eprintln!`, which a passing test keeps to itself.
        let _ = writeln!(io::stderr(), "LEFT OUT: the rules for nftables need root and nft");
        return;
    }
    let text = read("../docs/recipes.md");
    let rules: Vec<_> = blocks(&text, "text")
        .into_iter()
        .filter(|block| block.starts_with("table "))
        .collect();
    assert!(rules.len() > 2);
    for rules in rules {
        let mut nft = Command::new("unshare")
            .args(["--net", "nft", "--check", "--file", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux");
        let mut stdin = nft.stdin.take().expect("a pipe");
        stdin.write_all(rules.as_bytes()).expect("nft reads");
        drop(stdin);
        assert!(nft.wait().expect("it ends").success(), "{rules}");
    }
}
