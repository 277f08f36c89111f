//! `encode` and `decode`, the examples of carp-proto, as somebody would use them from a shell.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

/// Runs an example with a line of options, in which `''` is an empty word, and something on standard input.
fn run(example: &str, options: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--package",
            "carp-proto",
            "--example",
            example,
            "--",
        ])
        .args(
            options
                .split_whitespace()
                .map(|word| if word == "''" { "" } else { word }),
        )
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn printed(example: &str, options: &str, input: &str) -> String {
    let output = run(example, options, input);
    assert!(
        output.status.success(),
        "{example} {options}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn vectors(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("vectors/wire")
        .join(file);
    let document: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    document["vectors"].as_array().unwrap().clone()
}

fn text<'a>(name: &str, key: &str, vectors: &'a [Value]) -> &'a str {
    vectors
        .iter()
        .find(|vector| vector["name"] == name)
        .and_then(|vector| vector[key].as_str())
        .unwrap()
}

#[test]
fn encode_prints_the_frame_that_a_kernel_sends() {
    let vectors = vectors("packets.json");
    let counter = "--counter-hex 0102030405060708";
    for (name, options) in [
        (
            "real_freebsd_capture",
            "--vhid 1 --address 192.168.88.44/24 --password pass123 --source 192.168.88.100 \
             --counter-hex d8eb03f64aa49bd2",
        ),
        (
            "openbsd_bow_out",
            "--vhid 42 --address 10.0.0.1/24 --key-hex 7333637265740000000000000000000000000000 --source 10.0.0.2 \
             --dialect openbsd --advbase 255 --advskew 255",
        ),
        (
            "freebsd_demoted_240",
            "--vhid 42 --address 10.0.0.1/24 --password s3cret --source 10.0.0.2 --advskew 240 \
             --source-mac 00:00:5e:00:01:2a",
        ),
        (
            "openbsd_custom_lladdr",
            "--vhid 42 --address 10.0.0.1/24 --password s3cret --source 10.0.0.2 --dialect openbsd \
             --source-mac 02:aa:bb:cc:dd:ee",
        ),
        (
            "freebsd_unicast_peer",
            "--vhid 42 --address 192.0.2.1/24 --password s3cret --source 198.51.100.2 --unicast \
             --destination 198.51.100.130 --destination-mac 02:00:00:00:00:01 --source-mac 02:00:00:00:00:0a",
        ),
        (
            "v4_empty_password",
            "--vhid 7 --address 172.16.0.1/24 --password '' --source 172.16.0.9 --dialect openbsd \
             --counter-hex 0000000000000000",
        ),
        (
            "v6_single_global_netbsd",
            "--vhid 42 --address 2001:db8::1/64 --password s3cret --source fe80::1 --dialect netbsd",
        ),
    ] {
        let options = if options.contains("counter") {
            options.into()
        } else {
            format!("{options} {counter}")
        };
        // The identification is random on OpenBSD; from the advertisement on there is no chance.
        let start = if options.contains("openbsd") { 68 } else { 0 };
        let frame = printed("encode", &options, "");
        let expected = text(name, "ether_frame_hex", &vectors);
        assert_eq!(frame[..28], expected[..28], "{name}");
        assert_eq!(frame.trim_end()[start..], expected[start..], "{name}");
        let packet = printed("encode", &format!("{options} --link ip"), "");
        assert_eq!(packet, frame[28..], "{name}");
    }
}

#[test]
fn decode_ends_each_line_with_the_verdict() {
    let vectors = vectors("packets.json");
    let names = [
        ("v4_single_basic", "accepted", "accepted"),
        ("neg_ttl254", "badttl", "badttl"),
        ("neg_checksum", "badsum", "badsum"),
        ("neg_hmac", "badauth", "badauth"),
        ("neg_vhid_unknown", "badvhid", "badvhid"),
        ("neg_short", "badlen", "badlen"),
        ("neg_version3", "badver", "badver"),
        ("odd_type2", "accepted", "accepted"),
        ("odd_trailing", "badsum", "accepted"),
        ("neg_vrrpv2", "badlen", "badlen"),
    ];
    let packets: Vec<_> = names
        .iter()
        .map(|(name, ..)| text(name, "ip_packet_hex", &vectors))
        .collect();
    let input = format!("# packets\n\n{}\n", packets.join("\n"));
    let options = "--link ip --vhid 1 --address 192.168.1.10/24 --password mekmitasdigoat";
    for (dialect, column) in [("freebsd", 1), ("openbsd", 2), ("netbsd", 2), ("ucarp", 2)] {
        let lines = printed("decode", &format!("{options} --dialect {dialect}"), &input);
        assert_eq!(lines.lines().count(), names.len());
        for (line, (name, freebsd, others)) in lines.lines().zip(names) {
            let expected = if column == 1 { freebsd } else { others };
            assert_eq!(
                line.split(' ').next_back(),
                Some(expected),
                "{name} by {dialect}: {line}"
            );
        }
    }

    let frame = text("v4_single_basic", "ether_frame_hex", &vectors);
    let line = printed(
        "decode",
        "--address 192.168.1.10/24 --password mekmitasdigoat",
        frame,
    );
    assert_eq!(
        line.trim_end(),
        "192.168.1.2 > 224.0.0.18 ttl=255 version=2 type=1 vhid=1 advbase=1 advskew=0 authlen=7 demotion=0 checksum=50e2 \
         counter=0102030405060708 digest=17b1efdbf04c5b67a2d4c6deec56e5e473ed7ae2 accepted"
    );
    let output = run(
        "decode",
        "--address 192.168.1.10/24 --address 10.9.9.9/24 --password mekmitasdigoat",
        frame,
    );
    assert_eq!(
        output.stderr,
        b"badauth: address list differs: theirs lacks 10.9.9.9\n"
    );
    let routed = text("freebsd_unicast_peer", "ether_frame_hex", &vectors);
    let unicast = "--vhid 42 --address 192.0.2.1/24 --password s3cret --dialect openbsd";
    assert!(printed("decode", unicast, routed).ends_with(" badvhid\n"));
    assert!(printed("decode", &format!("{unicast} --unicast"), routed).ends_with(" accepted\n"));
}

