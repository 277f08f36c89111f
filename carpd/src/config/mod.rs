//! The configuration file: TOML, one `[[vhid]]` table for each virtual host.
//!
//! [`load`] reports *every* mistake of a file, each as `FILE:LINE: what is wrong; what to write instead`, and
//! gives a [`Config`] only if there is none. The keys are described in this crate's `README.md`.

mod address;
mod cluster;
mod fast;
mod fit;
mod groups;
mod hooks;
mod interface;
mod nodes;
mod peers;
mod policy;
mod process;
mod report;
mod secret;
mod settings;
mod syntax;
mod table;
mod vhid;

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use carp_fsm::Policy;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use address::Vip;
pub use groups::DEFAULT_GROUP;
pub use hooks::Hook;
pub use interface::Interface;
pub use peers::{Destinations, MAX_PEERS};
pub use policy::policy_changes;
pub use process::Process;
pub use report::{Finding, Report, Severity};
pub use settings::{MAX_DSCP, MAX_LOG, Settings};
pub use vhid::{MAX_ADDRESSES, Timing, VirtualHost};

use crate::log::Format;

use cluster::Cluster;
use groups::Groups;
use nodes::Nodes;
use table::{Table, tables};
use vhid::Draft;

/// An example with every key, its meaning and its default.
pub const EXAMPLE: &str = include_str!("../../examples/carpd.toml");
/// Where the control socket is unless the file or the command line says otherwise.
pub const DEFAULT_CONTROL_SOCKET: &str = "/run/carpd/control.sock";
/// Where maintenance mode is stored unless the file or systemd says otherwise.
pub const DEFAULT_STATE_DIRECTORY: &str = "/var/lib/carpd";

/// Largest configuration file in bytes, so that a wrong path (`/dev/zero`) cannot eat the memory.
const MAX_FILE: u64 = 1 << 20;
/// Longest path of a Unix socket that every system takes.
const MAX_SOCKET_PATH: usize = 103;
/// Longest path otherwise.
const MAX_PATH: usize = 1024;

/// A configuration without mistakes.
#[derive(Debug, Clone)]
pub struct Config {
    /// Path of the control socket.
    pub control_socket: PathBuf,
    /// What the process asks of the system.
    pub process: Process,
    /// Where maintenance mode is stored.
    pub state_directory: PathBuf,
    /// Which of the `[nodes]` this machine is, if the file has them.
    pub node: Option<String>,
    /// Programs that are told what happens, in the order of the file.
    pub hooks: Vec<Hook>,
    /// What the lines of the log look like.
    pub log_format: Format,
    /// What holds for all virtual hosts.
    pub settings: Settings,
    /// How the election behaves, the settings aside.
    pub policy: Policy,
    /// The virtual hosts, in the order of the file; at least one.
    pub hosts: Vec<VirtualHost>,
}

impl Config {
    /// `1 virtual host`, `2 virtual hosts on node alpha`.
    pub fn size(&self) -> String {
        let mut size = match self.hosts.len() {
            1 => "1 virtual host".to_owned(),
            count => format!("{count} virtual hosts"),
        };
        if let Some(node) = &self.node {
            size = size + " on node " + node;
        }
        size
    }
}

/// What became of a configuration file.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` if the report has mistakes.
    pub config: Option<Config>,
    /// Mistakes and warnings.
    pub report: Report,
}

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be checked, on a machine whose network is set up: it must fit.
    Check,
    /// To be used. The addresses of this machine may still have to come, so that what does not fit them is a warning.
    Run,
    /// To be used by a process that runs already. It warns of what such a process cannot see.
    Reload,
}

/// The machine that a file has to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its interfaces, if they can be known.
    pub interfaces: Option<Vec<Interface>>,
    /// What it is called, if that can be known.
    pub host_name: Option<String>,
    /// Which of the `[nodes]` it is, if that has been said; otherwise the one with its name.
    pub node: Option<String>,
    /// Where systemd has put the credentials of the service, if it has.
    pub credentials: Option<PathBuf>,
    /// Where systemd wants the state of the service to be, if it has said.
    pub state: Option<PathBuf>,
}

