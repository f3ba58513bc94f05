//! A second evaluator, for tests only: what Prometheus 3 means by a query, said as plainly as
//! possible.
//!
//! It shares the tree, label sets and matchers with the engine and nothing of its evaluation. An
//! expression is evaluated node by node; each node answers with one list of elements per step, and
//! reads its series from the view again for every step. Slow, and meant to be.
//!
//! Decisions, where Prometheus leaves room or is odd:
//! - *Order.* A node's series have one order for all of its steps, and sums run in it: by labels
//!   from a selector; groups by their first series; of operators the order of the left side, of the
//!   many if one side has them, and what only the other side has after it. Prometheus has the same
//!   order at one step, but for that of its storage, and none over a range (Go's maps).
//! - *Names* of metrics are dropped at the end, so that grouping and labels still see them: so its
//!   scripts want it, and its server where delayed removal is switched on.
//! - *Errors* belong to a node over all of its steps: the left side's come before the right side's,
//!   both before the operator's own.
//! - *Equal labels* of two elements are refused by a node over a range, and at the end of an
//!   instant query.
//! - `timestamp` of a selector with `@` and `offset` heeds the offset; Prometheus forgets it there.
//! - The parameter of an aggregation counts at every step; Prometheus takes the first step's where
//!   what is aggregated is pinned by `@`, and reads `@ start()` in it as nothing.
//! - `sort` over a range is warned of also where its argument is pinned by `@`, and an empty label
//!   stands first in `sort_by_label`; to Prometheus it is equal to any.
//! - Numbers out of the range of dates are cut to it; Go leaves that to the processor.
//! - A subquery is evaluated at the multiples of its step from the start of the first window to the
//!   end of the last, once; an error between two windows counts.
//! - A result that is not a number is any such value; a stale marker never is a result.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::select::Select;

use crate::print::short;
use crate::tree::{Aggregate, AggregateOp, Binary, Expr, Kind, Node, Sign, Span};

mod aggregate;
mod binary;
mod buckets;
mod calendar;
mod call;
mod duration;
mod hash;
mod instant;
mod number;
mod order;
mod pattern;
mod select;
mod tests;
mod window;

use aggregate::Grouping;
use binary::Swapped;

/// One value of a vector at one step.
#[derive(Clone, Debug)]
struct Element {
    labels: LabelSet,
    /// The metric's name goes when the query ends.
    drops_name: bool,
    value: f64,
    /// When the value was sampled, in milliseconds: only `timestamp` asks.
    time: i64,
    /// Where the series stands among those of its node; the lower is the earlier.
    rank: [usize; 2],
}

/// Why a query has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Failure {
    /// Two elements of one step have the same labels.
    SameLabels,
    /// Two series of the side that may have one match.
    ManyOnTheOneSide,
    /// Two series match one, and no `group_left` or `group_right` allows it.
    ManyWithoutGroup,
    /// Two series of a group get the same labels.
    GroupNotUnique,
    /// `k` is not a number, or not a 64-bit integer.
    BadCount,
    /// A ratio that is not a number.
    BadRatio,
    /// A smoothing or trend factor outside of 0 to 1.
    BadFactor,
    /// A label's name that none can have.
    BadLabel,
    /// A pattern that is none.
    BadPattern,
    /// A duration that is zero, negative, infinite or divided by zero.
    BadDuration,
    /// A range query yields a range or a string.
    NotForRange,
}

/// How much a note weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Warning,
    Info,
}

/// A remark beside the answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    weight: Weight,
    /// Prometheus' words, without the place.
    message: String,
    /// The start of the expression it is about, in bytes.
    at: usize,
}

/// The times of a query, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    start: i64,
    end: i64,
    /// Zero of an instant query.
    step: i64,
    lookback: i64,
    /// The step of subqueries that name none.
    subquery_step: i64,
}

/// An answer.
#[derive(Clone, Debug)]
enum Answer {
    Scalar(f64),
    Text(String),
    Vector(Vec<(LabelSet, f64)>),
    Matrix(Vec<(LabelSet, Vec<(i64, f64)>)>),
}

/// The steps of one node.
#[derive(Clone, Debug)]
struct Steps {
    times: Vec<i64>,
    /// From a beginning to an end that differ, even if one step fits.
    is_range: bool,
}

/// Start, end and samples of a window.
type Windowed = (i64, i64, Vec<(i64, f64)>);

/// A series under a function of windows.
struct Series {
    labels: LabelSet,
    drops_name: bool,
    rank: [usize; 2],
    /// The window of each step.
    windows: Vec<Windowed>,
}

/// 2⁶³: where 64-bit integers end.
const INTEGERS: f64 = 9_223_372_036_854_775_808.0;

