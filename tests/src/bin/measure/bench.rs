//! What all parts share: the executable, the progress, the results.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use carp_benches::figure::Figure;
use carp_benches::limits::{Limit, Outcome};
use carp_fsm::{IfaceId, Instant};
use carp_std::linux::{Clock, LinuxLink};
use carpd::lab::topology::Namespace;
use carpd::lab::{Lab, LabError, Node, Plan, Setup, Software, check};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::line::Line;

/// The nodes.
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;

/// Whose MAC address the virtual addresses have.
pub(crate) const MODES: [&str; 2] = ["plain", "vmac"];

/// For whatever has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The measurements and their surroundings.
pub(crate) struct Bench {
    /// Whether each is done once or a few times.
    pub(crate) fast: bool,
    /// Whether each is done once.
    once: bool,
    software: Vec<Software>,
    pub(crate) carpd: PathBuf,
    interrupted: Arc<AtomicBool>,
    part: String,
    /// The part of the report that it belongs to.
    of_report: &'static str,
    limits: Vec<Limit>,
    lines: Vec<Line>,
    errors: Vec<String>,
    /// What is no figure, by name.
    raw: BTreeMap<String, Value>,
    started: Instant,
}

impl Bench {
    /// `software`: who is measured; if empty, carpd, and in the full form others beside it.
    pub(crate) fn new(fast: bool, once: bool, mut software: Vec<Software>) -> Result<Self, LabError> {
        if software.is_empty() {
            software.push(Software::Carpd);
            if !fast && !once {
                software.extend([Software::Ucarp, Software::Keepalived]);
            }
        }
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))
                .map_err(system("handle signals"))?;
        }
        let bench = Self {
            fast: fast || once,
            once,
            software,
            carpd: std::env::current_exe().map_err(system("find the own executable"))?,
            interrupted,
            part: String::new(),
            of_report: "",
            limits: carp_benches::limits::read(),
            lines: Vec::new(),
            errors: Vec::new(),
            raw: BTreeMap::new(),
            started: Clock.now(),
        };
        for &software in &bench.software {
            check(Some(software))?;
        }
        Ok(bench)
    }

    /// How often something is done.
    pub(crate) fn times(&self, fast: usize, full: usize) -> usize {
        match self {
            Self { once: true, .. } => 1,
            Self { fast: true, .. } => fast,
            _ => full,
        }
    }

    /// Who is measured.
    pub(crate) fn software(&self) -> Vec<Software> {
        self.software.clone()
    }

    /// Whether carpd is.
    pub(crate) fn ours(&self) -> bool {
        self.software.contains(&Software::Carpd)
    }

    /// Who else is.
    pub(crate) fn others(&self) -> Vec<Software> {
        let others = self
            .software
            .iter()
            .filter(|&&software| software != Software::Carpd);
        others.copied().collect()
    }

    pub(crate) fn lab<const N: usize>(&self, plan: Plan, setups: [Setup; N]) -> Result<Lab<N>, LabError> {
        Lab::new(&self.carpd, plan, setups, Arc::clone(&self.interrupted))
    }

    /// Two nodes that run, of which A is master and B is backup.
    pub(crate) fn pair(&self, plan: Plan, setups: [Setup; 2]) -> Result<Lab, LabError> {
        let mut lab = self.lab(plan, setups)?;
        lab.start(A)?;
        lab.start(B)?;
        lab.client.settle(&lab.nodes[A], PATIENCE)?;
        let Lab { client, nodes, .. } = &mut lab;
        client.wait(PATIENCE, "B to be a backup", |_| {
            (transitions(&nodes[B]) > 0.0).then_some(())
        })?;
        Ok(lab)
    }

    pub(crate) fn heading(&mut self, part: String, of_report: &'static str) {
        println!("\n== {part}");
        (self.part, self.of_report) = (part, of_report);
    }

    /// Takes in samples and prints the line.
    pub(crate) fn add(&mut self, what: impl Display, whom: impl Display, unit: &str, samples: Vec<f64>) {
        self.add_figure(Figure::new(what, whom, unit, samples));
    }

    /// Takes in what was found at the same time: samples of the same thing belong together.
    pub(crate) fn add_all(&mut self, found: Vec<Vec<Figure>>) {
        for figure in merged(found) {
            self.add_figure(figure);
        }
    }

    fn add_figure(&mut self, figure: Figure) {
        let line = Line::new(self.part.clone(), figure, &self.limits, self.of_report, self.fast);
        let [what, whom, n, median, worst, limit, verdict] = line.row();
        println!("{verdict:8}  {what}, {whom}: median {median}, worst {worst} (limit {limit}, n = {n})");
        self.lines.push(line);
    }

    /// Keeps what is no figure.
    pub(crate) fn keep(&mut self, name: String, raw: Value) {
        self.raw.insert(name, raw);
    }

    pub(crate) fn error(&mut self, error: &LabError) {
        println!("{}: {error}", self.part);
        self.errors.push(format!("{}: {error}", self.part));
    }

    pub(crate) fn passed(&self) -> bool {
        self.errors.is_empty()
            && self
                .lines
                .iter()
                .all(|line| line.outcome != Some(Outcome::Exceeded))
    }

    pub(crate) fn verdict(&self) -> String {
        let count = |outcome| self.lines.iter().filter(|line| line.outcome == outcome).count();
        format!(
            "{} figures keep their limits, {} miss them for a known reason, {} exceed them, {} have none; {} parts broken \
             off; {} s",
            count(Some(Outcome::Kept)),
            count(Some(Outcome::Missed)),
            count(Some(Outcome::Exceeded)),
            count(None),
            self.errors.len(),
            (Clock.now() - self.started).as_micros() / 1_000_000,
        )
    }

    /// Writes `host.md` and `host.json`.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), LabError> {
        let raw = json!({
            "schema": 1,
            "fast": self.fast,
            "machine": machine(),
            "figures": self.lines,
            "errors": self.errors,
            "raw": self.raw,
        });
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(system(&format!("write {}", path.display())))
        };
        fs::create_dir_all(directory).map_err(system(&format!("make {}", directory.display())))?;
        write("host.md", self.markdown())?;
        write("host.json", format!("{raw:#}\n"))
    }

    fn markdown(&self) -> String {
        let form = if self.fast { " --fast" } else { "" };
        let mut text = format!(
            "# carpd on a Linux host, measured\n\nWritten by `cargo run --release -p carp-tests --bin measure --{form} --out \
             docs/results`; `host.json` beside it has every sample. The worst is the sample that is farthest from \
             zero.\n\n",
        );
        for (name, value) in machine() {
            let _ = writeln!(text, "* {name}: {value}");
        }
        let mut part = "";
        for line in &self.lines {
            if line.part != part {
                part = &line.part;
                let _ = write!(text, "\n## {part}\n\n| {} |\n|", Line::HEAD.join(" | "));
                let _ = writeln!(text, "{}", "---|".repeat(Line::HEAD.len()));
            }
            let _ = writeln!(text, "| {} |", line.row().join(" | "));
        }
        for error in &self.errors {
            let _ = writeln!(text, "\nBroken off: {error}");
        }
        let _ = writeln!(text, "\n{}", self.verdict());
        text
    }
}

