//! Functions of classic histograms: series of buckets that differ in the label `le`.
//!
//! Which series make a histogram is found once per query, and so is the order of their bounds.

use bellwether_model::label::LabelSet;

use super::EvaluateError;
use super::arithmetic::count;
use super::call::{argument, text};
use super::context::{Context, Evaluated, Grid, Notes};
use super::frame::{BLOCK, Block, Col, Frame, Name};
use super::key::{self, Keys, Labels};
use super::labels::merged;
use crate::annotation::{Annotation, Repaired};
use crate::function::Body;
use crate::pool;
use crate::tree::{Call, Span};

const BOUND: &str = "le";

/// Differences between buckets up to this part of them are rounding.
const TOLERANCE: f64 = 1e-12;

/// A bucket at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    bound: f64,
    count: f64,
}

/// The series of one histogram, by rising bound.
struct Histogram<'a> {
    labels: LabelSet,
    buckets: Vec<(f64, Col<'a>)>,
}

/// `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`
pub(crate) fn call(
    context: &Context<'_>,
    call: &Call,
    grid: Grid,
    notes: &mut Notes,
) -> Evaluated<Frame> {
    let scalar = |i: usize, notes: &mut Notes| context.scalar(argument(call, i)?, grid, notes);
    match call.function.body {
        Body::HistogramFraction => {
            let (lower, upper) = (scalar(0, notes)?, scalar(1, notes)?);
            let arg = argument(call, 2)?;
            let frame = context.frame(arg, grid, notes)?;
            let histograms = histograms(&frame, arg.span, notes);
            made(context, grid, &histograms, None, notes, |buckets, step, _, _| {
                fraction(buckets, *lower.get(step)?, *upper.get(step)?)
            })
        }
        Body::HistogramQuantile => {
            let quantiles = scalar(0, notes)?;
            let arg = argument(call, 1)?;
            let frame = context.frame(arg, grid, notes)?;
            note_quantiles(&quantiles, argument(call, 0)?.span, notes);
            let histograms = histograms(&frame, arg.span, notes);
            let at = |buckets: &mut Vec<Bucket>, step, metric: &str, notes: &mut Notes| {
                let noted = Noted { metric, span: arg.span, time: grid.time(step) };
                quantile(buckets, *quantiles.get(step)?, noted, notes)
            };
            made(context, grid, &histograms, None, notes, at)
        }
        Body::HistogramQuantiles => {
            let arg = argument(call, 0)?;
            let label = text(call, 1)?;
            let frame = context.frame(arg, grid, notes)?;
            let histograms = histograms(&frame, arg.span, notes);
            let mut all = Frame::new(grid.count);
            for i in 2..call.args.len() {
                let quantiles = scalar(i, notes)?;
                note_quantiles(&quantiles, argument(call, i)?.span, notes);
                let at = |buckets: &mut Vec<Bucket>, step, metric: &str, notes: &mut Notes| {
                    let noted = Noted { metric, span: arg.span, time: grid.time(step) };
                    quantile(buckets, *quantiles.get(step)?, noted, notes)
                };
                let named = Some((label, quantiles.as_slice()));
                all.blocks.extend(made(context, grid, &histograms, named, notes, at)?.blocks);
            }
            if grid.is_single() { Ok(all) } else { merged(all) }
        }
        _ => Err(EvaluateError::Failed("invariant: the function is of histograms".to_owned())),
    }
}

fn note_quantiles(quantiles: &[f64], span: Span, notes: &mut Notes) {
    for q in quantiles.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
        notes.add(Annotation::bad_quantile(*q, span));
    }
}

/// The histograms of a vector.
fn histograms<'a>(frame: &'a Frame, span: Span, notes: &mut Notes) -> Vec<Histogram<'a>> {
    let labels = Labels::Without(vec![BOUND]);
    let mut keys = Keys::default();
    let mut scratch = Vec::new();
    let mut found: Vec<Histogram<'_>> = Vec::new();
    for (name, col) in frame.iter() {
        let written = name.labels.get(BOUND).unwrap_or("");
        let Some(bound) = bound(written) else {
            notes.add(Annotation::bad_bucket(name.labels.name(), written, span));
            continue;
        };
        labels.write(&name.labels, &mut scratch);
        let (number, is_new) = keys.number(&scratch);
        if is_new {
            let labels = labels.kept(&name.labels);
            found.push(Histogram { labels, buckets: vec![(bound, col)] });
        } else if let Some(histogram) = found.get_mut(number) {
            histogram.buckets.push((bound, col));
        }
    }
    for histogram in &mut found {
        histogram.buckets.sort_by(|(a, _), (b, _)| super::arithmetic::rising(a, b));
    }
    found
}

