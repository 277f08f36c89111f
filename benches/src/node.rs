//! What is measured of `carp-fsm`: a node with any number of hosts, and what happens to one of them.

use std::hint::black_box;

use carp_fsm::machine::{Input, View};
use carp_fsm::{
    Action, Duration, Family, GroupId, HostConfig, HostId, IfaceId, InitReason, Instant, InterfaceInfo,
    LinkState, Machine, Node, Policy, State, Storage, TransmitResult,
};
use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, HmacVariant,
    Interval, Key, MAX_FRAME_LEN, MULTICAST_V4, MacAddr, RxMeta, Vhid,
};

/// How many hosts a node has when it is measured.
pub const HOSTS: [usize; 5] = [1, 4, 64, 1024, 4096];

/// What happens to a node.
pub struct Event {
    /// What it is called in tables.
    pub name: &'static str,
    /// Prepares so many.
    pub prepare: fn(&mut Fixture, usize),
    /// Lets one happen that was prepared, to one host after the other.
    pub run: fn(&mut Fixture),
}

/// All events.
pub const EVENTS: [Event; 5] = [
    Event {
        name: "an advertisement is heard",
        prepare: |it, count| it.prepare(count, true),
        run: |it| assert!(it.hear()),
    },
    Event {
        name: "one with a bad digest is heard",
        prepare: |it, count| it.prepare(count, false),
        run: |it| assert!(!it.hear()),
    },
    Event {
        name: "a timer fires: advertise",
        prepare: |_, _| {},
        run: Fixture::advertise,
    },
    Event {
        name: "a key changes, and its grace ends",
        prepare: |it, _| it.change_all(),
        run: |it| it.change(),
    },
    Event {
        name: "when it has to wake up next",
        prepare: |_, _| {},
        run: |it| {
            black_box(black_box(&it.backups).next_deadline());
        },
    },
];

/// So short that nobody's master-down time is over after thousands of changes.
const GRACE: Duration = Duration::from_micros(10);
const PER_INTERFACE: usize = 255;
pub(crate) const INTERFACES: usize = 17;

/// Two nodes with as many hosts: one all BACKUP, one all MASTER.
pub struct Fixture {
    backups: Node<'static, 4>,
    masters: Node<'static, 4>,
    now: Instant,
    /// For each host: where it is, and the authenticator of its peers.
    places: Vec<(IfaceId, Vhid, Authenticator)>,
    packets: Vec<(IfaceId, [u8; 36])>,
    next: usize,
    counter: u64,
    frame: [u8; MAX_FRAME_LEN],
}

impl Fixture {
    /// Nodes of so many hosts, each with one address and a replay memory of 8.
    ///
    /// # Panics
    ///
    /// With more than 4335 hosts.
    pub fn new(hosts: usize) -> Self {
        let key = Key::from_bytes([7; 20]);
        let mut it = Self {
            backups: node(hosts, &key, 100, place),
            masters: node(hosts, &key, 0, place),
            now: Instant::ZERO,
            places: (0..hosts)
                .map(|number| {
                    let (iface, vhid) = place(number);
                    let authenticator = Authenticator::new(&key, vhid, &addresses(), HmacVariant::Plain);
                    (iface, vhid, authenticator)
                })
                .collect(),
            packets: Vec::new(),
            next: 0,
            counter: 0,
            frame: [0; MAX_FRAME_LEN],
        };
        // Long enough MASTER to have announced its addresses for the last time.
        let settled = Instant::ZERO + Duration::from_secs(9);
        while it.masters.next_deadline().is_some_and(|next| next < settled) {
            it.advertise();
        }
        it
    }

    /// Advertisements of the masters of one host after the other.
    fn prepare(&mut self, count: usize, good: bool) {
        for _ in 0..count {
            let packet = self.advertisement(good);
            self.packets.push(packet);
        }
    }

    /// Nothing follows but the timer.
    fn hear(&mut self) -> bool {
        let (iface, payload) = self.packets.pop().expect("prepared");
        let heard = black_box(self.backups.handle_packet(self.now, iface, &META, &payload)).is_ok();
        self.backups.handle_timeout(self.now);
        self.backups.handle_drained(self.now);
        heard
    }

    /// As after a reload: every host has had another key before.
    fn change_all(&mut self) {
        for _ in 0..self.places.len() {
            self.change();
        }
    }

    /// One host after the other has another key, and believes the old one no longer as soon as nothing else is due.
    fn change(&mut self) {
        self.next = (self.next + 1) % self.places.len();
        let (iface, vhid, _) = &self.places[self.next];
        let id = self.backups.find(*iface, *vhid).expect("inserted");
        let mut config = self.backups.config(id).expect("inserted").clone();
        self.counter += 1;
        let mut key = [0; 20];
        key[..8].copy_from_slice(&self.counter.to_be_bytes());
        config.key = Key::from_bytes(key);
        self.backups.reconfigure(self.now, id, config).expect("possible");
        self.now = self.now + GRACE;
        self.backups.handle_timeout(self.now);
        self.backups.handle_drained(self.now);
    }

