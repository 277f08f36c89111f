use carp_fsm::Event;

/// Writes an event to the log, at level info: with `defmt`, `log`, both or neither, as the features say.
/// (`defmt` shows nothing below errors unless `DEFMT_LOG=info` is set when the firmware is compiled.)
#[cfg_attr(
    not(any(feature = "defmt", feature = "log")),
    expect(unused_variables, reason = "nowhere to write to")
)]
pub fn log_event(event: &Event) {
    #[cfg(feature = "defmt")]
    defmt::info!("carp: {}", event);
    #[cfg(feature = "log")]
    log::info!("carp: {}", text::Line(event));
}

#[cfg(feature = "log")]
mod text {
    use core::fmt;

    use carp_fsm::{Event, EventKind, HandOver};

    /// An event in words.
    pub(super) struct Line<'a>(pub(super) &'a Event);

    impl fmt::Display for Line<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0.kind {
                EventKind::Transition {
                    host,
                    from,
                    to,
                    reason,
                    peer,
                } => {
                    write!(f, "{host}: {from} -> {to} ({reason})")?;
                    peer.map_or(Ok(()), |peer| write!(f, ", heard {peer}"))
                }
                EventKind::Demotion {
                    from,
                    to,
                    cause,
                    holds,
                    ..
                } => {
                    let holds = if holds { "" } else { " no longer" };
                    write!(f, "demotion {from} -> {to} ({cause}{holds})")
                }
                EventKind::HandOver { host, outcome, .. } => match outcome {
                    HandOver::Done(_) => write!(f, "{host}: handed over"),
                    other => write!(f, "{host}: not handed over ({other:?})"),
                },
                EventKind::Lost(count) => {
                    write!(f, "{count} events lost: read them faster, or make room for more")
                }
                other => write!(f, "{other:?}"),
            }
        }
    }
}
