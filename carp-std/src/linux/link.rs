use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

use carp_fsm::{IfaceId, InterfaceInfo, LinkMode, TransmitResult};
use rustix::event::{Timespec, epoll};

use super::guard::Guard;
use super::interface::{Slot, info, routed};
use super::janitor::Janitor;
use super::netlink::{Monitor, Netlink};
use super::owner;
use super::packet::MAX_QUEUED;
use super::turns::{MAX_BURST, Turns};
use super::unicast::Unicast;
use crate::{Link, LinkError, OwnershipError, VirtualAddress, VirtualHost};

/// The [`Link`] of Linux.
///
/// * One packet socket per interface. A filter in the kernel passes IP protocol 112 and nothing
///   else; the groups of CARP are joined for the network card (packet memberships) and for switches
///   (IGMP, MLD). Needs `CAP_NET_RAW`.
/// * Virtual addresses go on the interface itself by rtnetlink, tagged as ours with
///   the address protocol (`IFA_PROTO`) 112. Needs `CAP_NET_ADMIN`. On Linux before 5.18, which has no tags,
///   a virtual address counts as ours if its prefix is exactly as configured.
/// * In VMAC mode they go on a macvlan, `carp7-eth0` for vhid 7 on eth0, in interface group 112. It is made when
///   the virtual host is first told what it is, and up while this machine is the owner.
/// * When an IPv4 address goes on with a prefix shorter than /32, `promote_secondaries` of the
///   interface is switched on, for otherwise Linux removes it together with the interface's own
///   address.
/// * A link belongs to the network namespace of the thread that calls [`new`](Self::new); use it on
///   threads of that namespace only.
#[derive(Debug)]
pub struct LinuxLink {
    pub(super) netlink: Netlink,
    pub(super) monitor: Monitor,
    pub(super) epoll: OwnedFd,
    /// The kernel remembers `IFA_PROTO`.
    pub(super) tags: bool,
    /// Indexed by `IfaceId`.
    pub(super) interfaces: Vec<Slot>,
    turns: Turns,
    pub(super) changes: VecDeque<(IfaceId, InterfaceInfo)>,
    /// Interfaces whose addresses have changed.
    pub(super) readdressed: Vec<IfaceId>,
    /// Something failed that should not: look at all interfaces again.
    pub(super) look_again: bool,
    pub(super) guard: Option<Guard>,
    /// Not before there is an interface.
    unicast: Option<Unicast>,
    /// Not before there is a virtual host in VMAC mode.
    pub(super) janitor: Option<Janitor>,
}

impl LinuxLink {
    /// Opens a link without interfaces, in the calling thread's network
    /// namespace.
    pub fn new() -> Result<Self, LinkError> {
        let open = || -> io::Result<Self> {
            let monitor = Monitor::open()?;
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            epoll::add(
                &epoll,
                &monitor,
                epoll::EventData::new_u64(MONITOR),
                epoll::EventFlags::IN,
            )?;
            Ok(Self {
                netlink: Netlink::open()?,
                monitor,
                epoll,
                tags: owner::kernel_has_address_tags(),
                interfaces: Vec::new(),
                turns: Turns::default(),
                changes: VecDeque::new(),
                readdressed: Vec::new(),
                look_again: false,
                guard: None,
                janitor: None,
                unicast: None,
            })
        };
        open().map_err(LinkError::os("watch the interfaces of this machine (rtnetlink)"))
    }

    /// Adds an interface by its name, or returns its number if it was added
    /// before.
    ///
    /// It must exist now. Later it may go away and come back: it then counts as
    /// down in between.
    pub fn add_interface(&mut self, name: &str) -> Result<IfaceId, LinkError> {
        if let Some(known) = self.ids().find(|&iface| self.slot(iface).name == name) {
            return Ok(known);
        }
        let describe = || format!("look up the interface {name}");
        let Some(found) = self.netlink.interface(name).map_err(LinkError::os(describe()))? else {
            let existing = self.netlink.interfaces();
            let existing = existing.map_err(LinkError::os("list the interfaces"))?;
            return Err(LinkError::NoSuchInterface {
                name: name.to_owned(),
                existing: existing.into_iter().map(|interface| interface.name).collect(),
            });
        };
        let full = |_| io::Error::other("a link has room for 65536 interfaces");
        let number = u16::try_from(self.interfaces.len())
            .map_err(full)
            .map_err(LinkError::os(describe()))?;
        let iface = IfaceId(number);
        let open = self.open(iface, &found)?;
        let addresses = self
            .netlink
            .addresses(found.index)
            .map_err(LinkError::os(describe()))?;
        if self.unicast.is_none() {
            let what = "open a raw IP socket of protocol 112";
            self.unicast = Some(Unicast::open().map_err(LinkError::os(what))?);
        }
        let info = info(&found, &addresses, &[]);
        self.interfaces.push(Slot {
            name: name.to_owned(),
            open: Some(open),
            info,
            routed: routed(&addresses, &[]),
            owned: Vec::new(),
            present: Vec::new(),
            vmacs: BTreeMap::new(),
            tidied: BTreeSet::new(),
            swept: false,
            solicited: None,
            error: None,
        });
        self.changes.push_back((iface, info));
        Ok(iface)
    }

