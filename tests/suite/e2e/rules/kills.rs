//! `kill -9` of the collector in every state of an alert.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_tests::harness::until;
use serde_json::Value;

use super::super::pair::{COLLECTOR, Pair};
use super::host::Host;
use super::receiver::{Manner, Receiver, Request};
use super::{LATER, active, data, evaluated, listed, telling, told_figure};

const RULES: &str = "
groups:
  - name: held
    interval: 200ms
    rules:
      - alert: Held
        expr: light_total > 0
        for: 2s
        annotations: {summary: 'it is {{ $value }}'}
";
const OPS: &str = "receiver=\"ops\"";
/// Evaluations after which something that would be told has been.
const SOME: u32 = 10;
/// Times that the alert comes and goes.
const EPISODES: usize = 3;

/// A collector that is killed and started, its host, and who is told.
struct Life {
    pair: Pair,
    host: Host,
    receiver: Receiver,
    /// Requests that came before the last start.
    before: usize,
    /// Attempts that the collectors that were killed counted as repeated.
    repeated: u64,
}

impl Life {
    fn start() -> Life {
        let receiver = Receiver::start(&[]);
        let pair = telling("kills", RULES, &receiver);
        let host = Host::start(&pair.collector);
        Life { pair, host, receiver, before: 0, repeated: 0 }
    }

    /// Kills the collector and starts it on what is left, once its page counts all attempts that
    /// have come.
    fn kill(&mut self) {
        self.repeated += self.counted();
        self.pair.process(COLLECTOR).kill();
        self.before = self.receiver.requests().len();
        self.pair.start_collector();
        evaluated(&self.pair, 2);
    }

    /// What this collector counts as repeated, once its page counts all attempts that have come.
    fn counted(&self) -> u64 {
        until("all attempts counted", LATER, || {
            let attempts = told_figure(&self.pair, "attempts", OPS);
            let came = self.receiver.requests().len() - self.before;
            (attempts == came as u64).then(|| told_figure(&self.pair, "repeated", OPS))
        })
    }

    /// The request after so many.
    fn request(&self, count: usize) -> Request {
        until("a request", LATER, || self.receiver.requests().get(count).cloned())
    }

    /// The receiver takes a notification whose answer is lost by a kill, and gets it once more.
    fn cut_off(&mut self, count: usize) -> Request {
        let first = self.request(count);
        assert!(!first.is_repeated);
        self.receiver.becomes(Manner::Take);
        let repeated = self.repeated;
        self.kill();
        assert_eq!(self.repeated, repeated, "the first attempt repeats nothing");
        let second = self.request(count + 1);
        assert!(second.is_repeated, "it says that it may have come");
        assert_eq!((&second.id, &second.text), (&first.id, &first.text));
        assert_eq!(self.counted(), 1);
        first
    }

    fn knows(&self, knows: bool) -> Value {
        let what = format!("a receiver that knows: {knows}");
        listed(&self.pair, &what, |alert| alert["told"][0]["knows"] == knows)
    }

    fn is_quiet(&self) {
        let before = self.ids().len();
        evaluated(&self.pair, SOME);
        assert_eq!(self.ids().len(), before, "nothing new is told");
    }

    fn says_one_thing_under_one_id(&self) {
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        for Request { id, text, .. } in self.receiver.requests() {
            assert_eq!(*texts.entry(id).or_insert_with(|| text.clone()), text, "other bytes");
        }
    }

    /// Notifications that the receiver took, each with how often.
    fn ids(&self) -> BTreeMap<String, usize> {
        let mut ids = BTreeMap::new();
        for request in self.receiver.taken() {
            *ids.entry(request.id).or_default() += 1;
        }
        ids
    }
}

