//! The log: one line for each event on standard output, written by a thread of its own.
//!
//! Standard output can be a pipe whose reader has stopped. The election must not stop with it, so lines wait in
//! a bounded queue, and are counted instead of kept when it is full.

use std::io::{self, Write};
use std::mem;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::events::Record;

/// Lines that wait at most for a slow reader.
const QUEUE: usize = 4096;
/// How long the end of the program waits for a slow reader.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What a line looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `TIME TEXT`.
    #[default]
    Text,
    /// One JSON object: events as `carpd events --json` prints them, other lines with `time`, `event` and `text`.
    Json,
}

impl Format {
    /// As it is in a configuration file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Writes lines without ever blocking the caller. Dropping it writes what is left.
#[derive(Debug)]
pub struct Log {
    queue: Option<SyncSender<String>>,
    format: Format,
    lost: u64,
    /// Tells that the thread has written everything.
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = mpsc::sync_channel::<String>(QUEUE);
        let (finished, done) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("log".into()).spawn(move || {
            for line in lines {
                // A closed pipe is no reason to stop the election; there is nowhere to complain either.
                let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            }
            let _ = finished.send(());
        })?;
        Ok(Self {
            queue: Some(queue),
            format: Format::Text,
            lost: 0,
            done,
            thread: Some(thread),
        })
    }

    /// Other looks from now on. Returns what has changed, if anything has.
    pub fn set_format(&mut self, format: Format) -> Option<String> {
        let before = mem::replace(&mut self.format, format);
        (before != format).then(|| format!("{} -> {}", before.name(), format.name()))
    }

    /// Writes a line, with the time of the call.
    pub fn line(&mut self, text: &str) {
        let now = rfc3339(wall_clock());
        if self.lost > 0 {
            let lost = format!("carpd: {} lines lost, because nobody read them", self.lost);
            if self.send(self.render(&now, &lost)) {
                self.lost = 0;
            }
        }
        if !self.send(self.render(&now, text)) {
            self.lost += 1;
        }
    }

    /// Writes an event.
    pub fn event(&mut self, record: &Record) {
        match (self.format, serde_json::to_string(record)) {
            (Format::Json, Ok(json)) if self.lost == 0 => {
                self.lost += u64::from(!self.send(json + "\n"));
            }
            _ => self.line(&record.text),
        }
    }

    fn render(&self, time: &str, text: &str) -> String {
        match self.format {
            Format::Text => format!("{time} {text}\n"),
            Format::Json => {
                let line = serde_json::json!({ "time": time, "event": "other", "text": text });
                format!("{line}\n")
            }
        }
    }

    fn send(&self, line: String) -> bool {
        let Some(queue) = &self.queue else { return false };
        !matches!(queue.try_send(line), Err(TrySendError::Full(_)))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue = None; // the thread ends when the queue is empty
        if self.done.recv_timeout(LAST_WAIT).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// The time of day, for people. Nothing is ever decided by it.
#[expect(clippy::disallowed_methods, reason = "for log lines and the status only")]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// `2026-11-21T10:00:00.123Z`. A clock before 1970 reads 1970.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let millis = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Gregorian year, month and day of a day counted from 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that the leap day is the last of its year, and the months before it have
    // lengths which (153 * month + 2) / 5 sums up.
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn times_are_printed_in_utc() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_255_200_123, "2026-11-21T10:00:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = date(0);
        for day in 1..200_000 {
            let (year, month, day) = date(day);
            let (last_year, last_month, last_day) = before;
            let follows = match day {
                1 if month == 1 => (last_year + 1, last_month, last_day) == (year, 12, 31),
                1 => (last_year, last_month + 1) == (year, month) && last_day >= 28,
                _ => (last_year, last_month, last_day + 1) == (year, month, day),
            };
            assert!(follows, "{before:?} {year}-{month}-{day}");
            before = (year, month, day);
        }
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("no panic elsewhere")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stopped_blocks_nobody_and_learns_what_it_missed() {
        let out = Shared::default();
        let mut log = Log::start(out.clone()).expect("a thread");
        let stopped = out.0.lock().expect("no panic elsewhere");
        for i in 0..2 * QUEUE {
            log.line(&format!("line {i}"));
        }
        assert!(log.lost > 0);
        drop(stopped);
        while log.lost > 0 {
            thread::sleep(Duration::from_millis(1));
            log.line("again");
        }
        drop(log);
        let text = String::from_utf8(out.0.lock().expect("no panic elsewhere").clone()).expect("text");
        assert!(text.contains(" line 0\n"), "{text}");
        assert!(text.contains("lines lost, because nobody read them\n"), "{text}");
        assert!(text.ends_with(" again\n"), "{text}");
    }
}
