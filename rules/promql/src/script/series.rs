//! Series and their points as scripts and promtool's rule tests write them:
//! `name{label="value"} 1 2+3x4 _ _x2 stale {{count:1}}`.
//!
//! A repeat `axN` stands for N + 1 points and `_xN` for N, as in Prometheus. A native histogram is
//! recognised and its keys are checked; what it holds is not kept, since nothing here can read it
//! yet. Points are bounded before they are unfolded.
#![allow(clippy::indexing_slicing, reason = "a parser; every index is below the text's length")]

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::limit::LABELS;
use bellwether_model::series::STALE;

use super::quoted;

/// Points of one series: eleven days at one second.
pub const POINTS_MAX: usize = 1_000_000;

/// What a native histogram may say of itself.
const HISTOGRAM_KEYS: [&str; 11] = [
    "schema",
    "sum",
    "count",
    "z_bucket",
    "z_bucket_w",
    "custom_values",
    "buckets",
    "offset",
    "n_buckets",
    "n_offset",
    "counter_reset_hint",
];

/// One place of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Point {
    /// `_`: no sample.
    Missing,
    /// A float; [`STALE`] of `stale`.
    Value(f64),
    /// A native histogram.
    Histogram,
}

/// A text is no series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at {rest:?}")]
pub struct NotationError {
    /// What is wrong.
    pub message: String,
    /// The text from there on, cut to a few characters.
    pub rest: String,
}

impl NotationError {
    fn new(message: impl Into<String>, rest: &str) -> NotationError {
        NotationError { message: message.into(), rest: rest.chars().take(40).collect() }
    }
}

/// Reads a series with its points.
///
/// # Errors
/// Not in this notation, or more points than [`POINTS_MAX`].
pub fn read(text: &str) -> Result<(LabelSet, Vec<Point>), NotationError> {
    let (labels, rest) = take_metric(text.trim())?;
    if rest.starts_with(|c: char| !c.is_ascii_whitespace()) {
        return Err(NotationError::new("expected a space after the labels", rest));
    }
    Ok((labels, read_points(rest)?))
}

/// Reads the labels of a series alone.
///
/// # Errors
/// Not in this notation.
pub fn read_metric(text: &str) -> Result<LabelSet, NotationError> {
    let (labels, rest) = take_metric(text.trim())?;
    if rest.is_empty() {
        Ok(labels)
    } else {
        Err(NotationError::new("expected nothing more", rest))
    }
}

/// Reads points alone.
///
/// # Errors
/// Not in this notation, or more points than [`POINTS_MAX`].
pub fn read_points(text: &str) -> Result<Vec<Point>, NotationError> {
    let mut points = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let after = take_item(rest, &mut points)?;
        if after.starts_with(|c: char| !c.is_ascii_whitespace()) {
            return Err(NotationError::new("expected a space between points", after));
        }
        rest = after.trim_start();
    }
    Ok(points)
}

/// Takes `name{…}`, either of which may be missing; gives what follows.
pub(super) fn take_metric(text: &str) -> Result<(LabelSet, &str), NotationError> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !in_name(c)).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut pairs: Vec<(String, String)> = Vec::new();
    if !name.is_empty() {
        pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
    }
    if let Some(inside) = rest.trim_start().strip_prefix('{').filter(|r| !r.starts_with('{')) {
        rest = take_labels(inside, &mut pairs)?;
    } else if name.is_empty() {
        return Err(NotationError::new("expected a metric's name or labels", text));
    }
    let borrowed = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let labels =
        LabelSet::new(borrowed).map_err(|error| NotationError::new(error.to_string(), text))?;
    Ok((labels, rest))
}

/// Takes `name="value",…}`; a quoted string without a value is the metric's name.
fn take_labels<'a>(
    text: &'a str,
    pairs: &mut Vec<(String, String)>,
) -> Result<&'a str, NotationError> {
    let mut rest = text.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        if pairs.len() > LABELS {
            return Err(NotationError::new(format!("more than {LABELS} labels"), rest));
        }
        let (name, after) = take_name(rest)?;
        let after = after.trim_start();
        rest = match after.strip_prefix('=') {
            Some(value) => {
                let (value, after) = take_quoted(value.trim_start())?;
                pairs.push((name, value));
                after.trim_start()
            }
            None if rest.starts_with(['"', '\'', '`']) => {
                pairs.push((METRIC_NAME.to_owned(), name));
                after
            }
            None => return Err(NotationError::new("expected `=` after a label's name", after)),
        };
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.starts_with('}') => {}
            None => return Err(NotationError::new("expected `,` or `}`", rest)),
        }
    }
}

