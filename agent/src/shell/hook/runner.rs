//! The runner without its waiting: signals and ends of programs in, programs and answers out.
//!
//! One owner has every lane and the ledger. What the ledger must have is on the disk before the
//! next step is taken, so that killing the process at any point leaves a ledger to go on from.

use std::collections::VecDeque;
use std::time::Duration;

use bellwether_model::signal::{Answer, Signal, Signals, Status};
use bellwether_model::time::{Mono, Now};
use bellwether_platform::sign::SigningKey;

use super::ledger::Ledger;
use crate::pure::hook::Lane;
use crate::pure::hook::config::AllowPlan;
use crate::pure::hook::decide::{Arrived, Effect, Event, LaneMachine, Sight, answer, orphaned};
use crate::pure::hook::ledger::{Known, Started};
use crate::pure::hook::verify::{Distrust, allowed, believe};

/// Signals of one answer that are looked at; more are left for the next.
const SIGNALS_MAX: usize = 64;
/// Keys that a poll says were seen.
const SEEN_MAX: usize = 16;
/// How long an answered key counts as seen: an answer that was lost is asked for again.
const SEEN_TIME: Duration = Duration::from_secs(30);

/// Starts programs; what becomes of each comes back as an event of its lane.
pub trait Programs {
    /// Starts the program that prints what serves; [`Event::Observed`] follows.
    fn observe(&mut self, lane: usize, plan: &AllowPlan);

    /// Starts the program of a signal; [`Event::Ended`] follows.
    fn run(&mut self, lane: usize, plan: &AllowPlan, signal: &Signal);
}

/// What became of the signals of one answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Signals that were new.
    pub taken: usize,
    /// Signals that were not believed.
    pub distrusted: Vec<Distrust>,
}

/// All lanes and their ledger.
pub struct Runner<P> {
    allow: Vec<AllowPlan>,
    lanes: Vec<LaneState>,
    ledger: Ledger,
    programs: P,
    answers: Vec<Answer>,
    answered: VecDeque<(Mono, String)>,
    faults: Vec<String>,
}

struct LaneState {
    machine: LaneMachine,
    /// Nothing that an earlier process started may still run.
    is_free: bool,
    /// What was cut off and is not looked into yet.
    cut_off: VecDeque<Started>,
}

impl<P: Programs> Runner<P> {
    /// A runner whose lanes are not free yet; see [`Runner::free`].
    pub fn new(
        now: Now,
        allow: Vec<AllowPlan>,
        (ledger, cut_off): (Ledger, Vec<Started>),
        programs: P,
    ) -> Runner<P> {
        let lane = |plan: &AllowPlan| {
            let sight = if plan.observe.is_some() { Sight::Observed } else { Sight::Blind };
            let machine = LaneMachine::new(sight);
            LaneState { machine, is_free: false, cut_off: VecDeque::new() }
        };
        let mut runner = Runner {
            lanes: allow.iter().map(lane).collect(),
            allow,
            ledger,
            programs,
            answers: Vec::new(),
            answered: VecDeque::new(),
            faults: Vec::new(),
        };
        for started in cut_off {
            let lane = Lane::of(&started.signal);
            let found = runner.allow.iter().position(|plan| plan.lane == lane);
            match found.and_then(|at| runner.lanes.get_mut(at)) {
                Some(state) => state.cut_off.push_back(started),
                None => {
                    let done = orphaned(now.wall, started);
                    runner.faults.extend(runner.ledger.finish(&done).err());
                    runner.tell(now, done.answer);
                }
            }
        }
        runner
    }

    /// Nothing of an earlier process runs in a lane any more.
    pub fn free(&mut self, now: Now, at: usize) {
        self.lane(at).is_free = true;
        self.next(now, at);
    }

