//! Aggregations of one vector at one time.

use std::cmp::Ordering;

use bellwether_model::label::{LabelSet, METRIC_NAME};

use super::number::{self, Sum};
use super::order::{heap_push, heap_replace};
use super::{Element, projected, with_label};

/// `by (…)` or `without (…)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grouping<'a> {
    pub(super) without: bool,
    pub(super) labels: &'a [String],
}

impl Grouping<'_> {
    /// The labels of the group that a series belongs to.
    pub(super) fn of(self, labels: &LabelSet) -> LabelSet {
        let named = |name: &str| self.labels.iter().any(|label| label == name);
        if self.without {
            projected(labels, |name| name != METRIC_NAME && !named(name))
        } else {
            projected(labels, named)
        }
    }
}

/// Members of each group, groups in the order of their first member.
fn groups(input: &[Element], grouping: Grouping<'_>) -> Vec<(LabelSet, Vec<Element>)> {
    let mut groups: Vec<(LabelSet, Vec<Element>)> = Vec::new();
    for element in input {
        let key = grouping.of(&element.labels);
        match groups.iter_mut().find(|(labels, _)| *labels == key) {
            Some((_, members)) => members.push(element.clone()),
            None => groups.push((key, vec![element.clone()])),
        }
    }
    groups
}

/// One value per group.
pub(super) fn reduce(
    operator: &str,
    parameter: f64,
    grouping: Grouping<'_>,
    input: &[Element],
) -> Vec<Element> {
    let reduced = groups(input, grouping).into_iter().map(|(labels, members)| {
        let values: Vec<f64> = members.iter().map(|member| member.value).collect();
        let value = match operator {
            "avg" => number::mean(&values),
            "count" => values.len() as f64,
            "group" => 1.0,
            "max" => extreme(&values, |new, held| new > held),
            "min" => extreme(&values, |new, held| new < held),
            "quantile" => number::quantile(parameter, &values),
            "stddev" => libm::sqrt(number::variance_across(&values)),
            "stdvar" => number::variance_across(&values),
            "sum" => {
                let first = Sum::starting_with(values[0]);
                values[1..].iter().fold(first, |sum, value| sum.plus(*value)).value()
            }
            other => unreachable!("the reference lacks {other}"),
        };
        let drops_name = members.iter().any(|member| member.drops_name);
        Element { labels, drops_name, value, ..members[0].clone() }
    });
    reduced.collect()
}

fn extreme(values: &[f64], wins: impl Fn(f64, f64) -> bool) -> f64 {
    let mut held = values[0];
    for &value in &values[1..] {
        if wins(value, held) || held.is_nan() {
            held = value;
        }
    }
    held
}

/// One element per group and value, counted; the value becomes a label.
pub(super) fn count_values(label: &str, grouping: Grouping<'_>, input: &[Element]) -> Vec<Element> {
    let mut names = grouping.labels.to_vec();
    if !grouping.without {
        names.push(label.to_owned());
    }
    let grouping = Grouping { without: grouping.without, labels: &names };
    let labelled: Vec<Element> = input
        .iter()
        .map(|element| {
            let labels = with_label(&element.labels, label, &shown(element.value));
            Element { labels, ..element.clone() }
        })
        .collect();
    let counted = groups(&labelled, grouping).into_iter().map(|(labels, members)| Element {
        labels,
        drops_name: false,
        value: members.len() as f64,
        ..members[0].clone()
    });
    counted.collect()
}

/// The shortest decimal text that reads back, never with an exponent.
fn shown(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

/// Whether an element stands before another on the heap.
type Less = fn(&Element, &Element) -> bool;

fn smaller(a: &Element, b: &Element) -> bool {
    a.value.is_nan() || a.value < b.value
}

fn larger(a: &Element, b: &Element) -> bool {
    a.value.is_nan() || a.value > b.value
}

/// The `k` largest (`topk`) or smallest (`bottomk`) of each group, best first.
pub(super) fn best(
    operator: &str,
    k: usize,
    grouping: Grouping<'_>,
    input: &[Element],
) -> Vec<Element> {
    let worse: Less = if operator == "topk" { smaller } else { larger };
    let mut all = Vec::new();
    for (_, members) in groups(input, grouping) {
        let mut heap: Vec<Element> = Vec::new();
        for member in members {
            if heap.len() < k {
                heap_push(&mut heap, member, &worse);
                continue;
            }
            let front = heap[0].value;
            let beats =
                if operator == "topk" { front < member.value } else { front > member.value };
            if beats || (front.is_nan() && !member.value.is_nan()) {
                heap_replace(&mut heap, member, &worse);
            }
        }
        heap.sort_by(|a, b| match (a.value.is_nan(), b.value.is_nan()) {
            (false, false) if worse(b, a) => Ordering::Less,
            (false, false) if worse(a, b) => Ordering::Greater,
            (a, b) => a.cmp(&b),
        });
        all.extend(heap);
    }
    all
}

/// The first `k` of each group.
pub(super) fn first(k: usize, grouping: Grouping<'_>, input: &[Element]) -> Vec<Element> {
    groups(input, grouping).into_iter().flat_map(|(_, m)| m.into_iter().take(k)).collect()
}

/// The part of each group whose labels hash below the ratio, or above one plus a negative ratio.
pub(super) fn sampled(ratio: f64, grouping: Grouping<'_>, input: &[Element]) -> Vec<Element> {
    let ratio = ratio.clamp(-1.0, 1.0);
    let chosen = |element: &Element| {
        let offset = super::hash::offset(&element.labels);
        (ratio >= 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)
    };
    groups(input, grouping).into_iter().flat_map(|(_, m)| m).filter(chosen).collect()
}
