//! VMAC mode: each virtual host has an interface of its own, a macvlan with the virtual MAC address.
//!
//! It is made when the virtual host first asks for anything, and is *down* unless this machine is the owner,
//! so that nothing is received for the virtual MAC address, and nothing is sent from it that would lead a
//! switch here. The owner has it up, with the addresses on it. Leaving, the addresses go at once and the
//! interface goes down a little later.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use carp_fsm::IfaceId;
use carp_proto::Vhid;
use socket2::{Domain, Socket, Type};

use super::LinuxLink;
use super::janitor::{Fate, Janitor};
use super::leftovers::{is_ours, name_for};
use super::netlink::{InetDevConf, Interface, LINK_TAG, Netlink, is};
use super::owner::{self, Device};
use crate::{OwnershipError, VirtualAddress, VirtualHost};

/// The interface of one virtual host.
#[derive(Debug)]
pub(super) struct Vmac {
    pub(super) index: u32,
    pub(super) name: String,
    /// What we own on it. Unless that is nothing, it has to be up.
    pub(super) owned: Vec<VirtualAddress>,
    /// All addresses on it if it is up, when they last changed. Sorted.
    pub(super) present: Vec<IpAddr>,
    /// It may be up.
    up: bool,
    /// It has been set up to carry IPv6 addresses.
    ipv6: bool,
}

impl Vmac {
    pub(super) fn device(&self, below: u32, tags: bool) -> Device<'_> {
        Device {
            index: self.index,
            name: &self.name,
            tags,
            below: Some(below),
        }
    }
}

impl LinuxLink {
    /// [`Link::set_owner`](crate::Link::set_owner) in VMAC mode, while the interface below is there.
    pub(super) fn set_owner_vmac(
        &mut self,
        host: &VirtualHost<'_>,
        owner: bool,
    ) -> Result<(), OwnershipError> {
        // Whoever has none of this needs no thread either.
        if self.janitor.is_none() {
            let unreadable = |source| OwnershipError::Unreadable {
                interface: self.slot(host.iface).name.clone(),
                source,
            };
            self.janitor = Some(Janitor::start().map_err(unreadable)?);
        }
        if owner {
            self.own_vmac(host)
        } else {
            self.disown_vmac(host)
        }
    }

    fn own_vmac(&mut self, host: &VirtualHost<'_>) -> Result<(), OwnershipError> {
        self.clear_below(host)?;
        let mut index = self.prepare_vmac(host)?;
        if let Err(e) = self.netlink.set_up(index, true) {
            // It was removed a moment ago, and we have not been told yet.
            if !is(&e, libc::ENODEV) {
                return Err(refused(self.slot(host.iface).name.clone(), e));
            }
            self.slot_mut(host.iface).vmacs.remove(&host.vhid);
            index = self.prepare_vmac(host)?;
            let up = self.netlink.set_up(index, true);
            up.map_err(|e| refused(self.slot(host.iface).name.clone(), e))?;
        }
        let (tags, guard, netlink) = (self.tags, &mut self.guard, &mut self.netlink);
        let slot = &mut self.interfaces[usize::from(host.iface.0)];
        let (Some(open), Some(vmac)) = (&slot.open, slot.vmacs.get_mut(&host.vhid)) else {
            return Ok(()); // not after `prepare_vmac`
        };
        if let Some(guard) = guard {
            guard.own(vmac.device(open.index, tags), host.addresses);
        }
        let result = owner::put_on(netlink, vmac.device(open.index, tags), host.addresses);
        vmac.up = true;
        if result.is_ok() {
            without(&mut vmac.owned, host.addresses);
            vmac.owned.extend_from_slice(host.addresses);
        }
        if vmac.owned.is_empty()
            && let Some(janitor) = &self.janitor
        {
            janitor.let_go(index, Fate::Off);
        }
        if vmac.ipv6 {
            hold_groups(&mut slot.solicited, index, host.addresses);
        }
        result.map_err(|error| match error {
            OwnershipError::Ipv6Disabled { .. } => OwnershipError::Ipv6Disabled {
                interface: slot.name.clone(),
            },
            error => error,
        })
    }

