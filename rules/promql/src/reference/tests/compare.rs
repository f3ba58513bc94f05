//! Random queries over random data: the engine answers as the reference does, to the bit, on any
//! pool.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::select::Column;
use bellwether_model::time::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestCaseResult, TestRunner};

use super::data::{Data, LAST, data};
use super::expressions::{WITHOUT_REFERENCE, call_of, query};
use super::parser::each;
use super::pools::pools;
use crate::annotation::Level;
use crate::evaluate::{self, Budget, EvaluateError, Options, Value};
use crate::function::Function;
use crate::parse::parse;
use crate::pool::{Pool, Serial};
use crate::reference::{self, Answer, Failure, Note, Times, Weight};
use crate::tree::{AggregateOp, Expr, Node};

/// Runs a property so often, times `BELLWETHER_PROMQL_SOAK`.
pub(super) fn runner(cases: u32) -> TestRunner {
    let factor =
        std::env::var("BELLWETHER_PROMQL_SOAK").map_or(1, |factor| factor.parse().unwrap());
    TestRunner::new(ProptestConfig {
        cases: cases * factor,
        max_shrink_iters: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

/// When a query is evaluated.
fn times() -> impl Strategy<Value = Times> {
    let start = prop_oneof![4 => (0i64..30).prop_map(|n| n * 10_000), 1 => -5_000..LAST];
    let step = prop_oneof![
        4 => Just(0i64), 3 => Just(10_000), 2 => Just(15_000), 2 => Just(30_000), 1 => Just(1_001),
        1 => Just(100_000),
    ];
    let rest = prop_oneof![2 => Just(0i64), 1 => 0i64..20_000];
    let lookback = prop_oneof![Just(25_000i64), Just(60_000), Just(300_000)];
    (start, step, 0i64..9, rest, lookback).prop_map(|(start, step, more, rest, lookback)| {
        let end = if step == 0 { start } else { start + more * step + rest % step };
        Times { start, end, step, lookback, subquery_step: 10_000 }
    })
}

/// An answer as both sides give it: bits compared, but for what is not a number.
#[derive(Clone, PartialEq)]
enum Seen {
    Scalar(Bits),
    Text(String),
    Vector(Vec<(LabelSet, Bits)>),
    Matrix(Vec<(LabelSet, Vec<(i64, Bits)>)>),
    Failed(Failure),
}

impl Seen {
    /// The same answer. A match that is ambiguous at one step and repeats labels at another may be
    /// refused for either.
    fn agrees(&self, other: &Seen) -> bool {
        use Failure::{GroupNotUnique, ManyOnTheOneSide, ManyWithoutGroup, SameLabels};
        const MATCHES: [Failure; 4] =
            [GroupNotUnique, ManyOnTheOneSide, ManyWithoutGroup, SameLabels];
        match (self, other) {
            (Seen::Failed(a), Seen::Failed(b)) => {
                a == b || (MATCHES.contains(a) && MATCHES.contains(b))
            }
            _ => self == other,
        }
    }
}

#[derive(Clone, Copy)]
struct Bits(f64);

impl PartialEq for Bits {
    fn eq(&self, other: &Bits) -> bool {
        self.0.to_bits() == other.0.to_bits() || (self.0.is_nan() && other.0.is_nan())
    }
}

impl Debug for Bits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:e}", self.0)
    }
}

impl Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Seen::Scalar(value) => value.fmt(f),
            Seen::Text(text) => text.fmt(f),
            Seen::Failed(failure) => failure.fmt(f),
            Seen::Vector(vector) => {
                vector.iter().try_for_each(|(labels, value)| writeln!(f, "  {labels} {value:?}"))
            }
            Seen::Matrix(matrix) => matrix
                .iter()
                .try_for_each(|(labels, samples)| writeln!(f, "  {labels} {samples:?}")),
        }
    }
}

