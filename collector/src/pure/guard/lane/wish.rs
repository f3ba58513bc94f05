//! From a wish to a signal.

use std::sync::Arc;

use bellwether_model::signal::{Data, Kind, NAME_BYTES_MAX, Precondition, Signal, is_name};
use bellwether_model::time::{Now, Timestamp, date_millis};
use bellwether_rules::record::Hash;

use super::super::record::{Close, Intent, Record};
use super::answer;
use super::due::Away;
use super::effect::{Effect, Wanted, Wish};
use super::state::{LaneKey, Open};
use super::{LANES, LIFETIME, Lanes, WAITING, Waiting, no_hook};

impl Lanes {
    /// Has a hook asked for something. The same wish again, also after a start, is none.
    #[must_use]
    pub fn want(&mut self, now: Now, wish: Wish, out: &mut Vec<Effect>) -> Wanted {
        self.start(now.wall, out);
        if !is_fit(&wish) {
            return Wanted::Unfit;
        }
        if self.is_known(&wish) {
            return Wanted::Known;
        }
        let has_lane =
            self.state.lanes.contains_key(&lane_of(&wish)) || self.state.lanes.len() < LANES;
        if !has_lane || self.waiting.len() >= WAITING {
            self.stats.full += 1;
            return Wanted::Full;
        }
        if wish.kind == Kind::Rollback {
            self.waiting.retain(|other| other.wish.rollout != wish.rollout);
        }
        let Some(wish) = self.begin(now.wall, wish, out) else { return Wanted::Intended };
        let place = match wish.kind {
            Kind::Hold => self.waiting.len(),
            Kind::Rollback => {
                self.waiting.iter().take_while(|other| other.wish.kind == Kind::Rollback).count()
            }
        };
        let key = key(wish.kind, &wish);
        self.waiting.insert(place, Waiting { key, wish });
        Wanted::Waits
    }

    fn is_known(&self, wish: &Wish) -> bool {
        let key_now = key(self.kind_now(wish), wish);
        let key = key(wish.kind, wish);
        let is_same = |other: &Waiting| other.key == key;
        let mut keys = self.state.known().map(|intent| &*intent.key);
        if keys.any(|known| *known == *key || *known == *key_now)
            || self.waiting.iter().any(is_same)
        {
            return true;
        }
        let rolls_back =
            |kind: Kind, rollout: &str| kind == Kind::Rollback && *rollout == *wish.rollout;
        let mut waiting = self.waiting.iter().map(|other| &other.wish);
        let waits = waiting.any(|other| rolls_back(other.kind, &other.rollout));
        let mut known: Box<dyn Iterator<Item = &Intent>> = match wish.kind {
            Kind::Rollback => Box::new(self.state.known()),
            Kind::Hold => Box::new(self.state.open().map(|open| &*open.intent)),
        };
        waits || known.any(|intent| rolls_back(intent.kind, &intent.rollout))
    }

    /// Makes signals of what waits, where its lane lets it.
    pub(super) fn advance(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        for Waiting { key, wish } in std::mem::take(&mut self.waiting) {
            let left = self.begin(now, wish, out);
            self.waiting.extend(left.map(|wish| Waiting { key, wish }));
        }
    }

    /// Makes a signal of a wish, or gives it back if its lane has an open signal.
    fn begin(&mut self, now: Timestamp, wish: Wish, out: &mut Vec<Effect>) -> Option<Wish> {
        let is_hold = self.kind_now(&wish) == Kind::Hold;
        if let Some(open) = self.in_the_way(&wish) {
            if is_hold || open.intent.kind == Kind::Rollback {
                return Some(wish);
            }
            let (number, detail) = (open.intent.number, "a rollback takes its place");
            self.close(now, number, Close::Withdrawn, detail.to_owned(), out);
        }
        self.intend(now, wish, out);
        None
    }

    /// The open signal of a wish's lane.
    fn in_the_way(&self, wish: &Wish) -> Option<&Open> {
        let lane = self.state.lanes.get(&lane_of(wish))?;
        self.state.open.get(&lane.open?)
    }

    /// What a wish is now: nothing is rolled back to a version that was rolled back itself, but
    /// where a person says so.
    fn kind_now(&self, wish: &Wish) -> Kind {
        let is_bad = self.state.was_rolled_back(&lane_of(wish), &wish.to);
        if is_bad && !wish.confirmed { Kind::Hold } else { wish.kind }
    }

    fn intend(&mut self, now: Timestamp, wish: Wish, out: &mut Vec<Effect>) {
        let kind = self.kind_now(&wish);
        let key = key(kind, &wish);
        if self.state.known().any(|intent| *intent.key == *key) {
            return;
        }
        let lane = self.state.lanes.get(&lane_of(&wish));
        let generation = lane.map_or(0, |lane| lane.generation) + 1;
        let deadline = now.saturating_add(LIFETIME);
        let reason = if kind == wish.kind {
            wish.reason.clone()
        } else {
            format!("{} was rolled back itself, so a person decides: {}", wish.to, wish.reason)
        };
        let signal = Signal {
            kind,
            timestamp: date_millis(now),
            data: Data {
                key: key.clone(),
                generation,
                service: wish.service.to_string(),
                environment: wish.environment.to_string(),
                rollout: wish.rollout.to_string(),
                from: wish.from.to_string(),
                to: wish.to.to_string(),
                precondition: Precondition { current_version: wish.from.to_string() },
                deadline: date_millis(deadline),
                reason: answer::plain(&reason),
                record: wish.record,
            },
        };
        let body = serde_json::to_vec(&signal).expect("invariant: texts and numbers");
        let number = self.state.made + 1;
        let intent = Arc::new(Intent {
            number,
            rollout: wish.rollout,
            service: wish.service,
            environment: wish.environment,
            generation,
            key: key.into(),
            kind,
            from: wish.from,
            to: wish.to,
            hook: wish.hook.unwrap_or_default(),
            body: body.into(),
            at: now,
            deadline,
        });
        *self.stats.intended.entry(kind.name()).or_default() += 1;
        self.away.insert(number, Away::new(&intent, None, now));
        self.record(Record::Intended(Arc::clone(&intent)), out);
        if self.hooks.0.contains_key(&intent.hook) {
            self.attempt(now, number, out);
        } else {
            self.close(now, number, Close::Failed, no_hook(&intent), out);
        }
    }
}

/// Whether the names of a wish are names, so that a signal of it fits its bounds.
fn is_fit(wish: &Wish) -> bool {
    let names = [&wish.rollout, &wish.service, &wish.environment, &wish.from, &wish.to];
    let is_short = |text: &str| text.len() <= 2 * NAME_BYTES_MAX;
    names.into_iter().chain(&wish.hook).all(|name| is_name(name))
        && wish.record.iter().all(|record| is_short(&record.name) && is_short(&record.sha256))
}

fn lane_of(wish: &Wish) -> LaneKey {
    let (service, environment) = (&wish.service, &wish.environment);
    LaneKey { service: Arc::clone(service), environment: Arc::clone(environment) }
}

/// The identity of a wish: SHA-256 of what is asked and of what about, a zero byte after each.
fn key(kind: Kind, wish: &Wish) -> String {
    let kind = match kind {
        Kind::Rollback => "rollback.requested",
        Kind::Hold => "deploy.hold",
    };
    let mut bytes = Vec::new();
    let Wish { service, environment, rollout, from, to, .. } = wish;
    let at = date_millis(wish.announced_at);
    for text in [kind, service, environment, rollout, from, to, &at] {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    Hash::of(&bytes).to_string()
}
