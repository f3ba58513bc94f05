use std::borrow::Cow;

use bellwether_model::label::METRIC_NAME;
use bellwether_model::matcher::MatchOp;
use bellwether_model::select::Metadata;
use bellwether_model::series::{STALE, SeriesRef};
use proptest::prelude::*;

use super::*;
use crate::parse::parse_selector;
use crate::query::At;

type Entry = (LabelSet, Vec<(i64, f64)>);

/// Series by labels, in order.
#[derive(Debug, Default)]
struct MapView(Vec<Entry>);

impl MapView {
    fn new(series: &[(&str, &[(i64, f64)])]) -> MapView {
        let mut all: Vec<_> = series
            .iter()
            .map(|(id, samples)| {
                (LabelSet::new([(METRIC_NAME, "m"), ("id", *id)]).unwrap(), samples.to_vec())
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        MapView(all)
    }

    fn matched<'a>(&'a self, matchers: &'a [Matcher]) -> impl Iterator<Item = (usize, &'a Entry)> {
        let meets = |labels: &LabelSet| {
            matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
        };
        self.0.iter().enumerate().filter(move |(_, (labels, _))| meets(labels))
    }
}

impl Select for MapView {
    fn series(&self, matchers: &[Matcher], _: Window, limit: usize) -> Vec<SeriesRef> {
        let refs = self.matched(matchers).map(|(i, _)| SeriesRef(u32::try_from(i).unwrap()));
        refs.take(limit.saturating_add(1)).collect()
    }

    fn labels(&self, series: SeriesRef) -> LabelSet {
        self.0[series.0 as usize].0.clone()
    }

    fn samples(&self, series: SeriesRef, window: Window, out: &mut Column) {
        out.clear();
        for (time, value) in &self.0[series.0 as usize].1 {
            if window.contains(Timestamp(*time)) {
                out.push(Timestamp(*time), *value);
            }
        }
    }

    fn label_names(&self, _: &[Matcher], _: Window) -> Vec<String> {
        Vec::new()
    }

    fn label_values(&self, _: &str, _: &[Matcher], _: Window) -> Vec<String> {
        Vec::new()
    }

    fn metadata(&self, _: &str) -> Option<Cow<'_, Metadata>> {
        None
    }
}

static GO: AtomicBool = AtomicBool::new(false);

fn shown(value: &Result<Value, EvaluateError>) -> String {
    let id = |labels: &LabelSet| labels.get("id").unwrap_or("").to_owned();
    match value {
        Ok(Value::Scalar(value)) => value.to_string(),
        Ok(Value::Text(text)) => text.clone(),
        Ok(Value::Vector(all)) => {
            all.iter().map(|(labels, v)| format!("{}={v};", id(labels))).collect()
        }
        Ok(Value::Matrix(all)) => all
            .iter()
            .map(|(labels, column)| {
                let samples = column.times.iter().zip(&column.values);
                let points: String = samples.map(|(t, v)| format!(" {}:{v}", t.0)).collect();
                format!("{}:{points};", id(labels))
            })
            .collect(),
        Err(error) => format!("! {error}"),
    }
}

fn instant(view: &MapView, query: &str, at: i64) -> String {
    let budget = Budget { samples_max: 100, stop: &GO };
    let query = parse_selector(query).unwrap();
    shown(&evaluate_instant(view, &query, Timestamp(at), Duration::from_secs(10), budget))
}

fn range(view: &MapView, query: &str, start: i64, end: i64, step: u64) -> String {
    let budget = Budget { samples_max: 100, stop: &GO };
    let steps = Steps::new(Timestamp(start), Timestamp(end), Duration::from_millis(step)).unwrap();
    let query = parse_selector(query).unwrap();
    shown(&evaluate_range(view, &query, steps, Duration::from_secs(10), budget))
}

fn view() -> MapView {
    MapView::new(&[
        ("b", &[(1000, 1.0), (6000, 2.0), (20_000, 3.0)]),
        ("a", &[(1000, 10.0), (2000, STALE), (5000, 11.0)]),
    ])
}