/// What the engine's words mean; the words are Prometheus' own.
fn failure(error: &EvaluateError) -> Failure {
    const WORDS: [(&str, Failure); 19] = [
        ("invalid expression type", Failure::NotForRange),
        ("vector cannot contain metrics with the same labelset", Failure::SameLabels),
        ("found duplicate series for the match group", Failure::ManyOnTheOneSide),
        ("multiple matches for labels: many-to-one", Failure::ManyWithoutGroup),
        ("multiple matches for labels: grouping labels", Failure::GroupNotUnique),
        ("Parameter value is NaN", Failure::BadCount),
        ("Scalar value ", Failure::BadCount),
        ("Ratio value is NaN", Failure::BadRatio),
        ("invalid smoothing factor", Failure::BadFactor),
        ("invalid trend factor", Failure::BadFactor),
        ("invalid label name", Failure::BadLabel),
        ("invalid destination label name", Failure::BadLabel),
        ("invalid source label name", Failure::BadLabel),
        ("invalid regular expression", Failure::BadPattern),
        ("duration must be greater than 0", Failure::BadDuration),
        ("duration is NaN or infinite", Failure::BadDuration),
        ("duration is out of range", Failure::BadDuration),
        ("division by zero", Failure::BadDuration),
        ("modulo by zero", Failure::BadDuration),
    ];
    match error {
        EvaluateError::NotForRange(_) => Failure::NotForRange,
        EvaluateError::Failed(text) => {
            let found = WORDS.iter().find(|(words, _)| text.contains(words));
            found.unwrap_or_else(|| panic!("a failure unknown to the reference: {text}")).1
        }
        other => panic!("unexpected: {other}"),
    }
}

/// Whether the answer to an instant query has an order.
fn is_ordered(expr: &Expr) -> bool {
    match &expr.bare().node {
        Node::Call(call) => call.function.name.starts_with("sort"),
        Node::Aggregate(aggregate) => {
            matches!(aggregate.op, AggregateOp::Topk | AggregateOp::Bottomk)
                && aggregate.grouping.is_empty()
                && !aggregate.is_without
        }
        _ => false,
    }
}

fn vector(expr: &Expr, mut vector: Vec<(LabelSet, f64)>) -> Seen {
    if !is_ordered(expr) {
        vector.sort_by(|a, b| a.0.cmp(&b.0));
    }
    Seen::Vector(vector.into_iter().map(|(labels, value)| (labels, Bits(value))).collect())
}

fn by_reference(data: &Data, expr: &Expr, times: Times) -> (Seen, BTreeSet<Note>) {
    let (answer, notes) = reference::evaluate(data, expr, times);
    let seen = match answer {
        Err(failure) => Seen::Failed(failure),
        Ok(Answer::Scalar(value)) => Seen::Scalar(Bits(value)),
        Ok(Answer::Text(text)) => Seen::Text(text),
        Ok(Answer::Vector(elements)) => vector(expr, elements),
        Ok(Answer::Matrix(matrix)) => {
            let bits = |samples: Vec<(i64, f64)>| {
                samples.into_iter().map(|(time, value)| (time, Bits(value))).collect()
            };
            Seen::Matrix(matrix.into_iter().map(|(labels, s)| (labels, bits(s))).collect())
        }
    };
    (seen, notes)
}

fn ask(
    data: &Data,
    expr: &Expr,
    times: Times,
    pool: &dyn Pool,
    samples_max: usize,
) -> Result<evaluate::Answer, EvaluateError> {
    let millis = |millis: i64| Duration::from_millis(millis.unsigned_abs());
    let steps = match times.step {
        0 => evaluate::Steps::instant(Timestamp(times.start)),
        step => evaluate::Steps::new(Timestamp(times.start), Timestamp(times.end), millis(step))
            .unwrap(),
    };
    let options =
        Options { lookback: millis(times.lookback), subquery_step: millis(times.subquery_step) };
    let budget = Budget { samples_max, stop: &AtomicBool::new(false) };
    evaluate::evaluate(data, expr, steps, &options, pool, budget)
}

fn seen(expr: &Expr, answer: &Result<evaluate::Answer, EvaluateError>) -> Seen {
    match answer.as_ref().map(|answer| &answer.value) {
        Err(error) => Seen::Failed(failure(error)),
        Ok(Value::Scalar(value)) => Seen::Scalar(Bits(*value)),
        Ok(Value::Text(text)) => Seen::Text(text.clone()),
        Ok(Value::Vector(elements)) => vector(expr, elements.clone()),
        Ok(Value::Matrix(matrix)) => {
            let series = matrix.iter().map(|(labels, column)| {
                let samples = column.times.iter().zip(&column.values);
                (labels.clone(), samples.map(|(time, value)| (time.0, Bits(*value))).collect())
            });
            Seen::Matrix(series.collect())
        }
    }
}

/// Every bit of an answer, also of what is not a number.
fn bits(answer: &Result<evaluate::Answer, EvaluateError>) -> String {
    let of = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    match answer {
        Err(error) => format!("{error:?}"),
        Ok(answer) => match &answer.value {
            Value::Scalar(value) => format!("{:?} {:?}", of(&[*value]), answer.annotations),
            Value::Text(text) => text.clone(),
            Value::Vector(vector) => {
                let series = vector.iter().map(|(labels, value)| (labels, of(&[*value])));
                format!("{:?} {:?}", series.collect::<Vec<_>>(), answer.annotations)
            }
            Value::Matrix(matrix) => {
                let series =
                    matrix.iter().map(|(l, column)| (l, &column.times, of(&column.values)));
                format!("{:?} {:?}", series.collect::<Vec<_>>(), answer.annotations)
            }
        },
    }
}

