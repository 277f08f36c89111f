//! The status as people and their scripts read it.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::{Demotion, DemotionCause, Health, HostStatus, Neighbour, Peer, Split, State, Status};

impl Status {
    /// The table of `carpd status`, its lines ended, with the verdict below.
    pub fn table(&self) -> String {
        let described = self.virtual_hosts.iter().any(|host| host.description.is_some());
        let last = if described { "Description" } else { "" };
        let (grouped, between) = (self.has_groups(), if self.has_groups() { "  " } else { "" });
        let group = if grouped { "Group" } else { "" };
        let mut rows = vec![
            [
                "Interface and VHID",
                "Virtual IP addresses",
                "Status",
                group,
                last,
            ]
            .map(str::to_owned),
        ];
        for host in &self.virtual_hosts {
            let state = match host.state {
                State::Init => format!("INIT ({})", host.reason),
                state => state.to_string(),
            };
            let description = host.description.clone().unwrap_or_default();
            let group = if grouped {
                host.group.clone()
            } else {
                String::new()
            };
            rows.push([
                host.name.clone(),
                host.addresses.join(", "),
                state,
                group,
                description,
            ]);
        }
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let (names, addresses, states, groups) = (width(0), width(1), width(2), width(3));
        let mut text = self.progress();
        text += &self.maintenance_warning();
        text += &self.demotion_warning();
        text += &self.lateness_warning();
        for [name, address, state, group, description] in &rows {
            let line = format!(
                "{name:names$}  {address:addresses$}  {state:states$}  {group:groups$}{between}{description}"
            );
            text += line.trim_end();
            text.push('\n');
        }
        for HostStatus {
            name, address_error, ..
        } in &self.virtual_hosts
        {
            if let Some(error) = address_error {
                let _ = writeln!(text, "\n{name}: {error}");
            }
        }
        let changing = self.virtual_hosts.iter().filter_map(|host| host.signs_old_ms);
        if let Some(left) = changing.max() {
            let _ = writeln!(
                text,
                "\npassword or addresses have changed: the old ones are used for {} s more, until all nodes have changed",
                left.div_ceil(1000)
            );
        }
        for HostStatus { name, .. } in self.left_fast() {
            let _ = writeln!(
                text,
                "\n{name}: has left the fast profile, because somebody else does not have it (carpd events says who); \
                 mend that, then carpd reload, where it is MASTER first"
            );
        }
        text += &self.strangers();
        let _ = writeln!(text, "\n{}", self.verdict());
        text
    }

    /// Those who have a vhid of ours and are not one of us: why two machines may be MASTER.
    fn strangers(&self) -> String {
        let mut text = String::new();
        for neighbour in self.neighbours.iter().filter(|neighbour| neighbour.ours) {
            let Neighbour {
                interface,
                vhid,
                source,
                what,
                advice,
                age_ms,
                ..
            } = neighbour;
            let _ = writeln!(
                text,
                "\n{interface}@{vhid}: {source} {what} ({} s ago)",
                age_ms / 1000
            );
            if let Some(advice) = advice {
                let _ = writeln!(text, "  {advice}");
            }
        }
        text
    }

    /// The lines of `carpd status --short`, one for each virtual host: name, state, addresses.
    pub fn short(&self) -> String {
        let mut text = String::new();
        for HostStatus {
            name,
            state,
            addresses,
            ..
        } in &self.virtual_hosts
        {
            let _ = writeln!(text, "{name} {state} {}", addresses.join(","));
        }
        text
    }

    /// The lines that BSD's `ifconfig` prints: a tab, then `carp: MASTER vhid 200 advbase 1 advskew 0`.
    pub fn ifconfig(&self) -> String {
        let mut text = String::new();
        for HostStatus {
            state,
            vhid,
            advbase,
            advskew,
            ..
        } in &self.virtual_hosts
        {
            let _ = writeln!(
                text,
                "\tcarp: {state} vhid {vhid} advbase {advbase} advskew {advskew}"
            );
        }
        text
    }

    /// The lines of `carpd sysctl`: all keys, or one. An error says which there are.
    pub fn sysctl(&self, key: Option<&str>) -> Result<String, String> {
        let key = key.map(|key| key.strip_prefix("net.inet.carp.").unwrap_or(key));
        let wanted = self
            .sysctl
            .iter()
            .filter(|(name, _)| key.is_none_or(|key| key == *name));
        let mut lines = String::new();
        for (name, value) in wanted {
            let _ = writeln!(lines, "net.inet.carp.{name}: {value}");
        }
        match key {
            Some(key) if lines.is_empty() => {
                let names: Vec<_> = self.sysctl.keys().map(String::as_str).collect();
                let (key, names) = (key.escape_debug(), names.join(", "));
                Err(format!("there is no key {key}; write one of {names}"))
            }
            _ => Ok(lines),
        }
    }

