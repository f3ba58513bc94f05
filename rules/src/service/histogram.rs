//! Latency by a histogram: its requests, those of them that took no longer than a bound, and how
//! exporters write that bound.
//!
//! A bucket is known by the text of its label `le`, and each library writes numbers in its own way.
//! A threshold therefore means a small set of texts: Go's (`0.3`, `1`, `1e+06`), those of
//! OpenMetrics and Python (`1.0`), Java's (`1.0E7`), and up to three digits behind the point where
//! somebody pads (`0.30`). Of one histogram at most one of them exists.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bellwether_model::config::Fields;
use bellwether_model::duration;
use bellwether_model::exposition::push_float;
use bellwether_model::label::METRIC_NAME;
use bellwether_model::matcher::{MatchOp, Matcher};

use super::Sli;
use super::code::HISTOGRAM;
use super::selector::{Selecting, Written};

/// How the series of a histogram's buckets end.
pub const BUCKET: &str = "_bucket";
/// The label with the bound of a bucket.
pub const LE: &str = "le";
const COUNT: &str = "_count";
const PARTS: [&str; 3] = [BUCKET, COUNT, "_sum"];
/// Metrics in other units than seconds, by how their names end, and how many are a second.
const UNITS: [(&str, f64); 6] = [
    ("_milliseconds", 1e3),
    ("_ms", 1e3),
    ("_microseconds", 1e6),
    ("_us", 1e6),
    ("_nanoseconds", 1e9),
    ("_ns", 1e9),
];
/// Digits behind the point to which a bound is padded.
const PADDED: usize = 3;
/// Characters of a bound without exponent.
const PLAIN_CHARS: usize = 20;

/// The bound between good and bad: a time, or a number in the histogram's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Threshold {
    Time(Duration),
    Number(f64),
}

impl FromStr for Threshold {
    type Err = ();

    fn from_str(text: &str) -> Result<Threshold, ()> {
        if let Ok(number) = text.parse::<f64>() {
            let is_bound = number.is_finite() && number > 0.0;
            return if is_bound { Ok(Threshold::Number(number)) } else { Err(()) };
        }
        let time = duration::parse(text).map_err(|_| ())?;
        if time.is_zero() { Err(()) } else { Ok(Threshold::Time(time)) }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Threshold::Time(time) => f.write_str(&duration::show(*time)),
            Threshold::Number(number) => number.fmt(f),
        }
    }
}

impl Threshold {
    /// In the unit of a metric.
    #[expect(clippy::cast_precision_loss, reason = "a threshold has few digits")]
    fn bound(self, metric: &str) -> f64 {
        match self {
            Threshold::Number(number) => number,
            Threshold::Time(time) => {
                let scale = UNITS.iter().find(|(ending, _)| metric.ends_with(ending));
                let scale = scale.map_or(1.0, |(_, scale)| *scale);
                time.as_millis() as f64 * scale / 1e3
            }
        }
    }
}

/// Counters of a histogram's requests: all, and those within the threshold. `None` if something is
/// wrong, which has been reported.
pub(super) fn sli(
    f: &Fields<'_>,
    selecting: &Selecting<'_>,
    histogram: &Written,
    threshold: Threshold,
) -> Option<Sli> {
    let name = histogram.matchers.iter().find(|matcher| matcher.name() == METRIC_NAME)?;
    let refuse = |word: &str, message: String, help: String| {
        let problem = selecting.problem(HISTOGRAM, histogram, word, message);
        f.push(problem.with_help(help));
    };
    if name.op() != MatchOp::Equal {
        let message = "`histogram` must name one metric".to_owned();
        refuse(METRIC_NAME, message, "such as `http_request_duration_seconds{…}`".to_owned());
        return None;
    }
    let metric = name.value();
    if let Some(part) = PARTS.iter().find(|part| metric.ends_with(*part)) {
        let whole = metric.strip_suffix(part).unwrap_or(metric);
        let message = format!("`{metric}` is a part of the histogram `{whole}`");
        refuse(metric, message, format!("write `{whole}`, without `{part}`"));
        return None;
    }
    if histogram.matchers.iter().any(|matcher| matcher.name() == LE) {
        let message = "the buckets are chosen by `threshold`, not by the label `le`".to_owned();
        refuse(LE, message, "leave `le` out of the selector".to_owned());
        return None;
    }
    let part = |ending: &str| {
        let rest = histogram.matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME);
        let name = equal(METRIC_NAME, &format!("{metric}{ending}"));
        rest.cloned().chain([name]).collect::<Vec<Matcher>>()
    };
    let mut good = part(BUCKET);
    good.push(le(threshold.bound(metric)));
    Some(Sli::Good { total: part(COUNT), good })
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher::new(name, MatchOp::Equal, value).expect("invariant: equality needs no pattern")
}

/// The test of a bucket's bound.
fn le(bound: f64) -> Matcher {
    let texts = spellings(bound);
    let escaped = texts.iter().map(|text| text.replace('.', "\\.").replace('+', "\\+"));
    let pattern = escaped.collect::<Vec<_>>().join("|");
    Matcher::new(LE, MatchOp::Regex, &pattern).expect("invariant: digits and signs are a pattern")
}

/// How a bound may be written, the shortest first.
pub(super) fn spellings(bound: f64) -> Vec<String> {
    let mut texts = Vec::new();
    let mut add = |text: String| {
        if !texts.contains(&text) {
            texts.push(text);
        }
    };
    let mut go = Vec::new();
    push_float(&mut go, bound);
    add(String::from_utf8(go).expect("invariant: a number is text"));
    let mut plain = format!("{bound}");
    if plain.len() <= PLAIN_CHARS {
        add(plain.clone());
        if !plain.contains('.') {
            plain.push('.');
        }
        let digits = plain.split('.').nth(1).map_or(0, str::len);
        for _ in digits..PADDED {
            plain.push('0');
            add(plain.clone());
        }
    }
    // As `Double.toString`, which goes over to an exponent earlier.
    if !(1e-3..1e7).contains(&bound) {
        let (mantissa, exponent) = {
            let text = format!("{bound:E}");
            text.split_once('E').map(|(m, e)| (m.to_owned(), e.to_owned())).unwrap_or_default()
        };
        let point = if mantissa.contains('.') { "" } else { ".0" };
        add(format!("{mantissa}{point}E{exponent}"));
    }
    texts
}
