//! The lines that are written by hand.

use std::str::FromStr;

use carp_fsm::{
    Cause, Duration, HostConfig, Instant, InterfaceInfo, LinkMode, LinkState, Peer, Policy, Profile, State,
    TransmitResult,
};
use carp_proto::{AddressSet, AdvBase, AdvSkew, Dialect, Key, MacAddr, Vhid};

use super::bench::{ADDRS, Bench, ETH0, ETH1, GROUP, Heard, OWN_IPV4, OWN_IPV6};

/// Unless `key=` says otherwise.
const PASSWORD: &str = "secret";

type Result<T> = std::result::Result<T, String>;

/// A transcript being performed.
#[derive(Default)]
pub(super) struct Script {
    bench: Option<Bench>,
    now: Instant,
}

impl Script {
    /// What happens by itself before this line.
    pub(super) fn before(&mut self, line: &str) -> Result<Vec<String>> {
        let Some((at, command)) = timed(line)? else {
            return Ok(Vec::new());
        };
        if at < self.now {
            return Err("time goes backwards; sort the lines".into());
        }
        self.now = at;
        let bench = self.bench.as_mut().ok_or("the first line must be `host ..`")?;
        // What is due at that very moment comes after the command, except at the end.
        bench.run_until(at, command == "end");
        Ok(bench.take())
    }

    /// What follows from this line.
    pub(super) fn obey(&mut self, line: &str) -> Result<Vec<String>> {
        if let Some((at, command)) = timed(line)? {
            let bench = self.bench.as_mut().ok_or("the first line must be `host ..`")?;
            command_of(bench, at, command)?;
            bench.drain();
            return Ok(bench.take());
        }
        if let Some(settings) = line.strip_prefix("host ") {
            let (policy, config) = host(settings)?;
            let mut bench = Bench::new(policy, config)?;
            bench.shows_counters = settings.contains("show=counters");
            if settings.contains("show=key") {
                bench.passwords.push(PASSWORD.to_owned());
            }
            if settings.contains("other=43") {
                bench.insert_other()?;
            }
            let lines = bench.take();
            self.bench = Some(bench);
            return Ok(lines);
        }
        let comment = line.trim().is_empty() || line.starts_with('#');
        if comment {
            Ok(Vec::new())
        } else {
            Err("neither a time nor `host` nor a comment".into())
        }
    }
}

/// `3.5 hear 1/0`
fn timed(line: &str) -> Result<Option<(Instant, &str)>> {
    if !line.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(None);
    }
    let (seconds, command) = line.split_once(' ').ok_or("a time without a command")?;
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let micros = format!("{fraction:0<6}");
    let micros = parse::<u64>(whole)? * 1_000_000 + parse::<u64>(&micros)?;
    Ok(Some((Instant::from_micros(micros), command.trim())))
}

