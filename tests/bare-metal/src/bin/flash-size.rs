//! The parts that features name and nothing else: what an image grows by is what a part costs.
//!
//! Input is constant data that the compiler must not look into, so that as little as possible of the image is
//! ours.

#![no_std]
#![no_main]

use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

// SAFETY: the only symbol of this name; it is the entry point that build.rs tells the linker.
#[unsafe(no_mangle)]
extern "C" fn entry() -> ! {
    #[cfg(feature = "codec")]
    parts::codec();
    #[cfg(feature = "auth")]
    parts::auth();
    #[cfg(feature = "frames")]
    parts::frames();
    #[cfg(feature = "explain")]
    carp_bare_metal::explanation();
    #[cfg(feature = "node")]
    parts::node();
    loop {
        core::hint::spin_loop();
    }
}

#[cfg(feature = "codec")]
mod parts {
    use core::hint::black_box;
    #[cfg(feature = "auth")]
    use core::net::{IpAddr, Ipv4Addr};

    #[cfg(feature = "auth")]
    use carp_proto::{AddressSet, Authenticator, Dialect, HmacVariant, Key, Receiver, RxMeta, receive};
    use carp_proto::{AdvBase, AdvSkew, Advertisement, Counter, Demotion, Digest, Packet, Vhid};
    #[cfg(feature = "frames")]
    use carp_proto::{Envelope, FrameClass, MAX_FRAME_LEN, MacAddr, frame};

    const VHID: Vhid = Vhid::new(1).unwrap();
    const BYTES: &[u8] = &[];
    const ADVERTISEMENT: Advertisement = Advertisement {
        vhid: VHID,
        advbase: AdvBase::new(1),
        advskew: AdvSkew::new(0),
        demotion: Demotion::new(0),
        counter: Counter::new(1),
        digest: Digest::new([0; 20]),
    };
    #[cfg(feature = "auth")]
    const META: RxMeta = RxMeta {
        src: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        dst: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        ttl: 255,
        link: None,
    };
    #[cfg(feature = "frames")]
    const MAC: MacAddr = MacAddr::BROADCAST;

    /// Reading and writing the 36 bytes.
    pub fn codec() {
        if let Ok(packet) = Packet::new_checked(black_box(BYTES)) {
            black_box(&Advertisement::parse(&packet).ok());
        }
        let mut bytes = [0; 36];
        black_box(&ADVERTISEMENT).emit(&mut bytes);
        black_box(&bytes);
    }

    /// Address list, key, signing, and all checks of a received packet.
    #[cfg(feature = "auth")]
    pub fn auth() {
        let mut set = AddressSet::<4>::new();
        black_box(&set.insert(*black_box(&META.src)));
        let key = Key::from_passphrase(black_box(BYTES)).unwrap_or(Key::NONE);
        let authenticators = [Authenticator::new(
            &key,
            VHID,
            &set,
            black_box(HmacVariant::Plain),
        )];
        black_box(&authenticators[0].sign(black_box(Counter::new(1))));
        let receiver = Receiver {
            dialect: black_box(Dialect::FreeBsd),
            unicast: black_box(false),
            min_ttl: None,
            authenticators: &authenticators,
        };
        let fallback = receiver.dialect;
        black_box(&receive(black_box(&META), black_box(BYTES), fallback, |vhid| {
            (vhid == VHID).then_some(((), receiver))
        }));
    }

