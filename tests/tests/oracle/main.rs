//! Random histories of one virtual host: the shipping node does what an oracle of 150 lines says, which was written
//! from `docs/protocol.md` and knows nothing of the code. The histories are transcripts; so is the counterexample.

mod oracle;

use carp_fsm::State;
use carp_proto::Dialect;
use carp_tests::transcript;
use oracle::Oracle;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Event {
    Link(bool),
    Enable(bool),
    Hear {
        base: u8,
        skew: u8,
        demotion: u8,
        ipv6: bool,
        lower: bool,
    },
    Demote(u8),
    Force(State),
    Preempt(bool),
}

/// Values around which something happens are more likely than others.
fn event() -> impl Strategy<Value = Event> {
    let skew = prop_oneof![Just(0), Just(100), Just(101), Just(240), Just(255), any::<u8>()];
    let base = prop_oneof![6 => Just(1_u8), 2 => 0..6_u8, 1 => Just(255)];
    let demotion = prop_oneof![4 => Just(0), 3 => 1..4_u8, 1 => any::<u8>()];
    prop_oneof![
        2 => prop::bool::weighted(0.8).prop_map(Event::Link),
        1 => prop::bool::weighted(0.8).prop_map(Event::Enable),
        8 => (base, skew, demotion.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(base, skew, demotion, ipv6, lower)| Event::Hear { base, skew, demotion, ipv6, lower }),
        2 => demotion.prop_map(Event::Demote),
        1 => prop::bool::ANY.prop_map(|master| Event::Force(if master { State::Master } else { State::Backup })),
        1 => any::<bool>().prop_map(Event::Preempt),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Host {
    dialect: Dialect,
    base: u8,
    skew: u8,
    preempt: bool,
    dual_stack: bool,
}

fn host() -> impl Strategy<Value = Host> {
    let dialect = prop::sample::select(Dialect::ALL.to_vec());
    let skew = prop_oneof![Just(0), Just(100), Just(254), 0..255_u8];
    (dialect, 0..4_u8, skew, any::<bool>(), any::<bool>()).prop_map(
        |(dialect, base, skew, preempt, dual_stack)| Host {
            dialect,
            // Only OpenBSD takes an advbase of 0.
            base: if dialect == Dialect::OpenBsd {
                base
            } else {
                base.max(1)
            },
            skew,
            preempt,
            dual_stack: dual_stack && dialect != Dialect::Ucarp,
        },
    )
}

/// The history as the oracle has it: what is written by hand, and what it does.
fn foretell(host: Host, events: &[(u64, Event)]) -> (Vec<String>, Vec<(u64, String)>) {
    let Host {
        dialect,
        base,
        skew,
        preempt,
        dual_stack,
    } = host;
    let switch = |on| if on { "on" } else { "off" };
    let addresses = if dual_stack {
        "192.0.2.42,2001:db8::42"
    } else {
        "192.0.2.42"
    };
    let mut lines = vec![
        format!(
            "host policy=kernel dialect={dialect} base={base} skew={skew} preempt={} addresses={addresses}",
            switch(preempt)
        ),
        "0 interface up".to_owned(),
    ];
    let mut oracle = Oracle {
        dialect,
        base: base.into(),
        skew: skew.into(),
        preempt,
        families: if dual_stack { 2 } else { 1 },
        link: true,
        enabled: true,
        demoted: 0,
        state: State::Init,
        down: [0; 2],
        next_ad: 0,
        announce_in: 0,
        told: Vec::new(),
    };
    oracle.change(0, "", |_| ());
    let mut now = 0;
    for (pause, event) in events {
        now += pause;
        oracle.pass(now);
        let command = match *event {
            Event::Link(up) => {
                oracle.change(
                    now,
                    if up {
                        "interface down no longer"
                    } else {
                        "interface down"
                    },
                    |host| host.link = up,
                );
                format!("interface {}", if up { "up" } else { "down" })
            }
            Event::Enable(on) => {
                oracle.change(now, "", |host| host.enabled = on);
                (if on { "enable" } else { "disable" }).to_owned()
            }
            Event::Hear {
                base,
                skew,
                demotion,
                ipv6,
                lower,
            } => {
                let ipv6 = ipv6 && dual_stack;
                oracle.hear(
                    now,
                    ipv6.into(),
                    u64::from(base) * 256 + u64::from(skew),
                    demotion.into(),
                    lower,
                );
                // We are 10.0.0.5; the last byte counts most.
                let from = if lower { "10.0.1.4" } else { "10.0.0.9" };
                format!(
                    "hear {base}/{skew} demoted={demotion} from={from}{}",
                    if ipv6 { " ipv6" } else { "" }
                )
            }
            Event::Demote(weight) => {
                let why = if weight > 0 {
                    "operator"
                } else {
                    "operator no longer"
                };
                oracle.change(now, why, |host| host.demoted = weight.into());
                if weight > 0 {
                    format!("demote {weight}")
                } else {
                    "clear".to_owned()
                }
            }
            Event::Force(state) => {
                oracle.force(now, state);
                format!("force {}", state.to_string().to_lowercase())
            }
            Event::Preempt(on) => {
                oracle.preempt = on;
                format!("reconfigure preempt={}", switch(on))
            }
        };
        lines.push(format!("{}.{:06} {command}", now / 1_000_000, now % 1_000_000));
    }
    (lines, oracle.told)
}

/// What the node did, in the order of time; the order at one moment is a matter of the transcripts.
fn done(performed: &str) -> Vec<(u64, String)> {
    let outputs = performed.lines().filter_map(|line| line.split_once(" > "));
    let outputs = outputs.map(|(at, what)| (at.replace('.', "").parse().unwrap(), what.to_owned()));
    // §3 is not the oracle's matter, nor what is asked for first of all.
    let outputs = outputs.skip(1).filter(|(_, what)| !what.starts_with("rejected"));
    sorted(outputs.collect())
}

fn sorted(mut told: Vec<(u64, String)>) -> Vec<(u64, String)> {
    told.sort();
    told
}

proptest! {
    #[test]
    fn the_node_does_what_the_oracle_says(
        host in host(),
        events in prop::collection::vec((prop_oneof![0..1_000_000_u64, 0..6_000_000_u64], event()), 1..40),
    ) {
        let (lines, foretold) = foretell(host, &events);
        let text = lines.join("\n");
        let performed = transcript::perform(&text).unwrap();
        prop_assert_eq!(done(&performed), sorted(foretold), "{}", performed);
    }
}
