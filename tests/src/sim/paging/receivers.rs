//! Receivers of alerts, and what must have come to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwether_collector::pure::notify::plan::{
    AlertmanagerPlan, Endpoint, GroupBy, NotifyPlan, ReceiverPlan,
};
use bellwether_collector::pure::notify::record::{
    Failure, Intent, Outcome, Record, RetryAfter, ToldAlert, Verdict,
};
use bellwether_model::config::Secret;
use bellwether_model::id::Position;
use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use bellwether_platform::disk::sim::SplitMix;
use bellwether_platform::tls::ClientFiles;

use super::super::Millis;
use super::model::Owed;
use super::{Counts, Ledger, Written};

const REPEAT: Duration = Duration::from_secs(60);

/// An alert, since when it fires, and until when.
type Told = (LabelSet, Timestamp, Option<Timestamp>);

/// All receivers.
pub(super) struct Receivers {
    random: SplitMix,
    /// What came under an id, and how often.
    came: BTreeMap<String, (Vec<u8>, u64)>,
    /// What came to each receiver: id and time.
    log: BTreeMap<Arc<str>, Vec<(String, Millis)>>,
    /// Every intent that was ever journalled, lost ones among them.
    intents: BTreeMap<String, Arc<Intent>>,
    seen: Position,
}

/// Two receivers: one told group by group, one of all alerts together; and an Alertmanager.
pub(super) fn plan() -> NotifyPlan {
    let by =
        |names: &[&str]| GroupBy::Labels(names.iter().map(|name| (*name).to_owned()).collect());
    let endpoint = || Endpoint {
        url: Secret::text("http://receiver.invalid/"),
        authorization: None,
        tls: ClientFiles { ca: None, identity: None },
        way: None,
        timeout: Duration::from_secs(5),
    };
    let receivers = [("all", by(&[])), ("each", by(&["alertname"]))];
    let receivers = receivers.map(|(name, group_by)| {
        let plan = ReceiverPlan {
            name: name.into(),
            endpoint: endpoint(),
            secrets: Vec::new(),
            send_resolved: true,
            max_alerts: 0,
            matchers: Vec::new(),
            group_by,
            group_wait: Duration::from_secs(1),
            group_interval: Duration::from_secs(5),
            repeat_interval: REPEAT,
            deadline: Duration::from_secs(40),
        };
        (Arc::from(name), Arc::new(plan))
    });
    let alertmanager = AlertmanagerPlan { name: "old".into(), endpoint: endpoint() };
    NotifyPlan {
        receivers: receivers.into_iter().collect(),
        alertmanagers: vec![Arc::new(alertmanager)],
        ..NotifyPlan::default()
    }
}

impl Receivers {
    pub(super) fn new(seed: u64) -> Receivers {
        Receivers {
            random: SplitMix(seed),
            came: BTreeMap::new(),
            log: BTreeMap::new(),
            intents: BTreeMap::new(),
            seen: Position(0),
        }
    }

    /// Takes note of intents that are journalled.
    pub(super) fn intended(&mut self, ledger: &Ledger) {
        // Positions come again after a cut of what was not durable.
        let newest = ledger.last_key_value().map_or(Position(0), |(position, _)| *position);
        let from = Position(self.seen.0.min(newest.0).saturating_sub(64));
        for record in ledger.range(from..).flat_map(|(_, entry)| entry.records()) {
            if let Record::Intent(intent) = record {
                self.intents.insert(intent.id.clone(), Arc::clone(intent));
            }
        }
        self.seen = newest;
    }

    /// How a receiver behaves: whether it has got what was sent, what it says, and when.
    pub(super) fn answer(&mut self, faulty: bool) -> (bool, Outcome, Millis) {
        let soon = 1 + self.random.below(200);
        if !faulty || self.random.once_in(3) {
            return (true, Outcome::answered(200, None, ""), soon);
        }
        match self.random.below(6) {
            0 => (false, Outcome::answered(503, None, "away"), soon),
            1 => (false, Outcome::answered(429, Some(RetryAfter::Seconds(3)), "slowly"), soon),
            2 => (false, Outcome::failed(Failure::Unreachable, "refused"), soon),
            // It has come, and nobody is told so.
            3 => (true, Outcome::failed(Failure::TimedOut, "no answer"), 5000),
            4 => (true, Outcome::answered(500, None, "after the work was done"), soon),
            _ => (true, Outcome::answered(200, None, "late"), 4000),
        }
    }