    fn disown_vmac(&mut self, host: &VirtualHost<'_>) -> Result<(), OwnershipError> {
        if !self.slot(host.iface).vmacs.contains_key(&host.vhid) {
            // Now, while there is time. Whether it can be had matters to an owner only, and is told then.
            let _ = self.prepare_vmac(host);
        }
        let below = self.clear_below(host);
        let (tags, guard, netlink) = (self.tags, &mut self.guard, &mut self.netlink);
        let slot = &mut self.interfaces[usize::from(host.iface.0)];
        let (Some(open), Some(vmac)) = (&slot.open, slot.vmacs.get_mut(&host.vhid)) else {
            return below;
        };
        without(&mut vmac.owned, host.addresses);
        let device = vmac.device(open.index, tags);
        owner::take_off(netlink, device, host.addresses)?;
        if let Some(guard) = guard {
            guard.disown(device, host.addresses);
        }
        if vmac.up
            && vmac.owned.is_empty()
            && let Some(janitor) = &self.janitor
        {
            janitor.let_go(vmac.index, Fate::Off);
        }
        below
    }

    /// Takes addresses off that a virtual host no longer has, and leaves its interface as it is.
    pub(super) fn drop_from_vmac(&mut self, host: &VirtualHost<'_>) -> Result<(), OwnershipError> {
        let below = self.clear_below(host);
        let (tags, guard, netlink) = (self.tags, &mut self.guard, &mut self.netlink);
        let Some(slot) = self.interfaces.get_mut(usize::from(host.iface.0)) else {
            return below;
        };
        let (Some(open), Some(vmac)) = (&slot.open, slot.vmacs.get_mut(&host.vhid)) else {
            return below;
        };
        // Else it would be needed, and up, for ever.
        without(&mut vmac.owned, host.addresses);
        let device = vmac.device(open.index, tags);
        owner::take_off(netlink, device, host.addresses)?;
        if let Some(guard) = guard {
            guard.disown(device, host.addresses);
        }
        below
    }

    /// Takes the addresses off the interface below, where plain mode put them in an earlier life. One that
    /// somebody else put there would be answered for with the wrong MAC address. One that a virtual host in plain mode
    /// owns there by now has moved to it.
    fn clear_below(&mut self, host: &VirtualHost<'_>) -> Result<(), OwnershipError> {
        let open = self.interfaces.get(usize::from(host.iface.0));
        match open.and_then(|slot| Some((slot, slot.open.as_ref()?))) {
            Some((slot, open)) => {
                let device = open.device(&slot.name, self.tags);
                let mut left = host.addresses.to_vec();
                without(&mut left, &slot.owned);
                owner::take_off(&mut self.netlink, device, &left)
            }
            None => Ok(()),
        }
    }

