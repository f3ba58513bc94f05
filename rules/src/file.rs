//! Rule files as Prometheus reads them, with every problem at once.
//!
//! [`read`] is the one way from a text to rules: `check rules`, `test rules` and the collector come
//! through it. The shape is that of Prometheus 3 (`model/rulefmt`): unknown keys are errors, labels
//! of a group stand under those of its rules, templates and expressions are parsed at once.
//! Deviations are listed in `rules/LANGUAGE.md`.

mod check;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::config::Node;
use bellwether_model::diagnostic::Diagnostics;
use bellwether_model::hash::fnv1a_of_texts;
use bellwether_model::label::METRIC_NAME;
use bellwether_promql::evaluate::{Recurring, recurring};
use bellwether_promql::parse::parse;
use bellwether_promql::tree::{Expr, Kind};

pub use crate::reading::ALL as CODES;
use crate::reading::{
    EXPRESSION, GROUP_NAME, LABEL, NO_VECTOR, RECORDING, REPEATED_RULE, RULE_KIND, Reading,
    TEMPLATE,
};
use crate::template::Template;

/// One file's rule groups.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// The file's name as it was given.
    pub name: Arc<str>,
    /// In the file's order.
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated in order at one time.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    /// Unique in its file.
    pub name: String,
    /// Between evaluations, if the file says.
    pub interval: Option<Duration>,
    /// How much earlier than the slot the rules read, if the file says.
    pub query_offset: Option<Duration>,
    /// Series or alerts that one rule may yield; 0 for no bound.
    pub limit: usize,
    /// In order.
    pub rules: Vec<Rule>,
}

/// An alert or a recording rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The expression.
    pub expr: Expr,
    /// The expression as Prometheus prints it.
    pub query: String,
    /// Laid over what the expression yields; those of the group among them. Templates are expanded
    /// for alerts only.
    pub labels: BTreeMap<String, Template>,
    /// What becomes of the result.
    pub kind: RuleKind,
    /// The parts of the expression that recur in the group.
    pub recurring: Recurring,
    /// The line of the file, from 1.
    pub line: usize,
}

/// What a rule's result becomes.
#[derive(Clone, Debug)]
pub enum RuleKind {
    /// An alert for each series.
    Alert(AlertRule),
    /// A series of this name for each series.
    Record(String),
}

/// What only alerts have.
#[derive(Clone, Debug)]
pub struct AlertRule {
    /// `alertname`
    pub name: String,
    /// `for`: how long the condition holds before the alert fires.
    pub hold: Duration,
    /// How long it fires after the condition has ended.
    pub keep_firing_for: Duration,
    /// Texts for people.
    pub annotations: BTreeMap<String, Template>,
}

impl Rule {
    /// The name of the alert, or of the series written.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.kind {
            RuleKind::Alert(alert) => &alert.name,
            RuleKind::Record(name) => name,
        }
    }

    /// What a rule is known by when its file is read again: a number made of its kind, its name
    /// and its labels (FNV-1a, 64 bits).
    #[must_use]
    pub fn identity(&self) -> u64 {
        let kind = if self.alert().is_some() { "alert" } else { "record" };
        let labels = self.labels.iter().flat_map(|(name, text)| [name.as_str(), text.as_str()]);
        fnv1a_of_texts([kind, self.name()].into_iter().chain(labels))
    }

    /// The alert, if it is one.
    #[must_use]
    pub fn alert(&self) -> Option<&AlertRule> {
        match &self.kind {
            RuleKind::Alert(alert) => Some(alert),
            RuleKind::Record(_) => None,
        }
    }
}

/// Reads a file; beside the rules come the warnings.
///
/// # Errors
/// Every problem, if one of them is an error.
pub fn read(file: &str, text: &str) -> Result<(RuleFile, Diagnostics), Diagnostics> {
    let (mut reading, root) = Reading::new(file, text);
    let mut groups = Vec::new();
    if let Some(root) = &root {
        let mut keys = reading.keys(root, "a rule file");
        let nodes = keys.take("groups").map_or(&[][..], |node| reading.items(node, "`groups`"));
        let mut names = BTreeSet::new();
        groups.extend(nodes.iter().map(|node| group(&mut reading, node, &mut names)));
        reading.close_with(&keys, foreign);
    }
    let problems = reading.finish();
    if root.is_none() || problems.has_errors() {
        return Err(problems);
    }
    Ok((RuleFile { name: Arc::from(file), groups }, problems))
}

