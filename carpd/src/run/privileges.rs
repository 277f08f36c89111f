//! What carpd asks of the system before anything else, and what it then gives up.

use carp_std::linux::{drop_capabilities, lock_memory, set_realtime_priority};
use rustix::thread::{CapabilitySet, capabilities};

use crate::config::{Process, VirtualHost};

/// To be called before there are other threads and processes.
pub(super) fn prepare(process: Process) -> Result<(), String> {
    if process.lock_memory {
        lock_memory().map_err(|error| {
            format!(
                "cannot lock the memory: {error}; write LimitMEMLOCK=infinity into the systemd unit, give carpd \
                 CAP_IPC_LOCK and CAP_SYS_RESOURCE, or take lock_memory out of the configuration"
            )
        })?;
    }
    if let Some(priority) = process.realtime_priority {
        set_realtime_priority(priority).map_err(|error| {
            format!(
                "cannot get the real-time priority {priority}: {error}; write LimitRTPRIO={priority} and \
                 RestrictRealtime=no into the systemd unit, give carpd CAP_SYS_NICE, or take realtime_priority out \
                 of the configuration"
            )
        })?;
    }
    drop_capabilities().map_err(|error| format!("cannot drop capabilities: {error}"))
}

/// Whether the virtual hosts can have their addresses. A backup that could not take them would look sound until it is
/// needed.
pub(super) fn suffice_for(hosts: &[VirtualHost]) -> Result<(), String> {
    let mut with_addresses = hosts.iter().filter(|host| !host.addresses.is_empty());
    let Some(host) = with_addresses.next() else {
        return Ok(());
    };
    let ours = capabilities(None).map_err(|error| format!("cannot tell what carpd may do: {error}"))?;
    if ours.effective.contains(CapabilitySet::NET_ADMIN) {
        return Ok(());
    }
    Err(format!(
        "not permitted to change the addresses of {}: run as root, give carpd the capability CAP_NET_ADMIN, or write \
         addresses = [] for an election that is about no address",
        host.interface
    ))
}
