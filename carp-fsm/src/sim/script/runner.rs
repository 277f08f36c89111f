//! One run of a script.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::str::SplitWhitespace;

use carp_proto::frame::{FrameClass, MAX_FRAME_LEN, classify, classify_ip};
use carp_proto::{AdvBase, AdvSkew, Dialect, Key, MacAddr, Vhid};

use super::{ScriptEvent, ScriptEventKind};
use crate::action::{Action, TransmitKind, TransmitResult};
use crate::config::{HostConfig, InterfaceInfo, LinkMode, LinkState};
use crate::event::EventKind;
use crate::id::{GroupId, HostId};
use crate::ledger::Cause;
use crate::node::Node;
use crate::policy::Policy;
use crate::sim::{ADDRS, SEGMENT};
use crate::state::{InitReason, Reason, State};
use crate::storage::Storage;
use crate::time::Instant;

const GROUP: GroupId = GroupId(0);

pub(super) struct Runner {
    dialect: Dialect,
    node: Node<'static, ADDRS>,
    now: Instant,
    interface: InterfaceInfo,
    carrier: bool,
    interface_up: bool,
    /// By the name that the script uses for it.
    hosts: BTreeMap<String, HostId>,
    preempt: bool,
    allow: bool,
    demotion: i64,
    send_error: Option<u32>,
    pub(super) events: Vec<ScriptEvent>,
}

impl Runner {
    pub(super) fn new(dialect: Dialect) -> Self {
        // FreeBSD adds 240 to every advskew, the others count causes.
        let weight = if dialect == Dialect::FreeBsd { 240 } else { 1 };
        let policy = Policy {
            ifdown_demotion_factor: weight,
            senderr_demotion_factor: weight,
            ..Policy::KERNEL
        };
        Self {
            dialect,
            node: Node::new(policy, 1, Storage::growing()),
            now: Instant::ZERO,
            interface: InterfaceInfo {
                mac: MacAddr([2, 0, 0, 0, 0, 1]),
                ipv4: None,
                ipv6: None,
                link: LinkState::Up,
            },
            carrier: true,
            interface_up: true,
            hosts: BTreeMap::new(),
            preempt: false,
            allow: true,
            demotion: 0,
            send_error: None,
            events: Vec::new(),
        }
    }

    /// When the kernel's timer fires that was set to this time. FreeBSD has ticks of 1 ms, rounds up and adds one;
    /// OpenBSD has ticks of 10 ms and rounds up.
    fn fires_at(&self, deadline: Instant) -> Instant {
        let (tick, extra) = match self.dialect {
            Dialect::OpenBsd => (10_000, 0),
            _ => (1_000, 1_000),
        };
        let rounded = deadline.as_micros().div_ceil(tick).saturating_mul(tick);
        Instant::from_micros(rounded.saturating_add(extra))
    }

