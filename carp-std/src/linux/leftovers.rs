//! What an earlier life left: how it is recognised, and how it goes.

use std::io;

use carp_fsm::IfaceId;
use carp_proto::Vhid;

use super::LinuxLink;
use super::netlink::{ADDRESS_TAG, Interface, is_our_group};
use crate::LinkError;

/// Longest name of an interface in bytes.
const MAX_NAME: usize = 15;

impl LinuxLink {
    /// Removes what a program of this crate left on the interfaces that have been added, when it was killed and its guard with
    /// it: virtual addresses that have our tag, and the interfaces of VMAC mode, whatever virtual hosts they were of. What
    /// this link owns itself stays.
    ///
    /// What is left of a virtual host that there is again is found without this. But the next life may have another
    /// configuration, and then two machines would hold the address. Each interface is looked at once, the first time that
    /// this is called after it was added: call it before virtual hosts are inserted, and *only if no other process has
    /// virtual hosts on these interfaces*. Before Linux 5.18 addresses have no tags, and those on the interface itself stay.
    ///
    /// # Errors
    ///
    /// That something could not be removed. All that could be has been.
    pub fn remove_leftovers(&mut self) -> Result<(), LinkError> {
        let mut result = Ok(());
        for iface in self.ids() {
            let slot = self.slot_mut(iface);
            if !std::mem::replace(&mut slot.swept, true) {
                let what = format!("remove what an earlier life left on {}", slot.name);
                result = result.and(self.sweep(iface).map_err(LinkError::os(what)));
            }
        }
        result
    }

    fn sweep(&mut self, iface: IfaceId) -> io::Result<()> {
        let slot = &self.interfaces[usize::from(iface.0)];
        let all = self.netlink.interfaces()?;
        let Some(below) = all.iter().find(|interface| interface.name == slot.name) else {
            return Ok(());
        };
        let in_use = |index| slot.vmacs.values().any(|vmac| vmac.index == index);
        let left = all
            .iter()
            .filter(|found| is_ours(found, below) && is_named_for(found, below));
        let left: Vec<u32> = left
            .map(|found| found.index)
            .filter(|&index| !in_use(index))
            .collect();
        let mut result = self.netlink.remove_links(&left);
        // Backwards, as the first address of a network is its primary one.
        for there in self.netlink.addresses(below.index)?.iter().rev() {
            let is_owned = slot.owned.iter().any(|vip| vip.address == there.ip);
            if there.tag == ADDRESS_TAG && !is_owned {
                let removed = self
                    .netlink
                    .remove_address(below.index, there.ip, there.prefix_len);
                result = result.and(removed);
            }
        }
        result
    }

    /// Removes the interface, and with that the addresses, that a virtual host has from an earlier life in
    /// VMAC mode. It is in plain mode now.
    pub(super) fn remove_left_vmac(&mut self, iface: IfaceId, vhid: Vhid) -> io::Result<()> {
        let Some(below) = self.netlink.interface(&self.slot(iface).name.clone())? else {
            return Ok(());
        };
        let found = self
            .netlink
            .interface(&name_for(vhid, &below.name, below.index))?;
        match found.filter(|found| is_ours(found, &below)) {
            Some(found) => self.netlink.remove_links(&[found.index]),
            None => Ok(()),
        }
    }
}

/// `carp7-eth0`, or `carp7-3` with the index of an interface whose name is too long.
pub(super) fn name_for(vhid: Vhid, below: &str, below_index: u32) -> String {
    let name = format!("carp{vhid}-{below}");
    if name.len() <= MAX_NAME {
        name
    } else {
        format!("carp{vhid}-{below_index}")
    }
}

/// Whether an interface has the name of a virtual host's on the one below. Macvlans on macvlans all stand on the same
/// interface: the name alone tells whose they are.
fn is_named_for(found: &Interface, below: &Interface) -> bool {
    let number = found
        .name
        .strip_prefix("carp")
        .and_then(|rest| rest.split_once('-'));
    let vhid = number.and_then(|(number, _)| Vhid::new(number.parse().ok()?));
    vhid.is_some_and(|vhid| found.name == name_for(vhid, &below.name, below.index))
}

/// Whether an interface with the name of a virtual host's was made by this program, in this life or an
/// earlier one. A macvlan on a macvlan stands on what the lower one stands on.
pub(super) fn is_ours(found: &Interface, below: &Interface) -> bool {
    let stands_on = found.below;
    is_made_by_us(found) && (stands_on == Some(below.index) || (below.is_macvlan && stands_on == below.below))
}

/// Whether an interface has our tag.
pub(super) fn is_made_by_us(found: &Interface) -> bool {
    found.is_macvlan && is_our_group(found.group)
}

#[cfg(test)]
mod tests {
    use super::super::netlink::LINK_TAG;
    use super::*;

    #[test]
    fn names_tell_vhid_and_interface_and_are_never_too_long() {
        let name = |vhid, below| name_for(Vhid::new(vhid).unwrap(), below, 1234);
        assert_eq!(name(7, "eth0"), "carp7-eth0");
        assert_eq!(name(255, "enp3s0"), "carp255-enp3s0");
        assert_eq!(name(255, "enp3s0f"), "carp255-enp3s0f");
        assert_eq!(name(255, "enp3s0f0np0"), "carp255-1234");
    }

    fn macvlan(below: u32) -> Interface {
        Interface {
            index: 9,
            below: Some(below),
            group: LINK_TAG,
            is_macvlan: true,
            ..Interface::default()
        }
    }

    #[test]
    fn the_name_tells_on_which_interface_it_is() {
        let below = Interface {
            index: 3,
            name: "eth0".to_owned(),
            ..Interface::default()
        };
        let is_for = |name: &str, below: &Interface| {
            let found = Interface {
                name: name.to_owned(),
                ..macvlan(3)
            };
            is_named_for(&found, below)
        };
        assert!(is_for("carp7-eth0", &below) && is_for("carp255-eth0", &below));
        for name in [
            "carp7-eth1",
            "carp0-eth0",
            "carp256-eth0",
            "carp07-eth0",
            "carp-eth0",
            "eth0",
            "carp7-3",
        ] {
            assert!(!is_for(name, &below), "{name}");
        }
        let long = Interface {
            name: "enp3s0f0np0".to_owned(),
            ..below
        };
        assert!(is_for("carp7-3", &long) && !is_for("carp7-4", &long));
    }

    #[test]
    fn ours_is_a_macvlan_with_our_tag_on_that_interface() {
        let eth0 = Interface {
            index: 3,
            ..Interface::default()
        };
        assert!(is_ours(&macvlan(3), &eth0));
        assert!(!is_ours(&macvlan(4), &eth0));
        let untagged = Interface {
            group: 0,
            ..macvlan(3)
        };
        assert!(!is_ours(&untagged, &eth0));
        // Its owner was killed while it removed them.
        let doomed = Interface {
            group: LINK_TAG << 24 | 0x1267,
            ..macvlan(3)
        };
        assert!(is_ours(&doomed, &eth0));
        let bridge = Interface {
            is_macvlan: false,
            ..macvlan(3)
        };
        assert!(!is_ours(&bridge, &eth0));
        // The kernel puts a macvlan on a macvlan beside it.
        let lower = Interface {
            index: 8,
            ..macvlan(3)
        };
        assert!(is_ours(&macvlan(3), &lower));
    }
}
