//! Relabelling: rules that change, choose and drop sets of labels, one after the other, with
//! Prometheus' actions and results.
//!
//! Source: `relabel_config` in Prometheus' documentation, and `model/relabel` for what that leaves
//! open: `lowercase`, `uppercase` and `hashmod` take no heed of the pattern; a replacement that
//! comes out empty takes the label away, and a target that comes out empty changes nothing.
//! `hashmod` takes the last eight bytes of the MD5.

use std::collections::BTreeMap;

use md5::{Digest, Md5};

use crate::config::Choice;
use crate::label::{LabelError, LabelSet};
use crate::matcher::{Capturing, Template};

/// Source labels of one rule.
pub const SOURCES_MAX: usize = 64;
/// What stands between source labels, if nothing else is said.
pub const SEPARATOR: &str = ";";
/// The pattern, if nothing else is said.
pub const ANYTHING: &str = "(.*)";
/// The replacement, if nothing else is said.
pub const FIRST_GROUP: &str = "$1";

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sets the target to the replacement, where the pattern matches.
    Replace,
    /// Drops what the pattern does not match.
    Keep,
    /// Drops what the pattern matches.
    Drop,
    /// Drops what differs from the target.
    KeepEqual,
    /// Drops what is equal to the target.
    DropEqual,
    /// Sets the target to a hash modulo a number.
    HashMod,
    /// Copies labels whose names the pattern matches to the names that the replacement makes.
    LabelMap,
    /// Takes labels away whose names the pattern matches.
    LabelDrop,
    /// Takes labels away whose names the pattern does not match.
    LabelKeep,
    /// Sets the target to the source in small letters.
    Lowercase,
    /// Sets the target to the source in capitals.
    Uppercase,
}

impl Choice for Action {
    const WORDS: &'static [(&'static str, Action)] = &[
        ("replace", Action::Replace),
        ("keep", Action::Keep),
        ("drop", Action::Drop),
        ("keepequal", Action::KeepEqual),
        ("dropequal", Action::DropEqual),
        ("hashmod", Action::HashMod),
        ("labelmap", Action::LabelMap),
        ("labeldrop", Action::LabelDrop),
        ("labelkeep", Action::LabelKeep),
        ("lowercase", Action::Lowercase),
        ("uppercase", Action::Uppercase),
    ];
}

impl Action {
    fn word(self) -> &'static str {
        Action::WORDS.iter().find(|(_, action)| *action == self).map_or("", |(word, _)| word)
    }
}

/// A rule as written; what is `None` was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    /// What it does.
    pub action: Action,
    /// Labels whose values are joined to the source.
    pub source_labels: Vec<String>,
    /// What stands between them.
    pub separator: Option<String>,
    /// A pattern over the source, or over names.
    pub regex: Option<String>,
    /// The label that is set or compared with; of `replace` a template.
    pub target_label: Option<String>,
    /// A template for the target's value, or for a name.
    pub replacement: Option<String>,
    /// What the hash is divided by.
    pub modulus: Option<u64>,
}

/// Why a rule is none: the key, and words that follow it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {words}")]
pub struct BadRule {
    /// Which key is wrong or missing.
    pub key: &'static str,
    /// What is wrong with it.
    pub words: String,
}

/// A rule as run.
#[derive(Clone, Debug)]
pub struct Rule {
    action: Action,
    sources: Vec<String>,
    separator: String,
    pattern: Capturing,
    target: String,
    target_template: Template,
    replacement: Template,
    modulus: u64,
}

/// What became of a set of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It goes on.
    Yes,
    /// A rule has dropped it.
    Dropped,
}

