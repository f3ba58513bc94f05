//! `/rules` and `/alerts`: what rules have come to, in Prometheus' form.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::hash::fnv1a_of_texts;
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;
use bellwether_model::time::{NEVER, Timestamp, date_millis};
use bellwether_promql::parse::parse_matchers;
use bellwether_rules::alert::{Alert, AlertState};
use bellwether_rules::file::{AlertRule, Rule};
use bellwether_rules::group::RuleState;
use bellwether_rules::template::Template;
use serde_json::{Map, Value, json};

use super::error::{ApiError, ErrorKind};
use super::json::Answer;
use super::params::Params;
use crate::pure::control::{RuleTime, Shown};

/// Which rules are asked for.
struct Wanted<'a> {
    alerting: bool,
    recording: bool,
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    matchers: Vec<Vec<Matcher>>,
    with_alerts: bool,
}

/// The answer of `/alerts`: those pending or firing.
pub(crate) fn alerts(shown: &[Arc<Shown>]) -> Vec<u8> {
    let all: Vec<Value> = shown
        .iter()
        .flat_map(|group| &group.state.rules)
        .flat_map(|state| state.alerts.active())
        .map(|(labels, alert)| alert_json(labels, alert))
        .collect();
    whole(&json!({ "alerts": all }))
}

/// The answer of `/rules`.
///
/// # Errors
/// A parameter is wrong.
pub(crate) fn rules(params: &Params, shown: &[Arc<Shown>]) -> Result<Vec<u8>, ApiError> {
    let wanted = Wanted::read(params)?;
    let (limit, token) = page(params)?;
    let mut groups = Vec::new();
    let mut rest =
        shown.iter().skip_while(|group| token.is_some_and(|token| token_of(group) != *token));
    if token.is_some() && rest.clone().next().is_none() {
        let message = "invalid group_next_token";
        return Err(ApiError::new(ErrorKind::BadData, message));
    }
    let mut next = None;
    for group in rest.by_ref() {
        let Some(value) = group_json(&wanted, group) else { continue };
        if limit.is_some_and(|limit| groups.len() >= limit) {
            next = Some(token_of(group));
            break;
        }
        groups.push(value);
    }
    let mut data = json!({ "groups": groups });
    if let (Some(next), Some(data)) = (next, data.as_object_mut()) {
        data.insert("groupNextToken".to_owned(), next.into());
    }
    Ok(whole(&data))
}

