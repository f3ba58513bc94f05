//! A test file from its text.

use bellwether_model::config::Node;
use bellwether_model::diagnostic::Diagnostics;
use bellwether_promql::parse::parse;
use bellwether_promql::script::series;

use super::*;
use crate::group::ALERT_NAME;
use crate::reading::{EXPRESSION, Keys, Reading, TEST_FILE};

/// Evaluations of one test; each costs as many as there are rules.
const SLOTS_MAX: u128 = 1_000_000;

/// Reads a test file.
///
/// # Errors
/// Every problem of the text.
pub fn read(file: &str, text: &str) -> Result<TestFile, Diagnostics> {
    let (mut reading, root) = Reading::new(file, text);
    let Some(root) = root else { return Err(reading.finish()) };
    let file = test_file(&mut reading, &root);
    let problems = reading.finish();
    if problems.has_errors() { Err(problems) } else { Ok(file) }
}

fn test_file(reading: &mut Reading, root: &Node) -> TestFile {
    let mut keys = reading.keys(root, "a test file");
    let rule_files = texts(reading, &mut keys, "rule_files");
    let evaluation_interval = interval(reading, &mut keys, "evaluation_interval");
    let evaluation_interval = evaluation_interval.unwrap_or(Duration::from_secs(60));
    let ordered = keys.take("group_eval_order");
    let group_order: Vec<String> = ordered.map_or_else(Vec::new, |node| {
        let items = reading.items(node, "`group_eval_order`");
        items.iter().map(|item| reading.text(item, "a group's name")).collect()
    });
    for (at, name) in group_order.iter().enumerate() {
        if let Some(node) = ordered.filter(|_| group_order.iter().take(at).any(|n| n == name)) {
            let message = format!("the group {name:?} is repeated in the order");
            reading.error(TEST_FILE, &node.place, message);
        }
    }
    let fuzzy = keys.take("fuzzy_compare");
    let fuzzy = fuzzy.and_then(|node| reading.parsed(node, "`fuzzy_compare`", "true or false"));
    let nodes = keys.take("tests").map_or(&[][..], |node| reading.items(node, "`tests`"));
    let mut tests = Vec::with_capacity(nodes.len());
    for (number, node) in nodes.iter().enumerate() {
        tests.push(test(reading, node, number, evaluation_interval));
    }
    reading.close(&keys);
    let fuzzy = fuzzy.unwrap_or(false);
    TestFile { rule_files, evaluation_interval, group_order, fuzzy, tests }
}

fn test(reading: &mut Reading, node: &Node, number: usize, every: Duration) -> Test {
    let mut keys = reading.keys(node, "a test");
    let name = text(reading, &mut keys, "name").filter(|name| !name.is_empty());
    let step = interval(reading, &mut keys, "interval").unwrap_or(every);
    let start = keys.take("start_timestamp");
    let start = start.map_or(Timestamp(0), |node| time(reading, node));
    let input = keys.take("input_series");
    let input = input.map_or(&[][..], |node| reading.items(node, "`input_series`"));
    let series = input.iter().filter_map(|node| one_series(reading, node)).collect();
    let cases = keys.take("alert_rule_test");
    let cases = cases.map_or(&[][..], |node| reading.items(node, "`alert_rule_test`"));
    let alerts = cases.iter().map(|node| alert_case(reading, node)).collect();
    let cases = keys.take("promql_expr_test");
    let cases = cases.map_or(&[][..], |node| reading.items(node, "`promql_expr_test`"));
    let queries = cases.iter().filter_map(|node| query_case(reading, node)).collect();
    let external = keys.take("external_labels");
    let external_labels =
        external.map_or_else(LabelSet::default, |node| labels(reading, node, None));
    let external_url = text(reading, &mut keys, "external_url").unwrap_or_default();
    let external_url = external_url.trim_end_matches('/').to_owned();
    reading.close(&keys);
    let test = Test {
        name: name.unwrap_or_else(|| format!("unnamed#{number}")),
        interval: step,
        start,
        series,
        alerts,
        queries,
        site: Site { external_labels, external_url },
    };
    if test.last().as_millis() / every.as_millis().max(1) > SLOTS_MAX {
        let message = format!("the test takes more than {SLOTS_MAX} evaluations");
        reading.error(TEST_FILE, &node.place, message);
    }
    test
}

fn text(reading: &mut Reading, keys: &mut Keys<'_>, key: &'static str) -> Option<String> {
    keys.take(key).map(|node| reading.text(node, &format!("`{key}`")))
}

fn texts(reading: &mut Reading, keys: &mut Keys<'_>, key: &'static str) -> Vec<String> {
    let nodes = keys.take(key).map_or(&[][..], |node| reading.items(node, &format!("`{key}`")));
    nodes.iter().map(|node| reading.text(node, "a path")).collect()
}

/// A duration that is not zero: zero is as good as nothing.
fn interval(reading: &mut Reading, keys: &mut Keys<'_>, key: &'static str) -> Option<Duration> {
    let node = keys.take(key)?;
    reading.duration(node, &format!("`{key}`")).filter(|value| !value.is_zero())
}

fn after(reading: &mut Reading, keys: &mut Keys<'_>) -> Duration {
    let node = keys.take("eval_time");
    node.and_then(|node| reading.duration(node, "`eval_time`")).unwrap_or_default()
}

