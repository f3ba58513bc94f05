//! What is not counted, and why.

/// What one reading, or many, left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Samples of seconds that were closed.
    pub late: u64,
    /// Samples that are not after the newest one of their series.
    pub disordered: u64,
    /// Samples whose interval is too long: nobody knows its seconds.
    pub intervals: u64,
    /// Samples that are stamped more than a minute ahead.
    pub ahead: u64,
    /// Samples that are no count: negative, not a number, or above 2⁵³.
    pub unreadable: u64,
    /// Series over the bound of an arm.
    pub refused: u64,
    /// Counts of a second that cannot be (more bad requests than requests, or more than a judge
    /// takes) and were lowered.
    pub clamped: u64,
    /// Requests of one arm in seconds that are not judged, for want of the other arm.
    pub unpaired: u64,
    /// Seconds that were too old when they were first read.
    pub skipped: u64,
}

impl Dropped {
    /// Each count with its reason.
    #[must_use]
    pub fn reasons(&self) -> [(&'static str, u64); 9] {
        [
            ("late", self.late),
            ("disordered", self.disordered),
            ("intervals", self.intervals),
            ("ahead", self.ahead),
            ("unreadable", self.unreadable),
            ("refused", self.refused),
            ("clamped", self.clamped),
            ("unpaired", self.unpaired),
            ("skipped", self.skipped),
        ]
    }

    /// Adds what another reading left out.
    pub fn add(&mut self, other: &Dropped) {
        self.late += other.late;
        self.disordered += other.disordered;
        self.intervals += other.intervals;
        self.ahead += other.ahead;
        self.unreadable += other.unreadable;
        self.refused += other.refused;
        self.clamped += other.clamped;
        self.unpaired += other.unpaired;
        self.skipped += other.skipped;
    }
}
