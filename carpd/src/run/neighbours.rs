//! What to do about those who are not understood, or should not be there.

use carp_fsm::NeighbourKind;

/// What follows the words about a neighbour; nothing, if it does no harm. `ours`: it has a vhid of ours.
pub(super) fn advice(kind: NeighbourKind, ours: bool) -> Option<&'static str> {
    Some(match kind {
        NeighbourKind::Stranger => return None,
        NeighbourKind::Vrrp(_) if !ours => return None,
        NeighbourKind::Vrrp(_) | NeighbourKind::OtherVersion(_) => "give one of the two another vhid",
        NeighbourKind::OtherKey => {
            "if it is one of ours, give both the same password and addresses; otherwise give one of the two another vhid"
        }
        NeighbourKind::Only(_) => {
            "if it is UCarp, write a [[vhid]] with that address alone and dialect = \"ucarp\"; otherwise give both \
             the same addresses"
        }
        NeighbourKind::WithoutLinkLocal => {
            "if it is OpenBSD, set dialect = \"openbsd\" for this vhid and reload"
        }
        NeighbourKind::Lacks(_)
        | NeighbourKind::Has(_)
        | NeighbourKind::OnlyFamily(_)
        | NeighbourKind::NoAddresses => "give both the same addresses, and reload",
        NeighbourKind::RepeatsCounter => {
            "if it is OpenBSD, set peers_repeat_counter = true for this vhid and reload"
        }
        NeighbourKind::Loop => {
            "look for two ports of a switch or bridge that are joined, or for a hypervisor with several uplinks"
        }
        NeighbourKind::Replay => {
            "somebody records advertisements; find it by its MAC address (carpd status --json)"
        }
    })
}
