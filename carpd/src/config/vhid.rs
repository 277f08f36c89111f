//! One `[[vhid]]` table.

use std::ops::Range;
use std::path::Path;

use carp_fsm::{Duration, LinkMode, Profile};
use carp_proto::{AdvBase, AdvSkew, Dialect, Key, Vhid};
use carp_std::OnRemoval;
use toml::Spanned;

use super::address::Vip;
use super::fast::Fast;
use super::groups::{self, Groups};
use super::interface::Interface;
use super::nodes::{ADVSKEW, Nodes};
use super::peers::Destinations;
use super::report::Report;
use super::secret::{self, mode_if_world_readable};
use super::table::Table;
use super::{Machine, Purpose, TOP_KEYS};

/// The keys of a `[[vhid]]` table.
pub(super) const KEYS: &[&str] = &[
    "interface",
    "vhid",
    "addresses",
    "password",
    "password_file",
    "advbase",
    "advskew",
    "preempt",
    "preempt_delay",
    "group",
    "fast",
    "peers",
    "multicast",
    "peer_hops",
    "description",
    "dialect",
    "peers_repeat_counter",
    "mode",
    "on_removal",
    "allow_off_subnet",
];

/// Most addresses that one virtual host can have.
pub const MAX_ADDRESSES: usize = 32;

/// One virtual host, as configured.
#[derive(Debug, Clone)]
pub struct VirtualHost {
    /// Name of the interface on which it lives.
    pub interface: String,
    /// Virtual host identifier.
    pub vhid: Vhid,
    /// Virtual addresses. None: the election is all that is wanted.
    pub addresses: Vec<Vip>,
    /// Made from the password; [`Key::NONE`] if the peers have none.
    pub key: Key,
    /// When it advertises, and how long it waits for others.
    pub timing: Timing,
    /// Whether to take over from a master that advertises more slowly; `None`: as [`Settings`](super::Settings) say.
    pub preempt: Option<bool>,
    /// For how long after the start a living master is left alone.
    pub preempt_delay: Duration,
    /// Those that move together have the same.
    pub group: String,
    /// To whom it advertises.
    pub destinations: Destinations,
    /// Free text for the status table.
    pub description: Option<String>,
    /// Whose rules to follow.
    pub dialect: Dialect,
    /// A peer sends one counter for ever, as OpenBSD does.
    pub peers_repeat_counter: bool,
    /// Whose MAC address the virtual addresses have.
    pub mode: LinkMode,
    /// What a master does when somebody else takes its addresses off.
    pub on_removal: OnRemoval,
}

/// When a virtual host advertises, and how long it waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Seconds between advertisements, 1 to 255; 0 in the fast profile.
    pub advbase: AdvBase,
    /// Added to `advbase`, in 1/256 s, 0 to 254. The lowest sum is master.
    pub advskew: AdvSkew,
    /// Whether a silent master is dead within milliseconds.
    pub profile: Profile,
}

impl VirtualHost {
    /// Interface and VHID: `eth0@7`.
    pub fn name(&self) -> String {
        format!("{}@{}", self.interface, self.vhid)
    }
}

/// What the checks need to know beside the table.
pub(super) struct Context<'a> {
    /// Path of the configuration file.
    pub(super) path: &'a Path,
    /// What the file is read for.
    pub(super) purpose: Purpose,
    /// The machine that it has to fit.
    pub(super) machine: &'a Machine,
    /// The `[nodes]`, if there are any.
    pub(super) nodes: Option<&'a Nodes>,
    /// The `[groups]`.
    pub(super) groups: &'a Groups,
    /// What the top of the file says of it.
    pub(super) preempt_delay: Option<u16>,
}

/// A virtual host that may have holes: each `None` that a [`VirtualHost`] cannot have has been reported.
pub(super) struct Draft {
    pub(super) interface: Option<String>,
    pub(super) vhid: Option<Spanned<u8>>,
    pub(super) addresses: Vec<Spanned<Vip>>,
    pub(super) allow_off_subnet: bool,
    key: Option<Key>,
    timing: Timing,
    pub(super) preempt: Option<bool>,
    preempt_delay: Duration,
    pub(super) group: String,
    destinations: Destinations,
    description: Option<String>,
    dialect: Dialect,
    peers_repeat_counter: bool,
    mode: LinkMode,
    on_removal: OnRemoval,
}

