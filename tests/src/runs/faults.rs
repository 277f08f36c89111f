//! What goes wrong, and what the operator does.

use carp_fsm::sim::{Network, NodeId, Sim};
use carp_fsm::{Cause, Duration, HostConfig, IfaceId, LinkState, State, TransmitResult};

use super::attack::{forge, replay, replay_last_words};
use super::chance::Chance;
use super::judge::{GROUP, Judge};
use super::plan::{NEW_KEY, NODES, VHIDS};
use super::seat::OPERATOR;

/// Does one thing, drawn by chance, and tells the judge and the reader of the log.
pub(super) fn strike(
    sim: &mut Sim,
    judge: &mut Judge<'_>,
    chance: &mut Chance,
) -> Result<&'static str, String> {
    let index = usize::try_from(chance.below(NODES as u64)).unwrap_or(0);
    let (attacked, rekeys) = (judge.plan.attacked, judge.plan.rekeys);
    if attacked && chance.percent(30) {
        return match chance.below(3) {
            0 => Ok(replay(sim, chance, NodeId(index))),
            1 => Ok(replay_last_words(sim, chance, NodeId(index))),
            _ => forge(sim, chance, NodeId(index)),
        };
    }
    if rekeys && chance.percent(20) && judge.seats[index].can_act() {
        rekey(sim, judge, index);
        return Ok("key");
    }
    Ok(harm(sim, judge, chance, index))
}

fn harm(sim: &mut Sim, judge: &mut Judge<'_>, chance: &mut Chance, index: usize) -> &'static str {
    let other = (index + 1 + usize::from(chance.percent(50))) % NODES;
    let id = NodeId(index);
    let number = usize::try_from(chance.below(judge.plan.hosts as u64)).unwrap_or(0);
    let seat = &mut judge.seats[index];
    let running = seat.can_act();
    match chance.below(100) {
        0..8 => {
            seat.running = false;
            seat.paused = false;
            for side in &mut seat.sides {
                side.owner = None;
            }
            sim.crash(id);
            "crash"
        }
        8..20 => {
            restart(sim, judge, index);
            "restart"
        }
        20..28 if running => {
            seat.paused = true;
            sim.pause(id);
            "pause"
        }
        20..40 if seat.paused => {
            seat.paused = false;
            sim.resume(id);
            "resume"
        }
        28..40 => {
            set_link(
                sim,
                judge,
                (index, number),
                !judge.seats[index].sides[number].link,
            );
            "cable"
        }
        40..46 => {
            sim.cut(id, NodeId(other));
            "one way cut"
        }
        46..50 => {
            for to in (0..NODES).filter(|to| *to != index) {
                sim.cut(id, NodeId(to));
                sim.cut(NodeId(to), id);
            }
            "isolated"
        }
        50..58 => {
            heal(sim, index);
            "healed"
        }
        58..62 => {
            sim.set_sending(
                id,
                chance.one_of(&[TransmitResult::Error, TransmitResult::Error, TransmitResult::Busy]),
            );
            "sending fails"
        }
        62..66 => {
            sim.set_sending(id, TransmitResult::Sent);
            "sending works"
        }
        66..69 => {
            seat.refuses = !seat.refuses;
            sim.refuse_addresses(id, seat.refuses);
            "addresses"
        }
        69..75 => {
            sim.set_network(network(chance));
            "network"
        }
        75..100 if running => command(sim, judge, chance, (index, number)),
        _ => "nothing",
    }
}

fn command(
    sim: &mut Sim,
    judge: &mut Judge<'_>,
    chance: &mut Chance,
    (index, number): (usize, usize),
) -> &'static str {
    let id = NodeId(index);
    let hardened = judge.is_hardened(index);
    let seat = &mut judge.seats[index];
    let side = &mut seat.sides[number];
    let Some(host) = sim.host(id, VHIDS[number]) else {
        return "nothing";
    };
    match chance.below(25) {
        0..7 => {
            seat.demoted = !seat.demoted;
            let demoted = seat.demoted;
            sim.command(id, |node, now| {
                let done = if demoted {
                    node.demote(now, GROUP, Cause::Operator, OPERATOR)
                } else {
                    node.clear(now, GROUP, Cause::Operator)
                };
                done.expect("an operator's cause of a group with a virtual host");
            });
            "demotion"
        }
        7..13 => {
            side.handing_over = true;
            sim.command(id, |node, now| node.hand_over(now, host).expect("it exists"));
            "hand-over"
        }
        13..18 => {
            side.enabled = !side.enabled;
            let enabled = side.enabled;
            sim.command(id, |node, now| {
                node.set_enabled(now, host, enabled).expect("it exists");
            });
            "enabled or disabled"
        }
        // Kernels have no such thing.
        18..20 if hardened => {
            seat.maintenance = !seat.maintenance;
            seat.maintenance_since = sim.local_time(id);
            for side in &mut seat.sides {
                if !(seat.maintenance || side.resigned) {
                    side.behind = [None; 2];
                }
            }
            seat.maintained = true;
            let maintenance = seat.maintenance;
            sim.command(id, |node, now| node.set_maintenance(now, maintenance));
            "maintenance"
        }
        18..23 => {
            seat.forced = true;
            let state = chance.one_of(&[State::Master, State::Backup]);
            sim.command(id, |node, now| {
                node.force_state(now, host, state).expect("it exists");
            });
            "forced"
        }
        _ => {
            seat.shutdown = true;
            sim.command(id, carp_fsm::Node::shutdown);
            "shutdown"
        }
    }
}

