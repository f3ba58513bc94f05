//! Quantiles and fractions of classic histograms: cumulative buckets with upper bounds.

use super::number::nearly_equal;

/// Counts that differ by less than this part of their sum are taken as equal.
const ROUNDING: f64 = 1e-12;

/// A bucket: the values at or below a bound, counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    pub(super) bound: f64,
    pub(super) count: f64,
}

/// Buckets whose counts fell where they may only rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Forced {
    /// The lowest bound whose count was raised.
    pub(super) lowest: f64,
    /// The highest.
    pub(super) highest: f64,
    /// The largest fall.
    pub(super) largest: f64,
}

/// The quantile, and whether counts had to be raised for it.
pub(super) fn quantile(q: f64, buckets: &[Bucket]) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    let Some(mut buckets) = sorted_to_infinity(buckets) else { return (f64::NAN, None) };
    let forced = raise(&mut buckets);
    let last = buckets.len() - 1;
    let total = buckets[last].count;
    if last == 0 || total == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * total;
    let at = first_reaching(rank, &buckets[..last]);
    if at == last {
        return (buckets[last - 1].bound, forced);
    }
    if at == 0 && buckets[0].bound <= 0.0 {
        return (buckets[0].bound, forced);
    }
    let (mut from, mut count) = (0.0, buckets[at].count);
    if at > 0 {
        from = buckets[at - 1].bound;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (from + (buckets[at].bound - from) * (rank / count), forced)
}

/// The part of the values between two bounds.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let Some(buckets) = sorted_to_infinity(buckets) else { return f64::NAN };
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let below_upper = rank_of(upper, &buckets, total);
    let below_lower = rank_of(lower, &buckets, total);
    (below_upper - below_lower) / total
}

/// How many values lie below a bound, a bucket's own values being spread evenly over it.
fn rank_of(value: f64, buckets: &[Bucket], total: f64) -> f64 {
    let mut rank = 0.0;
    let mut from = if buckets[0].bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in buckets {
        let found = if from >= value {
            Some(rank)
        } else if bucket.bound > value {
            Some(if from == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (value - from) / (bucket.bound - from)
            })
        } else {
            None
        };
        if let Some(found) = found {
            return if found > total { total } else { found };
        }
        rank = bucket.count;
        from = bucket.bound;
    }
    total
}

/// The buckets by rising bound, those of one bound added together; nothing if the last is not
/// infinite.
fn sorted_to_infinity(buckets: &[Bucket]) -> Option<Vec<Bucket>> {
    let mut sorted = buckets.to_vec();
    sorted.sort_by(|a, b| a.bound.partial_cmp(&b.bound).unwrap_or(std::cmp::Ordering::Equal));
    if sorted.last()?.bound != f64::INFINITY {
        return None;
    }
    let mut merged: Vec<Bucket> = Vec::new();
    for bucket in sorted {
        match merged.last_mut() {
            Some(last) if last.bound == bucket.bound => last.count += bucket.count,
            _ => merged.push(bucket),
        }
    }
    Some(merged)
}

/// Removes falls between neighbours: small ones in silence, others reported.
fn raise(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut reached = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if bucket.count == reached {
            continue;
        }
        if nearly_equal(reached, bucket.count, ROUNDING) {
            bucket.count = reached;
        } else if bucket.count < reached {
            let fall = reached - bucket.count;
            bucket.count = reached;
            let so_far = forced.get_or_insert(Forced {
                lowest: f64::INFINITY,
                highest: f64::NEG_INFINITY,
                largest: 0.0,
            });
            so_far.lowest = so_far.lowest.min(bucket.bound);
            so_far.highest = so_far.highest.max(bucket.bound);
            so_far.largest = if fall > so_far.largest { fall } else { so_far.largest };
        } else {
            reached = bucket.count;
        }
    }
    forced
}

/// The place found by halving, which is the first whose count reaches the rank if counts rise; a
/// count that is not a number never reaches.
fn first_reaching(rank: f64, buckets: &[Bucket]) -> usize {
    let (mut from, mut to) = (0, buckets.len());
    while from < to {
        let middle = (from + to) / 2;
        if buckets[middle].count >= rank {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    from
}
