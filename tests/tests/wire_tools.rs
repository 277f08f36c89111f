//! Tools that other people trust agree with what we emit: tcpdump, tshark and scapy. A tool that is not there
//! is named and left out; with `CI=true` the test fails.

use std::io::Write as _;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Command,
};

use carp_proto::{
    AddressSet, AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, Dialect, Envelope,
    HmacVariant, Key, MAX_FRAME_LEN, Vhid,
    frame::{emit_advertisement, emit_gratuitous_arp, emit_unsolicited_na},
};

const COUNTER: u64 = 0x0102_0304_0506_0708;
const VIP4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
const SOURCE4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SOURCE6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

fn vhid() -> Vhid {
    Vhid::new(42).unwrap()
}

fn advertisement() -> Advertisement {
    let addresses = AddressSet::<2>::try_from_iter([VIP4.into(), VIP6.into()]).unwrap();
    let key = Key::from_passphrase(b"s3cret").unwrap();
    let counter = Counter::new(COUNTER);
    Advertisement {
        vhid: vhid(),
        advbase: AdvBase::new(3),
        advskew: AdvSkew::new(100),
        demotion: Demotion::new(7),
        counter,
        digest: Authenticator::new(&key, vhid(), &addresses, HmacVariant::Plain).sign(counter),
    }
}

