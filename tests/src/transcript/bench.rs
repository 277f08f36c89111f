//! One node with one virtual host, its peer, and an adapter between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carp_fsm::{
    Action, EventKind, GroupId, HandOver, HostConfig, HostId, IfaceId, Instant, Node, OwnerError, Peer,
    Policy, Storage, TransmitKind, TransmitResult,
};
use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, Envelope,
    FrameClass, Key, MAX_FRAME_LEN, Packet, RxMeta, Vhid, frame,
};

pub(super) const ADDRS: usize = 4;
pub(super) const ETH0: IfaceId = IfaceId(0);
pub(super) const ETH1: IfaceId = IfaceId(1);
pub(super) const GROUP: GroupId = GroupId(0);

pub(super) const OWN_IPV4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
pub(super) const OWN_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);
const LINK_LOCAL_PEER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);

/// The second virtual host.
const OTHER: Vhid = Vhid::new(43).expect("43 is not 0");

/// Retries without end are a mistake of the transcript or of the node.
const ACTIONS_AT_ONCE: u32 = 100;

pub(super) struct Bench {
    pub(super) node: Node<'static, ADDRS>,
    pub(super) host: HostId,
    /// A second virtual host of the group, on an interface of its own.
    other: Option<HostId>,
    pub(super) now: Instant,
    /// As the peer is configured: like us.
    pub(super) peer: HostConfig<ADDRS>,
    pub(super) sending: TransmitResult,
    /// Peers to whom nothing leaves, whatever becomes of the rest.
    pub(super) unreachable: Vec<IpAddr>,
    pub(super) refuses: bool,
    /// Timers wait for `wake`.
    pub(super) asleep: bool,
    pub(super) shows_counters: bool,
    /// With these passwords it is tried who signed what we send.
    pub(super) passwords: Vec<String>,
    /// Of the peer's advertisements.
    counter: u64,
    /// The last that was sent, and the last that was heard.
    sent: Option<Vec<u8>>,
    heard: Option<Vec<u8>>,
    lines: Vec<String>,
}

/// An advertisement of the peer.
pub(super) struct Heard {
    interval: (u8, u8),
    pub(super) demotion: u8,
    pub(super) from: IpAddr,
    pub(super) counter: Option<u64>,
    pub(super) dialect: Option<Dialect>,
    pub(super) key: Option<Key>,
    pub(super) vhid: Option<Vhid>,
    pub(super) addresses: Option<AddressSet<ADDRS>>,
    pub(super) ttl: u8,
    pub(super) ipv6: bool,
    /// Sent to us alone.
    pub(super) unicast: bool,
    /// On the interface of the second virtual host.
    pub(super) other: bool,
}

impl Heard {
    pub(super) fn new(interval: (u8, u8)) -> Self {
        Self {
            interval,
            demotion: 0,
            from: [10, 0, 0, 9].into(),
            counter: None,
            dialect: None,
            key: None,
            vhid: None,
            addresses: None,
            ttl: 255,
            ipv6: false,
            unicast: false,
            other: false,
        }
    }
}

impl Bench {
    pub(super) fn new(policy: Policy, config: HostConfig<ADDRS>) -> Result<Self, String> {
        let mut node = Node::new(policy, 1, Storage::growing_with(64, 64));
        let peer = config.clone();
        let host = node
            .insert(Instant::ZERO, config)
            .map_err(|error| error.to_string())?;
        let mut bench = Self {
            node,
            host,
            other: None,
            now: Instant::ZERO,
            peer,
            sending: TransmitResult::Sent,
            unreachable: Vec::new(),
            refuses: false,
            asleep: false,
            shows_counters: false,
            passwords: Vec::new(),
            counter: 0x1000,
            sent: None,
            heard: None,
            lines: Vec::new(),
        };
        bench.drain();
        Ok(bench)
    }

