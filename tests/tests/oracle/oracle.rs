//! One virtual host under the kernels' policy, once more: written from `docs/protocol.md` §7 to §10 alone, as plainly
//! as possible. `main.rs` compares it with the shipping node. Times are in microseconds.

use carp_fsm::State::{self, Backup, Init, Master};
use carp_proto::Dialect::{self, FreeBsd, NetBsd, OpenBsd, Ucarp};

/// One virtual host. What is configured and what surrounds it is for the test to set, through [`change`](Self::change).
pub(crate) struct Oracle {
    pub(crate) dialect: Dialect,
    pub(crate) base: u64,
    pub(crate) skew: u64,
    pub(crate) preempt: bool,
    /// 2 if it has an IPv6 address as well.
    pub(crate) families: usize,
    pub(crate) link: bool,
    pub(crate) enabled: bool,
    /// The operator's demotion.
    pub(crate) demoted: u64,
    pub(crate) state: State,
    /// Master-down timers, for IPv4 and IPv6.
    pub(crate) down: [u64; 2],
    pub(crate) next_ad: u64,
    /// Periodic advertisements until the addresses are announced once more.
    pub(crate) announce_in: u32,
    /// What it did: time, and in the words of a transcript.
    pub(crate) told: Vec<(u64, String)>,
}

#[rustfmt::skip] // short enough to be read at a glance
impl Oracle {
    /// Everything that is due before this time happens (§8).
    pub(crate) fn pass(&mut self, until: u64) {
        loop {
            let silent_at = self.down[..self.families].iter().min().copied().unwrap_or(until);
            if self.state == Backup && silent_at < until {
                self.enter(silent_at, Master, "master timed out");
            } else if self.state == Master && self.next_ad < until {
                let now = self.next_ad;
                self.advertise(now);
                self.announce_in = self.announce_in.saturating_sub(1);
                if self.announce_in == 1 { self.announce(now); }
            } else {
                return;
            }
        }
    }

    /// A verified advertisement (§9; where OpenBSD compares demotion, §10).
    pub(crate) fn hear(&mut self, now: u64, family: usize, theirs: u64, demotion: u64, lower_source: bool) {
        let (mine, openbsd) = (self.base * 256 + self.effective_skew(), self.dialect == OpenBsd);
        let (better, worse) = (openbsd && demotion < self.byte4(), openbsd && demotion > self.byte4());
        let too_slow = theirs > 3 * self.base * 256 + self.effective_skew() && !(openbsd && self.base == 0);
        let yields = match self.dialect {
            Ucarp if theirs == mine => lower_source,
            _ => better || !worse && theirs <= mine,
        };
        match self.state {
            Master if yields => self.enter(now, Backup, "more frequent advertisement received"),
            Backup if self.preempt && mine < theirs && !better => {
                self.enter(now, Master, "preempting a slower master");
            }
            Backup if worse => self.enter(now, Master, "preempting a more demoted master"),
            Backup if too_slow => self.enter(now, Master, "master will time out"),
            Backup => self.down[family] = now + self.master_down(),
            Init | Master => {}
        }
    }

    /// `ifconfig .. state master|backup`.
    pub(crate) fn force(&mut self, now: u64, state: State) {
        if self.state != Init && self.state != state { self.enter(now, state, "user requested"); }
    }

    /// Something around it changes: it may have to start or to stop, and its demotion (§10) may change, and why.
    pub(crate) fn change(&mut self, now: u64, why: &str, change: impl FnOnce(&mut Self)) {
        let before = self.demotion();
        change(self);
        match (self.state, self.link && self.enabled) {
            (Init, true) => self.enter(now, Backup, "initialization complete"),
            (Backup | Master, false) => {
                let good_order = self.link && matches!(self.dialect, OpenBsd | NetBsd);
                if self.state == Master && good_order { self.say(now, "bow out".into()); }
                self.enter(now, Init, if self.link { "disabled" } else { "hardware interface down" });
            }
            _ => {}
        }
        let after = self.demotion();
        if after != before {
            self.told.push((now, format!("demotion {before} -> {after} ({why})")));
            if self.state == Master && (after > before || self.dialect == FreeBsd) {
                self.advertise(now);
            }
        }
    }

    fn enter(&mut self, now: u64, state: State, why: &str) {
        self.told.push((now, format!("{} -> {state} ({why})", self.state)));
        if self.state == Master { self.told.push((now, "disown".into())); }
        self.state = state;
        self.down = [now + self.master_down(); 2];
        if state == Master {
            self.told.push((now, "own".into()));
            self.advertise(now);
            self.announce(now);
            self.next_ad = now + self.period(self.skew);
            self.announce_in = if matches!(self.dialect, OpenBsd | Ucarp) { 3 } else { 0 };
        }
    }

    fn advertise(&mut self, now: u64) {
        self.say(now, format!("advertise {}/{}", self.base, self.effective_skew()));
        self.next_ad = now + self.period(self.effective_skew());
    }

    fn say(&mut self, now: u64, mut what: String) {
        if self.byte4() > 0 {
            what = format!("{what} demoted={}", self.byte4());
        }
        let families = ["", " ipv6"].into_iter().take(self.families);
        self.told.extend(families.map(|family| (now, format!("{what}{family}"))));
    }

    fn announce(&mut self, now: u64) {
        let addresses = ["192.0.2.42", "2001:db8::42"].into_iter().take(self.families);
        let told = addresses.map(|address| (now, format!("announce {address} at 00:00:5e:00:01:2a")));
        self.told.extend(told);
    }

    fn demotion(&self) -> u64 { self.demoted + if self.link { 0 } else { 240 } }

    fn byte4(&self) -> u64 { if self.dialect == OpenBsd { self.demotion().min(255) } else { 0 } }

    fn effective_skew(&self) -> u64 {
        match self.dialect {
            FreeBsd => (self.skew + self.demotion()).min(240),
            NetBsd | Ucarp if self.demotion() > 0 => self.skew.max(240),
            OpenBsd | NetBsd | Ucarp => self.skew,
        }
    }

    fn period(&self, skew: u64) -> u64 { (self.base * 1_000_000 + skew * 1_000_000 / 256).max(3906) }

    fn master_down(&self) -> u64 {
        match self.dialect {
            OpenBsd => 3 * self.period(self.skew),
            FreeBsd | NetBsd | Ucarp => 3 * self.base * 1_000_000 + self.skew * 1_000_000 / 256,
        }
    }
}
