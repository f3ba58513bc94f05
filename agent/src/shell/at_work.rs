//! Which input the sampler is at, and since when: what it cannot say itself while a reading hangs.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_model::time::Mono;
use bellwether_platform::clock::Clock;
use tracing::{info, warn};

/// An input that takes longer hangs.
const HANGS_AFTER: Duration = Duration::from_secs(10);
/// From one look to the next.
const LOOK: Duration = Duration::from_secs(1);

/// What the sampler is at.
#[derive(Debug, Default)]
pub struct AtWork(Mutex<Option<(&'static str, Mono)>>);

impl AtWork {
    fn held(&self) -> MutexGuard<'_, Option<(&'static str, Mono)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An input begins.
    pub fn begin(&self, input: &'static str, now: Mono) {
        *self.held() = Some((input, now));
    }

    /// It has ended.
    pub fn end(&self) {
        *self.held() = None;
    }

    /// The input that is being collected.
    #[must_use]
    pub fn input(&self) -> Option<&'static str> {
        self.held().map(|(input, _)| input)
    }

    /// The input that hangs, and for how long it has.
    #[must_use]
    pub fn hanging(&self, now: Mono) -> Option<(&'static str, Duration)> {
        let (input, since) = (*self.held())?;
        Some((input, now.since(since))).filter(|(_, time)| *time > HANGS_AFTER)
    }

    /// Logs which input hangs, and that it goes on, for ever.
    pub async fn tell(&self, clock: &Clock) -> Infallible {
        let mut told = None;
        loop {
            let hanging = self.hanging(clock.now().mono).map(|(input, _)| input);
            if hanging != told {
                told.into_iter().for_each(|input| info!(input, "input goes on"));
                hanging.into_iter().for_each(|input| warn!(input, "input hangs; rows wait for it"));
                told = hanging;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_hangs_after_a_while() {
        let at = |seconds| Mono(Duration::from_secs(seconds));
        let work = AtWork::default();
        work.begin("cpu", at(1));
        assert_eq!((work.input(), work.hanging(at(11))), (Some("cpu"), None));
        assert_eq!(work.hanging(at(12)), Some(("cpu", Duration::from_secs(11))));
        work.begin("loadavg", at(12));
        assert_eq!((work.input(), work.hanging(at(20))), (Some("loadavg"), None));
        work.end();
        assert_eq!((work.input(), work.hanging(at(99))), (None, None));
    }
}