    /// Adds a virtual host 43, like the first one.
    pub(super) fn insert_other(&mut self) -> Result<(), String> {
        let config = HostConfig {
            iface: ETH1,
            vhid: OTHER,
            addresses: other_addresses(),
            ..self.peer.clone()
        };
        let inserted = self
            .node
            .insert(self.now, config)
            .map_err(|error| error.to_string())?;
        self.other = Some(inserted);
        self.drain();
        Ok(())
    }

    /// `only` without multicast; each peer with the TTL at which it is heard, if that is not 255.
    pub(super) fn set_peers(&mut self, multicast: bool, peers: &[Peer]) -> Result<(), String> {
        let set = self.node.set_peers(self.now, self.host, multicast, peers);
        set.map_err(|error| error.to_string())
    }

    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    pub(super) fn run_until(&mut self, end: Instant, inclusive: bool) {
        while let Some(due) = self
            .node
            .next_deadline()
            .filter(|due| !self.asleep && *due <= end)
        {
            if due == end && !inclusive {
                break;
            }
            self.now = self.now.max(due);
            self.node.handle_timeout(self.now);
            self.node.handle_drained(self.now);
            self.drain();
        }
        self.now = self.now.max(end);
    }

    pub(super) fn hear(&mut self, heard: &Heard) -> Result<(), String> {
        let config = &self.peer;
        let dialect = heard.dialect.unwrap_or(config.dialect);
        let key = heard.key.as_ref().unwrap_or(&config.key);
        let (iface, vhid, addresses) = if heard.other {
            (ETH1, OTHER, other_addresses())
        } else {
            (ETH0, config.vhid, config.addresses.clone())
        };
        let vhid = heard.vhid.unwrap_or(vhid);
        let addresses = heard.addresses.as_ref().unwrap_or(&addresses);
        let signer = Authenticator::new(key, vhid, addresses, dialect.rules().hmac_sent);
        self.counter += 1;
        let counter = Counter::new(heard.counter.unwrap_or(self.counter));
        let (base, skew) = heard.interval;
        let advertisement = Advertisement {
            vhid,
            advbase: AdvBase::new(base),
            advskew: AdvSkew::new(skew),
            demotion: Demotion::new(heard.demotion),
            counter,
            digest: signer.sign(counter),
        };
        let envelope = match heard.from {
            IpAddr::V4(from) if !heard.ipv6 => Envelope::multicast_v4(vhid, from, dialect),
            IpAddr::V4(_) => Envelope::multicast_v6(vhid, LINK_LOCAL_PEER, dialect),
            IpAddr::V6(from) => Envelope::multicast_v6(vhid, from, dialect),
        };
        let mut buffer = [0; MAX_FRAME_LEN];
        let len = frame::emit_advertisement(&advertisement, &envelope, dialect, &mut buffer);
        let frame = &buffer[..len.ok_or("the peer cannot send this")?];
        self.heard = Some(frame.to_vec());
        let FrameClass::Carp { meta, payload } = frame::classify(frame) else {
            return Err("what the peer sends is no advertisement".into());
        };
        let ours: IpAddr = match meta.src {
            IpAddr::V4(_) => OWN_IPV4.into(),
            IpAddr::V6(_) => OWN_IPV6.into(),
        };
        let meta = RxMeta {
            ttl: heard.ttl,
            dst: if heard.unicast { ours } else { meta.dst },
            ..meta
        };
        self.handle(iface, &meta, payload);
        Ok(())
    }

    /// The last frame that we, or the peer, sent comes again; with other values in what is not authenticated, if said.
    pub(super) fn hear_again(&mut self, own: bool, interval: Option<(u8, u8)>) -> Result<(), String> {
        let frame = if own {
            self.sent.clone()
        } else {
            self.heard.clone()
        };
        let frame = frame.ok_or("nothing was sent yet")?;
        let FrameClass::Carp { meta, payload } = frame::classify(&frame) else {
            return Err("no advertisement was sent".into());
        };
        let mut payload = payload.to_vec();
        if let Some((base, skew)) = interval {
            (payload[2], payload[5]) = (skew, base);
            payload[6..8].fill(0);
            let sum = carp_proto::checksum(&payload);
            payload[6..8].copy_from_slice(&sum.to_be_bytes());
        }
        self.handle(ETH0, &meta, &payload);
        Ok(())
    }

