//! What shipping does, without its hands: frames go into the spool, each collector's machine says
//! what comes next, and the spool follows. Posting, waiting and telling are left to the caller as
//! [`Action`]s: the task of `ship` and the simulator drive the same code.
//!
//! Invariants: one request is out for each collector; an answer to a request of an earlier identity
//! is not believed; what a request declares, the spool knows before it leaves.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bellwether_model::id::{AgentId, Seq, StoreId, Stream};
use bellwether_model::limit;
use bellwether_model::time::Mono;
use bellwether_model::wire::answer::Answer;
use bellwether_model::wire::encode::Origin;
use bellwether_model::wire::envelope::{Envelope, Skip, SkipReason};
use bellwether_platform::clock::Clock;
use bytes::Bytes;

use crate::pure::account::{Count, DropReason};
use crate::pure::config::SpoolSync;
use crate::pure::ship::backlog::Bounds;
use crate::pure::ship::{Effect, Event, Request, Shipper, Standing};
use crate::shell::spool::{Random, Spool, SpoolError};

/// From one look at the spool's age, room and syncs to the next, at most; a frame that comes after
/// half of it brings the look along, so that an agent with a frame each second wakes for
/// nothing else.
const TICK: Duration = Duration::from_millis(1500);

/// What the caller does, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Post a body; [`Drive::answered`] or [`Drive::failed`] takes what comes of it.
    Post {
        /// To which collector, by its place in the list.
        collector: usize,
        /// Envelope and frames.
        body: Bytes,
    },
    /// Have the next frame open a segment.
    Cut,
    /// Take up another identity: frames of the old one are not kept any more.
    Identity {
        /// The id that another process has too.
        old: AgentId,
        /// The one taken instead.
        new: AgentId,
        /// Whose frames are taken from now on.
        origin: Origin,
    },
    /// Tell that numbers will never be sent.
    Skipped(Skip),
    /// Tell that a collector has all frames up to this one.
    Acked {
        /// Which collector.
        collector: usize,
        /// Its last frame.
        seq: Seq,
    },
    /// Tell that a collector's store was wiped or replaced.
    StoreChanged {
        /// Which collector.
        collector: usize,
        /// The store known.
        old: StoreId,
        /// The store that answers.
        new: StoreId,
    },
    /// End in order: every collector wants this host gone and has all that is held.
    Drained,
    /// Tell how it stands with a collector now.
    Standing {
        /// Which collector.
        collector: usize,
        /// How it stands.
        standing: Standing,
    },
}

/// Spool and machines of all collectors.
pub struct Drive {
    spool: Spool,
    clock: Clock,
    random: Box<dyn FnMut() -> Random + Send>,
    lanes: Vec<Lane>,
    next_tick: Mono,
    stopping: bool,
    drained: bool,
}

/// One collector.
struct Lane {
    name: String,
    shipper: Shipper,
    /// Whose request is out.
    out: Option<AgentId>,
    said: Standing,
    done: bool,
}

impl Drive {
    /// Takes up what the spool knows of each collector. `random` is asked when another identity is
    /// needed.
    #[must_use]
    pub fn new(
        mut spool: Spool,
        clock: Clock,
        collectors: Vec<String>,
        random: Box<dyn FnMut() -> Random + Send>,
    ) -> Drive {
        spool.keep_cursors(&collectors);
        let lanes = collectors.into_iter().map(|name| Lane::new(&spool, name)).collect();
        let next_tick = Mono::default();
        Drive { spool, clock, random, lanes, next_tick, stopping: false, drained: false }
    }

    /// Ships to these collectors from now on: what is known of one that stays goes on, one that is
    /// new gets what is held, one that is gone is owed nothing more.
    pub fn set_collectors(&mut self, collectors: &[String]) {
        self.spool.keep_cursors(collectors);
        let mut old = std::mem::take(&mut self.lanes);
        for name in collectors {
            let held = old.iter().position(|lane| lane.name == *name);
            let lane = match held {
                Some(at) => old.swap_remove(at),
                None => Lane::new(&self.spool, name.clone()),
            };
            self.lanes.push(lane);
        }
    }

