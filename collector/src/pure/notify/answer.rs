//! What an outcome means, and when a notification is tried again.

use std::time::Duration;

use bellwether_model::hash::fnv1a;
use bellwether_model::time::{Timestamp, http_date};

use super::plan::ReceiverPlan;
use super::record::{Intent, Outcome, RetryAfter, Verdict};

/// Before the second attempt; a page waits for it.
const FIRST: Duration = Duration::from_millis(200);
/// Between attempts at most.
const LONGEST: Duration = Duration::from_secs(30);

/// What follows from the outcome of an attempt, known `now`.
///
/// 2xx is a delivery. 408, 425, 429, redirects, 5xx and whatever is no answer are tried again;
/// other 4xx are final. 410 pauses the receiver until its time of repeating, or a reload.
#[must_use]
pub(super) fn verdict(
    outcome: &Outcome,
    plan: &ReceiverPlan,
    intent: &Intent,
    attempt: u32,
    now: Timestamp,
) -> Verdict {
    let backoff = now.saturating_add(backoff(&intent.id, attempt));
    let (status, retry_after) = match outcome {
        Outcome::Answered { status, retry_after, .. } => (*status, *retry_after),
        Outcome::Failed { .. } => return Verdict::Retry { at: backoff },
    };
    match status {
        200..=299 => Verdict::Delivered,
        410 => Verdict::Gone { until: now.saturating_add(plan.repeat_interval) },
        400..=499 if !matches!(status, 408 | 425 | 429) => Verdict::Final,
        _ => {
            let most = now.saturating_add(plan.deadline);
            let asked = retry_after.map(|asked| asked.time(now).min(most));
            Verdict::Retry { at: asked.map_or(backoff, |asked| asked.max(backoff)) }
        }
    }
}

/// From an attempt to the next: 200 ms, twice as long each time, 30 s at most, all times a factor
/// in 0.75..1.25 that the id and the attempt give.
#[must_use]
pub(super) fn backoff(id: &str, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    spread(id, attempt, FIRST.saturating_mul(1 << doublings).min(LONGEST))
}

/// A time by a factor in 0.75..1.25 that the id and the attempt give.
#[must_use]
pub(in crate::pure) fn spread(id: &str, attempt: u32, base: Duration) -> Duration {
    let drawn = fnv1a(id.bytes().chain(attempt.to_le_bytes()));
    // The upper bits of FNV are the better ones.
    let percent = 75 + u32::try_from(drawn >> 33).unwrap_or(0) % 51;
    base * percent / 100
}

impl RetryAfter {
    /// Reads the header: seconds or a date.
    #[must_use]
    pub fn parse(text: &str) -> Option<RetryAfter> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Some(RetryAfter::Seconds(text.parse().unwrap_or(u32::MAX)));
        }
        http_date(text).map(RetryAfter::At)
    }

    /// When it is to be tried again, if the answer came `now`.
    #[must_use]
    pub fn time(self, now: Timestamp) -> Timestamp {
        match self {
            RetryAfter::Seconds(seconds) => now.saturating_add(Duration::from_secs(seconds.into())),
            RetryAfter::At(at) => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(RetryAfter::parse(" 120 "), Some(RetryAfter::Seconds(120)));
        assert_eq!(RetryAfter::parse("99999999999"), Some(RetryAfter::Seconds(u32::MAX)));
        let date = RetryAfter::At(Timestamp(784_111_777_000));
        assert_eq!(RetryAfter::parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(date));
        for bad in ["", "-1", "soon", "1.5", "Sun, 06 Nov 1994 08:49:37 CET", "06 Nov 1994"] {
            assert_eq!(RetryAfter::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn attempts_are_made_ever_later_and_never_all_at_once() {
        for attempt in 1..100 {
            let doubled = FIRST.saturating_mul(1 << (attempt - 1).min(16));
            let base = doubled.min(LONGEST);
            let waits: Vec<Duration> =
                (0..50).map(|n| backoff(&format!("msg_{n}"), attempt)).collect();
            assert!(waits.iter().all(|w| *w >= base * 3 / 4 && *w <= base * 5 / 4));
            let spread = waits.iter().collect::<std::collections::BTreeSet<_>>();
            assert!(spread.len() > 20, "{} of attempt {attempt}", spread.len());
            assert_eq!(backoff("msg_1", attempt), backoff("msg_1", attempt));
        }
    }
}