    /// Any payload of protocol 112, from the peer's address.
    pub(super) fn receive(&mut self, payload: &[u8]) {
        let src = Heard::new((1, 0)).from;
        let meta = RxMeta {
            src,
            dst: [224, 0, 0, 18].into(),
            ttl: 255,
            link: None,
        };
        self.handle(ETH0, &meta, payload);
    }

    fn handle(&mut self, iface: IfaceId, meta: &RxMeta, payload: &[u8]) {
        let before = *self.node.stats();
        let result = self.node.handle_packet(self.now, iface, meta, payload);
        let after = self.node.stats();
        let named = [
            (after.loops > before.loops, "our own come back"),
            (after.replays > before.replays, "a replay"),
            (after.duplicates > before.duplicates, "a duplicate"),
        ];
        let why = named
            .into_iter()
            .find_map(|(counted, what)| counted.then_some(what));
        match (result, why) {
            (Ok(_), None) => {}
            (Ok(_), Some(what)) => self.tell(&format!("ignored: {what}")),
            (Err(rejection), None) => self.tell(&format!("rejected: {}", rejection.counter())),
            (Err(rejection), Some(what)) => self.tell(&format!("rejected: {}, {what}", rejection.counter())),
        }
    }

    /// What every adapter does.
    pub(super) fn drain(&mut self) {
        self.tell_events();
        let mut frame = [0; MAX_FRAME_LEN];
        let mut actions = 0;
        while let Some(action) = self.node.poll_action(self.now, &mut frame) {
            actions += 1;
            assert!(actions < ACTIONS_AT_ONCE, "{:#?}", self.lines);
            match action {
                Action::SetOwner { host, owner, seq } => {
                    let refused = owner && self.refuses;
                    let result = if refused { Err(OwnerError) } else { Ok(()) };
                    let what = match (owner, refused) {
                        (true, false) => "own",
                        (true, true) => "own, which is refused",
                        (false, _) => "disown",
                    };
                    self.tell(&format!("{}{what}", self.whose(host)));
                    self.node.handle_owner_result(self.now, host, seq, result);
                }
                Action::Transmit {
                    host,
                    kind,
                    len,
                    tx,
                    next_hop,
                    ..
                } => {
                    let reached = next_hop.is_none_or(|hop| !self.unreachable.contains(&hop));
                    let result = if reached {
                        self.sending
                    } else {
                        TransmitResult::Error
                    };
                    let outcome = match result {
                        TransmitResult::Sent => "",
                        TransmitResult::Busy => ", but there is no room",
                        TransmitResult::Error => ", which fails",
                    };
                    let told = self.in_words(kind, &frame[..len]);
                    self.tell(&format!("{}{told}{outcome}", self.whose(host)));
                    if kind != TransmitKind::Announcement {
                        self.sent = Some(frame[..len].to_vec());
                    }
                    self.node.handle_transmit_result(self.now, tx, result);
                }
            }
            self.tell_events();
        }
    }