    /// Holds as much, and syncs as often, as is said from now on.
    pub fn set_bounds(&mut self, bounds: Bounds, sync: SpoolSync) {
        self.spool.set_bounds(bounds, sync);
    }

    /// The spool.
    #[must_use]
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// All up to here is acknowledged by a collector, or declared to it.
    #[must_use]
    pub fn cursor(&self, collector: usize) -> Option<Seq> {
        self.lanes.get(collector).map(|lane| lane.shipper.cursor())
    }

    /// Whether every collector has answered the goodbye.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.lanes.iter().all(|lane| lane.done)
    }

    /// The body of a request that only asks for the time.
    #[must_use]
    pub fn hello(&self) -> Bytes {
        body(&envelope(&self.spool, &self.clock), &[])
    }

    /// When [`Drive::wake`] is due at the latest.
    #[must_use]
    pub fn next_wakeup(&self) -> Mono {
        let lanes = self.lanes.iter().filter(|lane| !lane.done);
        let due = lanes.filter_map(|lane| lane.shipper.next_wakeup(self.spool.backlog()));
        due.fold(self.next_tick, Mono::min)
    }

    /// Counts rows that were collected and never became a frame.
    pub fn never_made(&mut self, reason: DropReason, count: Count) {
        self.spool.never_made(reason, count);
    }

    /// Spools a frame with so many samples and sends what can be sent. Returns whether it was kept.
    ///
    /// # Errors
    /// The spool's disk failed.
    pub fn frame(
        &mut self,
        frame: &Bytes,
        samples: u32,
        actions: &mut Vec<Action>,
    ) -> Result<bool, SpoolError> {
        let appended = self.spool.append(self.clock.now(), frame, samples)?;
        if appended.skips.iter().any(|skip| skip.reason == SkipReason::Disk) {
            // Later frames build on the one that could not be written.
            actions.push(Action::Cut);
        }
        self.declare(&appended.skips, actions);
        self.look(TICK / 2, actions)?;
        self.step_all(&Event::Wake, actions)?;
        Ok(appended.kept)
    }

    /// Does what time asks for.
    ///
    /// # Errors
    /// The spool's disk failed.
    pub fn wake(&mut self, actions: &mut Vec<Action>) -> Result<(), SpoolError> {
        self.look(Duration::ZERO, actions)?;
        self.step_all(&Event::Wake, actions)
    }

    /// Looks at the spool if that is due, or due within `early`.
    fn look(&mut self, early: Duration, actions: &mut Vec<Action>) -> Result<(), SpoolError> {
        let now = self.clock.now();
        if now.mono + early >= self.next_tick {
            self.next_tick = now.mono + TICK;
            let skips = self.spool.tick(now)?;
            self.declare(&skips, actions);
            // A clock that stands makes no rows, which would ask how late it is.
            if !self.clock.stats().holding.is_zero() {
                self.step_all(&Event::Ask, actions)?;
            }
        }
        Ok(())
    }

    /// No more frames come: what is held is sent, then goodbye is said.
    ///
    /// # Errors
    /// The spool's disk failed.
    pub fn stop(&mut self, actions: &mut Vec<Action>) -> Result<(), SpoolError> {
        self.stopping = true;
        self.step_all(&Event::Stop, actions)
    }

    /// A collector answered the request that is out.
    ///
    /// # Errors
    /// The spool's disk failed.
    pub fn answered(
        &mut self,
        collector: usize,
        answer: &Answer,
        retry_after: Option<Duration>,
        actions: &mut Vec<Action>,
    ) -> Result<(), SpoolError> {
        let out = self.lanes.get_mut(collector).and_then(|lane| lane.out.take());
        if out == Some(self.spool.agent()) {
            self.step(collector, Event::Answered { answer, retry_after }, actions)
        } else {
            self.step(collector, Event::Failed, actions)
        }
    }

    /// No collector's answer came to the request that is out.
    ///
    /// # Errors
    /// The spool's disk failed.
    pub fn failed(
        &mut self,
        collector: usize,
        actions: &mut Vec<Action>,
    ) -> Result<(), SpoolError> {
        if let Some(lane) = self.lanes.get_mut(collector) {
            lane.out = None;
        }
        self.step(collector, Event::Failed, actions)
    }

    /// Writes the cursors.
    ///
    /// # Errors
    /// The spool's disk failed.
    pub fn close(self) -> Result<(), SpoolError> {
        self.spool.close()
    }

    /// Declares to all before anything is sent: a request must name all that it passes over. What
    /// every collector has of a segment that goes is no loss.
    fn declare(&mut self, skips: &[Skip], actions: &mut Vec<Action>) {
        let acked = self.lanes.iter().map(|lane| lane.shipper.cursor()).min().unwrap_or(Seq(0));
        for skip in skips {
            let lost = Skip { first: skip.first.max(Seq(acked.0 + 1)), ..*skip };
            if lost.first <= lost.last {
                actions.push(Action::Skipped(lost));
            }
            self.lanes.iter_mut().for_each(|lane| {
                lane.shipper.declare(*skip);
            });
        }
    }

    fn step_all(&mut self, event: &Event<'_>, actions: &mut Vec<Action>) -> Result<(), SpoolError> {
        (0..self.lanes.len()).try_for_each(|lane| self.step(lane, event.clone(), actions))
    }

    fn step(
        &mut self,
        collector: usize,
        event: Event<'_>,
        actions: &mut Vec<Action>,
    ) -> Result<(), SpoolError> {
        let now = self.clock.now();
        let Some(lane) = self.lanes.get_mut(collector) else { return Ok(()) };
        let mut effects = Vec::new();
        lane.shipper.step(now, event, self.spool.backlog(), &mut effects);
        let standing = lane.shipper.standing();
        if standing != lane.said {
            lane.said = standing;
            actions.push(Action::Standing { collector, standing });
        }
        for effect in effects {
            match effect {
                Effect::Send(request) => self.send(collector, &request, actions)?,
                Effect::Acked(seq) => actions.push(Action::Acked { collector, seq }),
                Effect::Cut => actions.push(Action::Cut),
                Effect::Declared(skip) => actions.push(Action::Skipped(skip)),
                Effect::SetAside(seq) => self.spool.set_aside(seq)?,
                Effect::NewIdentity => return self.new_identity(actions),
                Effect::StoreChanged { old, new } => {
                    actions.push(Action::StoreChanged { collector, old, new });
                }
                Effect::Done => self.done(collector),
            }
        }
        self.note(collector)?;
        let backlog = self.spool.backlog();
        let drained = !self.lanes.is_empty()
            && self.lanes.iter().all(|lane| lane.shipper.is_drained(backlog));
        if drained && !std::mem::replace(&mut self.drained, drained) {
            actions.push(Action::Drained);
        }
        Ok(())
    }

    /// The spool learns what the machine knows.
    fn note(&mut self, collector: usize) -> Result<(), SpoolError> {
        let Some(lane) = self.lanes.get(collector) else { return Ok(()) };
        self.spool.note(&lane.name, lane.shipper.cursor(), lane.shipper.skips())
    }

    fn done(&mut self, collector: usize) {
        if let Some(lane) = self.lanes.get_mut(collector) {
            lane.done = true;
        }
    }

    /// Another process has this id: a new one is taken, and the backlog is set aside.
    fn new_identity(&mut self, actions: &mut Vec<Action>) -> Result<(), SpoolError> {
        let old = self.spool.agent();
        self.spool.renew((self.random)())?;
        let (new, origin) = (self.spool.agent(), self.spool.origin());
        actions.push(Action::Identity { old, new, origin });
        // Frames are counted once, however many collectors wanted them.
        let mut lost = Vec::new();
        for lane in &mut self.lanes {
            let shipper = take_up(&self.spool, &lane.name);
            let is_new = |skip: &&Skip| !lane.shipper.skips().contains(skip);
            let declared: Vec<Skip> = shipper.skips().iter().filter(is_new).copied().collect();
            lost = std::cmp::max_by_key(lost, declared, |skips| {
                skips.iter().map(Skip::frames).sum::<u64>()
            });
            lane.shipper = shipper;
        }
        actions.extend(lost.into_iter().map(Action::Skipped));
        if self.stopping { self.step_all(&Event::Stop, actions) } else { Ok(()) }
    }

    fn send(
        &mut self,
        collector: usize,
        request: &Request,
        actions: &mut Vec<Action>,
    ) -> Result<(), SpoolError> {
        let frames = match request.from {
            Some(from) => self.spool.read(from)?,
            None => Vec::new(),
        };
        let Some(lane) = self.lanes.get_mut(collector) else { return Ok(()) };
        if lane.out.is_some() {
            // A request of the old identity is out; its end lets this one go.
            return Ok(());
        }
        for gap in gaps(request.from, &frames) {
            if lane.shipper.declare(gap) {
                actions.push(Action::Skipped(gap));
            }
        }
        self.spool.note(&lane.name, lane.shipper.cursor(), lane.shipper.skips())?;
        match frames.last() {
            Some((last, _)) => lane.shipper.sent(*last),
            // Nothing of what is held can be read: later frames will pass it over.
            None if request.from.is_some() => return self.step(collector, Event::Failed, actions),
            None => {}
        }
        lane.out = Some(self.spool.agent());
        let mut envelope = envelope(&self.spool, &self.clock);
        envelope.goodbye = request.goodbye;
        envelope.skips = lane.shipper.skips().iter().take(limit::SKIPS).copied().collect();
        envelope.frames = u16::try_from(frames.len()).unwrap_or(u16::MAX);
        actions.push(Action::Post { collector, body: body(&envelope, &frames) });
        Ok(())
    }
}

