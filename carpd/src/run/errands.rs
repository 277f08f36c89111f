//! What touches the disk: the configuration file is read again, maintenance mode is stored.
//!
//! Each errand runs on a thread of its own, one after the other: a disk or a network file system that hangs must
//! not hold up the election.

use std::collections::VecDeque;
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

/// A configuration without mistakes, and the warnings about it; or what is wrong, in lines.
pub(super) type FromFile = Result<(Box<Config>, Vec<String>), String>;

/// What has to be done.
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
    runs: bool,
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
            runs: false,
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
        self.runs = false;
        self.start();
        Some(done)
    }

    fn start(&mut self) {
        if self.runs {
            return;
        }
        let Some(errand) = self.asked.pop_front() else {
            return;
        };
        let (what, finished) = (Arc::clone(&self.what), Arc::clone(&self.finished));
        let run = move || finished(what.run(errand));
        // Without a thread the errand is lost, and its client gets no answer.
        self.runs = thread::Builder::new().name("errand".into()).spawn(run).is_ok();
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
    let loaded = config::load(file, Purpose::Run, &Machine::this(node));
    let loaded = loaded.map_err(|error| cannot_read(file, &error))?;
    let report = loaded.report.to_string();
    match loaded.config {
        Some(config) => Ok((Box::new(config), report.lines().map(str::to_owned).collect())),
        None => Err(report),
    }
}

fn cannot_read(file: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}\n", file.display())
}