impl Machine {
    /// This machine.
    pub fn this(node: Option<String>) -> Self {
        Self {
            interfaces: interface::here(),
            host_name: nodes::host_name(),
            node,
            credentials: env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            state: env::var_os("STATE_DIRECTORY")
                .and_then(|directories| env::split_paths(&directories).next()),
        }
    }
}

/// Reads and checks a file against a machine: its interfaces must exist here, its password files must be
/// readable.
///
/// # Errors
///
/// Only if the file itself cannot be read. Mistakes in it are in the report.
pub fn load(path: &Path, purpose: Purpose, machine: &Machine) -> io::Result<Loaded> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other("larger than 1 MiB, which no configuration is"));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            let mut report = Report::new(path.display().to_string(), &text);
            report.mistake(
                &(good..good),
                "this line is not UTF-8 text; save the file as UTF-8",
            );
            return Ok(Loaded { config: None, report });
        }
    };
    Ok(check(path, &text, purpose, machine))
}

/// Checks the text of a file. `path` is named in the report, and password files are looked for beside it.
pub fn check(path: &Path, text: &str, purpose: Purpose, machine: &Machine) -> Loaded {
    let mut report = Report::new(path.display().to_string(), text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !syntax::report(text, &errors, &mut report) {
        return Loaded { config: None, report };
    }
    let config = read_document(document.get_ref(), path, purpose, machine, &mut report);
    let config = if report.is_usable() { config } else { None };
    Loaded { config, report }
}

/// Keys at the top of the file, before the first `[[vhid]]`.
const TOP_KEYS: &[&str] = &[
    "control_socket",
    "realtime_priority",
    "lock_memory",
    "state_directory",
    "allow",
    "preempt",
    "log",
    "log_format",
    "ifdown_demotion_factor",
    "senderr_demotion_factor",
    "not_ready_demotion_factor",
    "dscp",
    "preempt_delay",
    "change_grace",
    "ignore_replays",
    "announce_burst",
    "reannounce",
    "announce_refresh",
    "announce_frames",
    "announce_window",
    "cluster",
    "groups",
    "hooks",
    "nodes",
    "vhid",
];

/// Every key of every table, each once.
pub fn keys() -> BTreeSet<&'static str> {
    let tables = [
        TOP_KEYS,
        vhid::KEYS,
        cluster::KEYS,
        fast::KEYS,
        groups::KEYS,
        hooks::KEYS,
    ];
    tables.into_iter().flatten().copied().collect()
}

fn read_document(
    document: &DeTable<'_>,
    path: &Path,
    purpose: Purpose,
    machine: &Machine,
    report: &mut Report,
) -> Option<Config> {
    let top = Table {
        items: document,
        header: 0..0,
    };
    let belongs_below = |key: &str| {
        vhid::KEYS
            .contains(&key)
            .then_some("move it into a [[vhid]] table")
    };
    top.refuse_unknown_keys(TOP_KEYS, belongs_below, report);

    let control_socket = full_path(
        &top,
        "control_socket",
        DEFAULT_CONTROL_SOCKET,
        MAX_SOCKET_PATH,
        report,
    );
    let state_directory = full_path(&top, "state_directory", DEFAULT_STATE_DIRECTORY, MAX_PATH, report);
    let state_directory = state_directory.or_else(|| machine.state.clone());
    let process = Process::read(&top, report);
    let settings = Settings::read(&top, report);
    let policy = policy::read(&top, report);
    let preempt_delay = groups::preempt_delay(&top, report);
    let hooks = hooks::read(document, report);
    let formats = [Format::Text, Format::Json].map(|format| (format.name(), format));
    let log_format = top.one_of("log_format", &formats, report);

    let Machine { node, host_name, .. } = machine;
    let nodes = Nodes::read(document, node.as_deref(), host_name.as_deref(), report);
    let groups = Groups::read(document, report);

    let context = vhid::Context {
        path,
        purpose,
        machine,
        nodes: nodes.as_ref(),
        groups: &groups,
        preempt_delay,
    };
    let drafts: Vec<Draft> = vhid_tables(document, report)
        .iter()
        .map(|table| Draft::read(table, &context, report))
        .collect();
    groups.warn_of_empty(&drafts, report);
    refuse_equal_vhids(&drafts, report);
    refuse_equal_addresses(&drafts, report);
    fit::compare(&drafts, &context, report);
    Cluster::read(document, report).compare(&drafts, report);
    if !document.contains_key("preempt") {
        cluster::warn_without_preempt(&drafts, report);
    }
    let hosts = drafts
        .into_iter()
        .map(Draft::finish)
        .collect::<Option<Vec<_>>>()?;
    Some(Config {
        process,
        control_socket: control_socket.unwrap_or_else(|| DEFAULT_CONTROL_SOCKET.into()),
        state_directory: state_directory.unwrap_or_else(|| DEFAULT_STATE_DIRECTORY.into()),
        node: nodes.and_then(|nodes| nodes.this().map(str::to_owned)),
        hooks,
        log_format,
        settings,
        policy,
        hosts,
    })
}

