//! Following interfaces: what is behind a name now, and what is true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use carp_fsm::{IfaceId, InterfaceInfo, LinkState};
use carp_proto::{MacAddr, Vhid};
use rustix::event::epoll;
use socket2::Socket;

use super::LinuxLink;
use super::netlink::{ADDRESS_TAG, Address, Changes, Interface};
use super::owner::{self, Device};
use super::packet::PacketSocket;
use super::vmac::Vmac;
use crate::{LinkError, VirtualAddress};

/// One interface name and what is behind it now.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    /// `None` while there is no such interface, or it cannot be used.
    pub(super) open: Option<Open>,
    /// As last reported.
    pub(super) info: InterfaceInfo,
    /// What packets to peers behind routers are sent from: those that are from a link-local address stay here.
    pub(super) routed: Option<Ipv6Addr>,
    /// What we own on it.
    pub(super) owned: Vec<VirtualAddress>,
    /// All addresses on it, ours and others, when they last changed. Sorted.
    pub(super) present: Vec<IpAddr>,
    /// The interfaces of their own that virtual hosts in VMAC mode have.
    pub(super) vmacs: BTreeMap<Vhid, Vmac>,
    /// Virtual hosts in plain mode of which no interface of an earlier VMAC mode is left.
    pub(super) tidied: BTreeSet<Vhid>,
    /// What an earlier life left on it has been removed.
    pub(super) swept: bool,
    /// See `vmac::hold_groups`.
    pub(super) solicited: Option<Socket>,
    /// Why `open` is `None` although the interface is there.
    pub(super) error: Option<LinkError>,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) index: u32,
    pub(super) socket: PacketSocket,
}

impl Open {
    pub(super) fn device<'a>(&self, name: &'a str, tags: bool) -> Device<'a> {
        Device {
            index: self.index,
            name,
            tags,
            below: None,
        }
    }
}

impl LinuxLink {
    pub(super) fn open(&self, iface: IfaceId, found: &Interface) -> Result<Open, LinkError> {
        if found.mac.is_none() {
            return Err(LinkError::NotEthernet {
                name: found.name.clone(),
            });
        }
        let open = || -> io::Result<Open> {
            let socket = PacketSocket::open(found.index)?;
            let data = epoll::EventData::new_u64(iface.0.into());
            epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN)?;
            Ok(Open {
                index: found.index,
                socket,
            })
        };
        open().map_err(LinkError::os(format!("open a packet socket on {}", found.name)))
    }

    /// Looks again at the interfaces that have changed.
    pub(super) fn refresh(&mut self, changes: &Changes) {
        for iface in self.ids() {
            let (changed, removed) = match &self.slot(iface).open {
                Some(open) => (
                    changes.changed.binary_search(&open.index).is_ok(),
                    changes.removed.contains(&open.index),
                ),
                // It may be there again, under any index.
                None => (!changes.changed.is_empty(), false),
            };
            if removed {
                self.close(iface);
            }
            if changed || changes.overrun {
                self.look_again |= self.refresh_one(iface).is_err();
            }
            let vmacs = self.slot(iface).vmacs.iter();
            let changed: Vec<Vhid> = vmacs
                .filter(|(_, vmac)| changes.overrun || changes.changed.binary_search(&vmac.index).is_ok())
                .map(|(&vhid, _)| vhid)
                .collect();
            for vhid in changed {
                self.look_again |= self.refresh_vmac(iface, vhid).is_err();
                self.readdress(iface);
            }
        }
    }

    fn refresh_one(&mut self, iface: IfaceId) -> io::Result<()> {
        let found = self
            .netlink
            .interface(&self.interfaces[usize::from(iface.0)].name)?;
        let index = found.as_ref().map(|found| found.index);
        if self
            .slot(iface)
            .open
            .as_ref()
            .is_some_and(|open| Some(open.index) != index)
        {
            self.close(iface);
        }
        let Some(found) = found else {
            self.slot_mut(iface).error = None;
            return Ok(());
        };
        if self.slot(iface).open.is_none() {
            match self.open(iface, &found) {
                Ok(open) => {
                    let slot = self.slot_mut(iface);
                    (slot.open, slot.error) = (Some(open), None);
                }
                Err(e) => {
                    self.slot_mut(iface).error = Some(e);
                    return Ok(());
                }
            }
        }
        let addresses = self.netlink.addresses(found.index)?;
        self.report(iface, info(&found, &addresses, &self.slot(iface).owned));
        let slot = self.slot_mut(iface);
        slot.routed = routed(&addresses, &slot.owned);
        let present = &mut slot.present;
        *present = addresses.iter().map(|there| there.ip).collect();
        present.sort_unstable();
        self.readdress(iface);
        Ok(())
    }

    fn readdress(&mut self, iface: IfaceId) {
        if !self.readdressed.contains(&iface) {
            self.readdressed.push(iface);
        }
    }

    /// The interface is another one now, or none.
    pub(super) fn close(&mut self, iface: IfaceId) {
        self.remove_vmacs(iface, true);
        let slot = &mut self.interfaces[usize::from(iface.0)];
        if let Some(open) = slot.open.take() {
            // It may live on under another name, and must not keep our addresses there.
            let device = open.device(&slot.name, self.tags);
            let taken_off = owner::take_off(&mut self.netlink, device, &slot.owned);
            if let (Ok(()), Some(guard)) = (taken_off, &mut self.guard) {
                guard.disown(device, &slot.owned);
            }
        }
        slot.owned.clear();
        slot.present.clear();
        slot.tidied.clear();
        let down = InterfaceInfo {
            ipv4: None,
            ipv6: None,
            link: LinkState::Down,
            ..slot.info
        };
        self.report(iface, down);
    }

    fn report(&mut self, iface: IfaceId, info: InterfaceInfo) {
        let slot = self.slot_mut(iface);
        if slot.info != info {
            slot.info = info;
            self.changes.push_back((iface, info));
        }
    }
}

pub(super) fn info(found: &Interface, addresses: &[Address], owned: &[VirtualAddress]) -> InterfaceInfo {
    let own = || own(addresses, owned);
    InterfaceInfo {
        mac: MacAddr(found.mac.unwrap_or_default()),
        ipv4: own().find_map(|there| match there.ip {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }),
        ipv6: own().find_map(|there| match there.ip {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
            _ => None,
        }),
        link: if found.running {
            LinkState::Up
        } else {
            LinkState::Down
        },
    }
}

/// An IPv6 address which routers forward, and which stays.
pub(super) fn routed(addresses: &[Address], owned: &[VirtualAddress]) -> Option<Ipv6Addr> {
    own(addresses, owned).find_map(|there| match there.ip {
        IpAddr::V6(address) if !address.is_unicast_link_local() && !there.temporary => Some(address),
        _ => None,
    })
}

/// Those that are not virtual.
fn own<'a>(addresses: &'a [Address], owned: &[VirtualAddress]) -> impl Iterator<Item = &'a Address> {
    addresses.iter().filter(|there| {
        there.tag != ADDRESS_TAG && !there.host_scope && !owned.iter().any(|vip| vip.address == there.ip)
    })
}
