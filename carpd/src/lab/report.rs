//! What was measured, the limits that it is held to, and the table.

use std::fmt::{self, Write as _};

use carp_fsm::Duration;
use serde::{Serialize, Serializer};

use super::measure::{LostPings, Succession};
use super::{LabError, Software};

/// Version of the JSON document.
pub const SCHEMA: u32 = 1;
/// How far detection may be from the formula, and the outage above it.
pub const TOLERANCE: Duration = Duration::from_millis(100);
/// How many pings a planned change of the master may lose.
pub const FEW_PINGS: u32 = 5;

/// All measurements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// In the order in which they were made.
    pub measurements: Vec<Measurement>,
    /// Why these are not all.
    pub error: Option<String>,
    /// Whether everything was measured and no limit missed.
    pub passed: bool,
}

/// One change of the master. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// What was done to whom.
    #[serde(flatten)]
    pub case: Case,
    /// From the event to the first advertisement of the new master.
    pub takeover_us: u64,
    /// From the last advertisement of the old master that the backup heard to the first one of the new master.
    pub detection_us: u64,
    /// `3 * advbase + advskew / 256` of the backup, if that is what it waits.
    pub formula_us: Option<u64>,
    /// `detection - formula`.
    pub difference_us: Option<i64>,
    /// Pings lost since the event.
    pub pings_lost: u32,
    /// The longest run of lost pings.
    pub outage_us: u64,
    /// Whether the limits are kept.
    pub verdict: Verdict,
}

/// What was done to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Case {
    /// How many times it was done before.
    pub run: u32,
    /// What was done.
    pub event: Event,
    /// The master before.
    pub from: Party,
    /// The master afterwards.
    pub to: Party,
}

/// A node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Party {
    /// A or B.
    pub node: char,
    /// What runs on it.
    pub software: Software,
}

/// Something that makes another node master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The master is lost.
    Loss(Fault),
    /// It comes back after this.
    Return(Fault),
}

/// How a master is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is killed and cut off.
    Crash,
    /// It is asked to end.
    Stop,
    /// Its cable is pulled.
    Pull,
}

/// Whether the limits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// They are.
    Pass,
    /// They are not.
    Fail,
    /// There are none: it was another implementation that took over.
    NotJudged,
}

/// What a change of the master is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// The backup finds out by waiting as long as the formula says.
    Formula,
    /// The backup is told.
    FewPings,
    None,
}

impl Report {
    /// Sums up.
    pub fn new(measurements: Vec<Measurement>, error: Option<LabError>) -> Self {
        let failed = measurements
            .iter()
            .any(|measurement| measurement.verdict == Verdict::Fail);
        Self {
            schema: SCHEMA,
            measurements,
            passed: error.is_none() && !failed,
            error: error.map(|error| error.to_string()),
        }
    }

    /// The table, its lines ended, with the limits below.
    pub fn table(&self) -> String {
        const HEAD: [&str; 9] = [
            "event",
            "master",
            "takeover",
            "detection",
            "formula",
            "difference",
            "pings lost",
            "outage",
            "verdict",
        ];
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(self.measurements.iter().map(Measurement::row));
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: [usize; 9] = std::array::from_fn(width);
        let mut text = String::new();
        for row in &rows {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Words to the left, numbers to the right.
                let _ = match column {
                    0 | 1 => write!(text, "{cell:width$}  "),
                    8 => writeln!(text, "{cell}"),
                    _ => write!(text, "{cell:>width$}  "),
                };
            }
        }
        let _ = write!(
            text,
            "\nLimits: with a formula, detection within {tolerance} ms of it and an outage of at most {tolerance} ms \
             more;\notherwise at most {FEW_PINGS} pings lost. A takeover by another implementation is not judged.\n",
            tolerance = TOLERANCE.as_micros() / 1000
        );
        text
    }
}

impl Measurement {
    /// Judges what was measured. `takeover` is from the event to the first advertisement of the new master; `formula`
    /// is what the backup waits for a master that is silent.
    pub fn new(
        case: Case,
        formula: Duration,
        takeover: Duration,
        succession: Succession,
        lost: LostPings,
    ) -> Self {
        let detection = (succession.first - succession.last).as_micros();
        let (formula, tolerance) = (formula.as_micros(), TOLERANCE.as_micros());
        let difference = detection.checked_signed_diff(formula).unwrap_or(i64::MAX);
        let kept = match case.limit() {
            Limit::None => None,
            Limit::FewPings => Some(lost.count <= FEW_PINGS),
            Limit::Formula => {
                Some(difference.unsigned_abs() <= tolerance && lost.outage.as_micros() <= formula + tolerance)
            }
        };
        Self {
            case,
            takeover_us: takeover.as_micros(),
            detection_us: detection,
            formula_us: case.is_silent().then_some(formula),
            difference_us: case.is_silent().then_some(difference),
            pings_lost: lost.count,
            outage_us: lost.outage.as_micros(),
            verdict: match kept {
                None => Verdict::NotJudged,
                Some(true) => Verdict::Pass,
                Some(false) => Verdict::Fail,
            },
        }
    }

