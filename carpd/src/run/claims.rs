//! One carpd for each interface of a network namespace.
//!
//! Two would not hear each other, as no socket hears what its own machine sends, and each would take the addresses
//! for leftovers of a process that was killed.

use std::collections::BTreeSet;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

/// The interfaces that are ours. For each we listen on a socket whose name there is once in a network namespace, and
/// which is gone when we are, in whatever way we end.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeSet<String>);

impl Claims {
    /// Makes an interface ours until the end. An error says whose it is.
    pub(super) fn claim(&mut self, interface: &str) -> Result<(), String> {
        if self.0.contains(interface) {
            return Ok(());
        }
        let failed = |error: io::Error| format!("cannot claim {interface}: {error}");
        let name = SocketAddr::from_abstract_name(format!("carpd/{interface}")).map_err(failed)?;
        match UnixListener::bind_addr(&name) {
            Ok(listener) => {
                // Who asks is not answered: that we listen says it.
                let listen = move || while listener.accept().is_ok() {};
                let thread = thread::Builder::new().name("claim".into());
                thread.spawn(listen).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if let Some(process) = holder(&name) {
                    return Err(format!(
                        "another carpd has virtual hosts on {interface} (process {process}); write these into its file, \
                         or stop it"
                    ));
                }
            }
            Err(error) => return Err(failed(error)),
        }
        self.0.insert(interface.to_owned());
        Ok(())
    }
}

/// The process that listens, if it can be a carpd: any user can take a name, and must not keep us from starting.
fn holder(name: &SocketAddr) -> Option<i32> {
    let asked = UnixStream::connect_addr(name).ok()?;
    let credentials = socket_peercred(&asked).ok()?;
    let can_be = credentials.uid.is_root() || credentials.uid == geteuid();
    can_be.then(|| credentials.pid.as_raw_nonzero().get())
}
