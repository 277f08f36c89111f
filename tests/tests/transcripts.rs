//! Golden transcripts: `tests/vectors/fsm/*.carp`, each a short history of one virtual host. `docs/conformance.md` lists
//! them. `CARP_BLESS=1 cargo test -p carp-tests --test transcripts` writes what the node does into them; read the
//! difference before you commit it.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

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