    fn row(&self) -> [String; 9] {
        let seconds = |micros| std::time::Duration::from_micros(micros).as_secs_f64();
        let time = |micros| format!("{:.3} s", seconds(micros));
        let signed = |micros: i64| {
            let sign = if micros < 0 { '-' } else { '+' };
            format!("{sign}{}", time(micros.unsigned_abs()))
        };
        let or_nothing = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            self.case.event.to_string(),
            format!("{} -> {}", self.case.from, self.case.to),
            time(self.takeover_us),
            time(self.detection_us),
            or_nothing(self.formula_us.map(time)),
            or_nothing(self.difference_us.map(signed)),
            self.pings_lost.to_string(),
            format!("{:.2} s", seconds(self.outage_us)),
            self.verdict.to_string(),
        ]
    }
}

impl Case {
    /// Whether the old master is gone without a word. UCarp has no word for it.
    fn is_silent(&self) -> bool {
        match self.event {
            Event::Loss(Fault::Crash | Fault::Pull) => true,
            Event::Loss(Fault::Stop) => self.from.software == Software::Ucarp,
            Event::Return(_) => false,
        }
    }

    fn limit(&self) -> Limit {
        match self.to.software {
            Software::Ucarp | Software::Keepalived => Limit::None,
            Software::Carpd if self.is_silent() => Limit::Formula,
            Software::Carpd => Limit::FewPings,
        }
    }
}

impl Fault {
    /// All of them, in the order in which the lab causes them.
    pub const ALL: [Self; 3] = [Self::Crash, Self::Stop, Self::Pull];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Stop => "clean stop",
            Self::Pull => "cable pull",
        })
    }
}

/// `crash`, `return after crash`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss(fault) => fault.fmt(f),
            Self::Return(fault) => write!(f, "return after {fault}"),
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// `A carpd`.
impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.node, self.software)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::NotJudged => "-",
        })
    }
}

#[cfg(test)]
mod tests {
    use carp_fsm::Instant;

    use super::*;

    const FORMULA: Duration = Duration::from_micros(3_390_625);

    fn judge(event: Event, software: [Software; 2], detection: u64, pings: u32, outage: u64) -> Verdict {
        measured(event, software, detection, pings, outage).verdict
    }

    fn measured(
        event: Event,
        [from, to]: [Software; 2],
        detection: u64,
        pings: u32,
        outage: u64,
    ) -> Measurement {
        let case = Case {
            run: 0,
            event,
            from: Party {
                node: 'A',
                software: from,
            },
            to: Party {
                node: 'B',
                software: to,
            },
        };
        let succession = Succession {
            last: Instant::ZERO,
            first: Instant::from_micros(detection * 1000),
        };
        let lost = LostPings {
            count: pings,
            outage: Duration::from_millis(outage),
        };
        Measurement::new(case, FORMULA, Duration::from_millis(3300), succession, lost)
    }

    #[test]
    fn a_silent_master_is_missed_when_the_formula_says_so() {
        use Software::{Carpd, Ucarp};
        let silent = [
            (Event::Loss(Fault::Crash), [Carpd, Carpd]),
            (Event::Loss(Fault::Pull), [Carpd, Carpd]),
            (Event::Loss(Fault::Crash), [Ucarp, Carpd]),
            (Event::Loss(Fault::Stop), [Ucarp, Carpd]),
        ];
        for (event, software) in silent {
            for (detection, pings, outage, verdict) in [
                (3391, 339, 3390, Verdict::Pass),
                (3490, 349, 3490, Verdict::Pass),
                (3291, 329, 3290, Verdict::Pass),
                (3491, 339, 3390, Verdict::Fail),
                (3290, 329, 3290, Verdict::Fail),
                (3391, 350, 3500, Verdict::Fail),
            ] {
                let judged = judge(event, software, detection, pings, outage);
                assert_eq!(judged, verdict, "{event}, {detection} ms, {outage} ms");
            }
        }
    }

    #[test]
    fn a_planned_change_loses_few_pings() {
        use Software::{Carpd, Ucarp};
        let planned = [
            (Event::Loss(Fault::Stop), [Carpd, Carpd]),
            (Event::Return(Fault::Stop), [Carpd, Carpd]),
            (Event::Return(Fault::Crash), [Ucarp, Carpd]),
        ];
        for (event, software) in planned {
            assert_eq!(judge(event, software, 1, 5, 50), Verdict::Pass);
            assert_eq!(judge(event, software, 1, 6, 10), Verdict::Fail);
        }
    }

    #[test]
    fn others_are_not_judged_and_a_report_without_all_measurements_fails() {
        let event = Event::Loss(Fault::Crash);
        let both = [Software::Carpd, Software::Ucarp];
        assert_eq!(judge(event, both, 9999, 999, 9999), Verdict::NotJudged);
        assert!(Report::new(Vec::new(), None).passed);
        assert!(!Report::new(Vec::new(), Some(LabError::Interrupted)).passed);
    }

    #[test]
    fn the_table_has_a_line_for_each_measurement() {
        let (crash, stop) = (Event::Loss(Fault::Crash), Event::Loss(Fault::Stop));
        let measurements = vec![
            measured(crash, [Software::Carpd, Software::Carpd], 3389, 339, 3390),
            measured(stop, [Software::Carpd, Software::Ucarp], 1, 0, 0),
        ];
        let table = Report::new(measurements, None).table();
        let lines: Vec<_> = table.lines().take(4).collect();
        let expected = [
            "event       master              takeover  detection  formula  difference  pings lost  outage  verdict",
            "crash       A carpd -> B carpd   3.300 s    3.389 s  3.391 s    -0.002 s         339  3.39 s  PASS",
            "clean stop  A carpd -> B ucarp   3.300 s    0.001 s        -           -           0  0.00 s  -",
            "",
        ];
        assert_eq!(lines, expected);
    }
}
