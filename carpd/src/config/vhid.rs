//! One `[[vhid]]` table.

use std::path::Path;

use toml::Spanned;

use super::address::Vip;
use super::report::Report;
use super::secret::{Password, mode_if_world_readable};
use super::table::Table;

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
    "description",
    "dialect",
];

/// One virtual host, as configured.
#[derive(Debug, Clone)]
pub struct VirtualHost {
    /// Name of the interface on which it lives.
    pub interface: String,
    /// Virtual host identifier, 1 to 255.
    pub vhid: u8,
    /// Virtual addresses; at least one.
    pub addresses: Vec<Vip>,
    /// Password; empty if the peers have none.
    pub password: Password,
    /// Seconds between advertisements, 1 to 255.
    pub advbase: u8,
    /// Added to `advbase`, in 1/256 s, 0 to 254. The lowest sum is master.
    pub advskew: u8,
    /// Whether to take over from a master that advertises more slowly.
    pub preempt: bool,
    /// Free text for the status table.
    pub description: Option<String>,
    /// Whose rules to follow.
    pub dialect: String,
}

/// What the checks need to know beside the table.
pub(super) struct Context<'a> {
    /// Path of the configuration file.
    pub(super) path: &'a Path,
    /// Interfaces of this machine, if they can be known.
    pub(super) interfaces: Option<&'a [String]>,
}

/// A virtual host that may have holes: each `None` that a [`VirtualHost`] cannot have has been reported.
pub(super) struct Draft {
    pub(super) interface: Option<String>,
    pub(super) vhid: Option<Spanned<u8>>,
    pub(super) addresses: Vec<Spanned<Vip>>,
    password: Option<Password>,
    advbase: u8,
    advskew: u8,
    preempt: bool,
    description: Option<String>,
    dialect: Option<String>,
}

impl Draft {
    pub(super) fn read(table: &Table<'_>, preempt: bool, context: &Context<'_>, report: &mut Report) -> Self {
        let belongs_above = |key: &str| {
            (key == "control_socket").then_some("move it to the top of the file, above the first [[vhid]]")
        };
        table.refuse_unknown_keys(KEYS, belongs_above, report);
        let dialect = dialect(table, report);
        Self {
            interface: interface(table, context, report),
            vhid: vhid(table, report),
            addresses: addresses(table, report),
            password: password(table, context, report),
            advbase: advbase(table, report),
            advskew: advskew(table, dialect.as_deref(), report),
            preempt: table.boolean("preempt", report).unwrap_or(preempt),
            description: description(table, report),
            dialect,
        }
    }

    /// The virtual host, if nothing of it is missing.
    pub(super) fn finish(self) -> Option<VirtualHost> {
        Some(VirtualHost {
            interface: self.interface?,
            vhid: self.vhid?.into_inner(),
            addresses: self.addresses.into_iter().map(Spanned::into_inner).collect(),
            password: self.password?,
            advbase: self.advbase,
            advskew: self.advskew,
            preempt: self.preempt,
            description: self.description,
            dialect: self.dialect?,
        })
    }
}

fn interface(table: &Table<'_>, context: &Context<'_>, report: &mut Report) -> Option<String> {
    let known = context.interfaces.map(|names| names.join(", "));
    if !table.items.contains_key("interface") {
        let here = known
            .map(|names| format!(" (this machine has {names})"))
            .unwrap_or_default();
        report.mistake(
            &table.header,
            format!("no interface; write interface = \"NAME\"{here}"),
        );
        return None;
    }
    let name = table.string("interface", report)?;
    if let Some(names) = context.interfaces
        && !names.iter().any(|n| n == name.get_ref())
    {
        let wrong = name.get_ref().escape_debug();
        let names = known.unwrap_or_default();
        report.mistake(
            &name.span(),
            format!("there is no interface {wrong}; write one of {names}"),
        );
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

fn addresses(table: &Table<'_>, report: &mut Report) -> Vec<Spanned<Vip>> {
    const EXAMPLE: &str = "192.0.2.10/24";
    if !table.items.contains_key("addresses") {
        report.mistake(
            &table.header,
            format!("no addresses; write addresses = [\"{EXAMPLE}\"]"),
        );
    }
    let Some(texts) = table.strings("addresses", EXAMPLE, report) else {
        return Vec::new();
    };
    if table.items["addresses"]
        .get_ref()
        .as_array()
        .is_some_and(|array| array.is_empty())
    {
        report.mistake(
            &texts.span(),
            format!("no addresses; write at least one, like \"{EXAMPLE}\""),
        );
    }
    let mut vips = Vec::new();
    for text in texts.get_ref() {
        match Vip::parse(text.get_ref()) {
            Ok(vip) => vips.push(Spanned::new(text.span(), vip)),
            Err(why) => report.mistake(&text.span(), why),
        }
    }
    vips
}

fn password(table: &Table<'_>, context: &Context<'_>, report: &mut Report) -> Option<Password> {
    let written = table.string("password", report);
    let file = table.string("password_file", report);
    match (written, file) {
        (Some(_), Some(file)) => {
            report.mistake(
                &file.span(),
                "password and password_file are both here; write only one of them",
            );
            None
        }
        (Some(text), None) => {
            let password = Password::new(text.get_ref().as_bytes())
                .map_err(|why| report.mistake(&text.span(), why))
                .ok()?;
            if password.as_bytes().is_empty() {
                let risk =
                    "anybody on the network can become master; write one unless the peers have none too";
                report.warning(&text.span(), format!("the password is empty: {risk}"));
            } else if let Some(mode) = mode_if_world_readable(context.path) {
                let advice = "chmod 600 it, or write password_file = \"FILE\"";
                report.warning(
                    &text.span(),
                    format!(
                        "every user can read the password here (this file has mode {mode:04o}); {advice}"
                    ),
                );
            }
            Some(password)
        }
        (None, Some(text)) => {
            let path = context
                .path
                .parent()
                .unwrap_or(Path::new(""))
                .join(text.get_ref());
            let password = Password::read(&path)
                .map_err(|why| report.mistake(&text.span(), why))
                .ok()?;
            if let Some(mode) = mode_if_world_readable(&path) {
                let shown = path.display();
                report.warning(
                    &text.span(),
                    format!("every user can read {shown} (it has mode {mode:04o}); chmod 600 it"),
                );
            }
            Some(password)
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

fn advskew(table: &Table<'_>, dialect: Option<&str>, report: &mut Report) -> u8 {
    let meaning = ", in 1/256 s (255 is kept for the goodbye of a master)";
    let Some(advskew) = table.number("advskew", 0..=254, meaning, report) else {
        return 0;
    };
    if *advskew.get_ref() > 240 && dialect == Some("freebsd") {
        report.warning(
            &advskew.span(),
            "FreeBSD's rules send every advskew above 240 as 240; write at most 240, or two such nodes tie",
        );
    }
    advskew.into_inner()
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

fn dialect(table: &Table<'_>, report: &mut Report) -> Option<String> {
    const DIALECTS: [&str; 4] = ["freebsd", "openbsd", "netbsd", "ucarp"];
    if !table.items.contains_key("dialect") {
        return Some("freebsd".to_owned());
    }
    let text = table.string("dialect", report)?;
    if !DIALECTS.contains(text.get_ref()) {
        let (wrong, names) = (text.get_ref().escape_debug(), DIALECTS.join(", "));
        report.mistake(
            &text.span(),
            format!("there is no dialect {wrong}; write one of {names}"),
        );
        return None;
    }
    Some((*text.get_ref()).to_owned())
}