    /// Makes the interface of a virtual host, or takes over the one that is left of an earlier life, and
    /// returns its index. Quick if that was done before.
    fn prepare_vmac(&mut self, host: &VirtualHost<'_>) -> Result<u32, OwnershipError> {
        let ipv6 = host.addresses.iter().any(|vip| vip.address.is_ipv6());
        let slot = &mut self.interfaces[usize::from(host.iface.0)];
        if let Some(vmac) = slot.vmacs.get_mut(&host.vhid) {
            if let Some(janitor) = &self.janitor {
                janitor.keep(vmac.index);
            }
            if vmac.ipv6 != ipv6 {
                set_ipv6(&vmac.name, &slot.name, ipv6);
                vmac.ipv6 = ipv6;
            }
            return Ok(vmac.index);
        }
        let interface = || slot.name.clone();
        let missing = || OwnershipError::NoInterface {
            interface: interface(),
        };
        let netlink = &mut self.netlink;
        let unreadable = |source| OwnershipError::Unreadable {
            interface: interface(),
            source,
        };
        let below = netlink.interface(&slot.name).map_err(unreadable)?;
        let below = below.ok_or_else(missing)?;
        let name = name_for(host.vhid, &below.name, below.index);
        let mut found = netlink.interface(&name).map_err(unreadable)?;
        if let Some(there) = &found {
            if !is_ours(there, &below) {
                return Err(OwnershipError::NameTaken {
                    interface: interface(),
                    name,
                });
            }
            if there.mac != Some(host.vhid.mac().0) {
                let removed = netlink.remove_links(&[there.index]);
                removed.map_err(|e| refused(interface(), e))?;
                found = None;
            }
        }
        let vmac = if let Some(there) = found {
            if there.group != LINK_TAG {
                netlink
                    .tag_link(there.index)
                    .map_err(|e| refused(interface(), e))?;
            }
            there
        } else {
            let made = netlink.make_macvlan(&name, below.index, host.vhid.mac());
            made.map_err(|e| refused(interface(), e))?;
            let made = netlink.interface(&name).map_err(unreadable)?;
            made.ok_or_else(missing)?
        };
        configure(netlink, &vmac, &below, ipv6).map_err(|e| refused(interface(), e))?;
        if let Some(guard) = &mut self.guard {
            guard.made(vmac.index, &name);
        }
        if let Some(janitor) = &self.janitor {
            janitor.keep(vmac.index);
        }
        let (index, up) = (vmac.index, vmac.up);
        let vmac = Vmac {
            index,
            name,
            owned: Vec::new(),
            up,
            present: Vec::new(),
            ipv6,
        };
        self.slot_mut(host.iface).vmacs.insert(host.vhid, vmac);
        Ok(index)
    }

    /// Looks again at the interface of a virtual host.
    pub(super) fn refresh_vmac(&mut self, iface: IfaceId, vhid: Vhid) -> io::Result<()> {
        let slot = &mut self.interfaces[usize::from(iface.0)];
        let Some(vmac) = slot.vmacs.get_mut(&vhid) else {
            return Ok(());
        };
        let found = self.netlink.interface(&vmac.name)?;
        match found.filter(|found| found.index == vmac.index && found.mac == Some(vhid.mac().0)) {
            Some(found) => {
                vmac.up = found.up;
                vmac.present.clear();
                if found.up {
                    let addresses = self.netlink.addresses(vmac.index)?;
                    vmac.present.extend(addresses.iter().map(|there| there.ip));
                    vmac.present.sort_unstable();
                }
                // Somebody has switched it on.
                if found.up
                    && vmac.owned.is_empty()
                    && let Some(janitor) = &self.janitor
                {
                    janitor.let_go(vmac.index, Fate::Off);
                }
            }
            // Removed, or no longer what we made. It is made anew when it is needed.
            None => {
                if let (Some(vmac), Some(guard)) = (slot.vmacs.remove(&vhid), &mut self.guard) {
                    guard.gone(vmac.index, &vmac.name);
                }
            }
        }
        Ok(())
    }

    /// Lets the interface of a virtual host go that is gone itself.
    pub(super) fn release_vmac(&mut self, iface: IfaceId, vhid: Vhid) {
        // The guard still has it to remove if we end before. That it is gone, the guard finds out.
        if let (Some(vmac), Some(janitor)) = (self.slot_mut(iface).vmacs.remove(&vhid), &self.janitor) {
            janitor.let_go(vmac.index, Fate::Removed);
        }
    }

    /// Removes the interfaces of all virtual hosts that are on this one, or of those that are not owners.
    pub(super) fn remove_vmacs(&mut self, iface: IfaceId, owners_too: bool) {
        let slot = &mut self.interfaces[usize::from(iface.0)];
        let unneeded = slot
            .vmacs
            .extract_if(.., |_, vmac| owners_too || vmac.owned.is_empty());
        let unneeded: Vec<Vmac> = unneeded.map(|(_, vmac)| vmac).collect();
        let indexes: Vec<u32> = unneeded.iter().map(|vmac| vmac.index).collect();
        if self.netlink.remove_links(&indexes).is_ok()
            && let Some(guard) = &mut self.guard
        {
            for vmac in unneeded {
                guard.gone(vmac.index, &vmac.name);
            }
        }
    }
}