#[test]
fn decode_says_what_the_kernels_said() {
    let vectors = vectors("kernel-accept-reject.json");
    let mut lines = 0;
    for dialect in ["freebsd", "openbsd"] {
        for list in [
            json!(["10.0.0.100/24"]),
            json!(["10.0.0.100/24", "2001:db8::100/64"]),
        ] {
            let of_this = |vector: &&Value| vector["impl"] == dialect && vector["inputs"]["vips"] == list;
            let vectors: Vec<_> = vectors.iter().filter(of_this).collect();
            let packets: Vec<_> = vectors
                .iter()
                .map(|vector| vector["inputs"]["ip_packet_hex"].as_str().unwrap())
                .collect();
            let addresses: Vec<_> = list
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let options = format!(
                "--link ip --dialect {dialect} --vhid 1 --password secret --address {}",
                addresses.join(" --address ")
            );
            let printed = printed("decode", &options, &packets.join("\n"));
            assert_eq!(printed.lines().count(), vectors.len());
            for (line, vector) in printed.lines().zip(&vectors) {
                let expected = match vector["outputs"]["result"].as_str().unwrap() {
                    "ip:tooshort" => "malformed",
                    counter => counter,
                };
                assert_eq!(
                    line.split(' ').next_back(),
                    Some(expected),
                    "{} by {dialect}: {line}",
                    vector["name"]
                );
                lines += 1;
            }
        }
    }
    assert_eq!(lines, vectors.len());
}

#[test]
fn decode_knows_the_mac_that_an_openbsd_host_chose() {
    let vectors = vectors("packets.json");
    let frame = text("openbsd_custom_lladdr", "ether_frame_hex", &vectors);
    let options = "--dialect openbsd --vhid 42 --address 10.0.0.1/24 --password s3cret";
    let same = format!("{options} --source-mac 02:aa:bb:cc:dd:ee");
    assert!(printed("decode", &same, frame).ends_with(" accepted\n"));
    let output = run("decode", options, frame);
    assert!(output.stdout.ends_with(b" badauth\n"));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "badauth: OpenBSD with the link-layer address 02:aa:bb:cc:dd:ee\n"
    );
}

#[test]
fn addresses_are_taken_as_they_are_configured() {
    let vectors = vectors("packets.json");
    let frame = text("v4_single_basic", "ether_frame_hex", &vectors);
    let output = run(
        "decode",
        "--password mekmitasdigoat --address 192.168.1.10/24 --address 0.0.0.0/24",
        frame,
    );
    assert!(output.stdout.ends_with(b" accepted\n"));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "--address 0.0.0.0/24 is left out: 0.0.0.0 cannot be a virtual address: it is unspecified, broadcast or multicast\n"
    );
    let encoded = |address| {
        let options = "--vhid 1 --source fe80::2 --counter-hex 0102030405060708 --address";
        printed("encode", &format!("{options} {address}"), "")
    };
    assert_eq!(encoded("fe80::1%em0/64"), encoded("fe80::1"));
    assert_ne!(encoded("fe80::1%em0/64"), encoded("fe80::3"));
    // On a link without Ethernet there is nothing to say about MAC addresses.
    let unicast =
        "--link ip --vhid 1 --address 10.0.0.1/24 --source 10.0.0.2 --unicast --destination 10.0.0.3";
    assert!(printed("encode", unicast, "").starts_with("45"));
}

#[test]
fn mistakes_are_named() {
    for (example, options, input, message) in [
        ("encode", "--vhid 0", "", "--vhid 0: use 1 to 255"),
        ("encode", "--vhid 1", "", "--source is missing"),
        (
            "encode",
            "--password 12345678901234567890",
            "",
            "has 20 bytes, CARP takes 19",
        ),
        (
            "encode",
            "--address 10.0.0.1/33",
            "",
            "--address 10.0.0.1/33: behind the / must be a number up to 32",
        ),
        ("encode", "--address fe80::1/", "", "must be a number up to 128"),
        ("encode", "--address 10.0.0.1%em0/24", "", "% is for IPv6"),
        (
            "encode",
            "--vhid 1 --source 10.0.0.2 --unicast --destination 10.0.0.3 --destination-mac 02:00:00:00:00:01",
            "",
            "--unicast needs --source-mac: that of the interface",
        ),
        ("encode", "--key-hex 0011", "", "20 bytes are needed, these are 2"),
        (
            "decode",
            "--dialect pfsense",
            "",
            "use freebsd (also for pfSense and OPNsense)",
        ),
        ("decode", "--frobnicate", "", "unknown option --frobnicate"),
        (
            "decode",
            "",
            "abc\n",
            "line 1: an odd number of hexadecimal digits (3)",
        ),
        ("decode", "", "\nzz\n", "line 2: 'z' is no hexadecimal digit"),
    ] {
        let output = run(example, options, input);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains(message),
            "{example} {options}: {stderr}"
        );
    }
}