/// Elements of each step.
type Vectors = Vec<Vec<Element>>;

struct Evaluator<'a> {
    view: &'a dyn Select,
    times: Times,
    notes: BTreeSet<Note>,
}

/// Answers a query, with the notes that belong to the answer or to the failure.
fn evaluate(
    view: &dyn Select,
    expr: &Expr,
    times: Times,
) -> (Result<Answer, Failure>, BTreeSet<Note>) {
    let mut evaluator = Evaluator { view, times, notes: BTreeSet::new() };
    let answer = evaluator.answer(expr);
    (answer, evaluator.notes)
}

impl Evaluator<'_> {
    fn answer(&mut self, expr: &Expr) -> Result<Answer, Failure> {
        let Times { start, end, step, .. } = self.times;
        let is_range = step > 0;
        let bare = expr.bare();
        if is_range && matches!(expr.kind(), Kind::Matrix | Kind::Text) {
            return Err(Failure::NotForRange);
        }
        self.check_durations(bare)?;
        if let Node::Text(text) = &bare.node {
            return Ok(Answer::Text(text.clone()));
        }
        let times = if is_range { every(start, end, step) } else { vec![start] };
        let steps = Steps { times, is_range: start != end };
        if expr.kind() == Kind::Matrix {
            let series = self.windows(bare, &steps)?;
            let samples = series.into_iter().map(|one| {
                let elements = one.windows.into_iter().flat_map(|(_, _, samples)| samples);
                (one.labels, one.drops_name, elements.collect::<Vec<_>>())
            });
            return Ok(Answer::Matrix(Evaluator::named(samples.collect())?));
        }
        let vectors = self.vectors(expr, &steps)?;
        if expr.kind() == Kind::Scalar && !is_range {
            return Ok(Answer::Scalar(vectors[0][0].value));
        }
        if !is_range {
            let mut vector: Vec<(LabelSet, f64)> = Vec::new();
            for element in &vectors[0] {
                let labels = final_labels(&element.labels, element.drops_name);
                if vector.iter().any(|(other, _)| *other == labels) {
                    return Err(Failure::SameLabels);
                }
                vector.push((labels, element.value));
            }
            return Ok(Answer::Vector(vector));
        }
        let mut series: BTreeMap<LabelSet, (bool, Vec<(i64, f64)>)> = BTreeMap::new();
        for (time, vector) in steps.times.iter().zip(&vectors) {
            for element in vector {
                let one = series.entry(element.labels.clone()).or_default();
                one.0 = element.drops_name;
                one.1.push((*time, element.value));
            }
        }
        let series = series.into_iter().map(|(labels, (drops, samples))| (labels, drops, samples));
        Ok(Answer::Matrix(Evaluator::named(series.collect())?))
    }

    /// Drops names that are to go, and joins series that are one without.
    #[expect(clippy::type_complexity)]
    fn named(
        series: Vec<(LabelSet, bool, Vec<(i64, f64)>)>,
    ) -> Result<Vec<(LabelSet, Vec<(i64, f64)>)>, Failure> {
        let mut joined: BTreeMap<LabelSet, Vec<(i64, f64)>> = BTreeMap::new();
        for (labels, drops_name, samples) in series {
            joined.entry(final_labels(&labels, drops_name)).or_default().extend(samples);
        }
        joined.retain(|_, samples| !samples.is_empty());
        for samples in joined.values_mut() {
            samples.sort_by_key(|(time, _)| *time);
            if samples.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return Err(Failure::SameLabels);
            }
        }
        Ok(joined.into_iter().collect())
    }

    fn warn(&mut self, message: String, span: Span) {
        self.notes.insert(Note { weight: Weight::Warning, message, at: span.start });
    }

    fn warn_of_quantile(&mut self, q: f64, span: Span) {
        if !(0.0..=1.0).contains(&q) {
            let message = "quantile value should be between 0 and 1, got";
            self.warn(format!("{message} {}", short(q)), span);
        }
    }

    /// The elements of an expression at each step. A scalar has one, without labels.
    fn vectors(&mut self, expr: &Expr, steps: &Steps) -> Result<Vectors, Failure> {
        let now = |time: &i64, value: f64| vec![nameless(value, *time)];
        let vectors = match &expr.node {
            Node::Number(number) => {
                steps.times.iter().map(|time| now(time, number.value)).collect()
            }
            Node::Text(_) | Node::Range(_) | Node::Subquery(_) => {
                panic!("invariant: the parser has a vector here, not {expr:?}")
            }
            Node::Selector(selector) => {
                let mut vectors = self.selected(selector, steps);
                for (vector, time) in vectors.iter_mut().zip(&steps.times) {
                    vector.iter_mut().for_each(|element| element.time = *time);
                }
                vectors
            }
            Node::Paren(inner) | Node::Unary(Sign::Plus, inner) => self.vectors(inner, steps)?,
            Node::Unary(Sign::Minus, inner) => {
                let mut vectors = self.vectors(inner, steps)?;
                for element in vectors.iter_mut().flatten() {
                    element.value = -element.value;
                    element.drops_name = true;
                }
                vectors
            }
            Node::Binary(binary) => self.binary(binary, steps)?,
            Node::Aggregate(aggregate) => self.aggregate(aggregate, steps)?,
            Node::Call(call) => self.call(expr.span, call, steps)?,
        };
        Ok(settled(vectors, matches!(expr.node, Node::Aggregate(_))))
    }

    /// Refuses two elements of one step that have the same labels, if there are several steps: an
    /// answer to an instant query is looked at when it is complete.
    fn distinct(vectors: Vectors, steps: &Steps) -> Result<Vectors, Failure> {
        for vector in vectors.iter().filter(|_| steps.is_range) {
            for (at, element) in vector.iter().enumerate() {
                if vector[..at].iter().any(|other| other.labels == element.labels) {
                    return Err(Failure::SameLabels);
                }
            }
        }
        Ok(vectors)
    }

    fn binary(&mut self, binary: &Binary, steps: &Steps) -> Result<Vectors, Failure> {
        let left = self.vectors(&binary.left, steps)?;
        let right = self.vectors(&binary.right, steps)?;
        let at_step = |(left, right): (Vec<Element>, Vec<Element>)| {
            let scalar = |expr: &Expr| expr.kind() == Kind::Scalar;
            let vector = match (scalar(&binary.left), scalar(&binary.right)) {
                (true, true) => {
                    let (left, right) = (&left[0], &right[0]);
                    let value = instant::operate(binary.op.as_str(), left.value, right.value);
                    vec![Element { value, ..left.clone() }]
                }
                (false, true) => binary::with_number(binary, &left, right[0].value, Swapped::No),
                (true, false) => binary::with_number(binary, &right, left[0].value, Swapped::Yes),
                (false, false) => {
                    let matching = binary.matching.clone().unwrap_or_default();
                    if binary.op.is_set() {
                        binary::combine(binary.op, &matching, &left, &right)
                    } else {
                        binary::between(binary, &matching, &left, &right)?
                    }
                }
            };
            Ok(Evaluator::distinct(vec![vector], steps)?.remove(0))
        };
        left.into_iter().zip(right).map(at_step).collect()
    }

    fn aggregate(&mut self, aggregate: &Aggregate, steps: &Steps) -> Result<Vectors, Failure> {
        let grouping = Grouping { without: aggregate.is_without, labels: &aggregate.grouping };
        let param = aggregate.param.as_ref().map(Expr::bare);
        if aggregate.op == AggregateOp::CountValues {
            let Some(Node::Text(label)) = param.map(|param| &param.node) else {
                unreachable!("count_values takes a string")
            };
            if label.is_empty() {
                return Err(Failure::BadLabel);
            }
            let vectors = self.vectors(&aggregate.expr, steps)?;
            let count = |vector: Vec<Element>| aggregate::count_values(label, grouping, &vector);
            return Evaluator::distinct(vectors.into_iter().map(count).collect(), steps);
        }
        let params: Vec<f64> = match param {
            Some(param) => self.numbers(param, steps)?,
            None => vec![0.0; steps.times.len()],
        };
        let vectors = self.vectors(&aggregate.expr, steps)?;
        let span = param.map_or(Span::default(), |param| param.span);
        let most = params.iter().fold(-f64::MAX, |most, param| number::larger(most, *param));
        let least = params.iter().fold(f64::MAX, |least, param| number::smaller(least, *param));
        match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk => {
                if params.iter().all(|k| *k < 1.0) {
                    return Ok(vec![Vec::new(); steps.times.len()]);
                }
                let fits = |k: &f64| -INTEGERS < *k && *k < INTEGERS;
                if !params.iter().all(fits) {
                    return Err(Failure::BadCount);
                }
            }
            AggregateOp::LimitRatio => {
                if params.iter().all(|ratio| *ratio == 0.0) {
                    return Ok(vec![Vec::new(); steps.times.len()]);
                }
                if params.iter().any(|ratio| ratio.is_nan()) {
                    return Err(Failure::BadRatio);
                }
                for (value, cap) in [(most, 1.0), (least, -1.0)] {
                    if value * cap > 1.0 {
                        let message = "ratio value should be between -1 and 1, got";
                        let (value, cap) = (short(value), short(cap));
                        self.warn(format!("{message} {value}, capping to {cap}"), span);
                    }
                }
            }
            AggregateOp::Quantile => {
                // Only the extremes are named, or that one is not a number.
                let no_number = params.iter().any(|q| q.is_nan());
                let named = match no_number {
                    true => [f64::NAN; 2],
                    false => [most.max(0.0), least.min(0.0)],
                };
                // Between 0 and 1 nothing is said.
                let named = named.map(|q| if (0.0..=1.0).contains(&q) { 0.0 } else { q });
                named.iter().for_each(|q| self.warn_of_quantile(*q, span));
            }
            _ => {}
        }
        let is_single = steps.times.len() == 1;
        let at_step = |(vector, param): (Vec<Element>, f64)| match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk => {
                let best = aggregate::best(aggregate.op.as_str(), whole(param), grouping, &vector);
                // Over a range series stand as they stood, at one step the best first.
                if is_single { in_this_order(best) } else { best }
            }
            AggregateOp::Limitk => aggregate::first(whole(param), grouping, &vector),
            AggregateOp::LimitRatio => aggregate::sampled(param, grouping, &vector),
            op => aggregate::reduce(op.as_str(), param, grouping, &vector),
        };
        Ok(vectors.into_iter().zip(params).map(at_step).collect())
    }

    /// The value of a scalar at each step.
    fn numbers(&mut self, expr: &Expr, steps: &Steps) -> Result<Vec<f64>, Failure> {
        Ok(self.vectors(expr, steps)?.into_iter().map(|vector| vector[0].value).collect())
    }
}

