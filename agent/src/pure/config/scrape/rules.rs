//! Rules of relabelling as Prometheus' file has them.

use bellwether_model::config::{Fields, code};
use bellwether_model::diagnostic::Diagnostic;
use bellwether_model::relabel::{Action, Rule, RuleSpec};

use super::super::probe::at_most;

const RULES_MAX: usize = 500;

/// The rules under a key, and how they are written.
pub(super) fn list(
    f: &mut Fields<'_>,
    key: &'static str,
    help: &'static str,
) -> (Vec<Rule>, Vec<RuleSpec>) {
    let rules = f
        .list(key, help, |item| item.fields(rule))
        .check(|rules| at_most(rules.len(), RULES_MAX))
        .or(Vec::new());
    rules.into_iter().flatten().unzip()
}

fn rule(f: &mut Fields<'_>) -> Option<(Rule, RuleSpec)> {
    let spec = RuleSpec {
        action: f.choice("action", "What is done.").or(Action::Replace),
        source_labels: f
            .list("source_labels", "Labels whose values are joined.", |item| item.text())
            .or(Vec::new()),
        separator: f.verbatim("separator", "What stands between them; by default `;`.").optional(),
        regex: f
            .verbatim("regex", "A pattern that must match all of it; by default `(.*)`.")
            .optional(),
        target_label: f.verbatim("target_label", "The label that is set.").optional(),
        replacement: f.verbatim("replacement", "What it is set to; by default `$1`.").optional(),
        modulus: f.integer("modulus", "What the hash is divided by.").optional(),
    };
    match Rule::new(&spec) {
        Ok(rule) => Some((rule, spec)),
        Err(error) => {
            let place = f.place_of(error.key).unwrap_or_else(|| f.place());
            f.push(Diagnostic::error(code::INVALID, Some(place), error.to_string()));
            None
        }
    }
}