/// Reads a bound as Go's `ParseFloat`: NaN has no sign, and too large a number is none.
fn bound(written: &str) -> Option<f64> {
    let number: f64 = written.parse().ok()?;
    let plain = written.strip_prefix(['+', '-']).unwrap_or(written);
    let is_named = |name: &str| plain.eq_ignore_ascii_case(name);
    let is_bound = if number.is_nan() {
        plain.len() == written.len()
    } else {
        number.is_finite() || is_named("inf") || is_named("infinity")
    };
    is_bound.then_some(number)
}

/// One series per histogram, its values made of the buckets at each step.
fn made(
    context: &Context<'_>,
    grid: Grid,
    histograms: &[Histogram<'_>],
    label: Option<(&str, &[f64])>,
    notes: &mut Notes,
    value: impl Fn(&mut Vec<Bucket>, usize, &str, &mut Notes) -> Option<f64> + Sync,
) -> Evaluated<Frame> {
    context.room(grid, histograms.len())?;
    let parts: Vec<&[Histogram<'_>]> = histograms.chunks(BLOCK).collect();
    let blocks = pool::map_items(context.pool, parts, |part| {
        let mut block = Block::new(grid.count, part.len());
        let mut notes = Notes::default();
        let mut buckets = Vec::new();
        for Histogram { labels, buckets: cols } in part {
            context.check(0)?;
            for (named, wanted) in names(labels, label) {
                block.push(Name { labels: named, drops_name: true }, |out| {
                    for step in 0..grid.count {
                        if wanted
                            .is_some_and(|(q, all)| all.get(step).map(|x| x.to_bits()) != Some(q))
                        {
                            continue;
                        }
                        buckets.clear();
                        buckets.extend(cols.iter().filter_map(|(bound, col)| {
                            Some(Bucket { bound: *bound, count: col.get(step)? })
                        }));
                        if !buckets.is_empty()
                            && let Some(value) =
                                value(&mut buckets, step, labels.name(), &mut notes)
                        {
                            out.set(step, value);
                        }
                    }
                });
            }
        }
        Ok((block, notes))
    });
    let mut frame = Frame::new(grid.count);
    for made in blocks {
        let (block, part) = made?;
        notes.merge(part);
        frame.blocks.push(block);
    }
    Ok(frame)
}

/// Which value a scalar must have at a step, by its bits.
type Wanted<'a> = Option<(u64, &'a [f64])>;

/// The names of a histogram's series: one, or one for each value that a quantile takes.
fn names<'a>(labels: &LabelSet, label: Option<(&str, &'a [f64])>) -> Vec<(LabelSet, Wanted<'a>)> {
    let Some((label, quantiles)) = label else { return vec![(labels.clone(), None)] };
    let mut bits: Vec<u64> = quantiles.iter().map(|q| q.to_bits()).collect();
    bits.sort_unstable();
    bits.dedup();
    let named = bits.into_iter().map(|bits| {
        let value = open_metrics(f64::from_bits(bits));
        let mut pairs: std::collections::BTreeMap<&str, &str> = labels.iter().collect();
        pairs.insert(label, &value);
        (key::labels(pairs), Some((bits, quantiles)))
    });
    named.collect()
}

/// A float as OpenMetrics writes it: with a point or an exponent, zero without sign.
fn open_metrics(value: f64) -> String {
    let text = crate::print::short(if value == 0.0 { 0.0 } else { value });
    let whole = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if whole { format!("{text}.0") } else { text }
}

/// What a repair of buckets is noted with.
struct Noted<'a> {
    metric: &'a str,
    span: Span,
    /// Milliseconds.
    time: i64,
}

