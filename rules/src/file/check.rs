//! One rule, from its mapping.

use bellwether_model::config::Value;
use bellwether_model::diagnostic::Place;

use super::*;

/// Reads one rule; `None` if it lacks what makes it one. Its problems have been reported.
pub(super) fn rule<'n>(
    reading: &mut Reading,
    node: &'n Node,
    shared: &BTreeMap<String, Template>,
) -> Option<Rule> {
    let mut keys = reading.keys(node, "a rule");
    let [record, alert] = [keys.take("record"), keys.take("alert")];
    let record = record.map(|node| name(node, reading, "`record`"));
    let alert = alert.map(|node| name(node, reading, "`alert`"));
    let written = keys.take("expr");
    // Where there is no rule at all, that is said once.
    let is_nothing = keys.is_empty();
    let parsed = if is_nothing { None } else { expression(reading, written, &keys.place) };
    let hold = keys.take("for");
    let hold = hold.map(|node| (reading.duration(node, "`for`"), &node.place));
    let keep = keys.take("keep_firing_for");
    let keep = keep.map(|node| (reading.duration(node, "`keep_firing_for`"), &node.place));
    let owner = alert.as_ref().and_then(|alert| Some(alert.as_ref()?.0.clone()));
    let labels = keys.take("labels").map(|node| labels(reading, node, owner.as_deref()));
    let written_annotations = keys.take("annotations");
    let annotations = written_annotations.map(|node| annotations(reading, node, owner.as_deref()));
    reading.close(&keys);

    if matches!((&record, &alert), (Some(None), _) | (_, Some(None))) {
        return None;
    }
    let named =
        |name: Option<Option<Named<'n>>>| name.flatten().filter(|(name, _)| !name.is_empty());
    let kind = match (named(record), named(alert)) {
        (Some(_), Some((_, place))) => {
            reading.error(RULE_KIND, place, "only one of `record` and `alert` must be set");
            return None;
        }
        (None, None) if !matches!(node.value, Value::Mapping(_)) && !node.is_null() => return None,
        (None, None) => {
            let message = "one of `record` and `alert` must be set";
            reading.error(RULE_KIND, &keys.place, message);
            return None;
        }
        (Some((name, place)), None) => {
            recorded_name(reading, &name, place);
            let is_said = |given: &Option<(Option<Duration>, &'n Place)>| {
                given.filter(|(value, _)| *value != Some(Duration::ZERO)).map(|(_, place)| place)
            };
            let annotated = annotations.as_ref().is_some_and(|texts| !texts.is_empty());
            let annotated = written_annotations.filter(|_| annotated).map(|node| &node.place);
            let extra = [
                ("annotations", annotated),
                ("for", is_said(&hold)),
                ("keep_firing_for", is_said(&keep)),
            ];
            refuse_keys_of_alerts(reading, &extra);
            RuleKind::Record(name)
        }
        (None, Some((name, _))) => RuleKind::Alert(AlertRule {
            name,
            hold: hold.and_then(|(hold, _)| hold).unwrap_or_default(),
            keep_firing_for: keep.and_then(|(keep, _)| keep).unwrap_or_default(),
            annotations: annotations.unwrap_or_default(),
        }),
    };
    let expr = parsed?;
    let mut all = shared.clone();
    all.extend(labels.unwrap_or_default());
    let query = expr.to_string();
    let recurring = Recurring::default();
    Some(Rule { expr, query, labels: all, kind, recurring, line: node.place.line })
}

/// Keys that say something only in a rule that alerts.
fn refuse_keys_of_alerts(reading: &mut Reading, given: &[(&str, Option<&Place>)]) {
    for (key, place) in given {
        if let Some(place) = place {
            let message = format!("a recording rule has no `{key}`");
            reading.error(RECORDING, place, message);
        }
    }
}

/// A name and where it stands.
type Named<'n> = (String, &'n Place);

fn name<'n>(node: &'n Node, reading: &mut Reading, what: &str) -> Option<Named<'n>> {
    Some((reading.text_if_one(node, what)?, &node.place))
}

fn expression(reading: &mut Reading, node: Option<&Node>, within: &Place) -> Option<Expr> {
    let Some(node) = node else {
        reading.error(EXPRESSION, within, "the key `expr` is missing");
        return None;
    };
    let text = reading.text_if_one(node, "`expr`")?;
    match parse(&text) {
        Ok(expr) => {
            if matches!(expr.kind(), Kind::Matrix | Kind::Text) {
                let what = expr.kind().documented();
                let message = format!("a rule cannot use a {what}: it will never evaluate");
                reading.warning(NO_VECTOR, &node.place, message);
            }
            Some(expr)
        }
        Err(error) => {
            let place = reading.within_expression(node, error.position);
            let message = format!("the expression does not parse: {}", error.message);
            reading.error(EXPRESSION, &place, message);
            None
        }
    }
}

/// `record` must be a metric's name; an expression in its place is a common mistake.
fn recorded_name(reading: &mut Reading, name: &str, place: &Place) {
    if name.contains(['{', '}']) {
        let message = "braces stand in the name of the series; should it be in `expr`?";
        reading.error(RECORDING, place, message);
    }
}

/// Labels of a rule, or of a group (then they belong to no alert, and nothing is a template).
pub(super) fn labels(
    reading: &mut Reading,
    node: &Node,
    alert: Option<&str>,
) -> BTreeMap<String, Template> {
    let mut labels = BTreeMap::new();
    for (entry, text) in reading.texts(node, "`labels`", "label") {
        if entry.key.is_empty() {
            reading.error(LABEL, &entry.place, "a label must have a name");
        } else if entry.key == METRIC_NAME {
            let message = format!("{:?} cannot be a label's name here", entry.key);
            reading.error(LABEL, &entry.place, message);
        }
        let what = format!("label {:?}", entry.key);
        if let Some(template) = template(reading, &entry.node, &what, &text, alert) {
            labels.insert(entry.key.clone(), template);
        }
    }
    labels
}

fn annotations(
    reading: &mut Reading,
    node: &Node,
    alert: Option<&str>,
) -> BTreeMap<String, Template> {
    let mut annotations = BTreeMap::new();
    for (entry, text) in reading.texts(node, "`annotations`", "annotation") {
        if entry.key.is_empty() {
            reading.error(LABEL, &entry.place, "an annotation must have a name");
        }
        let what = format!("annotation {:?}", entry.key);
        if let Some(template) = template(reading, &entry.node, &what, &text, alert) {
            annotations.insert(entry.key.clone(), template);
        }
    }
    annotations
}

/// A text as a template; outside of alerts it is never expanded, so that nothing is checked.
fn template(
    reading: &mut Reading,
    node: &Node,
    what: &str,
    text: &str,
    alert: Option<&str>,
) -> Option<Template> {
    let Some(alert) = alert else { return Some(Template::plain(text)) };
    match Template::new(&format!("__alert_{alert}"), text) {
        Ok(template) => Some(template),
        Err(error) => {
            let place = match error.at {
                Some(at) => reading.within(node, at),
                None => node.place.clone(),
            };
            reading.error(TEMPLATE, &place, format!("{what}: {error}"));
            None
        }
    }
}
