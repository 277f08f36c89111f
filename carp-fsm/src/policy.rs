//! What we do better than the kernels, without changing what is on the wire or who wins.

use crate::time::Duration;

/// The node's manners. The [`Dialect`](carp_proto::Dialect) says what is on the wire and who wins;
/// the policy says what else is done about it (`docs/protocol.md §11`).
///
/// Start from [`Policy::HARDENED`] and change single fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Bow out when a MASTER stops on purpose (disable, removal, shutdown), in every dialect, and
    /// keep the address until the successor is heard.
    pub bow_out: bool,
    /// How long a MASTER that bowed out waits for its successor. Then a shutdown goes ahead, and a
    /// hand-over is called off. More than a second: UCarp reads its packets up to one second late.
    pub leave_wait: Duration,
    /// In plain mode, how long the address is kept after a better master was heard, so that clients
    /// learn the new owner's MAC address before the old one falls silent.
    pub linger: Duration,
    /// Announce again with the n-th periodic advertisement after taking over. 0: as the dialect does.
    pub reannounce: u8,
    /// How often in a row each address is announced when taking over, 1 to 8.
    pub announce_burst: u8,
    /// How often a MASTER announces its addresses for as long as it is one: with the periodic advertisement
    /// that comes next after so long, at least with each 255th. For switches and neighbours that forget, or were
    /// told something wrong. 0: never again after [`reannounce`](Self::reannounce).
    pub announce_refresh: Duration,
    /// So many announcements the whole node sends at once, and then so many in each
    /// [`announce_window`](Self::announce_window); what one virtual host has left then leaves together, and
    /// advertisements go before those that wait. 0: no limit.
    pub announce_frames: u16,
    /// See [`announce_frames`](Self::announce_frames).
    pub announce_window: Duration,
    /// A MASTER that hears a worse one, or a bow-out, advertises and announces at once, so that the other
    /// yields, and clients and switches that believed it are put right, within one network delay. At most
    /// four times per advertisement interval, and once more. To a bow-out it never yields: OpenBSD does, to that of a
    /// less demoted node, and nobody owns the addresses for one master-down time.
    ///
    /// In plain mode, a MASTER that yields to a better one advertises once more for that purpose, unless it has
    /// just taken over after a bow-out, as others may have: two that were cut off from each other meet again, and
    /// the better one need never have heard of the other.
    pub answer_worse_master: bool,
    /// Who yielded to an equal master waits a little longer before it takes over again: less than one
    /// advertisement interval, derived from the MAC address, another time after each tie in a row. Kernels
    /// wait equally long, meet again, and may do so for ever. Who has heard a master since waits no longer
    /// than the dialect says.
    pub parts_equals: bool,
    /// Periodic advertisements are counted from when the last one was due, so that lateness does not add
    /// up. Kernels count from when it was sent.
    pub keeps_pace: bool,
    /// A node that is awake for a deadline sends the periodic advertisements that are due within this time
    /// (and within 1/16 of their interval), too: many virtual hosts then wake it less often. The next one is
    /// counted from when it was due. Nothing but these is ever early.
    pub brings_forward: Duration,
    /// Every advertisement has a new random counter. Kernels do as the dialect says
    /// (`docs/protocol.md §6`).
    pub fresh_counters: bool,
    /// In INIT, too, a virtual host knows what is for it, and who its peers are, in every dialect.
    pub hears_in_init: bool,
    /// An advertisement whose counter was heard or sent before is not believed, wherever the dialect's
    /// counters do not repeat (not OpenBSD's), as long as [`Storage`](crate::Storage) remembers it.
    ///
    /// **A virtual host with a peer that repeats one counter must say so**
    /// ([`HostConfig::peers_repeat_counter`](crate::HostConfig::peers_repeat_counter)), or speak the OpenBSD
    /// dialect. Otherwise both become MASTER, and [`NeighbourKind::RepeatsCounter`](crate::NeighbourKind) says why.
    ///
    /// It stops loops and the recording of a dead master that is played again. It does not stop
    /// recordings older than the memory, nor a fresh one that reaches us first with another advskew.
    pub ignores_replays: bool,
    /// Addresses, key and timing change while the virtual host goes on. Kernels start it over when
    /// addresses change, and take over other changes as the dialect says.
    pub live_changes: bool,
    /// When key or addresses change, how long a node says everything twice, signed with the old ones and with the new
    /// ones, and believes both. All nodes must change within this time, in any order; kernels, which know one key
    /// only, after the others and the MASTER. Needs
    /// [`Storage::with_spare_keys`](crate::Storage::with_spare_keys); 0: at once.
    pub change_grace: Duration,
    /// Send errors add up until there are three successes in a row, in every dialect, and a round of
    /// advertisements to all destinations counts once: it failed if nothing left in one of its families. Kernels
    /// count each frame and errors in a row, and end the demotion as the dialect says.
    pub senderr_adds_up: bool,
    /// A MASTER advertises at once when it recovers from demotion, in every dialect.
    pub tells_recovery: bool,
    /// The packets that wait are heard before any timer acts: all timers wait for
    /// [`Node::handle_drained`](crate::Node::handle_drained), and nobody takes over from a master whose
    /// advertisement it has not read yet, however short it slept. Off: timers act at once.
    pub hears_first: bool,
    /// When one virtual host of a group is lost to a dead link or to sending that fails, the MASTERs of the
    /// group that are still MASTER a quarter of an interval later bow out for whoever is better: demotion alone
    /// moves nothing where the peer does not preempt. If nobody better answers, they stay. When one takes over
    /// from somebody that it heard, the BACKUPs of the group take over where the next advertisement does not come
    /// in time ([`Reason::FollowingGroup`](crate::Reason)). And while a group is split
    /// ([`EventKind::SplitMaster`](crate::EventKind)), its virtual hosts preempt.
    pub fails_over_as_group: bool,
    /// Demotion while an interface of the group is down (`net.inet.carp.ifdown_demotion_factor`).
    pub ifdown_demotion_factor: u16,
    /// Demotion of every group from the start until [`Node::handle_ready`](crate::Node::handle_ready),
    /// because services here are not up yet. A BACKUP so demoted leaves a living master alone, but takes
    /// over when nobody else is heard. 0: nobody is going to call `handle_ready`.
    pub not_ready_demotion_factor: u16,
    /// Demotion while sending fails (`net.inet.carp.senderr_demotion_factor`).
    pub senderr_demotion_factor: u16,
    /// A BACKUP sends nothing, so it can never show that sending works again: after this long its
    /// send-error demotion is lifted on trial. `None`: only three successes in a row lift it.
    pub senderr_retry: Option<Duration>,
    /// A link whose state is unknown counts as up, in every dialect.
    pub unknown_link_is_up: bool,
    /// A virtual host without addresses takes part in the election (and advertises over IPv4).
    pub election_only: bool,
    /// First wait before a virtual host whose addresses were refused tries again; doubles up to 64
    /// times this.
    pub refused_retry: Duration,
}

