//! Waiting for a condition by asking again, with growing pauses and a deadline.

use std::thread;
use std::time::Duration;

use bellwether_model::time::Mono;
use bellwether_platform::clock::Clock;

const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Asks until there is an answer; `None` after `limit`. It asks at least once, and once more at the
/// deadline.
pub fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let clock = Clock::collector();
    let deadline = clock.now().mono + limit;
    let mut pause = PAUSE_FIRST;
    loop {
        let late = clock.now().mono >= deadline;
        let answer = ask();
        if answer.is_some() || late {
            return answer;
        }
        thread::park_timeout(pause.min(left(&clock, deadline)));
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

/// [`within`], for what must come.
///
/// # Panics
/// If `limit` passes first, with `what`.
pub fn until<T>(what: &str, limit: Duration, ask: impl FnMut() -> Option<T>) -> T {
    within(limit, ask).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

/// Time until `deadline`, zero when it has passed.
pub(super) fn left(clock: &Clock, deadline: Mono) -> Duration {
    deadline.since(clock.now().mono)
}
