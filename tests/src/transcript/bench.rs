//! One node with one virtual host, its peer, and an adapter between them.

use std::net::IpAddr;

use carp_fsm::{
    Action, EventKind, GroupId, HandOver, HostConfig, HostId, IfaceId, Instant, Node, OwnerError, Policy,
    Storage, TransmitKind, TransmitResult,
};
use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, Envelope,
    FrameClass, Key, MAX_FRAME_LEN, Packet, RxMeta, Vhid, frame,
};

pub(super) const ADDRS: usize = 4;
pub(super) const ETH0: IfaceId = IfaceId(0);
pub(super) const ETH1: IfaceId = IfaceId(1);
pub(super) const GROUP: GroupId = GroupId(0);

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
    pub(super) refuses: bool,
    /// Timers wait for `wake`.
    pub(super) asleep: bool,
    pub(super) shows_counters: bool,
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
            refuses: false,
            asleep: false,
            shows_counters: false,
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
        let mut addresses = AddressSet::new();
        addresses.insert([192, 0, 2, 43].into()).expect("room");
        let config = HostConfig {
            iface: ETH1,
            vhid: Vhid::new(43).expect("not 0"),
            addresses,
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
        let vhid = heard.vhid.unwrap_or(config.vhid);
        let other = self.other.and_then(|other| self.node.config(other));
        let config = other.filter(|other| other.vhid == vhid).unwrap_or(config);
        let (iface, addresses) = (config.iface, heard.addresses.as_ref());
        let addresses = addresses.unwrap_or(&config.addresses);
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
            _ => Envelope::multicast_v6(vhid, "fe80::9".parse().expect("an address"), dialect),
        };
        let mut buffer = [0; MAX_FRAME_LEN];
        let len = frame::emit_advertisement(&advertisement, &envelope, dialect, &mut buffer);
        let frame = &buffer[..len.ok_or("the peer cannot send this")?];
        self.heard = Some(frame.to_vec());
        let FrameClass::Carp { meta, payload } = frame::classify(frame) else {
            return Err("what the peer sends is no advertisement".into());
        };
        let meta = RxMeta {
            ttl: heard.ttl,
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
                    host, kind, len, tx, ..
                } => {
                    let outcome = match self.sending {
                        TransmitResult::Sent => "",
                        TransmitResult::Busy => ", but there is no room",
                        TransmitResult::Error => ", which fails",
                    };
                    let told = self.in_words(kind, &frame[..len]);
                    self.tell(&format!("{}{told}{outcome}", self.whose(host)));
                    if kind != TransmitKind::Announcement {
                        self.sent = Some(frame[..len].to_vec());
                    }
                    self.node.handle_transmit_result(self.now, tx, self.sending);
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
                if meta.src.is_ipv6() {
                    line += " ipv6";
                }
                if self.shows_counters {
                    line = format!("{line} counter={:x}", sent.counter.get());
                }
                line
            }
            (_, other) => format!("send {other:?}"),
        }
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
                other => format!("{other:?}"),
            };
            self.lines.push(format!("{} > {line}", event.at));
        }
    }

    pub(super) fn tell(&mut self, line: &str) {
        self.lines.push(format!("{} > {line}", self.now));
    }
}