    fn whose(&self, host: HostId) -> &'static str {
        if self.other == Some(host) { "43: " } else { "" }
    }

    fn in_words(&self, kind: TransmitKind, frame: &[u8]) -> String {
        match (kind, frame::classify(frame)) {
            (
                TransmitKind::Announcement,
                FrameClass::ArpRequest {
                    target, sender_mac, ..
                },
            ) => {
                format!("announce {target} at {sender_mac}")
            }
            (TransmitKind::Announcement, _) => {
                // Target, and target link-layer address, of a neighbour advertisement.
                let target: [u8; 16] = frame[62..78].try_into().expect("16 bytes");
                let mac: [u8; 6] = frame[80..86].try_into().expect("6 bytes");
                format!(
                    "announce {} at {}",
                    IpAddr::from(target),
                    carp_proto::MacAddr(mac)
                )
            }
            (_, FrameClass::Carp { meta, payload }) => {
                let packet = Packet::new_checked(payload).expect("long enough");
                let sent = Advertisement::parse(&packet).expect("version 2");
                let mut line = if kind == TransmitKind::BowOut {
                    assert!(sent.is_bow_out());
                    "bow out".to_owned()
                } else {
                    format!("advertise {}/{}", sent.advbase.get(), sent.advskew.get())
                };
                if sent.demotion.get() > 0 {
                    line = format!("{line} demoted={}", sent.demotion.get());
                }
                if !meta.dst.is_multicast() {
                    line = format!("{line} to {}", meta.dst);
                } else if meta.src.is_ipv6() {
                    line += " ipv6";
                }
                if self.shows_counters {
                    line = format!("{line} counter={:x}", sent.counter.get());
                }
                if let Some(password) = self.who_signed(&packet) {
                    line = format!("{line} key={password}");
                }
                line
            }
            (_, other) => format!("send {other:?}"),
        }
    }

    fn who_signed(&self, packet: &Packet<&[u8]>) -> Option<&String> {
        let config = &self.peer;
        let fits = |password: &&String| {
            let key = Key::from_passphrase(password.as_bytes()).expect("it was one before");
            let hashed = config.dialect.rules().hmac_sent;
            let signer = Authenticator::new(&key, config.vhid, &config.addresses, hashed);
            signer.verify(packet).is_ok()
        };
        self.passwords.iter().find(fits)
    }

    fn tell_events(&mut self) {
        while let Some(event) = self.node.poll_event() {
            let line = match event.kind {
                EventKind::Transition {
                    host,
                    from,
                    to,
                    reason,
                    ..
                } => {
                    format!("{}{from} -> {to} ({reason})", self.whose(host))
                }
                EventKind::Demotion {
                    from,
                    to,
                    cause,
                    holds,
                    ..
                } => {
                    let lifted = if holds { "" } else { " no longer" };
                    format!("demotion {from} -> {to} ({cause}{lifted})")
                }
                EventKind::HandOver { host, outcome, .. } => {
                    let outcome = match outcome {
                        HandOver::Done(after) => format!("handed over in {after} s"),
                        HandOver::NobodyTookOver(after) => format!("nobody took over in {after} s"),
                        HandOver::NotMaster => "nothing to hand over".to_owned(),
                    };
                    format!("{}{outcome}", self.whose(host))
                }
                EventKind::TakenAway { .. } => "addresses taken away".to_owned(),
                EventKind::Neighbour { source, kind, .. } => format!("neighbour {source} {kind}"),
                EventKind::SplitMaster { master, backup, .. } => {
                    let vhid = |host| self.node.config(host).map_or(0, |config| config.vhid.get());
                    format!(
                        "the group is split: MASTER of {}, BACKUP of {}",
                        vhid(master),
                        vhid(backup)
                    )
                }
                EventKind::SplitMasterEnded { .. } => "the group is split no longer".to_owned(),
                EventKind::FastProfileLeft { peer, interval, .. } => {
                    let (base, skew) = (interval.base().get(), interval.skew().get());
                    format!("fast profile left: {peer} advertises {base}/{skew}")
                }
                other => format!("{other:?}"),
            };
            self.lines.push(format!("{} > {line}", event.at));
        }
    }

    pub(super) fn tell(&mut self, line: &str) {
        self.lines.push(format!("{} > {line}", self.now));
    }
}

fn other_addresses() -> AddressSet<ADDRS> {
    let mut addresses = AddressSet::new();
    addresses.insert([192, 0, 2, 43].into()).expect("room");
    addresses
}