fn full_path(top: &Table<'_>, key: &str, example: &str, max: usize, report: &mut Report) -> Option<PathBuf> {
    let text = top.string(key, report)?;
    let path = *text.get_ref();
    if !path.starts_with('/') || path.len() > max {
        let advice = format!("write one like {example:?}, of at most {max} bytes");
        report.mistake(&text.span(), format!("{key} is not a usable path; {advice}"));
    }
    Some(PathBuf::from(path))
}

fn vhid_tables<'a>(document: &'a DeTable<'a>, report: &mut Report) -> Vec<Table<'a>> {
    let Some((key, value)) = document.get_key_value("vhid") else {
        report.mistake(
            &(0..0),
            "no virtual host; write a [[vhid]] table with interface, vhid, addresses",
        );
        return Vec::new();
    };
    let DeValue::Array(array) = value.get_ref() else {
        let advice = match value.get_ref() {
            DeValue::Table(_) => "[vhid] is a single table; write [[vhid]], once for each virtual host",
            _ => "vhid is in the wrong place; write a line [[vhid]] above the keys of a virtual host",
        };
        report.mistake(&key.span(), advice);
        return Vec::new();
    };
    if array.is_empty() {
        report.mistake(&value.span(), "no virtual host; write a [[vhid]] table for each");
    }
    tables(array, "vhid", report)
}

fn refuse_equal_vhids(drafts: &[Draft], report: &mut Report) {
    let mut seen: HashMap<(&str, u8), Range<usize>> = HashMap::new();
    for draft in drafts {
        let (Some(interface), Some(vhid)) = (&draft.interface, &draft.vhid) else {
            continue;
        };
        let (interface, number) = (interface.as_str(), *vhid.get_ref());
        if let Some(first) = seen.get(&(interface, number)) {
            let line = report.line_of(first);
            report.mistake(
                &vhid.span(),
                format!(
                    "vhid {number} is already used on {interface} in line {line}; write another number, or put \
                     the addresses into that table"
                ),
            );
        } else {
            seen.insert((interface, number), vhid.span());
        }
    }
}

fn refuse_equal_addresses(drafts: &[Draft], report: &mut Report) {
    let mut seen: HashMap<(_, Option<&str>), &Spanned<Vip>> = HashMap::new();
    for draft in drafts {
        for vip in &draft.addresses {
            let ip = vip.get_ref().ip;
            // A link-local address means something else on each interface.
            let scope = draft
                .interface
                .as_deref()
                .filter(|_| vip.get_ref().is_link_local());
            if let Some(first) = seen.get(&(ip, scope)) {
                let line = report.line_of(&first.span());
                report.mistake(
                    &vip.span(),
                    format!("{ip} is already used in line {line}; write it once"),
                );
            } else {
                seen.insert((ip, scope), vip);
            }
        }
    }
}

#[cfg(all(test, unix))] // with file modes
mod tests;