/// `from`, `from + step`, … up to `to`.
fn every(from: i64, to: i64, step: i64) -> Vec<i64> {
    std::iter::successors(Some(from), |at| at.checked_add(step))
        .take_while(|at| *at <= to)
        .collect()
}

/// Gives each series one rank for all steps, and one answer to whether it drops its name: that of
/// its first step, or for groups whether it ever does. Puts the
/// elements of each step in the order of their ranks.
fn settled(mut vectors: Vectors, drops_if_ever: bool) -> Vectors {
    let mut series: BTreeMap<LabelSet, ([usize; 2], usize, bool)> = BTreeMap::new();
    for (step, vector) in vectors.iter().enumerate() {
        for element in vector {
            let new = (element.rank, step, element.drops_name);
            let one = series.entry(element.labels.clone()).or_insert(new);
            (one.0, one.1) = (one.0, one.1).min((element.rank, step));
            one.2 |= drops_if_ever && element.drops_name;
        }
    }
    let mut order: Vec<([usize; 2], usize, LabelSet)> =
        series.iter().map(|(labels, (rank, step, _))| (*rank, *step, labels.clone())).collect();
    order.sort();
    let ranks: BTreeMap<&LabelSet, usize> =
        order.iter().enumerate().map(|(rank, (_, _, labels))| (labels, rank)).collect();
    let is_single = vectors.len() == 1;
    for vector in &mut vectors {
        for element in vector.iter_mut() {
            // At one time labels may repeat for a while, and each has its own place.
            if !is_single {
                element.rank = [ranks[&element.labels], 0];
            }
            element.drops_name = series[&element.labels].2;
        }
        vector.sort_by_key(|element| element.rank);
    }
    if is_single { vectors.into_iter().map(in_this_order).collect() } else { vectors }
}