#[test]
fn instant_selectors_take_the_last_sample() {
    let view = view();
    for (query, at, expected) in [
        ("m", 1000, "a=10;b=1;"),
        ("m", 999, ""),
        ("m", 2000, "b=1;"),
        ("m", 10_999, "a=11;b=2;"),
        ("m", 14_999, "a=11;b=2;"),
        ("m", 15_000, "b=2;"),
        ("m", 16_000, ""),
        (r#"m{id="b"}"#, 1000, "b=1;"),
        ("m offset 1s", 3000, "b=1;"),
        ("m offset -1s", 5000, "a=11;b=2;"),
        ("m @ 1", 99_000, "a=10;b=1;"),
        ("m @ end() offset 1s", 2000, "a=10;b=1;"),
        ("other", 1000, ""),
        ("7", 1000, "7"),
        ("'text'", 1000, "text"),
    ] {
        assert_eq!(instant(&view, query, at), expected, "{query} at {at}");
    }
}

#[test]
fn range_selectors_keep_samples_and_drop_markers() {
    let view = view();
    for (query, at, expected) in [
        ("m[5s]", 6000, "a: 5000:11;b: 6000:2;"),
        ("m[5001ms]", 6000, "a: 1000:10 5000:11;b: 1000:1 6000:2;"),
        ("m[1s]", 2000, ""),
        ("m[6s] offset 1s", 6000, "a: 1000:10 5000:11;b: 1000:1;"),
        ("m[1m] @ 1", 6000, "a: 1000:10;b: 1000:1;"),
    ] {
        assert_eq!(instant(&view, query, at), expected, "{query} at {at}");
    }
}

#[test]
fn ranges_repeat_the_instant_selector() {
    let view = view();
    for (query, expected) in [
        ("m", "a: 1000:10 6000:11 11000:11;b: 1000:1 6000:2 11000:2;"),
        ("m @ 1", "a: 1000:10 6000:10 11000:10;b: 1000:1 6000:1 11000:1;"),
        ("m @ start()", "a: 1000:10 6000:10 11000:10;b: 1000:1 6000:1 11000:1;"),
        ("m @ end() offset 9s", "b: 1000:1 6000:1 11000:1;"),
        ("m offset 5s", "a: 6000:10 11000:11;b: 6000:1 11000:2;"),
        ("2", ": 1000:2 6000:2 11000:2;"),
    ] {
        assert_eq!(range(&view, query, 1000, 11_500, 5000), expected, "{query}");
    }
    for (query, kind) in [("m[5m]", "range vector"), ("'x'", "string")] {
        let refusal = format!(
            "! invalid expression type {kind:?} for range query, must be Scalar or instant Vector"
        );
        assert_eq!(range(&view, query, 1000, 11_500, 5000), refusal, "{query}");
    }
}

#[test]
fn budgets_and_stops_end_a_query() {
    let view = view();
    let run = |samples_max, stop: bool, query: &str| {
        let stop = AtomicBool::new(stop);
        let budget = Budget { samples_max, stop: &stop };
        let query = parse_selector(query).unwrap();
        let lookback = Duration::from_secs(60);
        let at = Timestamp(20_000);
        let steps = Steps::new(Timestamp(10_000), at, Duration::from_secs(10)).unwrap();
        (
            evaluate_instant(&view, &query, at, lookback, budget).err(),
            evaluate_range(&view, &query, steps, lookback, budget).err(),
        )
    };
    let many = Some(EvaluateError::TooManySamples);
    assert_eq!(run(1, false, "m"), (many.clone(), many.clone()));
    assert_eq!(run(4, false, "m"), (None, many.clone()));
    assert_eq!(run(7, false, "m"), (None, None));
    assert_eq!(run(4, false, "m[1m]").0, many);
    assert_eq!(run(1, false, "1"), (None, many));
    let stopped = Some(EvaluateError::Stopped);
    assert_eq!(run(100, true, "m"), (stopped.clone(), stopped));
}

#[test]
fn steps_end_and_do_not_overflow() {
    let steps = |start, end, millis| {
        Steps::new(Timestamp(start), Timestamp(end), Duration::from_millis(millis))
    };
    assert!(steps(0, 1, 0).is_none());
    assert!(steps(1, 0, 1).is_none());
    assert_eq!(steps(0, 10, 4).unwrap().iter().count(), 3);
    assert_eq!(steps(i64::MAX - 3, i64::MAX, 2).unwrap().iter().count(), 2);
    assert_eq!(steps(i64::MIN, i64::MIN, 2).unwrap().iter().count(), 1);
}

/// The definition, sample by sample.
fn naive(samples: &[(i64, f64)], at: i64, back: i64) -> Option<f64> {
    let last = samples.iter().rev().find(|(time, _)| *time <= at)?;
    (last.0 > at - back && !is_stale(last.1)).then_some(last.1)
}

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let value = prop_oneof![4 => (0..100_i32).prop_map(f64::from), 1 => Just(STALE)];
    proptest::collection::btree_map(-50..150_i64, value, 0..30)
        .prop_map(|map| map.into_iter().collect())
}