/// What a file is that has a key which rule files do not have.
fn foreign(key: &str) -> Option<&'static str> {
    match key {
        "spec" => Some("this is a resource of Kubernetes; what stands below `spec` is a rule file"),
        "rule_files" => Some("this file names rule files: check those"),
        "tests" => Some("this is a file of tests: `bellwether test rules` runs it"),
        "scrape_configs" => Some("this is a configuration of Prometheus, not a rule file"),
        _ => None,
    }
}

fn group(reading: &mut Reading, node: &Node, names: &mut BTreeSet<String>) -> RuleGroup {
    let mut keys = reading.keys(node, "a rule group");
    let named = keys.take("name");
    let name = named.map_or(Some(String::new()), |node| reading.text_if_one(node, "`name`"));
    let place = named.map_or(&keys.place, |node| &node.place);
    let is_text = name.is_some();
    let name = name.unwrap_or_default();
    if name.is_empty() && !is_text {
        // It has been told that the name must be a text.
    } else if name.is_empty() {
        reading.error(GROUP_NAME, place, "a rule group must have a name");
    } else if !names.insert(name.clone()) {
        let message = format!("the group name {name:?} is repeated in the same file");
        reading.error(GROUP_NAME, place, message);
    }
    let duration = |node, reading: &mut Reading, what| reading.duration(node, what);
    let interval = keys.take("interval").and_then(|node| duration(node, reading, "`interval`"));
    let query_offset =
        keys.take("query_offset").and_then(|node| duration(node, reading, "`query_offset`"));
    let limit = keys.take("limit");
    let limit: Option<Limit> =
        limit.and_then(|node| reading.parsed(node, "`limit`", "a whole number"));
    let shared = keys.take("labels").map(|node| check::labels(reading, node, None));
    let shared = shared.unwrap_or_default();
    let nodes = keys.take("rules").map_or(&[][..], |node| reading.items(node, "`rules`"));
    let mut rules = Vec::with_capacity(nodes.len());
    let mut seen = BTreeSet::new();
    for node in nodes {
        let Some(rule) = check::rule(reading, node, &shared) else { continue };
        let labels: Vec<(String, String)> =
            rule.labels.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
        if !seen.insert((rule.alert().is_some(), rule.name().to_owned(), labels)) {
            let message = format!("an earlier rule of the group writes {:?} too", rule.name());
            reading.warning(REPEATED_RULE, &node.place, message);
        }
        rules.push(rule);
    }
    reading.close(&keys);
    let found = recurring(rules.iter().map(|rule| &rule.expr));
    rules.iter_mut().zip(found).for_each(|(rule, found)| rule.recurring = found);
    RuleGroup {
        name,
        interval: interval.filter(|interval| !interval.is_zero()),
        query_offset,
        limit: limit.map_or(0, |Limit(limit)| limit),
        rules,
    }
}

/// A number of samples; below zero it is none, and of a fraction the whole part counts.
struct Limit(usize);

impl FromStr for Limit {
    type Err = ();

    #[expect(clippy::cast_possible_truncation, reason = "within its bounds")]
    fn from_str(text: &str) -> Result<Limit, ()> {
        let whole: Option<i64> = text.parse().ok();
        let is_whole = |number: &f64| number.abs() < i64::MAX as f64;
        let number = || text.parse().ok().filter(is_whole);
        let limit = whole.or_else(|| number().map(|number| number as i64)).ok_or(())?;
        Ok(Limit(usize::try_from(limit).unwrap_or(0)))
    }
}

/// As `check rules` counts them.
impl fmt::Display for RuleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: usize = self.groups.iter().map(|group| group.rules.len()).sum();
        write!(f, "{}: {} groups, {rules} rules", self.name, self.groups.len())
    }
}
