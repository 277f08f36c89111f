use std::io::BufRead;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use carp_fsm::Instant;
use carp_std::linux::Clock;

use super::measure::{Observation, Record, Succession};
use super::node::Node;
use super::process::Process;
use super::topology::Namespace;
use super::{LabError, TempDir};

/// How long nobody but the master may advertise until it counts as the only one.
const WINDOW: carp_fsm::Duration = carp_fsm::Duration::from_millis(1500);
/// How long a signal may go unnoticed.
const TICK: Duration = Duration::from_millis(20);

/// The client: a probe that runs in its own namespace, and the record of what it has seen.
///
/// All waiting of the lab is done here, so that a signal ends it.
#[derive(Debug)]
pub struct Client {
    probe: Process,
    observations: Receiver<Observation>,
    record: Record,
    interrupted: Arc<AtomicBool>,
}

impl Client {
    /// Starts the probe, which pings `target` and listens on `interface` for advertisements of the target's family:
    /// `carpd` is the executable of carpd, which has the probe in it. Waiting fails once `interrupted` is true.
    pub fn start(
        carpd: &Path,
        namespace: &Namespace,
        interface: &str,
        target: IpAddr,
        dir: &TempDir,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Self, LabError> {
        let mut command = namespace.command(carpd);
        command.args(["lab-probe", &target.to_string(), interface]);
        let log = dir.path().join(format!("client-{interface}-{target}.log"));
        let (probe, pipe) = Process::start_piped("the client", &mut command, log)?;
        let (sender, observations) = mpsc::channel();
        thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                if let Ok(observation) = serde_json::from_str(&line)
                    && sender.send(observation).is_err()
                {
                    return;
                }
            }
        });
        Ok(Self {
            probe,
            observations,
            record: Record::default(),
            interrupted,
        })
    }

    /// What it has seen up to the last wait.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Waits until `found` finds something in the record. `what` is for the error message: `takeover by B`.
    pub fn wait<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut found: impl FnMut(&Record) -> Option<T>,
    ) -> Result<T, LabError> {
        let end = Clock.now() + patience.into();
        loop {
            if let Some(found) = found(&self.record) {
                return Ok(found);
            }
            if Clock.now() >= end {
                return Err(LabError::NeverHappened {
                    what: what.to_owned(),
                    patience,
                });
            }
            self.look(TICK)?;
        }
    }

    /// Waits for some time.
    pub fn pause(&mut self, time: Duration) -> Result<(), LabError> {
        let end = Clock.now() + time.into();
        loop {
            let left = Duration::from(end - Clock.now());
            if left.is_zero() {
                return Ok(());
            }
            self.look(left.min(TICK))?;
        }
    }

    /// Waits until `master` has been the only one to advertise for some time, and the latest pings were answered. Only
    /// what happens after the call counts. It is longer than an interval: 1.5 s, with an advskew below 128, or in the
    /// fast profile five intervals, and 0.1 s at least.
    pub fn settle(&mut self, master: &Node, patience: Duration) -> Result<(), LabError> {
        const ANSWERED: usize = 10;
        let fast = |interval: u16| carp_fsm::Duration::from_millis((5 * u64::from(interval)).max(100));
        let window = master.setup().interval.map_or(WINDOW, fast);
        let start = Clock.now();
        self.wait(patience, &format!("{master} as the only master"), |record| {
            let now = Clock.now().as_micros();
            let from = Instant::from_micros(now.saturating_sub(window.as_micros()));
            let answered = record
                .pings
                .iter()
                .rev()
                .take(ANSWERED)
                .filter(|ping| ping.answered);
            let alone = from >= start
                && record
                    .sole_master(from, 1)
                    .is_some_and(|source| master.is_source(source));
            (alone && answered.count() == ANSWERED).then_some(())
        })
    }

    /// Waits until the second of two nodes has followed the first as master. `what` is for the error message.
    pub fn succession(
        &mut self,
        [old, new]: [&Node; 2],
        what: &str,
        since: Instant,
        patience: Duration,
    ) -> Result<Succession, LabError> {
        self.wait(patience, what, |record| {
            record.succession(
                |source| old.is_source(source),
                |source| new.is_source(source),
                since,
            )
        })
    }

    /// Takes in what the probe has written; waits at most `time` for the first line.
    fn look(&mut self, time: Duration) -> Result<(), LabError> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(LabError::Interrupted);
        }
        match self.observations.recv_timeout(time) {
            Ok(observation) => self.record.push(observation),
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(TICK); // for its last words
                return Err(self.probe.ended());
            }
        }
        for observation in self.observations.try_iter() {
            self.record.push(observation);
        }
        Ok(())
    }
}
