//! CARP inside a daemon of another kind, which has an event loop of its own.
//!
//! ```sh
//! cargo run -p carp-std --example embed -- eth0 7 192.0.2.1/24 8080
//! ```
//!
//! The daemon answers `GET /` on its port with the state of the virtual host. That is what a load balancer
//! asks for; the service itself would look at the state in the same way. It stops after the number of seconds
//! given as the last argument, if there is one.

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    linux::run(&arguments)
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this example is for Linux");
}

#[cfg(target_os = "linux")]
pub(crate) mod linux {
    use std::error::Error;
    use std::io::{self, Write};
    use std::net::{IpAddr, Ipv4Addr, TcpListener};

    use carp_fsm::{Duration, EventKind, HostConfig, HostId, Policy};
    use carp_proto::{Key, Vhid};
    use carp_std::linux::{Clock, LinuxLink, drop_capabilities, random_seed};
    use carp_std::{Host, Prefix};
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;

    type Carp = Host<LinuxLink, 4>;

    pub(crate) fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
        let [interface, vhid, address, port, seconds @ ..] = arguments else {
            return Err("usage: embed INTERFACE VHID ADDRESS/PREFIX PORT [SECONDS]".into());
        };
        // Nothing after this needs more than the two capabilities that are left.
        drop_capabilities()?;
        let (mut carp, id) = start(interface, vhid.parse()?, address)?;
        let service = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port.parse()?))?;
        let stop_at = match seconds.first() {
            Some(seconds) => Some(Clock.now() + Duration::from_secs(seconds.parse()?)),
            None => None,
        };
        let stopper = carp.stopper();

        // The daemon's own loop: one more descriptor in it, and one more call.
        let mut ready = [true; 2];
        while !carp.is_stopped() {
            if stop_at.is_some_and(|at| Clock.now() >= at) {
                stopper.stop(); // as a signal handler would
            }
            if ready[1] {
                carp.process(Clock.now())?;
                tell(&mut carp);
            }
            if ready[0] {
                answer(&service, &carp, id);
            }
            ready = wait(&service, &carp, stop_at)?;
        }
        Ok(())
    }

    /// A virtual host in plain mode, with defaults for all the rest.
    fn start(interface: &str, vhid: u8, address: &str) -> Result<(Carp, HostId), Box<dyn Error>> {
        let (address, prefix) = address
            .split_once('/')
            .ok_or("write the address with its prefix length")?;
        let (address, prefix): (IpAddr, u8) = (address.parse()?, prefix.parse()?);
        let mut link = LinuxLink::new()?;
        let iface = link.add_interface(interface)?;
        let key = Key::from_passphrase(b"an example")?;
        let mut config = HostConfig::new(iface, Vhid::try_from(vhid)?, key);
        config.addresses.insert(address)?;
        let mut carp = Carp::new(link, Policy::HARDENED, random_seed()?)?;
        let id = carp.insert(Clock.now(), config, |_| Prefix::Length(prefix))?;
        Ok((carp, id))
    }

    fn tell(carp: &mut Carp) {
        while let Some(event) = carp.poll_event() {
            if let EventKind::Transition { from, to, reason, .. } = event.kind {
                println!("{from} -> {to} ({reason})");
            }
        }
    }

    fn answer(service: &TcpListener, carp: &Carp, id: HostId) {
        let Ok((mut client, _)) = service.accept() else {
            return;
        };
        let status = if carp.node().is_owner(id) {
            "200 OK"
        } else {
            "503 Service Unavailable"
        };
        let state = carp
            .node()
            .state(id)
            .map(|state| state.to_string())
            .unwrap_or_default();
        // A client that has gone away is no affair of ours.
        let _ = write!(
            client,
            "HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n{state}\n",
            state.len() + 1
        );
    }

    /// Which of the two has something to do. With a `stop_at`, looks at the clock ten times a second.
    fn wait(service: &TcpListener, carp: &Carp, stop_at: Option<carp_fsm::Instant>) -> io::Result<[bool; 2]> {
        let mut sources = [
            PollFd::new(service, PollFlags::IN),
            PollFd::new(carp, PollFlags::IN),
        ];
        let tenth = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        match poll(&mut sources, stop_at.is_some().then_some(&tenth)) {
            Ok(_) | Err(Errno::INTR) => Ok(sources.map(|source| !source.revents().is_empty())),
            Err(e) => Err(e.into()),
        }
    }
}
