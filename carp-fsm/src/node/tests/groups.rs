//! Groups of virtual hosts on two interfaces, one node by itself.

use super::*;

impl Bench {
    fn hear_on(&mut self, iface: IfaceId, base: u8, skew: u8) {
        let payload = advertisement(base, skew);
        let heard = self.node.handle_packet(self.now, iface, &from_peer(), &payload);
        heard.unwrap();
        self.wake();
    }
}

#[test]
fn a_group_follows_as_soon_as_a_worse_master_is_preempted_after_a_tie() {
    let mut bench = Bench::new(Policy::HARDENED);
    bench.link(ETH1, LinkState::Up);
    let [wan, lan] = [ETH0, ETH1].map(|iface| {
        bench.insert(HostConfig {
            iface,
            preempt: true,
            ..config(7)
        })
    });
    bench.run_for(Duration::from_secs(4));
    bench.hear_on(ETH1, 1, 50);
    bench.hear_on(ETH0, 1, 100);
    assert_eq!([bench.state(wan), bench.state(lan)], [State::Backup; 2]);
    bench.run_for(Duration::from_millis(500));
    bench.hear_on(ETH1, 1, 50);
    let last = bench.now;
    bench.run_for(Duration::from_millis(100));
    // Not at once: the equal has heard it as well.
    bench.hear_on(ETH0, 1, 240);
    assert_eq!(bench.state(wan), State::Backup);
    bench.forget();
    while bench.state(wan) == State::Backup {
        bench.run_to_deadline();
    }
    let moved = bench.now;
    while bench.state(lan) == State::Backup {
        bench.run_to_deadline();
    }
    assert_eq!(
        bench.reasons(),
        [Reason::PreemptingSlowerMaster, Reason::FollowingGroup]
    );
    // 1/50, 1/16 of it, and the turn of 100.
    let overdue = last + Duration::from_micros(1_195_312 + 1_195_312 / 16 + 24_414);
    assert_eq!(bench.now, overdue.max(moved));
}
