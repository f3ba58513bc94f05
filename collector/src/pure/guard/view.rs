//! Rollouts as JSON and as a report for people.

use std::fmt::Write as _;
use std::time::Duration;

use bellwether_model::duration;
use bellwether_model::time::{Timestamp, date_millis};
use bellwether_rules::record::verdict_name;
use bellwether_rules::verdict::Outcome;
use serde::{Deserialize, Serialize};

use super::action::Finding;
use super::decide::record_name;
use super::lane::report::SignalRow;
use super::record::{Announced, End, Word};
use super::report::{GuardReport, RolloutRow};

/// All rollouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListView {
    /// When this was so.
    pub at: String,
    /// Open ones first, then the newest.
    pub rollouts: Vec<RolloutView>,
}

/// One rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutView {
    /// Its name.
    pub id: String,
    /// Its service.
    pub service: String,
    /// Its environment.
    pub environment: String,
    /// The version that serves.
    pub from: String,
    /// The version that comes.
    pub to: String,
    /// How it comes.
    pub strategy: String,
    /// How much is at stake.
    pub risk: String,
    /// What is done of what a verdict asks for.
    pub mode: String,
    /// The bound of false rollbacks.
    pub alpha: f64,
    /// Who announced it.
    pub by: String,
    /// When.
    pub announced_at: String,
    /// `watching`, `failed`, or how it ended: `watched`, `failed`, `aborted`, `forgotten`.
    pub state: String,
    /// `go`, `note`, `hold`, `freeze`, `roll back`, `advise`, `record`, or `over`.
    pub action: String,
    /// Whether its pipeline is to wait.
    pub hold: bool,
    /// What is missing, if anything.
    pub missing: Option<MissingView>,
    /// Why, in one sentence.
    pub reason: String,
    /// What would change it.
    pub would_change: String,
    /// The last second judged.
    pub judged_to: Option<String>,
    /// Each SLI.
    pub slis: Vec<SliView>,
    /// Verdicts with a record.
    pub decided: Vec<DecidedView>,
    /// What was said.
    pub said: Vec<SaidView>,
    /// What hooks were asked.
    pub signals: Vec<SignalView>,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// Data that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingView {
    /// `canary` or `baseline`.
    pub arm: String,
    /// `idle`, `blind` or `dead`.
    pub what: String,
    /// For how long.
    pub seconds: i64,
}

/// How an SLI stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliView {
    /// Its name.
    pub name: String,
    /// `pass`, `fail` or `inconclusive`.
    pub verdict: String,
    /// The natural logarithm of the evidence against the canary.
    pub log_e: f64,
    /// Where it fails.
    pub log_limit: f64,
    /// The smallest ratio that would likely have been found by now.
    pub smallest_ratio: Option<f64>,
    /// The upper bound of the ratio.
    pub ratio_at_most: Option<f64>,
    /// Requests of the canary, and the bad ones.
    pub canary: (u64, u64),
    /// Requests of the baseline, and the bad ones.
    pub baseline: (u64, u64),
    /// When the canary's first bad request was judged.
    pub first_bad: Option<String>,
    /// In words.
    pub reason: String,
}

/// A verdict with its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedView {
    /// By which SLI.
    pub sli: String,
    /// What.
    pub verdict: String,
    /// The record's file.
    pub record: String,
    /// Its hash.
    pub sha256: String,
    /// When.
    pub at: String,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidView {
    /// `finish`, `abort` or `confirm`.
    pub word: String,
    /// Who.
    pub by: String,
    /// In their words.
    pub reason: String,
    /// When.
    pub at: String,
}

/// What a hook was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalView {
    /// `rollback` or `hold`.
    pub kind: String,
    /// Identity of the wish.
    pub key: String,
    /// Its number in its lane.
    pub generation: u64,
    /// Who was asked.
    pub hook: String,
    /// `intended`, `sent`, `acknowledged`, `observed` or `closed`.
    pub state: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// Attempts.
    pub attempts: u32,
    /// The newest answer.
    pub answer: Option<String>,
    /// When each state was reached.
    pub times: Vec<(String, String)>,
}

/// All of them.
#[must_use]
pub fn list(report: &GuardReport) -> ListView {
    let mut rows: Vec<&RolloutRow> = report.rollouts.iter().collect();
    rows.sort_by_key(|row| {
        let known = &row.known;
        (known.ended.is_some(), std::cmp::Reverse(known.announced.at))
    });
    let rollouts = rows.into_iter().map(rollout).collect();
    ListView { at: date_millis(report.at), rollouts }
}