fn merged(found: Vec<Vec<Figure>>) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    for figure in found.into_iter().flatten() {
        let same = |other: &&mut Figure| other.what == figure.what && other.whom == figure.whom;
        match figures.iter_mut().find(same) {
            Some(other) => other.samples.extend(figure.samples),
            None => figures.push(figure),
        }
    }
    figures
}

/// Does something with each at the same time; everything has networks of its own. Results are in the order of the
/// items, or the first of them that is an error.
pub(crate) fn together<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    each: impl Fn(I) -> Result<T, LabError> + Sync,
) -> Result<Vec<T>, LabError> {
    let each = &each;
    thread::scope(|scope| {
        let started: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || each(item)))
            .collect();
        // All of them have to end before the first error is told.
        let ended: Vec<_> = started.into_iter().map(joined).collect();
        ended.into_iter().collect()
    })
}

/// What a thread returned. If it panicked, so does this.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Names what was tried when the operating system refused.
pub(crate) fn system(doing: &str) -> impl FnOnce(std::io::Error) -> LabError {
    let doing = doing.to_owned();
    move |error| LabError::System { doing, error }
}

/// A way to send and to hear frames on an interface of a station.
pub(crate) fn raw(station: &Namespace, interface: &str) -> Result<(LinuxLink, IfaceId), LabError> {
    station
        .enter(|| {
            let mut link = LinuxLink::new()?;
            let iface = link.add_interface(interface)?;
            Ok((link, iface))
        })?
        .map_err(|error: carp_std::LinkError| system("open a packet socket")(std::io::Error::other(error)))
}