    /// Something has come.
    pub(super) fn take(
        &mut self,
        (name, id): (&Arc<str>, &str),
        now: Millis,
        body: &[u8],
    ) -> Result<(), String> {
        let (first, count) = self.came.entry(id.to_owned()).or_insert((body.to_vec(), 0));
        if first.as_slice() != body {
            return Err(format!("{id} came with another body"));
        }
        *count += 1;
        self.log.entry(Arc::clone(name)).or_default().push((id.to_owned(), now));
        Ok(())
    }

    /// At the end: every alert that fired was told to each receiver, and the end of each that it
    /// took for firing, and no end of what fires; and what is told is not told again under another
    /// id before its time. From `calm` on nothing stands in the way, so that each end is told by
    /// itself and soon.
    pub(super) fn finish(
        &self,
        ledger: &Ledger,
        owed: &Owed,
        calm: Timestamp,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let given_up = given_up(ledger);
        for name in plan().receivers.keys() {
            let log = self.log.get(name).map_or(&[][..], Vec::as_slice);
            let told = self.told(log);
            for (labels, since) in owed.fired.iter().filter(|(_, since)| settled(since, ledger)) {
                // One that a receiver takes for firing still is not told anew when it fires again,
                // and of one that fires again before it could be told only the newest is told.
                let covers = |(known, start, end): &Told| {
                    let ended =
                        || told.iter().any(|t| t.0 == *known && t.1 == *start && t.2.is_some());
                    let to_the_end = end.map_or_else(|| !ended(), |end| end >= *since);
                    known == labels && to_the_end
                };
                if !told.iter().any(covers) {
                    let tried = self.tried(ledger, labels);
                    return Err(format!("{name} was never told of {labels} since {since}{tried}"));
                }
                *counts.entry("alerts told").or_default() += 1;
            }
            for (labels, end) in owed.ended.iter().filter(|(_, end)| settled(end, ledger)) {
                *counts.entry("ends told").or_default() +=
                    self.end(log, labels, (*end, *end >= calm)).map_err(|what| {
                        let tried = self.tried(ledger, labels);
                        format!("{name} {what} of {labels} at {end}{tried}")
                    })?;
            }
            for (labels, since, end) in self.told(log) {
                if let Some(end) = end.filter(|end| owed.fires(&labels, *end)) {
                    let tried = self.tried(ledger, &labels);
                    return Err(format!(
                        "{name} was told that {labels} of {since} has ended at {end}{tried}"
                    ));
                }
            }
            self.repeats(name, log, &delivered(ledger))?;
        }
        let doubles: u64 = self.came.values().map(|(_, times)| times - 1).sum();
        *counts.entry("doubles under one id").or_default() += doubles;
        *counts.entry("given up").or_default() += given_up;
        *counts.entry("notifications").or_default() += self.came.len() as u64;
        Ok(())
    }

