//! How often one agent may ask: so many requests a second, and twice as many at once.

use std::time::Duration;

use bellwether_model::time::Mono;

/// Requests ahead of their time: two seconds of them.
const BURST: Duration = Duration::from_secs(2);

/// The pace of one agent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When the requests taken so far would all have come at an even pace.
    even: Mono,
}

impl Pace {
    /// Whether a request is in time, at so many in a second; it counts only if so.
    pub fn admit(&mut self, now: Mono, per_second: u32) -> bool {
        let even = self.even.max(now);
        if even.since(now) > BURST {
            return false;
        }
        self.even = even + Duration::from_secs(1) / per_second.max(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_as_many_at_once_and_then_an_even_pace() {
        let mut pace = Pace::default();
        let at = |millis| Mono(Duration::from_millis(millis));
        let taken = |pace: &mut Pace, now| (0..1000).filter(|_| pace.admit(at(now), 100)).count();
        assert_eq!(taken(&mut pace, 5000), 201);
        assert_eq!(taken(&mut pace, 5000), 0);
        assert_eq!(taken(&mut pace, 5100), 10);
        assert_eq!(taken(&mut pace, 60_000), 201);
    }
}
