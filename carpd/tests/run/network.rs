//! The network of a test, and the carpd processes in it.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use carpd::lab::topology::Namespace;

use crate::common::TempDir;

/// The virtual address of every carpd, unless a test says otherwise.
pub(crate) const VIP: &str = "192.0.2.10/24";

/// A network namespace with two interfaces that are joined by a cable: `here` (192.0.2.2/24) and `there`
/// (192.0.2.3/24).
pub(crate) struct Network {
    pub(crate) namespace: Namespace,
    pub(crate) dir: TempDir,
    /// The virtual address, with prefix.
    pub(crate) vip: &'static str,
}

impl Network {
    /// `None`: there are no rights for it, and this is not the place where that matters.
    pub(crate) fn new(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "this test needs root"
            );
            // Not by `eprintln!`, which a passing test keeps to itself.
            let _ = writeln!(
                io::stderr(),
                "LEFT OUT: the test '{name}' of carpd run needs root"
            );
            return None;
        }
        let namespace = namespace(name);
        let dir = TempDir::new(name);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let network = Self {
            namespace,
            dir,
            vip: VIP,
        };
        network.ip(&["link", "add", "here", "type", "veth", "peer", "name", "there"]);
        for (interface, address) in [("here", "192.0.2.2/24"), ("there", "192.0.2.3/24")] {
            network.ip(&["address", "add", address, "dev", interface]);
            network.ip(&["link", "set", interface, "up"]);
        }
        Some(network)
    }

    pub(crate) fn ip(&self, args: &[&str]) -> String {
        let done = self.namespace.ip(&args.join(" "));
        done.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn has_vip(&self, interface: &str) -> bool {
        self.ip(&["-o", "address", "show", "dev", interface])
            .contains(self.vip)
    }

    /// The control socket of the carpd on an interface.
    pub(crate) fn socket(&self, interface: &str) -> PathBuf {
        self.dir.path().join(format!("{interface}.sock"))
    }

    /// Writes the configuration for one virtual host on an interface, ending with `more`. Returns its path.
    pub(crate) fn configure(&self, interface: &str, more: &str) -> String {
        let socket = self.socket(interface);
        let config = format!(
            "control_socket = \"{}\"\nstate_directory = \"{}\"\n[[vhid]]\ninterface = \"{interface}\"\nvhid = \
             7\naddresses = [\"{}\"]\npassword = \"opensesame\"\ndescription = \"LAN gateway\"\n{more}",
            socket.display(),
            self.dir.path().join(format!("state-{interface}")).display(),
            self.vip
        );
        self.dir.write(&format!("{interface}.toml"), &config)
    }

    /// `carpd run` for one virtual host on an interface, its file ending with `more`.
    pub(crate) fn run(&self, interface: &str, more: &str) -> Command {
        self.carpd(&["run", "--config", &self.configure(interface, more)])
    }

    /// `carpd` inside.
    pub(crate) fn carpd(&self, args: &[&str]) -> Command {
        carpd(&self.namespace, args)
    }

    /// Any program inside.
    pub(crate) fn program(&self, program: &str) -> Command {
        self.namespace.command(program)
    }

    /// Starts somebody with our vhid and another password.
    pub(crate) fn start_stranger(&self, interface: &str) -> Daemon {
        let file = self.configure(interface, "");
        let text = fs::read_to_string(&file).expect("the file");
        fs::write(&file, text.replace("opensesame", "something else")).expect("a file");
        Daemon::start(self.carpd(&["run", "--config", &file]))
    }

    /// Starts [`run`](Self::run).
    pub(crate) fn start(&self, interface: &str, more: &str) -> Daemon {
        Daemon::start(self.run(interface, more))
    }

    /// Moves `there` into a network namespace of its own, as another machine.
    pub(crate) fn move_there(&self, name: &str) -> Namespace {
        let far = namespace(name);
        self.ip(&["link", "set", "there", "netns", far.name()]);
        for words in ["address add 192.0.2.3/24 dev there", "link set there up"] {
            far.ip(words).expect("an interface");
        }
        far
    }

    /// Starts `carpd run` for `there` after [`move_there`](Self::move_there).
    pub(crate) fn start_there(&self, far: &Namespace, more: &str) -> Daemon {
        Daemon::start(carpd(far, &["run", "--config", &self.configure("there", more)]))
    }

    /// Asks the carpd on an interface.
    pub(crate) fn ask(&self, interface: &str, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carpd"));
        command
            .args(args)
            .arg("--socket")
            .arg(self.socket(interface))
            .output()
            .expect("carpd starts")
    }

    pub(crate) fn json(&self, interface: &str) -> serde_json::Value {
        serde_json::from_slice(&self.ask(interface, &["status", "--json"]).stdout).expect("JSON")
    }
}

/// A network namespace with IPv6.
fn namespace(name: &str) -> Namespace {
    Namespace::new(format!("carpd-{name}-{}", std::process::id()), true).expect("a network namespace")
}

fn carpd(namespace: &Namespace, args: &[&str]) -> Command {
    let mut command = namespace.command(env!("CARGO_BIN_EXE_carpd"));
    command.args(args);
    command
}

/// A running `carpd run`, killed with its owner.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    lines: Receiver<String>,
}

impl Daemon {
    /// Starts `carpd run`, and collects its log.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("carpd starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line of the log that contains `text`, and returns it.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(10)) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen = seen + &line + "\n",
                Err(error) => panic!("no line with {text:?} ({error}), but:\n{seen}"),
            }
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Waits for the end and returns the exit code; `None` after a signal.
    pub(crate) fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