fn command_of(bench: &mut Bench, now: Instant, line: &str) -> Result<()> {
    bench.now = now;
    let words: Vec<&str> = line.split_whitespace().collect();
    let (node, host) = (&mut bench.node, bench.host);
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    match words[..] {
        ["end" | "note", ..] => {}
        ["interface", link] => node.handle_interface(now, ETH0, interface(link)?),
        ["other-interface", link] => node.handle_interface(now, ETH1, interface(link)?),
        ["hear", what, ref rest @ ..] => {
            let heard = heard(what, rest)?;
            bench.hear(&heard)?;
        }
        ["other-hear", what, ref rest @ ..] => {
            let mut heard = heard(what, rest)?;
            heard.other = true;
            bench.hear(&heard)?;
        }
        ["peers", "only", ref list @ ..] => bench.set_peers(false, &peers(list)?)?,
        ["peers", ref list @ ..] => bench.set_peers(true, &peers(list)?)?,
        ["loop"] => bench.hear_again(true, None)?,
        ["loop", interval] => bench.hear_again(true, Some(base_and_skew(interval)?))?,
        ["again"] => bench.hear_again(false, None)?,
        ["again", interval] => bench.hear_again(false, Some(base_and_skew(interval)?))?,
        ["packet", digits] => bench.receive(&hex(digits)?),
        ["demote", weight] => {
            node.demote(now, GROUP, Cause::Operator, parse(weight)?)
                .map_err(|e| failed(&e))?;
        }
        ["clear"] => node.clear(now, GROUP, Cause::Operator).map_err(|e| failed(&e))?,
        ["clear", "all", ref force @ ..] => {
            if let Err(error) = node.clear_all(now, GROUP, *force == ["by", "force"]) {
                bench.tell(&format!("refused: {error}"));
            }
        }
        ["ready"] => node.handle_ready(now),
        ["maintenance", state] => node.set_maintenance(now, state == "on"),
        ["disable"] => node.set_enabled(now, host, false).map_err(|e| failed(&e))?,
        ["enable"] => node.set_enabled(now, host, true).map_err(|e| failed(&e))?,
        ["hand-over"] => node.hand_over(now, host).map_err(|e| failed(&e))?,
        ["remove"] => node.remove(now, host).map_err(|e| failed(&e))?,
        ["shutdown"] => node.shutdown(now),
        ["force", state] => {
            let state = if state == "master" {
                State::Master
            } else {
                State::Backup
            };
            node.force_state(now, host, state).map_err(|e| failed(&e))?;
        }
        ["taken-away"] => node.handle_taken_away(now, host),
        ["reconfigure", ref settings @ ..] => {
            let mut config = node.config(host).ok_or("it was removed")?.clone();
            settings
                .iter()
                .try_for_each(|setting| set(&mut config, setting))?;
            bench.peer = config.clone();
            let passwords = settings.iter().filter_map(|setting| setting.strip_prefix("key="));
            if !bench.passwords.is_empty() {
                bench.passwords.extend(passwords.map(str::to_owned));
            }
            node.reconfigure(now, host, config).map_err(|e| failed(&e))?;
        }
        ["sending", "works"] => {
            bench.sending = TransmitResult::Sent;
            bench.unreachable.clear();
        }
        ["sending", "fails", "to", ref list @ ..] => {
            bench.unreachable = list.iter().map(|address| parse(address)).collect::<Result<_>>()?;
        }
        ["sending", "fails"] => bench.sending = TransmitResult::Error,
        ["sending", "busy"] => bench.sending = TransmitResult::Busy,
        ["addresses", state] => bench.refuses = state == "refused",
        ["sleep"] => bench.asleep = true,
        ["wake"] => node.handle_timeout(now),
        ["drained"] => {
            bench.asleep = false;
            node.handle_drained(now);
        }
        _ => {
            return Err(format!(
                "{line:?} is no command; see README.md beside the transcripts"
            ));
        }
    }
    Ok(())
}

fn interface(link: &str) -> Result<InterfaceInfo> {
    let link = match link {
        "up" => LinkState::Up,
        "down" => LinkState::Down,
        "unknown" => LinkState::Unknown,
        other => return Err(format!("{other}: up, down or unknown")),
    };
    Ok(InterfaceInfo {
        mac: MacAddr([2, 0, 0, 0, 0, 5]),
        ipv4: Some(OWN_IPV4),
        ipv6: Some(OWN_IPV6),
        link,
    })
}

fn heard(what: &str, rest: &[&str]) -> Result<Heard> {
    let mut heard = Heard::new(base_and_skew(what)?);
    for setting in rest {
        match setting.split_once('=') {
            None if *setting == "ipv6" => heard.ipv6 = true,
            None if *setting == "unicast" => heard.unicast = true,
            Some(("demoted", value)) => heard.demotion = parse(value)?,
            Some(("from", value)) => heard.from = parse(value)?,
            Some(("counter", value)) => heard.counter = Some(counter(value)?),
            Some(("as", value)) => heard.dialect = Some(value.parse().map_err(|_| "no such dialect")?),
            Some(("ttl", value)) => heard.ttl = parse(value)?,
            Some(("key", value)) => heard.key = Some(key(value)?),
            Some(("vhid", value)) => heard.vhid = Vhid::new(parse(value)?),
            Some(("addresses", list)) => heard.addresses = Some(addresses(list)?),
            _ => {
                return Err(format!(
                    "{setting:?}: demoted=, from=, counter=, as=, ttl=, key=, vhid=, addresses=, ipv6 or unicast"
                ));
            }
        }
    }
    Ok(heard)
}

