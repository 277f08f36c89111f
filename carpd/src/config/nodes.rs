//! The `[nodes]` table: one file for all machines of a cluster, and the advskew of each.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::TOP_KEYS;
use super::report::Report;
use super::table::{Table, type_of};

/// What follows "write a number from 0 to 254" in a report.
pub(super) const ADVSKEW: &str = ", in 1/256 s (255 is kept for the goodbye of a master)";

/// The machines of the cluster, and which of them this is.
pub(super) struct Nodes {
    /// Name and advskew, the lowest advskew first. There is at least one.
    all: Vec<(String, u8)>,
    /// Which of them this machine is; `None` if (reported) it is none.
    this: Option<String>,
}

impl Nodes {
    /// Reads the table. `None`: there is none, or (reported) it is of no use.
    ///
    /// `wanted` is the node that the operator has named, `host_name` what this machine is called.
    pub(super) fn read(
        document: &DeTable<'_>,
        wanted: Option<&str>,
        host_name: Option<&str>,
        report: &mut Report,
    ) -> Option<Self> {
        let Some((key, value)) = document.get_key_value("nodes") else {
            if wanted.is_some() {
                let advice = "leave --node out, or write the table with each node's advskew";
                report.mistake(&(0..0), format!("there is no table [nodes]; {advice}"));
            }
            return None;
        };
        let span = key.span();
        let all = advskews(value, &span, report)?;
        let names = names(&all);
        if all.is_empty() {
            report.mistake(
                &span,
                "no nodes; write NAME = ADVSKEW for each, or leave the table out",
            );
            return None;
        }
        let (name, found) = match (wanted, host_name) {
            (Some(name), _) => (Some(name), find(&all, name)),
            (None, Some(name)) => {
                // A host name may have a domain behind it.
                let short = name.split('.').next().unwrap_or(name);
                (Some(name), find(&all, name).or_else(|| find(&all, short)))
            }
            (None, None) => (None, None),
        };
        if found.is_none() {
            report.mistake(
                &span,
                match (wanted, name.map(str::escape_debug)) {
                    (Some(_), Some(name)) => format!("there is no node {name}; use --node with one of {names}"),
                    (_, Some(name)) => format!(
                        "this machine is called {name}, which is none of the nodes {names}; write it here, or use \
                         --node with one of them"
                    ),
                    (_, None) => format!("the name of this machine is not known; use --node with one of {names}"),
                },
            );
        }
        Some(Self { all, this: found })
    }

    /// Which of them this machine is.
    pub(super) fn this(&self) -> Option<&str> {
        self.this.as_deref()
    }

    /// What they are called, the lowest advskew first.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|(name, _)| name.as_str())
    }

    /// The advskews of all nodes for one virtual host, which may have its own for some of them.
    pub(super) fn with_own(
        &self,
        own: Option<&Spanned<DeValue<'_>>>,
        report: &mut Report,
    ) -> Vec<(String, u8)> {
        let mut all = self.all.clone();
        let Some(value) = own else { return all };
        let span = value.span();
        let names = names(&all);
        let DeValue::Table(items) = value.get_ref() else {
            let what = type_of(value);
            report.mistake(
                &span,
                format!(
                    "advskew is {what}, but [nodes] has one for each node; leave it out, or write advskew = {{ {} = \
                     0 }} for nodes that differ here",
                    self.all[0].0
                ),
            );
            return all;
        };
        let table = Table {
            items,
            header: span.clone(),
        };
        for key in items.keys() {
            let name: &str = key.get_ref();
            let advskew = table.number(name, 0..=254, ADVSKEW, report);
            match all.iter_mut().find(|(node, _)| node == name) {
                Some((_, skew)) => *skew = advskew.map_or(*skew, Spanned::into_inner),
                None => report.mistake(
                    &key.span(),
                    format!("there is no node {}; write one of {names}", name.escape_debug()),
                ),
            }
        }
        refuse_ties(&all, &span, report);
        all
    }

    /// Of the advskews of all nodes, that of this one.
    pub(super) fn own(&self, all: &[(String, u8)]) -> u8 {
        let own = all.iter().find(|(name, _)| Some(name) == self.this.as_ref());
        own.map_or(0, |(_, advskew)| *advskew)
    }

    /// How many of the nodes have a lower advskew than this one.
    pub(super) fn place(&self, all: &[(String, u8)]) -> u16 {
        let own = self.own(all);
        let better = all.iter().filter(|(_, advskew)| *advskew < own).count();
        u16::try_from(better).unwrap_or(u16::MAX)
    }
}

fn advskews(
    value: &Spanned<DeValue<'_>>,
    span: &Range<usize>,
    report: &mut Report,
) -> Option<Vec<(String, u8)>> {
    let DeValue::Table(items) = value.get_ref() else {
        let what = type_of(value);
        report.mistake(
            span,
            format!("nodes is {what}; write a line [nodes], and NAME = ADVSKEW below it for each node"),
        );
        return None;
    };
    let table = Table {
        items,
        header: span.clone(),
    };
    let mut complete = true;
    let mut all: Vec<(String, u8)> = items
        .keys()
        .map(|key| {
            let name: &str = key.get_ref();
            let value = items.get(name).map(Spanned::get_ref);
            if TOP_KEYS.contains(&name) && !matches!(value, Some(DeValue::Integer(_))) {
                let advice = "move it to the top of the file, above [nodes]";
                report.mistake(&key.span(), format!("{name} is in the wrong place; {advice}"));
                complete = false;
                return (name.to_owned(), 0);
            }
            let advskew = table.number(name, 0..=254, ADVSKEW, report);
            complete &= advskew.is_some();
            (name.to_owned(), advskew.map_or(0, Spanned::into_inner))
        })
        .collect();
    all.sort_by_key(|(_, advskew)| *advskew);
    if complete {
        refuse_ties(&all, span, report);
    }
    Some(all)
}

/// Two nodes with the same advskew take the addresses from each other.
fn refuse_ties(all: &[(String, u8)], span: &Range<usize>, report: &mut Report) {
    for (place, (name, advskew)) in all.iter().enumerate() {
        if let Some((other, _)) = all[..place].iter().find(|(_, skew)| skew == advskew) {
            report.mistake(
                span,
                format!("{other} and {name} have the same advskew {advskew}; write different ones"),
            );
        }
    }
}

fn find(all: &[(String, u8)], name: &str) -> Option<String> {
    let found = all.iter().find(|(node, _)| node == name)?;
    Some(found.0.clone())
}

fn names(all: &[(String, u8)]) -> String {
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}

/// What this machine is called.
pub(super) fn host_name() -> Option<String> {
    #[cfg(target_os = "linux")]
    return rustix::system::uname()
        .nodename()
        .to_str()
        .ok()
        .map(str::to_owned);
    #[cfg(not(target_os = "linux"))]
    return None;
}