/// Labels being changed, the metric's name among them. No value is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// The value of a label; empty if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Sets a label; an empty value takes it away.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.0.remove(name);
        } else if let Some(held) = self.0.get_mut(name) {
            value.clone_into(held);
        } else {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Keeps the labels whose names meet a test.
    pub fn retain(&mut self, mut keeps: impl FnMut(&str) -> bool) {
        self.0.retain(|name, _| keeps(name));
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a set.
    ///
    /// # Errors
    /// A bound of [`crate::limit`] exceeded.
    pub fn to_set(&self) -> Result<LabelSet, LabelError> {
        LabelSet::new(self.iter())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Labels {
        let mut labels = Labels::default();
        pairs.into_iter().for_each(|(name, value)| labels.set(name, value));
        labels
    }
}

/// Applies rules in turn; ends with the one that drops.
pub fn apply(rules: &[Rule], labels: &mut Labels) -> Kept {
    let drops = rules.iter().any(|rule| rule.apply(labels) == Kept::Dropped);
    if drops { Kept::Dropped } else { Kept::Yes }
}

impl Rule {
    /// Checks a rule as Prometheus does.
    ///
    /// # Errors
    /// A pattern that is none, or a key that the action needs or has no use for.
    pub fn new(spec: &RuleSpec) -> Result<Rule, BadRule> {
        check(spec)?;
        let pattern = spec.regex.as_deref().unwrap_or(ANYTHING);
        let pattern = Capturing::new(pattern)
            .map_err(|reason| bad("regex", format!("is no regular expression: {reason}")))?;
        let target = spec.target_label.clone().unwrap_or_default();
        Ok(Rule {
            action: spec.action,
            sources: spec.source_labels.clone(),
            separator: spec.separator.as_deref().unwrap_or(SEPARATOR).to_owned(),
            pattern,
            target_template: Template::new(&target),
            target,
            replacement: Template::new(spec.replacement.as_deref().unwrap_or(FIRST_GROUP)),
            modulus: spec.modulus.unwrap_or(1).max(1),
        })
    }

    /// Applies the rule.
    pub fn apply(&self, labels: &mut Labels) -> Kept {
        let source = self.source(labels);
        let drops = match self.action {
            Action::Drop => self.pattern.matches(&source),
            Action::Keep => !self.pattern.matches(&source),
            Action::DropEqual => labels.get(&self.target) == source,
            Action::KeepEqual => labels.get(&self.target) != source,
            Action::Replace => {
                self.replace(&source, labels);
                false
            }
            Action::Lowercase => {
                labels.set(&self.target, &lower(&source));
                false
            }
            Action::Uppercase => {
                labels.set(&self.target, &upper(&source));
                false
            }
            Action::HashMod => {
                labels.set(&self.target, &(hash(&source) % self.modulus).to_string());
                false
            }
            Action::LabelMap => {
                self.map(labels);
                false
            }
            Action::LabelDrop => {
                labels.retain(|name| !self.pattern.matches(name));
                false
            }
            Action::LabelKeep => {
                labels.retain(|name| self.pattern.matches(name));
                false
            }
        };
        if drops { Kept::Dropped } else { Kept::Yes }
    }

    /// Whether the rule can take this label away from a set that has it.
    #[must_use]
    pub fn may_remove(&self, name: &str) -> bool {
        match self.action {
            Action::LabelDrop => self.pattern.matches(name),
            Action::LabelKeep => !self.pattern.matches(name),
            Action::Replace => self.target_template.plain().is_none_or(|plain| plain == name),
            Action::Lowercase | Action::Uppercase => self.target == name,
            Action::Keep
            | Action::Drop
            | Action::KeepEqual
            | Action::DropEqual
            | Action::HashMod
            | Action::LabelMap => false,
        }
    }

    fn source(&self, labels: &Labels) -> String {
        let mut source = String::new();
        for (place, name) in self.sources.iter().enumerate() {
            if place > 0 {
                source.push_str(&self.separator);
            }
            source.push_str(labels.get(name));
        }
        source
    }

    fn replace(&self, source: &str, labels: &mut Labels) {
        let Some(groups) = self.pattern.captures(source) else { return };
        let target = groups.expand(&self.target_template);
        if !target.is_empty() {
            labels.set(&target, &groups.expand(&self.replacement));
        }
    }

    /// The names are those before the rule: what it copies is not copied again.
    fn map(&self, labels: &mut Labels) {
        let copy = |(name, value): (&str, &str)| {
            let groups = self.pattern.captures(name)?;
            Some((groups.expand(&self.replacement), value.to_owned()))
        };
        let copies: Vec<(String, String)> = labels.iter().filter_map(copy).collect();
        for (name, value) in copies.iter().filter(|(name, _)| !name.is_empty()) {
            labels.set(name, value);
        }
    }
}

/// Go maps letter by letter, where Unicode has more than one for some.
fn lower(text: &str) -> String {
    text.chars().map(|c| single(c, c.to_lowercase())).collect()
}

fn upper(text: &str) -> String {
    text.chars().map(|c| single(c, c.to_uppercase())).collect()
}

fn single(from: char, mut to: impl Iterator<Item = char>) -> char {
    match (to.next(), to.next()) {
        (Some(one), None) => one,
        // Of `İ` Go's small letter is the first of the two; `ß` has no single capital.
        (Some(one), Some(_)) if from == 'İ' => one,
        _ => from,
    }
}

fn hash(text: &str) -> u64 {
    let digest = Md5::digest(text.as_bytes());
    let (_, last) = digest.as_slice().split_last_chunk::<8>().expect("invariant: 16 bytes");
    u64::from_be_bytes(*last)
}

fn bad(key: &'static str, words: impl Into<String>) -> BadRule {
    BadRule { key, words: words.into() }
}

fn check(spec: &RuleSpec) -> Result<(), BadRule> {
    let action = spec.action;
    let word = action.word();
    if action == Action::HashMod && spec.modulus.unwrap_or(0) == 0 {
        return Err(bad("modulus", "must be there and above 0 for `hashmod`"));
    }
    if spec.source_labels.len() > SOURCES_MAX {
        return Err(bad("source_labels", format!("has more than {SOURCES_MAX} items")));
    }
    let needs_target = matches!(
        action,
        Action::Replace
            | Action::HashMod
            | Action::Lowercase
            | Action::Uppercase
            | Action::KeepEqual
            | Action::DropEqual
    );
    if needs_target && spec.target_label.as_deref().unwrap_or_default().is_empty() {
        return Err(bad("target_label", format!("must be there for `{word}`")));
    }
    if action == Action::LabelMap && spec.replacement.as_deref() == Some("") {
        return Err(bad("replacement", "must be a label for `labelmap`"));
    }
    let only = |allowed: &str, others: [(&'static str, bool); 5]| match others
        .into_iter()
        .find(|(_, is_set)| *is_set)
    {
        Some((key, _)) => {
            Err(bad(key, format!("cannot be set for `{word}`, which takes {allowed} only")))
        }
        None => Ok(()),
    };
    let other = |set: &Option<String>, default: &str| set.as_deref().is_some_and(|v| v != default);
    let separator = ("separator", other(&spec.separator, SEPARATOR));
    let replacement = ("replacement", other(&spec.replacement, FIRST_GROUP));
    let modulus = ("modulus", spec.modulus.unwrap_or(0) != 0);
    match action {
        Action::KeepEqual | Action::DropEqual => {
            let regex = ("regex", other(&spec.regex, ANYTHING));
            let none = ("source_labels", false);
            let others = [regex, separator, replacement, modulus, none];
            only("`source_labels` and `target_label`", others)
        }
        Action::LabelDrop | Action::LabelKeep => {
            let sources = ("source_labels", !spec.source_labels.is_empty());
            let target = ("target_label", other(&spec.target_label, ""));
            only("`regex`", [sources, target, separator, replacement, modulus])
        }
        Action::Lowercase | Action::Uppercase if replacement.1 => {
            Err(bad("replacement", format!("cannot be set for `{word}`")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
