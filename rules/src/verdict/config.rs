//! What a judge is told before it sees a request.

use super::VERSION;

/// How a rollout is judged. Everything that decides beside the counts is in here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// The version of the algorithm, 1 to [`VERSION`].
    pub version: u32,
    /// The bound of the probability that a healthy canary is ever failed, 1e-100 to 0.5.
    pub alpha: f64,
    /// The tolerated ratio of the canary's share of bad requests to the baseline's, 1 to 100.
    pub rho: f64,
    /// A canary passes once its ratio is shown to be at most `rho · (1 + delta)`; in (0, 100].
    pub delta: f64,
    /// Seconds at the start of the rollout whose counts are shown but not judged.
    pub warm_up_seconds: u32,
    /// The share of all requests that the canary is meant to get, in (0, 1), where it is known:
    /// a share that cannot be that is then a sample-ratio mismatch.
    pub share: Option<f64>,
    /// What is taken for granted about bad requests that come together.
    pub guard: Guard,
}

impl Default for Config {
    /// α = 0.001, ratios up to 1.2 tolerated, passes at 2.4, guarded, no warm-up.
    fn default() -> Self {
        Self {
            version: VERSION,
            alpha: 0.001,
            rho: 1.2,
            delta: 1.0,
            warm_up_seconds: 0,
            share: None,
            guard: Guard::default(),
        }
    }
}

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// Names the first value that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let within = |field, value: f64, above: f64, most: f64| {
            if value > above && value <= most {
                Ok(())
            } else {
                Err(ConfigError::Range { field, value })
            }
        };
        if self.version == 0 || self.version > VERSION {
            return Err(ConfigError::Version { version: self.version });
        }
        within("alpha", self.alpha, 0.999_999e-100, 0.5)?;
        within("rho", self.rho, 0.999_999, 100.0)?;
        within("delta", self.delta, 0.0, 100.0)?;
        if let Some(share) = self.share {
            within("share", share, 0.0, 0.999_999)?;
        }
        self.guard.check()
    }
}

/// The guard against bad requests that come in trains (retries of one client, one bad host).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// The most bad requests that one train can hold, 0 to 1,000; 0 turns the guard off.
    pub train_requests: u32,
    /// The longest time from the first to the last request of a train, in seconds, 1 to 60.
    pub train_seconds: u32,
    /// Seconds from the start of the rollout in which no train is left out, 0 to 60. Each makes the
    /// verdict on a deploy that is bad from its first second faster, at the price of a false
    /// rollback where a train meets the canary in them.
    pub opening_seconds: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self { train_requests: 20, train_seconds: 15, opening_seconds: 0 }
    }
}

impl Guard {
    /// No guard: every bad request counts as one of its own.
    pub const OFF: Self = Self { train_requests: 0, train_seconds: 1, opening_seconds: 0 };

    /// Whether trains are guarded against at all.
    pub fn is_on(&self) -> bool {
        self.train_requests > 0
    }

    fn check(self) -> Result<(), ConfigError> {
        let within = |field, value: u32, least: u32, most: u32| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::Range { field, value: f64::from(value) })
            }
        };
        within("guard.train_requests", self.train_requests, 0, 1_000)?;
        within("guard.train_seconds", self.train_seconds, 1, 60)?;
        within("guard.opening_seconds", self.opening_seconds, 0, 60)
    }
}

/// A configuration that cannot be judged by.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The version is not one of this program's.
    #[error("version {version} of the verdict is unknown here, the newest is {VERSION}")]
    Version {
        /// The version asked for.
        version: u32,
    },
    /// A value is out of its range, or not a number.
    #[error("{field}: {value} is out of range")]
    Range {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: f64,
    },
}
