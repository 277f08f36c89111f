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
    /// What it takes on two cores, without building: with `--quick`, and otherwise; in seconds.
    pub(crate) seconds: [f64; 2],
    pub(crate) needs: &'static [Need],
    /// Whether it may share the machine: with `--quick` all such steps run at the same time.
    pub(crate) alongside: bool,
    pub(crate) run: fn(Options, &mut Results) -> Result<(), Failure>,
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
