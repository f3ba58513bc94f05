//! Answers of `GET /api/bw/v1/alerts` and `/api/bw/v1/alerts/why`, as values that become JSON.

mod why;

use std::collections::BTreeMap;

use bellwether_model::exposition::push_json_float;
use bellwether_model::label::LabelSet;
use bellwether_model::time::{Timestamp, date_millis};
use bellwether_rules::alert::AlertState;
use serde::{Deserialize, Serialize};

use super::alerts::with_external;
use super::fingerprint::fingerprint;
use super::record::{GiveUp, Outcome, Verdict, Why};
use super::report::{AlertRow, AlertsReport, GroupRow, Next, NotifyReport, RuleRow};
use super::state::{Attempt, End, Finished, Open};

pub use why::{AlertWhy, RecipientWhy, WhyView, why};

/// All alerts, and how telling goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListView {
    /// When this was so.
    pub at: String,
    /// Pending, firing, and resolved ones that are remembered.
    pub alerts: Vec<AlertView>,
    /// By name.
    pub receivers: Vec<ReceiverView>,
    /// In the order of the file.
    pub alertmanagers: Vec<AlertmanagerView>,
    /// If there is one.
    pub heartbeat: Option<HeartbeatView>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertView {
    /// Its name.
    pub alert: String,
    /// `pending`, `firing` or `resolved`.
    pub state: String,
    /// As receivers are told, but `alertname`.
    pub labels: BTreeMap<String, String>,
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
    /// The expression's value, as Prometheus writes it.
    pub value: String,
    /// Since when the condition holds.
    pub active_at: String,
    /// Since when it fires.
    pub firing_since: Option<String>,
    /// When it was resolved.
    pub resolved_at: Option<String>,
    /// As in webhooks.
    pub fingerprint: String,
    /// The rule.
    pub rule: RuleView,
    /// Who is told of it.
    pub told: Vec<ToldView>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleView {
    /// The rule file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The rule group.
    pub group: String,
    /// The expression.
    pub expr: String,
    /// Between evaluations, in seconds.
    pub interval: f64,
    /// How long the condition must hold, in seconds.
    pub hold: f64,
    /// How long it fires on, in seconds.
    pub keep_firing_for: f64,
    /// The last slot.
    pub evaluated_at: Option<String>,
    /// Why that failed.
    pub error: Option<String>,
}

/// What a receiver knows of an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldView {
    /// The receiver.
    pub receiver: String,
    /// Whether it takes it for firing.
    pub knows: bool,
    /// The newest notification that tells of it.
    pub last: Option<NotificationView>,
    /// What comes next of its group.
    pub next: Option<NextView>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextView {
    /// When at the earliest.
    pub at: String,
    /// `firing`, `resolved`, `repeat` or `retry`.
    pub what: String,
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NotificationView {
    /// Its number.
    pub number: u64,
    /// What receivers know it by.
    pub id: String,
    /// When it was decided.
    pub made_at: String,
    /// `firing`, `resolved` or `repeat`.
    pub reason: String,
    /// `open`, `delivered`, `superseded`, or `gave_up`.
    pub state: String,
    /// Why it was given up, or the number of the one that took its place.
    pub because: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// How it tells of the alert: `firing` or `resolved`.
    pub tells: Option<String>,
    /// All attempts made.
    pub tries: u32,
    /// The newest of them.
    pub attempts: Vec<AttemptView>,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    /// From 1.
    pub number: u32,
    /// When.
    pub at: String,
    /// How long it took, in seconds; none while it is on its way.
    pub seconds: Option<f64>,
    /// What came of it, in words.
    pub outcome: String,
    /// When it is made again.
    pub again_at: Option<String>,
}

/// A receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiverView {
    /// Its name.
    pub name: String,
    /// Notifications that are being tried.
    pub open: usize,
    /// It asked that nothing comes before.
    pub not_before: Option<String>,
    /// It said that it is gone, and is tried again then.
    pub gone_until: Option<String>,
}

/// An Alertmanager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertmanagerView {
    /// Its name.
    pub name: String,
    /// Alerts that wait.
    pub queued: usize,
    /// When the last batch ended.
    pub last_at: Option<String>,
    /// How.
    pub last: Option<String>,
}

/// The heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatView {
    /// Between calls, in seconds.
    pub every: f64,
    /// When it was called last.
    pub sent_at: Option<String>,
    /// What came of it.
    pub last: Option<String>,
}

