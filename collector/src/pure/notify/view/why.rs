//! Why an alert did or did not reach somebody.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::label::LabelSet;
use serde::{Deserialize, Serialize};

use bellwether_model::time::date_millis;

use super::super::report::AlertsReport;
use super::super::select::AlertSelector;
use super::{
    AlertView, Look, NextView, NotificationView, RuleView, Told, all_told, next, pairs, rule_view,
};

/// Alerts explained in one answer.
const ALERTS: usize = 100;
/// Notifications shown of one receiver and alert, the newest.
const NOTIFICATIONS: usize = 20;

/// What is known of the alerts that were asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhyView {
    /// When this was so.
    pub at: String,
    /// Rules that may yield them, also those of which nothing is active.
    pub rules: Vec<RuleView>,
    /// The alerts.
    pub alerts: Vec<AlertWhy>,
    /// Alerts that were left out for their number.
    pub more: usize,
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertWhy {
    /// As its rule has it; none of one that is over and forgotten, of which somebody was told.
    pub alert: Option<AlertView>,
    /// As receivers are told.
    pub labels: BTreeMap<String, String>,
    /// Each receiver that it is for.
    pub receivers: Vec<RecipientWhy>,
}

/// One receiver of an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipientWhy {
    /// Its name.
    pub receiver: String,
    /// The alert group there.
    pub group: BTreeMap<String, String>,
    /// Alerts that fire in it.
    pub firing: usize,
    /// Whether it takes this one for firing.
    pub knows: bool,
    /// What comes next.
    pub next: Option<NextView>,
    /// The notifications that tell of the alert, the oldest first.
    pub notifications: Vec<NotificationView>,
}

/// Explains alerts.
#[must_use]
pub fn why(report: &AlertsReport, selector: &AlertSelector) -> WhyView {
    let look = Look::new(&report.notify);
    let named = report.rules.iter().filter(|rule| selector.may_name(&rule.rule.alert));
    let mut seen = BTreeSet::new();
    let mut alerts = Vec::new();
    for rule in named.clone() {
        for row in &rule.alerts {
            let (labels, key) = look.identity(&row.labels);
            if selector.matches(&labels) {
                seen.insert(key);
                alerts.push((Some((&**rule, row)), labels, key));
            }
        }
    }
    // Of what is over and forgotten, somebody may have been told.
    let all_told = all_told(&report.notify);
    for told in all_told.iter().rev() {
        for (key, alert) in told.told() {
            let Some(detail) = &alert.detail else { continue };
            if selector.matches(&detail.labels) && seen.insert(*key) {
                alerts.push((None, detail.labels.clone(), *key));
            }
        }
    }
    let more = alerts.len().saturating_sub(ALERTS);
    alerts.truncate(ALERTS);
    WhyView {
        at: date_millis(report.at),
        rules: named.map(|rule| rule_view(rule)).collect(),
        alerts: alerts
            .into_iter()
            .map(|(alert, labels, key)| AlertWhy {
                alert: alert.map(|(rule, row)| look.alert(rule, row)),
                receivers: receivers(&all_told, &look, &labels, key),
                labels: pairs(&labels),
            })
            .collect(),
        more,
    }
}

fn receivers(told: &[Told<'_>], look: &Look<'_>, labels: &LabelSet, key: u64) -> Vec<RecipientWhy> {
    let of = |receiver: &str| {
        let told = told.iter().rev().filter(|told| told.receiver() == receiver);
        let told = told.filter(|told| told.told().contains_key(&key)).take(NOTIFICATIONS);
        let mut views: Vec<NotificationView> = told.map(|told| told.view(Some(key))).collect();
        views.reverse();
        views
    };
    let rows = look.recipients(labels).map(|(receiver, group, held)| RecipientWhy {
        receiver: receiver.to_owned(),
        group: pairs(&group),
        firing: held.map_or(0, |held| held.firing.len()),
        knows: held.is_some_and(|held| held.told.contains(&key)),
        next: held.and_then(next),
        notifications: of(receiver),
    });
    rows.collect()
}
