use std::borrow::Cow;
use std::sync::atomic::AtomicUsize;

use bellwether_model::matcher::Matcher;
use bellwether_model::select::{Metadata, Window};
use bellwether_model::series::SeriesRef;

use super::*;
use crate::annotation::Level;
use crate::parse::parse;
use crate::pool::Serial;
use crate::script::load::Loaded;
use crate::script::series;

static GO: AtomicBool = AtomicBool::new(false);

/// Series a minute apart from time 0.
fn loaded(lines: &[&str]) -> Loaded {
    let mut loaded = Loaded::default();
    let read: Vec<_> = lines.iter().map(|line| series::read(line).unwrap()).collect();
    loaded.add(Timestamp(0), Duration::from_secs(60), &read).unwrap();
    loaded
}

fn minutes(from: i64, to: i64) -> Steps {
    Steps::new(Timestamp(from * 60_000), Timestamp(to * 60_000), Duration::from_secs(60)).unwrap()
}

/// Parts run backwards, or by threads.
#[derive(Debug)]
enum Odd {
    Backwards,
    Threads(usize),
}

impl Pool for Odd {
    fn width(&self) -> usize {
        match self {
            Odd::Backwards => 3,
            Odd::Threads(threads) => *threads,
        }
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let Odd::Threads(threads) = self else {
            (0..parts).rev().for_each(part);
            return;
        };
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..*threads {
                scope.spawn(|| {
                    loop {
                        match next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                            i if i < parts => part(i),
                            _ => return,
                        }
                    }
                });
            }
        });
    }
}

fn ask(view: &dyn Select, text: &str, steps: Steps, pool: &dyn Pool) -> Result<Answer, String> {
    let budget = Budget { samples_max: 1_000_000, stop: &GO };
    let expr = parse(text).unwrap();
    evaluate(view, &expr, steps, &Options::default(), pool, budget).map_err(|e| e.to_string())
}

/// Labels and the bits of values.
fn bits(answer: &Result<Answer, String>) -> String {
    let column = |column: &Column| -> String {
        let samples = column.times.iter().zip(&column.values);
        samples.map(|(time, value)| format!(" {}:{:x}", time.0, value.to_bits())).collect()
    };
    match answer.as_ref().map(|answer| (&answer.value, &answer.annotations)) {
        Ok((Value::Matrix(all), notes)) => {
            let rows: String =
                all.iter().map(|(labels, c)| format!("{labels}{}\n", column(c))).collect();
            format!("{rows}{notes:?}")
        }
        Ok((value, notes)) => format!("{value:?} {notes:?}"),
        Err(error) => format!("! {error}"),
    }
}

