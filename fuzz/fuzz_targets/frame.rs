//! Any frame: what is recognised lies within it, and an answer to it is itself no question.

#![no_main]

use carp_proto::{
    FrameClass, MAX_FRAME_LEN, MacAddr,
    frame::{Answer, classify, classify_ip, emit_arp_reply, emit_neighbor_advertisement},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(own) = bytes.first_chunk().map(|own| MacAddr(*own))
        && let Some(answer) = Answer::recognise(bytes, own)
    {
        assert!(!answer.mac.is_group());
        assert_eq!(classify(bytes), FrameClass::Other);
    }
    for class in [classify(bytes), classify_ip(bytes)] {
        let mut buffer = [0; MAX_FRAME_LEN];
        let vmac = MacAddr([0, 0, 0x5e, 0, 1, 1]);
        match class {
            FrameClass::Carp { meta, payload } => {
                let inside = bytes.as_ptr_range();
                let payload = payload.as_ptr_range();
                assert!(inside.start <= payload.start && payload.end <= inside.end);
                assert_eq!(meta.src.is_ipv4(), meta.dst.is_ipv4());
                assert!(
                    meta.link
                        .is_none_or(|link| link.vlan.is_none_or(|vlan| vlan < 4096))
                );
            }
            FrameClass::ArpRequest {
                target,
                sender,
                sender_mac,
            } => {
                let len = emit_arp_reply(vmac, vmac, target, sender_mac, sender, &mut buffer);
                assert_eq!(classify(&buffer[..len]), FrameClass::Other);
                let (address, mac) = (target.into(), vmac);
                assert_eq!(
                    Answer::recognise(&buffer[..len], sender_mac),
                    Some(Answer { address, mac })
                );
            }
            FrameClass::NeighborSolicitation {
                target,
                sender,
                sender_mac,
            } => {
                assert!(!target.is_multicast());
                let to_mac = sender_mac.unwrap_or(MacAddr::ALL_NODES_V6);
                let len = emit_neighbor_advertisement(vmac, vmac, target, to_mac, sender, false, &mut buffer);
                assert_eq!(classify(&buffer[..len]), FrameClass::Other);
            }
            FrameClass::Malformed(malformed) => assert!(!malformed.to_string().is_empty()),
            FrameClass::Other => {}
        }
    }
});