    /// One line for a tired operator: `healthy: 6/6 MASTER`.
    pub fn verdict(&self) -> String {
        let all = self.virtual_hosts.len();
        let counts: Vec<_> = [State::Master, State::Backup, State::Init]
            .into_iter()
            .map(|state| (self.count(state), state))
            .filter(|(count, _)| *count > 0)
            .collect();
        let mut text = match self.health() {
            Health::Healthy => "healthy: ",
            Health::Degraded => "degraded: ",
            Health::Down => "down: ",
        }
        .to_owned();
        if let [(_, state)] = counts.as_slice() {
            let _ = write!(text, "{all}/{all} {state}");
        } else {
            let counts: Vec<_> = counts
                .iter()
                .map(|(count, state)| format!("{count} {state}"))
                .collect();
            text += &counts.join(", ");
        }
        if self.maintenance.is_some() {
            text += "; in maintenance";
        }
        if self.demotion.total > 0 {
            // One that holds in several groups is one all the same.
            let causes: BTreeSet<_> = self.demotion.causes.iter().map(ToString::to_string).collect();
            let causes: Vec<_> = causes.into_iter().collect();
            let _ = write!(
                text,
                "; demoted by {} ({})",
                self.demotion.total,
                causes.join(", ")
            );
        }
        for Split { master, backup, .. } in &self.split_master {
            let _ = write!(text, "; split: MASTER of {master}, but BACKUP of {backup}");
        }
        let errors = self.address_errors();
        if errors > 0 {
            let _ = write!(text, "; addresses not in order: {errors}");
        }
        let strangers = self.stranger_count();
        if strangers > 0 {
            let _ = write!(text, "; others with a vhid of ours: {strangers}");
        }
        let slow = self.left_fast().count();
        if slow > 0 {
            let _ = write!(text, "; fast profile left: {slow}");
        }
        text
    }

    /// The table of `carpd demotion`.
    pub fn demotion_table(&self) -> String {
        self.demotion.table(self.has_groups())
    }

    /// The box above the table if something demotes.
    fn demotion_warning(&self) -> String {
        let Demotion { total, causes } = &self.demotion;
        if *total == 0 {
            return String::new();
        }
        let mut text =
            format!("WARNING: demoted by {total}, added to every advskew: other machines are preferred.\n");
        for cause in causes {
            let group = if self.has_groups() {
                format!("{}: ", cause.group)
            } else {
                String::new()
            };
            let _ = writeln!(text, "  {group}{cause} ({})", cause.weight);
        }
        text.push('\n');
        text
    }

    /// The box above the table if this machine was late within the last hour.
    fn lateness_warning(&self) -> String {
        let (Some(worst), Some(ago)) = (self.lateness.bad_ms, self.lateness.bad_age_ms) else {
            return String::new();
        };
        format!(
            "WARNING: this machine was up to {worst} ms late within the last hour, the last time {} s ago: it is \
             overloaded, or was paused.\n  Late by more than the others wait, it loses its addresses. \
             realtime_priority = 50 helps against load. carpd netstat has the counts.\n\n",
            ago / 1000
        )
    }

    /// What may still change everything below it.
    fn progress(&self) -> String {
        if self.in_progress.is_empty() {
            return String::new();
        }
        let commands = self.in_progress.join(", then ");
        format!("IN PROGRESS: {commands}; waits for the disk, and holds as soon as that answers.\n\n")
    }

    /// The box above the table while in maintenance mode.
    fn maintenance_warning(&self) -> String {
        let Some(since) = &self.maintenance else {
            return String::new();
        };
        let mut text = format!(
            "MAINTENANCE since {since}: other machines are preferred. carpd maintenance leave ends it.\n"
        );
        for HostStatus { name, last_peer, .. } in &self.virtual_hosts {
            if let Some(Peer { address, .. }) = last_peer.as_ref().filter(|peer| peer.steps_back) {
                let _ = writeln!(
                    text,
                    "  {name}: the peer {address} is also in maintenance, or demoted"
                );
            }
        }
        text.push('\n');
        text
    }
}

impl Demotion {
    /// The table of `carpd demotion`. With `grouped`, each cause with the group that it demotes.
    fn table(&self, grouped: bool) -> String {
        if self.causes.is_empty() {
            return "nothing demotes this machine\n".to_owned();
        }
        let names: Vec<_> = self.causes.iter().map(ToString::to_string).collect();
        let width = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|text| text.chars().count()).max().unwrap_or(0).max(5)
        };
        let (width, groups) = (
            width(&mut names.iter()),
            width(&mut self.causes.iter().map(|cause| &cause.group)),
        );
        let column = |group: &str| {
            if grouped {
                format!("{group:groups$}  ")
            } else {
                String::new()
            }
        };
        let mut text = format!("{}{:width$}  Weight  Age\n", column("Group"), "Cause");
        for (name, cause) in names.iter().zip(&self.causes) {
            let DemotionCause {
                group,
                weight,
                age_ms,
                ..
            } = cause;
            let group = column(group);
            let _ = writeln!(text, "{group}{name:width$}  {weight:>6}  {} s", age_ms / 1000);
        }
        let _ = writeln!(text, "\ndemoted by {}", self.total);
        text
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
        })
    }
}

/// `interface down: eth0`.
impl fmt::Display for DemotionCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        self.subject
            .as_ref()
            .map_or(Ok(()), |subject| write!(f, ": {subject}"))
    }
}