/// More series than fit in one block, with values whose sums depend on their order.
fn many() -> Loaded {
    let lines: Vec<String> = (0..700)
        .map(|i| {
            let (host, le) = (i / 7, ["0.1", "1", "5", "+Inf", "x", "2", "3"][i % 7]);
            let value = f64::from(u32::try_from(i).unwrap()) * 1e7 + 0.1;
            format!("m{{host=\"h{host}\",le=\"{le}\"}} {value}+{}.3x5 _ 0+7x5 stale 3x2", i % 11)
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    loaded(&lines)
}

#[test]
fn every_pool_gives_the_same_bits() {
    let view = many();
    for text in [
        "m",
        "sum(m)",
        "avg by (host) (rate(m[5m]))",
        "stddev without (le) (m)",
        "quantile by (le) (0.3, m)",
        "topk(3, m)",
        "histogram_quantile(0.9, rate(m[5m]))",
        "m * on (host) group_left () sum by (host) (m)",
        "m / ignoring (x) m > 0.5",
        "-m or m",
        "count_values('v', m)",
        "quantile_over_time(2, m[3m])",
        "sum_over_time(rate(m[2m])[5m:30s])",
        "label_replace(m, 'h', '$1', 'host', 'h(.)')",
        "label_replace(m, 'le', '', 'host', '.*')",
        "m + on (host) m",
    ] {
        for steps in [minutes(0, 20), Steps::instant(Timestamp(600_000))] {
            let serial = bits(&ask(&view, text, steps, &Serial));
            for pool in [Odd::Backwards, Odd::Threads(2), Odd::Threads(5)] {
                assert_eq!(bits(&ask(&view, text, steps, &pool)), serial, "{text} {pool:?}");
            }
        }
    }
}

/// The first eight patterns are compiled with the query, others when it is evaluated.
#[test]
fn each_of_many_patterns_replaces() {
    let view = loaded(&["m{host=\"abcdefghijkl\"} 1"]);
    let at = Steps::instant(Timestamp(0));
    let replaced = |of: String, letter: char| {
        format!("label_replace({of}, '{letter}', '<$1>', 'host', '.*({letter}).*')")
    };
    let query = ('a'..='l').fold("m".to_owned(), replaced);
    let answer = ask(&view, &query, at, &Serial).unwrap();
    let Value::Vector(samples) = answer.value else { panic!("{query}") };
    let [(labels, _)] = samples.as_slice() else { panic!("{samples:?}") };
    for letter in 'a'..='l' {
        let label = labels.get(&letter.to_string());
        assert_eq!(label, Some(&*format!("<{letter}>")), "{labels}");
    }
    let bad = "label_replace(m, 'a', '$1', 'host', '(')";
    let refused = ask(&view, bad, at, &Serial).unwrap_err();
    assert_eq!(refused, "invalid regular expression in label_replace(): (");
}

#[test]
fn budgets_and_stops_end_a_query() {
    let view = many();
    let run = |samples_max, stop: bool, text: &str, steps| {
        let stop = AtomicBool::new(stop);
        let budget = Budget { samples_max, stop: &stop };
        let expr = parse(text).unwrap();
        evaluate(&view, &expr, steps, &Options::default(), &Serial, budget).err()
    };
    let range = minutes(0, 9);
    for text in ["m", "rate(m[2m])", "m + m", "topk(2, m)", "sum_over_time(m[5m:1s])", "-(m)"] {
        assert_eq!(run(1000, false, text, range), Some(EvaluateError::TooManySamples), "{text}");
        assert_eq!(run(1_000_000, false, text, range), None, "{text}");
        assert_eq!(run(1_000_000, true, text, range), Some(EvaluateError::Stopped), "{text}");
    }
    // What is folded as it comes is held for a moment only.
    assert_eq!(run(7100, false, "sum(rate(m[2m])) + sum(rate(m[2m]))", range), None);
    let at = Steps::instant(Timestamp(600_000));
    assert_eq!(run(1000, false, "m[10m]", at), Some(EvaluateError::TooManySamples));
    assert_eq!(run(699, false, "m", at), Some(EvaluateError::TooManySamples));
    assert_eq!(run(700, false, "m", at), None);
    assert_eq!(run(9, false, "1", range), Some(EvaluateError::TooManySamples));
}

#[test]
fn values_have_the_shape_of_the_query() {
    let view = loaded(&["a_total{x=\"1\"} 0+60x10", "b{x=\"1\"} 5x10"]);
    let at = Steps::instant(Timestamp(300_000));
    for (text, expected) in [
        ("1 + 1", "Scalar(2.0)"),
        ("'text'", "Text(\"text\")"),
        ("a_total", "Vector([(a_total{x=\"1\"}, 300.0)])"),
        ("rate(a_total[5m])", "Vector([({x=\"1\"}, 1.0)])"),
        (
            "sort(a_total or on (__name__) b)",
            "Vector([(b{x=\"1\"}, 5.0), (a_total{x=\"1\"}, 300.0)])",
        ),
        ("absent(c{y=\"2\"})", "Vector([({y=\"2\"}, 1.0)])"),
        ("scalar(b) + time()", "Scalar(305.0)"),
    ] {
        let answer = ask(&view, text, at, &Serial).unwrap();
        assert_eq!(format!("{:?}", answer.value), expected, "{text}");
    }
    for (text, kind) in [("a_total[5m]", "range vector"), ("'x'", "string")] {
        let expected = format!(
            "invalid expression type {kind:?} for range query, must be Scalar or instant Vector"
        );
        assert_eq!(ask(&view, text, minutes(0, 1), &Serial).unwrap_err(), expected);
    }
}

#[test]
fn annotations_name_their_place() {
    let view = loaded(&["b{x=\"1\"} 5+1x10", "h{le=\"1\"} 2x10", "h{le=\"+Inf\"} 1x10"]);
    for (text, level, expected) in [
        (
            "2 *\n rate(b[5m])",
            Level::Info,
            "PromQL info: metric might not be a counter, name does not end in \
             _total/_sum/_count/_bucket: \"b\" (2:7)",
        ),
        (
            "quantile(7, b)",
            Level::Warning,
            "PromQL warning: quantile value should be between 0 and 1, got 7 (1:10)",
        ),
        (
            "histogram_quantile(0.5, h)",
            Level::Info,
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/\
             #histogram_quantile) for metric name \"h\", from buckets +Inf to +Inf, with a max \
             diff of 1, over 3 samples from 1970-01-01T00:01:00Z to 1970-01-01T00:03:00Z (1:25)",
        ),
    ] {
        let answer = ask(&view, text, minutes(1, 3), &Serial).unwrap();
        assert_eq!(answer.annotations.rendered(level, text), [expected], "{text}");
    }
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
    assert_eq!(Steps::instant(Timestamp(i64::MIN)).iter().count(), 1);
    let view = loaded(&["a 1x3"]);
    let far = [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX];
    for text in ["a offset 292y", "rate(a[292y] offset -292y)", "sum_over_time(a[1h:1ms] @ 0)"] {
        for at in far {
            drop(ask(&view, text, Steps::instant(Timestamp(at)), &Serial));
        }
    }
}

/// Counts what is read.
struct Counting<'a>(&'a Loaded, AtomicUsize);

impl Select for Counting<'_> {
    fn series(&self, matchers: &[Matcher], window: Window, limit: usize) -> Vec<SeriesRef> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.series(matchers, window, limit)
    }

    fn labels(&self, series: SeriesRef) -> LabelSet {
        self.0.labels(series)
    }

    fn samples(&self, series: SeriesRef, window: Window, out: &mut Column) {
        self.0.samples(series, window, out);
    }

    fn label_names(&self, matchers: &[Matcher], window: Window) -> Vec<String> {
        self.0.label_names(matchers, window)
    }

    fn label_values(&self, name: &str, matchers: &[Matcher], window: Window) -> Vec<String> {
        self.0.label_values(name, matchers, window)
    }

    fn metadata(&self, metric: &str) -> Option<Cow<'_, Metadata>> {
        self.0.metadata(metric)
    }
}

