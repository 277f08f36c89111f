//! What the tests of the operator's commands share.

use std::thread;
use std::time::Duration;

use crate::network::Network;
use crate::text;

/// The outcome of a command: exit code, standard output and error.
pub(crate) fn ask(network: &Network, interface: &str, args: &[&str]) -> (i32, String, String) {
    let output = network.ask(interface, args);
    let code = output.status.code().expect("no signal");
    (code, text(&output.stdout).into(), text(&output.stderr).into())
}

pub(crate) fn done(text: &str) -> (i32, String, String) {
    (0, format!("{text}\n"), String::new())
}

pub(crate) fn refused(text: &str) -> (i32, String, String) {
    (1, String::new(), format!("carpd: {text}\n"))
}

pub(crate) fn state(network: &Network, interface: &str) -> String {
    network.json(interface)["virtual_hosts"][0]["state"]
        .as_str()
        .expect("a state")
        .to_owned()
}

pub(crate) fn wait_for_state(network: &Network, interface: &str, wanted: &str) {
    for _ in 0..1000 {
        if state(network, interface) == wanted {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{interface} does not become {wanted}");
}

/// A better and a worse node, both running, the better one MASTER.
macro_rules! pair {
    ($network:ident, $name:literal => $better:ident, $other:ident) => {
        let Some($network) = Network::new($name) else {
            return;
        };
        let $better = $network.start("here", "preempt = true\n");
        let $other = $network.start("there", "advskew = 100\npreempt = true\n");
        $better.wait_for("BACKUP -> MASTER");
        $other.wait_for("INIT -> BACKUP");
    };
}
pub(crate) use pair;
