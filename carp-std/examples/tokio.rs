//! CARP as a task of tokio: the descriptor of the host in an `AsyncFd`.
//!
//! ```sh
//! cargo run -p carp-std --example tokio -- eth0 7 192.0.2.1/24
//! ```
//!
//! Ends, after an orderly hand-over, at Ctrl-C or after the number of seconds given as the last argument.
//!
//! A runtime of one thread is what this wants: the thread that looks after the virtual host must not be kept
//! busy by other tasks for longer than a few milliseconds, or it is late. If yours may be, let
//! [`Host::run`](carp_std::Host::run) have a thread of its own, and send events from there through a channel.

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
    use std::net::IpAddr;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use carp_fsm::{EventKind, HostConfig, Policy};
    use carp_proto::{Key, Vhid};
    use carp_std::linux::{Clock, LinuxLink, random_seed};
    use carp_std::{Host, Prefix};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    type Carp = Host<LinuxLink, 4>;

    pub(crate) fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(main(arguments))
    }

    async fn main(arguments: &[String]) -> Result<(), Box<dyn Error>> {
        let [interface, vhid, address, seconds @ ..] = arguments else {
            return Err("usage: tokio INTERFACE VHID ADDRESS/PREFIX [SECONDS]".into());
        };
        let carp = start(interface, vhid.parse()?, address)?;
        let stopper = carp.stopper();
        match seconds.first() {
            Some(seconds) => {
                let seconds = Duration::from_secs(seconds.parse()?);
                tokio::spawn(async move {
                    tokio::time::sleep(seconds).await;
                    stopper.stop();
                });
            }
            None => {
                tokio::spawn(async move {
                    if tokio::signal::ctrl_c().await.is_ok() {
                        stopper.stop();
                    }
                });
            }
        }
        drive(carp).await
    }

    /// [`Host::run`], as a future.
    async fn drive(mut carp: Carp) -> Result<(), Box<dyn Error>> {
        // A second descriptor of the same epoll instance: `AsyncFd` wants to have its own.
        let descriptor = carp.as_fd().try_clone_to_owned()?;
        #[expect(
            deprecated,
            reason = "for types whose descriptor may change, which an OwnedFd's does not; what replaces it is unsafe"
        )]
        let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
        loop {
            carp.process(Clock.now())?;
            while let Some(event) = carp.poll_event() {
                if let EventKind::Transition { from, to, reason, .. } = event.kind {
                    println!("{from} -> {to} ({reason})");
                }
            }
            if carp.is_stopped() {
                return Ok(());
            }
            // `process` has read everything; what came since then is new.
            descriptor.readable().await?.clear_ready();
        }
    }

    /// A virtual host in plain mode, with defaults for all the rest.
    fn start(interface: &str, vhid: u8, address: &str) -> Result<Carp, Box<dyn Error>> {
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
        carp.insert(Clock.now(), config, |_| Prefix::Length(prefix))?;
        Ok(carp)
    }
}
