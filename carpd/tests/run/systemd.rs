//! carpd as a service: it tells systemd how it is, and does without root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::SOMEBODY;
use crate::network::{Daemon, Network};

/// Any group that neither root nor somebody is in.
const GROUP: u32 = 65_533;

#[test]
fn systemd_is_told() {
    let Some(network) = Network::new("notify") else {
        return;
    };
    let path = network.dir.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let told = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).expect("a message in time");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    };
    let mut command = network.run("here", "");
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let daemon = Daemon::start(command);
    assert_eq!(told(), "READY=1");
    assert!(network.ask("here", &["status"]).status.success(), "it is ready");
    for _ in 0..5 {
        assert_eq!(told(), "WATCHDOG=1", "although nothing happens");
    }
    daemon.signal(Signal::HUP);
    let reloading = loop {
        match told().as_str() {
            "WATCHDOG=1" => {}
            other => break other.to_owned(),
        }
    };
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(
        since.is_some_and(|since| since.parse::<u64>().is_ok()),
        "{reloading}"
    );
    assert_eq!(told(), "READY=1");
    daemon.signal(Signal::TERM);
    loop {
        match told().as_str() {
            "WATCHDOG=1" => {}
            other => break assert_eq!(other, "STOPPING=1"),
        }
    }
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn a_notify_socket_that_cannot_be_used_is_reported() {
    let Some(network) = Network::new("no-notify") else {
        return;
    };
    let output = network
        .run("here", "")
        .env("NOTIFY_SOCKET", "/nowhere/notify")
        .output()
        .expect("carpd starts");
    assert_eq!(
        (output.status.code(), crate::text(&output.stderr)),
        (
            Some(1),
            "carpd: cannot use NOTIFY_SOCKET: No such file or directory (os error 2)\n"
        )
    );
}

/// What the unit starts on an interface: another user, two capabilities, and what systemd prepares for it.
struct Service<'a> {
    network: &'a Network,
    interface: &'a str,
    /// Belongs to its user.
    own: PathBuf,
    config: PathBuf,
}

impl<'a> Service<'a> {
    fn new(network: &'a Network, interface: &'a str, more: &str) -> Self {
        let own = network.dir.path().join(format!("run-{interface}"));
        fs::create_dir_all(&own).expect("a directory");
        let it = Self {
            network,
            interface,
            config: network.dir.path().join(format!("{interface}-service.toml")),
            own,
        };
        give(&it.own);
        let text = format!(
            "control_socket = \"{}\"\n[[vhid]]\ninterface = \"{interface}\"\nvhid = 7\naddresses = [\"{}\"]\n\
             password_file = \"carpd.password\"\n{more}",
            it.socket().display(),
            network.vip
        );
        fs::write(&it.config, text).expect("a configuration");
        it
    }

    fn socket(&self) -> PathBuf {
        self.own.join("control.sock")
    }

    /// As `LoadCredential=` does, in its own directory.
    fn load_credential(&self) {
        let credential = self.own.join("carpd.password");
        fs::write(&credential, "opensesame").expect("a credential");
        fs::set_permissions(&credential, fs::Permissions::from_mode(0o400)).expect("a mode");
        give(&credential);
    }

    /// In these `SupplementaryGroups=`.
    fn start(&self, groups: &[&str], credentials: bool) -> Daemon {
        let copy = self.network.dir.path().join("carpd");
        if !copy.exists() {
            fs::copy(env!("CARGO_BIN_EXE_carpd"), &copy).expect("a copy, where somebody can reach it");
        }
        let id = SOMEBODY.to_string();
        let mut command = self.network.program("setpriv");
        command.args(["--reuid", &id, "--regid", &id]);
        if groups.is_empty() {
            command.arg("--clear-groups");
        } else {
            command.args(["--groups", &groups.join(",")]);
        }
        for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
            command.args([set, "-all,+net_raw,+net_admin"]);
        }
        command.arg(&copy).args(["run", "--config"]).arg(&self.config);
        if credentials {
            command.env("CREDENTIALS_DIRECTORY", &self.own);
        }
        Daemon::start(command)
    }

    /// `carpd` of an operator: exit code and standard output.
    fn ask(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carpd"));
        let output = command.args(args).arg("--socket").arg(self.socket()).output();
        let output = output.expect("carpd starts");
        assert_eq!(crate::text(&output.stderr), "", "{}", self.interface);
        let code = output.status.code().expect("no signal");
        (code, crate::text(&output.stdout).to_owned())
    }
}

/// To its user.
fn give(path: &Path) {
    std::os::unix::fs::chown(path, Some(SOMEBODY), Some(SOMEBODY)).expect("the owner");
}

/// As the unit has it: another user, two capabilities, the password as a credential.
#[test]
fn two_capabilities_are_enough() {
    let Some(network) = Network::new("capabilities") else {
        return;
    };
    let service = Service::new(&network, "here", "");
    service.load_credential();
    let daemon = service.start(&[], true);
    daemon.wait_for("BACKUP -> MASTER");
    assert!(network.has_vip("here"));
    daemon.signal(Signal::TERM);
    daemon.wait_for("carpd: stopped");
    assert!(!network.has_vip("here"));
    assert_eq!(daemon.exit_code(), Some(0));
}

/// systemd reads it at the start and never again: who has changed it must hear that this was in vain.
#[test]
fn a_reload_says_that_a_credential_is_the_old_one() {
    let Some(network) = Network::new("credential") else {
        return;
    };
    let service = Service::new(&network, "here", "");
    service.load_credential();
    let daemon = service.start(&[], true);
    daemon.wait_for("BACKUP -> MASTER");
    network.dir.write("carpd.password", "another");
    let warning = format!(
        "{}:6: warning: carpd.password is a credential, and stays as it was when carpd was started; restart carpd if it \
         has changed",
        service.config.display()
    );
    assert_eq!(
        service.ask(&["reload"]),
        (0, format!("{warning}\nconfiguration: 1 unchanged\n"))
    );
    daemon.wait_for(&format!("carpd: {warning}"));
}

/// The recipe: the file belongs to a group of the service, and a reload reads it.
#[test]
fn a_password_file_of_its_group_changes_by_reload_on_a_living_pair() {
    let Some(network) = Network::new("password-file") else {
        return;
    };
    let write = |password: &str| {
        let file = network.dir.write("carpd.password", password);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("a mode");
        std::os::unix::fs::chown(&file, Some(0), Some(GROUP)).expect("the group");
    };
    write("opensesame");
    let group = GROUP.to_string();
    let better = Service::new(&network, "here", "");
    let other = Service::new(&network, "there", "advskew = 100\n");
    let daemons = [&better, &other].map(|service| service.start(&[&group], false));
    daemons[0].wait_for("BACKUP -> MASTER");
    write("another");
    for service in [&other, &better] {
        let name = format!("{}@7", service.interface);
        assert_eq!(
            service.ask(&["reload"]),
            (
                0,
                format!("{name}: changed (password)\nconfiguration: 1 changed\n")
            )
        );
        thread::sleep(Duration::from_millis(1_500)); // an advertisement and more, while only one has changed
    }
    for (service, transitions) in [(&better, 2), (&other, 1)] {
        let (_, events) = service.ask(&["events"]);
        assert_eq!(events.matches(" carp: 7@").count(), transitions, "{events}");
    }
}