fn selectors() -> impl Strategy<Value = Selector> {
    let at = prop_oneof![
        4 => Just(None),
        1 => (-50..150_i64).prop_map(|time| Some(At::Time(Timestamp(time)))),
        1 => Just(Some(At::Start)),
        1 => Just(Some(At::End)),
    ];
    (-20..20_i64, at).prop_map(|(offset, at)| {
        let name = Matcher::new(METRIC_NAME, MatchOp::Equal, "m").unwrap();
        Selector { matchers: vec![name], offset, at }
    })
}

proptest! {
    #[test]
    fn evaluation_is_its_definition(
        data in proptest::collection::vec(samples(), 1..4),
        selector in selectors(),
        start in -60..150_i64,
        length in 0..100_i64,
        step in 1..20_i64,
        back in 1..40_i64,
    ) {
        let ids = ["a", "b", "c"];
        let named: Vec<(&str, &[(i64, f64)])> =
            ids.iter().copied().zip(data.iter().map(Vec::as_slice)).collect();
        let view = MapView::new(&named);
        let end = start + length;
        let budget = Budget { samples_max: 10_000, stop: &GO };
        let lookback = Duration::from_millis(back.unsigned_abs());
        let read = |at: i64| selector.offset_read(at, start, end);

        let expected: Vec<(String, Vec<(i64, u64)>)> = named
            .iter()
            .map(|(id, samples)| {
                let points = (start..=end)
                    .step_by(usize::try_from(step).unwrap())
                    .filter_map(|at| Some((at, naive(samples, read(at), back)?.to_bits())));
                ((*id).to_owned(), points.collect::<Vec<_>>())
            })
            .filter(|(_, points)| !points.is_empty())
            .collect();
        let steps = Steps::new(
            Timestamp(start), Timestamp(end), Duration::from_millis(step.unsigned_abs()),
        ).unwrap();
        let query = Query::Instant(selector.clone());
        let value = evaluate_range(&view, &query, steps, lookback, budget).unwrap();
        prop_assert_eq!(bits(&value), expected);

        let expected: Vec<(String, Vec<(i64, u64)>)> = named
            .iter()
            .map(|(id, samples)| {
                let t = selector.offset_read(end, end, end);
                let inside = samples.iter().filter(|(time, value)| {
                    t - back < *time && *time <= t && !is_stale(*value)
                });
                ((*id).to_owned(), inside.map(|(time, v)| (*time, v.to_bits())).collect())
            })
            .filter(|(_, points): &(String, Vec<(i64, u64)>)| !points.is_empty())
            .collect();
        let query = Query::Range(selector, lookback);
        let value = evaluate_instant(&view, &query, Timestamp(end), LOOKBACK, budget).unwrap();
        prop_assert_eq!(bits(&value), expected);
    }
}

impl Selector {
    /// The time read, computed apart from the code under test.
    fn offset_read(&self, at: i64, start: i64, end: i64) -> i64 {
        match self.at {
            None => at - self.offset,
            Some(At::Time(time)) => time.0 - self.offset,
            Some(At::Start) => start - self.offset,
            Some(At::End) => end - self.offset,
        }
    }
}

fn bits(value: &Value) -> Vec<(String, Vec<(i64, u64)>)> {
    let Value::Matrix(all) = value else { return Vec::new() };
    all.iter()
        .map(|(labels, column)| {
            let samples = column.times.iter().zip(&column.values);
            let points = samples.map(|(time, value)| (time.0, value.to_bits())).collect();
            (labels.get("id").unwrap_or("").to_owned(), points)
        })
        .collect()
}
