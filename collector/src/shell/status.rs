//! The status line of `up`: what is read each second, and how it is shown.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bellwether_model::time::Mono;

use super::serve::Watch;

/// Readings a rate is taken over: frames come once a second, so that from one reading to the next
/// there is sometimes none and sometimes two.
const WINDOW: usize = 6;

/// What was read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub at: Mono,
    /// Hosts that live.
    pub hosts: usize,
    /// Series in the store.
    pub series: usize,
    /// Samples taken since the start of the collector, those of its journal included.
    pub samples: u64,
    /// How far the last host that lives is behind; `None` if none lives.
    pub lag: Option<Duration>,
    /// What was lost and is known: frames declared as never to come, frames that damage has taken,
    /// and samples that the store dropped.
    pub lost: u64,
}

/// Reads a collector; `None` if its keeper has no time to answer.
pub async fn reading(watch: &Watch) -> Option<Reading> {
    let hosts = watch.keeper.hosts().await.ok()?;
    let up = || hosts.iter().filter(|host| host.state == "up");
    let lag = up().map(|host| host.lag_ms.max(0).unsigned_abs()).max();
    let (kept, _) = watch.keeper.stats();
    let stored = watch.store.stats();
    let dropped = stored.samples_refused + stored.samples_out_of_order + stored.samples_evicted;
    Some(Reading {
        at: watch.clock.now().mono,
        hosts: up().count(),
        series: stored.series,
        samples: stored.samples_appended,
        lag: lag.map(Duration::from_millis),
        lost: kept.skipped.values().sum::<u64>() + kept.lost_frames + dropped,
    })
}

/// What became of the agent that runs beside the collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentState {
    /// It runs, for the first time.
    #[default]
    Running,
    /// It runs, after so many new starts.
    Restarted(u32),
    /// It has ended and is started again at this time.
    Waiting(Mono),
}

/// The readings that a status line shows.
#[derive(Clone, Debug, Default)]
pub struct Status {
    readings: VecDeque<Reading>,
}

impl Status {
    /// Takes a reading.
    pub fn take(&mut self, reading: Reading) {
        if self.readings.len() == WINDOW {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
    }

    /// The line; `None` before the first reading.
    #[must_use]
    pub fn line(&self, agent: AgentState) -> Option<String> {
        let (first, last) = (self.readings.front()?, self.readings.back()?);
        let lag = last.lag.map_or_else(|| "-".to_owned(), |lag| format!("{} s", Seconds(lag)));
        let mut line = format!(
            "hosts {}  series {}  samples/s {}  lag {lag}  lost {}",
            last.hosts,
            last.series,
            rate(first, last),
            last.lost
        );
        match agent {
            AgentState::Running => {}
            AgentState::Restarted(times) => line += &format!("  agent restarted {times}x"),
            AgentState::Waiting(until) => {
                let rest = Seconds(until.since(last.at));
                line += &format!("  agent down, starts in {rest} s");
            }
        }
        Some(line)
    }
}

/// Samples a second between two readings, rounded.
fn rate(first: &Reading, last: &Reading) -> u128 {
    let millis = last.at.since(first.at).as_millis();
    let samples = u128::from(last.samples.saturating_sub(first.samples));
    (samples * 1000 + millis / 2).checked_div(millis).unwrap_or(0)
}

/// The last line of `up`: from the first reading to the last.
#[must_use]
pub fn summary(first: &Reading, last: &Reading) -> String {
    format!(
        "ran {} s, took {} samples of {} series, lost {}",
        last.at.since(first.at).as_secs(),
        last.samples.saturating_sub(first.samples),
        last.series,
        last.lost
    )
}

/// Tenths of seconds.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0.as_millis() + 50) / 100;
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, samples: u64) -> Reading {
        Reading {
            at: Mono(Duration::from_secs(seconds)),
            hosts: 1,
            series: 812,
            samples,
            lag: Some(Duration::from_millis(640)),
            lost: 0,
        }
    }

    #[test]
    fn the_line_shows_the_rate_of_the_last_seconds() {
        let mut status = Status::default();
        assert_eq!(status.line(AgentState::Running), None);
        status.take(at(100, 1_000_000));
        let line = |status: &Status| status.line(AgentState::Running).unwrap();
        assert_eq!(line(&status), "hosts 1  series 812  samples/s 0  lag 0.6 s  lost 0");
        // Of two frames in one second and none in the next remains the mean.
        for (second, frames) in [(101, 1), (102, 3), (103, 3), (104, 4), (105, 5)] {
            status.take(at(second, 1_000_000 + frames * 812));
        }
        assert_eq!(line(&status), "hosts 1  series 812  samples/s 812  lag 0.6 s  lost 0");
        for second in 106..=110 {
            status.take(at(second, 1_000_000 + 5 * 812));
        }
        let nobody = Reading { hosts: 0, lag: None, lost: 7, ..at(111, 1_000_000 + 5 * 812) };
        status.take(nobody);
        assert_eq!(line(&status), "hosts 0  series 812  samples/s 0  lag -  lost 7");
    }

    #[test]
    fn the_line_says_what_became_of_the_agent() {
        let mut status = Status::default();
        status.take(at(1, 0));
        let line = status.line(AgentState::Restarted(2)).unwrap();
        assert!(line.ends_with("  lost 0  agent restarted 2x"), "{line}");
        let until = Mono(Duration::from_millis(2500));
        let line = status.line(AgentState::Waiting(until)).unwrap();
        assert!(line.ends_with("  lost 0  agent down, starts in 1.5 s"), "{line}");
    }

    #[test]
    fn the_summary_counts_from_the_first_reading() {
        let text = summary(&at(100, 5000), &at(120, 21_240));
        assert_eq!(text, "ran 20 s, took 16240 samples of 812 series, lost 0");
    }
}
