//! Planned changes: nobody may notice them. And a TCP connection through a pair of routers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use carp_benches::figure::Figure;
use carp_std::linux::Clock;
use carpd::lab::topology::{PREFIX_LEN, PREFIX_LEN_V6, Topology};
use carpd::lab::{Lab, LabError, Plan, Setup, Software, VIP_V6};

use crate::bench::{A, B, Bench, MODES, PATIENCE, command, joined, millis, router, system, together};
use crate::crash::{fast, fast_intervals, fast_whom};

/// What is done, how, and who is master afterwards.
type Step = (&'static str, fn(&Bench, &mut Lab) -> Result<(), LabError>, usize);

const STEPS: [Step; 9] = [
    ("clean stop", |_, lab| stop(lab, A), B),
    ("return and preemption", |_, lab| lab.start(A), A),
    (
        "restart of the backup",
        |_, lab| stop(lab, B).and_then(|()| lab.start(B)),
        A,
    ),
    (
        "hand-over",
        |bench, lab| order(bench, lab, A, &["handover", "--all"]),
        B,
    ),
    (
        "hand-over back",
        |bench, lab| order(bench, lab, B, &["handover", "--all"]),
        A,
    ),
    (
        "maintenance entered",
        |bench, lab| order(bench, lab, A, &["maintenance", "enter"]),
        B,
    ),
    (
        "restart in maintenance",
        |_, lab| stop(lab, A).and_then(|()| lab.start(A)),
        B,
    ),
    (
        "maintenance left",
        |bench, lab| order(bench, lab, A, &["maintenance", "leave"]),
        A,
    ),
    ("reload", reload, A),
];
/// What other implementations can do, too: no more than this many of the steps.
const OF_OTHERS: usize = 2;

/// How often all steps are done,
const TIMES: usize = 10;
/// on so many pairs of the same kind;
const SHARES: usize = 5;
/// and in the fast profile.
const TIMES_FAST: usize = 3;

/// Pings of one step. They are 10 ms apart.
const WINDOW: Duration = Duration::from_secs(10);

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    let pair = |software| [0, 100].map(|advskew| Setup::new(software, advskew));
    let plan_v6 = Plan {
        ipv6: true,
        target: VIP_V6.into(),
        ..Plan::default()
    };
    let mut pairs = Vec::new();
    let modes: &[_] = if bench.ours() { &MODES } else { &[] };
    for mode in modes {
        let v4 = pair(Software::Carpd).map(|setup| setup.with_mode(mode));
        let v6 = v4.clone().map(|setup| Setup {
            addresses: vec![format!("{VIP_V6}/{PREFIX_LEN_V6}")],
            ..setup
        });
        for (family, plan, setups) in [("IPv4", Plan::default(), v4), ("IPv6", plan_v6, v6)] {
            pairs.push(Pair {
                whom: format!("carpd {mode} {family}"),
                plan,
                setups,
                steps: &STEPS,
            });
        }
    }
    pairs.extend(bench.others().into_iter().map(|software| Pair {
        whom: software.to_string(),
        plan: Plan::default(),
        setups: pair(software),
        steps: &STEPS[..OF_OTHERS],
    }));
    let shares = bench.times(1, SHARES);
    let labs = together((0..shares).flat_map(|_| &pairs), |pair| {
        Ok((pair, bench.pair(pair.plan, pair.setups.clone())?))
    })?;
    let all = u32::try_from(labs.len()).unwrap_or(u32::MAX);
    let found = together((0..).zip(labs), |(at, (pair, mut lab))| {
        // Not all of them at the same moment: the kernel has one lock for all network interfaces.
        lab.client.pause(WINDOW * at / all)?;
        steps(bench, pair, &mut lab, bench.times(1, TIMES).div_ceil(shares))
    })?;
    bench.add_all(found);
    // Only these two at the same time, and not in the short forms, beside other things: they notice when they get no
    // processor for 30 ms.
    let measured = if bench.fast { Vec::new() } else { bench.software() };
    let fast_pairs = measured.into_iter().filter_map(|software| {
        let interval = *fast_intervals(software).last()?;
        let steps = match software {
            Software::Carpd => &STEPS[..],
            Software::Ucarp | Software::Keepalived => &STEPS[..OF_OTHERS],
        };
        Some(Pair {
            whom: fast_whom(software, interval),
            plan: Plan::default(),
            setups: fast(software, interval),
            steps,
        })
    });
    let found = together(fast_pairs, |pair| {
        let mut lab = bench.pair(pair.plan, pair.setups.clone())?;
        steps(bench, &pair, &mut lab, TIMES_FAST)
    })?;
    bench.add_all(found);
    let found = together(modes, |mode| connection(bench, mode))?;
    bench.add_all(found);
    Ok(())
}

/// Two nodes, and what is done to them.
struct Pair {
    whom: String,
    plan: Plan,
    setups: [Setup; 2],
    steps: &'static [Step],
}

