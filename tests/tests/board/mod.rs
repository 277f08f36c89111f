//! Emulated boards on a switch that is this program: no root, no interface of the machine.
#![allow(dead_code, reason = "not every test program needs all of it")]

pub(crate) mod client;
pub(crate) mod switch;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use switch::Switch;

pub(crate) const EMULATOR: &str = "qemu-system-arm";

/// For everything that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The firmware, built once. `None`: no emulator, and this is not the place where that matters.
pub(crate) fn firmware(bin: &str) -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        if let Err(error) = Command::new(EMULATOR).arg("--version").output() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "qemu-system-arm: {error}"
            );
            // Not `eprintln!`: the harness keeps what a passing test prints.
            let _ = writeln!(
                std::io::stderr(),
                "LEFT OUT: qemu-system-arm: {error} (apt-get install qemu-system-arm)"
            );
            return None;
        }
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware");
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--target",
                "thumbv7m-none-eabi",
            ])
            .current_dir(&workspace)
            // Those of the host's build are not meant for it.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_TARGET_DIR")
            .status()
            .unwrap();
        assert!(
            status.success(),
            "the firmware does not build: rustup target add thumbv7m-none-eabi"
        );
        Some(workspace.join("target/thumbv7m-none-eabi/release"))
    });
    Some(directory.as_ref()?.join(bin))
}

