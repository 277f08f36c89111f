//! A learning switch whose ports are emulated network cards, and this program.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{Directory, now};

/// A frame that has crossed the switch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Crossed {
    pub(crate) at: Instant,
    /// The port it came from.
    pub(crate) from: usize,
    /// The segment that this port was in.
    pub(crate) segment: u8,
    pub(crate) frame: Vec<u8>,
}

#[derive(Clone)]
pub(crate) struct Switch {
    shared: Arc<Mutex<Shared>>,
    fabric: Sender<(usize, Vec<u8>)>,
}

#[derive(Default)]
struct Shared {
    ports: Vec<Port>,
    /// The port behind which each MAC address was last seen.
    table: HashMap<[u8; 6], usize>,
    log: Vec<Crossed>,
}

struct Port {
    end: End,
    /// Frames cross between ports of the same segment.
    segment: u8,
    delay: Duration,
}

enum End {
    Emulator { socket: UnixDatagram, path: PathBuf },
    Here(VecDeque<Vec<u8>>),
}

/// Where this program and the emulator have their ends of a port.
pub(crate) fn paths(directory: &Directory, port: usize) -> (PathBuf, PathBuf) {
    (
        directory.join(&format!("{port}.switch")),
        directory.join(&format!("{port}.card")),
    )
}

impl Switch {
    pub(crate) fn new() -> Self {
        let (fabric, incoming) = mpsc::channel::<(usize, Vec<u8>)>();
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let state = Arc::downgrade(&shared);
        thread::spawn(move || {
            let mut delayed = BinaryHeap::new();
            loop {
                let due =
                    |Reverse(Crossed { at, .. }): &Reverse<Crossed>| at.saturating_duration_since(now());
                let wait = delayed.peek().map_or(Duration::from_millis(200), due);
                let received = incoming.recv_timeout(wait);
                let Some(shared) = state.upgrade() else { return };
                let mut shared = shared.lock().unwrap();
                match received {
                    Ok((from, frame)) => {
                        let at = now() + shared.ports[from].delay;
                        let segment = shared.ports[from].segment;
                        delayed.push(Reverse(Crossed {
                            at,
                            from,
                            segment,
                            frame,
                        }));
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                while delayed.peek().is_some_and(|Reverse(next)| next.at <= now()) {
                    if let Some(Reverse(frame)) = delayed.pop() {
                        shared.forward(frame);
                    }
                }
            }
        });
        Self { shared, fabric }
    }

    /// A port for an emulator that connects to [`paths`].
    pub(crate) fn add_port(&self, directory: &Directory) -> usize {
        let mut shared = self.shared.lock().unwrap();
        let number = shared.ports.len();
        let (here, there) = paths(directory, number);
        let socket = UnixDatagram::bind(here).unwrap();
        let reader = socket.try_clone().unwrap();
        reader.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let (fabric, alive) = (self.fabric.clone(), Arc::downgrade(&self.shared));
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while alive.strong_count() > 0 {
                if let Ok(len) = reader.recv(&mut buffer) {
                    let _ = fabric.send((number, buffer[..len].to_vec()));
                }
            }
        });
        shared
            .ports
            .push(Port::new(End::Emulator { socket, path: there }));
        number
    }

    /// A port for this program.
    pub(crate) fn add_own_port(&self) -> usize {
        let mut shared = self.shared.lock().unwrap();
        shared.ports.push(Port::new(End::Here(VecDeque::new())));
        shared.ports.len() - 1
    }

    pub(crate) fn send(&self, port: usize, frame: Vec<u8>) {
        self.fabric.send((port, frame)).unwrap();
    }

    pub(crate) fn receive(&self, port: usize) -> Option<Vec<u8>> {
        match &mut self.shared.lock().unwrap().ports[port].end {
            End::Here(queue) => queue.pop_front(),
            End::Emulator { .. } => None,
        }
    }

    /// Puts a port into a segment of its own, or back: 0 is where all are at first.
    pub(crate) fn set_segment(&self, port: usize, segment: u8) {
        self.shared.lock().unwrap().ports[port].segment = segment;
    }

    /// Frames that come from a port cross the switch so much later.
    pub(crate) fn set_delay(&self, port: usize, delay: Duration) {
        self.shared.lock().unwrap().ports[port].delay = delay;
    }

    /// Every frame that has crossed.
    pub(crate) fn log(&self) -> Vec<Crossed> {
        self.shared.lock().unwrap().log.clone()
    }
}

impl Port {
    fn new(end: End) -> Self {
        Self {
            end,
            segment: 0,
            delay: Duration::ZERO,
        }
    }
}

impl Shared {
    fn forward(&mut self, crossed: Crossed) {
        let Crossed { from, frame, .. } = &crossed;
        let (Some(&to), Some(&source)) = (frame.first_chunk::<6>(), frame[6..].first_chunk::<6>()) else {
            return;
        };
        self.table.insert(source, *from);
        let known = self.table.get(&to).copied();
        let segment = crossed.segment;
        for (number, port) in self.ports.iter_mut().enumerate() {
            let is_for = known.is_none_or(|known| known == number);
            if number == *from || port.segment != segment || !is_for {
                continue;
            }
            match &mut port.end {
                // A board that is off does not receive.
                End::Emulator { socket, path } => drop(socket.send_to(frame, &*path)),
                End::Here(queue) => queue.push_back(frame.clone()),
            }
        }
        self.log.push(crossed);
    }
}