impl Draft {
    pub(super) fn read(table: &Table<'_>, context: &Context<'_>, report: &mut Report) -> Self {
        let belongs_above = |key: &str| {
            TOP_KEYS
                .contains(&key)
                .then_some("move it to the top of the file, above the first [[vhid]]")
        };
        table.refuse_unknown_keys(KEYS, belongs_above, report);
        let fast = Fast::read(table, context, report);
        let mut dialect = dialect(table, report);
        if fast.is_some() {
            dialect = Fast::dialect(table, dialect, report);
        }
        let group = context.groups.of(table, report);
        let preempt_delay = groups::preempt_delay(table, report)
            .or(group.preempt_delay)
            .or(context.preempt_delay);
        let (interface, vhid) = (interface(table, context, report), vhid(table, report));
        let addresses = addresses(table, dialect, report);
        Self {
            interface,
            vhid,
            destinations: Destinations::read(table, &addresses, context, report),
            addresses,
            allow_off_subnet: table.boolean("allow_off_subnet", report).unwrap_or(false),
            key: key(table, context, report),
            timing: match fast {
                Some(fast) => fast.timing(table, context, report),
                None => Timing {
                    advbase: AdvBase::new(advbase(table, report)),
                    advskew: AdvSkew::new(advskew(table, dialect, context.nodes, report)),
                    profile: Profile::Normal,
                },
            },
            preempt: table.boolean("preempt", report).or(group.preempt),
            preempt_delay: Duration::from_secs(preempt_delay.unwrap_or(0).into()),
            group: group.name,
            description: description(table, report),
            dialect,
            peers_repeat_counter: table.boolean("peers_repeat_counter", report).unwrap_or(false),
            mode: mode(table, report),
            on_removal: on_removal(table, report),
        }
    }

    /// The virtual host, if nothing of it is missing.
    pub(super) fn finish(self) -> Option<VirtualHost> {
        Some(VirtualHost {
            interface: self.interface?,
            vhid: Vhid::new(self.vhid?.into_inner())?,
            addresses: self.addresses.into_iter().map(Spanned::into_inner).collect(),
            key: self.key?,
            timing: self.timing,
            preempt: self.preempt,
            preempt_delay: self.preempt_delay,
            group: self.group,
            destinations: self.destinations,
            description: self.description,
            dialect: self.dialect,
            peers_repeat_counter: self.peers_repeat_counter,
            mode: self.mode,
            on_removal: self.on_removal,
        })
    }
}

fn interface(table: &Table<'_>, context: &Context<'_>, report: &mut Report) -> Option<String> {
    let names = |interfaces: &[Interface]| {
        let usable = interfaces.iter().filter(|interface| interface.is_ethernet);
        let names: Vec<_> = usable.map(|interface| interface.name.as_str()).collect();
        names.join(", ")
    };
    if !table.items.contains_key("interface") {
        let here = context
            .machine
            .interfaces
            .as_ref()
            .map(|interfaces| format!(" (this machine has {})", names(interfaces)))
            .unwrap_or_default();
        report.mistake(
            &table.header,
            format!("no interface; write interface = \"NAME\"{here}"),
        );
        return None;
    }
    let name = table.string("interface", report)?;
    if let Some(interfaces) = &context.machine.interfaces {
        let wrong = name.get_ref().escape_debug();
        let problem = match interfaces.iter().find(|here| here.name == *name.get_ref()) {
            None => Some(format!("there is no interface {wrong}")),
            Some(here) if !here.is_ethernet => Some(format!("{wrong} is no Ethernet interface")),
            Some(_) => None,
        };
        if let Some(problem) = problem {
            let advice = match names(interfaces) {
                names if names.is_empty() => "this machine has no Ethernet interface".to_owned(),
                names => format!("write one of {names}"),
            };
            report.mistake(&name.span(), format!("{problem}; {advice}"));
        }
    }
    Some((*name.get_ref()).to_owned())
}

fn vhid(table: &Table<'_>, report: &mut Report) -> Option<Spanned<u8>> {
    if !table.items.contains_key("vhid") {
        report.mistake(
            &table.header,
            "no vhid; write vhid = N, from 1 to 255, the same on all nodes",
        );
    }
    table.number("vhid", 1..=255, ", the same on all nodes", report)
}

fn addresses(table: &Table<'_>, dialect: Dialect, report: &mut Report) -> Vec<Spanned<Vip>> {
    const EXAMPLE: &str = "192.0.2.10/24";
    if !table.items.contains_key("addresses") {
        report.mistake(
            &table.header,
            format!("no addresses; write addresses = [\"{EXAMPLE}\"]"),
        );
    }
    let Some(list) = table.strings("addresses", EXAMPLE, report) else {
        return Vec::new();
    };
    let mut vips = Vec::new();
    for text in list.get_ref() {
        match Vip::parse(text.get_ref()) {
            Ok(vip) => vips.push(Spanned::new(text.span(), vip)),
            Err(why) => report.mistake(&text.span(), why),
        }
    }
    let single = dialect.rules().single_ipv4;
    if single && table.is_empty_list("addresses") {
        report.mistake(
            &list.span(),
            format!("UCarp has no election without an address; write one, like \"{EXAMPLE}\""),
        );
    } else if single && (vips.len() > 1 || vips.iter().any(|vip| vip.get_ref().ip.is_ipv6())) {
        report.mistake(
            &list.span(),
            "UCarp has one IPv4 address for each vhid; write a [[vhid]] table for each",
        );
    } else if vips.len() > MAX_ADDRESSES {
        report.mistake(
            &list.span(),
            format!("more than {MAX_ADDRESSES} addresses; write a second [[vhid]] table for the others"),
        );
    }
    vips
}

