//! Every command of the README, of `docs/` and of the crates' READMEs is run: those of `carpd` here, in two network
//! namespaces, as a newcomer would type them; the others where [`ELSEWHERE`] and [`RUNNERS`] say. What
//! `carpd/README.md` mentions in passing is at least understood (`carpd/tests/docs.rs`).
//!
//! Root and iproute2 are needed. Without them that is said; with `CI=true` it is a failure.
#![cfg(target_os = "linux")]

mod elsewhere;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use carpd::lab::TempDir;
use carpd::lab::topology::{Topology, Wiring};

use elsewhere::{ELSEWHERE, NO_COMMANDS, RUNNERS};

/// Whatever a command of carpd may wait for.
const PATIENCE: Duration = Duration::from_secs(20);

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The README and everything in `docs/`.
fn documents() -> Vec<(String, String)> {
    let mut names: Vec<String> = names("docs").filter(|name| is_text(name)).collect();
    names.sort_unstable();
    names.insert(0, "README.md".to_owned());
    names.into_iter().map(read).collect()
}

/// These, and what else stands beside it and in the folders of the crates.
fn all_documents() -> Vec<(String, String)> {
    let top = names(".").filter(|name| is_text(name) && name != "./README.md" && name != "./CHANGELOG.md");
    let readmes = names(".").map(|folder| format!("{folder}/README.md"));
    let deeper = ["tests/bare-metal/README.md".to_owned()];
    let others = top.chain(readmes).chain(deeper);
    let others: BTreeSet<String> = others.filter(|name| project().join(name).is_file()).collect();
    documents()
        .into_iter()
        .chain(others.into_iter().map(read))
        .collect()
}

fn names(folder: &str) -> impl Iterator<Item = String> {
    let files = fs::read_dir(project().join(folder)).unwrap();
    files.map(move |file| format!("{folder}/{}", file.unwrap().file_name().into_string().unwrap()))
}

fn read(name: String) -> (String, String) {
    let text = fs::read_to_string(project().join(&name)).unwrap();
    (name, text)
}

fn is_text(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "md")
}

/// The shell blocks of a document.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
}

/// What is typed in the blocks that show a terminal.
fn typed(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("```console\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("\n```").next());
    blocks
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("$ "))
}

/// A line without what is only said about it.
fn without_comment(line: &str) -> &str {
    line.split_once('#').map_or(line, |(command, _)| command).trim()
}

/// What stands between single backticks, and begins as a command does.
fn inline(text: &str) -> impl Iterator<Item = String> {
    let prose: String = text.split("```").step_by(2).collect();
    let spans: Vec<String> = prose
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|span| span.replace('\n', " "))
        .collect();
    let begins = |span: &String| {
        ["cargo ", "carpd ", "./", "PROPTEST"]
            .iter()
            .any(|begin| span.starts_with(begin))
            || is_script_name(span)
    };
    spans.into_iter().filter(begins)
}

/// Whether it is the name of a script and nothing else, perhaps without its folder.
fn is_script_name(span: &str) -> bool {
    let name = Path::new(span);
    !span.contains(' ') && name.extension().is_some_and(|extension| extension == "sh")
}

fn is_of_carpd(command: &str) -> bool {
    command.starts_with("carpd ") && !ELSEWHERE.iter().any(|(known, ..)| *known == command)
}

