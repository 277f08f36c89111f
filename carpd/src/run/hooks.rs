//! Programs that are told what has happened, in the order in which it has.
//!
//! They have a thread of their own with one queue, so that a slow one delays those behind it, but neither the
//! election nor, beyond its own limit, the end of carpd.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::thread;

use carp_fsm::{Duration, Instant};
use carp_std::linux::Clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::config::Hook;
use crate::events::Record;

/// Calls that wait at most. More are lost, and counted.
const QUEUE: usize = 1024;

/// The programs, and the queue to their thread.
pub(super) struct Hooks {
    all: Vec<Arc<Hook>>,
    queue: SyncSender<Call>,
    complaints: Receiver<String>,
    /// Number of the last event that has been looked at.
    seen: u64,
    lost: u64,
    /// No call begins after it, nor lasts longer.
    end: Arc<OnceLock<Instant>>,
}

struct Call {
    hook: Arc<Hook>,
    record: Record,
}

impl Hooks {
    /// Starts the thread. `wake` is called, from it, whenever there is a complaint.
    pub(super) fn start(hooks: &[Hook], wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (queue, calls) = mpsc::sync_channel(QUEUE);
        let (complain, complaints) = mpsc::channel();
        let end = Arc::new(OnceLock::new());
        let thread = Thread {
            calls,
            waiting: VecDeque::new(),
            end: Arc::clone(&end),
        };
        thread::Builder::new().name("hooks".into()).spawn(move || {
            thread.run(|complaint| {
                let _ = complain.send(complaint);
                wake();
            });
        })?;
        Ok(Self {
            all: hooks.iter().cloned().map(Arc::new).collect(),
            queue,
            complaints,
            seen: 0,
            lost: 0,
            end,
        })
    }

    /// Other programs from now on. What waits goes to those of before. Returns what has changed, if anything has.
    pub(super) fn set(&mut self, hooks: &[Hook]) -> Option<String> {
        let before = self.all.len();
        if self.all.iter().map(|hook| &**hook).eq(hooks) {
            return None;
        }
        self.all = hooks.iter().cloned().map(Arc::new).collect();
        Some(format!("changed ({before} -> {})", hooks.len()))
    }

    /// Tells them what is new. Never blocks.
    pub(super) fn tell<'r>(&mut self, records: impl DoubleEndedIterator<Item = &'r Record>) {
        let seen = self.seen;
        let mut new: Vec<_> = records.rev().take_while(|record| record.number > seen).collect();
        new.reverse();
        for record in new {
            self.seen = record.number;
            let wanted = |hook: &&Arc<Hook>| hook.events.contains(&record.what.name());
            for hook in self.all.iter().filter(wanted) {
                let call = Call {
                    hook: Arc::clone(hook),
                    record: record.clone(),
                };
                self.lost += u64::from(self.queue.try_send(call).is_err());
            }
        }
    }

    /// What has gone wrong since the last call.
    pub(super) fn complaint(&mut self) -> Option<String> {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            return Some(format!("carpd: hooks are too slow: {lost} calls are lost"));
        }
        self.complaints.try_recv().ok()
    }

    /// Waits until everything has been told, as long as the slowest program may take. `alive` is called meanwhile.
    pub(super) fn finish(self, mut alive: impl FnMut(Instant), mut log: impl FnMut(&str)) {
        const PERIOD: std::time::Duration = std::time::Duration::from_millis(100);
        let longest = self.all.iter().map(|hook| hook.timeout).max().unwrap_or(0);
        let _ = self.end.set(Clock.now() + Duration::from_secs(longest.into()));
        drop(self.queue); // the thread ends when it is empty
        loop {
            match self.complaints.recv_timeout(PERIOD) {
                Ok(complaint) => log(&complaint),
                Err(RecvTimeoutError::Timeout) => alive(Clock.now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

struct Thread {
    calls: Receiver<Call>,
    waiting: VecDeque<Call>,
    end: Arc<OnceLock<Instant>>,
}

impl Thread {
    fn run(mut self, complain: impl Fn(String)) {
        let mut skipped = 0_u32;
        while let Some(Call { hook, record }) = self.next() {
            let now = Clock.now();
            let mut until = now + Duration::from_secs(hook.timeout.into());
            if let Some(&end) = self.end.get() {
                if now >= end {
                    skipped += 1;
                    continue;
                }
                until = until.min(end);
            }
            if let Err(why) = call(&hook, &record, until) {
                let (program, number) = (&hook.command[0], record.number);
                complain(format!("carpd: hook {program}: {why} (event {number})"));
            }
        }
        if skipped > 0 {
            complain(format!("carpd: stopping: {skipped} calls of hooks are left out"));
        }
    }

    /// The next call; `None` when there will be none any more.
    fn next(&mut self) -> Option<Call> {
        loop {
            match self.calls.try_recv() {
                Ok(call) => self.add(call),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) if !self.waiting.is_empty() => {
                    return self.waiting.pop_front();
                }
                Err(_) => {
                    let call = self.calls.recv().ok()?;
                    self.add(call);
                }
            }
            if self.waiting.len() >= QUEUE {
                return self.waiting.pop_front();
            }
        }
    }

    fn add(&mut self, call: Call) {
        if call.hook.latest_only {
            let what = &call.record.what;
            self.waiting.retain(|other| {
                let earlier = &other.record.what;
                !Arc::ptr_eq(&other.hook, &call.hook)
                    || (earlier.name(), earlier.subject()) != (what.name(), what.subject())
            });
        }
        self.waiting.push_back(call);
    }
}

/// Runs a program to its end, or kills it. An error says how it failed.
fn call(hook: &Hook, record: &Record, until: Instant) -> Result<(), String> {
    let mut command = Command::new(&hook.command[0]);
    command
        .args(&hook.command[1..])
        .env_remove("NOTIFY_SOCKET") // it does not speak for carpd
        .env_remove("WATCHDOG_USEC")
        .env("CARP_EVENT", record.what.name())
        .env("CARP_NUMBER", record.number.to_string())
        .env("CARP_TEXT", &record.text)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0); // so that what it has started is killed with it
    for (name, value) in record.what.variables() {
        command.env(name, value);
    }
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        let line = serde_json::to_string(record).unwrap_or_default() + "\n";
        // Much shorter than a pipe's buffer: it does not block. Who does not read it does not want it.
        let _ = stdin.write_all(line.as_bytes());
    }
    let ended = wait(&mut child, until);
    let status = match ended {
        Ok(Some(status)) => status,
        Ok(None) => {
            kill(&mut child);
            return Err("took too long, and was killed".to_owned());
        }
        Err(error) => {
            kill(&mut child);
            return Err(format!("cannot be waited for: {error}"));
        }
    };
    if status.success() {
        Ok(())
    } else {
        Err(status.to_string())
    }
}

/// Waits for the end; `None`: it is not in time.
fn wait(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    loop {
        let left = std::time::Duration::from_micros((until - Clock.now()).as_micros());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(None),
            Ok(_) => return child.wait().map(Some),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Kills it with its children, and collects what is left of it.
fn kill(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}