    /// Commands go before timers that are due at the same time.
    pub(super) fn run_until(&mut self, end: Instant, inclusive: bool) {
        while let Some(at) = self.node.next_deadline().map(|deadline| self.fires_at(deadline)) {
            if at > end || (at == end && !inclusive) {
                break;
            }
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now);
            self.drain();
        }
        self.now = self.now.max(end);
    }

    pub(super) fn command(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        match words.next().unwrap_or_default() {
            "mac" => {
                let bytes = hex(word(&mut words)?)?;
                let bytes = bytes
                    .try_into()
                    .map_err(|_| "a MAC address has 12 hex digits".to_owned())?;
                self.interface.mac = MacAddr(bytes);
                self.report_interface();
            }
            "ifaddr" => {
                match address(word(&mut words)?)? {
                    IpAddr::V4(own) => self.interface.ipv4 = self.interface.ipv4.or(Some(own)),
                    IpAddr::V6(own) => self.interface.ipv6 = self.interface.ipv6.or(Some(own)),
                }
                self.report_interface();
            }
            "set" => self.set(words)?,
            "addr" => self.change_addresses(words, true)?,
            "deladdr" => self.change_addresses(words, false)?,
            "pkt" => {
                let packet = hex(word(&mut words)?)?;
                self.receive(&classify_ip(&packet));
            }
            "frame" => {
                let frame = hex(word(&mut words)?)?;
                self.receive(&classify(&frame));
            }
            "link" => {
                self.carrier = is_up(word(&mut words)?)?;
                self.report_interface();
            }
            "if" => match word(&mut words)? {
                name if name.starts_with("carp") => {
                    let (host, up) = (self.host(name)?, is_up(word(&mut words)?)?);
                    let _ = self.node.set_enabled(self.now, host, up);
                }
                state => {
                    self.interface_up = is_up(state)?;
                    self.report_interface();
                }
            },
            "sysctl" => match (word(&mut words)?, number(word(&mut words)?)?) {
                ("preempt", preempt) => {
                    self.preempt = preempt != 0;
                    for host in self.hosts.values().copied().collect::<Vec<_>>() {
                        self.reconfigure(host, |_| ())?;
                    }
                }
                ("demotion", change) => self.demote(change)?,
                ("allow", allow) => {
                    self.allow = allow != 0;
                    self.report_interface();
                }
                (name, _) => {
                    return Err(format!(
                        "sysctl {name} is not supported; use preempt, demotion or allow"
                    ));
                }
            },
            "demote" => {
                word(&mut words)?;
                self.demote(number(word(&mut words)?)?)?;
            }
            "txerr" => {
                let errno =
                    u32::try_from(number(word(&mut words)?)?).map_err(|_| "an errno is not negative")?;
                self.send_error = Some(errno).filter(|errno| *errno != 0);
            }
            "counter" => {
                let host = self.host(word(&mut words)?)?;
                let digits = word(&mut words)?.trim_start_matches("0x");
                let counter =
                    u64::from_str_radix(digits, 16).map_err(|_| format!("{digits} is not a hex number"))?;
                let _ = self.node.set_counter(host, counter);
            }
            "dump" => self.dump(),
            "sendad" => {
                let named = words.next().map(|name| self.host(name)).transpose()?;
                let hosts: Vec<HostId> =
                    named.map_or_else(|| self.hosts.values().copied().collect(), |host| [host].into());
                for host in hosts {
                    let _ = self.node.advertise(self.now, host);
                }
            }
            "rand" | "ipid" => {}
            other => {
                return Err(format!(
                    "{other:?} is no command; see the documentation of carp_fsm::sim::script"
                ));
            }
        }
        Ok(())
    }

    fn report_interface(&mut self) {
        // `carp_sc_state` treats it as an interface that is down; elsewhere only `carp_proto_input` asks.
        let stopped = self.dialect == Dialect::FreeBsd && !self.allow;
        let usable = self.carrier && self.interface_up && !stopped;
        self.interface.link = if usable { LinkState::Up } else { LinkState::Down };
        self.node.handle_interface(self.now, SEGMENT, self.interface);
    }

    fn set(&mut self, words: SplitWhitespace<'_>) -> Result<(), String> {
        let words: Vec<&str> = words.collect();
        let name = *words.first().ok_or("set needs vhid=N or carpN")?;
        let host = match self.hosts.get(name) {
            Some(host) => *host,
            None => self.insert(name, &words)?,
        };
        let mut state = None;
        let mut config = self.config(host)?;
        for setting in words.iter().skip(usize::from(!name.contains('='))) {
            match setting.split_once('=') {
                Some(("vhid", _)) => {}
                Some(("advbase", value)) => config.advbase = AdvBase::new(byte(value)?),
                Some(("advskew", value)) => config.advskew = AdvSkew::new(byte(value)?),
                Some(("pass", value)) => config.key = key(value),
                Some(("state", "backup")) => state = Some(State::Backup),
                Some(("state", "master")) => state = Some(State::Master),
                _ => {
                    return Err(format!(
                        "{setting:?} is no setting; use advbase, advskew, pass, state=backup|master"
                    ));
                }
            }
        }
        self.node
            .reconfigure(self.now, host, config)
            .map_err(|error| format!("{error}"))?;
        if let Some(state) = state {
            let _ = self.node.force_state(self.now, host, state);
        }
        Ok(())
    }

    fn insert(&mut self, name: &str, words: &[&str]) -> Result<HostId, String> {
        let vhid = words.iter().find_map(|word| word.strip_prefix("vhid="));
        let vhid = byte(vhid.ok_or("a new virtual host needs vhid=N")?)?;
        let vhid = Vhid::new(vhid).ok_or("a vhid is 1 to 255")?;
        let mut config = HostConfig::new(SEGMENT, vhid, key(""));
        config.dialect = self.dialect;
        config.mode = LinkMode::Vmac;
        config.preempt = self.preempt;
        let host = self
            .node
            .insert(self.now, config)
            .map_err(|error| format!("{error}"))?;
        self.hosts.insert(name.to_owned(), host);
        Ok(host)
    }

    fn change_addresses(&mut self, mut words: SplitWhitespace<'_>, add: bool) -> Result<(), String> {
        let host = self.host(word(&mut words)?)?;
        for text in words {
            let changed = address(text)?;
            let config = self.config(host)?;
            // An OpenBSD carp interface takes a link-local address together with the first of IPv6.
            if add && self.dialect == Dialect::OpenBsd && changed.is_ipv6() && !config.addresses.has_ipv6() {
                let vhid = u16::from(config.vhid.get());
                let own = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x200, 0x5eff, 0xfe00, 0x100 | vhid);
                self.reconfigure(host, |config| {
                    let _ = config.addresses.insert(own.into());
                })?;
            }
            let mut result = Ok(true);
            self.reconfigure(host, |config| {
                if add {
                    result = config.addresses.insert(changed);
                } else {
                    config.addresses.remove(&changed);
                }
            })?;
            result.map_err(|error| format!("{changed}: {error}"))?;
        }
        Ok(())
    }

    fn config(&self, host: HostId) -> Result<HostConfig<ADDRS>, String> {
        self.node
            .config(host)
            .cloned()
            .ok_or_else(|| format!("{host} is gone"))
    }

    fn reconfigure(
        &mut self,
        host: HostId,
        change: impl FnOnce(&mut HostConfig<ADDRS>),
    ) -> Result<(), String> {
        let mut config = self.config(host)?;
        config.preempt = self.preempt;
        change(&mut config);
        self.node
            .reconfigure(self.now, host, config)
            .map_err(|error| format!("{error}"))
    }

    /// `vhid=N`, `N` or `carpN`.
    fn host(&self, name: &str) -> Result<HostId, String> {
        let long = format!("vhid={name}");
        let host = self.hosts.get(name).or_else(|| self.hosts.get(&long));
        host.copied()
            .ok_or_else(|| format!("{name} is not set yet; `set` it first"))
    }

    fn demote(&mut self, change: i64) -> Result<(), String> {
        self.demotion = self.demotion.saturating_add(change);
        let weight = u16::try_from(self.demotion.max(0)).unwrap_or(u16::MAX);
        let done = self.node.demote(self.now, GROUP, Cause::Operator, weight);
        done.map_err(|error| format!("{error}"))
    }

    fn receive(&mut self, class: &FrameClass<'_>) {
        if let FrameClass::Carp { meta, payload } = class {
            if !self.allow {
                self.tell(ScriptEventKind::Received {
                    result: "not allowed",
                });
                return;
            }
            let result = match self.node.handle_packet(self.now, SEGMENT, meta, payload) {
                Ok(_) => "accepted",
                Err(rejection) => rejection.counter(),
            };
            self.tell(ScriptEventKind::Received { result });
        }
    }

    pub(super) fn drain(&mut self) {
        let mut frame = [0; MAX_FRAME_LEN];
        loop {
            while let Some(event) = self.node.poll_event() {
                if let EventKind::Transition {
                    host,
                    from,
                    to,
                    reason,
                    ..
                } = event.kind
                {
                    let (who, reason) = (self.name(host), self.in_words(reason));
                    self.tell(ScriptEventKind::State {
                        who,
                        from,
                        to,
                        reason,
                    });
                }
            }
            let Some(action) = self.node.poll_action(self.now, &mut frame) else {
                return;
            };
            match action {
                Action::SetOwner { host, seq, .. } => {
                    self.node.handle_owner_result(self.now, host, seq, Ok(()));
                }
                Action::Transmit { kind, len, tx, .. } => {
                    let frame = frame.get(..len).unwrap_or_default();
                    let ipv4 = frame
                        .get(12..14)
                        .is_some_and(|kind| kind == [0x08, 0x00] || kind == [0x08, 0x06]);
                    let what = match (kind, ipv4) {
                        (TransmitKind::Announcement, true) => "garp",
                        (TransmitKind::Announcement, false) => "na",
                        (_, true) => "ad4",
                        (_, false) => "ad6",
                    };
                    let (told, result) = if let Some(errno) = self.send_error {
                        (ScriptEventKind::SendError { errno }, TransmitResult::Error)
                    } else {
                        let frame = frame.to_owned();
                        (ScriptEventKind::Sent { what, frame }, TransmitResult::Sent)
                    };
                    self.tell(told);
                    self.node.handle_transmit_result(self.now, tx, result);
                }
            }
        }
    }

    fn dump(&mut self) {
        for host in self.hosts.values().copied().collect::<Vec<_>>() {
            if let (Some(status), Ok(config)) = (self.node.status(host), self.config(host)) {
                let who = self.name(host);
                self.tell(ScriptEventKind::Dump {
                    who,
                    state: status.state,
                    advbase: config.advbase.get(),
                    advskew: config.advskew.get(),
                    demotion: status.demotion,
                });
            }
        }
    }

    fn name(&self, host: HostId) -> String {
        let vhid = self.node.config(host).map_or(0, |config| config.vhid.get());
        let named = self
            .hosts
            .iter()
            .find(|(name, id)| **id == host && name.starts_with("carp"));
        format!("{vhid}@{}", named.map_or("em0", |(name, _)| name))
    }

    fn in_words(&self, reason: Reason) -> Option<String> {
        let words = match reason {
            _ if self.dialect == Dialect::OpenBsd => return None,
            Reason::UserRequested => "user requested via ifconfig".to_owned(),
            Reason::Stopped(InitReason::AddressesChanged) => "hardware interface up".to_owned(),
            reason => format!("{reason}"),
        };
        Some(words)
    }

    fn tell(&mut self, kind: ScriptEventKind) {
        self.events.push(ScriptEvent { at: self.now, kind });
    }
}