fn take_name(text: &str) -> Result<(String, &str), NotationError> {
    if text.starts_with(['"', '\'', '`']) {
        return take_quoted(text);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    match text.split_at(end) {
        ("", _) => Err(NotationError::new("expected a label's name", text)),
        (name, rest) => Ok((name.to_owned(), rest)),
    }
}

fn take_quoted(text: &str) -> Result<(String, &str), NotationError> {
    quoted::take(text).map_err(|message| NotationError::new(message, text))
}

/// Takes one item of points and unfolds it; gives what follows.
fn take_item<'a>(text: &'a str, points: &mut Vec<Point>) -> Result<&'a str, NotationError> {
    if let Some(after) = text.strip_prefix('_') {
        let (count, rest) = take_times(after)?;
        fill(points, count.unwrap_or(1), text, |_| Point::Missing)?;
        return Ok(rest);
    }
    if text.starts_with("{{") {
        let mut after = take_histogram(text)?;
        if let Some(step) = after.strip_prefix(['+', '-']) {
            after = take_histogram(step)?;
            if !after.starts_with('x') {
                return Err(NotationError::new("expected `xN` after a step", after));
            }
        }
        let (count, rest) = take_times(after)?;
        fill(points, repeats(count, text)?, text, |_| Point::Histogram)?;
        return Ok(rest);
    }
    let (first, after) = take_value(text)?;
    let (step, after) = match after.chars().next() {
        Some('+') => take_value(&after[1..])?,
        Some('-') => take_value(after)?,
        _ => {
            let (count, rest) = take_times(after)?;
            fill(points, repeats(count, text)?, text, |_| Point::Value(first))?;
            return Ok(rest);
        }
    };
    let (Some(count), rest) = take_times(after)? else {
        return Err(NotationError::new("expected `xN` after a step", after));
    };
    // Added one by one, as Prometheus does: the roundings are part of the values.
    let mut value = first;
    fill(points, repeats(Some(count), text)?, text, |place| {
        if place > 0 {
            value += step;
        }
        Point::Value(value)
    })?;
    Ok(rest)
}

/// `xN` stands for N + 1 points, nothing for one.
fn repeats(count: Option<usize>, text: &str) -> Result<usize, NotationError> {
    let more = count.unwrap_or(0).checked_add(1);
    more.ok_or_else(|| NotationError::new("the number of points is out of range", text))
}

fn fill(
    points: &mut Vec<Point>,
    count: usize,
    text: &str,
    mut point: impl FnMut(usize) -> Point,
) -> Result<(), NotationError> {
    if count > POINTS_MAX - points.len().min(POINTS_MAX) {
        return Err(NotationError::new(format!("more than {POINTS_MAX} points"), text));
    }
    points.extend((0..count).map(&mut point));
    Ok(())
}

/// Takes `xN`, if it is there.
fn take_times(text: &str) -> Result<(Option<usize>, &str), NotationError> {
    let Some(after) = text.strip_prefix('x') else { return Ok((None, text)) };
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let (digits, rest) = after.split_at(end);
    let count =
        digits.parse().map_err(|_| NotationError::new("expected a number of points", after));
    Ok((Some(count?), rest))
}

/// Takes a float, its sign included, or `stale`.
fn take_value(text: &str) -> Result<(f64, &str), NotationError> {
    if let Some(rest) = text.strip_prefix("stale") {
        return Ok((STALE, rest));
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let signed = text.len() - unsigned.len();
    let letters = unsigned.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unsigned.len());
    // No hexadecimal digits here: `0x1` is two zeros.
    let end = if letters > 0 {
        let word = unsigned[..letters].trim_end_matches('x');
        word.len()
    } else {
        number_end(unsigned.as_bytes())
    };
    let (number, rest) = text.split_at(signed + end);
    match number.parse() {
        Ok(value) if end > 0 => Ok((value, rest)),
        _ => Err(NotationError::new("expected a number, `_`, `stale` or `{{…}}`", text)),
    }
}

