//! The parts of the report, and the steps of each.

use crate::data::Results;
use crate::page::Section;
use crate::tools::{Failure, installed, is_root};
use crate::{crypto, failover, fire, footprint, proof, scale};

/// Said of what is left out without root.
pub(crate) const NEEDS_ROOT: &str = "needs root";
/// Said of what is left out of a quick run.
pub(crate) const NEEDS_TIME: &str = "takes longer than --quick may";

/// How is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) rootless: bool,
}

impl Options {
    /// How often something is done.
    pub(crate) fn times(self, quick: usize, full: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// Something that can be measured by itself.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What is built before, with cargo: the estimates are without it.
    pub(crate) builds: &'static [&'static str],
    pub(crate) steps: &'static [Step],
    /// What the page says about it.
    pub(crate) section: fn(&Results, &mut Section<'_>) -> Result<(), Failure>,
}

/// What is done at once.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// What it takes on two cores, beside those that may run at the same time, and without building: with `--quick`,
    /// and otherwise; in seconds.
    pub(crate) seconds: [f64; 2],
    pub(crate) needs: &'static [Need],
    pub(crate) company: Company,
    pub(crate) run: fn(Options, &mut Results) -> Result<(), Failure>,
}

/// What may run at the same time as a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    /// Nothing: it takes times.
    Alone,
    /// With `--quick`, whose limits for times are generous, the other steps that do not say [`Alone`](Self::Alone);
    /// otherwise nothing.
    AloneIfFull,
    /// Others that say so: what it counts does not depend on how busy the machine is. With `--quick` they wait for each
    /// other: a dozen at once keep the kernel's lock of network interfaces busy for most of a second, and no daemon can
    /// put an address on.
    Work,
}

/// What not every machine has.
pub(crate) enum Need {
    Root,
    /// More than `--quick` has.
    Time,
    /// A program, and the package of Debian that has it.
    Tool(&'static str, &'static str),
}

pub(crate) const PARTS: [Part; 6] = [
    crypto::PART,
    scale::PART,
    failover::PART,
    fire::PART,
    footprint::PART,
    proof::PART,
];

impl Step {
    pub(crate) fn seconds(&self, options: Options) -> f64 {
        self.seconds[usize::from(!options.quick)]
    }

    pub(crate) fn may_share(&self, options: Options) -> bool {
        match self.company {
            Company::Alone => false,
            Company::AloneIfFull => options.quick,
            Company::Work => true,
        }
    }

    /// Why it cannot be done, if it cannot.
    pub(crate) fn lacks(&self, options: Options) -> Option<String> {
        self.needs.iter().find_map(|need| match need {
            Need::Root if options.rootless || !is_root() => Some(NEEDS_ROOT.to_owned()),
            Need::Time if options.quick => Some(NEEDS_TIME.to_owned()),
            Need::Tool(program, package) if !installed(program) => {
                Some(format!("needs {program} (apt-get install {package})"))
            }
            Need::Root | Need::Time | Need::Tool(..) => None,
        })
    }
}
