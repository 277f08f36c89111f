//! Golden transcripts: `tests/vectors/fsm/*.carp`, each a short history of one virtual host. `docs/conformance.md`
//! lists them. `CARP_BLESS=1 cargo test -p carp-tests --test transcripts` writes what the node does into them; read
//! the difference before you commit it.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use carp_proto::Dialect;
use carp_tests::{transcript, vectors};

/// Name and text of every transcript.
fn transcripts() -> Vec<(String, String)> {
    let folder = fs::read_dir(vectors("fsm")).unwrap();
    let mut names: Vec<String> = folder
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    let transcripts = names.into_iter().filter(|name| name != "README.md");
    transcripts
        .map(|name| {
            (
                name.clone(),
                fs::read_to_string(vectors("fsm").join(&name)).unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_transcript_is_what_the_node_does() {
    let bless = env::var_os("CARP_BLESS").is_some();
    let mut wrong = Vec::new();
    let transcripts = transcripts();
    assert!(transcripts.len() > 100, "only {} transcripts", transcripts.len());
    let dialects: Vec<Dialect> = transcripts.iter().map(|(_, text)| dialect(text)).collect();
    for (name, text) in transcripts {
        let performed = transcript::perform(&text).unwrap_or_else(|mistake| panic!("{name}, {mistake}"));
        if performed != text && bless {
            fs::write(vectors("fsm").join(&name), performed).unwrap();
        } else if performed != text {
            let (expected, found) = first_difference(&text, &performed);
            wrong.push(format!("{name}\n  expected: {expected}\n  found:    {found}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nCARP_BLESS=1 rewrites them",
        wrong.join("\n")
    );
    carp_tests::tell_agreement("transcripts", dialects);
}

/// Of the host that is under test: FreeBSD's, if it does not say otherwise.
fn dialect(text: &str) -> Dialect {
    let host = text.lines().find(|line| line.starts_with("host"));
    let words = host.unwrap_or_default().split_whitespace();
    let named = words.filter_map(|word| word.strip_prefix("dialect="));
    named
        .map(|name| name.parse().unwrap())
        .next()
        .unwrap_or(Dialect::FreeBsd)
}

fn first_difference<'a>(expected: &'a str, found: &'a str) -> (&'a str, &'a str) {
    let nothing = "(the end)";
    let (mut expected, mut found) = (expected.lines(), found.lines());
    loop {
        let (one, other) = (expected.next(), found.next());
        if one != other || one.is_none() {
            return (one.unwrap_or(nothing), other.unwrap_or(nothing));
        }
    }
}

/// A transcript that nobody lists is an orphan; one that is listed and gone is a lie.
#[test]
fn the_list_of_transcripts_is_complete() {
    let list = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md")).unwrap();
    let listed: BTreeSet<String> = list
        .split('`')
        .filter(|word| {
            Path::new(word)
                .extension()
                .is_some_and(|extension| extension == "carp")
        })
        .flat_map(expand)
        .collect();
    let present: BTreeSet<String> = transcripts().into_iter().map(|(name, _)| name).collect();
    let orphans: Vec<_> = present.difference(&listed).collect();
    let missing: Vec<_> = listed.difference(&present).collect();
    assert!(
        orphans.is_empty() && missing.is_empty(),
        "not in docs/conformance.md: {orphans:?}; not there: {missing:?}"
    );
}

const FREEBSD: &[Dialect] = &[Dialect::FreeBsd];
const OPENBSD: &[Dialect] = &[Dialect::OpenBsd];
const UCARP: &[Dialect] = &[Dialect::Ucarp];
const KERNELS: &[Dialect] = &[Dialect::FreeBsd, Dialect::OpenBsd, Dialect::NetBsd];
const ALL: &[Dialect] = &Dialect::ALL;

/// The cases of the election in `docs/conformance.md`, and the dialects that each is about.
const CASES: &[(u8, &[Dialect])] = &[
    (14, ALL),
    (15, ALL),
    (16, OPENBSD),
    (17, FREEBSD),
    (18, FREEBSD),
    (20, ALL),
    (21, KERNELS),
    (22, UCARP),
    (23, ALL),
    (24, OPENBSD),
    (25, OPENBSD),
    (26, OPENBSD),
    (27, ALL),
    (28, ALL),
    (29, OPENBSD),
    (30, OPENBSD),
    (31, FREEBSD),
    (32, ALL),
    (33, ALL),
    (34, ALL),
    (35, OPENBSD),
    (36, KERNELS),
    (37, KERNELS),
    (38, &[Dialect::OpenBsd, Dialect::NetBsd]),
    (39, FREEBSD),
    (40, ALL),
    (41, KERNELS),
    (42, OPENBSD),
    (43, &[Dialect::FreeBsd, Dialect::NetBsd]),
    (44, OPENBSD),
    (45, ALL),
    (46, OPENBSD),
    (47, &[Dialect::FreeBsd, Dialect::NetBsd, Dialect::Ucarp]),
    (48, ALL),
    (49, KERNELS),
    (50, KERNELS),
    (54, &[Dialect::FreeBsd, Dialect::OpenBsd]),
    (55, &[Dialect::FreeBsd, Dialect::OpenBsd]),
    (56, ALL),
    (57, KERNELS),
    (59, KERNELS),
];

/// No histories of a virtual host: the document says what they are instead, and where they are tested.
const OTHERWISE: &[u8] = &[19, 51, 52, 53, 58, 60];

#[test]
fn every_case_has_a_transcript_of_every_dialect_that_it_is_about() {
    let numbers: BTreeSet<u8> = CASES.iter().map(|(case, _)| *case).collect();
    let all: BTreeSet<u8> = numbers.iter().chain(OTHERWISE).copied().collect();
    assert_eq!(all, (14..=60).collect());
    let list = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md")).unwrap();
    for case in all {
        assert!(
            list.contains(&format!("C{case}")),
            "docs/conformance.md lacks C{case}"
        );
    }
    let transcripts = transcripts();
    for (case, dialects) in CASES {
        for dialect in *dialects {
            let (start, shows) = (
                format!("c{case}-{dialect}"),
                format!("# Conformance case C{case}:"),
            );
            let mut of_case = transcripts.iter().filter(|(name, _)| name.starts_with(&start));
            let is_it = |text: &str| {
                let host = text
                    .lines()
                    .find(|line| line.starts_with("host "))
                    .unwrap_or_default();
                let speaks = host.contains(&format!("dialect={dialect} "));
                text.starts_with(&shows) && speaks && host.contains("policy=kernel")
            };
            assert!(
                of_case.any(|(_, text)| is_it(text)),
                "no transcript of C{case} in {dialect}"
            );
        }
    }
}

#[test]
fn every_field_of_the_policy_has_its_row() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (policy, list) = (read("../carp-fsm/src/policy.rs"), read("../docs/conformance.md"));
    let fields: Vec<&str> = policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "))
        .map(|(name, _)| name)
        .filter(|name| !name.contains(' '))
        .collect();
    assert!(fields.len() > 25, "{fields:?}");
    for field in fields {
        let row = list
            .lines()
            .find(|line| line.starts_with("| ") && line.contains(&format!("`{field}`")));
        assert!(
            row.is_some_and(|row| row.contains(".carp`")),
            "docs/conformance.md names no transcript for Policy::{field}"
        );
    }
}

/// `c14-{freebsd,openbsd}.carp` is two files.
fn expand(pattern: &str) -> Vec<String> {
    match pattern
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        Some((before, (choices, after))) => choices
            .split(',')
            .map(|choice| format!("{before}{choice}{after}"))
            .collect(),
        None => vec![pattern.to_owned()],
    }
}

#[test]
fn mistakes_name_their_line() {
    for (text, what) in [
        ("1 hear 1/0", "line 1: the first line must be `host ..`"),
        ("host skew=300", "line 1: \"300\" cannot be read"),
        (
            "host\n\n1 jump",
            "line 3: \"jump\" is no command; see README.md beside the transcripts",
        ),
        (
            "host \n2 end\n1 end",
            "line 3: time goes backwards; sort the lines",
        ),
        ("host \nend", "line 2: neither a time nor `host` nor a comment"),
        (
            "host colour=red",
            "line 1: \"colour=red\" is no setting; see README.md beside the transcripts",
        ),
        (
            "host skew=255",
            "line 1: advskew 255 is reserved for the bow-out; use 0 to 254",
        ),
        ("host \n1 hear fast", "line 2: advbase/advskew or bow-out"),
    ] {
        let text = text.replacen("host\n", "host \n", 1);
        let mistake = transcript::perform(&text).unwrap_err();
        assert_eq!(mistake.to_string(), what, "{text}");
    }
}
