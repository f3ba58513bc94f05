//! The machine driven by hand: a clock, rules, and whoever answers.

mod delivery;
mod groups;
mod property;
mod pushing;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::config::Secret;
use bellwether_model::id::StoreId;
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::time::{Mono, Now, Timestamp};
use bellwether_model::wire::bytes::Reader;
use bellwether_platform::tls::ClientFiles;
use serde_json::Value;

use super::Notifier;
use super::event::{AlertNow, Delivery, Effect, Event, GivenUp, Request, RuleRef, Ticket};
use super::plan::{Endpoint, GroupBy, NotifyPlan, ReceiverPlan};
use super::record::{Failure, Outcome, Record};
use super::state::NotifyState;

const STORE: StoreId = StoreId([7; 16]);
const BEGIN: i64 = 1_700_000_000_000;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn endpoint() -> Endpoint {
    Endpoint {
        url: Secret::text("http://receiver.invalid/hook"),
        authorization: None,
        tls: ClientFiles { ca: None, identity: None },
        way: None,
        timeout: seconds(10),
    }
}

pub(in crate::pure) fn receiver(name: &str) -> ReceiverPlan {
    ReceiverPlan {
        name: name.into(),
        endpoint: endpoint(),
        secrets: Vec::new(),
        send_resolved: true,
        max_alerts: 0,
        matchers: Vec::new(),
        group_by: GroupBy::Labels(vec!["alertname".to_owned()]),
        group_wait: seconds(0),
        group_interval: seconds(300),
        repeat_interval: seconds(4 * 3600),
        deadline: seconds(300),
    }
}

pub(in crate::pure) fn plan(receivers: impl IntoIterator<Item = ReceiverPlan>) -> NotifyPlan {
    let named = receivers.into_iter().map(|one| (Arc::clone(&one.name), Arc::new(one)));
    let external_url = "http://collector.invalid".to_owned();
    NotifyPlan { receivers: named.collect(), external_url, ..NotifyPlan::default() }
}

fn rule(number: usize) -> RuleRef {
    RuleRef { file: "r.yml".into(), group: "g".into(), alert: "Down".into(), number }
}

fn labels(text: &str) -> LabelSet {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    LabelSet::new(pairs).unwrap()
}

/// An alert by its labels, firing since so many seconds after the begin.
fn firing(text: &str, since: i64) -> AlertNow {
    AlertNow {
        labels: labels(text),
        annotations: BTreeMap::from([("summary".to_owned(), format!("{text} is down"))]),
        value: 1.0,
        starts_at: Timestamp(BEGIN + since * 1000),
        ends_at: None,
        generator_url: "http://collector.invalid/graph".to_owned(),
    }
}

fn resolved(text: &str, since: i64, ended: i64) -> AlertNow {
    AlertNow { ends_at: Some(Timestamp(BEGIN + ended * 1000)), ..firing(text, since) }
}

/// What was sent to a receiver.
#[derive(Clone, Debug)]
struct Sent {
    ticket: Ticket,
    id: String,
    body: Arc<[u8]>,
    repeated: bool,
}

impl Sent {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// `status: label values with their status`, in the order of the body.
    fn told(&self) -> String {
        let json = self.json();
        let alerts = json["alerts"].as_array().unwrap().iter().map(|alert| {
            let name = alert["labels"].as_object().unwrap();
            let values: Vec<&str> = name
                .iter()
                .filter(|(name, _)| *name != "alertname")
                .map(|(_, value)| value.as_str().unwrap())
                .collect();
            format!("{} {}", values.join(","), alert["status"].as_str().unwrap())
        });
        alerts.collect::<Vec<_>>().join("; ")
    }
}

/// A machine with its clock; everything it journals is folded beside it.
struct Rig {
    notifier: Notifier,
    now: Timestamp,
    plan: NotifyPlan,
    fed: BTreeMap<RuleRef, Vec<AlertNow>>,
    fold: NotifyState,
    records: Vec<Record>,
    sent: Vec<Sent>,
    others: Vec<Delivery>,
    given_up: Vec<GivenUp>,
}