impl Lane {
    fn new(spool: &Spool, name: String) -> Lane {
        let shipper = take_up(spool, &name);
        Lane { name, shipper, out: None, said: Standing::Unknown, done: false }
    }
}

/// An envelope without frames, sent now.
fn envelope(spool: &Spool, clock: &Clock) -> Envelope {
    let mono = clock.now().mono.0.as_nanos();
    Envelope {
        agent: spool.agent(),
        stream: Stream::Metrics,
        goodbye: false,
        sent_wall: clock.nanos(),
        sent_mono: u64::try_from(mono).unwrap_or(u64::MAX),
        skips: Vec::new(),
        frames: 0,
    }
}

/// A machine that knows what the spool knows of a collector.
fn take_up(spool: &Spool, collector: &str) -> Shipper {
    let (cursor, skips) = spool.cursor(collector);
    let mut shipper = Shipper::new(cursor, spool.origin().nonce.0);
    for skip in skips {
        shipper.declare(skip);
    }
    shipper
}

fn body(envelope: &Envelope, frames: &[(Seq, Bytes)]) -> Bytes {
    let bytes = frames.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let mut body = Vec::with_capacity(bytes + 64 + envelope.skips.len() * Skip::BYTES);
    envelope.put(&mut body);
    frames.iter().for_each(|(_, bytes)| body.extend_from_slice(bytes));
    body.into()
}

/// What lies between the frames read: they could not be read.
fn gaps(from: Option<Seq>, frames: &[(Seq, Bytes)]) -> Vec<Skip> {
    let Some(mut next) = from else { return Vec::new() };
    let mut gaps = Vec::new();
    for (seq, _) in frames {
        if *seq > next && seq.incarnation() == next.incarnation() {
            let last = Seq(seq.0 - 1);
            gaps.push(Skip { first: next, last, reason: SkipReason::Corrupt });
        }
        next = Seq(seq.0 + 1);
    }
    if frames.is_empty() {
        gaps.push(Skip { first: next, last: next, reason: SkipReason::Corrupt });
    }
    gaps
}