/// Messages agree; where the engine keeps one place of several, it is one of them.
fn annotations(notes: &BTreeSet<Note>, answer: &evaluate::Answer) -> TestCaseResult {
    let weight = |level: Level| match level {
        Level::Warning => Weight::Warning,
        Level::Info => Weight::Info,
    };
    let given: BTreeSet<(Weight, &str)> =
        answer.annotations.iter().map(|one| (weight(one.level), one.message.as_str())).collect();
    let wanted: BTreeSet<(Weight, &str)> =
        notes.iter().map(|note| (note.weight, note.message.as_str())).collect();
    prop_assert_eq!(given, wanted, "annotations: engine left, reference right");
    for one in answer.annotations.iter() {
        let placed = |note: &Note| note.message == one.message && note.at == one.span.start;
        prop_assert!(notes.iter().any(placed), "{one:?} stands elsewhere: {notes:?}");
    }
    Ok(())
}

/// Where several parts of a query fail, any of them is told: whether a part fails as was told.
fn a_part_fails(data: &Data, expr: &Expr, times: Times, told: &Seen) -> bool {
    let mut is_found = false;
    each(expr, expr.span, &mut |part, _| is_found |= by_reference(data, part, times).0 == *told);
    is_found
}

/// The engine, by each pool, answers as the reference.
pub(super) fn agree(data: &Data, text: &str, times: Times) -> TestCaseResult {
    let expr = parse(text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
    let (wanted, notes) = by_reference(data, &expr, times);
    let mut first = None;
    for pool in pools() {
        let answer = ask(data, &expr, times, &*pool, 50_000_000);
        let got = seen(&expr, &answer);
        let have_failed = matches!((&got, &wanted), (Seen::Failed(_), Seen::Failed(_)));
        prop_assert!(
            got.agrees(&wanted) || have_failed && a_part_fails(data, &expr, times, &got),
            "{text}\nat {times:?} of\n{data:?}engine:\n{got:?}\nreference:\n{wanted:?}"
        );
        if let Ok(answer) = &answer {
            annotations(&notes, answer)?;
        }
        let bits = bits(&answer);
        let first = first.get_or_insert_with(|| bits.clone());
        prop_assert_eq!(first, &bits, "{} on {:?}", text, pool);
    }
    Ok(())
}

/// The last value of each series of the engine's answer, and what it is annotated with.
pub(super) fn answer(data: &Data, text: &str, times: Times) -> String {
    let expr = parse(text).unwrap();
    let answer = ask(data, &expr, times, &Serial, 1000).unwrap();
    let values: Vec<String> = match answer.value {
        Value::Scalar(value) => vec![value.to_string()],
        Value::Text(text) => vec![text],
        Value::Vector(vector) => vector.iter().map(|(l, value)| format!("{l} {value}")).collect(),
        Value::Matrix(matrix) => {
            let last = |column: &Column| column.values.last().copied().unwrap_or(f64::NAN);
            matrix.iter().map(|(labels, column)| format!("{labels} {}", last(column))).collect()
        }
    };
    let notes = answer.annotations.iter().map(|one| format!("; {}", one.message));
    values.join(", ") + &notes.collect::<String>()
}

#[test]
fn the_engine_answers_as_the_reference() {
    let case = (data(), query(3), times());
    runner(10_000).run(&case, |(data, text, times)| agree(&data, &text, times)).unwrap();
}

#[test]
fn every_function_has_its_reference() {
    for function in Function::all().iter().filter(|one| !WITHOUT_REFERENCE.contains(&one.name)) {
        let case = (data(), call_of(function), times());
        runner(40).run(&case, |(data, text, times)| agree(&data, &text, times)).unwrap();
    }
}

#[test]
fn a_budget_ends_a_query_or_leaves_its_answer() {
    let case = (data(), query(2), times(), 0usize..400);
    let check = |(data, text, times, samples_max): (Data, String, Times, usize)| {
        let expr = parse(&text).unwrap();
        let free = ask(&data, &expr, times, &Serial, 50_000_000);
        for pool in pools() {
            let bound = ask(&data, &expr, times, &*pool, samples_max);
            let ended = matches!(bound, Err(EvaluateError::TooManySamples));
            prop_assert!(ended || bits(&bound) == bits(&free), "{text}: {bound:?} for {free:?}");
        }
        Ok(())
    };
    runner(1_500).run(&case, check).unwrap();
}