#[test]
fn what_recurs_is_read_once() {
    let loaded = loaded(&["x_total{i=\"1\"} 1 2 4", "x_total{i=\"2\"} 8 9 11", "y 7 8 9"]);
    let at = Timestamp(120_000);
    for (texts, reads) in [
        (&["sum(rate(x_total[2m]))", "max(rate(x_total[2m]))", "rate(x_total[2m])"][..], 1),
        (&["sum(rate(x_total[2m]))", "max(rate(x_total[1m]))", "rate(x_total[2m] offset 1m)"], 3),
        (&["sum by (i) (x_total) / sum by (i) (x_total)", "(sum by(i)(x_total)) > 1"], 1),
        (&["x_total @ 60", "-x_total @ 60", "x_total @ 120", "x_total @ start()"], 3),
        (&["sum_over_time(sum(y)[2m:1m])", "sum(y)", "y + on() sum(y)"], 2),
        (&["rate(y[2m])", "rate(y[2m])"], 2),
        (&["x_total{i=\"1\"}", "x_total{i=~\"1\"}", "x_total"], 3),
        (&["vector(1)", "vector(1)", "scalar(y)", "absent(y)", "absent(y)"], 1),
    ] {
        let exprs: Vec<Expr> = texts.iter().map(|text| parse(text).unwrap()).collect();
        let recurring = recurring(&exprs);
        let counting = Counting(&loaded, AtomicUsize::new(0));
        let (remembered, options) = (Remembered::default(), Options::default());
        let budget = Budget { samples_max: 1000, stop: &GO };
        for (expr, recurring) in exprs.iter().zip(&recurring) {
            let expr = (expr, recurring);
            let answer =
                evaluate_remembering(&counting, expr, at, &options, &Serial, budget, &remembered);
            let steps = Steps::instant(at);
            let plain = evaluate(&loaded, expr.0, steps, &options, &Serial, budget);
            assert_eq!(format!("{answer:?}"), format!("{plain:?}"), "{}", expr.0);
        }
        assert_eq!(counting.1.into_inner(), reads, "{texts:?}");
    }
}

#[test]
fn what_has_changed_is_forgotten() {
    let loaded = loaded(&["x 1 2", "y 7 8"]);
    let exprs = ["sum(x)", "sum(x)", "sum(y)", "sum(y)"].map(|text| parse(text).unwrap());
    let recurring = recurring(&exprs);
    let counting = Counting(&loaded, AtomicUsize::new(0));
    let (remembered, options) = (Remembered::default(), Options::default());
    let budget = Budget { samples_max: 1000, stop: &GO };
    for expected in [2, 3] {
        for expr in exprs.iter().zip(&recurring) {
            let at = Timestamp(60_000);
            evaluate_remembering(&counting, expr, at, &options, &Serial, budget, &remembered)
                .unwrap();
        }
        assert_eq!(counting.1.load(std::sync::atomic::Ordering::Relaxed), expected);
        let changed = LabelSet::new([("__name__", "y")]).unwrap();
        remembered.forget(|matchers| {
            matchers.iter().all(|m| m.matches(changed.get(m.name()).unwrap_or("")))
        });
    }
}