/// Everything.
#[must_use]
pub fn list(report: &AlertsReport) -> ListView {
    let look = Look::new(&report.notify);
    let rows = report.rules.iter().flat_map(|rule| rule.alerts.iter().map(move |row| (rule, row)));
    let notify = &report.notify;
    let at = |at: &Option<(Timestamp, Outcome)>| at.as_ref().map(|(at, _)| date_millis(*at));
    let last = |at: &Option<(Timestamp, Outcome)>| at.as_ref().map(|(_, o)| words(o));
    ListView {
        at: date_millis(report.at),
        alerts: rows.map(|(rule, row)| look.alert(rule, row)).collect(),
        receivers: notify
            .receivers
            .iter()
            .map(|row| ReceiverView {
                name: row.plan.name.to_string(),
                open: notify.open.iter().filter(|o| o.intent.receiver == row.plan.name).count(),
                not_before: row.not_before.filter(|at| *at > report.at).map(date_millis),
                gone_until: row.gone_until.map(date_millis),
            })
            .collect(),
        alertmanagers: notify
            .alertmanagers
            .iter()
            .map(|row| AlertmanagerView {
                name: row.name.to_string(),
                queued: row.queued,
                last_at: at(&row.last),
                last: last(&row.last),
            })
            .collect(),
        heartbeat: notify.heartbeat.as_ref().map(|row| HeartbeatView {
            every: row.every.as_secs_f64(),
            sent_at: row.sent_at.map(date_millis),
            last: last(&row.last),
        }),
    }
}

/// The report, with what is looked up often by its key.
pub(super) struct Look<'a> {
    notify: &'a NotifyReport,
    groups: BTreeMap<(&'a str, &'a LabelSet), &'a GroupRow>,
    /// The newest notification of each receiver and alert.
    newest: BTreeMap<(&'a str, u64), Told<'a>>,
}

/// A notification, open or not.
#[derive(Clone, Copy)]
pub(super) enum Told<'a> {
    Open(&'a Open),
    Finished(&'a Finished),
}

impl<'a> Look<'a> {
    pub(super) fn new(notify: &'a NotifyReport) -> Look<'a> {
        let groups = notify.groups.iter().map(|row| ((&*row.receiver, &row.group), row));
        let mut newest = BTreeMap::new();
        for told in all_told(notify) {
            for key in told.alerts() {
                newest.insert((told.receiver(), key), told);
            }
        }
        Look { notify, groups: groups.collect(), newest }
    }

    /// The labels as receivers are told, and their fingerprint.
    pub(super) fn identity(&self, labels: &LabelSet) -> (LabelSet, u64) {
        let labels = with_external(labels, &self.notify.external_labels);
        let key = fingerprint(&labels);
        (labels, key)
    }

    /// Receivers that an alert is for, with the groups it is in.
    pub(super) fn recipients(
        &self,
        labels: &LabelSet,
    ) -> impl Iterator<Item = (&'a str, LabelSet, Option<&'a GroupRow>)> {
        let wanting = self.notify.receivers.iter().filter(|row| row.plan.wants(labels));
        wanting.map(|row| {
            let group = row.plan.group_of(labels);
            let held = self.groups.get(&(&*row.plan.name, &group)).copied();
            (&*row.plan.name, group, held)
        })
    }

    pub(super) fn alert(&self, rule: &RuleRow, row: &AlertRow) -> AlertView {
        let (labels, key) = self.identity(&row.labels);
        let told = self.recipients(&labels).map(|(receiver, _, group)| ToldView {
            receiver: receiver.to_owned(),
            knows: group.is_some_and(|group| group.told.contains(&key)),
            last: self.newest.get(&(receiver, key)).map(|told| told.view(Some(key))),
            next: group.and_then(next),
        });
        let mut value = Vec::new();
        push_json_float(&mut value, row.value);
        AlertView {
            alert: rule.rule.alert.to_string(),
            state: match row.state {
                AlertState::Inactive => "resolved",
                state => state.as_str(),
            }
            .to_owned(),
            labels: pairs(&labels.without("alertname")),
            annotations: row.annotations.clone(),
            value: String::from_utf8(value).unwrap_or_default(),
            active_at: date_millis(row.active_at),
            firing_since: row.fired_at.map(date_millis),
            resolved_at: row.resolved_at.map(date_millis),
            fingerprint: format!("{key:016x}"),
            rule: rule_view(rule),
            told: if row.state == AlertState::Pending { Vec::new() } else { told.collect() },
        }
    }
}

/// All notifications of a report, the oldest first.
pub(super) fn all_told(notify: &NotifyReport) -> Vec<Told<'_>> {
    let finished = notify.history.iter().map(|finished| Told::Finished(finished));
    let mut all: Vec<Told<'_>> = finished.chain(notify.open.iter().map(Told::Open)).collect();
    all.sort_by_key(|told| match told {
        Told::Open(open) => open.intent.number,
        Told::Finished(finished) => finished.number,
    });
    all
}

impl<'a> Told<'a> {
    pub(super) fn receiver(&self) -> &'a str {
        match self {
            Told::Open(open) => &open.intent.receiver,
            Told::Finished(finished) => &finished.receiver,
        }
    }

    pub(super) fn told(&self) -> &'a BTreeMap<u64, super::record::ToldAlert> {
        match self {
            Told::Open(open) => &open.intent.alerts,
            Told::Finished(finished) => &finished.alerts,
        }
    }

    fn alerts(&self) -> impl Iterator<Item = u64> + 'a {
        self.told().keys().copied()
    }

    /// As it tells of one alert.
    pub(super) fn view(&self, key: Option<u64>) -> NotificationView {
        let alert = key.and_then(|key| self.told().get(&key));
        let tells = alert.map(|alert| match alert.ends_at {
            None => "firing".to_owned(),
            Some(_) => "resolved".to_owned(),
        });
        let (number, id, made_at, reason, tries, attempts) = match self {
            Told::Open(open) => {
                let intent = &open.intent;
                (intent.number, &intent.id, intent.at, intent.reason, open.tries, &open.attempts)
            }
            Told::Finished(f) => (f.number, &f.id, f.made_at, f.reason, f.tries, &f.attempts),
        };
        let (state, because, ended) = match self {
            Told::Open(_) => ("open", None, None),
            Told::Finished(finished) => match finished.end {
                End::Delivered => ("delivered", None, Some(finished.at)),
                End::GaveUp(reason) => ("gave_up", Some(given_up(reason)), Some(finished.at)),
                End::Superseded(by) => ("superseded", Some(format!("#{by}")), Some(finished.at)),
            },
        };
        NotificationView {
            number,
            id: id.clone(),
            made_at: date_millis(made_at),
            reason: reason.as_str().to_owned(),
            state: state.to_owned(),
            because,
            ended_at: ended.map(date_millis),
            tells,
            tries,
            attempts: attempts.iter().map(attempt).collect(),
        }
    }
}