/// The quantile of buckets by rising bound: within a bucket in proportion, the lowest one
/// beginning at 0 if its bound is positive.
fn quantile(buckets: &mut Vec<Bucket>, q: f64, noted: Noted<'_>, notes: &mut Notes) -> Option<f64> {
    if q.is_nan() {
        return Some(f64::NAN);
    }
    if q < 0.0 {
        return Some(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return Some(f64::INFINITY);
    }
    if buckets.last()?.bound != f64::INFINITY {
        return Some(f64::NAN);
    }
    coalesce(buckets);
    if let Some((bounds, difference)) = repair(buckets) {
        let second = noted.time.div_euclid(1000);
        let seconds = (second, second);
        let repaired = Repaired { seconds, buckets: bounds, difference, samples: 1 };
        notes.add(Annotation::repaired(noted.metric, noted.span, repaired));
    }
    let (last, rest) = buckets.split_last()?;
    let (Some(second), Some(first)) = (rest.last(), rest.first()) else { return Some(f64::NAN) };
    let observations = last.count;
    if observations == 0.0 {
        return Some(f64::NAN);
    }
    let rank = q * observations;
    // The first bucket that reaches the rank, by bisection: counts may be NaN.
    let reaches = |bucket: &Bucket| bucket.count >= rank;
    let at = rest.partition_point(|bucket| !reaches(bucket));
    let Some(bucket) = rest.get(at) else { return Some(second.bound) };
    if at == 0 && first.bound <= 0.0 {
        return Some(first.bound);
    }
    let before = at.checked_sub(1).and_then(|at| rest.get(at));
    let (start, below) = before.map_or((0.0, 0.0), |before| (before.bound, before.count));
    let (rank, count) =
        if at > 0 { (rank - below, bucket.count - below) } else { (rank, bucket.count) };
    Some(start + (bucket.bound - start) * (rank / count))
}

/// Buckets of one bound made one.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.bound == kept.bound;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Makes counts rise. Yields the least and the greatest bound and the greatest difference if more
/// than rounding was wrong.
fn repair(buckets: &mut [Bucket]) -> Option<((f64, f64), f64)> {
    let (first, rest) = buckets.split_first_mut()?;
    let mut previous = first.count;
    let mut bounds = (f64::INFINITY, f64::NEG_INFINITY);
    let mut greatest = 0.0_f64;
    let mut is_forced = false;
    for bucket in rest {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if nearly_equal(previous, count) {
            bucket.count = previous;
        } else if count < previous {
            bucket.count = previous;
            is_forced = true;
            bounds = (bounds.0.min(bucket.bound), bounds.1.max(bucket.bound));
            greatest = greatest.max(previous - count);
        } else {
            previous = count;
        }
    }
    is_forced.then_some((bounds, greatest))
}

fn nearly_equal(a: f64, b: f64) -> bool {
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// The part of observations between two values.
fn fraction(buckets: &mut Vec<Bucket>, lower: f64, upper: f64) -> Option<f64> {
    if buckets.last()?.bound != f64::INFINITY {
        return Some(f64::NAN);
    }
    coalesce(buckets);
    let observations = buckets.last()?.count;
    if observations == 0.0 || lower.is_nan() || upper.is_nan() {
        return Some(f64::NAN);
    }
    if lower >= upper {
        return Some(0.0);
    }
    let below = |value: f64| {
        rank(buckets, value).map(|rank| if rank > observations { observations } else { rank })
    };
    let ranks = (below(lower).unwrap_or(observations), below(upper).unwrap_or(observations));
    Some((ranks.1 - ranks.0) / observations)
}

/// How many observations lie below a value; `None` if it lies above all buckets.
fn rank(buckets: &[Bucket], value: f64) -> Option<f64> {
    let mut start = if buckets.first()?.bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = count(0);
    for (i, bucket) in buckets.iter().enumerate() {
        if let Some(before) = i.checked_sub(1).and_then(|i| buckets.get(i)) {
            start = before.bound;
        }
        if start >= value {
            return Some(rank);
        }
        if bucket.bound > value {
            if start == f64::NEG_INFINITY {
                return Some(bucket.count);
            }
            let width = bucket.bound - start;
            return Some(rank + (bucket.count - rank) * (value - start) / width);
        }
        rank = bucket.count;
    }
    None
}
