//! Shipping by the table of answers (`model/WIRE.md`): one machine for each stream and collector.
//!
//! Invariants: one request in flight; the cursor moves only to what an answer names; every number
//! below the cursor was acknowledged or declared, or is held. The machine never reads a clock or a
//! file: the spool's [`Backlog`] and the time are arguments.

pub mod backlog;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bellwether_model::id::{Seq, StoreId};
use bellwether_model::limit;
use bellwether_model::time::{Mono, Now};
use bellwether_model::wire::answer::{Answer, Case, NextStep};
use bellwether_model::wire::envelope::{Skip, SkipReason};

use backlog::{Backlog, Segment};

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// From one attempt to the next while a person must act (401, 403, 426).
const WAIT: Duration = Duration::from_secs(30);
/// A `Retry-After` beyond this is cut.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Frames may have come into the spool, or time has passed.
    Wake,
    /// The time is wanted, whether or not there are frames to send.
    Ask,
    /// The collector answered.
    Answered {
        /// Its answer.
        answer: &'a Answer,
        /// The header `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// No answer came, or one that is no collector's.
    Failed,
    /// Nothing more will be spooled: say goodbye once all is acknowledged.
    Stop,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send the frames from this one on, as many as a request holds.
    Send(Request),
    /// All up to here is acknowledged.
    Acked(Seq),
    /// The next frame shall open a segment.
    Cut,
    /// Tell that numbers will never be sent to this collector.
    Declared(Skip),
    /// Keep a copy of a frame that the collector cannot read.
    SetAside(Seq),
    /// Another process has this id: take a new one.
    NewIdentity,
    /// Another store answers than before: the collector's was wiped, or replaced.
    StoreChanged {
        /// The one known.
        old: StoreId,
        /// The one that answers.
        new: StoreId,
    },
    /// Goodbye was answered: nothing is left to do.
    Done,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The first frame; `None`: no frames.
    pub from: Option<Seq>,
    /// What to declare.
    pub skips: Vec<Skip>,
    /// Nothing follows.
    pub goodbye: bool,
}

/// How it stands with one collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// No answer yet.
    #[default]
    Unknown,
    /// The last answer moved the cursor.
    Connected,
    /// The last attempt failed or was put off.
    Retrying,
    /// A person must act: the case says what.
    Refused(Case),
}

/// The machine of one collector.
#[derive(Clone, Debug)]
pub struct Shipper {
    cursor: Seq,
    /// Where sending goes on; at or before the frame after the cursor once it was rewound.
    from: Seq,
    skips: Vec<Skip>,
    /// Set aside from here to the end of its segment, which may still be growing.
    aside: Option<Seq>,
    in_flight: bool,
    /// The last frame of the last request.
    sent: Seq,
    /// Whether frames below the cursor are sent so that the collector's decoder fills.
    loading: bool,
    not_before: Mono,
    failures: u32,
    store: Option<StoreId>,
    /// The frame whose base row was not the decoder's, until the cursor moves.
    base_at: Option<Seq>,
    standing: Standing,
    stopping: bool,
    saying_goodbye: bool,
    /// The next request is sent also without frames.
    asks: bool,
    /// As its last answer said.
    draining: bool,
    seed: u64,
}

impl Shipper {
    /// A machine whose collector has acknowledged all up to `cursor`. `seed` spreads the retries of
    /// many agents.
    #[must_use]
    pub fn new(cursor: Seq, seed: u64) -> Shipper {
        Shipper {
            cursor,
            from: Seq(cursor.0 + 1),
            skips: Vec::new(),
            aside: None,
            in_flight: false,
            sent: Seq(0),
            loading: false,
            not_before: Mono::default(),
            failures: 0,
            store: None,
            base_at: None,
            standing: Standing::Unknown,
            stopping: false,
            saying_goodbye: false,
            asks: false,
            draining: false,
            seed,
        }
    }