fn host(settings: &str) -> Result<(Policy, HostConfig<ADDRS>)> {
    let mut policy = Policy::HARDENED;
    let vhid = Vhid::new(42).expect("not 0");
    let mut config = HostConfig::new(ETH0, vhid, key(PASSWORD)?);
    config.mode = LinkMode::Vmac;
    config.addresses.insert([192, 0, 2, 42].into()).expect("room");
    for setting in settings.split_whitespace() {
        match setting.split_once('=') {
            Some(("policy", "kernel")) => policy = Policy::KERNEL,
            Some(("policy", "hardened")) => policy = Policy::HARDENED,
            // In units of the dialect: FreeBSD's factors are 240, the others count.
            Some(("factor", value)) => {
                policy.senderr_demotion_factor = parse(value)?;
                policy.ifdown_demotion_factor = parse(value)?;
            }
            Some(("not-ready", value)) => policy.not_ready_demotion_factor = parse(value)?,
            Some(("burst", value)) => policy.announce_burst = parse(value)?,
            Some(("refresh", seconds)) => policy.announce_refresh = Duration::from_secs(parse(seconds)?),
            // So many at once, and then so many in every window of 10 ms.
            Some(("frames", value)) => policy.announce_frames = parse(value)?,
            Some(("show", "counters" | "key") | ("other", "43")) => {}
            _ => set(&mut config, setting)?,
        }
    }
    Ok((policy, config))
}

fn set(config: &mut HostConfig<ADDRS>, setting: &str) -> Result<()> {
    match setting.split_once('=') {
        Some(("dialect", name)) => {
            config.dialect = name.parse::<Dialect>().map_err(|error| error.to_string())?;
        }
        Some(("base", base)) => config.advbase = AdvBase::new(parse(base)?),
        Some(("skew", skew)) => config.advskew = AdvSkew::new(parse(skew)?),
        // 0: not that profile.
        Some(("fast", ratio)) => {
            let ratio: u8 = parse(ratio)?;
            config.profile = if ratio == 0 {
                Profile::Normal
            } else {
                Profile::fast(ratio)
            };
        }
        Some(("preempt", on)) => config.preempt = on == "on",
        Some(("peers-repeat-counter", on)) => config.peers_repeat_counter = on == "on",
        Some(("preempt-delay", seconds)) => config.preempt_delay = Duration::from_secs(parse(seconds)?),
        Some(("mode", "vmac")) => config.mode = LinkMode::Vmac,
        Some(("mode", "plain")) => config.mode = LinkMode::Plain,
        Some(("key", password)) => config.key = key(password)?,
        Some(("addresses", list)) => config.addresses = addresses(list)?,
        _ => {
            return Err(format!(
                "{setting:?} is no setting; see README.md beside the transcripts"
            ));
        }
    }
    Ok(())
}

/// `10.0.0.9`, or `10.0.0.9/250`, which is heard at that TTL or a higher one.
fn peers(list: &[&str]) -> Result<Vec<Peer>> {
    let peer = |text: &&str| {
        let (address, ttl) = text.split_once('/').unwrap_or((text, "255"));
        Ok(Peer {
            address: parse(address)?,
            min_ttl: parse(ttl)?,
        })
    };
    list.iter().map(peer).collect()
}

fn addresses(list: &str) -> Result<AddressSet<ADDRS>> {
    let mut set = AddressSet::new();
    for address in list.split(',').filter(|word| *word != "none") {
        set.insert(parse(address)?).map_err(|error| error.to_string())?;
    }
    Ok(set)
}

fn key(password: &str) -> Result<Key> {
    Key::from_passphrase(password.as_bytes()).map_err(|error| error.to_string())
}

/// `1/100`, or `bow-out`.
fn base_and_skew(text: &str) -> Result<(u8, u8)> {
    if text == "bow-out" {
        return Ok((255, 255));
    }
    let (base, skew) = text.split_once('/').ok_or("advbase/advskew or bow-out")?;
    Ok((parse(base)?, parse(skew)?))
}

fn counter(digits: &str) -> Result<u64> {
    u64::from_str_radix(digits, 16).map_err(|_| format!("{digits} is not a hex number"))
}

fn hex(digits: &str) -> Result<Vec<u8>> {
    let pairs = (0..digits.len()).step_by(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    bytes.ok_or_else(|| "not an even number of hex digits".into())
}

fn parse<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| format!("{text:?} cannot be read"))
}