    /// Whole frames, in and out.
    #[cfg(feature = "frames")]
    pub fn frames() {
        use core::net::Ipv6Addr;

        if let FrameClass::Carp { payload, .. } = black_box(&frame::classify(black_box(BYTES))) {
            black_box(frame::Vrrp::recognise(payload));
        }
        let mut buffer = [0; MAX_FRAME_LEN];
        let dialect = black_box(Dialect::FreeBsd);
        let (v4, v6) = (
            *black_box(&Ipv4Addr::UNSPECIFIED),
            *black_box(&Ipv6Addr::UNSPECIFIED),
        );
        for envelope in [
            Envelope::multicast_v4(VHID, v4, dialect),
            Envelope::multicast_v6(VHID, v6, dialect),
        ] {
            black_box(frame::emit_advertisement(
                black_box(&ADVERTISEMENT),
                &envelope,
                dialect,
                &mut buffer,
            ));
        }
        black_box(frame::emit_gratuitous_arp(MAC, MAC, v4, &mut buffer));
        black_box(frame::emit_arp_reply(MAC, MAC, v4, MAC, v4, &mut buffer));
        black_box(frame::emit_unsolicited_na(
            MAC,
            MAC,
            v6,
            black_box(false),
            &mut buffer,
        ));
        black_box(frame::emit_neighbor_advertisement(
            MAC,
            MAC,
            v6,
            MAC,
            v6,
            black_box(false),
            &mut buffer,
        ));
        black_box(&buffer);
    }

    /// All that a device does with a node; inspection and what prints are not in it.
    #[cfg(feature = "node")]
    pub fn node() {
        use carp_fsm::{
            Action, Cause, EventSlot, GroupId, GroupSlot, HostConfig, HostSlot, IfaceId, Instant,
            InterfaceInfo, InterfaceSlot, LinkState, Node, OwnerError, Policy, State, Storage,
            TransmitResult,
        };

        const INFO: InterfaceInfo = InterfaceInfo {
            mac: MAC,
            ipv4: Some(Ipv4Addr::UNSPECIFIED),
            ipv6: None,
            link: LinkState::Up,
        };
        let (mut hosts, mut interfaces) = ([const { HostSlot::<4>::EMPTY }; 1], [InterfaceSlot::EMPTY; 1]);
        let (mut groups, mut events) = ([const { GroupSlot::EMPTY }; 1], [EventSlot::EMPTY; 8]);
        let storage = Storage::borrowed(&mut hosts, &mut interfaces, &mut groups, &mut events);
        let mut node = Node::new(*black_box(&Policy::HARDENED), black_box(1), storage);
        let mut frame = [0; MAX_FRAME_LEN];
        let now = || *black_box(&Instant::ZERO);
        let (iface, group) = (IfaceId(0), GroupId(0));
        node.handle_interface(now(), iface, *black_box(&INFO));
        let mut config = HostConfig::new(iface, VHID, Key::NONE);
        black_box(&mut config);
        if let Ok(host) = node.insert(now(), config) {
            while black_box(true) {
                node.handle_timeout(now());
                let _ = black_box(&node.handle_packet(now(), iface, black_box(&META), black_box(BYTES)));
                node.handle_drained(now());
                node.handle_taken_away(now(), host);
                let _ = node.set_enabled(now(), host, black_box(true));
                let _ = node.hand_over(now(), host);
                let _ = node.force_state(now(), host, black_box(State::Master));
                let _ = node.demote(now(), group, black_box(Cause::Operator), black_box(1));
                let _ = node.clear(now(), group, black_box(Cause::Operator));
                let mut config = HostConfig::new(iface, VHID, Key::NONE);
                black_box(&mut config);
                let _ = node.reconfigure(now(), host, config);
                let _ = node.remove(now(), host);
                node.shutdown(now());
                while let Some(action) = node.poll_action(now(), &mut frame) {
                    match action {
                        Action::SetOwner { host, seq, .. } => {
                            let result = black_box(true).then_some(()).ok_or(OwnerError);
                            node.handle_owner_result(now(), host, seq, result);
                        }
                        Action::Transmit { tx, .. } => {
                            black_box(&frame);
                            node.handle_transmit_result(now(), tx, black_box(TransmitResult::Sent));
                        }
                    }
                }
                while let Some(event) = node.poll_event() {
                    black_box(&event);
                }
                black_box(&(node.next_deadline(), node.state(host), node.is_quiet()));
            }
        }
    }
}