impl Policy {
    /// The default: safe, and a good neighbour of every BSD.
    pub const HARDENED: Policy = Policy {
        bow_out: true,
        leave_wait: Duration::from_millis(1_500),
        linger: Duration::from_millis(20),
        reannounce: 2,
        announce_burst: 1,
        announce_refresh: Duration::ZERO,
        announce_frames: 100,
        announce_window: Duration::from_millis(10),
        answer_worse_master: true,
        parts_equals: true,
        keeps_pace: true,
        brings_forward: Duration::from_millis(5),
        fresh_counters: true,
        hears_in_init: true,
        ignores_replays: true,
        live_changes: true,
        change_grace: Duration::from_secs(60),
        senderr_adds_up: true,
        tells_recovery: true,
        hears_first: true,
        fails_over_as_group: true,
        ifdown_demotion_factor: 240,
        not_ready_demotion_factor: 0,
        senderr_demotion_factor: 240,
        senderr_retry: Some(Duration::from_secs(30)),
        unknown_link_is_up: true,
        election_only: true,
        refused_retry: Duration::from_secs(1),
    };

    /// The kernel's own behaviour, mistakes included, for comparing with kernels.
    pub const KERNEL: Policy = Policy {
        bow_out: false,
        leave_wait: Duration::ZERO,
        linger: Duration::ZERO,
        reannounce: 0,
        announce_burst: 1,
        announce_refresh: Duration::ZERO,
        announce_frames: 0,
        announce_window: Duration::ZERO,
        answer_worse_master: false,
        parts_equals: false,
        keeps_pace: false,
        brings_forward: Duration::ZERO,
        fresh_counters: false,
        hears_in_init: false,
        ignores_replays: false,
        live_changes: false,
        change_grace: Duration::ZERO,
        senderr_adds_up: false,
        tells_recovery: false,
        hears_first: false,
        fails_over_as_group: false,
        ifdown_demotion_factor: 240,
        not_ready_demotion_factor: 0,
        senderr_demotion_factor: 240,
        senderr_retry: None,
        unknown_link_is_up: false,
        election_only: false,
        refused_retry: Duration::from_secs(1),
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::HARDENED
    }
}
