use std::net::IpAddr;
use std::os::fd::AsFd;

use carp_fsm::{IfaceId, InterfaceInfo, LinkMode, TransmitResult};
use carp_proto::Vhid;

use crate::{OwnershipError, VirtualAddress};

/// Where bytes, interfaces and addresses are real.
///
/// A [`Host`](crate::Host) runs a node over a link; [`LinuxLink`](crate::linux::LinuxLink) is the
/// one for Linux. Write another one to reach the network in another way (a TAP device, `AF_XDP`, a
/// simulation).
///
/// # Contract
///
/// *Nothing blocks and nothing is decided.* Every method returns at once. A link moves bytes and
/// carries out orders; it never delays, repeats or suppresses one because of what the election may
/// want. It calls nobody back: what has happened is asked for with [`poll_change`](Self::poll_change),
/// [`poll_addresses`](Self::poll_addresses) and [`recv`](Self::recv).
///
/// *Waking.* Once they have returned `None`, the descriptor ([`AsFd`]) becomes
/// readable when there is something new for one of them, and stays so until it is read. It may be
/// readable without reason now and then; it must not be for traffic that is not of IP protocol 112,
/// or a busy interface would wake the host for every packet. The descriptor stays the same for the
/// whole life of the link.
///
/// *Interfaces* are known by [`IfaceId`]. The link gives them out, one per interface *name*, and
/// keeps its meaning when the interface is removed and made anew under that name. How interfaces
/// are added is the link's own affair. An id that the link has not given out: `send_frame` returns
/// [`TransmitResult::Error`], `set_owner` an error.
///
/// *Who owes what.* The host calls `poll_change` and `poll_addresses` until `None`, then `recv` until `None` or
/// [`queue_limit`](Self::queue_limit) times, whenever the descriptor is readable. It calls
/// `set_owner` and `send_frame` in the order in which the node asks for them, and tells the node
/// each result. The link owes the node's frames that order on the wire.
pub trait Link: AsFd {
    /// Returns the next change of an interface: what is true of it now.
    ///
    /// After an interface was added, its state is the first change. Intermediate states may be
    /// left out, with one exception: if the interface was another one in between (removed and made
    /// anew, renamed), a state with [`LinkState::Down`](carp_fsm::LinkState::Down) is reported
    /// before that of the new one, and no virtual address is left on the old one.
    ///
    /// `ipv4` and `ipv6` of the info are the addresses to send advertisements from: the first
    /// one of the interface that is not a virtual address (for IPv6: the first link-local one).
    fn poll_change(&mut self) -> Option<(IfaceId, InterfaceInfo)>;

    /// Returns the next interface whose addresses have changed, whoever changed them. Each interface
    /// once, however many changes there were.
    ///
    /// The host then asks with [`present`](Self::present) whether what it ordered is still so. A link
    /// that cannot know never returns one.
    fn poll_addresses(&mut self) -> Option<IfaceId>;

    /// What an operator calls an interface, if it has a name.
    fn interface_name(&self, iface: IfaceId) -> Option<&str> {
        let _ = iface;
        None
    }

    /// How many of a virtual host's addresses were on its interface at the last
    /// [`poll_addresses`](Self::poll_addresses), whoever put them there. They are not there if they do not
    /// work, as on an interface that somebody switched off.
    fn present(&self, host: &VirtualHost<'_>) -> usize;

    /// Receives the next frame into the beginning of `frame` and returns the interface and the
    /// length.
    ///
    /// Frames start with the Ethernet header and have no VLAN tag. Everything of IP protocol 112
    /// that was sent to this machine or to a multicast group is returned, VRRP included, whether it
    /// is sound or not; other traffic may be, too, and is ignored. Frames that were sent with
    /// `send_frame` are not returned (unless the network sends them back). A frame longer than the
    /// buffer is cut.
    ///
    /// `None` says that all frames have been returned which waited when the call began.
    fn recv(&mut self, frame: &mut [u8]) -> Option<(IfaceId, usize)>;

    /// The largest number of frames that can wait at any moment. After that many calls of `recv`
    /// everything has been read that waited at the first, however fast new frames come in.
    fn queue_limit(&self) -> usize;

    /// Sends one complete Ethernet frame as it is: its source address is not the interface's own.
    ///
    /// Returns [`TransmitResult::Busy`] if there is no room now (a full queue), which is no fault, and
    /// [`TransmitResult::Error`] if sending failed. Frames are never kept for later.
    fn send_frame(&mut self, iface: IfaceId, frame: &[u8]) -> TransmitResult;

    /// Sends the IP packet in an Ethernet frame, which has no destination MAC address, to the one peer that
    /// it is for, over routers if need be: all that is in the IP header stays as it is, but for a link-local source of
    /// a packet to a peer that is not link-local. Routers forward no such packet; the source is then an address of the
    /// interface that they know.
    ///
    /// Results as those of [`send_frame`](Self::send_frame). By default no peer can be found.
    fn send_unicast(&mut self, iface: IfaceId, frame: &[u8], to: IpAddr) -> TransmitResult {
        let _ = (iface, frame, to);
        TransmitResult::Error
    }

    /// Makes this machine the owner of a virtual host's addresses, or makes it not the owner.
    ///
    /// The call is *level-triggered*: it may be repeated, and it starts from what is on the
    /// interface, not from what earlier calls did. `owner: false` must also take off what an
    /// earlier process left behind, and succeeds if there is nothing to take off or no interface
    /// any more. An address that somebody else put on the interface is never touched; it is an
    /// error in both directions.
    ///
    /// In plain mode, what another virtual host on the same interface owns by now is not among the addresses that are to
    /// be taken off.
    ///
    /// `Ok` means that the addresses work (or have stopped working) before the call returns. After
    /// an error of `owner: true` none of the host's addresses is on the interface through us. After
    /// an error of `owner: false`, all that could be taken off has been.
    fn set_owner(&mut self, host: &VirtualHost<'_>, owner: bool) -> Result<(), OwnershipError>;

    /// Takes off `host.addresses`, which are not the virtual host's any longer, as `set_owner` with `false` does.
    /// Whether this machine owns its other addresses does not change. By default that *is* `set_owner`; a link on
    /// which more than addresses depends on it has to tell the two apart.
    fn drop_addresses(&mut self, host: &VirtualHost<'_>) -> Result<(), OwnershipError> {
        self.set_owner(host, false)
    }

    /// The virtual host is gone for good, and disowned before: whatever was made for it can go, now or a
    /// little later. By default there is nothing.
    fn release(&mut self, host: &VirtualHost<'_>) {
        let _ = host;
    }
}

/// What a link has to know about a virtual host: where it lives and its addresses.
#[derive(Clone, Copy, Debug)]
pub struct VirtualHost<'a> {
    /// The interface.
    pub iface: IfaceId,
    /// Its number, and with that its virtual MAC address.
    pub vhid: Vhid,
    /// On the interface itself, or on one of its own with the virtual MAC address.
    pub mode: LinkMode,
    /// The virtual addresses.
    pub addresses: &'a [VirtualAddress],
}
