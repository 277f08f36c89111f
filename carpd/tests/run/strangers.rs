//! Somebody else has our vhid.

use std::fs;

use crate::network::{Daemon, Network};
use crate::words::ask;

#[test]
fn who_has_another_password_is_named() {
    let Some(network) = Network::new("strangers") else {
        return;
    };
    let file = network.configure("there", "");
    let text = fs::read_to_string(&file).expect("the file");
    fs::write(&file, text.replace("opensesame", "something else")).expect("a file");
    let there = Daemon::start(network.carpd(&["run", "--config", &file]));
    there.wait_for("BACKUP -> MASTER");

    // At the start, before it becomes MASTER itself.
    let here = network.start("here", "");
    let line = here.wait_for("192.0.2.3");
    assert!(
        line.ends_with(
            "carpd: here: 192.0.2.3 has another password, or an address list that has nothing to do with ours (our \
             vhid 7)"
        ),
        "{line}"
    );
    let (_, out, _) = ask(&network, "here", &["status"]);
    assert!(
        out.contains(
            "\nhere@7: 192.0.2.3 has another password, or an address list that has nothing to do with ours ("
        ),
        "{out}"
    );
    let status = network.json("here");
    let neighbour = &status["neighbours"][0];
    assert_eq!(
        (&neighbour["ours"], &neighbour["vhid"]),
        (&true.into(), &7.into()),
        "{status}"
    );
    assert_eq!(status["virtual_hosts"][0]["state"], "BACKUP");
}
