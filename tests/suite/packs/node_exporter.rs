//! The rules that others ship for node_exporter find what they look for on a host of ours whose job
//! is called as they expect.
//!
//! The rules are `rules/node-exporter.rules.yml` of `BELLWETHER_CONFORMANCE` or of
//! `shared/conformance` beside the checkout. What they look for and no input has is listed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bellwether_model::label::LabelSet;
use bellwether_model::matcher::matches_all;
use bellwether_promql::script::series::read_metric;
use bellwether_rules::file::{self, RuleKind};

const RULES: &str = "rules/node-exporter.rules.yml";
/// The fixture host with disks, network and arrays, as `once` shows it.
const PAGE: &str =
    "src/shell/once/snapshots/bellwether_agent__shell__once__tests__a_storage_server.snap";
/// The list may only shrink.
const MISSING_MAX: usize = 7;
const MISSING: &str = include_str!("node_exporter/missing.txt");

/// The file, if it is here.
pub(crate) fn rules() -> Option<PathBuf> {
    crate::conformance(RULES)
}

/// The series of the host's page, with the labels that its agent gives them.
fn host() -> Vec<LabelSet> {
    let page = fs::read_to_string(super::folder("agent").join(PAGE)).unwrap();
    // Before the page stands the snapshot's own head.
    let page = page.split("\n---\n").nth(1).unwrap();
    let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let series = |line: &str| {
        let labels = read_metric(line.rsplit_once(' ').unwrap().0).unwrap();
        let given = [("job", "node-exporter"), ("instance", "storage"), ("environment", "test")];
        LabelSet::new(labels.iter().chain(given)).unwrap()
    };
    lines.map(series).collect()
}

#[test]
fn rules_for_node_exporter_find_their_series_on_a_full_host() {
    let Some(path) = rules() else { return };
    let text = fs::read_to_string(path).unwrap();
    let (file, _) = file::read(RULES, &text).unwrap();
    let rules: Vec<_> = file.groups.into_iter().flat_map(|group| group.rules).collect();
    let recorded: BTreeSet<&str> = rules
        .iter()
        .filter(|rule| matches!(rule.kind, RuleKind::Record(_)))
        .map(|rule| rule.name())
        .collect();
    let host = host();
    assert!(host.len() > 300, "{} series", host.len());
    let (mut found, mut missing) = (BTreeSet::new(), BTreeSet::new());
    for rule in &rules {
        rule.expr.each_selector(&mut |selector| {
            let name = selector.name.clone().unwrap();
            if recorded.contains(name.as_str()) {
                return;
            }
            if host.iter().any(|labels| matches_all(&selector.matchers, labels)) {
                found.insert(name)
            } else {
                missing.insert(name)
            };
        });
    }
    assert!(found.len() > 30, "{found:?}");
    let listed = MISSING.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    let new: Vec<_> = missing.difference(&listed).collect();
    assert!(new.is_empty(), "the host lacks these, and they are not listed: {new:#?}");
    let done: Vec<_> = listed.difference(&missing).collect();
    assert!(done.is_empty(), "there now: take them off the list: {done:#?}");
    assert!(listed.len() <= MISSING_MAX, "{} names: the list may only shrink", listed.len());
}
