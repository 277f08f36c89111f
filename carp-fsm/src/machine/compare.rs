//! Who wins: an advertisement that was heard against what we would advertise.

use carp_proto::{AdvBase, Demotion, Interval, TieRule};

use super::View;

/// Does a MASTER yield to this advertisement? (`carp_input_c` in MASTER, §9)
pub(super) fn master_yields(
    peer: Interval,
    peer_demotion: Demotion,
    lower_source: bool,
    view: &View,
) -> bool {
    // Who bows out is about to go, however little demoted: nobody would own the addresses.
    if peer == Interval::BOW_OUT && view.policy.answer_worse_master {
        return false;
    }
    let own = view.interval();
    match view.dialect.rules().tie {
        TieRule::Hearer => own >= peer,
        TieRule::HearerUnlessLessDemoted => {
            let mine = view.demotion_byte();
            peer_demotion < mine || (peer_demotion == mine && own >= peer)
        }
        TieRule::HigherLittleEndianSource => own > peer || (own == peer && lower_source),
    }
}

/// Would the sender have yielded to us just as well?
pub(super) fn is_tie(peer: Interval, peer_demotion: Demotion, view: &View) -> bool {
    let equal = peer == view.interval();
    match view.dialect.rules().tie {
        TieRule::Hearer => equal,
        TieRule::HearerUnlessLessDemoted => equal && peer_demotion == view.demotion_byte(),
        // Only one of the two yields.
        TieRule::HigherLittleEndianSource => false,
    }
}

/// The master advertises more slowly than we wait: it will time out, so take over now. This is how a
/// bow-out works, preemption or not (`carp_input_c`, §9).
pub(super) fn outlasted(peer: Interval, view: &View) -> bool {
    if view.dead_ratio.is_some() {
        // A slower one is waited for longer.
        return peer == Interval::BOW_OUT;
    }
    if view.advbase.get() == 0 && view.dialect.rules().slow_master_needs_advbase {
        return false;
    }
    let skew = Interval::new(AdvBase::new(0), view.effective_skew()).micros();
    let base = u64::from(view.advbase.get()).saturating_mul(3_000_000);
    base.saturating_add(skew) < peer.micros()
}