#[test]
fn an_alert_outlives_a_kill_of_its_collector_in_every_state() {
    let mut life = Life::start();
    // Not known.
    evaluated(&life.pair, 2);
    life.kill();
    assert_eq!(data(&life.pair, "/api/v1/alerts").unwrap()["alerts"], Value::Array(Vec::new()));

    // Pending.
    life.receiver.becomes(Manner::Late);
    life.host.set(1);
    let since = active(&life.pair, &["pending"])["activeAt"].take();
    life.kill();
    assert_eq!(active(&life.pair, &["pending", "firing"])["activeAt"], since);

    // Firing, its page on its way: taken, and the answer lost.
    let page = life.cut_off(0);
    assert_eq!(page.body()["status"], "firing");
    assert_eq!(active(&life.pair, &["firing"])["activeAt"], since);

    // Firing and told.
    assert_eq!(life.knows(true)["firing_since"], page.starts_at());
    life.kill();
    life.is_quiet();
    assert_eq!(active(&life.pair, &["firing"])["activeAt"], since);
    assert_eq!(life.knows(true)["firing_since"], page.starts_at());

    // Resolved, the end on its way.
    let came = life.receiver.requests().len();
    life.receiver.becomes(Manner::Late);
    life.host.set(0);
    let end = life.cut_off(came);
    assert_eq!(end.body()["status"], "resolved");
    assert_eq!(end.starts_at(), page.starts_at());

    // Resolved and told.
    let over = life.knows(false);
    assert_eq!(over["resolved_at"], end.body()["alerts"][0]["endsAt"]);
    life.kill();
    life.is_quiet();
    let again = life.knows(false);
    for field in ["active_at", "firing_since", "resolved_at", "state"] {
        assert_eq!(again[field], over[field], "{field}");
    }
    assert_eq!(data(&life.pair, "/api/v1/alerts").unwrap()["alerts"], Value::Array(Vec::new()));

    never_told_while_it_fired(&mut life);
    let doubles: usize = life.ids().values().map(|count| count - 1).sum();
    assert!(doubles >= 2, "{doubles}");
    // An attempt that a kill cut off and that had not arrived counts as well.
    let counted = life.repeated + life.counted();
    assert!(doubles as u64 <= counted, "{doubles} doubles, {counted} counted");
    life.says_one_thing_under_one_id();
}

/// It fires again, and is over before anybody could be told: killed while it fires, and after.
fn never_told_while_it_fired(life: &mut Life) {
    let came = life.receiver.requests().len();
    life.receiver.becomes(Manner::Say(429, "retry-after: 5\r\n", "not now"));
    life.host.set(1);
    let since = active(&life.pair, &["firing"])["activeAt"].take();
    let page = life.request(came);
    assert_eq!(page.body()["status"], "firing");
    life.kill();
    assert_eq!(active(&life.pair, &["firing"])["activeAt"], since);
    life.host.set(0);
    let over = listed(&life.pair, "the end", |alert| alert["state"] == "resolved");
    assert_eq!(over["firing_since"], page.starts_at());
    life.kill();
    life.receiver.becomes(Manner::Take);
    let told = until("the page", LATER, || {
        let taken = life.receiver.taken();
        taken.into_iter().find(|request| request.starts_at() == page.starts_at())
    });
    assert_eq!(told.body()["status"], "resolved");
    assert_eq!(told.body()["alerts"][0]["endsAt"], over["resolved_at"]);
}

/// Between the arrival of a notification and the record of its outcome a kill leaves only the
/// intent, or the outcome as well.
#[test]
fn a_collector_killed_whenever_it_has_told_something_loses_nothing_and_tells_it_twice_at_most() {
    let mut life = Life::start();
    let (mut seen, mut starts) = (BTreeSet::new(), Vec::new());
    for _ in 0..EPISODES {
        for (value, status) in [(1, "firing"), (0, "resolved")] {
            life.host.set(value);
            let told = until(status, LATER, || {
                let mut taken = life.receiver.taken().into_iter();
                taken.find(|request| !seen.contains(&request.id))
            });
            life.pair.process(COLLECTOR).kill();
            life.pair.start_collector();
            assert_eq!(told.body()["status"], status);
            if value == 1 {
                starts.push(told.starts_at());
            }
            assert_eq!(starts.last(), Some(&told.starts_at()));
            seen.insert(told.id);
        }
    }
    life.knows(false);
    life.is_quiet();
    let ids = life.ids();
    assert_eq!(ids.keys().cloned().collect::<BTreeSet<_>>(), seen);
    assert!(ids.values().all(|count| *count <= 2), "{ids:?}");
    assert_eq!(seen.len(), 2 * EPISODES);
    starts.sort_by_key(Value::to_string);
    starts.dedup();
    assert_eq!(starts.len(), EPISODES);
    life.says_one_thing_under_one_id();
}
