//! Somebody who talks to the virtual address all the time: TCP echo, ten times a second.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use super::now;
use super::switch::Switch;

const MAC: [u8; 6] = [6, 0, 0, 0, 0, 9];
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
/// Between two echoes.
const PACE: Duration = Duration::from_millis(100);
/// After so long without an echo it dials again.
const GIVE_UP: Duration = Duration::from_millis(500);

pub(crate) struct Client {
    echoes: Arc<Mutex<Vec<Instant>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    pub(crate) fn start(switch: &Switch, server: IpAddr) -> Self {
        let echoes: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let port = Port {
            switch: switch.clone(),
            number: switch.add_own_port(),
        };
        let (log, end) = (Arc::clone(&echoes), Arc::clone(&stop));
        let thread = thread::spawn(move || talk(port, server, &log, &end));
        Self {
            echoes,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn echoes(&self) -> Vec<Instant> {
        self.echoes.lock().unwrap().clone()
    }

    /// Waits for an echo from now on, and returns when it came.
    pub(crate) fn wait_for_echo(&self) -> Instant {
        let start = now();
        super::wait(
            || self.echoes().last().copied().filter(|at| *at > start),
            "an echo from the virtual address",
        )
    }

    /// The longest time without an echo since `start`.
    pub(crate) fn longest_silence(&self, start: Instant) -> Duration {
        let mut times: Vec<_> = self.echoes().into_iter().filter(|at| *at >= start).collect();
        times.insert(0, start);
        times.push(now());
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn talk(mut port: Port, server: IpAddr, echoes: &Mutex<Vec<Instant>>, stop: &AtomicBool) {
    let start = now();
    let elapsed = || time::Instant::from_micros(i64::try_from(start.elapsed().as_micros()).unwrap());
    let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(MAC)));
    let mut interface = Interface::new(config, &mut port, elapsed());
    interface.update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(ADDRESS.into(), 24)).unwrap();
        addresses.push(IpCidr::new(ADDRESS_V6.into(), 64)).unwrap();
    });
    let mut sockets = SocketSet::new(Vec::new());
    let buffer = || tcp::SocketBuffer::new(vec![0; 2048]);
    let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
    let mut local_port = 49_152;
    let mut last_sent = now();
    let mut waiting = false;
    while !stop.load(Ordering::Relaxed) {
        interface.poll(elapsed(), &mut port, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        if !socket.is_open() || last_sent.elapsed() > GIVE_UP {
            socket.abort();
            interface.poll(elapsed(), &mut port, &mut sockets);
            local_port += 1;
            let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
            socket
                .connect(interface.context(), (server, 7), local_port)
                .unwrap();
            (waiting, last_sent) = (false, now());
            continue;
        }
        if waiting && socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), ())).unwrap();
            echoes.lock().unwrap().push(now());
            waiting = false;
        }
        let due = !waiting && last_sent.elapsed() >= PACE;
        if due && socket.can_send() {
            socket.send_slice(b"are you there?").unwrap();
            (waiting, last_sent) = (true, now());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

struct Port {
    switch: Switch,
    number: usize,
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room;

    fn receive(&mut self, _: time::Instant) -> Option<(Received, Room)> {
        let frame = self.switch.receive(self.number)?;
        Some((Received(frame), self.room()))
    }

    fn transmit(&mut self, _: time::Instant) -> Option<Room> {
        Some(self.room())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities
    }
}

impl Port {
    fn room(&self) -> Room {
        Room {
            switch: self.switch.clone(),
            number: self.number,
        }
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Room {
    switch: Switch,
    number: usize,
}

impl phy::TxToken for Room {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.switch.send(self.number, frame);
        result
    }
}
