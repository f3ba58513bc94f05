//! What people are told of rollouts: alerts, by the ways of any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::signal::Kind;
use bellwether_model::time::Timestamp;

use super::action::{Action, Finding, action};
use super::announce::alert_labels;
use super::lane::state::Finished;
use super::record::{Announced, Close, End};
use super::state::Rollout;
use super::{Guard, decide};
use crate::pure::notify::event::{AlertNow, RuleRef};

/// What the alerts of rollouts have for a rule file.
const FILE: &str = "rollouts";
/// The canary is worse, or gone.
const FAILED: &str = "BellwetherRolloutFailed";
/// Data is missing, and the rollout waits.
const HELD: &str = "BellwetherRolloutHeld";
/// The hook did not do it.
const NOT_UNDONE: &str = "BellwetherRollbackFailed";
/// All, in the order of their numbers.
const ALERTS: [&str; 3] = [FAILED, HELD, NOT_UNDONE];
/// How long ends are told.
const REMEMBERED_MS: i64 = 15 * 60 * 1000;

impl Guard {
    /// All alerts of rollouts as of now, by rule.
    #[must_use]
    pub fn alerts(&self, now: Timestamp, external_url: &str) -> Vec<(RuleRef, Vec<AlertNow>)> {
        let mut told: BTreeMap<&str, Vec<AlertNow>> = BTreeMap::new();
        for known in self.state.rollouts.values() {
            let is_over = |(_, at): (_, Timestamp)| now.millis_since(at) > REMEMBERED_MS;
            if known.ended.is_some_and(is_over) {
                continue;
            }
            let url = format!("{external_url}/api/bw/v1/rollouts/{}", known.announced.rollout);
            let found = [self.failed(known), self.held(known), self.not_undone(known)];
            for (name, found) in ALERTS.into_iter().zip(found) {
                let Some(mut alert) = found else { continue };
                alert.generator_url.clone_from(&url);
                told.entry(name).or_default().push(alert);
            }
        }
        let all = ALERTS.into_iter().enumerate().map(|(number, name)| {
            let rule =
                RuleRef { file: FILE.into(), group: FILE.into(), alert: name.into(), number };
            (rule, told.remove(name).unwrap_or_default())
        });
        all.collect()
    }

    fn failed(&self, known: &Rollout) -> Option<AlertNow> {
        let announced = &known.announced;
        let failure = known.failure()?;
        let finding = self.finding(&announced.rollout);
        let failed = Finding::Failed { confirmed: false, barred: false };
        let done = action(announced, finding.unwrap_or(failed));
        if done == Action::Record {
            return None;
        }
        let summary = format!(
            "{} {} in {} is worse than {}",
            announced.service, announced.to, announced.environment, announced.from
        );
        let is_back = |finished: &Finished| finished.outcome == Close::Restored;
        let next = match (known.ended, done) {
            (Some((End::Aborted, _)), _) => "the rollout was aborted".to_owned(),
            (Some(_), _) if self.rollback(known).is_some_and(is_back) => {
                format!("{} serves again", announced.from)
            }
            (Some(_), _) => "it is not watched any more".to_owned(),
            (None, Action::RollBack) => "the hook was asked to roll back".to_owned(),
            (None, Action::Freeze) => {
                let barred = matches!(finding, Some(Finding::Failed { barred: true, .. }));
                let why = if barred {
                    format!(", since {} was rolled back itself", announced.from)
                } else {
                    String::new()
                };
                format!("it is frozen{why}: confirm to roll back (bellwether rollout confirm)")
            }
            (None, _) => "nothing was sent: roll back by hand".to_owned(),
        };
        let number = known.decided.iter().position(|one| one == failure).unwrap_or_default() + 1;
        let record = decide::record_name(announced, number);
        let texts = [
            ("summary", summary),
            ("description", format!("{}; {next}", self.reason(&announced.rollout))),
            ("record", record),
        ];
        let ended = known.ended.map(|(_, at)| at);
        Some(alert(announced, (FAILED, "page"), (failure.at, ended), texts.into()))
    }

    fn held(&self, known: &Rollout) -> Option<AlertNow> {
        let announced = &known.announced;
        let Finding::Missing(missing) = self.finding(&announced.rollout)? else { return None };
        if !matches!(
            action(announced, Finding::Missing(missing)),
            Action::Hold { told: true } | Action::Freeze
        ) {
            return None;
        }
        let last = self.open.get(&announced.rollout)?.watch.last()?;
        let begun = Timestamp((last - missing.seconds).saturating_mul(1000));
        let what = format!(
            "the {} of {} in {} is {} for {} s: nothing can be said of {}",
            missing.side.name(),
            announced.service,
            announced.environment,
            missing.lack.name(),
            missing.seconds,
            announced.to
        );
        let summary = format!("the rollout of {} {} is held", announced.service, announced.to);
        let texts = [("summary", summary), ("description", what)];
        Some(alert(announced, (HELD, "page"), (begun, None), texts.into()))
    }

    /// Its rollback that is over.
    fn rollback(&self, known: &Rollout) -> Option<&Finished> {
        let is_it = |finished: &&Finished| {
            let intent = &finished.signal.intent;
            intent.kind == Kind::Rollback && intent.rollout == known.announced.rollout
        };
        self.lanes.state().closed().rev().find(is_it)
    }

    fn not_undone(&self, known: &Rollout) -> Option<AlertNow> {
        let announced = &known.announced;
        known.failure()?;
        let Finished { outcome, at, detail, .. } = self.rollback(known)?;
        if matches!(outcome, Close::Restored | Close::Withdrawn) {
            return None;
        }
        let summary = format!(
            "{} in {} was not rolled back to {}",
            announced.service, announced.environment, announced.from
        );
        let how = match outcome {
            Close::Refused => "the hook refused",
            Close::Expired => "nothing was seen of it by its deadline",
            _ => "the hook failed",
        };
        let what = if detail.is_empty() { how.to_owned() } else { format!("{how}: {detail}") };
        let texts = [("summary", summary), ("description", what)];
        let ended = known.ended.map(|(_, at)| at);
        Some(alert(announced, (NOT_UNDONE, "page"), (*at, ended), texts.into()))
    }
}

fn alert(
    announced: &Arc<Announced>,
    (name, severity): (&str, &str),
    (starts_at, ends_at): (Timestamp, Option<Timestamp>),
    texts: BTreeMap<&str, String>,
) -> AlertNow {
    let mut annotations: BTreeMap<String, String> =
        texts.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    if let Some(runbook) = &announced.runbook {
        annotations.insert("runbook_url".to_owned(), runbook.clone());
    }
    AlertNow {
        labels: alert_labels(announced, name, severity),
        annotations,
        value: 1.0,
        starts_at,
        ends_at,
        generator_url: String::new(),
    }
}
