//! `info`: series with the labels of info series that describe the same job and instance.
//!
//! As `promql/info.go` of Prometheus 3.14: which labels identify is fixed; of two info series of
//! one metric the one with the newer sample counts; info series themselves stay as they are.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::matcher::{MatchOp, Matcher};

use super::EvaluateError;
use super::call::argument;
use super::context::{Context, Evaluated, Grid, Notes, collected};
use super::frame::{Block, Col, Frame, Name};
use super::select::{self, Take};
use super::{key, labels};
use crate::tree::{Call, Expr, Length, Node, Selector, When};

/// What identifies an instance.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
/// The info metric where none is asked for.
const TARGET_INFO: &str = "target_info";
/// The info metrics where only some are excluded.
const ANY_INFO: &str = ".+_info";

/// The first argument's series with more labels.
pub(crate) fn call(
    context: &Context<'_>,
    call: &Call,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Frame> {
    let first = argument(call, 0)?;
    let base = context.frame(first, grid, notes)?;
    let asked = Asked::of(call);
    let found =
        asked.found(context, &base, read_when(context, first)?.unwrap_or_default(), grid)?;
    let infos = Infos::of(&base, &found)?;
    let mut out = Block::new(grid.count, base.len());
    for (name, col) in base.iter() {
        context.room(grid, out.len() + 1)?;
        if asked.is_info(name) {
            out.push_copy(name.clone(), col);
            continue;
        }
        let described = infos.of_series(name);
        for (infos, values) in by_infos(&described, col) {
            context.room(grid, out.len() + 1)?;
            if let Some(name) = asked.enriched(name, &infos)? {
                out.push(name, |out| values.iter().for_each(|(step, v)| out.set(*step, *v)));
            }
        }
    }
    labels::merged(Frame::of(grid.count, out))
}

/// When the first selector of an expression is read: at its own time or at that of the innermost
/// subquery around it that has one, with the offsets up to there.
fn read_when(context: &Context<'_>, expr: &Expr) -> Evaluated<Option<When>> {
    let alone = |when: &When| {
        let offset = Length::Millis(context.offset(&when.offset)?);
        Ok(Some(When { offset, at: when.at }))
    };
    let first = |all: &mut dyn Iterator<Item = &Expr>| {
        all.map(|one| read_when(context, one)).find(|when| !matches!(when, Ok(None)))
    };
    match &expr.node {
        Node::Number(_) | Node::Text(_) => Ok(None),
        Node::Selector(selector) => alone(&selector.when),
        Node::Range(range) => alone(&range.selector.when),
        Node::Paren(inner) | Node::Unary(_, inner) => read_when(context, inner),
        Node::Binary(binary) => {
            first(&mut [&binary.left, &binary.right].into_iter()).unwrap_or(Ok(None))
        }
        Node::Aggregate(aggregate) => {
            let all = [&aggregate.expr].into_iter().chain(&aggregate.param);
            first(&mut all.map(|one| -> &Expr { one })).unwrap_or(Ok(None))
        }
        Node::Call(call) => first(&mut call.args.iter()).unwrap_or(Ok(None)),
        Node::Subquery(subquery) => {
            let Some(inner) = read_when(context, &subquery.expr)? else { return Ok(None) };
            if inner.at.is_some() {
                return Ok(Some(inner));
            }
            let offset = context.offset(&inner.offset)?;
            let around = context.offset(&subquery.when.offset)?;
            let offset = Length::Millis(offset.saturating_add(around));
            Ok(Some(When { offset, at: subquery.when.at }))
        }
    }
}

/// What the second argument says.
struct Asked<'c> {
    /// Of the info metrics' names.
    names: Vec<Matcher>,
    /// Of other labels; which of them are taken over. All if there is none.
    data: Vec<&'c Matcher>,
}

impl<'c> Asked<'c> {
    fn of(call: &'c Call) -> Asked<'c> {
        let matchers = match call.args.get(1).map(|arg| &arg.node) {
            Some(Node::Selector(selector)) => selector.matchers.as_slice(),
            _ => &[],
        };
        let (names, data): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|matcher| matcher.name() == METRIC_NAME);
        let of_name = |op, value| {
            Matcher::new(METRIC_NAME, op, value).expect("invariant: a pattern of our own")
        };
        let implied = match names.as_slice() {
            [] => Some(of_name(MatchOp::Equal, TARGET_INFO)),
            names if names.iter().all(|name| name.is_negative()) => {
                Some(of_name(MatchOp::Regex, ANY_INFO))
            }
            _ => None,
        };
        Asked { names: implied.into_iter().chain(names.into_iter().cloned()).collect(), data }
    }

    /// Whether a series is one of those that describe.
    fn is_info(&self, name: &Name) -> bool {
        self.names.iter().all(|matcher| matcher.matches(name.labels.name()))
    }

