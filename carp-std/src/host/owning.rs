//! Which addresses are to be on this machine, and whether they are.

use carp_fsm::{HostId, IfaceId, Instant, LinkMode, OwnerError};

use super::{Host, PUT_BACK_AFTER, Resident};
use crate::{Link, OnRemoval, OwnershipError, VirtualAddress, VirtualHost};

impl<L: Link, const ADDRS: usize> Host<L, ADDRS> {
    pub(super) fn set_owner(&mut self, id: HostId, owner: bool) -> Result<(), OwnerError> {
        let resident = self.residents.get(&id).ok_or(OwnerError)?;
        let said = if owner {
            self.link.set_owner(&resident.virtual_host(), true)
        } else {
            let addresses = self.not_owned_by_others(id, resident, &resident.addresses);
            let host = VirtualHost {
                addresses: &addresses,
                ..resident.virtual_host()
            };
            self.link.set_owner(&host, false)
        };
        let result = said.as_ref().map_err(|_| OwnerError).copied();
        if let Some(resident) = self.residents.get_mut(&id) {
            self.ownership_changes += u64::from(resident.note(owner, said));
        }
        result
    }

    /// Takes addresses off that a virtual host no longer has.
    pub(super) fn drop_addresses(&mut self, id: HostId, dropped: &[VirtualAddress]) {
        let Some(resident) = self.residents.get(&id) else {
            return;
        };
        let dropped = self.not_owned_by_others(id, resident, dropped);
        if dropped.is_empty() {
            return;
        }
        let host = VirtualHost {
            addresses: &dropped,
            ..resident.virtual_host()
        };
        let said = self.link.drop_addresses(&host);
        if let (Err(error), Some(resident)) = (said, self.residents.get_mut(&id)) {
            self.ownership_changes += u64::from(resident.note(false, Err(error)));
        }
    }

    /// Those of the addresses that may come off the interface with a virtual host. An address can have moved to another
    /// one, which owns it before the first one has left; in plain mode both have it in the same place.
    fn not_owned_by_others(
        &self,
        id: HostId,
        resident: &Resident,
        addresses: &[VirtualAddress],
    ) -> Vec<VirtualAddress> {
        let mut rest = addresses.to_vec();
        if resident.mode == LinkMode::Plain {
            let others = self.residents.iter().filter(|(other, host)| {
                **other != id && host.iface == resident.iface && host.mode == LinkMode::Plain
            });
            for (&other, host) in others {
                let has = |vip: &VirtualAddress| host.addresses.iter().any(|own| own.address == vip.address);
                if rest.iter().any(has) && self.node.is_owner(other) {
                    rest.retain(|vip| !has(vip));
                }
            }
        }
        rest
    }

    /// Is it still so as the node wants it?
    pub(super) fn check_addresses(&mut self, iface: IfaceId) {
        // Addresses of a virtual host that is gone may be those of another one by now.
        self.forget_removed();
        let mut unwanted = Vec::new();
        for (&id, resident) in self.residents.iter().filter(|(_, host)| host.iface == iface) {
            let present = self.link.present(&resident.virtual_host());
            if self.node.is_owner(id) {
                self.taken_away.retain(|&other| other != id);
                if present < resident.addresses.len() {
                    self.taken_away.push(id);
                }
            } else if present > 0 || resident.error.is_some() {
                unwanted.push(id);
            }
        }
        for id in unwanted {
            // What is ours comes off. What is not stays, and the error tells of it.
            let _ = self.set_owner(id, false);
        }
    }

    pub(super) fn put_back(&mut self, now: Instant) {
        self.taken_away.retain(|&id| {
            let Some(resident) = self.residents.get_mut(&id) else {
                return false;
            };
            if now < resident.put_back_from {
                return true;
            }
            resident.put_back_from = now + PUT_BACK_AFTER;
            match resident.on_removal {
                OnRemoval::Restore => self.node.handle_taken_away(now, id),
                OnRemoval::Demote => {
                    let interface = self
                        .link
                        .interface_name(resident.iface)
                        .unwrap_or("its interface")
                        .to_owned();
                    self.ownership_changes += 1;
                    resident.error = Some((true, OwnershipError::TakenAway { interface }));
                    self.node
                        .handle_owner_result(now, id, resident.seq, Err(OwnerError));
                }
            }
            false
        });
    }
}
