//! Interfaces that stand on another one and have a MAC address of their own.

use std::io;

use carp_proto::MacAddr;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoMacVlan, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};

pub(in crate::linux) use netlink_packet_route::link::InetDevConf;

use super::Netlink;
use super::message::is;

/// The group (`ip link show group 112`) of the interfaces that we make: the IP protocol number of CARP.
pub(in crate::linux) const LINK_TAG: u32 = 112;

/// The group of interfaces that this process is about to remove.
fn doomed() -> u32 {
    LINK_TAG << 24 | std::process::id() & 0x00ff_ffff
}

/// Whether interfaces of this group are ours: also if a process of ours was killed while it removed them.
pub(in crate::linux) fn is_our_group(group: u32) -> bool {
    group == LINK_TAG || group >> 24 == LINK_TAG
}

impl Netlink {
    /// Makes a macvlan, down, tagged as ours. Fails with `EEXIST` if the name is taken.
    ///
    /// Its mode is `bridge`: in mode `private` the frames of another master, which have the same source
    /// address, would be taken out of what the interface below it receives.
    pub(in crate::linux) fn make_macvlan(&mut self, name: &str, below: u32, mac: MacAddr) -> io::Result<()> {
        let mode = vec![InfoMacVlan::Mode(MacVlanMode::Bridge)];
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Link(below),
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::Group(LINK_TAG),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::MacVlan),
                LinkInfo::Data(InfoData::MacVlan(mode)),
            ]),
        ];
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.request(RouteNetlinkMessage::NewLink(message), flags, |_, _| ())
    }

    /// Sets what is different from 0 here under `net.ipv4.conf` of the interface. Works where /proc/sys is
    /// read-only, too.
    pub(in crate::linux) fn set_ipv4(&mut self, index: u32, settings: InetDevConf) -> io::Result<()> {
        let ipv4 = AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(settings)]);
        self.set_link(index, |message| {
            message.attributes.push(LinkAttribute::AfSpecUnspec(vec![ipv4]));
        })
    }

    /// Keeps the kernel from giving the interface IPv6 addresses of its own. Fails where there is no IPv6.
    pub(in crate::linux) fn generate_no_address(&mut self, index: u32) -> io::Result<()> {
        let ipv6 = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        self.set_link(index, |message| {
            message.attributes.push(LinkAttribute::AfSpecUnspec(vec![ipv6]));
        })
    }

    /// Tags an interface as ours, that somebody meant to remove.
    pub(in crate::linux) fn tag_link(&mut self, index: u32) -> io::Result<()> {
        self.set_group(index, LINK_TAG)
    }

    fn set_group(&mut self, index: u32, group: u32) -> io::Result<()> {
        self.set_link(index, |message| {
            message.attributes.push(LinkAttribute::Group(group));
        })
    }

    /// Switches an interface on or off. It is no error to switch one off that is not there.
    pub(in crate::linux) fn set_up(&mut self, index: u32, up: bool) -> io::Result<()> {
        let result = self.set_link(index, |message| {
            message.header.change_mask = LinkFlags::Up;
            message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        });
        match result {
            Err(e) if !up && is(&e, libc::ENODEV) => Ok(()),
            result => result,
        }
    }

    /// Removes interfaces with everything on them. It is no error if one is not there.
    pub(in crate::linux) fn remove_links(&mut self, indexes: &[u32]) -> io::Result<()> {
        let mut request = LinkMessage::default();
        let mut result = Ok(());
        match indexes {
            [] => return Ok(()),
            [index] => request.header.index = *index,
            // The kernel waits once for all of a group, instead of 16 ms for each.
            all => {
                request.attributes.push(LinkAttribute::Group(doomed()));
                for &index in all {
                    match self.set_group(index, doomed()) {
                        Err(e) if !is(&e, libc::ENODEV) => result = Err(e), // that one stays; the others go
                        _ => {}
                    }
                }
            }
        }
        match self.request(RouteNetlinkMessage::DelLink(request), NLM_F_ACK, |_, _| ()) {
            Err(e) if !is(&e, libc::ENODEV) => Err(e),
            _ => result,
        }
    }

    fn set_link(&mut self, index: u32, change: impl FnOnce(&mut LinkMessage)) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        change(&mut message);
        self.request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK, |_, _| ())
    }
}
