//! Bounds of a proportion that hold whatever it is (Clopper and Pearson, 1934).

/// The bounds of a proportion that `found` of `all` show, each missed with probability `miss`.
#[must_use]
pub fn clopper_pearson(found: u32, all: u32, miss: f64) -> (f64, f64) {
    // P(X ≥ found) falls to `miss` at the lower bound, P(X ≤ found) at the upper one.
    let lower = match found {
        0 => 0.0,
        _ => bisect(|p| 1.0 - at_most(found - 1, all, p) > miss),
    };
    let upper = if found == all { 1.0 } else { bisect(|p| at_most(found, all, p) < miss) };
    (lower, upper)
}

/// The least probability for which something holds that holds for all greater ones.
fn bisect(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

/// P(X ≤ k) of a binomial, summed from its terms.
fn at_most(k: u32, all: u32, p: f64) -> f64 {
    if p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return f64::from(u8::from(k >= all));
    }
    let (n, odds) = (f64::from(all), libm::log(p) - libm::log1p(-p));
    let mut log = n * libm::log1p(-p);
    let mut sum = libm::exp(log);
    for i in 1..=k {
        let i = f64::from(i);
        log += libm::log((n - i + 1.0) / i) + odds;
        sum += libm::exp(log);
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_books() {
        for (found, all, lower, upper) in [
            (0, 10, 0.0, 0.308_497),
            (10, 10, 0.691_503, 1.0),
            (1, 10, 0.002_529, 0.445_016),
            (4, 20, 0.057_334, 0.436_614),
            (0, 3000, 0.0, 0.001_229),
        ] {
            let (low, high) = clopper_pearson(found, all, 0.025);
            let message = format!("{found} of {all}: {low} {high}");
            assert!((low - lower).abs() < 1e-6 && (high - upper).abs() < 1e-6, "{message}");
        }
    }
}
