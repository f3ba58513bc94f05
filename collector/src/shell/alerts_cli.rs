//! `alert list` and `why`.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use form_urlencoded::Serializer;

use super::alerts::{PATH, WHY};
use super::ask::answer;
use super::cli::{Alert, AlertList, Output, Why};
use super::table::{columns, printable};
use crate::pure::notify::view::{
    AlertView, AlertWhy, AttemptView, ListView, NotificationView, RecipientWhy, RuleView, ToldView,
    WhyView,
};

const FINDINGS: u8 = 1;

/// Does what is asked.
///
/// # Errors
/// The collector cannot be asked, or the output not written.
pub async fn run(alert: &Alert) -> anyhow::Result<ExitCode> {
    match alert {
        Alert::List(list) => show(list).await,
    }
}

async fn show(list: &AlertList) -> anyhow::Result<ExitCode> {
    let view: ListView = answer(&list.target, PATH).await?;
    let mut out = io::stdout().lock();
    match list.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&view)?)?,
        Output::Table => out.write_all(table(&view).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Explains an alert; nothing known of it is a finding.
///
/// # Errors
/// The collector cannot be asked or does not understand, or the output cannot be written.
pub async fn why(asked: &Why) -> anyhow::Result<ExitCode> {
    let query = Serializer::new(String::new()).append_pair("alert", &asked.alert).finish();
    let view: WhyView = answer(&asked.target, &format!("{WHY}?{query}")).await?;
    let mut out = io::stdout().lock();
    match asked.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&view)?)?,
        Output::Table => out.write_all(explained(&view).as_bytes())?,
    }
    let is_unknown = view.alerts.is_empty() && view.rules.is_empty();
    Ok(if is_unknown { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS })
}