/// A directory for sockets, removed with it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        // Short: the path of a socket has 108 bytes.
        let path = std::env::temp_dir().join(format!("carp-board-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One emulated board, and its console.
pub(crate) struct Board {
    pub(crate) port: usize,
    emulator: Emulator,
    monitor: BufReader<UnixStream>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Board {
    /// Starts the firmware `node` with these settings on the next port of a switch.
    pub(crate) fn start(image: &Path, directory: &Directory, switch: &Switch, settings: &str) -> Self {
        Self::start_at(image, directory, switch, &[], settings)
    }

    /// The same, with arguments for the emulator's clock.
    pub(crate) fn start_at(
        image: &Path,
        directory: &Directory,
        switch: &Switch,
        clock: &[&str],
        settings: &str,
    ) -> Self {
        let port = switch.add_port(directory);
        let (here, there) = switch::paths(directory, port);
        let network = format!(
            "dgram,id=n0,local.type=unix,local.path={},remote.type=unix,remote.path={}",
            there.display(),
            here.display()
        );
        let arguments = [clock, &["-netdev", &network, "-net", "nic,netdev=n0"]].concat();
        let mut emulator = Command::new(EMULATOR);
        emulator.args(arguments);
        Self::start_with(emulator, image, directory, port, settings)
    }

    /// Starts the firmware in an emulator that was told how it is connected.
    pub(crate) fn start_with(
        mut emulator: Command,
        image: &Path,
        directory: &Directory,
        port: usize,
        settings: &str,
    ) -> Self {
        let monitor = directory.join(&format!("{port}.qmp"));
        let emulator = emulator
            .args(["-M", "mps2-an385", "-display", "none", "-serial", "stdio"])
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", monitor.display()))
            .arg("-semihosting-config")
            .arg(format!(
                "enable=on,target=native,arg=node,arg={}",
                settings.replace(',', ",,")
            ))
            .arg("-kernel")
            .arg(image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut emulator = Emulator(emulator);
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (output, seen) = (emulator.0.stdout.take().unwrap(), Arc::clone(&lines));
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                seen.lock().unwrap().push(line);
            }
        });
        let connected = wait(|| UnixStream::connect(&monitor).ok(), "the emulator's monitor");
        let mut board = Self {
            port,
            emulator,
            monitor: BufReader::new(connected),
            lines,
        };
        board.read_monitor();
        board.ask_monitor(r#"{"execute":"qmp_capabilities"}"#);
        board
    }

    /// Types letters into its console.
    pub(crate) fn type_in(&mut self, letters: &str) {
        let console = self.emulator.0.stdin.as_mut().unwrap();
        console.write_all(letters.as_bytes()).unwrap();
        console.flush().unwrap();
    }

    /// Pulls or plugs the cable.
    pub(crate) fn set_link(&mut self, up: bool) {
        self.ask_monitor(&format!(
            r#"{{"execute":"set_link","arguments":{{"name":"n0","up":{up}}}}}"#
        ));
    }

    /// Switches the power off.
    pub(crate) fn kill(&mut self) {
        self.emulator.kill();
    }

    /// What it has said so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The state it last said it is in: `MASTER`.
    pub(crate) fn state(&self) -> String {
        let lines = self.lines();
        let last = lines.iter().rev().find_map(|line| {
            let (_, to) = line.split_once(" -> ")?;
            to.split(':').next()
        });
        last.unwrap_or("INIT").to_owned()
    }

    /// How many seconds after the last advertisement that it heard it last became MASTER: by its own clock, without
    /// what the emulator had no processor for.
    pub(crate) fn detection(&self) -> f64 {
        // It says so after it has sent.
        self.wait_for_state("MASTER");
        let lines = self.lines();
        let line = lines.iter().rev().find(|line| line.contains("BACKUP -> MASTER"));
        let line = line.expect("it is MASTER");
        // `12.345678 BACKUP -> MASTER: master timed out; heard 8.954321, woken 140 us late`
        let number = |text: &str| {
            text.parse::<f64>()
                .unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        let between = |before: &str, behind: &str| {
            let (_, rest) = line.split_once(before).unwrap();
            number(rest.split_once(behind).unwrap().0)
        };
        let at = number(line.split(' ').next().unwrap());
        at - between("heard ", ",") - between("woken ", " us") / 1e6
    }

    pub(crate) fn wait_for_state(&self, state: &str) {
        self.wait_until(state, |board| board.state() == state);
    }

    pub(crate) fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = now() + PATIENCE;
        while !holds(self) {
            assert!(
                now() < end,
                "port {}: waited in vain for {what}: {:#?}",
                self.port,
                self.lines()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A counter or number from its status line.
    pub(crate) fn number(&mut self, name: &str) -> u64 {
        let [number] = self.numbers([name]);
        number
    }

    /// Several at one moment.
    pub(crate) fn numbers<const N: usize>(&mut self, names: [&str; N]) -> [u64; N] {
        let before = self.lines().len();
        self.type_in("?");
        let status = |board: &Self| {
            let lines = board.lines();
            lines
                .into_iter()
                .skip(before)
                .find(|line| line.starts_with("status "))
        };
        self.wait_until("status", |board| status(board).is_some());
        let line = status(self).unwrap();
        names.map(|name| {
            let (_, rest) = line
                .split_once(&format!(" {name} "))
                .unwrap_or_else(|| panic!("no {name} in {line}"));
            rest.split(' ').next().unwrap().parse().unwrap()
        })
    }

    /// Microseconds of its own clock.
    pub(crate) fn time(&mut self) -> u64 {
        let line = self.ask_time();
        wait(|| self.answered_time(line), "the time")
    }

    /// Asks for them. What it will say begins at this line.
    pub(crate) fn ask_time(&mut self) -> usize {
        let line = self.lines.lock().unwrap().len();
        self.type_in("t");
        line
    }

    /// What it said to that, if it has.
    pub(crate) fn answered_time(&self, line: usize) -> Option<u64> {
        let lines = self.lines.lock().unwrap();
        let time = lines
            .iter()
            .skip(line)
            .find_map(|line| line.strip_prefix("time "));
        time.map(|micros| micros.parse().unwrap())
    }

    fn ask_monitor(&mut self, command: &str) {
        writeln!(self.monitor.get_mut(), "{command}").unwrap();
        while !self.read_monitor().contains("\"return\"") {}
    }

    fn read_monitor(&mut self) -> String {
        let mut line = String::new();
        self.monitor.read_line(&mut line).unwrap();
        assert!(!line.is_empty() && !line.contains("\"error\""), "monitor: {line}");
        line
    }
}

/// Its process, which does not outlive it.
struct Emulator(Child);

impl Emulator {
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(clippy::disallowed_methods, reason = "emulated boards run in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Tries until it works.
pub(crate) fn wait<T>(mut attempt: impl FnMut() -> Option<T>, what: &str) -> T {
    let end = now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(now() < end, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
