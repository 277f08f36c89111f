//! What touches the disk: the configuration file is read again, maintenance mode is stored.
//!
//! Each errand runs on a thread of its own, one after the other: a disk or a network file system that hangs must
//! not hold up the election.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::{io, thread};

use crate::config::{self, Config, Machine, Purpose};
use crate::control::Job;
use crate::maintenance::Store;

/// Who has asked for a reload.
pub(super) enum Asker {
    /// `carpd reload`.
    Client(Job),
    /// SIGHUP.
    Signal,
}

/// A configuration without mistakes, and the warnings about it, each with its place; or what is wrong, in lines.
pub(super) type FromFile = Result<(Box<Config>, Vec<(String, String)>), String>;

/// What takes the disk, and so some time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// The configuration file is to be read.
    Reload,
    /// Maintenance mode is to be stored.
    Store {
        /// Enter or leave.
        maintenance: bool,
    },
}

/// The same, for somebody.
pub(super) enum Errand {
    /// The configuration file is to be read.
    Reload(Asker),
    /// Maintenance mode is to be stored.
    Store {
        /// Who has asked.
        job: Job,
        /// Enter or leave.
        maintenance: bool,
    },
}

/// What has been done.
pub(super) enum Done {
    /// The file is read.
    Read(Asker, FromFile),
    /// Maintenance mode is on the disk, and will be found at the next start.
    Stored(Job, bool, Result<(), String>),
}

/// Runs errands.
pub(super) struct Errands {
    what: Arc<Where>,
    asked: VecDeque<Errand>,
    /// The one that is under way.
    runs: Option<Plan>,
    done: Receiver<Done>,
    finished: Arc<dyn Fn(Done) + Send + Sync>,
}

/// The files that errands are about.
struct Where {
    file: PathBuf,
    node: Option<String>,
    store: Store,
}

impl Errands {
    /// `wake` is called, from another thread, whenever one is done.
    pub(super) fn new(
        file: &Path,
        node: Option<String>,
        store: Store,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (sender, done) = mpsc::channel();
        let finished = move |done| {
            let _ = sender.send(done);
            wake();
        };
        Self {
            what: Arc::new(Where {
                file: file.to_owned(),
                node,
                store,
            }),
            asked: VecDeque::new(),
            runs: None,
            done,
            finished: Arc::new(finished),
        }
    }

    /// Takes note of a wish. The file is read for each, so that nobody is answered with what it said earlier.
    pub(super) fn ask(&mut self, errand: Errand) {
        self.asked.push_back(errand);
        self.start();
    }

    /// The next one that is done.
    pub(super) fn next(&mut self) -> Option<Done> {
        let done = self.done.try_recv().ok()?;
        self.runs = None;
        self.start();
        Some(done)
    }

    /// What has been asked for and is not done yet, in its order.
    pub(super) fn in_progress(&self) -> impl Iterator<Item = Plan> {
        self.runs.into_iter().chain(self.asked.iter().map(Errand::plan))
    }

    /// Whether maintenance mode may be another one before long.
    pub(super) fn will_store(&self) -> bool {
        self.in_progress().any(|plan| plan != Plan::Reload)
    }

    fn start(&mut self) {
        if self.runs.is_some() {
            return;
        }
        let Some(errand) = self.asked.pop_front() else {
            return;
        };
        let (what, finished) = (Arc::clone(&self.what), Arc::clone(&self.finished));
        let plan = errand.plan();
        let run = move || finished(what.run(errand));
        // Without a thread the errand is lost, and its client gets no answer.
        let started = thread::Builder::new().name("errand".into()).spawn(run).is_ok();
        self.runs = started.then_some(plan);
    }
}

impl Errand {
    fn plan(&self) -> Plan {
        match *self {
            Self::Reload(_) => Plan::Reload,
            Self::Store { maintenance, .. } => Plan::Store { maintenance },
        }
    }
}

/// In the words of the command.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reload => "reload",
            Self::Store { maintenance: true } => "maintenance enter",
            Self::Store { maintenance: false } => "maintenance leave",
        })
    }
}

impl Where {
    fn run(&self, errand: Errand) -> Done {
        match errand {
            Errand::Reload(asker) => Done::Read(asker, read(&self.file, self.node.clone())),
            Errand::Store { job, maintenance } => {
                let stored = self.store.set(maintenance).map_err(|error| error.to_string());
                Done::Stored(job, maintenance, stored)
            }
        }
    }
}

fn read(file: &Path, node: Option<String>) -> FromFile {
    let loaded = config::load(file, Purpose::Reload, &Machine::this(node));
    let loaded = loaded.map_err(|error| cannot_read(file, &error))?;
    match loaded.config {
        Some(config) => Ok((Box::new(config), loaded.report.lines().collect())),
        None => Err(loaded.report.to_string()),
    }
}

fn cannot_read(file: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}\n", file.display())
}