/// A router with a virtual host on each of two networks, which serve as gateways.
pub(crate) fn router(advskew: u8, preempt: bool, mode: &str) -> Setup {
    let mut setup = Setup::new(Software::Carpd, advskew);
    setup.preempt = preempt;
    setup.more = format!(
        "[[vhid]]\ninterface = \"eth1\"\nvhid = 8\naddresses = [\"192.0.3.10/24\"]\npassword = \"{}\"\nadvskew = \
         {advskew}\npreempt = {preempt}\nmode = \"{mode}\"\n",
        setup.password
    );
    setup.with_mode(mode)
}

/// Runs a command of carpd on a node; the answer is what it printed, and whether it was done.
pub(crate) fn command(lab_carpd: &Path, node: &Node, words: &[&str]) -> Result<(bool, String), LabError> {
    let output = Command::new(lab_carpd)
        .args(words)
        .arg("--socket")
        .arg(node.socket())
        .output()
        .map_err(system("run carpd"))?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// What `carpd status --json` says.
pub(crate) fn status(carpd: &Path, node: &Node) -> Result<Value, LabError> {
    let (_, text) = command(carpd, node, &["status", "--json"])?;
    serde_json::from_str(&text).map_err(|error| LabError::System {
        doing: format!("read the status of {node}: {text}"),
        error: error.into(),
    })
}

/// How many transitions a node has logged since its start.
#[expect(clippy::cast_precision_loss, reason = "a few")]
pub(crate) fn transitions(node: &Node) -> f64 {
    let words: &[&str] = match node.setup().software {
        Software::Carpd => &[" -> "],
        Software::Ucarp => &["Switching to state"],
        Software::Keepalived => &["Entering MASTER STATE", "Entering BACKUP STATE"],
    };
    let is_transition = |line: &&str| words.iter().any(|words| line.contains(words));
    node.log().lines().filter(is_transition).count() as f64
}

/// Milliseconds.
#[expect(clippy::cast_precision_loss, reason = "far from 2^53")]
pub(crate) fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// What it was measured on.
fn machine() -> Vec<(&'static str, String)> {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
    };
    let package = |name: &str| output("dpkg-query", &["--show", "--showformat=${Version}", name]);
    let processor = file("/proc/cpuinfo");
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        ("date", output("date", &["-u", "+%F %R UTC"])),
        ("processor", format!("{cores} x {model}")),
        ("kernel", file("/proc/sys/kernel/osrelease").trim().to_owned()),
        (
            "load when it was written",
            file("/proc/loadavg").trim().to_owned(),
        ),
        ("carpd", env!("CARGO_PKG_VERSION").to_owned()),
        ("UCarp", package("ucarp")),
        ("keepalived", package("keepalived")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_found_of_the_same_is_one_figure() {
        let figure = |what, whom, sample| Figure::new(what, whom, "ms", vec![sample]);
        let found = vec![
            vec![figure("stop", "carpd", 1.0), figure("return", "carpd", 2.0)],
            vec![figure("stop", "carpd", 3.0), figure("stop", "ucarp", 4.0)],
        ];
        let merged = merged(found);
        let samples: Vec<_> = merged.iter().map(|figure| &figure.samples[..]).collect();
        assert_eq!(samples, [&[1.0, 3.0][..], &[2.0], &[4.0]]);
    }

    #[test]
    fn all_have_ended_before_the_first_error_is_told() {
        let ended = std::sync::atomic::AtomicUsize::new(0);
        let result = together([0, 1, 2], |item: u64| {
            thread::sleep(Duration::from_millis(item * 20));
            ended.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if item == 0 {
                Err(LabError::Interrupted)
            } else {
                Ok(item)
            }
        });
        assert!(matches!(result, Err(LabError::Interrupted)));
        assert_eq!(ended.into_inner(), 3);
        assert_eq!(together([3, 1], Ok).unwrap(), [3, 1]);
    }
}