fn table(view: &ListView) -> String {
    let head = ["STATE", "ALERT", "LABELS", "SINCE", "RECEIVER", "KNOWS", "LAST ATTEMPT", "NEXT"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for alert in &view.alerts {
        let since = alert.firing_since.as_ref().unwrap_or(&alert.active_at);
        let since = alert.resolved_at.as_ref().unwrap_or(since);
        let labels: Vec<String> =
            alert.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let first = [alert.state.clone(), printable(&alert.alert), printable(&labels.join(","))];
        let first: Vec<String> = first.into_iter().chain([since.clone()]).collect();
        if alert.told.is_empty() {
            let none = ["-"; 4].map(str::to_owned);
            lines.push(first.iter().cloned().chain(none).collect());
        }
        for (i, told) in alert.told.iter().enumerate() {
            let first = if i == 0 { first.clone() } else { vec![String::new(); 4] };
            lines.push(first.into_iter().chain(told_cells(told)).collect());
        }
    }
    let mut out = columns(&lines);
    for receiver in &view.receivers {
        if let Some(until) = &receiver.gone_until {
            line(&mut out, &format!("{} says it is gone; tried again {until}", receiver.name));
        }
    }
    out
}

fn told_cells(told: &ToldView) -> [String; 4] {
    let attempt = told.last.as_ref().and_then(|last| last.attempts.last());
    let attempt = attempt.map(|attempt| format!("{} {}", attempt.at, attempt.outcome));
    let next = told.next.as_ref().map(|next| format!("{} {}", next.what, next.at));
    let knows = if told.knows { "yes" } else { "no" };
    let text = |text: Option<String>| text.map_or_else(|| "-".to_owned(), |t| printable(&t));
    [printable(&told.receiver), knows.to_owned(), text(attempt), text(next)]
}

/// An explanation, for people.
fn explained(view: &WhyView) -> String {
    let mut out = String::new();
    if view.alerts.is_empty() {
        match view.rules.as_slice() {
            [] => line(&mut out, "no rule and no notification of such an alert is known"),
            _ => line(&mut out, "no such alert is active, and nobody was told of one lately"),
        }
        view.rules.iter().for_each(|one| rule(&mut out, one));
    }
    for alert in &view.alerts {
        explain(&mut out, alert);
    }
    if view.more > 0 {
        line(&mut out, &format!("{} more alerts are meant; say more labels", view.more));
    }
    out
}

fn explain(out: &mut String, why: &AlertWhy) {
    let labels: Vec<String> =
        why.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    line(out, &format!("{{{}}}", labels.join(", ")));
    match &why.alert {
        Some(alert) => state(out, alert),
        None => line(out, "  over, and forgotten by its rule"),
    }
    if why.receivers.is_empty() {
        line(out, "  no receiver of the configuration wants it");
    }
    for receiver in &why.receivers {
        recipient(out, receiver);
    }
}

fn state(out: &mut String, alert: &AlertView) {
    let (word, at) = match (&alert.resolved_at, &alert.firing_since) {
        (Some(at), _) => ("resolved at", at),
        (None, Some(at)) => ("firing since", at),
        (None, None) => ("pending since", &alert.active_at),
    };
    line(out, &format!("  {word} {at}; its condition holds since {}", alert.active_at));
    line(out, &format!("  value {}", alert.value));
    rule(out, &alert.rule);
    for (name, text) in &alert.annotations {
        line(out, &format!("  {name}: {text}"));
    }
}

fn rule(out: &mut String, rule: &RuleView) {
    line(out, &format!("  rule {}", rule.expr));
    let RuleView { file, line: number, group, interval, hold, keep_firing_for, .. } = rule;
    let mut text = format!("    {file}:{number}, group {group}, every {interval} s, for {hold} s");
    if *keep_firing_for > 0.0 {
        write!(text, ", fires on for {keep_firing_for} s").expect("invariant: a text takes it");
    }
    match (&rule.evaluated_at, &rule.error) {
        (None, _) => text.push_str("; not evaluated yet"),
        (Some(at), None) => text.push_str(&format!("; evaluated at {at}")),
        (Some(at), Some(error)) => text.push_str(&format!("; failed at {at}: {error}")),
    }
    line(out, &text);
}

fn recipient(out: &mut String, why: &RecipientWhy) {
    let group: Vec<String> =
        why.group.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let knows = if why.knows { "takes it for firing" } else { "does not take it for firing" };
    let RecipientWhy { receiver, firing, .. } = why;
    let group = group.join(", ");
    line(out, &format!("  receiver {receiver} {knows}; group {{{group}}}, {firing} firing"));
    why.notifications.iter().for_each(|one| notification(out, one));
    match &why.next {
        Some(next) => line(out, &format!("    next: {} at {}", next.what, next.at)),
        None => line(out, "    next: nothing until something changes"),
    }
}

fn notification(out: &mut String, one: &NotificationView) {
    let NotificationView { number, id, made_at, reason, .. } = one;
    let tells = one.tells.as_deref().unwrap_or("nothing");
    let state = match (one.state.as_str(), &one.because, &one.ended_at) {
        ("delivered", _, Some(at)) => format!("delivered at {at}"),
        ("superseded", Some(by), Some(at)) => format!("gave way to {by} at {at}"),
        ("gave_up", Some(why), Some(at)) => format!("given up at {at}: {why}"),
        _ => "being tried".to_owned(),
    };
    line(out, &format!("    #{number} {id}: {reason}, tells {tells}, made {made_at}, {state}"));
    let kept = one.attempts.len();
    if usize::try_from(one.tries).unwrap_or(usize::MAX) > kept {
        line(out, &format!("      {} attempts, the last {kept}:", one.tries));
    }
    for AttemptView { number, at, seconds, outcome, again_at } in &one.attempts {
        let took = seconds.map_or_else(String::new, |seconds| format!(" after {seconds} s"));
        let again = again_at.as_ref().map_or_else(String::new, |at| format!("; again at {at}"));
        line(out, &format!("      attempt {number} at {at}: {outcome}{took}{again}"));
    }
}

/// Appends a line without control characters.
fn line(out: &mut String, text: &str) {
    out.push_str(&printable(text));
    out.push('\n');
}

#[cfg(test)]
mod tests;