    /// All up to here is acknowledged or declared.
    #[must_use]
    pub fn cursor(&self) -> Seq {
        self.cursor
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// What is declared and not yet passed.
    #[must_use]
    pub fn skips(&self) -> &[Skip] {
        &self.skips
    }

    /// Takes note of the last frame that found room in the request of [`Effect::Send`].
    pub fn sent(&mut self, last: Seq) {
        self.sent = last;
    }

    /// When [`Event::Wake`] is due at the latest; `None` while an answer is awaited or nothing
    /// waits.
    #[must_use]
    pub fn next_wakeup(&self, backlog: &Backlog) -> Option<Mono> {
        let due = !self.in_flight && (self.stopping || self.next_frame(backlog).is_some());
        due.then_some(self.not_before)
    }

    /// Takes an event; what is to be done is added to `effects`.
    pub fn step(
        &mut self,
        now: Now,
        event: Event<'_>,
        backlog: &Backlog,
        effects: &mut Vec<Effect>,
    ) {
        match event {
            Event::Wake => {}
            Event::Stop => self.stopping = true,
            Event::Ask => self.asks = true,
            Event::Failed => {
                self.in_flight = false;
                self.saying_goodbye = false;
                self.put_off(now, None);
            }
            Event::Answered { answer, retry_after } => {
                self.in_flight = false;
                self.answered(now, answer, retry_after, backlog, effects);
            }
        }
        self.send(now, backlog, effects);
    }

    /// Declares what is not declared yet; the list stays ascending. Returns whether anything was
    /// new.
    pub fn declare(&mut self, skip: Skip) -> bool {
        let mut first = skip.first.max(Seq(self.cursor.0 + 1));
        for held in &self.skips {
            if held.first <= first && first <= held.last {
                first = Seq(held.last.0 + 1);
            }
        }
        let next = self.skips.iter().map(|held| held.first).filter(|held| *held > first).min();
        let last = next.map_or(skip.last, |next| skip.last.min(Seq(next.0 - 1)));
        if first > last {
            return false;
        }
        let joins = |held: &Skip| held.reason == skip.reason && held.last.0 + 1 == first.0;
        match self.skips.iter_mut().find(|held| joins(held)) {
            Some(held) => held.last = last,
            None => {
                let at = self.skips.partition_point(|held| held.first < first);
                self.skips.insert(at, Skip { first, last, reason: skip.reason });
            }
        }
        if last < skip.last {
            self.declare(Skip { first: Seq(last.0 + 1), ..skip });
        }
        true
    }

    /// Declares what only this machine knows of.
    fn declare_own(&mut self, skip: Skip, effects: &mut Vec<Effect>) {
        if self.declare(skip) {
            effects.push(Effect::Declared(skip));
        }
    }

    fn answered(
        &mut self,
        now: Now,
        answer: &Answer,
        retry_after: Option<Duration>,
        backlog: &Backlog,
        effects: &mut Vec<Effect>,
    ) {
        let goodbye = std::mem::take(&mut self.saying_goodbye);
        match answer.case.next_step() {
            NextStep::Advance => {
                self.advance(answer, effects);
                effects.extend(goodbye.then_some(Effect::Done));
            }
            NextStep::Rewind => self.rewind(now, answer, backlog, effects),
            NextStep::SetAside => self.set_aside(now, answer.at, backlog, effects),
            NextStep::NewIdentity => effects.push(Effect::NewIdentity),
            NextStep::Retry => self.put_off(now, retry_after),
            NextStep::Wait => {
                self.standing = Standing::Refused(answer.case);
                self.not_before = now.mono + WAIT;
            }
        }
        self.draining = answer.drain;
    }

    /// Whether the collector wants this host gone and has all that is held.
    #[must_use]
    pub fn is_drained(&self, backlog: &Backlog) -> bool {
        self.draining && backlog.last().is_none_or(|last| last <= self.cursor)
    }

    fn advance(&mut self, answer: &Answer, effects: &mut Vec<Effect>) {
        self.standing = Standing::Connected;
        self.failures = 0;
        self.not_before = Mono::default();
        self.meet(answer.store, effects);
        // Beyond what was sent lies another process with this id: it is met with the next frame.
        self.acked(answer.acked.min(self.sent), effects);
        // Repeats below the cursor fill the collector's decoder: they go on where it stopped.
        let read = if self.loading && answer.at.n() > 0 { answer.at } else { self.cursor };
        self.from = Seq(read.0 + 1);
    }

    fn meet(&mut self, new: StoreId, effects: &mut Vec<Effect>) {
        if let Some(old) = self.store.replace(new).filter(|old| *old != new) {
            effects.push(Effect::StoreChanged { old, new });
        }
    }

    fn acked(&mut self, acked: Seq, effects: &mut Vec<Effect>) {
        if acked <= self.cursor {
            return;
        }
        self.cursor = acked;
        self.loading = false;
        self.base_at = None;
        self.skips.retain(|skip| skip.last > acked);
        if self.aside.is_some_and(|aside| aside <= acked) {
            self.aside = None;
        }
        effects.push(Effect::Acked(acked));
    }

    /// The collector expects `at`: back to the start of its segment, or on past what is gone.
    fn rewind(&mut self, now: Now, answer: &Answer, backlog: &Backlog, effects: &mut Vec<Effect>) {
        let at = answer.at;
        if at.n() == 0 {
            return self.put_off(now, None);
        }
        if answer.case == Case::Base && self.base_at == Some(at) {
            return self.set_aside(now, at, backlog, effects);
        }
        let before = self.cursor;
        if at <= before {
            // A wiped or restored collector: what it lost is sent again as far as it is held.
            self.cursor = Seq(answer.acked.0.min(at.0 - 1));
        } else {
            self.acked(answer.acked.min(Seq(at.0 - 1)), effects);
        }
        self.base_at = (answer.case == Case::Base).then_some(at);
        self.meet(answer.store, effects);
        self.loading = true;
        let oldest = backlog.first().filter(|first| at.n() == 1 && *first < at);
        let start = backlog.segment_of(at).map(|segment| segment.first);
        match (oldest, start) {
            (Some(oldest), _) if at <= before => self.from = oldest,
            (_, Some(start)) => self.from = start,
            (_, None) => self.pass_over(at, before, backlog, effects),
        }
        self.retry_soon(now);
    }

    /// Goes on with the next frame held, and declares the numbers before it.
    fn pass_over(
        &mut self,
        at: Seq,
        acked_before: Seq,
        backlog: &Backlog,
        effects: &mut Vec<Effect>,
    ) {
        let Some(next) = backlog.at_or_after(at) else { return };
        self.from = next;
        // Of an older incarnation nothing is left to send: its numbers end with what was applied.
        let first = if next.incarnation() == at.incarnation() {
            at
        } else {
            Seq::new(next.incarnation(), 1)
        };
        if first == next {
            return;
        }
        let last = Seq(next.0 - 1);
        let acked = Skip { first, last: last.min(acked_before), reason: SkipReason::Store };
        if acked.first <= acked.last {
            self.declare_own(acked, effects);
        }
        let first = first.max(Seq(acked_before.0 + 1));
        if first <= last {
            self.declare_own(Skip { first, last, reason: SkipReason::Corrupt }, effects);
        }
    }

    fn set_aside(&mut self, now: Now, at: Seq, backlog: &Backlog, effects: &mut Vec<Effect>) {
        if at.n() == 0 || backlog.segment_of(at).is_none() {
            // The body as a whole, or a frame no longer held: the same again, later.
            return self.put_off(now, None);
        }
        effects.push(Effect::SetAside(at));
        self.aside = Some(at);
        self.base_at = None;
        if backlog.segment_of(at).map(|segment| segment.last) == backlog.last() {
            effects.push(Effect::Cut);
        }
        self.retry_soon(now);
    }

    /// A segment set aside that no longer grows is declared.
    fn close_aside(&mut self, backlog: &Backlog, effects: &mut Vec<Effect>) {
        let Some(at) = self.aside else { return };
        match backlog.segment_of(at) {
            Some(segment) if backlog.last() == Some(segment.last) => {}
            Some(Segment { last, .. }) => {
                let skip = Skip { first: at, last: *last, reason: SkipReason::Refused };
                self.from = Seq(last.0 + 1);
                self.declare_own(skip, effects);
                self.aside = None;
            }
            None => self.aside = None,
        }
    }

    /// The next frame to send.
    fn next_frame(&self, backlog: &Backlog) -> Option<Seq> {
        let waits = self.aside.and_then(|at| backlog.segment_of(at));
        if waits.is_some_and(|segment| backlog.last() == Some(segment.last)) {
            return None;
        }
        backlog.at_or_after(self.from)
    }

    fn send(&mut self, now: Now, backlog: &Backlog, effects: &mut Vec<Effect>) {
        if self.in_flight || self.saying_goodbye || now.mono < self.not_before {
            return;
        }
        self.close_aside(backlog, effects);
        let from = self.next_frame(backlog);
        let goodbye = self.stopping && from.is_none();
        if !std::mem::take(&mut self.asks) && from.is_none() && !goodbye {
            return;
        }
        self.in_flight = true;
        self.saying_goodbye = goodbye;
        let skips = self.skips.iter().take(limit::SKIPS).copied().collect();
        effects.push(Effect::Send(Request { from, skips, goodbye }));
    }

    fn put_off(&mut self, now: Now, retry_after: Option<Duration>) {
        self.standing = Standing::Retrying;
        self.not_before = now.mono + self.pause(retry_after);
    }

    /// A rewind is no failure of the collector, but may not spin.
    fn retry_soon(&mut self, now: Now) {
        if self.failures > 0 {
            self.not_before = now.mono + self.pause(None);
        } else {
            self.failures = 1;
            self.not_before = Mono::default();
        }
    }

    /// 0.1 s doubling to 5 s, of which up to a quarter is taken off.
    fn pause(&mut self, retry_after: Option<Duration>) -> Duration {
        let doubled = RETRY_MIN.saturating_mul(1 << self.failures.min(10)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let jitter = doubled / 1024 * u32::try_from(self.seed >> 56).unwrap_or(0);
        let pause = doubled.saturating_sub(jitter);
        retry_after.map_or(pause, |asked| pause.max(asked.min(RETRY_AFTER_MAX)))
    }
}
