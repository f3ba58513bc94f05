use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::*;
use crate::file::{self, Rule};
use crate::unit::{self, TestFile};

/// Severities, from the gravest.
const SEVERITIES: [&str; 3] = ["page", "ticket", "info"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packs")
}

/// The alerts of all packs, by name.
fn alerts() -> BTreeMap<String, Rule> {
    let mut alerts = BTreeMap::new();
    for (name, text) in ALL {
        let (file, warnings) = file::read(name, text).unwrap_or_else(|told| panic!("{told}"));
        assert!(warnings.is_empty(), "{warnings}");
        for rule in file.groups.into_iter().flat_map(|group| group.rules) {
            let alert = rule.name().to_owned();
            assert!(rule.alert().is_some(), "{alert} is no alert");
            assert!(alerts.insert(alert.clone(), rule).is_none(), "{alert} is there twice");
        }
    }
    alerts
}

fn tests_of(pack: &str) -> TestFile {
    let path = folder().join(format!("tests/{pack}.test.yaml"));
    let text = std::fs::read_to_string(&path).unwrap();
    let file = unit::read(&path.display().to_string(), &text);
    file.unwrap_or_else(|told| panic!("{told}"))
}

/// The headings of a page, with those that nothing stands under left out.
fn headings(page: &str) -> Vec<&str> {
    let mut sections = page.split("\n## ").skip(1);
    let mut headings = Vec::new();
    for section in sections.by_ref() {
        let (heading, rest) = section.split_once('\n').unwrap();
        if !rest.trim().is_empty() {
            headings.push(heading);
        }
    }
    headings
}

#[test]
fn the_host_pack_has_enough_alerts_and_each_says_what_it_must() {
    let alerts = alerts();
    assert!(alerts.len() >= 20, "{}", alerts.len());
    for (name, rule) in &alerts {
        let severity = rule.labels["severity"].as_str();
        assert!(SEVERITIES.contains(&severity), "{name}: {severity}");
        let annotations = &rule.alert().unwrap().annotations;
        let keys: Vec<&str> = annotations.keys().map(String::as_str).collect();
        assert_eq!(keys, ["description", "runbook_url", "summary"], "{name}");
        let url = annotations["runbook_url"].as_str();
        assert_eq!(url, format!("{{{{ $externalURL }}}}/runbooks/{name}"));
        // Which host it is stands in what a phone shows.
        let shown = annotations["summary"].as_str();
        assert!(shown.contains("$labels.instance"), "{name}: {shown}");
        assert!(shown.len() < 100, "{name}: {shown}");
    }
}

#[test]
fn each_alert_has_its_page_and_each_page_its_alert() {
    let alerts: BTreeSet<String> = alerts().into_keys().collect();
    let pages: BTreeSet<String> = RUNBOOKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(alerts, pages);
    let files = std::fs::read_dir(folder().join("runbooks")).unwrap();
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> =
        files.map(|file| file.strip_suffix(".md").unwrap().to_owned()).collect();
    assert_eq!(pages, files);
    assert!(RUNBOOKS.is_sorted());
    assert!(runbook("HostDown").is_some() && runbook("HostDowner").is_none());
    assert_eq!(pack("host"), Some(HOST));
}

#[test]
fn each_page_has_its_sections_and_tells_the_severity_of_the_alert() {
    for (name, rule) in alerts() {
        let page = runbook(&name).unwrap();
        assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        let severity = rule.labels["severity"].as_str();
        assert!(page.contains(&format!("\nSeverity: {severity}.\n")), "{name}: not {severity}");
        assert_eq!(
            headings(page),
            ["Meaning", "Impact", "Check", "Mend", "When to silence"],
            "{name}"
        );
        // Other alerts that it speaks of are there.
        for word in page.split(|c: char| !c.is_ascii_alphanumeric()) {
            let is_alert = word
                .strip_prefix("Host")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
            assert!(!is_alert || runbook(word).is_some(), "{name} speaks of {word}");
        }
    }
    assert_eq!(headings("# A\n\n## B\n\ntext\n\n## C\n\n## D\n\nx\n"), ["B", "D"]);
}

#[test]
fn each_alert_has_a_test_where_it_fires_and_one_where_it_does_not() {
    let mut cases: BTreeSet<(String, bool)> = BTreeSet::new();
    for (pack, text) in ALL {
        let tests = tests_of(pack);
        let (rules, _) = file::read(pack, text).unwrap();
        for test in &tests.tests {
            // A case where nothing could fire shows nothing.
            assert!(!test.series.is_empty(), "{}", test.name);
            for case in &test.alerts {
                cases.insert((case.name.clone(), !case.firing.is_empty()));
            }
        }
        let alerts: usize = rules.groups.iter().map(|group| group.rules.len()).sum();
        let report = unit::run(&tests, &[rules]);
        let failed: String = report.failures.iter().map(|(_, told)| told.to_string()).collect();
        assert_eq!((failed.as_str(), report.skipped), ("", 0));
        assert!(report.passed >= 2 * alerts);
    }
    let wanted: BTreeSet<(String, bool)> =
        alerts().into_keys().flat_map(|name| [(name.clone(), false), (name, true)]).collect();
    assert_eq!(cases, wanted);
}

#[test]
fn a_test_of_silence_has_what_its_alert_looks_at() {
    let alerts = alerts();
    for (pack, _) in ALL {
        for test in tests_of(pack).tests {
            for case in test.alerts.iter().filter(|case| case.firing.is_empty()) {
                let mut found = false;
                alerts[&case.name].expr.each_selector(&mut |selector| {
                    found |= test.series.iter().any(|(labels, _)| {
                        let of = |name| labels.get(name).unwrap_or("");
                        selector.matchers.iter().all(|m| m.matches(of(m.name())))
                    });
                });
                assert!(found, "{}: no selector finds a series", test.name);
            }
        }
    }
}