#[test]
fn every_command_that_is_not_carpd_is_run_somewhere() {
    let mut seen = BTreeSet::new();
    let runners: String = RUNNERS
        .iter()
        .map(|runner| read((*runner).to_owned()).1)
        .collect();
    for (name, text) in all_documents() {
        // A block with commands of carpd is run as a whole (below), and so is a script.
        let lines = blocks(&text)
            .filter(|block| !is_session(block) && !is_script(block))
            .flat_map(str::lines);
        let lines = lines.map(without_comment).chain(typed(&text)).map(str::to_owned);
        for command in lines.chain(inline(&text)) {
            let known = ELSEWHERE.iter().find(|(known, ..)| *known == command);
            if known.is_none() && is_script_name(&command) {
                let end = command.rsplit('/').next().unwrap_or_default();
                assert!(
                    runners.contains(&format!("/{end}")),
                    "{name}: nothing runs `{command}`; see RUNNERS"
                );
                continue;
            }
            let is_no_command = NO_COMMANDS.iter().any(|begin| command.starts_with(begin));
            if command.is_empty() || is_no_command || is_of_carpd(&command) {
                continue;
            }
            let Some((known, file, words)) = known else {
                panic!(
                    "{name}: nothing runs `{command}`; see ELSEWHERE in tests/tests/documents/elsewhere.rs"
                );
            };
            let runs = fs::read_to_string(project().join(file)).unwrap();
            assert!(runs.contains(words), "{file} does not run `{command}` any more");
            seen.insert(*known);
        }
    }
    let gone: Vec<_> = ELSEWHERE
        .iter()
        .filter(|(known, ..)| !seen.contains(known))
        .collect();
    assert!(gone.is_empty(), "no document has these any more: {gone:?}");
}

/// Whether somebody who has a configuration types this.
fn is_session(block: &str) -> bool {
    let mut lines = block.lines().map(without_comment);
    !is_script(block) && lines.any(|line| is_of_carpd(line) || line.contains("carpd genkey"))
}

fn is_script(block: &str) -> bool {
    block.starts_with("#!")
}

/// Two machines on one network, named alpha and beta, with the configuration of the README.
struct Machines {
    topology: Topology,
    files: TempDir,
    daemons: Vec<Child>,
}

