//! Draws from the distributions that traffic is made of; the same seed gives the same numbers on
//! every machine, since only `libm` and plain arithmetic make them.

use bellwether_platform::disk::sim::SplitMix;

/// Means from which on Poisson numbers come from rejection instead of a search.
const SEARCHED: f64 = 10.0;
/// One step of the 53 bits of a fraction.
const STEP: f64 = 1.0 / 9_007_199_254_740_992.0;

/// A stream of draws.
#[derive(Clone, Debug)]
pub struct Random(SplitMix);

impl Random {
    /// A stream; `part` tells the streams of one seed apart.
    #[must_use]
    pub fn new(seed: u64, part: u64) -> Random {
        let mut mixed = SplitMix(seed ^ SplitMix(part).draw());
        Random(SplitMix(mixed.draw()))
    }

    /// Uniform in (0, 1), both ends excluded.
    pub fn unit(&mut self) -> f64 {
        ((self.0.draw() >> 11) as f64 + 0.5) * STEP
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Between two numbers, uniform in the logarithm.
    pub fn scale(&mut self, low: f64, high: f64) -> f64 {
        low * libm::exp(libm::log(high / low) * self.unit())
    }

    /// A whole number between two, both included.
    pub fn whole(&mut self, low: u32, high: u32) -> u32 {
        let drawn = self.0.below(u64::from(high - low) + 1);
        low + u32::try_from(drawn).expect("invariant: below the bound")
    }

    /// One of some values, each as likely.
    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        let index = self.0.below(values.len() as u64);
        *usize::try_from(index).ok().and_then(|index| values.get(index)).expect("invariant: some")
    }

    /// Exponential of a mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -libm::log(self.unit()) * mean
    }

    /// Geometric on 1, 2, 3, … of a mean of at least 1.
    pub fn geometric(&mut self, mean: f64) -> u64 {
        if mean <= 1.0 {
            return 1;
        }
        1 + floor(libm::log(self.unit()) / libm::log1p(-1.0 / mean))
    }

    /// Standard normal, by Marsaglia's polar method; the second number of each pair is left.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (self.between(-1.0, 1.0), self.between(-1.0, 1.0));
            let square = x * x + y * y;
            if square < 1.0 && square > 0.0 {
                return x * libm::sqrt(-2.0 * libm::log(square) / square);
            }
        }
    }

    /// Gamma of a shape and mean 1 (Marsaglia and Tsang, 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        let raised = if shape < 1.0 { shape + 1.0 } else { shape };
        let d = raised - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        let cube = loop {
            let x = self.normal();
            let v = 1.0 + c * x;
            if v <= 0.0 {
                continue;
            }
            let v = v * v * v;
            if libm::log(self.unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                break v;
            }
        };
        let lowered = if shape < 1.0 { libm::pow(self.unit(), 1.0 / shape) } else { 1.0 };
        d * cube * lowered / shape
    }

    /// Poisson of a mean.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean < SEARCHED { self.poisson_searched(mean) } else { self.poisson_rejected(mean) }
    }

    fn poisson_searched(&mut self, mean: f64) -> u64 {
        let mut left = self.unit();
        let mut chance = libm::exp(-mean);
        let mut count = 0_u32;
        // Beyond 200 nothing is left of a mean below ten.
        while left > chance && count < 200 {
            left -= chance;
            count += 1;
            chance *= mean / f64::from(count);
        }
        u64::from(count)
    }

    /// The transformed rejection PTRS (Hörmann, 1993).
    fn poisson_rejected(&mut self, mean: f64) -> u64 {
        let b = 0.931 + 2.53 * libm::sqrt(mean);
        let a = -0.059 + 0.02483 * b;
        let inverse = 1.1239 + 1.1328 / (b - 3.4);
        let accepted = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let (u, v) = (self.unit() - 0.5, self.unit());
            let near = 0.5 - u.abs();
            let count = libm::floor((2.0 * a / near + b) * u + mean + 0.43);
            if near >= 0.07 && v <= accepted {
                return floor(count);
            }
            if count < 0.0 || (near < 0.013 && v > near) {
                continue;
            }
            let limit = libm::log(v) + libm::log(inverse) - libm::log(a / (near * near) + b);
            if limit <= -mean + count * libm::log(mean) - libm::lgamma(count + 1.0) {
                return floor(count);
            }
        }
    }
}

/// The whole part of a number that is not negative.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
fn floor(value: f64) -> u64 {
    value.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of many draws.
    fn moments(count: u32, mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..count {
            let value = draw();
            sum += value;
            squares += value * value;
        }
        let mean = sum / f64::from(count);
        (mean, squares / f64::from(count) - mean * mean)
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let mut random = Random::new(1, 2);
        for mean in [0.01, 0.7, 9.9, 10.1, 190.0] {
            let (found, variance) = moments(200_000, || random.poisson(mean) as f64);
            let slack = 5.0 * libm::sqrt(mean / 200_000.0);
            assert!((found - mean).abs() < slack, "mean {found} of {mean}");
            assert!((variance / mean - 1.0).abs() < 0.06, "variance {variance} of {mean}");
        }
        for mean in [1.0, 3.0, 5.5] {
            let (found, variance) = moments(200_000, || random.geometric(mean) as f64);
            assert!((found / mean - 1.0).abs() < 0.02, "mean {found} of {mean}");
            assert!((variance - mean * (mean - 1.0)).abs() < 0.05 * mean * mean, "{variance}");
        }
        for shape in [0.2, 1.0, 7.0] {
            let (found, variance) = moments(200_000, || random.gamma(shape));
            assert!((found - 1.0).abs() < 0.03, "mean {found} of shape {shape}");
            assert!((variance * shape - 1.0).abs() < 0.08, "variance {variance} of {shape}");
        }
        let (mean, variance) = moments(200_000, || random.exponential(4.0));
        assert!((mean - 4.0).abs() < 0.08 && (variance - 16.0).abs() < 0.8, "{mean} {variance}");
    }

    #[test]
    fn ranges_hold_and_streams_differ() {
        let mut random = Random::new(7, 0);
        for _ in 0..10_000 {
            assert!((0.1..=100.0).contains(&random.scale(0.1, 100.0)));
            assert!((3..=20).contains(&random.whole(3, 20)));
            assert!([1, 5].contains(&random.one_of(&[1, 5])));
        }
        assert_ne!(Random::new(7, 0).unit(), Random::new(7, 1).unit());
        assert_ne!(Random::new(7, 0).unit(), Random::new(8, 0).unit());
        assert_eq!(Random::new(7, 0).unit(), Random::new(7, 0).unit());
    }
}