/// One.
#[must_use]
pub fn rollout(row: &RolloutRow) -> RolloutView {
    let Announced { rollout, service, environment, from, to, .. } = &*row.known.announced;
    let announced = &row.known.announced;
    let missing = match row.finding {
        Some(Finding::Missing(missing)) => Some(MissingView {
            arm: missing.side.name().to_owned(),
            what: missing.lack.name().to_owned(),
            seconds: missing.seconds,
        }),
        _ => None,
    };
    RolloutView {
        id: rollout.to_string(),
        service: service.to_string(),
        environment: environment.to_string(),
        from: from.to_string(),
        to: to.to_string(),
        strategy: announced.strategy.name().to_owned(),
        risk: announced.risk.name().to_owned(),
        mode: announced.mode.name().to_owned(),
        alpha: announced.alpha,
        by: announced.by.clone(),
        announced_at: date_millis(announced.at),
        state: state(row).to_owned(),
        action: row.action.to_owned(),
        hold: row.hold,
        missing,
        reason: row.reason.clone(),
        would_change: would_change(row),
        judged_to: row.last.map(second),
        slis: row.outcomes.iter().map(|(name, o)| sli(name, o, row.log_limit)).collect(),
        decided: decided(row),
        said: said(row),
        signals: row.signals.iter().map(signal).collect(),
        ended_at: row.known.ended.map(|(_, at)| date_millis(at)),
    }
}

/// A report for people, in Markdown.
#[must_use]
pub fn markdown(row: &RolloutRow) -> String {
    let view = rollout(row);
    let mut out = String::new();
    let RolloutView { id, service, environment, from, to, .. } = &view;
    writeln!(out, "# {service} {to} in {environment}: {}\n", view.state).ok();
    writeln!(
        out,
        "Rollout `{id}` from {from} to {to}, announced by {} at {}.",
        view.by, view.announced_at
    )
    .ok();
    let watch = duration::show(Duration::from_millis(row.known.announced.watch_ms));
    writeln!(
        out,
        "{}, risk {}, mode {}, α {}; watched for {watch} after it is through.\n",
        view.strategy, view.risk, view.mode, view.alpha
    )
    .ok();
    if !view.reason.is_empty() {
        writeln!(out, "{}\n", sentence(&view.reason)).ok();
    }
    if view.ended_at.is_none() {
        writeln!(out, "Now: **{}**. {}\n", view.action, sentence(&view.would_change)).ok();
    }
    if !view.slis.is_empty() {
        out.push_str("| SLI | verdict | canary, bad of all | baseline, bad of all | evidence |\n");
        out.push_str("|---|---|---|---|---|\n");
    }
    for sli in &view.slis {
        let ((n, bad), (of, bad_of)) = (sli.canary, sli.baseline);
        let (name, verdict) = (&sli.name, &sli.verdict);
        let evidence = format!("{:.2} of {:.2}", sli.log_e, sli.log_limit);
        writeln!(out, "| {name} | {verdict} | {bad} of {n} | {bad_of} of {of} | {evidence} |").ok();
    }
    events(&mut out, row, &view);
    out
}

/// What happened, in its order.
fn events(out: &mut String, row: &RolloutRow, view: &RolloutView) {
    let mut events = vec![(view.announced_at.clone(), format!("announced by {}", view.by))];
    for one in &view.said {
        let because =
            if one.reason.is_empty() { String::new() } else { format!(": {}", one.reason) };
        events.push((one.at.clone(), format!("{} said {}{because}", one.by, one.word)));
    }
    for one in &view.decided {
        let (sli, verdict) = (&one.sli, &one.verdict);
        events.push((one.at.clone(), format!("{sli}: {verdict}, record `{}`", one.record)));
    }
    for one in &view.signals {
        for (state, at) in &one.times {
            events.push((at.clone(), format!("{} to {}: {state}", one.kind, one.hook)));
        }
    }
    if let (Some(at), Some((end, _))) = (&view.ended_at, row.known.ended) {
        events.push((at.clone(), format!("over: {}", end_name(end))));
    }
    events.sort_by(|(a, _), (b, _)| a.cmp(b));
    out.push_str("\n| when | what |\n|---|---|\n");
    for (at, what) in events {
        writeln!(out, "| {at} | {} |", what.replace('|', "\\|").replace('\n', " ")).ok();
    }
}