impl Machines {
    /// `None`: something is missing, and this is not the place where that matters.
    fn new() -> Option<Self> {
        if let Err(missing) = carpd::lab::check(None) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
            // Not `eprintln!`: the harness keeps what a passing test prints.
            let _ = writeln!(std::io::stderr(), "LEFT OUT: {missing}");
            return None;
        }
        let files = TempDir::new().unwrap();
        let wiring = Wiring {
            stations: 2,
            networks: 1,
            ipv6: false,
        };
        let it = Self {
            topology: Topology::new(wiring).unwrap(),
            files,
            daemons: Vec::new(),
        };
        let readme = fs::read_to_string(project().join("README.md")).unwrap();
        let config = readme
            .split("```toml\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        it.write("etc/carpd.toml", config);
        it.write("carpd.toml", config);
        // What is no matter of ours, and what nobody can do in a test.
        it.write(
            "bin/editor",
            &format!("#!/bin/sh\nexec cp {} \"$1\"\n", it.path("carpd.toml").display()),
        );
        it.write(
            "bin/systemctl",
            &format!(
                "#!/bin/sh\necho \"$@\" >> {}\n",
                it.path("systemctl.log").display()
            ),
        );
        symlink(env!("CARGO_BIN_EXE_carpd-under-test"), it.path("bin/carpd")).unwrap();
        Some(it)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A shell on a machine: its own host name, and `/run` and `/var/lib` as after its start, kept below `files`.
    fn shell(&self, machine: u8, script: &str) -> Command {
        let name = ["alpha", "beta"][usize::from(machine - 1)];
        let script = script.replace("/etc/carpd", &self.path("etc").to_string_lossy());
        let mounts: String = ["run", "var/lib"]
            .map(|directory| {
                let own = self.path(&format!("{name}/{directory}"));
                fs::create_dir_all(&own).unwrap();
                format!("mount --bind {} /{directory}\n", own.display())
            })
            .concat();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.topology.station(machine).command("unshare");
        command
            .args(["--mount", "--uts", "sh", "-e", "-c"])
            .arg(format!("hostname {name}\n{mounts}{script}"))
            .env("PATH", format!("{}:{path}", self.path("bin").display()));
        command
    }

    fn run(&self, machine: u8, script: &str) -> (bool, String) {
        let output = self.shell(machine, script).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// `carpd run`, for as long as this lives.
    fn start(&mut self, machine: u8, command: &str) {
        let log = fs::File::create(self.path(&format!("log{machine}"))).unwrap();
        let mut shell = self.shell(machine, &format!("exec {command}"));
        self.daemons.push(shell.stderr(log).spawn().unwrap());
    }

    /// Waits until alpha is MASTER beside a BACKUP and nothing demotes it.
    fn settle(&self) {
        let end = now() + PATIENCE;
        loop {
            let [alpha, beta] = [1, 2].map(|machine| self.run(machine, "carpd status --short || true").1);
            if alpha.contains("MASTER") && beta.contains("BACKUP") {
                return;
            }
            if beta.contains("MASTER") {
                self.run(2, "carpd handover --all");
            }
            assert!(now() < end, "alpha: {alpha}\nbeta: {beta}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What a command may have left behind.
    fn tidy(&self) {
        let tidy = "carpd enable --all; carpd maintenance leave; carpd demotion clear --all --force; true";
        self.run(1, &format!("set +e\n{tidy}"));
        self.settle();
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            // It ends with the process that `exec` put in its place.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "patience")]
fn now() -> Instant {
    Instant::now()
}

/// A placeholder as somebody would fill it in.
fn filled_in(command: &str) -> String {
    command
        .replace(" NAME", " weather")
        .replace(" WEIGHT", " 240")
        .replace("/etc/carpd/carpd.toml ", "/etc/carpd/carpd.toml")
}

#[test]
fn the_sessions_of_an_operator() {
    let Some(mut machines) = Machines::new() else {
        return;
    };
    let mut number = 0;
    for (name, text) in all_documents() {
        for block in blocks(&text).filter(|block| is_session(block)) {
            number += 1;
            let mut typed = String::new();
            for line in block.lines().map(without_comment) {
                if line.starts_with("carpd run ") {
                    // It goes on while the other lines are typed, on both machines.
                    let (well, said) = machines.run(1, &typed);
                    assert!(well, "{name}: {said}\n{typed}");
                    typed.clear();
                    machines.start(1, line);
                    machines.start(2, line);
                    machines.settle();
                } else {
                    typed.push_str(line);
                    typed.push('\n');
                }
            }
            let (well, said) = machines.run(1, &typed);
            assert!(well, "{name}: {said}\n{typed}");
        }
    }
    for (name, text) in documents() {
        for command in inline(&text).filter(|command| is_of_carpd(command)) {
            // The name of a command alone, which lacks what it needs.
            if ["carpd check", "carpd demotion"].contains(&&*command) {
                continue;
            }
            number += 1;
            machines.tidy();
            let (well, said) = machines.run(1, &filled_in(&command));
            assert!(well, "{name}: {command}: {said}");
        }
    }
    assert!(number > 15, "only {number} sessions and commands were found");
    let enabled = fs::read_to_string(machines.path("systemctl.log")).unwrap();
    assert_eq!(enabled, "enable --now carpd\n");
}

#[test]
fn the_scripts_of_an_operator() {
    let Some(machines) = Machines::new() else { return };
    let mut number = 0;
    for (name, text) in documents() {
        for script in blocks(&text).filter(|block| is_script(block)) {
            number += 1;
            machines.write("script", script);
            let told = "export CARP_VIRTUAL_HOST=eth1@7";
            let path = machines.path("script");
            let run = format!("{told}\nCARP_TO=MASTER {0}\nCARP_TO=BACKUP {0}\n", path.display());
            let (well, said) = machines.run(1, &run);
            assert!(well, "{name}: {said}");
        }
    }
    assert_eq!(number, 1);
    let done = fs::read_to_string(machines.path("systemctl.log")).unwrap();
    assert_eq!(done, "start openvpn-server@site\nstop openvpn-server@site\n");
}
