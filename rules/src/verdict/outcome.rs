//! What a judge says.

/// The answer at a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The canary is worse: the evidence has reached 1/α. It stays so.
    Fail,
    /// The canary's ratio is, with confidence 1 − α, at most ρ(1 + δ).
    Pass,
    /// Neither is shown yet.
    Inconclusive {
        /// What would change that.
        missing: Missing,
    },
}

/// Why nothing can be said yet, the first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// No request has reached the canary.
    Canary,
    /// No request has reached the baseline since the rollout began, or more than a tenth of what
    /// the canary serves, or lately served, cannot be compared with anything.
    Baseline,
    /// The warm-up is not over.
    WarmUp {
        /// How many seconds it lasts yet.
        seconds: u32,
    },
    /// The canary's share of the requests is not what it was meant to be.
    Share,
    /// The canary's bad requests would fail it if each were of a cause of its own, but one train,
    /// or the clusters that this service is known to have, could explain them.
    Burst,
    /// Too few requests to tell.
    Requests {
        /// About how many more the canary has to serve, at the present ratios, for a pass; 0 if
        /// none would do, since its ratio is not below the limit.
        canary: u64,
    },
}

/// A verdict with its grounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The answer.
    pub verdict: Verdict,
    /// The second of the decision: the one in which the evidence crossed, or since which the
    /// bound has held.
    pub decision_second: Option<i64>,
    /// The first second in which the canary served a bad request that was judged.
    pub first_bad_second: Option<i64>,
    /// The natural logarithm of the evidence against the canary, now. The canary fails at
    /// −ln α and above. Its greatest value is about 644, whatever more comes.
    pub log_e: f64,
    /// The same if every bad request counted as one of its own: what the guard holds back.
    pub log_e_unguarded: f64,
    /// The greatest evidence so far; `exp(-log_e_max)`, at most 1, is a p-value at any time.
    pub log_e_max: f64,
    /// The smallest ratio of the shares of bad requests that would likely have been found by now.
    pub smallest_ratio: Option<f64>,
    /// The upper bound of the ratio, with confidence 1 − α.
    pub ratio_at_most: Option<f64>,
    /// All requests the canary served, warm-up included.
    pub canary_n: u64,
    /// The bad ones among them: what the rollout has cost so far.
    pub canary_bad: u64,
    /// All requests the baseline served since the canary's first.
    pub baseline_n: u64,
    /// The bad ones among them.
    pub baseline_bad: u64,
    /// The grounds in one plain sentence.
    pub reason: String,
}