fn given_up(reason: GiveUp) -> String {
    match reason {
        GiveUp::Deadline => "its time was over",
        GiveUp::Refused => "the receiver refuses it",
        GiveUp::Gone => "the receiver says it is gone",
        GiveUp::Removed => "the receiver is not configured any more",
        GiveUp::Outdated => "nothing that it tells is so any more",
    }
    .to_owned()
}

fn attempt(attempt: &Attempt) -> AttemptView {
    let ended = attempt.ended.as_ref();
    let seconds = ended.map(|(at, _, _)| {
        let millis = u32::try_from(at.millis_since(attempt.at).max(0)).unwrap_or(u32::MAX);
        f64::from(millis) / 1000.0
    });
    AttemptView {
        number: attempt.number,
        at: date_millis(attempt.at),
        seconds,
        outcome: ended.map_or_else(|| "on its way".to_owned(), |(_, outcome, _)| words(outcome)),
        again_at: match ended {
            Some((_, _, Verdict::Retry { at })) => Some(date_millis(*at)),
            Some((_, _, Verdict::Gone { until })) => Some(date_millis(*until)),
            _ => None,
        },
    }
}

/// An outcome in words.
fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered { status, text, .. } if text.is_empty() => format!("answered {status}"),
        Outcome::Answered { status, text, .. } => format!("answered {status}: {text}"),
        Outcome::Failed { failure: _, reason } => reason.clone(),
    }
}

pub(super) fn next(group: &GroupRow) -> Option<NextView> {
    let (at, next) = group.next?;
    let what = match next {
        Next::Retry => "retry",
        Next::Notify(why) => match why {
            Why::Firing | Why::Resolved | Why::Repeat => why.as_str(),
        },
    };
    Some(NextView { at: date_millis(at), what: what.to_owned() })
}

pub(super) fn rule_view(row: &RuleRow) -> RuleView {
    RuleView {
        file: row.rule.file.to_string(),
        line: row.line,
        group: row.rule.group.to_string(),
        expr: row.expr.clone(),
        interval: row.interval.as_secs_f64(),
        hold: row.hold.as_secs_f64(),
        keep_firing_for: row.keep_firing_for.as_secs_f64(),
        evaluated_at: row.evaluated_at.map(date_millis),
        error: row.error.clone(),
    }
}

pub(super) fn pairs(labels: &LabelSet) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
