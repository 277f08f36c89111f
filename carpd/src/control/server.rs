//! The answering side of the control socket.
//!
//! Clients are served by threads of their own, so that none of them can hold up the election: a thread reads
//! the request, puts it into a queue, wakes the daemon's loop, and waits for the answer.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use super::{Answer, Command, MAX_REQUEST};

/// Clients that are served at the same time; more are turned away.
const MAX_CLIENTS: usize = 8;
/// How long a client may take for its request, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the daemon may take for the answer to a command that waits for the network or a disk. It needs less,
/// unless the disk hangs.
pub(super) const SLOW_PATIENCE: Duration = Duration::from_secs(30);

/// A listening control socket. Dropping it removes the socket's file.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    jobs: Receiver<Job>,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Job {
    /// What is asked for.
    pub command: Command,
    answer: SyncSender<Answer>,
    taken: Taken,
}

/// Whose a job is: the daemon's, which begins with it, or the client's, who has waited for that in vain. Whoever
/// takes it first.
#[derive(Debug, Clone, Default)]
struct Taken(Arc<AtomicBool>);

/// Why there is no control socket. `Display` says what to do, in one line.
#[derive(Debug)]
pub enum StartError {
    /// Another process listens on it.
    Taken(PathBuf, Option<i32>),
    /// The path is taken by something that is no socket.
    NoSocket(PathBuf),
    /// The system refuses.
    Io(PathBuf, io::Error),
}

impl Server {
    /// Listens on `path`. The directory is made if it is missing (mode 0755); a socket that nobody listens on
    /// any more is replaced. `wake` is called, from another thread, whenever there is a new job.
    pub fn start(path: &Path, wake: impl Fn() + Send + Sync + 'static) -> Result<Self, StartError> {
        Self::start_with(path, SLOW_PATIENCE, wake)
    }

