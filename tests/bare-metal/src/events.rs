//! What happens to a node, to be counted: one virtual host, IPv4, a replay memory of 8, as in announce mode.

use core::hint::black_box;

use carp_fsm::{
    Action, CounterSlot, Duration, EventSlot, GroupSlot, HostConfig, HostId, HostSlot, IfaceId, Instant,
    InterfaceInfo, InterfaceSlot, LinkMode, LinkState, Node, Policy, State, Storage, TransmitResult,
};
use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, HmacVariant, Key,
    MAX_FRAME_LEN, MULTICAST_V4, MacAddr, RxMeta, Vhid,
};

/// An event, and how many hundredths of a verification it may take.
pub struct Event {
    /// What it is called in tables.
    pub name: &'static str,
    /// What has to come before; not counted.
    pub prepare: fn(&mut Member<'_>),
    /// The event and all that an adapter does because of it.
    pub run: fn(&mut Member<'_>),
    /// At most so many hundredths of a verification.
    pub limit: u32,
}

/// All events.
pub const EVENTS: [Event; 7] = [
    Event {
        name: "nothing to do",
        prepare: |it| it.become_backup(),
        run: |it| it.wake(),
        limit: 7,
    },
    Event {
        name: "advertisement received",
        prepare: |it| it.follow(0),
        run: |it| assert!(it.hear(255)),
        limit: 175,
    },
    Event {
        name: "bad digest",
        prepare: |it| it.follow(1),
        run: |it| assert!(!it.hear(255)),
        limit: 130,
    },
    Event {
        name: "bad TTL",
        prepare: |it| it.follow(0),
        run: |it| assert!(!it.hear(254)),
        limit: 20,
    },
    Event {
        name: "advertisement sent",
        prepare: |it| it.become_master(),
        run: |it| it.time_out(State::Master),
        limit: 200,
    },
    Event {
        name: "takes over",
        prepare: |it| it.become_backup(),
        run: |it| it.time_out(State::Master),
        limit: 250,
    },
    Event {
        name: "yields",
        prepare: |it| {
            it.become_master();
            it.sign(0);
        },
        run: |it| assert!(it.hear(255) && it.state() == Some(State::Backup)),
        limit: 195,
    },
];

const VHID: Vhid = Vhid::new(1).unwrap();
const IFACE: IfaceId = IfaceId(0);
const COUNTERS: usize = 8;

/// The memory of a member.
pub struct Slots {
    hosts: [HostSlot<1>; 1],
    interface: [InterfaceSlot; 1],
    groups: [GroupSlot; 1],
    events: [EventSlot; 8],
    counters: [CounterSlot; COUNTERS],
}

impl Slots {
    /// Nothing in it yet.
    pub const EMPTY: Self = Self {
        hosts: [HostSlot::EMPTY],
        interface: [InterfaceSlot::EMPTY],
        groups: [GroupSlot::EMPTY],
        events: [EventSlot::EMPTY; 8],
        counters: [CounterSlot::EMPTY; COUNTERS],
    };
}

/// A node with advskew 100, and what its better peer says.
pub struct Member<'s> {
    node: Node<'s, 1>,
    host: HostId,
    peer: Authenticator,
    now: Instant,
    counter: u64,
    packet: [u8; 36],
    frame: [u8; MAX_FRAME_LEN],
}

impl<'s> Member<'s> {
    /// Waits in BACKUP.
    ///
    /// # Panics
    ///
    /// Never: all that is in it is constant.
    pub fn new(slots: &'s mut Slots) -> Self {
        let key = Key::from_passphrase(b"pass123").unwrap_or(Key::NONE);
        let addresses = AddressSet::try_from_iter([[192, 0, 2, 1].into()]).unwrap_or_default();
        let Slots {
            hosts,
            interface,
            groups,
            events,
            counters,
        } = slots;
        let storage = Storage::on_one_interface(hosts, interface, groups, events)
            .with_replay_memory(counters, COUNTERS);
        let mut node = Node::new(Policy::HARDENED, 1, storage);
        let info = InterfaceInfo {
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            ipv4: Some([192, 0, 2, 2].into()),
            ipv6: None,
            link: LinkState::Up,
        };
        node.handle_interface(Instant::ZERO, IFACE, info);
        let peer = Authenticator::new(&key, VHID, &addresses, HmacVariant::Plain);
        let config = HostConfig {
            advskew: AdvSkew::new(100),
            mode: LinkMode::Vmac,
            addresses,
            ..HostConfig::new(IFACE, VHID, key)
        };
        let host = node.insert(Instant::ZERO, config).unwrap();
        let mut it = Self {
            node,
            host,
            peer,
            now: Instant::ZERO,
            counter: 0,
            packet: [0; 36],
            frame: [0; MAX_FRAME_LEN],
        };
        it.drain();
        it
    }

    fn state(&self) -> Option<State> {
        self.node.state(self.host)
    }

    /// Its adapter wakes.
    fn wake(&mut self) {
        self.node.handle_timeout(self.now);
        self.node.handle_drained(self.now);
        self.drain();
        black_box(self.node.next_deadline());
    }

    fn drain(&mut self) {
        while let Some(action) = self.node.poll_action(self.now, &mut self.frame) {
            match black_box(action) {
                Action::SetOwner { host, seq, .. } => {
                    self.node.handle_owner_result(self.now, host, seq, Ok(()));
                }
                Action::Transmit { tx, .. } => {
                    black_box(&self.frame);
                    self.node
                        .handle_transmit_result(self.now, tx, TransmitResult::Sent);
                }
            }
        }
        while self.node.poll_event().is_some() {}
    }

    /// The earliest timer fires.
    fn time_out(&mut self, then: State) {
        if let Some(due) = self.node.next_deadline() {
            self.now = due;
        }
        self.wake();
        assert!(self.state() == Some(then));
    }

    /// What the peer says next; `spoilt` is added to the counter that it signs.
    fn sign(&mut self, spoilt: u64) {
        self.counter += 2;
        self.now = self.now + Duration::from_millis(1);
        Advertisement {
            vhid: VHID,
            advbase: AdvBase::new(1),
            advskew: AdvSkew::new(0),
            demotion: Demotion::new(0),
            counter: Counter::new(self.counter),
            digest: self.peer.sign(Counter::new(self.counter + spoilt)),
        }
        .emit(&mut self.packet);
    }

    fn hear(&mut self, ttl: u8) -> bool {
        let meta = RxMeta {
            src: [192, 0, 2, 3].into(),
            dst: MULTICAST_V4.into(),
            ttl,
            link: None,
        };
        let heard = self
            .node
            .handle_packet(self.now, IFACE, black_box(&meta), black_box(&self.packet));
        self.wake();
        black_box(heard).is_ok()
    }

    fn become_backup(&mut self) {
        self.sign(0);
        assert!(self.hear(255) && self.state() == Some(State::Backup));
    }

    /// BACKUP, and the peer is about to speak.
    fn follow(&mut self, spoilt: u64) {
        self.become_backup();
        self.sign(spoilt);
    }

    /// MASTER for long enough to have announced everything.
    fn become_master(&mut self) {
        for _ in 0..4 {
            self.time_out(State::Master);
        }
    }
}
