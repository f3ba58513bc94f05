//! The counts that are judged.

/// Requests of one arm in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arm {
    /// All requests.
    pub n: u64,
    /// The bad ones among them, at most `n`.
    pub bad: u64,
}

/// Both arms in one second, of one stratum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tick {
    /// The second, on any clock that only goes forward.
    pub second: i64,
    /// The stratum: a route, a host group, …; 0 where there is one, below [`Tick::STRATA_MAX`].
    pub stratum: u16,
    /// The new version.
    pub canary: Arm,
    /// The old version, serving at the same time.
    pub baseline: Arm,
}

impl Tick {
    /// How many strata a judge takes.
    pub const STRATA_MAX: u16 = 256;
    /// The most requests of one arm in one second, so that every count is exact as a float.
    pub const REQUESTS_MAX: u64 = 1 << 32;
}

/// Counts that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TickError {
    /// More bad requests than requests.
    #[error("second {second}, {arm}: {bad} bad requests of {n}")]
    MoreBadThanAll {
        /// The second.
        second: i64,
        /// `canary` or `baseline`.
        arm: &'static str,
        /// Bad requests.
        bad: u64,
        /// All requests.
        n: u64,
    },
    /// More requests than [`Tick::REQUESTS_MAX`].
    #[error("second {second}, {arm}: {n} requests are more than a judge can count")]
    TooMany {
        /// The second.
        second: i64,
        /// `canary` or `baseline`.
        arm: &'static str,
        /// All requests.
        n: u64,
    },
    /// A stratum of [`Tick::STRATA_MAX`] or above.
    #[error("second {second}: stratum {stratum}, but a judge takes 256")]
    Stratum {
        /// The second.
        second: i64,
        /// The stratum.
        stratum: u16,
    },
    /// A second that is not after the last one, or differs from the others of its step.
    #[error("second {second} does not follow second {after}")]
    Order {
        /// The second.
        second: i64,
        /// The one it was to follow or to equal.
        after: i64,
    },
}

impl Arm {
    pub(super) fn add(&mut self, other: Self) {
        self.n = self.n.saturating_add(other.n);
        self.bad = self.bad.saturating_add(other.bad);
    }
}

impl Tick {
    /// Checks the counts on their own.
    ///
    /// # Errors
    ///
    /// Names the second and the arm.
    pub fn check(&self) -> Result<(), TickError> {
        let second = self.second;
        if self.stratum >= Self::STRATA_MAX {
            return Err(TickError::Stratum { second, stratum: self.stratum });
        }
        for (arm, Arm { n, bad }) in [("canary", self.canary), ("baseline", self.baseline)] {
            if bad > n {
                return Err(TickError::MoreBadThanAll { second, arm, bad, n });
            }
            if n > Self::REQUESTS_MAX {
                return Err(TickError::TooMany { second, arm, n });
            }
        }
        Ok(())
    }
}
