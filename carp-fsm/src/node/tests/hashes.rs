//! What two nodes differ in if they feed a hash differently, for model checkers.

use std::hash::{DefaultHasher, Hasher as _};

use super::*;

fn hash(node: &Node<'_, 4>, now: Instant) -> u64 {
    let mut state = DefaultHasher::new();
    node.hash_election(now, &mut state);
    state.finish()
}

/// Does it matter that a MASTER heard a worse one, which leaves its machine as it was?
fn hearing_matters(ifaces: &[IfaceId]) -> bool {
    let mut bench = Bench::with_storage(Policy::KERNEL, Storage::growing());
    for (iface, number) in ifaces.iter().zip([7, 8]) {
        bench.link(*iface, LinkState::Up);
        bench.insert(HostConfig {
            iface: *iface,
            ..config(number)
        });
    }
    bench.run_for(Duration::from_secs(4));
    let mut copy = bench.node.fork().unwrap();
    copy.handle_packet(bench.now, ETH0, &from_peer(), &advertisement(1, 200))
        .unwrap();
    hash(&copy, bench.now) != hash(&bench.node, bench.now)
}

#[test]
fn who_was_heard_matters_where_a_group_may_be_split() {
    assert!(hearing_matters(&[ETH0, ETH1]));
    assert!(!hearing_matters(&[ETH0, ETH0]));
}

#[test]
fn when_it_was_heard_matters_if_that_is_before_or_after_the_last_change() {
    let hashes = [0, 1].map(|later| {
        let mut bench = Bench::with_storage(Policy::KERNEL, Storage::growing());
        bench.link(ETH1, LinkState::Up);
        let host = bench.insert(config(7));
        bench.insert(HostConfig {
            iface: ETH1,
            ..config(8)
        });
        // Both become MASTER now, which is the last change.
        bench.run_for(Duration::from_micros(3_390_625));
        assert_eq!(bench.state(host), State::Master);
        bench.now = bench.now + Duration::from_micros(later);
        bench.hear(&advertisement(1, 200)).unwrap();
        bench.now = bench.now + Duration::from_micros(1 - later);
        hash(&bench.node, bench.now)
    });
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn what_was_in_force_before_matters_while_it_is_believed() {
    let key = |password: &str| Key::from_passphrase(password.as_bytes()).unwrap();
    let [mut one, mut two] = ["one", "two"].map(|password| {
        let mut bench = Bench::with_storage(Policy::HARDENED, Storage::growing());
        let config = HostConfig {
            key: key(password),
            ..config(7)
        };
        let host = bench.insert(config.clone());
        let config = HostConfig {
            key: key("new"),
            ..config
        };
        bench.node.reconfigure(bench.now, host, config).unwrap();
        bench
    });
    assert_ne!(hash(&one.node, one.now), hash(&two.node, two.now));
    for bench in [&mut one, &mut two] {
        bench.run_for(Policy::HARDENED.change_grace);
    }
    assert_eq!(hash(&one.node, one.now), hash(&two.node, two.now));
}