    /// The same, with another patience for slow commands.
    pub(super) fn start_with(
        path: &Path,
        patience: Duration,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let failed = |error| StartError::Io(path.to_owned(), error);
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            fs::DirBuilder::new()
                .mode(0o755)
                .create(directory)
                .map_err(failed)?;
        }
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Everybody may connect: who is not allowed gets a sentence instead of "permission denied".
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(failed)?;
        let (queue, jobs) = mpsc::sync_channel(MAX_CLIENTS);
        let desk = Arc::new(Desk {
            queue,
            wake,
            patience,
        });
        thread::Builder::new()
            .name("control".into())
            .spawn(move || accept(&listener, &desk))
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            jobs,
        })
    }

    /// The next request, if one waits. From now on its client is never told that it was refused for want of time.
    pub fn next_job(&self) -> Option<Job> {
        self.jobs.try_iter().find(|job| job.taken.take())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Job {
    /// Answers. A client that has gone away is no matter.
    pub fn answer(self, answer: Answer) {
        let _ = self.answer.try_send(answer);
    }
}

impl Taken {
    /// Whether it is the caller's now.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Removes the socket of a dead process, and nothing else.
fn remove_stale(path: &Path) -> Result<(), StartError> {
    let failed = |error| StartError::Io(path.to_owned(), error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(StartError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(stream) => {
            let pid = socket_peercred(&stream)
                .ok()
                .map(|peer| peer.pid.as_raw_nonzero().get());
            Err(StartError::Taken(path.to_owned(), pid))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Where clients bring their requests.
struct Desk<W> {
    queue: SyncSender<Job>,
    wake: W,
    /// For slow commands.
    patience: Duration,
}

fn accept<W: Fn() + Send + Sync + 'static>(listener: &UnixListener, desk: &Arc<Desk<W>>) {
    let clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else {
            thread::sleep(Duration::from_millis(100)); // out of file descriptors: do not spin
            continue;
        };
        if let Err(why) = admit(&stream, &clients) {
            // The answer fits into the socket's buffer, so this does not block.
            let _ = stream.write_all(Answer::refusal(why).to_line().as_bytes());
            continue;
        }
        clients.fetch_add(1, Ordering::Relaxed);
        let (desk, done) = (Arc::clone(desk), Arc::clone(&clients));
        let serve = move || {
            let _ = serve(stream, &desk);
            done.fetch_sub(1, Ordering::Relaxed);
        };
        if thread::Builder::new().name("client".into()).spawn(serve).is_err() {
            clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Whether a client is served, judged before a byte of it is read.
fn admit(stream: &UnixStream, clients: &AtomicUsize) -> Result<(), String> {
    let peer = socket_peercred(stream).map_err(|error| format!("cannot tell who asks: {error}"))?;
    let own = geteuid();
    if !peer.uid.is_root() && peer.uid != own {
        let (uid, own) = (peer.uid.as_raw(), own.as_raw());
        return Err(format!(
            "user {uid} may not ask this carpd; ask as root or as its own user ({own})"
        ));
    }
    if clients.load(Ordering::Relaxed) >= MAX_CLIENTS {
        return Err(format!("{MAX_CLIENTS} clients are being served; try again"));
    }
    Ok(())
}

fn serve<W: Fn()>(mut stream: UnixStream, desk: &Desk<W>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new(&stream)
        .take(MAX_REQUEST as u64 + 1)
        .read_until(b'\n', &mut line)?;
    let answer = if line.last() == Some(&b'\n') {
        line.pop();
        Command::from_line(&line)
    } else if line.len() > MAX_REQUEST {
        Err(format!(
            "the request is longer than {MAX_REQUEST} bytes; write one line of JSON"
        ))
    } else {
        Err("the request does not end with a newline; write one line of JSON".into())
    }
    .map(|command| desk.ask(command));
    let answer = match answer {
        Err(why) => Answer::refusal(why),
        Ok(Asked::Answered(answer)) => answer,
        Ok(Asked::Busy) => Answer::refusal("carpd is busy; try again"),
        Ok(Asked::Unfinished(after)) => Answer::unfinished(format!(
            "accepted, but not done after {} s: what comes of it is not known yet; carpd status shows what is in \
             progress, and the log what has come of it",
            after.as_secs()
        )),
        // It has ended, and nobody knows what it would have said.
        Ok(Asked::Gone) => return Ok(()),
    };
    stream.write_all(answer.to_line().as_bytes())
}

/// What came of a request.
enum Asked {
    Answered(Answer),
    /// The daemon has not begun with it, and never will.
    Busy,
    /// It has begun, and was waited for so long.
    Unfinished(Duration),
    Gone,
}

impl<W: Fn()> Desk<W> {
    fn ask(&self, command: Command) -> Asked {
        let (answer, answered) = mpsc::sync_channel(1);
        let patience = if command.is_slow() {
            self.patience
        } else {
            PATIENCE
        };
        let taken = Taken::default();
        let job = Job {
            command,
            answer,
            taken: taken.clone(),
        };
        match self.queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Asked::Busy,
            Err(TrySendError::Disconnected(_)) => return Asked::Gone,
        }
        (self.wake)();
        match answered.recv_timeout(patience) {
            Ok(answer) => Asked::Answered(answer),
            Err(RecvTimeoutError::Timeout) if taken.take() => Asked::Busy,
            Err(RecvTimeoutError::Timeout) => Asked::Unfinished(patience),
            Err(RecvTimeoutError::Disconnected) => Asked::Gone,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(path, pid) => {
                let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
                let path = path.display();
                write!(
                    f,
                    "another carpd listens on {path}{who}; stop it, or set another control_socket"
                )
            }
            Self::NoSocket(path) => {
                write!(
                    f,
                    "{} is no socket; remove it, or set another control_socket",
                    path.display()
                )
            }
            Self::Io(path, error) => write!(f, "no control socket {}: {error}", path.display()),
        }
    }
}

impl Error for StartError {}
