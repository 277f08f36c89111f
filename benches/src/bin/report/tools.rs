//! Other programs, and the terminal.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Why something was not measured.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where the project is.
pub(crate) fn workspace() -> PathBuf {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    benches.parent().unwrap_or(benches).to_owned()
}

/// A stopwatch.
#[expect(clippy::disallowed_methods, reason = "measuring time is what it is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// `cargo` in the workspace.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let cargo = Path::new(env!("CARGO"));
    // Root may not have the toolchain of whoever built this.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = cargo
        .parent()
        .map(Path::to_owned)
        .into_iter()
        .chain(std::env::split_paths(&path));
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(workspace());
    if let Ok(path) = std::env::join_paths(directories) {
        command.env("PATH", path);
    }
    command
}

/// A program of the project, built before, with another profile than `dev`.
pub(crate) fn program(package: &str, name: &str, profile: &str) -> Command {
    cargo([
        "run",
        "--quiet",
        "--profile",
        profile,
        "--package",
        package,
        "--bin",
        name,
        "--",
    ])
}

/// A script of the project, which leaves the processors to whoever needs them at once.
pub(crate) fn script(path: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg(path).current_dir(workspace());
    patient(&command)
}

/// The same command, which leaves the processors to whoever needs them at once: to daemons that are measured beside.
pub(crate) fn patient(command: &Command) -> Command {
    let mut patient = Command::new("nice");
    patient
        .args(["-n", "19"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => patient.env(name, value),
            None => patient.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        patient.current_dir(directory);
    }
    patient
}

/// Runs it to its end while its last line is shown. What it printed, if it ended well.
pub(crate) fn run(command: &mut Command) -> Result<String, Failure> {
    let (output, well) = output(command)?;
    if well {
        return Ok(output);
    }
    let last: Vec<_> = output.lines().rev().take(8).collect();
    let last: Vec<_> = last.into_iter().rev().collect();
    Err(format!("{} failed: {}", name(command), last.join(" / ")).into())
}

/// The same, however it ended: what it printed to both its outputs, and whether it ended well.
pub(crate) fn output(command: &mut Command) -> Result<(String, bool), Failure> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", name(command)))?;
    let text = Mutex::new(String::new());
    let take = |line: std::io::Result<String>| {
        // What is no text says nothing.
        let Ok(line) = line else { return };
        transient(&line);
        let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&line);
        text.push('\n');
    };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| {
            if let Some(err) = err {
                BufReader::new(err).lines().for_each(&take);
            }
        });
        if let Some(out) = out {
            BufReader::new(out).lines().for_each(&take);
        }
    });
    let status = child.wait()?;
    transient("");
    let text = text.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((text, status.success()))
}

/// What a program says about itself, or nothing.
pub(crate) fn answer(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(workspace())
        .output();
    output.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}

/// Whether there is such a program.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Daemons are where a user's PATH does not look.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .any(|directory| directory.join(program).is_file())
}

pub(crate) fn is_root() -> bool {
    answer("id", &["-u"]) == "0"
}

/// The cells of a line of a table that is made for people: two blanks or more are between them.
pub(crate) fn cells(line: &str) -> Vec<&str> {
    line.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

/// Shows a line that the next one replaces.
fn transient(line: &str) {
    let mut terminal = std::io::stderr().lock();
    if terminal.is_terminal() {
        let line: String = line.chars().filter(|c| !c.is_control()).take(76).collect();
        // It is only for those who watch.
        let _ = write!(
            terminal,
            "\r\x1b[K{}{line}",
            if line.is_empty() { "" } else { "  " }
        );
        let _ = terminal.flush();
    }
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name();
    let words = program.into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
