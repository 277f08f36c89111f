//! What the process and its threads may do, and how soon they do it.

use std::io;

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use super::sys;

/// Gives the calling thread a real-time priority (`SCHED_FIFO`, 1 to 99): it runs before everything that
/// has none, and so the election is on time on a machine that is overloaded. Threads and processes that it
/// starts do not inherit it.
///
/// Needs `CAP_SYS_NICE` or a limit (`RLIMIT_RTPRIO`) that allows it; call it before
/// [`drop_capabilities`].
pub fn set_realtime_priority(priority: u8) -> io::Result<()> {
    sys::set_fifo_priority(priority)
}

/// Keeps the memory of this process from being swapped out: what it has used, and what it will use.
///
/// Needs `CAP_IPC_LOCK` or a limit (`RLIMIT_MEMLOCK`) that allows it; call it before
/// [`drop_capabilities`]. The limit has to be infinite, or the process would be refused memory when it
/// is reached; with `CAP_SYS_RESOURCE` this call makes it so.
pub fn lock_memory() -> io::Result<()> {
    let infinite = Rlimit {
        current: None,
        maximum: None,
    };
    setrlimit(Resource::Memlock, infinite)?;
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?;
    Ok(())
}

/// Gives up every capability but `CAP_NET_RAW` and `CAP_NET_ADMIN` for ever, and with that the chance to
/// get others by executing a file.
///
/// It acts on the calling thread and those that it starts later, so call it before there are others: before
/// [`LinuxLink::start_guard`](super::LinuxLink::start_guard), and before virtual hosts in VMAC mode are
/// inserted. What the thread does not have, it does not get: without `CAP_NET_ADMIN` it can still take part
/// in elections that are about no address.
pub fn drop_capabilities() -> io::Result<()> {
    keep_capabilities(CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN)
}

pub(super) fn keep_capabilities(kept: CapabilitySet) -> io::Result<()> {
    for capability in CapabilitySet::all().difference(kept).iter() {
        match remove_capability_from_bounding_set(capability) {
            // Who may not (CAP_SETPCAP) has no others to gain, or is root in a container that sees to it; an
            // older kernel does not know the newest ones.
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
            Err(e) => return Err(e.into()),
        }
    }
    set_no_new_privs(true)?;
    let CapabilitySets {
        effective,
        permitted,
        inheritable,
    } = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: effective & kept,
            permitted: permitted & kept,
            inheritable: inheritable & kept,
        },
    )?;
    Ok(())
}
