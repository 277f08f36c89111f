//! What moves a whole group: work for each of its hosts, and no more than that.

use carp_fsm::{
    Action, Cause, Duration, GroupId, IfaceId, Instant, InterfaceInfo, LinkState, Node, State, TransmitResult,
};
use carp_proto::{
    AdvBase, AdvSkew, Advertisement, Authenticator, Counter, Demotion, HmacVariant, Key, MAX_FRAME_LEN,
    MacAddr, Vhid,
};

use crate::node::{INTERFACES, META, addresses, drain, node};

/// What happens to a group.
pub struct Move {
    /// What it is called in tables.
    pub name: &'static str,
    /// What has to come before.
    pub prepare: fn(&mut Group),
    /// The event, and all that follows from it.
    pub run: fn(&mut Group),
}

/// All moves.
pub const MOVES: [Move; 4] = [
    Move {
        name: "a link goes down",
        prepare: Group::become_master,
        run: Group::lose_link,
    },
    Move {
        name: "a demotion by the operator",
        prepare: Group::become_master,
        run: Group::demote,
    },
    Move {
        name: "sending fails",
        prepare: Group::become_master,
        run: Group::fail,
    },
    Move {
        name: "a bow-out is heard and the rest is silent",
        prepare: Group::follow,
        run: Group::take_over,
    },
];

const KEY: Key = Key::from_bytes([7; 20]);

/// A node of 1/100 with so many hosts in one group, on up to 17 interfaces.
pub struct Group {
    node: Node<'static, 4>,
    hosts: usize,
    now: Instant,
    counter: u64,
}

impl Group {
    /// With so many hosts, at most 4096; all are BACKUP.
    pub fn new(hosts: usize) -> Self {
        Self {
            node: node(hosts, &KEY, 100, place),
            hosts,
            now: Instant::ZERO + Duration::from_millis(10),
            counter: 0,
        }
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.node.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.wake();
        }
        self.now = end;
    }

    fn wake(&mut self) {
        self.node.handle_timeout(self.now);
        self.node.handle_drained(self.now);
        drain(&mut self.node, self.now);
    }

    fn count(&self, state: State) -> usize {
        let hosts = self.node.hosts();
        hosts.filter(|host| self.node.state(*host) == Some(state)).count()
    }

    fn become_master(&mut self) {
        self.run_for(Duration::from_secs(9));
        assert_eq!(self.count(State::Master), self.hosts);
    }

    fn lose_link(&mut self) {
        let info = InterfaceInfo {
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            ipv4: Some([10, 0, 0, 1].into()),
            ipv6: None,
            link: LinkState::Down,
        };
        self.node.handle_interface(self.now, IfaceId(0), info);
        self.wake();
    }

    fn demote(&mut self) {
        self.node
            .demote(self.now, GroupId(0), Cause::Operator, 100)
            .expect("room for one cause");
        self.wake();
    }

    /// Three advertisements of each host.
    fn fail(&mut self) {
        let end = self.now + Duration::from_secs(6);
        let mut frame = [0; MAX_FRAME_LEN];
        while let Some(due) = self.node.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.node.handle_timeout(self.now);
            self.node.handle_drained(self.now);
            while let Some(action) = self.node.poll_action(self.now, &mut frame) {
                if let Action::Transmit { tx, .. } = action {
                    self.node
                        .handle_transmit_result(self.now, tx, TransmitResult::Error);
                }
            }
            while self.node.poll_event().is_some() {}
        }
    }

    /// Masters of 1/0 were heard.
    fn follow(&mut self) {
        for number in 0..self.hosts {
            self.hear(number, 1, 0);
        }
        assert_eq!(self.count(State::Backup), self.hosts);
    }

    /// One takes over from who bows out, and the rest when the next advertisement is overdue.
    fn take_over(&mut self) {
        self.hear(0, 255, 255);
        self.run_for(Duration::from_millis(1_100));
        assert_eq!(self.count(State::Master), self.hosts);
    }

    fn hear(&mut self, number: usize, advbase: u8, advskew: u8) {
        let (iface, vhid) = place(number);
        self.counter += 1;
        let counter = Counter::new(self.counter);
        let authenticator = Authenticator::new(&KEY, vhid, &addresses(), HmacVariant::Plain);
        let mut payload = [0; 36];
        Advertisement {
            vhid,
            advbase: AdvBase::new(advbase),
            advskew: AdvSkew::new(advskew),
            demotion: Demotion::new(0),
            counter,
            digest: authenticator.sign(counter),
        }
        .emit(&mut payload);
        let heard = self.node.handle_packet(self.now, iface, &META, &payload);
        assert!(heard.is_ok());
        self.wake();
    }
}

/// Neighbours in the list are on different interfaces.
fn place(number: usize) -> (IfaceId, Vhid) {
    let iface = u16::try_from(number % INTERFACES).expect("less than 17");
    let vhid = u8::try_from(number / INTERFACES + 1).ok().and_then(Vhid::new);
    (IfaceId(iface), vhid.expect("at most 4096 hosts"))
}