    /// Whether an end was told; 0 where the receiver did not take the alert for firing.
    fn end(
        &self,
        log: &[(String, Millis)],
        labels: &LabelSet,
        (end, is_calm): (Timestamp, bool),
    ) -> Result<u64, &'static str> {
        /// From an end to the decision to tell it, where nothing stands in the way: the group's
        /// interval, and what the journal and the delivery before it take.
        const SOON: i64 = 12_000;
        let told = log.iter().filter_map(|(id, _)| self.intents.get(id)).filter_map(|intent| {
            let mut alerts = intent.alerts.values();
            let is_it = |a: &&ToldAlert| a.detail.as_ref().is_some_and(|d| d.labels == *labels);
            alerts.find(is_it).map(|alert| (intent.at, alert.ends_at))
        });
        let told: Vec<_> = told.collect();
        let before = told.iter().rfind(|(at, _)| *at < end);
        if !before.is_some_and(|(_, ended)| ended.is_none()) {
            return Ok(0);
        }
        let mut ends = told.iter().filter_map(|(at, ended)| Some((*at, (*ended)?)));
        let is_told = if is_calm {
            ends.any(|(at, ended)| ended == end && at.millis_since(end) <= SOON)
        } else {
            // One that fires again before its end could be told ends later.
            ends.any(|(_, ended)| ended >= end)
        };
        if is_told { Ok(1) } else { Err("was never told of the end") }
    }

    /// What is in the journal of notifications that tell of an alert.
    fn tried(&self, ledger: &Ledger, labels: &LabelSet) -> String {
        let tells = |intent: &Intent| {
            let mut told = intent.alerts.values().filter_map(|alert| alert.detail.as_ref());
            told.any(|detail| detail.labels == *labels)
        };
        let numbers: BTreeSet<u64> =
            self.intents.values().filter(|i| tells(i)).map(|i| i.number).collect();
        let mut out = String::new();
        for record in records(ledger) {
            let line = match record {
                Record::Intent(i) if numbers.contains(&i.number) => {
                    let starts: Vec<_> =
                        i.alerts.values().map(|a| (a.starts_at, a.ends_at)).collect();
                    format!("{} {} at {} {:?} {starts:?}", i.number, i.receiver, i.at, i.reason)
                }
                Record::Attempt { number, .. }
                | Record::Result { number, .. }
                | Record::GaveUp { number, .. }
                    if numbers.contains(number) =>
                {
                    format!("{record:?}")
                }
                Record::Settled { .. } => format!("{record:?}"),
                _ => continue,
            };
            out += &format!("\n  {line}");
        }
        out
    }

    /// Alerts with beginning and end in all that has come.
    fn told(&self, log: &[(String, Millis)]) -> BTreeSet<Told> {
        let intents = log.iter().filter_map(|(id, _)| self.intents.get(id));
        let alerts = intents.flat_map(|intent| intent.alerts.values());
        let told = alerts.filter_map(|alert| {
            Some((alert.detail.as_ref()?.labels.clone(), alert.starts_at, alert.ends_at))
        });
        told.collect()
    }

    /// Two notifications of a group that say the same are a repeat interval apart.
    fn repeats(
        &self,
        name: &Arc<str>,
        log: &[(String, Millis)],
        delivered: &BTreeSet<u64>,
    ) -> Result<(), String> {
        type Content = BTreeMap<u64, (Timestamp, bool)>;
        let mut last: BTreeMap<LabelSet, (String, Millis, Content)> = BTreeMap::new();
        for (id, at) in log {
            let Some(intent) = self.intents.get(id) else {
                return Err(format!("{id} came and was never decided"));
            };
            let alerts = intent.alerts.iter();
            let content: Content =
                alerts.map(|(key, a)| (*key, (a.starts_at, a.ends_at.is_some()))).collect();
            let before = last.get(&intent.group);
            if let Some((other, then, same)) = before
                && other != id
                && *same == content
                && at - then + 5000 < REPEAT.as_millis() as Millis
            {
                return Err(format!("{name}: {id} says what {other} said at {then}"));
            }
            // Only what was surely told need not be told again.
            if delivered.contains(&intent.number) {
                last.insert(intent.group.clone(), (id.clone(), *at, content));
            }
        }
        Ok(())
    }
}

/// Whether an alert fired long enough ago to have been told.
fn settled(since: &Timestamp, ledger: &Ledger) -> bool {
    let newest = ledger.values().rev().find_map(|entry| match entry {
        Written::Evaluation(evaluation) => Some(evaluation.slot),
        _ => None,
    });
    newest.is_some_and(|newest| newest.millis_since(*since) > 30_000)
}

/// The numbers of notifications known to be delivered.
fn delivered(ledger: &Ledger) -> BTreeSet<u64> {
    let numbers = |record: &Record| match record {
        Record::Result { number, verdict: Verdict::Delivered, .. } => Some(*number),
        _ => None,
    };
    records(ledger).filter_map(numbers).collect()
}

fn given_up(ledger: &Ledger) -> u64 {
    records(ledger).filter(|record| matches!(record, Record::GaveUp { .. })).count() as u64
}

fn records(ledger: &Ledger) -> impl Iterator<Item = &Record> {
    ledger.values().flat_map(Written::records)
}
