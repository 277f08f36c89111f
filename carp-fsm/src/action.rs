//! What the node wants done.

use core::net::IpAddr;

use crate::host::Output;
use crate::id::{HostId, IfaceId};

/// Something the adapter owes the node, from [`Node::poll_action`](crate::Node::poll_action).
///
/// Carry actions out in the order in which they come: the order is safety. Taking over is *own*, then
/// *advertise* and *announce*; leaving is *bow out*, then, when the successor is heard, *disown*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Own (or do not own) the addresses of `host` on this machine: exactly those of
    /// [`Node::config`](crate::Node::config), so that after a
    /// [`reconfigure`](crate::Node::reconfigure) the ones that it no longer has go.
    ///
    /// The host owes: make it so, do nothing if it is so already, do not block the loop, and report
    /// with [`Node::handle_owner_result`](crate::Node::handle_owner_result) and the same `seq`. Right
    /// after [`Node::insert`](crate::Node::insert) comes one `owner: false`: it takes off what an
    /// earlier process may have left behind.
    SetOwner {
        /// Whose addresses.
        host: HostId,
        /// Here, or not here.
        owner: bool,
        /// Rises with every wish of this host; a result with an older one is ignored.
        seq: u32,
    },
    /// Send the first `len` bytes of the frame buffer given to `poll_action`: a whole Ethernet frame.
    ///
    /// The host owes: send it unchanged (source MAC address included) from `iface` and report with
    /// [`Node::handle_transmit_result`](crate::Node::handle_transmit_result).
    Transmit {
        /// Where it leaves.
        iface: IfaceId,
        /// Which virtual host it belongs to.
        host: HostId,
        /// What it is.
        kind: TransmitKind,
        /// Frame length in bytes, at most [`MAX_FRAME_LEN`](carp_proto::frame::MAX_FRAME_LEN).
        len: usize,
        /// `Some`: unicast, the frame's destination MAC address is left zero for the adapter to
        /// resolve. `None`: the frame is complete.
        next_hop: Option<IpAddr>,
        /// Hand it back with the result.
        tx: TxId,
    },
}

/// What a transmitted frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransmitKind {
    /// A periodic or triggered advertisement.
    Advertisement,
    /// An advertisement of 255/255: "take over now".
    BowOut,
    /// A gratuitous ARP or an unsolicited neighbour advertisement.
    Announcement,
}

/// Names one transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TxId {
    pub(crate) host: HostId,
    /// To be taken up again if there was no room for the frame.
    pub(crate) output: Output,
}

/// What became of a transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransmitResult {
    /// It left.
    Sent,
    /// No buffer just now: the node asks again within milliseconds. No error, unless there is none until the next
    /// advertisement is due.
    Busy,
    /// It failed. Three rounds of advertisements that fail demote the group (`docs/protocol.md §10`).
    Error,
}

/// The adapter could not own the addresses.
///
/// The reason in words belongs to the adapter's log; the election only needs to know that it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerError;

impl core::fmt::Display for OwnerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the addresses could not be put on the interface")
    }
}

impl core::error::Error for OwnerError {}
