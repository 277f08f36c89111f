//! The fast profile: `fast` of a `[[vhid]]` table.
//!
//! On the wire it is OpenBSD's advbase 0, with advskew as the interval in 1/256 s. People think in milliseconds, and
//! in who comes first: the nodes get the steps above the interval by their places.

use carp_fsm::Profile;
use carp_proto::{AdvBase, AdvSkew, Dialect};
use toml::de::DeValue;

use super::report::Report;
use super::table::{Table, type_of};
use super::vhid::{Context, Timing};

pub(super) const KEYS: &[&str] = &["interval", "dead_ratio"];
/// Milliseconds between advertisements.
const INTERVAL: u16 = 10;
/// Advertisements that may be lost, and one: at 1 % loss nobody takes over by mistake within 1000 hours.
const DEAD_RATIO: u8 = 4;
/// The best without `[nodes]` has place 0.
const MAX_PLACE: u8 = 15;
/// What the wire can say.
const MAX_ADVSKEW: u16 = 254;

/// The profile, as written.
pub(super) struct Fast {
    interval: u16,
    dead_ratio: u8,
}

impl Fast {
    /// `None`: there is none, or (reported) it is of no use.
    pub(super) fn read(table: &Table<'_>, context: &Context<'_>, report: &mut Report) -> Option<Self> {
        let value = table.items.get("fast")?;
        let mut fast = Self {
            interval: INTERVAL,
            dead_ratio: DEAD_RATIO,
        };
        match value.get_ref() {
            DeValue::Boolean(false) => return None,
            DeValue::Boolean(true) => {}
            DeValue::Table(items) => {
                let table = Table {
                    items,
                    header: value.span(),
                };
                table.refuse_unknown_keys(KEYS, |_| None, report);
                let interval = ", the milliseconds between advertisements";
                let interval = table.number("interval", 4..=900, interval, report);
                let dead_ratio = ", the intervals after which a silent master is dead";
                let dead_ratio = table.number("dead_ratio", 3..=u8::MAX, dead_ratio, report);
                fast.interval = interval.map_or(fast.interval, toml::Spanned::into_inner);
                fast.dead_ratio = dead_ratio.map_or(fast.dead_ratio, toml::Spanned::into_inner);
            }
            _ => {
                let what = type_of(value);
                report.mistake(
                    &value.span(),
                    format!("fast is {what}; write fast = true, or fast = {{ interval = {INTERVAL} }}"),
                );
                return None;
            }
        }
        if let Some(advbase) = table.items.get("advbase") {
            report.mistake(
                &advbase.span(),
                "advbase is 0 in the fast profile; leave it out, and write the interval: fast = { interval = 10 }",
            );
        }
        if context.nodes.is_none() {
            report.warning(
                &value.span(),
                "the fast profile is for nodes that all have it, and kernels do not; list them in [nodes], so that \
                 nobody is forgotten",
            );
        }
        Some(fast)
    }

    /// What the election makes of it.
    pub(super) fn timing(&self, table: &Table<'_>, context: &Context<'_>, report: &mut Report) -> Timing {
        let place = if let Some(nodes) = context.nodes {
            nodes.place(&nodes.with_own(table.items.get("advskew"), report))
        } else {
            let meaning =
                ": in the fast profile it is the place of this node, 0 for the best, 1 for the next";
            let place = table.number("advskew", 0..=MAX_PLACE, meaning, report);
            place.map_or(0, |place| u16::from(place.into_inner()))
        };
        let steps = (u32::from(self.interval) * 256 + 500) / 1000;
        let steps = u16::try_from(steps).unwrap_or(MAX_ADVSKEW).max(1);
        let advskew = steps.saturating_add(place).min(MAX_ADVSKEW);
        Timing {
            advbase: AdvBase::new(0),
            advskew: AdvSkew::new(u8::try_from(advskew).unwrap_or(u8::MAX)),
            profile: Profile::fast(self.dead_ratio),
        }
    }

    /// The only dialect that knows an advbase of 0.
    pub(super) fn dialect(table: &Table<'_>, written: Dialect, report: &mut Report) -> Dialect {
        if let Some(dialect) = table.items.get("dialect").filter(|_| written != Dialect::OpenBsd) {
            report.mistake(
                &dialect.span(),
                "the fast profile has the rules of openbsd; leave dialect out, or fast",
            );
        }
        Dialect::OpenBsd
    }
}
