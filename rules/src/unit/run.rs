//! Runs the tests of a file.

use std::sync::atomic::AtomicBool;

use bellwether_model::diagnostic::Diagnostic;
use bellwether_promql::evaluate::{Budget, LOOKBACK, Options, Steps, Value, evaluate};
use bellwether_promql::pool::Serial;
use bellwether_promql::script::load::Loaded;

use super::*;
use crate::alert::AlertState;
use crate::file::{RuleFile, RuleGroup};
use crate::group::{GroupState, Means, Overlay};
use crate::reading::{TEST_FILE, UNEXPECTED};

/// What came of the cases of a file.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Cases that met what is expected.
    pub passed: usize,
    /// Cases that need native histograms.
    pub skipped: usize,
    /// What went wrong, with the test's name.
    pub failures: Vec<(String, Diagnostic)>,
}

/// Runs every test of a file over its rules.
#[must_use]
pub fn run(file: &TestFile, rules: &[RuleFile]) -> Report {
    let mut groups: Vec<&RuleGroup> = rules.iter().flat_map(|rules| &rules.groups).collect();
    // Groups that are not named come first, as in promtool.
    let rank = |group: &&RuleGroup| {
        file.group_order.iter().position(|name| *name == group.name).unwrap_or(0)
    };
    groups.sort_by_key(rank);
    let mut report = Report::default();
    for test in &file.tests {
        let mut running = Running { file, test, groups: &groups, report: Report::default() };
        running.run();
        report.passed += running.report.passed;
        report.skipped += running.report.skipped;
        report.failures.extend(running.report.failures);
    }
    report
}

struct Running<'a> {
    file: &'a TestFile,
    test: &'a Test,
    groups: &'a [&'a RuleGroup],
    report: Report,
}

impl Running<'_> {
    fn run(&mut self) {
        let test = self.test;
        let mut loaded = Loaded::default();
        if let Err(error) = loaded.add(test.start, test.interval, &test.series) {
            return self.fail(None, error.to_string());
        }
        let stop = AtomicBool::new(false);
        let options = Options { lookback: LOOKBACK, subquery_step: self.file.evaluation_interval };
        let budget = Budget { samples_max: 50_000_000, stop: &stop };
        let means = Means { options, pool: &Serial, budget, site: &test.site };
        let mut overlay = Overlay::new(&loaded, test.start);
        let mut states: Vec<GroupState> =
            self.groups.iter().map(|group| GroupState::new(group)).collect();
        let mut slot = Duration::ZERO;
        while slot <= test.last() {
            let at = test.start.saturating_add(slot);
            overlay.extend(at);
            for (group, state) in self.groups.iter().zip(&mut states) {
                let outcome = state.evaluate(group, at, &mut overlay, means);
                if let Some((number, error)) = outcome.failures.into_iter().next() {
                    let name = group.rules.get(number).map_or("", |rule| rule.name());
                    let message = format!("rule {name:?} failed after {slot:?}: {error}");
                    return self.fail(None, message);
                }
            }
            let next = slot + self.file.evaluation_interval;
            for case in test.alerts.iter().filter(|case| (slot..next).contains(&case.after)) {
                self.alerts(case, &states);
            }
            slot = next;
        }
        overlay.extend(Timestamp::MAX);
        for case in &test.queries {
            self.query(case, &loaded, &overlay, means);
        }
    }

    fn fail(&mut self, place: Option<&Place>, message: String) {
        let code = if place.is_some() { UNEXPECTED } else { TEST_FILE };
        let diagnostic = Diagnostic::error(code, place.cloned(), message);
        self.report.failures.push((self.test.name.clone(), diagnostic));
    }

    fn alerts(&mut self, case: &AlertCase, states: &[GroupState]) {
        let mut firing = Vec::new();
        for (group, state) in self.groups.iter().zip(states) {
            for (rule, state) in group.rules.iter().zip(&state.rules) {
                if rule.alert().is_none_or(|alert| alert.name != case.name) {
                    continue;
                }
                let active = state.alerts.active();
                let active = active.filter(|(_, alert)| alert.state == AlertState::Firing);
                firing.extend(active.map(|(l, alert)| (l.clone(), alert.annotations.clone())));
            }
        }
        firing.sort();
        if firing == case.firing {
            self.report.passed += 1;
            return;
        }
        let shown = |alerts: &[(LabelSet, BTreeMap<String, String>)]| {
            let lines = alerts.iter().map(|(labels, texts)| format!("\n    {labels} {texts:?}"));
            if alerts.is_empty() { " none".to_owned() } else { lines.collect() }
        };
        let message = format!(
            "alert {:?} after {:?}\n  expected:{}\n  got:{}",
            case.name,
            case.after,
            shown(&case.firing),
            shown(&firing)
        );
        self.fail(Some(&case.place), message);
    }

    fn query(&mut self, case: &QueryCase, loaded: &Loaded, view: &Overlay<'_>, means: Means<'_>) {
        let mut needs_histograms = false;
        case.expr.each_selector(&mut |selector| {
            needs_histograms |= loaded.finds_histograms(&selector.matchers);
        });
        let Some(expected) = case.samples.as_ref().filter(|_| !needs_histograms) else {
            self.report.skipped += 1;
            return;
        };
        let at = Steps::instant(self.test.start.saturating_add(case.after));
        let Means { options, pool, budget, .. } = means;
        let samples = match evaluate(view, &case.expr, at, &options, pool, budget) {
            Ok(answer) => match answer.value {
                Value::Vector(samples) => Ok(samples),
                Value::Scalar(value) => Ok(vec![(LabelSet::default(), value)]),
                Value::Text(_) | Value::Matrix(_) => {
                    Err("rule result is not a vector or scalar".to_owned())
                }
            },
            Err(error) => Err(error.to_string()),
        };
        let what = format!("query {:?} after {:?}", case.text, case.after);
        let mut samples = match samples {
            Ok(samples) => samples,
            Err(error) => return self.fail(Some(&case.place), format!("{what}: {error}")),
        };
        samples.sort_by(|a, b| a.0.cmp(&b.0));
        let equal = |a: f64, b: f64| {
            a.to_bits() == b.to_bits()
                || a == b
                || (a.is_nan() && b.is_nan())
                || (self.file.fuzzy && (a.next_up() == b || a.next_down() == b))
        };
        let pairs = expected.iter().zip(&samples);
        if expected.len() == samples.len()
            && pairs.into_iter().all(|(e, s)| e.0 == s.0 && equal(e.1, s.1))
        {
            self.report.passed += 1;
            return;
        }
        let shown = |samples: &[(LabelSet, f64)]| {
            let all: Vec<String> =
                samples.iter().map(|(labels, value)| format!("{labels} {value:e}")).collect();
            if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
        };
        let message =
            format!("{what}\n  expected: {}\n  got: {}", shown(expected), shown(&samples));
        self.fail(Some(&case.place), message);
    }
}
