//! What must hold of signals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_collector::pure::entry::Entry;
use bellwether_collector::pure::guard::lane::effect::Wish;
use bellwether_collector::pure::guard::lane::state::LanesState;
use bellwether_collector::pure::guard::record::{Close, Intent, Record};
use bellwether_model::signal::{Answer, Kind, Signal, Status};
use bellwether_model::wire::bytes::Reader;

use super::super::Millis;
use super::super::paging::Counts;

/// What was ever seen outside the collector.
#[derive(Default)]
pub(super) struct Checks {
    /// The body of each key.
    bodies: BTreeMap<String, Vec<u8>>,
    /// The key of each service's generation.
    generations: BTreeMap<(String, u64), String>,
    /// How often a rollout was rolled back.
    effects: BTreeMap<String, u64>,
}

pub(super) fn signal(body: &[u8]) -> Result<Signal, String> {
    serde_json::from_slice(body).map_err(|error| format!("no signal: {error}"))
}

pub(super) fn records(entries: &[Vec<u8>]) -> Result<Vec<Record>, String> {
    let mut all = Vec::new();
    for (number, bytes) in entries.iter().enumerate() {
        match Entry::read(bytes) {
            Ok(Entry::Rollouts(records)) => all.extend(records),
            other => return Err(format!("entry {number} is {other:?}")),
        }
    }
    Ok(all)
}

/// The state that entries add up to, as a checkpoint gives it back.
pub(super) fn fold(entries: &[Vec<u8>]) -> Result<LanesState, String> {
    let mut state = LanesState::default();
    records(entries)?.iter().for_each(|record| state.apply(record));
    let mut bytes = Vec::new();
    state.put(&mut bytes);
    let again = LanesState::take(&mut Reader::new(&bytes)).map_err(|error| error.to_string())?;
    if again == state { Ok(again) } else { Err(format!("{state:?} comes back as {again:?}")) }
}

/// A signal that is open, as the journal has it.
struct Known {
    intent: Arc<Intent>,
    attempts: u32,
    close: Option<Close>,
}

/// Reads a journal with the rules of the contract, not with the product's fold: numbers and
/// generations rise by one, a lane has one open signal, a key one signal, a rollout one rollback,
/// no rollback goes to a version that was rolled back; nothing follows the end of a signal.
pub(super) fn journal(entries: &[Vec<u8>]) -> Result<(), String> {
    all_signals(entries).map(drop)
}

fn all_signals(entries: &[Vec<u8>]) -> Result<BTreeMap<u64, Known>, String> {
    let mut all: BTreeMap<u64, Known> = BTreeMap::new();
    for record in records(entries)? {
        let number = match &record {
            Record::Intended(intent) => {
                intended(intent, &all)?;
                let intent = Arc::clone(intent);
                all.insert(intent.number, Known { intent, attempts: 0, close: None });
                continue;
            }
            Record::Attempt { signal, .. }
            | Record::Answered { signal, .. }
            | Record::Observed { signal, .. }
            | Record::Closed { signal, .. } => signal,
            other => return Err(format!("not of signals: {other:?}")),
        };
        let known = all.get_mut(number).filter(|known| known.close.is_none());
        let known = known.ok_or_else(|| format!("{record:?} is of no open signal"))?;
        match &record {
            Record::Attempt { attempt, .. } => {
                if *attempt != known.attempts + 1 {
                    return Err(format!("{record:?} follows attempt {}", known.attempts));
                }
                known.attempts = *attempt;
            }
            Record::Answered { answer, .. } if *answer.key != *known.intent.key => {
                return Err(format!("{record:?} is of another key"));
            }
            Record::Closed { outcome, .. } => known.close = Some(*outcome),
            _ => {}
        }
    }
    Ok(all)
}