    /// The name of an interface, or `None` if this link has not given out the
    /// number.
    pub fn interface_name(&self, iface: IfaceId) -> Option<&str> {
        Some(&self.get(iface)?.name)
    }

    /// Why an interface that exists counts as down, if it is not for its cable:
    /// it came back and could not be opened again.
    pub fn interface_error(&self, iface: IfaceId) -> Option<&LinkError> {
        self.get(iface)?.error.as_ref()
    }

    /// Starts a second process, which takes our addresses off when this one ends without having done so:
    /// killed, crashed, or by mistake.
    ///
    /// `command` must start a program that calls [`guard`](super::guard()) at once. Usually it is this program again
    /// with an argument that says so, as `/proc/self/exe guard`: the file itself may have been replaced since the
    /// start. Standard input and output are ours; what goes wrong should go to standard error.
    ///
    /// A guard that is killed is started again; [`guard_error`](Self::guard_error) tells while there is
    /// none. The program must ignore SIGPIPE, as Rust programs do, and must not `fork` without `exec`: a
    /// child that holds the pipe would keep the guard waiting. A stopped process (SIGSTOP) has not ended:
    /// nothing happens.
    pub fn start_guard(&mut self, command: Command) -> io::Result<()> {
        self.guard = Some(Guard::start(command, &self.epoll)?);
        self.tell_guard();
        Ok(())
    }

    /// Why there is no guard at the moment although one was started.
    pub fn guard_error(&self) -> Option<&io::Error> {
        self.guard.as_ref()?.error()
    }

