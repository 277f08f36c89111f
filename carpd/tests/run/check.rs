//! `carpd check` against the addresses of real interfaces.

use crate::network::Network;
use crate::text;

/// Checks a file for the interface `here`, which has 192.0.2.2/24: exit code, standard output and error.
fn check(network: &Network, lines: &str) -> (Option<i32>, String, String) {
    let file = network.dir.write(
        "carpd.toml",
        &format!("[[vhid]]\ninterface = \"here\"\nvhid = 7\n{lines}\n"),
    );
    let output = network.carpd(&["check", &file]).output().expect("carpd starts");
    let short = |bytes| text(bytes).replace(&file, "FILE");
    (output.status.code(), short(&output.stdout), short(&output.stderr))
}

#[test]
fn addresses_are_compared_with_those_of_the_interface() {
    let Some(network) = Network::new("check") else {
        return;
    };
    let good = || "FILE: ok, 1 virtual host\n".to_owned();
    let password = "password = \"opensesame\"";
    assert_eq!(
        check(&network, &format!("addresses = [\"192.0.2.10/24\"]\n{password}")),
        (Some(0), good(), String::new())
    );
    assert_eq!(
        check(&network, &format!("addresses = [\"192.0.2.10/25\"]\n{password}")),
        (
            Some(0),
            good(),
            "FILE:4: warning: 192.0.2.10 has /25 here, but here has 192.0.2.2/24; write 192.0.2.10/24\n"
                .into()
        )
    );
    assert_eq!(
        check(&network, "addresses = [\"192.0.2.10/24\"]\npassword = \"\""),
        (
            Some(0),
            good(),
            "FILE:5: warning: the password is empty: anybody on the network can become master; write one unless the \
             peers have none too\n"
                .into()
        )
    );
    assert_eq!(
        check(&network, &format!("addresses = [\"198.51.100.1/24\"]\n{password}")),
        (
            Some(1),
            String::new(),
            "FILE:4: 198.51.100.1 is in no network of here (192.0.2.2/24); write one that is, or allow_off_subnet = \
             true\n"
                .into()
        )
    );
    let (code, _, err) = check(&network, &format!("addresses = [\"192.0.2.2/24\"]\n{password}"));
    let own = "FILE:4: warning: here has no IPv4 address of its own there but 192.0.2.2, which is to be virtual, so that a \
               backup cannot talk to the network of 192.0.2.2; give it one\n";
    assert_eq!((code, err.as_str()), (Some(0), own));
    network.ip(&["address", "flush", "dev", "here"]);
    let (code, out, err) = check(&network, &format!("addresses = [\"192.0.2.10/24\"]\n{password}"));
    assert_eq!((code, out), (Some(0), good()));
    assert!(
        err.starts_with("FILE:4: warning: here has no IPv4 address of its own there, "),
        "{err}"
    );
}
