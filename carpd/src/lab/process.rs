//! Processes that end with their owner, and a place for their files.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{LabError, tell};

/// How many bytes of a log an error shows at most.
const EXCERPT: usize = 2000;

/// A running process. Dropping it kills it and its group, and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A directory that only its owner can read. Dropping it removes it.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl Process {
    /// Starts a process that writes to `log`, which is made anew.
    pub fn start(name: &str, command: &mut Command, log: PathBuf) -> Result<Self, LabError> {
        let doing = || format!("write {}", log.display());
        let out = File::create(&log).map_err(LabError::system(doing()))?;
        let copy = out.try_clone().map_err(LabError::system(doing()))?;
        Self::spawn(name, command.stdout(out).stderr(copy), log)
    }

    /// Starts a process whose standard output is read through the pipe returned; errors go to `log`.
    pub fn start_piped(
        name: &str,
        command: &mut Command,
        log: PathBuf,
    ) -> Result<(Self, BufReader<ChildStdout>), LabError> {
        let errors = File::create(&log).map_err(LabError::system(format!("write {}", log.display())))?;
        let mut process = Self::spawn(name, command.stdout(Stdio::piped()).stderr(errors), log)?;
        let pipe = process.child.stdout.take().map(BufReader::new);
        let pipe =
            pipe.ok_or_else(|| LabError::system("read a pipe")(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok((process, pipe))
    }

    fn spawn(name: &str, command: &mut Command, log: PathBuf) -> Result<Self, LabError> {
        let child = command
            .stdin(Stdio::null())
            .process_group(0) // a Ctrl-C is for the lab alone, which then ends the others in order
            .spawn()
            .map_err(LabError::system(format!("start {name}")))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&mut self, signal: Signal) {
        // A child that has not been waited for keeps its identifier, so that nobody else is hit.
        if self.try_wait().is_none() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Its identifier.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or `None` if it runs.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The error that says that it has ended, with its last words.
    pub(super) fn ended(&self) -> LabError {
        LabError::Ended {
            process: self.name.clone(),
            log: self.excerpt(),
        }
    }

    /// What it has written.
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        let _ = File::open(&self.log).and_then(|mut file| file.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    }

    fn excerpt(&self) -> String {
        let log = self.log();
        let from = log.ceil_char_boundary(log.len().saturating_sub(EXCERPT));
        log[from..].to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its children with it, as on a machine that dies: keepalived has one that goes on for a while. Those that are
        // meant to outlive it are in a group of their own.
        if self.try_wait().is_none() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl TempDir {
    /// Makes an empty directory.
    pub fn new() -> Result<Self, LabError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("carplab-{}-{number}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(LabError::system(format!("make {}", path.display())))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only its owner can read, and returns its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, LabError> {
        self.write_with(0o600, name, text)
    }

    /// Writes a file that only its owner can read and run, and returns its path.
    pub fn write_script(&self, name: &str, text: &str) -> Result<PathBuf, LabError> {
        self.write_with(0o700, name, text)
    }

    fn write_with(&self, mode: u32, name: &str, text: &str) -> Result<PathBuf, LabError> {
        let path = self.0.join(name);
        let write = || {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(&path)?;
            std::io::Write::write_all(&mut file, text.as_bytes())
        };
        write().map_err(LabError::system(format!("write {}", path.display())))?;
        Ok(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tell(format_args!("cannot remove {}: {error}", self.0.display()));
        }
    }
}