fn state(row: &RolloutRow) -> &'static str {
    match row.known.ended {
        Some((end, _)) => end_name(end),
        None if row.known.failure().is_some() => "failed",
        None => "watching",
    }
}

/// The word of an end.
#[must_use]
pub fn end_name(end: End) -> &'static str {
    match end {
        End::Watched => "watched",
        End::Failed => "failed",
        End::Aborted => "aborted",
        End::Forgotten => "forgotten",
    }
}

/// A word that is said.
#[must_use]
pub fn word_name(word: Word) -> &'static str {
    match word {
        Word::Finish => "finish",
        Word::Abort => "abort",
        Word::Confirm => "confirm",
    }
}

fn would_change(row: &RolloutRow) -> String {
    let limit = row.log_limit;
    match row.finding {
        None => String::new(),
        Some(Finding::Failed { confirmed: false, .. }) if row.action == "freeze" => {
            "a person's confirmation rolls it back (rollout confirm), an abort ends it".to_owned()
        }
        Some(Finding::Failed { .. }) => "nothing takes a failed verdict back".to_owned(),
        Some(Finding::Missing(missing)) => {
            format!("data of the {} would; it is {}", missing.side.name(), missing.lack.name())
        }
        Some(Finding::Fine) => {
            let most = row.outcomes.iter().map(|(_, outcome)| outcome.log_e);
            let most = most.fold(0.0_f64, f64::max);
            format!("it fails where the evidence reaches {limit:.2}; it is {most:.2} now")
        }
    }
}

fn sli(name: &str, outcome: &Outcome, log_limit: f64) -> SliView {
    SliView {
        name: name.to_owned(),
        verdict: verdict_name(outcome.verdict).to_owned(),
        log_e: outcome.log_e,
        log_limit,
        smallest_ratio: outcome.smallest_ratio,
        ratio_at_most: outcome.ratio_at_most,
        canary: (outcome.canary_n, outcome.canary_bad),
        baseline: (outcome.baseline_n, outcome.baseline_bad),
        first_bad: outcome.first_bad_second.map(second),
        reason: outcome.reason.clone(),
    }
}

fn decided(row: &RolloutRow) -> Vec<DecidedView> {
    let all = (1..).zip(&row.known.decided).map(|(number, decided)| DecidedView {
        sli: decided.sli.to_string(),
        verdict: verdict_name(decided.verdict).to_owned(),
        record: record_name(&row.known.announced, number),
        sha256: decided.record.to_string(),
        at: date_millis(decided.at),
    });
    all.collect()
}

fn said(row: &RolloutRow) -> Vec<SaidView> {
    let all = row.known.said.iter().map(|said| SaidView {
        word: word_name(said.word).to_owned(),
        by: said.by.clone(),
        reason: said.reason.clone(),
        at: date_millis(said.at),
    });
    all.collect()
}

fn signal(row: &SignalRow) -> SignalView {
    let SignalRow { signal, state, failure, ended, .. } = row;
    let intent = &signal.intent;
    let reached = [
        ("intended", Some(intent.at)),
        ("sent", signal.tried_at),
        ("acknowledged", signal.answer.as_ref().map(|(_, at)| *at)),
        ("observed", signal.observed.map(|(_, at)| at)),
        ("closed", ended.as_ref().map(|(_, _, at)| *at)),
    ];
    let times = reached.into_iter().filter_map(|(state, at)| Some((state, at?)));
    let answer = signal.answer.as_ref().map(|(answer, _)| {
        let version = answer.current_version.as_deref().unwrap_or("an unknown version");
        format!("{}, {version} serves; {}", answer.status.name(), answer.detail)
    });
    let failure = (!failure.is_empty()).then(|| failure.clone());
    SignalView {
        kind: intent.kind.name().to_owned(),
        key: intent.key.to_string(),
        generation: intent.generation,
        hook: intent.hook.to_string(),
        state: state.as_str().to_owned(),
        outcome: ended.as_ref().map(|(outcome, detail, _)| match detail.as_str() {
            "" => outcome.as_str().to_owned(),
            detail => format!("{}: {detail}", outcome.as_str()),
        }),
        attempts: signal.tries,
        answer: answer.or(failure),
        times: times.map(|(state, at)| (state.to_owned(), date_millis(at))).collect(),
    }
}

fn second(second: i64) -> String {
    date_millis(Timestamp(second.saturating_mul(1000)))
}

/// Begins with a capital letter, ends with a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