    /// The info series that may describe these, each step's value the time of its sample.
    fn found(
        &self,
        context: &Context<'_>,
        base: &Frame,
        when: When,
        grid: Grid,
    ) -> Evaluated<Frame> {
        let identities = IDENTIFYING.map(|label| {
            let described = base.iter().filter(|(name, _)| !self.is_info(name));
            let values = described.filter_map(|(name, _)| name.labels.get(label));
            values.filter(|value| !value.is_empty()).collect::<BTreeSet<&str>>()
        });
        if identities.iter().all(BTreeSet::is_empty) {
            return Ok(Frame::new(grid.count));
        }
        let matchers = self.names.iter().chain(self.data.iter().copied()).cloned().collect();
        let selector = Selector { name: None, matchers, when };
        let is_near = |name: &Name| {
            IDENTIFYING.iter().zip(&identities).all(|(label, known)| {
                known.is_empty() || known.contains(name.labels.get(label).unwrap_or(""))
            })
        };
        collected(context, grid, |sink| {
            select::instant(context, &selector, Take::Time, grid, &mut |blocks| {
                let near = blocks.iter().map(|block| {
                    let mut kept = Block::new(grid.count, 0);
                    for (name, col) in block.iter().filter(|(name, _)| is_near(name)) {
                        kept.push_copy(name.clone(), col);
                    }
                    kept
                });
                sink(near.collect())
            })
        })
    }

    /// A series' name with the labels of what describes it; `None` if nothing does, but has to.
    fn enriched(&self, name: &Name, infos: &[&LabelSet]) -> Evaluated<Option<Name>> {
        if infos.is_empty() {
            let may_be_alone = self.data.iter().all(|matcher| matcher.matches_empty());
            return Ok(may_be_alone.then(|| name.clone()));
        }
        let mut added: BTreeMap<&str, &str> = BTreeMap::new();
        for (label, value) in infos.iter().flat_map(|labels| labels.iter()) {
            let is_asked = self.data.is_empty() || self.data.iter().any(|m| m.name() == label);
            if label == METRIC_NAME || !is_asked {
                continue;
            }
            if added.get(label).is_some_and(|known| *known != value) {
                return Err(EvaluateError::Failed(format!("conflicting label: {label}")));
            }
            if name.labels.get(label).is_none() {
                added.insert(label, value);
            }
        }
        let labels = key::labels(name.labels.iter().chain(added));
        Ok(Some(Name { labels, drops_name: name.drops_name }))
    }
}

/// The metric's name and the identifying labels.
type Signature<'f> = [&'f str; 3];

/// Time and labels of the newest sample at a step.
type Newest<'f> = Option<(f64, &'f LabelSet)>;

/// Info series by what they describe: at each step the one whose sample is newest.
struct Infos<'f> {
    metrics: BTreeSet<&'f str>,
    newest: BTreeMap<Signature<'f>, Vec<Newest<'f>>>,
}

impl<'f> Infos<'f> {
    /// # Errors
    /// Two of one signature have samples of one time, where there is something to describe.
    fn of(base: &Frame, found: &'f Frame) -> Evaluated<Infos<'f>> {
        let mut is_used = vec![false; base.steps];
        for (_, col) in base.iter() {
            col.each(|step, _| is_used.iter_mut().skip(step).take(1).for_each(|used| *used = true));
        }
        let mut infos = Infos { metrics: BTreeSet::new(), newest: BTreeMap::new() };
        for (name, col) in found.iter() {
            let metric = name.labels.name();
            infos.metrics.insert(metric);
            let newest = infos.newest.entry(signature(metric, &name.labels));
            let newest = newest.or_insert_with(|| vec![None; base.steps]);
            for (step, time) in col.iter() {
                let is_used = is_used.get(step).copied().unwrap_or(false);
                let Some(place) = newest.get_mut(step).filter(|_| is_used) else { continue };
                match place {
                    Some((known, other)) if *known == time => {
                        return Err(duplicate(other, &name.labels, time));
                    }
                    Some((known, _)) if *known > time => {}
                    place => *place = Some((time, &name.labels)),
                }
            }
        }
        Ok(infos)
    }

    /// What may describe a series, metric by metric.
    fn of_series<'s>(&'s self, name: &'s Name) -> Vec<&'s [Newest<'f>]> {
        let all = self.metrics.iter();
        all.filter_map(|metric| self.newest.get(&signature(metric, &name.labels)))
            .map(Vec::as_slice)
            .collect()
    }
}

fn signature<'s>(metric: &'s str, labels: &'s LabelSet) -> Signature<'s> {
    let [first, second] = IDENTIFYING.map(|label| labels.get(label).unwrap_or(""));
    [metric, first, second]
}

#[expect(clippy::cast_possible_truncation, reason = "was whole milliseconds")]
fn duplicate(known: &LabelSet, new: &LabelSet, seconds: f64) -> EvaluateError {
    let at = libm::round(seconds * 1000.0) as i64;
    EvaluateError::Failed(format!(
        "found duplicate series for info metric: existing {known} @ {at}, new {new} @ {at}"
    ))
}

/// Steps and values.
type Values = Vec<(usize, f64)>;

/// The values of a series by what describes them, in the order in which that comes up.
fn by_infos<'f>(described: &[&[Newest<'f>]], col: Col<'_>) -> Vec<(Vec<&'f LabelSet>, Values)> {
    let mut places: BTreeMap<Vec<&LabelSet>, usize> = BTreeMap::new();
    let mut all: Vec<(Vec<&'f LabelSet>, Values)> = Vec::new();
    for (step, value) in col.iter() {
        let at = |newest: &&[Newest<'f>]| newest.get(step).copied().flatten();
        let infos: Vec<&LabelSet> = described.iter().filter_map(at).map(|(_, set)| set).collect();
        let place = *places.entry(infos.clone()).or_insert_with(|| {
            all.push((infos, Vec::new()));
            all.len() - 1
        });
        if let Some((_, values)) = all.get_mut(place) {
            values.push((step, value));
        }
    }
    all
}
