//! Prometheus' own scripts of evaluations, run where they lie; what fails is on a list with its
//! reason, and the list may only shrink.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bellwether_promql::script::read::read;
use bellwether_promql::script::run::{Tally, Verdict, run};

/// `file:line reason`, one a line.
const FAILING: &str = include_str!("scripts/failing.txt");

fn known() -> BTreeMap<String, String> {
    let lines = FAILING.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let known = lines.map(|line| {
        let (place, reason) = line.split_once(' ').expect("a place and a reason");
        (place.to_owned(), reason.to_owned())
    });
    known.collect()
}

#[test]
fn scripts_of_prometheus_pass_but_for_a_list_that_shrinks() {
    let Some(folder) = crate::conformance("promqltest") else { return };
    let mut known = known();
    let mut total = Tally::default();
    let mut new = Vec::new();
    let mut scripts: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "test"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no scripts in {}", folder.display());
    for script in &scripts {
        let name = script.file_name().unwrap().to_str().unwrap();
        let commands = read(&fs::read_to_string(script).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let outcomes = run(&commands).unwrap();
        total += Tally::of(&outcomes);
        for outcome in outcomes {
            let place = format!("{name}:{}", outcome.line);
            let is_known = known.remove(&place).is_some();
            match outcome.verdict {
                Verdict::Failed(difference) if !is_known => {
                    new.push(format!("{place}: {}\n    {difference}", outcome.query));
                }
                Verdict::Failed(_) => {}
                Verdict::Passed | Verdict::Skipped if is_known => {
                    new.push(format!("{place} does not fail any more: take it off the list"));
                }
                Verdict::Passed | Verdict::Skipped => {}
            }
        }
    }
    new.extend(known.into_keys().map(|place| format!("{place} is on the list, not in a script")));
    assert!(new.is_empty(), "{total}\n{}", new.join("\n"));
    // The share of issue A2a, of what needs no native histograms.
    assert!(total.passed * 10 >= (total.passed + total.failed) * 9, "{total}");
}