/// Unix seconds, or a time as RFC 3339 writes one.
fn time(reading: &mut Reading, node: &Node) -> Timestamp {
    let text = reading.text(node, "`start_timestamp`");
    bellwether_model::time::parse(&text).unwrap_or_else(|error| {
        reading.error(TEST_FILE, &node.place, error);
        Timestamp(0)
    })
}

fn one_series(reading: &mut Reading, node: &Node) -> Option<(LabelSet, Vec<Point>)> {
    let mut keys = reading.keys(node, "a series");
    let metric = keys.take("series");
    let values = keys.take("values");
    reading.close(&keys);
    let (Some(metric), Some(values)) = (metric, values) else {
        reading.error(TEST_FILE, &node.place, "a series has the keys `series` and `values`");
        return None;
    };
    let labels = series::read_metric(&reading.text(metric, "`series`"));
    let labels = labels.map_err(|error| reading.error(TEST_FILE, &metric.place, error.to_string()));
    let points = series::read_points(&reading.text(values, "`values`"));
    let points = points.map_err(|error| reading.error(TEST_FILE, &values.place, error.to_string()));
    Some((labels.ok()?, points.ok()?))
}

fn alert_case(reading: &mut Reading, node: &Node) -> AlertCase {
    let mut keys = reading.keys(node, "a case of `alert_rule_test`");
    let after = after(reading, &mut keys);
    let name = text(reading, &mut keys, "alertname").unwrap_or_default();
    if name.is_empty() {
        reading.error(TEST_FILE, &node.place, "the key `alertname` is missing");
    }
    let expected = keys.take("exp_alerts");
    let expected = expected.map_or(&[][..], |node| reading.items(node, "`exp_alerts`"));
    let mut firing: Vec<_> = expected.iter().map(|node| firing(reading, node, &name)).collect();
    firing.sort();
    reading.close(&keys);
    AlertCase { place: node.place.clone(), after, name, firing }
}

fn firing(reading: &mut Reading, node: &Node, name: &str) -> (LabelSet, BTreeMap<String, String>) {
    let mut keys = reading.keys(node, "an expected alert");
    let written = keys.take("exp_labels");
    let all = match written {
        Some(written) => labels(reading, written, Some(name)),
        None => LabelSet::new([(ALERT_NAME, name)]).unwrap_or_default(),
    };
    let annotations = keys.take("exp_annotations").map(|node| {
        let texts = reading.texts(node, "`exp_annotations`", "annotation");
        texts.into_iter().map(|(entry, text)| (entry.key.clone(), text)).collect()
    });
    reading.close(&keys);
    (all, annotations.unwrap_or_default())
}

/// Labels of a mapping; with an alert's name over them.
fn labels(reading: &mut Reading, node: &Node, alert: Option<&str>) -> LabelSet {
    let texts = reading.texts(node, "labels", "label");
    let mut all: BTreeMap<&str, &str> =
        texts.iter().map(|(entry, text)| (entry.key.as_str(), text.as_str())).collect();
    all.extend(alert.map(|name| (ALERT_NAME, name)));
    match LabelSet::new(all) {
        Ok(labels) => labels,
        Err(error) => {
            reading.error(TEST_FILE, &node.place, error.to_string());
            LabelSet::default()
        }
    }
}

fn query_case(reading: &mut Reading, node: &Node) -> Option<QueryCase> {
    let mut keys = reading.keys(node, "a case of `promql_expr_test`");
    let after = after(reading, &mut keys);
    let written = keys.take("expr");
    let text = written.map(|node| reading.text(node, "`expr`")).unwrap_or_default();
    let expected = keys.take("exp_samples");
    let expected = expected.map_or(&[][..], |node| reading.items(node, "`exp_samples`"));
    let mut samples = Some(Vec::with_capacity(expected.len()));
    for node in expected {
        match (sample(reading, node), &mut samples) {
            (Some(sample), Some(samples)) => samples.push(sample),
            _ => samples = None,
        }
    }
    if let Some(samples) = &mut samples {
        samples.sort_by(|a, b| a.0.cmp(&b.0));
    }
    reading.close(&keys);
    match parse(&text) {
        Ok(expr) => Some(QueryCase { place: node.place.clone(), after, text, expr, samples }),
        Err(error) => {
            let place = reading.within_expression(written.unwrap_or(node), error.position);
            let message = format!("the expression does not parse: {}", error.message);
            reading.error(EXPRESSION, &place, message);
            None
        }
    }
}

/// An expected sample; `None` of a native histogram.
fn sample(reading: &mut Reading, node: &Node) -> Option<(LabelSet, f64)> {
    let mut keys = reading.keys(node, "an expected sample");
    let written = keys.take("labels");
    let text = written.map(|node| reading.text(node, "`labels`")).unwrap_or_default();
    let value = keys.take("value");
    let value = value.and_then(|node| number(reading, node));
    let histogram = keys.take("histogram");
    reading.close(&keys);
    let labels = match text.trim() {
        "" => LabelSet::default(),
        text => series::read_metric(text).unwrap_or_else(|error| {
            reading.error(TEST_FILE, &node.place, error.to_string());
            LabelSet::default()
        }),
    };
    match histogram {
        Some(_) => None,
        None => Some((labels, value.unwrap_or(0.0))),
    }
}

/// A float as YAML writes one.
fn number(reading: &mut Reading, node: &Node) -> Option<f64> {
    let text = reading.text(node, "`value`");
    match text.trim_start_matches('+') {
        ".inf" | ".Inf" | ".INF" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        _ => reading.parsed(node, "`value`", "a number"),
    }
}
