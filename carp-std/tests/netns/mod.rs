//! Network namespaces for tests, which remove themselves.
#![allow(dead_code, reason = "not every test program needs all of it")]

pub(crate) mod client;
pub(crate) mod link;
pub(crate) mod node;

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{env, fs};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};

/// Whether network namespaces can be made here. They need root; where CI
/// promises it (`CI=true`), not having it fails the test.
pub(crate) fn available() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "this test needs root, for network namespaces"
    );
    // Not `eprintln!`: the harness keeps what a passing test prints.
    let _ = writeln!(
        std::io::stderr(),
        "LEFT OUT: this test needs root, for network namespaces"
    );
    false
}

/// A network namespace, deleted on drop with everything in it.
pub(crate) struct Namespace(String);

impl Namespace {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("carp-std-test-{}-{number}", std::process::id());
        run(&["netns", "add", &name]);
        let namespace = Self(name);
        // No router solicitations and no duplicate address detection: only what the test sends.
        namespace.enter(|| {
            for file in ["all/disable_ipv6", "default/disable_ipv6"] {
                fs::write(format!("/proc/sys/net/ipv6/conf/{file}"), "1").unwrap();
            }
        });
        namespace
    }

    /// Runs `ip` with these words in the namespace and returns what it prints.
    pub(crate) fn ip(&self, words: &str) -> String {
        let mut arguments = vec!["-n", &self.0];
        arguments.extend(words.split_whitespace());
        run(&arguments)
    }

    /// Runs many lines of `ip` at once in the namespace.
    pub(crate) fn ip_batch(&self, lines: &str) {
        let file = std::env::temp_dir().join(&self.0);
        fs::write(&file, lines).unwrap();
        self.ip(&format!("-batch {}", file.display()));
        fs::remove_file(file).unwrap();
    }

    /// Starts a thread that lives in the namespace.
    pub(crate) fn spawn<R: Send + 'static>(&self, f: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
        let namespace = self.open();
        thread::spawn(move || {
            move_here(&namespace);
            f()
        })
    }

    /// Runs `f` on a thread that lives in the namespace, and waits for it.
    pub(crate) fn enter<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        let namespace = self.open();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_here(&namespace);
                f()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Lays a cable from a port here, which is made, to `eth0` of a machine.
    pub(crate) fn cable(&self, port: &str, machine: &Self) {
        machine.ip(&format!(
            "link add eth0 type veth peer name {port} netns {}",
            self.0
        ));
    }

    fn open(&self) -> fs::File {
        fs::File::open(format!("/run/netns/{}", self.0)).unwrap()
    }
}

fn move_here(namespace: &fs::File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// The IPv4 addresses of the namespace but that of `lo`, as `ip` shows them.
pub(crate) fn addresses(namespace: &Namespace) -> Vec<String> {
    let shown = namespace.ip("-o -4 address show");
    let address = |line: &str| line.split_whitespace().nth(3).unwrap().to_owned();
    shown
        .lines()
        .map(address)
        .filter(|address| !address.starts_with("127."))
        .collect()
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run(&["netns", "del", &self.0]);
    }
}

/// Two namespaces joined by a cable: `eth0` with 10.0.0.2/24 in the first,
/// `eth0` with 10.0.0.3/24 in the second. Both ends are up.
pub(crate) fn pair() -> (Namespace, Namespace) {
    let (a, b) = (Namespace::new(), Namespace::new());
    connect(&a, &b, 10);
    (a, b)
}

/// Lays the cable of [`pair`]; the first end gets this interface index.
pub(crate) fn connect(a: &Namespace, b: &Namespace, index: u32) {
    a.ip(&format!(
        "link add index {index} eth0 type veth peer name eth0 netns {}",
        b.0
    ));
    for (namespace, address) in [(a, "10.0.0.2/24"), (b, "10.0.0.3/24")] {
        namespace.ip(&format!("address add {address} dev eth0"));
        namespace.ip("link set eth0 up");
    }
}

/// Lays so many cables beside that of [`pair`], from `v0`, `v1` and so on to interfaces of the same names. They are up.
pub(crate) fn more_cables(a: &Namespace, b: &Namespace, number: usize) {
    let lines = |line: &dyn Fn(usize) -> String| (0..number).map(line).collect::<String>();
    a.ip_batch(&lines(&|i| {
        format!("link add v{i} type veth peer name v{i} netns {}\n", b.0)
    }));
    for namespace in [a, b] {
        namespace.ip_batch(&lines(&|i| format!("link set v{i} up\n")));
    }
}

/// Three namespaces on one switch, as [`pair`]: two machines, 10.0.0.2 and 10.0.0.3, and a client, 10.0.0.100.
/// `eth0` everywhere.
pub(crate) fn segment() -> (Namespace, Namespace, Namespace, Namespace) {
    let switch = Namespace::new();
    switch.ip("link add switch type bridge mcast_snooping 0");
    switch.ip("link set switch up");
    let machine = |port: &str, address: &str| {
        let machine = Namespace::new();
        switch.cable(port, &machine);
        switch.ip(&format!("link set {port} master switch up"));
        machine.ip(&format!("address add {address}/24 dev eth0"));
        machine.ip("link set eth0 up");
        machine
    };
    let (a, b) = (machine("port1", "10.0.0.2"), machine("port2", "10.0.0.3"));
    let client = machine("port3", "10.0.0.100");
    (a, b, client, switch)
}

/// Switches IPv6 on for `eth0`, with `fe80::n` and `2001:db8::n`.
pub(crate) fn with_ipv6(namespace: &Namespace, n: u8) {
    namespace.enter(|| {
        for (file, value) in [("addr_gen_mode", "1"), ("accept_dad", "0"), ("disable_ipv6", "0")] {
            fs::write(format!("/proc/sys/net/ipv6/conf/eth0/{file}"), value).unwrap();
        }
    });
    namespace.ip(&format!("address add fe80::{n}/64 dev eth0 nodad"));
    namespace.ip(&format!("address add 2001:db8::{n}/64 dev eth0 nodad"));
}

/// Every frame that a namespace receives or sends.
pub(crate) struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

impl Capture {
    pub(crate) fn start(namespace: &Namespace) -> Self {
        const EVERY_TYPE: u16 = 3;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let socket = namespace.enter(|| {
            let protocol = Protocol::from(i32::from(EVERY_TYPE.to_be()));
            Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).unwrap()
        });
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let thread = thread::spawn(move || {
            let mut frames = Vec::new();
            let mut frame = [0; 2048];
            loop {
                match (&socket).read(&mut frame) {
                    Ok(len) => frames.push(frame[..len].to_vec()),
                    Err(_) if stopped.load(Ordering::Relaxed) => return frames,
                    Err(_) => {}
                }
            }
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Vec<Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("the tests need iproute2 (ip)");
    assert!(
        output.status.success() || thread::panicking(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