/// The advertisement, in the family of `source`.
fn frame(source: IpAddr, dialect: Dialect) -> Vec<u8> {
    let envelope = match source {
        IpAddr::V4(source) => Envelope::multicast_v4(vhid(), source, dialect),
        IpAddr::V6(source) => Envelope::multicast_v6(vhid(), source, dialect),
    };
    let mut buffer = [0; MAX_FRAME_LEN];
    let len = emit_advertisement(&advertisement(), &envelope, dialect, &mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn announcements() -> [Vec<u8>; 2] {
    let mut buffer = [0; MAX_FRAME_LEN];
    let mac = vhid().mac();
    let len = emit_gratuitous_arp(mac, mac, VIP4, &mut buffer);
    let arp = buffer[..len].to_vec();
    let len = emit_unsolicited_na(mac, mac, VIP6, true, &mut buffer);
    [arp, buffer[..len].to_vec()]
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A capture file of its own for each test.
fn capture(test: &str, frames: &[Vec<u8>]) -> PathBuf {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend([0; 8]);
    file.extend([0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    for frame in frames {
        let len = u32::try_from(frame.len()).unwrap().to_le_bytes();
        file.extend([0; 8].iter().chain(&len).chain(&len).chain(frame));
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.pcap"));
    fs::write(&path, file).unwrap();
    path
}

/// What the command printed; `None` if there is no such tool, unless in CI.
fn output(command: &mut Command, remedy: &str) -> Option<String> {
    let tool = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{tool}: {stderr}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            leave_out(&format!("{tool}: {error}; {remedy}"));
            None
        }
    }
}

fn leave_out(reason: &str) {
    let in_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!in_ci, "{reason}");
    // Not `eprintln!`: the harness keeps what a passing test prints.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {reason}");
}

#[test]
fn tcpdump_has_no_complaints() {
    let frames = [
        frame(SOURCE4.into(), Dialect::FreeBsd),
        frame(SOURCE6.into(), Dialect::FreeBsd),
        frame(SOURCE4.into(), Dialect::Ucarp),
        frame(SOURCE6.into(), Dialect::NetBsd),
    ];
    let file = capture("tcpdump", &frames);
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.args(["-nn", "-tt", "-vv", "-T", "carp", "-r"]).arg(file);
    let Some(printed) = output(&mut tcpdump, "apt-get install tcpdump") else {
        return;
    };
    // Of an IP header; that of CARP would be a "bad carp cksum".
    assert!(!printed.contains("bad cksum"), "{printed}");
    let lines: Vec<_> = printed
        .lines()
        .filter_map(|line| line.split_once(" > "))
        .map(|(_, line)| line)
        .collect();
    let fields = "CARPv2-advertise 36: vhid=42 advbase=3 advskew=100 authlen=7 ";
    let counter = format!("counter={COUNTER}");
    let (v4, v6) = (
        format!("224.0.0.18: {fields}{counter}"),
        format!("ff02::12: {fields}{counter}"),
    );
    assert_eq!(lines[..3], [&*v4, &*v6, &*v4]);
    // It knows nothing of NetBSD's checksum, which covers the pseudo-header.
    assert!(lines[3].contains("bad carp cksum"), "{}", lines[3]);
    // Ours prints the same, and byte 4, which tcpdump does not.
    assert_eq!(advertisement().to_string(), format!("{fields}{counter} demote=7"));

    let mut tcpdump = Command::new("tcpdump");
    tcpdump
        .args(["-nn", "-tt", "-vv", "-r"])
        .arg(capture("tcpdump-announcements", &announcements()));
    let printed = output(&mut tcpdump, "").unwrap();
    assert!(
        printed.contains("Request who-has 10.0.0.100 tell 10.0.0.100"),
        "{printed}"
    );
    let advertised = "neighbor advertisement, length 32, tgt is 2001:db8::100, Flags [router, override]";
    assert!(
        printed.contains("[icmp6 sum ok]") && printed.contains(advertised),
        "{printed}"
    );
    assert!(
        printed.contains("destination link-address option (2), length 8 (1): 00:00:5e:00:01:2a"),
        "{printed}"
    );
}

#[test]
fn tshark_has_no_complaints() {
    let mut frames = vec![
        frame(SOURCE4.into(), Dialect::OpenBsd),
        frame(SOURCE6.into(), Dialect::OpenBsd),
    ];
    frames.extend(announcements());
    let file = capture("tshark", &frames);
    let fields = [
        "carp.version",
        "carp.type",
        "carp.vhid",
        "carp.advskew",
        "carp.authlen",
        "carp.demotion",
        "carp.adver_int",
        "carp.checksum.status",
        "carp.counter",
        "carp.hmac",
        "ip.checksum.status",
        "icmpv6.checksum.status",
        "_ws.expert.message",
        "_ws.malformed",
    ];
    let mut tshark = Command::new("tshark");
    tshark.args([
        "-d",
        "ip.proto==112,carp",
        "-o",
        "ip.check_checksum:TRUE",
        "-T",
        "fields",
        "-E",
        "separator=|",
    ]);
    tshark
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .arg("-r")
        .arg(file);
    let Some(printed) = output(&mut tshark, "apt-get install tshark") else {
        return;
    };
    let digest = hex(advertisement().digest.as_bytes());
    // A status of 1 is good.
    let carp = format!("2|1|42|100|7|7|3|1|{COUNTER}|{digest}");
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[..2], [format!("{carp}|1|||"), format!("{carp}||||")]);
    // Expert information about the announcements may say that they are gratuitous; not that they are
    // malformed.
    assert!(
        lines[2..]
            .iter()
            .all(|line| line.starts_with("||||||||||") && line.ends_with('|')),
        "{printed}"
    );
    assert_eq!(lines[3].split('|').nth(11), Some("1"), "{printed}");
}

/// scapy dissects CARP in multicast over IPv4 only, and its idea of the digest is not anybody's: only the
/// fields count.
#[test]
fn scapy_agrees_on_the_fields() {
    const SCRIPT: &str = "\
import sys
from scapy.all import Ether, IP, raw
from scapy.contrib.carp import CARP
frame = Ether(bytes.fromhex(sys.argv[1]))
carp = frame[CARP]
fields = [carp.version, carp.type, carp.vhid, carp.advskew, carp.authlen, carp.demotion, carp.advbase]
print(*fields, frame[IP].ttl, f'{carp.counter1:08x}{carp.counter2:08x}', len(raw(carp)))
given = (frame[IP].chksum, carp.chksum)
del frame[IP].chksum, carp.chksum
again = Ether(raw(frame))
print((again[IP].chksum, again[CARP].chksum) == given)
";
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scapy-venv");
    let python = environment.join("bin/python");
    if !environment.join("ready").exists() {
        let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "scapy==2.8.0",
        ];
        if !done(Command::new("python3").args(["-m", "venv"]).arg(&environment)) {
            return leave_out("python3 makes no virtual environment; apt-get install python3-venv");
        }
        if !done(Command::new(&python).args(pip)) {
            return leave_out("pip cannot install scapy 2.8.0");
        }
        fs::write(environment.join("ready"), "").unwrap();
    }
    let frame = frame(SOURCE4.into(), Dialect::FreeBsd);
    let digits = hex(&frame);
    let printed = output(Command::new(&python).args(["-c", SCRIPT, &digits]), "").unwrap();
    assert_eq!(printed, "2 1 42 100 7 7 3 255 0102030405060708 36\nTrue\n");
}
