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
    #[cfg(feature = "smallest")]
    carp_bare_metal::node::smallest();
    #[cfg(feature = "everything")]
    carp_bare_metal::node::everything();
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
}