/// A new process, with the key that it had last.
pub(super) fn restart(sim: &mut Sim, judge: &mut Judge<'_>, index: usize) {
    let seat = &mut judge.seats[index];
    let rekeyed = seat.rekeyed.is_some();
    *seat = seat.restarted(sim.local_time(NodeId(index)));
    sim.restart(NodeId(index));
    if rekeyed {
        rekey(sim, judge, index);
    }
}

pub(super) fn set_link(sim: &mut Sim, judge: &mut Judge<'_>, (index, number): (usize, usize), up: bool) {
    let seat = &mut judge.seats[index];
    seat.sides[number].link = up;
    seat.look_for_losses(&judge.plan.members[index]);
    let link = if up { LinkState::Up } else { LinkState::Down };
    let segment = IfaceId(u16::try_from(number).unwrap_or(0));
    sim.set_link_on(NodeId(index), segment, link);
}

/// The new key, unless it has it.
pub(super) fn rekey(sim: &mut Sim, judge: &mut Judge<'_>, index: usize) {
    let (id, seat) = (NodeId(index), &mut judge.seats[index]);
    if seat.rekeyed.is_some() {
        return;
    }
    seat.rekeyed = Some(sim.local_time(id));
    for (number, side) in seat.sides.iter_mut().enumerate() {
        // Its configuration was given again.
        if std::mem::take(&mut side.left_fast) {
            side.behind = [None; 2];
        }
        let config = HostConfig {
            key: NEW_KEY,
            ..judge.plan.members[index].host(number)
        };
        if let Some(host) = sim.host(id, VHIDS[number]) {
            sim.command(id, |node, now| {
                node.reconfigure(now, host, config)
                    .expect("the same virtual host with another key");
            });
        }
    }
}

pub(super) fn heal(sim: &mut Sim, index: usize) {
    for to in (0..NODES).map(NodeId) {
        sim.heal(NodeId(index), to);
        sim.heal(to, NodeId(index));
    }
}

/// A bad network.
pub(super) fn network(chance: &mut Chance) -> Network {
    let percent = |chance: &mut Chance, percent, most| {
        if chance.percent(percent) {
            u16::try_from(chance.below(most)).unwrap_or(0)
        } else {
            0
        }
    };
    Network {
        loss_per_mille: percent(chance, 60, 300),
        duplicates_per_mille: percent(chance, 40, 200),
        delay_min: Duration::from_micros(50),
        delay_max: Duration::from_micros(chance.one_of(&[
            150,
            150,
            5_000,
            200_000,
            LONGEST_DELAY.as_micros(),
        ])),
        reorders: chance.percent(40),
    }
}

/// Of a bad network.
pub(super) const LONGEST_DELAY: Duration = Duration::from_millis(1_500);
