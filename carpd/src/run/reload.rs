//! Reload: the configuration file is read again, and the difference applied.
//!
//! The file is read by a thread of its own: a disk or a network file system that hangs must not hold up the
//! election.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::{io, thread};

use crate::config::{self, Config, Machine, Purpose};
use crate::control::Job;

/// Who has asked for a reload.
pub(super) enum Asker {
    /// `carpd reload`.
    Client(Job),
    /// SIGHUP.
    Signal,
}

/// A configuration without mistakes, and the warnings about it; or what is wrong, in lines.
pub(super) type FromFile = Result<(Config, Vec<String>), String>;

/// Reads the configuration file whenever somebody asks.
pub(super) struct Reloader {
    file: PathBuf,
    node: Option<String>,
    asked: VecDeque<Asker>,
    reading: bool,
    done: Receiver<FromFile>,
    finished: Arc<dyn Fn(FromFile) + Send + Sync>,
}

impl Reloader {
    /// `wake` is called, from another thread, whenever the file has been read.
    pub(super) fn new(file: &Path, node: Option<String>, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (sender, done): (Sender<FromFile>, _) = mpsc::channel();
        let finished = move |read| {
            let _ = sender.send(read);
            wake();
        };
        Self {
            file: file.to_owned(),
            node,
            asked: VecDeque::new(),
            reading: false,
            done,
            finished: Arc::new(finished),
        }
    }

    /// Takes note of a wish. The file is read for each, so that nobody is answered with what it said earlier.
    pub(super) fn ask(&mut self, asker: Asker) {
        self.asked.push_back(asker);
        self.read();
    }

    /// The next wish whose file has been read.
    pub(super) fn next(&mut self) -> Option<(Asker, FromFile)> {
        let read = self.done.try_recv().ok()?;
        self.reading = false;
        let asker = self.asked.pop_front()?;
        self.read();
        Some((asker, read))
    }

    fn read(&mut self) {
        if self.reading || self.asked.is_empty() {
            return;
        }
        self.reading = true;
        let (file, node, finished) = (self.file.clone(), self.node.clone(), Arc::clone(&self.finished));
        let thread = thread::Builder::new().name("reload".into());
        if let Err(error) = thread.spawn(move || finished(read(&file, node))) {
            (self.finished)(Err(cannot_read(&self.file, &error)));
        }
    }
}

fn read(file: &Path, node: Option<String>) -> FromFile {
    let loaded = config::load(file, Purpose::Run, &Machine::this(node));
    let loaded = loaded.map_err(|error| cannot_read(file, &error))?;
    let report = loaded.report.to_string();
    match loaded.config {
        Some(config) => Ok((config, report.lines().map(str::to_owned).collect())),
        None => Err(report),
    }
}

fn cannot_read(file: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}\n", file.display())
}