    /// Takes the signals of an answer.
    pub fn take(&mut self, now: Now, key: &SigningKey, signals: &Signals) -> Taken {
        let mut done = Taken::default();
        for signed in signals.signals.iter().take(SIGNALS_MAX) {
            let signal = match believe(signed, key, now.wall) {
                Ok(signal) => signal,
                Err(distrust) => {
                    done.distrusted.push(distrust);
                    continue;
                }
            };
            let at = match allowed(&self.allow, &signal) {
                Ok(at) => at,
                Err(words) => {
                    self.tell(now, answer(&signal, Status::Refused, words));
                    continue;
                }
            };
            let lane = self.lane(at);
            if lane.is_free && lane.machine.key().is_none() {
                done.taken += 1;
                let known = match self.ledger.known(&signal.data.key) {
                    Ok(known) => known,
                    Err(error) => {
                        let answer = answer(&signal, Status::Failed, error.to_string());
                        self.tell(now, Answer { retry: true, ..answer });
                        continue;
                    }
                };
                let highest = self.ledger.highest(&Lane::of(&signal)).cloned();
                let arrived = Arrived { signal, known, highest };
                self.on(now, at, Event::Arrived(Box::new(arrived)));
            }
        }
        done
    }

    /// Takes an event of a lane.
    pub fn on(&mut self, now: Now, at: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Vec::new();
            self.lane(at).machine.step(now.wall, event, &mut effects);
            for effect in effects {
                events.extend(self.effect(now, at, effect));
            }
        }
        self.next(now, at);
    }

    fn effect(&mut self, now: Now, at: usize, effect: Effect) -> Option<Event> {
        let plan = self.allow.get(at).expect("invariant: a lane for each entry");
        match effect {
            Effect::Observe => self.programs.observe(at, plan),
            Effect::Run(signal) => self.programs.run(at, plan, &signal),
            Effect::Begin(started) => {
                return Some(match self.ledger.begin(now.wall, &started) {
                    Ok(()) => Event::Begun,
                    Err(why) => Event::NotBegun(why),
                });
            }
            Effect::Keep(done) => {
                self.faults.extend(self.ledger.finish(&done).err());
                return Some(Event::Kept);
            }
            Effect::Answer(answer) => self.tell(now, answer),
        }
        None
    }

    /// Looks into the next thing that was cut off, if there is time.
    fn next(&mut self, now: Now, at: usize) {
        let lane = self.lane(at);
        if !lane.is_free || lane.machine.key().is_some() {
            return;
        }
        let Some(started) = lane.cut_off.pop_front() else { return };
        // The collector may have asked for it in the meantime.
        match self.ledger.known(&started.signal.data.key) {
            Ok(Known::Started(_)) => self.on(now, at, Event::CutOff(Box::new(started))),
            Ok(_) => self.next(now, at),
            // It is looked into when it is asked for.
            Err(error) => self.faults.push(error.to_string()),
        }
    }

    fn tell(&mut self, now: Now, answer: Answer) {
        if answer.status != Status::Accepted {
            self.answered.retain(|(_, key)| *key != answer.key);
            self.answered.push_back((now.mono, answer.key.clone()));
            if self.answered.len() > SEEN_MAX {
                self.answered.pop_front();
            }
        }
        self.answers.push(answer);
    }

    /// The answers since the last call, in their order.
    pub fn answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// Failures of the ledger that did not keep anything from being answered, since the last call.
    pub fn faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    /// The keys that need not come again now: under way, or answered a moment ago.
    #[must_use]
    pub fn seen(&self, now: Now) -> Vec<String> {
        let under_way = self.lanes.iter().filter_map(|lane| lane.machine.key());
        let recent = self.answered.iter().rev();
        let recent = recent.filter(|(at, _)| now.mono.since(*at) < SEEN_TIME);
        let keys = under_way.map(str::to_owned).chain(recent.map(|(_, key)| key.clone()));
        keys.take(SEEN_MAX).collect()
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.machine.key().is_none())
    }

    /// Whether a lane was said to be free.
    #[must_use]
    pub fn is_free(&self, at: usize) -> bool {
        self.lanes.get(at).is_some_and(|lane| lane.is_free)
    }

    /// Removes old entries of the ledger.
    pub fn prune(&mut self, now: Now) {
        self.faults.extend(self.ledger.prune(now.wall).err());
    }

    /// What starts programs.
    pub fn programs(&mut self) -> &mut P {
        &mut self.programs
    }

    fn lane(&mut self, at: usize) -> &mut LaneState {
        self.lanes.get_mut(at).expect("invariant: a lane for each entry")
    }
}

#[cfg(test)]
mod tests;