/// The end of digits, point, digits and exponent.
fn number_end(bytes: &[u8]) -> usize {
    let digits =
        |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign.min(bytes.len() - end - 1));
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

/// Takes `{{key:value …}}` and checks its keys.
fn take_histogram(text: &str) -> Result<&str, NotationError> {
    let inner = text.strip_prefix("{{").ok_or_else(|| NotationError::new("expected `{{`", text))?;
    let end = inner.find("}}").ok_or_else(|| NotationError::new("`{{` without `}}`", text))?;
    let mut is_in_list = false;
    for word in inner[..end].split_ascii_whitespace() {
        if !is_in_list {
            let (key, _) = word
                .split_once(':')
                .ok_or_else(|| NotationError::new("expected `key:value` in a histogram", word))?;
            if !HISTOGRAM_KEYS.contains(&key) {
                return Err(NotationError::new("unknown key in a histogram", word));
            }
        }
        is_in_list = (is_in_list || word.contains('[')) && !word.contains(']');
    }
    Ok(&inner[end + 2..])
}

#[cfg(test)]
mod tests {
    use bellwether_model::series::is_stale;
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Vec<String> {
        let points = read_points(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let shown = points.iter().map(|point| match point {
            Point::Missing => "_".to_owned(),
            Point::Histogram => "h".to_owned(),
            Point::Value(value) if is_stale(*value) => "stale".to_owned(),
            Point::Value(value) => value.to_string(),
        });
        shown.collect()
    }

    #[test]
    fn points_unfold_as_in_prometheus() {
        for (text, unfolded) in [
            ("", ""),
            ("1 2.5 -3 +4 .5 1e3 1E-1", "1 2.5 -3 4 0.5 1000 0.1"),
            ("1+2x3", "1 3 5 7"),
            ("-1-2x2", "-1 -3 -5"),
            ("1+-2x1", "1 -1"),
            ("0x2 7x0", "0 0 0 7"),
            ("_ _x3 stale stalex1", "_ _ _ _ stale stale stale"),
            ("NaN inf -Inf +Inf nanx1", "NaN inf -inf inf NaN NaN"),
            ("1e2+1e1x1", "100 110"),
            ("Infx1", "inf inf"),
            ("{{schema:1 sum:-3 buckets:[5 10 7]}} 1", "h 1"),
            ("{{}}x2 {{count:1}}+{{count:2}}x1", "h h h h h"),
        ] {
            assert_eq!(values(text).join(" "), unfolded, "{text}");
        }
        for text in [
            "1-1",
            "1+x2",
            "1x",
            "1x-1",
            "a",
            "1,2",
            "__",
            "{{count:1",
            "{{cnt:1}}",
            "{{1}}",
            "{{}}+{{}}",
            "1x1000000",
            "1x99999999999999999999",
            "0x1f",
            "1 _x1000000",
            "-",
            "1e",
        ] {
            assert!(read_points(text).is_err(), "{text}: {:?}", read_points(text));
        }
        assert!(read_points("1x999999").is_ok());
    }

    #[test]
    fn labels_may_be_quoted() {
        for (text, shown) in [
            ("up", "up"),
            (r#"up{job="node", a='b',}"#, r#"up{a="b",job="node"}"#),
            (r#"{__name__="up"}"#, "up"),
            (r#"{"a.metric","a label"="x{y}"}"#, r#"a.metric{a label="x{y}"}"#),
            ("{}", "{}"),
            (r#"up {a="\"}"}"#, r#"up{a="\"}"}"#),
        ] {
            assert_eq!(read_metric(text).map(|l| l.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for text in
            ["", "1 {", "up{", "up{a}", "up{a=b}", r#"up{a="b" c="d"}"#, r#"up{a="1",a="2"}"#]
        {
            assert!(read_metric(text).is_err(), "{text}");
        }
        let (labels, points) = read(r#"  a:b{c="d e"}   1 2 "#).unwrap();
        assert_eq!((labels.to_string().as_str(), points.len()), (r#"a:b{c="d e"}"#, 2));
        assert!(read("up{}1").is_err());
        assert_eq!(read("up{}").unwrap().1, []);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-zA-Z0-9_{}\"'`\\\\:=, +.xé-]{0,40}") {
            drop(read(&text));
            drop(read_points(&text));
        }
    }
}