fn intended(intent: &Arc<Intent>, all: &BTreeMap<u64, Known>) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {intent:?}"));
    let signal = signal(&intent.body)?;
    let said = (signal.kind, signal.data.generation, signal.data.key.as_str());
    if said != (intent.kind, intent.generation, &*intent.key) {
        return wrong("the body says something else");
    }
    if intent.number != all.len() as u64 + 1 {
        return wrong("numbers do not rise by one");
    }
    let lane: Vec<&Known> =
        all.values().filter(|known| known.intent.service == intent.service).collect();
    if intent.generation != lane.len() as u64 + 1 {
        return wrong("generations do not rise by one");
    }
    if lane.iter().any(|known| known.close.is_none()) {
        return wrong("another is open");
    }
    if all.values().any(|known| known.intent.key == intent.key) {
        return wrong("the key was there before");
    }
    let mut rollbacks = lane.iter().filter(|known| known.intent.kind == Kind::Rollback);
    if intent.kind == Kind::Rollback
        && rollbacks.clone().any(|known| known.intent.rollout == intent.rollout)
    {
        return wrong("the rollout was rolled back before");
    }
    let is_bad =
        |known: &&&Known| known.intent.from == intent.to && known.close != Some(Close::Withdrawn);
    if intent.kind == Kind::Rollback && rollbacks.find(is_bad).is_some() {
        return wrong("the version was rolled back itself");
    }
    Ok(())
}

/// A runner is told that it was heard: what it said is durable, or it says no more than is.
pub(super) fn heard(durable: &[Vec<u8>], answer: &Answer) -> Result<(), String> {
    let signals = all_signals(durable)?;
    let known = signals.values().find(|known| *known.intent.key == *answer.key);
    let Some(known) = known else {
        return Err(format!("{answer:?} is heard, and its signal is not durable"));
    };
    let of_it = records(durable)?.into_iter().filter_map(|record| match record {
        Record::Answered { signal, answer, .. } if signal == known.intent.number => Some(answer),
        _ => None,
    });
    let says_as_much = |held: Answer| {
        held == *answer
            || matches!(held.status, Status::Done | Status::AlreadyDone)
            || answer.status == held.status
    };
    if known.close.is_some() || of_it.into_iter().any(says_as_much) {
        return Ok(());
    }
    Err(format!("{answer:?} is heard and not durable"))
}

impl Checks {
    /// Something is shown to the world: it is durable, and the same as ever.
    pub(super) fn leaves(
        &mut self,
        durable: &[Vec<u8>],
        number: u64,
        body: &[u8],
    ) -> Result<(), String> {
        let data = signal(body)?.data;
        if self.bodies.get(&data.key).is_some_and(|first| first == body) {
            // It was durable then, and stays so.
            return Ok(());
        }
        let signals = all_signals(durable)?;
        let known = signals.get(&number).filter(|known| known.attempts > 0);
        if known.is_none_or(|known| *known.intent.body != *body) {
            return Err(format!("signal {number} leaves and is not durable"));
        }
        let first = self.bodies.entry(data.key.clone()).or_insert_with(|| body.to_vec());
        if first != body {
            return Err(format!("{} has two bodies", data.key));
        }
        let generation = (data.service.clone(), data.generation);
        let key = self.generations.entry(generation).or_insert_with(|| data.key.clone());
        if *key != data.key {
            return Err(format!("generation {} of {} is twice", data.generation, data.service));
        }
        Ok(())
    }

    /// A hook's program has acted; gives how often for its rollout.
    pub(super) fn acts(&mut self, signal: &Signal, has_ledger: bool) -> Result<u64, String> {
        let rollout = &signal.data.rollout;
        let times = self.effects.entry(rollout.clone()).or_default();
        *times += 1;
        if has_ledger && *times > 1 {
            return Err(format!("{rollout} was rolled back {times} times"));
        }
        Ok(*times)
    }

    /// At the end: nothing is open, and no wish was forgotten.
    pub(super) fn finish(
        &self,
        entries: &[Vec<u8>],
        wishes: &[Wish],
        aborted: &BTreeMap<Arc<str>, Millis>,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let signals = all_signals(entries)?;
        if let Some(open) = signals.values().find(|known| known.close.is_none()) {
            return Err(format!("{:?} is open at the end", open.intent));
        }
        let known: BTreeSet<&Arc<str>> = signals.values().map(|k| &k.intent.rollout).collect();
        let lives = wishes.iter().filter(|wish| !aborted.contains_key(&wish.rollout));
        for wish in lives {
            if !known.contains(&wish.rollout) {
                return Err(format!("nothing was ever asked for {}", wish.rollout));
            }
        }
        let tried = signals.values().filter(|known| known.attempts > 1).count();
        *counts.entry("tried more than once").or_default() += tried as u64;
        Ok(())
    }
}