impl Rig {
    fn new(plan: NotifyPlan) -> Rig {
        let mut rig = Rig {
            notifier: Notifier::new(STORE, plan.clone(), NotifyState::default()),
            now: Timestamp(BEGIN),
            plan,
            fed: BTreeMap::new(),
            fold: NotifyState::default(),
            records: Vec::new(),
            sent: Vec::new(),
            others: Vec::new(),
            given_up: Vec::new(),
        };
        rig.step(Event::Restored);
        rig
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        let mono = Mono(Duration::from_millis(self.now.0.unsigned_abs()));
        self.notifier.step(Now { wall: self.now, mono }, event, &mut effects);
        self.take(effects);
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Record(record) => {
                    let mut bytes = Vec::new();
                    record.put(&mut bytes);
                    let mut reader = Reader::new(&bytes);
                    assert_eq!(Record::read(&mut reader).as_ref(), Ok(&record));
                    assert_eq!(reader.finish(), Ok(()));
                    self.fold.apply(&record);
                    self.records.push(record);
                }
                Effect::Send(Delivery {
                    ticket,
                    request: Request::Webhook { id, body, repeated, .. },
                }) => {
                    self.sent.push(Sent { ticket, id, body, repeated });
                }
                Effect::Send(other) => self.others.push(other),
                Effect::GaveUp(one) => self.given_up.push(one),
            }
        }
        // Of a large state it is looked at now and then.
        let size = self.fold.open.len() + self.fold.history.len();
        if size < 20 || self.records.len().is_multiple_of(64) {
            assert_eq!(&self.fold, self.notifier.state(), "the state is the fold of its records");
        }
    }

    /// One rule's turn now.
    fn feed(&mut self, number: usize, alerts: Vec<AlertNow>) {
        self.fed.insert(rule(number), alerts.clone());
        let rule = rule(number);
        self.step(Event::Rule { rule, interval: seconds(1), slot: self.now, alerts });
    }

    fn after(&mut self, by: Duration) {
        self.now = self.now.saturating_add(by);
        self.step(Event::Tick);
    }

    /// Goes to the next time at which something is due; gives how far that is.
    fn next(&mut self) -> Duration {
        let at = self.notifier.next_wakeup().expect("something is due");
        let by = Duration::from_millis(at.millis_since(self.now).max(0).unsigned_abs());
        self.after(by);
        by
    }

    fn answer(&mut self, sent: &Sent, outcome: Outcome) {
        self.step(Event::Delivered { ticket: sent.ticket.clone(), outcome });
    }

    /// The only delivery since the last look.
    fn only(&mut self) -> Sent {
        let sent = std::mem::take(&mut self.sent);
        let [one] = sent.as_slice() else { panic!("{} deliveries", sent.len()) };
        one.clone()
    }

    /// The only delivery, answered well.
    fn told(&mut self) -> String {
        let sent = self.only();
        self.answer(&sent, status(200));
        sent.told()
    }

    fn is_quiet(&self) -> bool {
        self.sent.is_empty()
    }

    /// Ends the process and starts another from the bytes of the state.
    fn restart(&mut self) {
        self.restart_untold();
        for (rule, alerts) in self.fed.clone() {
            self.step(Event::Rule { rule, interval: seconds(1), slot: self.now, alerts });
        }
        self.step(Event::Restored);
    }

    fn restart_untold(&mut self) {
        let mut bytes = Vec::new();
        self.notifier.state().put(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let state = NotifyState::take(&mut reader).unwrap();
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(&state, self.notifier.state());
        self.notifier = Notifier::new(STORE, self.plan.clone(), state);
    }

    fn set_plan(&mut self, plan: NotifyPlan) {
        let mut effects = Vec::new();
        self.plan = plan.clone();
        let now = Now { wall: self.now, mono: Mono::default() };
        self.notifier.set_plan(now, plan, &mut effects);
        self.take(effects);
    }
}

fn status(status: u16) -> Outcome {
    Outcome::answered(status, None, "")
}

fn timed_out() -> Outcome {
    Outcome::failed(Failure::TimedOut, "no answer within 10 s")
}

fn refused() -> Outcome {
    Outcome::failed(Failure::Unreachable, "connection refused")
}

fn matcher(name: &str, value: &str) -> Matcher {
    Matcher::new(name, MatchOp::Equal, value).unwrap()
}
