//! What carpd asks of the system before anything else, and what it then gives up.

use carp_std::linux::{drop_capabilities, lock_memory, set_realtime_priority};

use crate::config::Process;

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