fn word<'a>(words: &mut SplitWhitespace<'a>) -> Result<&'a str, String> {
    words
        .next()
        .ok_or_else(|| "a word is missing at the end".to_owned())
}

fn is_up(word: &str) -> Result<bool, String> {
    match word {
        "up" => Ok(true),
        "down" => Ok(false),
        other => Err(format!("{other:?}: use up or down")),
    }
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

fn byte(text: &str) -> Result<u8, String> {
    text.parse()
        .map_err(|_| format!("{text:?}: use a number from 0 to 255"))
}

/// At most 19 characters count, as with `ifconfig`.
fn key(password: &str) -> Key {
    let mut bytes = [0; 20];
    for (to, from) in bytes.iter_mut().zip(password.bytes().take(19)) {
        *to = from;
    }
    Key::from_bytes(bytes)
}

/// Without prefix length and zone.
fn address(text: &str) -> Result<IpAddr, String> {
    let bare = text.split(['/', '%']).next().unwrap_or_default();
    bare.parse().map_err(|_| format!("{text:?} is not an address"))
}

fn hex(digits: &str) -> Result<Vec<u8>, String> {
    let nibble = |digit: char| digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
    let nibbles: Option<Vec<u8>> = digits.chars().map(nibble).collect();
    let nibbles = nibbles.filter(|nibbles| nibbles.len().is_multiple_of(2));
    let nibbles = nibbles.ok_or_else(|| "not an even number of hex digits".to_owned())?;
    Ok(nibbles
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble))
        .collect())
}