fn steps(bench: &Bench, pair: &Pair, lab: &mut Lab, times: usize) -> Result<Vec<Figure>, LabError> {
    let Pair { whom, steps, .. } = pair;
    let mut lost = vec![Vec::new(); steps.len()];
    for _ in 0..times {
        for ((_, step, master), lost) in steps.iter().zip(&mut lost) {
            let start = Clock.now();
            step(bench, lab)?;
            lab.client.settle(&lab.nodes[*master], PATIENCE)?;
            let rest = (start + WINDOW.into()) - Clock.now();
            if !bench.fast {
                lab.client.pause(rest.into())?;
            }
            lost.push(f64::from(lab.client.record().lost_pings(start).count));
        }
    }
    let figures = steps.iter().zip(lost);
    let figures =
        figures.map(|((name, ..), lost)| Figure::new(format_args!("{name}: pings lost"), whom, "", lost));
    Ok(figures.collect())
}

/// Of a file that is another one each time.
fn reload(bench: &Bench, lab: &mut Lab) -> Result<(), LabError> {
    let mut setup = lab.nodes[A].setup().clone();
    let changed = "description = \"reloaded\"\n";
    setup.more = match setup.more.strip_prefix(changed) {
        Some(more) => more.to_owned(),
        None => format!("{changed}{}", setup.more),
    };
    lab.nodes[A].configure(setup)?;
    order(bench, lab, A, &["reload"])
}

fn stop(lab: &mut Lab, node: usize) -> Result<(), LabError> {
    lab.nodes[node].terminate();
    lab.nodes[node].wait_for_end()
}

fn order(bench: &Bench, lab: &mut Lab, node: usize, words: &[&str]) -> Result<(), LabError> {
    match command(&bench.carpd, &lab.nodes[node], words)? {
        (true, _) => Ok(()),
        (false, message) => Err(LabError::Command {
            command: format!("carpd {}", words.join(" ")),
            message,
        }),
    }
}

/// A conversation through two routers of which the better one leaves and returns.
fn connection(bench: &Bench, mode: &str) -> Result<Vec<Figure>, LabError> {
    const PORT: u16 = 7;
    const SERVER: u8 = 3;
    let plan = Plan {
        networks: 2,
        ..Plan::default()
    };
    // The third node is the server, and runs nothing.
    let [a, b] = [0, 100].map(|advskew| router(advskew, true, mode));
    let mut lab = bench.lab(plan, [a, b, Setup::new(Software::Carpd, 200)])?;
    for n in [1, 2] {
        lab.topology.station(n).set("ipv4/ip_forward", "1")?;
    }
    let gateway = |network| Ipv4Addr::new(192, 0, 2 + network, 10);
    for (n, network) in [(SERVER, 1), (Lab::<3>::CLIENT, 0)] {
        let station = lab.topology.station(n);
        let other = 1 - network;
        station.ip(&format!("link set eth{other} down"))?;
        let to = Topology::address(other, 0);
        station.ip(&format!("route add {to}/{PREFIX_LEN} via {}", gateway(network)))?;
    }
    lab.start(A)?;
    lab.start(B)?;
    lab.client.settle(&lab.nodes[A], PATIENCE)?;

    let address = SocketAddr::from((Topology::address(1, SERVER), PORT));
    let listener = lab
        .topology
        .station(SERVER)
        .enter(|| TcpListener::bind(address))?
        .map_err(system("listen"))?;
    let client = lab
        .topology
        .station(Lab::<3>::CLIENT)
        .enter(|| TcpStream::connect_timeout(&address, PATIENCE))?
        .map_err(system("connect through the routers"))?;
    let (server, _) = listener.accept().map_err(system("accept"))?;
    let over = AtomicBool::new(false);
    let (changed, talk) = thread::scope(|scope| {
        scope.spawn(|| echo(server));
        let talk = scope.spawn(|| converse(client, &over));
        let changed = changes(bench, &mut lab);
        over.store(true, Ordering::Relaxed);
        (changed, joined(talk))
    });
    changed?;
    let whom = format!("carpd {mode}");
    let broken = f64::from(u8::from(talk.is_err()));
    let worst = vec![talk.unwrap_or(f64::INFINITY)];
    let what = |what: &str| format!("TCP through two routers: {what}");
    Ok(vec![
        Figure::new(what("connections broken"), &whom, "", vec![broken]),
        Figure::new(what("longest wait for an echo"), &whom, "ms", worst),
    ])
}

fn changes(bench: &Bench, lab: &mut Lab<3>) -> Result<(), LabError> {
    for _ in 0..bench.times(1, 10) {
        lab.nodes[A].terminate();
        lab.nodes[A].wait_for_end()?;
        lab.client.settle(&lab.nodes[B], PATIENCE)?;
        lab.start(A)?;
        lab.client.settle(&lab.nodes[A], PATIENCE)?;
    }
    Ok(())
}

fn echo(mut stream: TcpStream) {
    let mut word = [0; 8];
    while stream.read_exact(&mut word).is_ok() && stream.write_all(&word).is_ok() {}
}

/// Says something every 10 ms and waits for the answer. Returns the longest wait in milliseconds.
fn converse(mut stream: TcpStream, over: &AtomicBool) -> std::io::Result<f64> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut longest = 0.0_f64;
    while !over.load(Ordering::Relaxed) {
        let said = Clock.now();
        let mut word = said.as_micros().to_be_bytes();
        stream.write_all(&word)?;
        stream.read_exact(&mut word)?;
        longest = longest.max(millis((Clock.now() - said).as_micros()));
        thread::sleep(Duration::from_millis(10));
    }
    Ok(longest)
}