    /// Tells a guard that has just been started what we own.
    fn tell_guard(&mut self) {
        let Some(guard) = &mut self.guard else {
            return;
        };
        for slot in &self.interfaces {
            let Some(open) = &slot.open else { continue };
            guard.own(open.device(&slot.name, self.tags), &slot.owned);
            for vmac in slot.vmacs.values() {
                guard.made(vmac.index, &vmac.name);
                guard.own(vmac.device(open.index, self.tags), &vmac.owned);
            }
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = IfaceId> + use<> {
        (0..=u16::MAX).take(self.interfaces.len()).map(IfaceId)
    }

    fn get(&self, iface: IfaceId) -> Option<&Slot> {
        self.interfaces.get(usize::from(iface.0))
    }

    /// The slot of an id that this link has given out.
    pub(super) fn slot(&self, iface: IfaceId) -> &Slot {
        &self.interfaces[usize::from(iface.0)]
    }

    pub(super) fn slot_mut(&mut self, iface: IfaceId) -> &mut Slot {
        &mut self.interfaces[usize::from(iface.0)]
    }

    /// Begins a round with the sockets that have something, without waiting.
    fn poll(&mut self) {
        // If more are ready than find room, the kernel tells of the others the next time.
        let mut events = [const { MaybeUninit::uninit() }; 64];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let ready = match epoll::wait(&self.epoll, &mut events[..], Some(&now)) {
            Ok((ready, _)) => &*ready,
            Err(_) => &[], // that of a signal; whatever is ready wakes us again
        };
        let marks = || ready.iter().map(|event| event.data.u64());
        self.turns
            .begin(marks().filter_map(|mark| u16::try_from(mark).ok().map(IfaceId)));
        if marks().any(|mark| mark == GUARD)
            && let Some(guard) = &mut self.guard
        {
            guard.lost(io::Error::other("the guard process has ended"));
        }
    }
}

impl Link for LinuxLink {
    fn poll_change(&mut self) -> Option<(IfaceId, InterfaceInfo)> {
        if self
            .guard
            .as_mut()
            .is_some_and(|guard| guard.restart(&self.epoll))
        {
            self.tell_guard();
        }
        if self.changes.is_empty() {
            let mut changes = self.monitor.changes();
            changes.overrun |= mem::take(&mut self.look_again);
            self.refresh(&changes);
        }
        self.changes.pop_front()
    }

    fn interface_name(&self, iface: IfaceId) -> Option<&str> {
        self.interface_name(iface) // the inherent one
    }

    fn poll_addresses(&mut self) -> Option<IfaceId> {
        self.readdressed.pop()
    }

    fn present(&self, host: &VirtualHost<'_>) -> usize {
        let Some(slot) = self.get(host.iface) else {
            return 0;
        };
        let (present, also) = match host.mode {
            LinkMode::Plain => (&slot.present[..], &[][..]),
            LinkMode::Vmac => match slot.vmacs.get(&host.vhid) {
                Some(vmac) if !vmac.owned.is_empty() => (&vmac.present[..], &[][..]),
                Some(vmac) => (&vmac.present[..], &slot.present[..]),
                None => (&[][..], &slot.present[..]),
            },
        };
        let is_there = |vip: &&VirtualAddress| {
            [present, also]
                .iter()
                .any(|on| on.binary_search(&vip.address).is_ok())
        };
        host.addresses.iter().filter(is_there).count()
    }

    fn recv(&mut self, frame: &mut [u8]) -> Option<(IfaceId, usize)> {
        // The rest of the last round, and one that begins now: whatever waits is in one of them.
        let mut asked = false;
        loop {
            while let Some(iface) = self.turns.next() {
                match self.slot(iface).open.as_ref().map(|open| open.socket.recv(frame)) {
                    Some(Ok(Some(len))) => {
                        self.turns.again(iface);
                        return Some((iface, len));
                    }
                    // The interface is gone, or we look again.
                    Some(Err(_)) => {
                        self.close(iface);
                        self.look_again = true;
                    }
                    Some(Ok(None)) | None => {}
                }
            }
            if mem::replace(&mut asked, true) {
                return None;
            }
            self.poll();
        }
    }

    fn queue_limit(&self) -> usize {
        // The rest of the last round comes first; in the others each socket has its share.
        self.interfaces.len() * (MAX_QUEUED + MAX_BURST)
    }

    fn send_frame(&mut self, iface: IfaceId, frame: &[u8]) -> TransmitResult {
        let Some(open) = self.get(iface).and_then(|slot| slot.open.as_ref()) else {
            return TransmitResult::Error;
        };
        outcome(&open.socket.send(frame))
    }

    fn send_unicast(&mut self, iface: IfaceId, frame: &[u8], to: IpAddr) -> TransmitResult {
        let Some(slot) = self.get(iface) else {
            return TransmitResult::Error;
        };
        match (&slot.open, &self.unicast) {
            (Some(open), Some(unicast)) => outcome(&unicast.send(open.index, slot.routed, frame, to)),
            _ => TransmitResult::Error,
        }
    }

    fn set_owner(&mut self, host: &VirtualHost<'_>, owner: bool) -> Result<(), OwnershipError> {
        let Some(slot) = self.interfaces.get_mut(usize::from(host.iface.0)) else {
            return Err(OwnershipError::NoInterface {
                interface: format!("number {}", host.iface.0),
            });
        };
        if host.mode == LinkMode::Plain {
            slot.owned
                .retain(|old| host.addresses.iter().all(|vip| vip.address != old.address));
        }
        if slot.open.is_none() {
            // What was on it has been taken off when it went away.
            let gone = OwnershipError::NoInterface {
                interface: slot.name.clone(),
            };
            return if owner { Err(gone) } else { Ok(()) };
        }
        if host.addresses.is_empty() {
            return Ok(()); // an election about nothing that we could do
        }
        if host.mode == LinkMode::Vmac {
            return self.set_owner_vmac(host, owner);
        }
        if !slot.tidied.contains(&host.vhid) && self.remove_left_vmac(host.iface, host.vhid).is_ok() {
            self.slot_mut(host.iface).tidied.insert(host.vhid);
        }
        let slot = &mut self.interfaces[usize::from(host.iface.0)];
        let Some(open) = &slot.open else {
            return Ok(());
        };
        let device = open.device(&slot.name, self.tags);
        if owner {
            if let Some(guard) = &mut self.guard {
                guard.own(device, host.addresses);
            }
            owner::put_on(&mut self.netlink, device, host.addresses)?;
            slot.owned.extend_from_slice(host.addresses);
            Ok(())
        } else {
            owner::take_off(&mut self.netlink, device, host.addresses)?;
            if let Some(guard) = &mut self.guard {
                guard.disown(device, host.addresses);
            }
            Ok(())
        }
    }

    fn drop_addresses(&mut self, host: &VirtualHost<'_>) -> Result<(), OwnershipError> {
        match host.mode {
            LinkMode::Plain => self.set_owner(host, false),
            LinkMode::Vmac => self.drop_from_vmac(host),
        }
    }

    fn release(&mut self, host: &VirtualHost<'_>) {
        let iface = usize::from(host.iface.0);
        if host.mode == LinkMode::Vmac && iface < self.interfaces.len() {
            self.release_vmac(host.iface, host.vhid);
        }
    }
}

impl AsFd for LinuxLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn outcome(sent: &io::Result<()>) -> TransmitResult {
    match sent {
        Ok(()) => TransmitResult::Sent,
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS)) => TransmitResult::Busy,
        Err(_) => TransmitResult::Error,
    }
}

/// Marks the monitor in epoll events; the others carry an interface's number.
const MONITOR: u64 = u64::MAX;
/// Marks the pipe to the guard.
pub(super) const GUARD: u64 = u64::MAX - 1;
