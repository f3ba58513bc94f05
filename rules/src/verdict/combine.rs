//! Verdicts taken together: several measures of one rollout, many rollouts at once.
//!
//! An e-value is what [`super::Outcome::log_e`] is the logarithm of: its expectation is at most 1
//! if the canary is healthy, so that 1/α is reached with a probability of at most α.

use super::Step;

/// The logarithm of the mean of e-values given as logarithms: again that of an e-value, however
/// the measures depend on each other. 0 without any.
pub fn log_average(log_es: &[f64]) -> f64 {
    let most = log_es.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !most.is_finite() {
        return 0.0;
    }
    let mut sum = 0.0;
    for log_e in log_es {
        sum += libm::exp(log_e - most);
    }
    most + libm::log(sum / log_es.len() as f64)
}

/// The mean evidence of several measures of one rollout over time, given by their steps in order:
/// each second that any of them has, and the logarithm of the mean after it. A measure that has no
/// step yet counts as 1, and keeps what it had in a second that it lacks. The mean of e-processes
/// is one, so that it ever reaches 1/α with a probability of at most α, however the measures depend
/// on each other; that a part of them has reached it says less.
pub fn mean_path(measures: &[&[Step]]) -> Vec<(i64, f64)> {
    let mut rest: Vec<&[Step]> = measures.to_vec();
    let mut log_es = vec![0.0; measures.len()];
    let mut path = Vec::new();
    while let Some(second) = rest.iter().filter_map(|steps| Some(steps.first()?.second)).min() {
        for (steps, log_e) in rest.iter_mut().zip(&mut log_es) {
            while let Some((step, later)) = steps.split_first()
                && step.second <= second
            {
                (*log_e, *steps) = (step.log_e, later);
            }
        }
        path.push((second, log_average(&log_es)));
    }
    path
}

/// Which of the rollouts judged together to fail, so that of those failed at most the share `alpha`
/// is expected to be healthy, however they depend on each other (e-BH, Wang and Ramdas 2022): the
/// `k` with the greatest evidence, for the greatest `k` of which the least has an e-value of
/// `m/(k·alpha)`, `m` being the number of all. Each answer stands at its rollout's place.
pub fn discoveries(log_es: &[f64], alpha: f64) -> Vec<bool> {
    let mut sorted: Vec<f64> = log_es.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let all = sorted.len() as f64;
    let mut least = f64::INFINITY;
    for (rank, log_e) in sorted.iter().enumerate() {
        if *log_e >= libm::log(all / ((rank as f64 + 1.0) * alpha)) {
            least = *log_e;
        }
    }
    log_es.iter().map(|log_e| *log_e >= least).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_means_of_what_the_logarithms_are_of() {
        assert_eq!(log_average(&[]).to_bits(), 0.0_f64.to_bits());
        let mean = libm::exp(log_average(&[libm::log(8.0), 0.0, libm::log(3.0)]));
        assert!((mean - 4.0).abs() < 1e-12, "{mean}");
        let huge = log_average(&[2000.0, 0.0]);
        assert!((huge - (2000.0 - libm::log(2.0))).abs() < 1e-9, "{huge}");
    }

    #[test]
    fn a_mean_is_taken_in_each_second_of_any_measure() {
        let step = |second, e: f64| Step { second, log_e: libm::log(e), failed: false };
        let (one, other) = ([step(1, 3.0), step(3, 7.0)], [step(2, 5.0), step(3, 9.0)]);
        let path = mean_path(&[&one, &other, &[]]);
        let seconds: Vec<i64> = path.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [1, 2, 3]);
        for ((_, log_e), sum) in path.iter().zip([5.0, 9.0, 17.0]) {
            assert!((libm::exp(*log_e) * 3.0 - sum).abs() < 1e-9, "{path:?}");
        }
        assert!(mean_path(&[]).is_empty() && mean_path(&[&[]]).is_empty());
    }

    #[test]
    fn discoveries_are_those_of_e_bh() {
        let found = |e: &[f64]| {
            let logs: Vec<f64> = e.iter().map(|e| libm::log(*e)).collect();
            discoveries(&logs, 0.1)
        };
        // Alone, 1/α; of four, 40 is the first's, 20 the second's, 13.3 the third's.
        assert_eq!(found(&[10.1]), [true]);
        assert_eq!(found(&[9.9]), [false]);
        assert_eq!(found(&[1.0, 39.0, 2.0, 3.0]), [false; 4]);
        assert_eq!(found(&[1.0, 39.0, 21.0, 3.0]), [false, true, true, false]);
        assert_eq!(found(&[14.0, 14.0, 1.0, 14.0]), [true, true, false, true]);
        assert!(found(&[]).is_empty());
    }
}
