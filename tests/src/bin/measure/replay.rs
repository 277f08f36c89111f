//! Advertisements recorded by somebody without the password, and sent again as they were.

use std::collections::VecDeque;
use std::time::Duration;

use carp_benches::figure::Figure;
use carp_fsm::IfaceId;
use carp_proto::{FrameClass, frame};
use carp_std::Link;
use carp_std::linux::{Clock, LinuxLink};
use carpd::lab::topology::INTERFACE;
use carpd::lab::{Lab, LabError, Node, Plan, Setup};

use crate::bench::{A, B, Bench, PATIENCE, millis, together, transitions};
use crate::crash::formula;

/// How many of the last advertisements of a dead master are replayed: as many as are remembered.
const LAST: usize = 64;
/// How many of a living one, which may advertise again before the recorder has heard it.
const OF_LIVING: usize = LAST - 2;
/// To somebody who advertises meanwhile, and remembers that as well.
const TO_HEIR: usize = LAST / 2 - 2;
/// How long a dead master is kept alive if it can be done at all.
const AT_MOST: Duration = Duration::from_secs(15);

pub(crate) fn measure(bench: &mut Bench) -> Result<(), LabError> {
    let setups = |software| [0, 100].map(|advskew| Setup::new(software, advskew));
    let living = together(bench.software(), |software| {
        let mut lab = bench.pair(Plan::default(), setups(software))?;
        let mut recorder = Recorder::new(&lab)?;
        for _ in 0..if bench.fast { 5 } else { 70 } {
            lab.client.pause(Duration::from_secs(1))?;
            recorder.take(&lab.nodes[A], OF_LIVING);
        }
        let found = living(bench, &mut lab, &mut recorder)?;
        Ok((lab, recorder, found))
    })?;
    let (mut found, mut pairs) = (Vec::new(), Vec::new());
    for (lab, recorder, figures) in living {
        found.push(figures);
        pairs.push((lab, recorder));
    }
    // One after the other: a millisecond counts. The heir's turn is at once: what it sends pushes out what it heard.
    for (mut lab, mut recorder) in pairs {
        let (has_heir, figure) = dead(&mut lab, &mut recorder)?;
        found.push(vec![figure]);
        if has_heir {
            found.push(heir(bench, &mut lab, &mut recorder)?);
        }
    }
    bench.add_all(found);
    Ok(())
}

/// At a pair that lives.
fn living(bench: &Bench, lab: &mut Lab, recorder: &mut Recorder) -> Result<Vec<Figure>, LabError> {
    let software = lab.nodes[A].setup().software;
    let (start, before) = (Clock.now(), lab.nodes.each_ref().map(transitions));
    for _ in 0..bench.times(30, 300) {
        recorder.take(&lab.nodes[A], OF_LIVING);
        recorder.send_next();
        lab.client.pause(Duration::from_millis(100))?;
    }
    let after = lab.nodes.each_ref().map(transitions);
    let changes = vec![after[A] - before[A], after[B] - before[B]];
    let lost = vec![f64::from(lab.client.record().lost_pings(start).count)];
    Ok(vec![
        Figure::new("replay to a living pair: transitions", software, "", changes),
        Figure::new("replay to a living pair: pings lost", software, "", lost),
    ])
}

/// At the backup of a master that has died. Whether it takes over all the same, and when.
fn dead(lab: &mut Lab, recorder: &mut Recorder) -> Result<(bool, Figure), LabError> {
    let software = lab.nodes[A].setup().software;
    let start = Clock.now();
    lab.topology.block(1)?;
    lab.nodes[A].kill();
    recorder.take(&lab.nodes[A], LAST);
    let [a, b] = &lab.nodes;
    let heir = loop {
        recorder.send_next();
        lab.client.pause(Duration::from_millis(100))?;
        let succession =
            lab.client
                .record()
                .succession(|source| a.is_source(source), |source| b.is_source(source), start);
        if succession.is_some() || Clock.now() > start + AT_MOST.into() {
            break succession;
        }
    };
    let late = heir.map_or(f64::INFINITY, |heir| {
        millis((heir.first - heir.last).as_micros()) - formula(software)
    });
    let what = "replay of a dead master: take-over less formula";
    Ok((heir.is_some(), Figure::new(what, software, "ms", vec![late])))
}

/// At the one that has taken over.
fn heir(bench: &Bench, lab: &mut Lab, recorder: &mut Recorder) -> Result<Vec<Figure>, LabError> {
    lab.client.settle(&lab.nodes[B], PATIENCE)?;
    recorder.take(&lab.nodes[A], TO_HEIR);
    let before = transitions(&lab.nodes[B]);
    for _ in 0..bench.times(30, 300) {
        recorder.send_next();
        lab.client.pause(Duration::from_millis(100))?;
    }
    let deposed = transitions(&lab.nodes[B]) - before;
    let what = "replay of a dead master to its heir: transitions";
    Ok(vec![Figure::new(
        what,
        lab.nodes[B].setup().software,
        "",
        vec![deposed],
    )])
}

/// A machine that hears everything and sends it again.
struct Recorder {
    link: LinuxLink,
    iface: IfaceId,
    /// The oldest first.
    frames: VecDeque<Vec<u8>>,
    /// How many have been sent.
    sent: usize,
}

impl Recorder {
    fn new(lab: &Lab) -> Result<Self, LabError> {
        let (link, iface) = crate::bench::raw(lab.topology.station(Lab::<2>::CLIENT), INTERFACE)?;
        Ok(Self {
            link,
            iface,
            frames: VecDeque::new(),
            sent: 0,
        })
    }

    /// Keeps so many of the latest advertisements of a node. To be called before its queue is full.
    fn take(&mut self, node: &Node, last: usize) {
        while self.link.poll_change().is_some() {}
        let mut buffer = [0; 256];
        while let Some((_, len)) = self.link.recv(&mut buffer) {
            if let FrameClass::Carp { meta, .. } = frame::classify(&buffer[..len])
                && node.is_source(meta.src)
            {
                self.frames.push_back(buffer[..len].to_vec());
            }
        }
        let surplus = self.frames.len().saturating_sub(last);
        self.frames.drain(..surplus);
    }

    /// One after the other, again and again.
    fn send_next(&mut self) {
        if let Some(at) = self.sent.checked_rem(self.frames.len()) {
            let _ = self.link.send_frame(self.iface, &self.frames[at]);
            self.sent += 1;
        }
    }
}