fn nameless(value: f64, time: i64) -> Element {
    Element { labels: LabelSet::default(), drops_name: false, value, time, rank: [0, 0] }
}

/// Gives elements the ranks of their places.
fn in_this_order(mut vector: Vec<Element>) -> Vec<Element> {
    vector.iter_mut().enumerate().for_each(|(at, element)| element.rank = [at, 0]);
    vector
}

/// A number of series; negative is none.
#[expect(clippy::cast_possible_truncation, reason = "saturates")]
fn whole(k: f64) -> usize {
    k as usize
}

fn final_labels(labels: &LabelSet, drops_name: bool) -> LabelSet {
    projected(labels, |name| !drops_name || !is_metadata(name))
}

/// Whether a label describes the metric and goes with its name.
fn is_metadata(name: &str) -> bool {
    [METRIC_NAME, "__type__", "__unit__"].contains(&name)
}

/// The labels whose names are kept.
fn projected(labels: &LabelSet, keeps: impl Fn(&str) -> bool) -> LabelSet {
    LabelSet::new(labels.iter().filter(|(name, _)| keeps(name))).expect("fewer labels than before")
}

/// The labels with one set, or taken away if the value is empty.
fn with_label(labels: &LabelSet, name: &str, value: &str) -> LabelSet {
    let others = labels.iter().filter(|(other, _)| *other != name);
    LabelSet::new(others.chain([(name, value)])).expect("one label more")
}