impl Drop for LinuxLink {
    /// What nobody needs is removed. What we still own stays, as addresses do: that is for the guard.
    fn drop(&mut self) {
        for iface in self.ids() {
            self.remove_vmacs(iface, false);
        }
        if let Some(janitor) = &self.janitor {
            let _ = self.netlink.remove_links(&janitor.take_removed()); // the guard knows of them, too
        }
    }
}

fn without(owned: &mut Vec<VirtualAddress>, addresses: &[VirtualAddress]) {
    owned.retain(|old| addresses.iter().all(|vip| vip.address != old.address));
}

/// Makes both interfaces answer for their own addresses only.
fn configure(netlink: &mut Netlink, vmac: &Interface, below: &Interface, ipv6: bool) -> io::Result<()> {
    let mut settings = InetDevConf::default();
    settings.arp_ignore = 1; // answers for what is on this very interface, not for all of the machine
    settings.arp_announce = 2; // asks with an address of this interface
    settings.promote_secondaries = 1;
    settings.forwarding = i32::from(below.ipv4.forwarding);
    // The way back is through the interface below: a strict filter (1) would take that for a forgery. The
    // larger one of this and that of `all` counts, so that 0 would not do.
    settings.rp_filter = 2;
    netlink.set_ipv4(vmac.index, settings)?;
    // Else the interface below would answer for the virtual addresses, too, with its own MAC address;
    // and when it asks for somebody's it would give a virtual address as its own.
    let mut settings = InetDevConf::default();
    settings.arp_ignore = i32::from(below.ipv4.arp_ignore == 0);
    settings.arp_announce = if below.ipv4.arp_announce < 2 { 2 } else { 0 };
    if settings != InetDevConf::default() {
        netlink.set_ipv4(below.index, settings)?;
    }
    // Fails on a kernel without IPv6, which needs none of it.
    let _ = netlink.generate_no_address(vmac.index);
    set_ipv6(&vmac.name, &below.name, ipv6);
    Ok(())
}

/// Switches IPv6 off where there is no IPv6 address; then nothing is ever sent over it. Otherwise what
/// holds for the interface below holds, without addresses and routes from router advertisements.
///
/// Where /proc/sys is read-only, `net.ipv6.conf.default` decides.
fn set_ipv6(vmac: &str, below: &str, wanted: bool) {
    let file = |interface: &str, setting: &str| format!("/proc/sys/net/ipv6/conf/{interface}/{setting}");
    let disabled = if wanted {
        fs::read_to_string(file(below, "disable_ipv6")).unwrap_or_default()
    } else {
        "1".to_owned()
    };
    for (setting, value) in [
        ("accept_ra", "0"),
        ("autoconf", "0"),
        ("accept_dad", "0"),
        ("disable_ipv6", disabled.trim()),
    ] {
        let _ = fs::write(file(vmac, setting), value);
    }
}

/// Joins the groups in which neighbours ask for the IPv6 addresses.
///
/// The kernel does that, too, for as long as the addresses are there. When the last member leaves a group,
/// it tells the network so, with a frame from the virtual MAC address; a switch would then send us what is
/// for the new owner. With this membership nobody leaves before the interface is down.
fn hold_groups(socket: &mut Option<Socket>, index: u32, addresses: &[VirtualAddress]) {
    if socket.is_none() {
        *socket = Socket::new(Domain::IPV6, Type::DGRAM, None).ok();
    }
    let Some(socket) = socket else { return };
    for vip in addresses {
        if let IpAddr::V6(address) = vip.address {
            // It fails if we are a member already.
            let _ = socket.join_multicast_v6(&solicited_node(address), index);
        }
    }
}

/// The group in which neighbours ask for an address (RFC 4291 section 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let last = address.to_bits() & 0xff_ffff;
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | last)
}

fn refused(interface: String, source: io::Error) -> OwnershipError {
    match source.raw_os_error() {
        Some(libc::EPERM) => OwnershipError::NotPermitted { interface },
        _ => OwnershipError::NoVirtualMac { interface, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_ask_in_the_group_of_the_last_three_bytes() {
        let group = solicited_node("2001:db8::1:2345:6789".parse().unwrap());
        assert_eq!(group, "ff02::1:ff45:6789".parse::<Ipv6Addr>().unwrap());
    }
}