fn key(table: &Table<'_>, context: &Context<'_>, report: &mut Report) -> Option<Key> {
    let password = table.string("password", report);
    let file = table.string("password_file", report);
    match (password, file) {
        (Some(_), Some(file)) => {
            report.mistake(
                &file.span(),
                "password and password_file are both here; write only one of them",
            );
            None
        }
        (Some(text), None) => {
            let key = secret::key(text.get_ref().as_bytes())
                .map_err(|why| report.mistake(&text.span(), why))
                .ok()?;
            if key == Key::NONE {
                let risk =
                    "anybody on the network can become master; write one unless the peers have none too";
                report.warning(&text.span(), format!("the password is empty: {risk}"));
            } else if let Some(mode) = mode_if_world_readable(context.path) {
                let fact = format!("every user can read the password here (this file has mode {mode:04o})");
                report.warning(
                    &text.span(),
                    format!("{fact}; chmod 600 it, or write password_file = \"FILE\""),
                );
            }
            Some(key)
        }
        (None, Some(text)) => {
            let path = secret::path(
                context.machine.credentials.as_deref(),
                context.path,
                text.get_ref(),
            );
            let key = secret::key_in(&path)
                .map_err(|why| report.mistake(&text.span(), why))
                .ok()?;
            if let Some(mode) = mode_if_world_readable(&path) {
                let shown = path.display();
                report.warning(
                    &text.span(),
                    format!("every user can read {shown} (it has mode {mode:04o}); chmod 600 it"),
                );
            }
            let credentials = context.machine.credentials.as_deref();
            let is_credential = credentials.is_some_and(|directory| path.starts_with(directory));
            if is_credential && context.purpose == Purpose::Reload {
                let file = text.get_ref().escape_debug();
                report.warning(
                    &text.span(),
                    format!(
                        "{file} is a credential, and stays as it was when carpd was started; restart carpd if it has \
                         changed"
                    ),
                );
            }
            Some(key)
        }
        (None, None) => {
            if !table.items.contains_key("password") && !table.items.contains_key("password_file") {
                let advice = "write password_file = \"FILE\" or password = \"...\", the same on all nodes";
                report.mistake(&table.header, format!("no password; {advice}"));
            }
            None
        }
    }
}

fn advbase(table: &Table<'_>, report: &mut Report) -> u8 {
    let meaning = ", the seconds between advertisements";
    table
        .number("advbase", 1..=255, meaning, report)
        .map_or(1, Spanned::into_inner)
}

fn advskew(table: &Table<'_>, dialect: Dialect, nodes: Option<&Nodes>, report: &mut Report) -> u8 {
    let own = table.items.get("advskew");
    let span = own.map_or(table.header.clone(), Spanned::span);
    let Some(nodes) = nodes else {
        let Some(advskew) = table.number("advskew", 0..=254, ADVSKEW, report) else {
            return 0;
        };
        warn_of_cut_advskew(*advskew.get_ref(), dialect, &span, report);
        return advskew.into_inner();
    };
    let all = nodes.with_own(own, report);
    for (_, advskew) in &all {
        warn_of_cut_advskew(*advskew, dialect, &span, report);
    }
    nodes.own(&all)
}

fn warn_of_cut_advskew(advskew: u8, dialect: Dialect, span: &Range<usize>, report: &mut Report) {
    let sent = dialect.effective_skew(AdvSkew::new(advskew), 0).get();
    if sent < advskew {
        let advice = format!("write at most {sent}, or two such nodes tie");
        report.warning(
            span,
            format!("{dialect} sends every advskew above {sent} as {sent}; {advice}"),
        );
    }
}

fn description(table: &Table<'_>, report: &mut Report) -> Option<String> {
    let text = table.string("description", report)?;
    if text.get_ref().chars().any(char::is_control) {
        report.mistake(
            &text.span(),
            "the description contains control characters; write it in one line",
        );
    }
    Some((*text.get_ref()).to_owned())
}

fn dialect(table: &Table<'_>, report: &mut Report) -> Dialect {
    let Some(name) = table.string("dialect", report) else {
        return Dialect::default();
    };
    name.get_ref().parse().unwrap_or_else(|_| {
        let wrong = name.get_ref().escape_debug();
        let names = Dialect::ALL.map(|dialect| dialect.to_string()).join(", ");
        report.mistake(
            &name.span(),
            format!("there is no dialect {wrong}; write one of {names}"),
        );
        Dialect::default()
    })
}

fn mode(table: &Table<'_>, report: &mut Report) -> LinkMode {
    let modes = [("plain", LinkMode::Plain), ("vmac", LinkMode::Vmac)];
    table.one_of("mode", &modes, report)
}

fn on_removal(table: &Table<'_>, report: &mut Report) -> OnRemoval {
    let reactions = [("restore", OnRemoval::Restore), ("demote", OnRemoval::Demote)];
    table.one_of("on_removal", &reactions, report)
}