impl<'a> Wanted<'a> {
    fn read(params: &'a Params) -> Result<Wanted<'a>, ApiError> {
        let kind = params.first("type");
        if !["", "alert", "record"].contains(&kind) {
            let message = format!("not supported value {kind:?}");
            return Err(bad("type", &message));
        }
        let flag = params.first("exclude_alerts");
        let without = match flag {
            "" | "false" | "0" | "f" | "F" | "FALSE" | "False" => false,
            "true" | "1" | "t" | "T" | "TRUE" | "True" => true,
            _ => return Err(bad("exclude_alerts", &format!("invalid boolean {flag:?}"))),
        };
        let read =
            |text: &str| parse_matchers(text).map_err(|error| bad("match[]", &error.to_string()));
        Ok(Wanted {
            alerting: kind != "record",
            recording: kind != "alert",
            names: params.all("rule_name[]").collect(),
            groups: params.all("rule_group[]").collect(),
            files: params.all("file[]").collect(),
            matchers: params.all("match[]").map(read).collect::<Result<_, _>>()?,
            with_alerts: !without,
        })
    }

    fn takes(&self, rule: &Rule) -> bool {
        let kind = if rule.alert().is_some() { self.alerting } else { self.recording };
        let named = self.names.is_empty() || self.names.contains(&rule.name());
        let label = |name: &str| rule.labels.get(name).map_or("", Template::as_str);
        let meets = |all: &Vec<Matcher>| all.iter().all(|m| m.matches(label(m.name())));
        kind && named && (self.matchers.is_empty() || self.matchers.iter().any(meets))
    }
}

fn page(params: &Params) -> Result<(Option<usize>, Option<&str>), ApiError> {
    let (limit, token) = (params.first("group_limit"), params.first("group_next_token"));
    let token = (!token.is_empty()).then_some(token);
    if limit.is_empty() {
        if token.is_some() {
            let message = "group_limit needs to be specified in order to paginate over the groups";
            return Err(bad("group_limit", message));
        }
        return Ok((None, None));
    }
    let number: i64 = limit.parse().map_err(|_| bad("group_limit", "invalid number"))?;
    if number < 0 {
        return Err(bad("group_limit", "group_limit needs to be greater than or equal to 0"));
    }
    let limit = usize::try_from(number).ok().filter(|limit| *limit > 0);
    Ok((limit, token))
}

fn bad(name: &str, message: &str) -> ApiError {
    ApiError::new(ErrorKind::BadData, format!("invalid parameter \"{name}\": {message}"))
}

/// What a page of groups begins with.
fn token_of(group: &Shown) -> String {
    let hash = fnv1a_of_texts([&*group.key.file, &*group.key.name]);
    format!("{hash:016x}")
}

fn group_json(wanted: &Wanted<'_>, group: &Shown) -> Option<Value> {
    let has = |all: &[&str], one: &str| all.is_empty() || all.contains(&one);
    if !has(&wanted.groups, &group.key.name) || !has(&wanted.files, &group.key.file) {
        return None;
    }
    let rules: Vec<Value> = group
        .rules
        .rules
        .iter()
        .zip(&group.state.rules)
        .enumerate()
        .filter(|(_, (rule, _))| wanted.takes(rule))
        .map(|(number, (rule, state))| {
            rule_json(wanted, rule, state, group.times.get(number).copied())
        })
        .collect();
    let any = wanted.names.is_empty() && wanted.matchers.is_empty();
    let whole = any && wanted.alerting && wanted.recording;
    if rules.is_empty() && !whole {
        return None;
    }
    Some(json!({
        "name": &*group.key.name,
        "file": &*group.key.file,
        "rules": rules,
        "interval": group.interval.as_secs_f64(),
        "limit": group.rules.limit,
        "evaluationTime": group.took.as_secs_f64(),
        "lastEvaluation": time(group.evaluated_at),
    }))
}

fn rule_json(
    wanted: &Wanted<'_>,
    rule: &Rule,
    state: &RuleState,
    timed: Option<RuleTime>,
) -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
    if rule.alert().is_some() {
        put("state", state.alerts.state().as_str().into());
    }
    put("name", rule.name().into());
    put("query", rule.query.as_str().into());
    if let Some(alert) = rule.alert() {
        alerting(wanted, alert, state, &mut put);
    }
    if rule.alert().is_some() || !rule.labels.is_empty() {
        put("labels", texts(&rule.labels));
    }
    let health = match (&state.error, state.evaluated_at) {
        (Some(_), _) => "err",
        (None, Some(_)) => "ok",
        (None, None) => "unknown",
    };
    put("health", health.into());
    if let Some(error) = &state.error {
        put("lastError", error.as_str().into());
    }
    put("evaluationTime", timed.map_or(0.0, |timed| timed.took.as_secs_f64()).into());
    put("lastEvaluation", time(timed.map(|timed| timed.began)).into());
    put("type", if rule.alert().is_some() { "alerting" } else { "recording" }.into());
    Value::Object(all)
}

fn alerting(
    wanted: &Wanted<'_>,
    alert: &AlertRule,
    state: &RuleState,
    put: &mut impl FnMut(&str, Value),
) {
    put("duration", alert.hold.as_secs_f64().into());
    put("keepFiringFor", alert.keep_firing_for.as_secs_f64().into());
    put("annotations", texts(&alert.annotations));
    let shown = state.alerts.active().filter(|_| wanted.with_alerts);
    put("alerts", shown.map(|(labels, alert)| alert_json(labels, alert)).collect());
}

fn texts(texts: &BTreeMap<String, Template>) -> Value {
    texts.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect()
}

fn alert_json(labels: &LabelSet, alert: &Alert) -> Value {
    let labels: Map<String, Value> =
        labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let mut shown = json!({
        "labels": labels,
        "annotations": alert.annotations,
        "state": alert.state.as_str(),
        "activeAt": date_millis(alert.active_at),
        "value": exponential(alert.value),
    });
    if let (Some(since), Some(shown)) = (alert.keep_firing_since, shown.as_object_mut())
        && alert.state == AlertState::Firing
    {
        shown.insert("keepFiringSince".to_owned(), date_millis(since).into());
    }
    shown
}

/// A number as Go's `%e` with as many digits as it needs.
fn exponential(value: f64) -> String {
    if !value.is_finite() {
        let infinite = if value > 0.0 { "+Inf" } else { "-Inf" };
        return if value.is_nan() { "NaN" } else { infinite }.to_owned();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NEVER.to_owned(), date_millis)
}

fn whole(data: &Value) -> Vec<u8> {
    let mut answer = Answer::new(usize::MAX);
    answer.json(data).expect("invariant: the bound cannot be exceeded");
    answer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        for (value, text) in [
            (1.0, "1e+00"),
            (0.0, "0e+00"),
            (-1.5, "-1.5e+00"),
            (1234.5, "1.2345e+03"),
            (1e-7, "1e-07"),
            (1e300, "1e+300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(exponential(value), text);
        }
    }
}
