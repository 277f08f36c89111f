//! What a client sees of virtual addresses.

use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration as StdDuration;

use carp_fsm::Duration;
use carp_std::linux::Clock;

use super::Namespace;

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Clock.now() + Duration::from_secs(5);
    while !done() {
        assert!(Clock.now() < end, "{what}");
        thread::sleep(StdDuration::from_millis(10));
    }
}

/// From now on somebody listens at port 7, over IPv4 and IPv6.
pub(crate) fn listen(namespace: &Namespace) {
    let listener = namespace.enter(|| TcpListener::bind("[::]:7").unwrap());
    thread::spawn(move || while listener.accept().is_ok() {});
}

/// Whether a connection to port 7 of an address can be opened, and the answer comes from there.
pub(crate) fn reaches(client: &Namespace, address: &str) -> bool {
    let to = SocketAddr::new(address.parse().unwrap(), 7);
    let attempt = || TcpStream::connect_timeout(&to, StdDuration::from_millis(500)).is_ok();
    client.enter(|| (0..5).any(|_| attempt()))
}

/// At which MAC address a client finds an address. It forgets what it knew, and asks.
pub(crate) fn mac_of(client: &Namespace, address: &str) -> Option<String> {
    client.ip(&format!("{} neigh flush to {address}", family(address)));
    let index = client.ip("-o link show eth0");
    let scope = index.split(':').next().unwrap().parse().unwrap();
    let (any, to) = match address.parse().unwrap() {
        IpAddr::V4(to) => ("0.0.0.0:0", SocketAddr::from((to, 9))),
        IpAddr::V6(to) => ("[::]:0", SocketAddrV6::new(to, 9, 0, scope).into()),
    };
    client.enter(|| UdpSocket::bind(any).unwrap().send_to(b"?", to).unwrap());
    let end = Clock.now() + Duration::from_secs(2);
    while Clock.now() < end {
        let known = known_mac(client, address);
        if known.is_some() {
            return known;
        }
        thread::sleep(StdDuration::from_millis(10));
    }
    None
}

/// At which MAC address a client believes an address to be.
pub(crate) fn known_mac(client: &Namespace, address: &str) -> Option<String> {
    let shown = client.ip(&format!("{} neigh show to {address} dev eth0", family(address)));
    let mac = shown
        .split_whitespace()
        .skip_while(|word| *word != "lladdr")
        .nth(1);
    mac.map(str::to_owned)
}

fn family(address: &str) -> &'static str {
    if address.contains(':') { "-6" } else { "-4" }
}