    /// The first timer fires, and what follows is done. No two are due at the same moment.
    fn advertise(&mut self) {
        let Some(due) = self.masters.next_deadline() else {
            return;
        };
        self.masters.handle_timeout(due);
        self.masters.handle_drained(due);
        while let Some(action) = self.masters.poll_action(due, &mut self.frame) {
            match black_box(action) {
                Action::SetOwner { host, seq, .. } => {
                    self.masters.handle_owner_result(due, host, seq, Ok(()));
                }
                Action::Transmit { tx, .. } => {
                    self.masters.handle_transmit_result(due, tx, TransmitResult::Sent);
                }
            }
        }
        while self.masters.poll_event().is_some() {}
    }

    fn advertisement(&mut self, good: bool) -> (IfaceId, [u8; 36]) {
        self.next = (self.next + 1) % self.places.len();
        self.counter += 1;
        let (iface, vhid, authenticator) = &self.places[self.next];
        let counter = Counter::new(self.counter);
        let digest = authenticator.sign(if good { counter } else { Counter::new(0) });
        let mut payload = [0; 36];
        Advertisement {
            vhid: *vhid,
            advbase: AdvBase::new(1),
            advskew: AdvSkew::new(0),
            demotion: Demotion::new(0),
            counter,
            digest,
        }
        .emit(&mut payload);
        (*iface, payload)
    }
}

/// A step of the machine alone: a BACKUP hears its master.
pub struct Election {
    machine: Machine,
    view: View,
    now: Instant,
}

impl Election {
    /// A BACKUP of 1/100.
    pub fn new() -> Self {
        let view = View {
            dialect: Dialect::FreeBsd,
            policy: Policy::HARDENED,
            advbase: AdvBase::new(1),
            advskew: AdvSkew::new(100),
            dead_ratio: None,
            demotion: 0,
            preempt: true,
            preempt_delay: Duration::ZERO,
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            maintenance: false,
            ipv4: true,
            ipv6: false,
        };
        let mut machine = Machine::new(Instant::ZERO, InitReason::LinkDown);
        machine.step(Instant::ZERO, Input::Start, &view);
        let now = Instant::ZERO;
        Self { machine, view, now }
    }

    /// One step.
    pub fn hear(&mut self) {
        self.now = self.now + Duration::from_millis(1);
        let input = Input::Heard {
            family: Family::Ipv4,
            interval: Interval::new(AdvBase::new(1), AdvSkew::new(0)),
            demotion: Demotion::new(0),
            lower_source: false,
        };
        black_box(self.machine.step(self.now, black_box(input), &self.view));
    }
}

impl Default for Election {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) const META: RxMeta = RxMeta {
    src: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)),
    dst: std::net::IpAddr::V4(MULTICAST_V4),
    ttl: 255,
    link: None,
};

fn place(number: usize) -> (IfaceId, Vhid) {
    let iface = u16::try_from(number / PER_INTERFACE).expect("at most 4335 hosts");
    let vhid = u8::try_from(number % PER_INTERFACE + 1).ok().and_then(Vhid::new);
    (IfaceId(iface), vhid.expect("1 to 255"))
}

pub(crate) fn addresses() -> AddressSet<4> {
    AddressSet::try_from_iter([[192, 0, 2, 1].into()]).unwrap_or_default()
}

/// A node whose hosts are all in one group.
pub(crate) fn node(
    hosts: usize,
    key: &Key,
    advskew: u8,
    place: fn(usize) -> (IfaceId, Vhid),
) -> Node<'static, 4> {
    // One advertisement at a time: what would go along is an event of its own.
    let policy = Policy {
        brings_forward: Duration::ZERO,
        change_grace: GRACE,
        ..Policy::HARDENED
    };
    let mut node = Node::new(policy, 1, Storage::growing_with(64, 8));
    for iface in (0..).take(INTERFACES) {
        let info = InterfaceInfo {
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            ipv4: Some([10, 0, 0, 1].into()),
            ipv6: None,
            link: LinkState::Up,
        };
        node.handle_interface(Instant::ZERO, IfaceId(iface), info);
    }
    for number in 0..hosts {
        let (iface, vhid) = place(number);
        let config = HostConfig {
            advskew: AdvSkew::new(advskew),
            group: GroupId(0),
            addresses: addresses(),
            ..HostConfig::new(iface, vhid, key.clone())
        };
        // One microsecond after the other, so that no two timers are due at once.
        let now = Instant::from_micros(u64::try_from(number).unwrap_or_default());
        let id: HostId = node.insert(now, config).expect("room");
        assert_eq!(node.state(id), Some(State::Backup));
    }
    drain(&mut node, Instant::ZERO);
    node
}

pub(crate) fn drain(node: &mut Node<'static, 4>, now: Instant) {
    let mut frame = [0; MAX_FRAME_LEN];
    while let Some(action) = node.poll_action(now, &mut frame) {
        match action {
            Action::SetOwner { host, seq, .. } => node.handle_owner_result(now, host, seq, Ok(())),
            Action::Transmit { tx, .. } => node.handle_transmit_result(now, tx, TransmitResult::Sent),
        }
    }
    while node.poll_event().is_some() {}
}
