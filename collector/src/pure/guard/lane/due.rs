//! When a signal is tried again.

use std::time::Duration;

use bellwether_model::signal::{Answer, Status};
use bellwether_model::time::Timestamp;

use super::super::super::notify::answer::spread;
use super::super::record::Intent;

/// From one attempt to the next, the first ones: users are being hurt.
const FIRST: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// The same, all others.
const THEN: Duration = Duration::from_secs(10);
/// A hook that has accepted a signal is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// No hook is waited for longer because it asks for that.
pub(super) const ASKED_MAX: Duration = Duration::from_secs(30);

/// What is not remembered over a restart of an open signal.
#[derive(Clone, Debug)]
pub(super) struct Away {
    /// When the last attempt was made, by this process's clock.
    pub(super) since: Timestamp,
    /// When the signal is given up, by the same.
    pub(super) until: Timestamp,
    /// The attempt on its way, and when its outcome should have come.
    pub(super) in_flight: Option<(u32, Timestamp)>,
    /// Attempts of this process that surely did not arrive.
    pub(super) missed: u32,
    /// The hook has asked that nothing comes before.
    pub(super) not_before: Option<Timestamp>,
    /// Why the last attempt had no answer.
    pub(super) failure: String,
}

impl Away {
    /// Of a signal that is made now, or found after a start. A clock that was set back moves what
    /// counts: nothing is open for longer than it was meant to be.
    pub(super) fn new(intent: &Intent, tried_at: Option<Timestamp>, now: Timestamp) -> Away {
        let span = intent.deadline.millis_since(intent.at).max(0).unsigned_abs();
        let most = now.saturating_add(Duration::from_millis(span));
        Away {
            since: tried_at.map_or(now, |at| at.min(now)),
            until: intent.deadline.min(most),
            in_flight: None,
            missed: 0,
            not_before: None,
            failure: String::new(),
        }
    }

    /// When a webhook is to be called; nothing while it is being called, or has done it.
    pub(super) fn due(&self, key: &str, tries: u32, answer: Option<&Answer>) -> Option<Timestamp> {
        if self.in_flight.is_some() {
            return None;
        }
        let pause = match answer.map(|answer| answer.status) {
            Some(Status::Done | Status::AlreadyDone) => return None,
            Some(Status::Accepted) => ASK_AGAIN,
            _ => backoff(key, tries),
        };
        Some(self.since.saturating_add(pause).max(self.not_before.unwrap_or(Timestamp::MIN)))
    }
}

/// From an attempt to the next; nothing before the first.
fn backoff(key: &str, tries: u32) -> Duration {
    let Some(before) = tries.checked_sub(1) else { return Duration::ZERO };
    let step = usize::try_from(before).ok().and_then(|step| FIRST.get(step));
    spread(key, tries, step.copied().unwrap_or(THEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_follow_the_steps_within_a_quarter() {
        for (tries, millis) in [(1, 200), (2, 500), (3, 1000), (4, 2000), (5, 5000), (6, 10_000)] {
            let waits: Vec<u128> =
                (0..50).map(|n| backoff(&format!("{n:064x}"), tries).as_millis()).collect();
            let range = millis * 3 / 4..=millis * 5 / 4;
            assert!(waits.iter().all(|wait| range.contains(wait)), "{tries}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "{tries}");
        }
        assert_eq!(backoff("a", 0), Duration::ZERO);
        assert!(backoff("a", u32::MAX) <= THEN * 5 / 4);
    }
}
