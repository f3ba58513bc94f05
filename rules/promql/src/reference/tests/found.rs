//! Differences that the random queries found, kept as they shrank. What is expected is what
//! Prometheus 3.14 answers, where that is always the same.

use bellwether_model::label::{LabelSet, METRIC_NAME};

use super::compare::{agree, answer};
use super::data::Data;
use crate::reference::Times;

fn one(name: &str, x: &str, value: f64) -> (LabelSet, Vec<(i64, f64)>) {
    (LabelSet::new([(METRIC_NAME, name), ("x", x)]).unwrap(), vec![(10_000, value)])
}

fn bucket(le: &str, count: f64) -> (LabelSet, Vec<(i64, f64)>) {
    (LabelSet::new([(METRIC_NAME, "bucket"), ("le", le)]).unwrap(), vec![(10_000, count)])
}

fn at(start: i64, end: i64, step: i64) -> Times {
    Times { start, end, step, lookback: 60_000, subquery_step: 10_000 }
}

#[test]
fn what_was_found_stays_found() {
    let data = Data::new([
        one("many", "1", 1.0),
        one("many", "2", 2.0),
        one("one", "3", 8.0),
        bucket("0.1", 1.0),
        bucket("+Inf", 8.0),
    ]);
    let warned = "sort is ineffective for range queries since results are always ordered by labels";
    let now = at(20_000, 20_000, 0);
    let bounded =
        |le| format!("histogram_quantile(2, label_replace(one, \"le\", \"{le}\", \"\", \"\"))");
    let noted = "; quantile value should be between 0 and 1, got 2";
    let refused = |le| {
        format!(
            "{noted}; bucket label \"le\" is missing or has a malformed value of \"{le}\" for metric \
             name \"one\""
        )
    };
    for (text, times, expected) in [
        // The fill values of `group_right` are not turned around with its sides.
        ("one + on (x) group_right () fill_left(1) many", now, "{x=\"3\"} 9"),
        ("one + on (x) group_right () fill_right(1) many", now, "{x=\"1\"} 2, {x=\"2\"} 3"),
        // Moments before 1970 are cut towards it.
        ("year()", at(-1, -1, 0), "{} 1970"),
        // Of two zeros the negative one is the lesser.
        ("1 / min_of(0, -0)", at(0, 0, 0), "-inf"),
        // A quantile of zero is written without a sign.
        (
            "histogram_quantiles(label_replace(one, \"le\", \"+Inf\", \"\", \"\"), \"q\", -0)",
            now,
            "{q=\"0.0\",x=\"3\"} NaN",
        ),
        // A range with one step is a range.
        ("sort(one)[1s:7s]", now, ""),
        ("sort(one)", at(20_000, 20_001, 10_000), &format!("one{{x=\"3\"}} 8; {warned}")),
        // So what is sorted in it keeps its order; Prometheus' is that of a map.
        (
            "topk(1, sort_by_label_desc(many * 0, \"x\"))",
            at(20_000, 20_001, 10_000),
            &format!("{{x=\"1\"}} 0; {warned}"),
        ),
        // A bound may be NaN, but has no sign then, and none is too large to be read.
        (&bounded("NaN"), now, &format!("{{x=\"3\"}} inf{noted}")),
        (&bounded("-NaN"), now, &refused("-NaN")),
        (&bounded("1e999"), now, &refused("1e999")),
        // Labels that repeat at one time stay where they are.
        ("stdvar(histogram_quantiles(bucket, \"q\", 1, 1, 0, 1))", now, "{} 0.0018750000000000001"),
    ] {
        agree(&data, text, times).unwrap();
        assert_eq!(answer(&data, text, times), expected, "{text}");
    }
}
