//! How shipping stands, for `status`.

use std::collections::BTreeMap;

use bellwether_model::time::Timestamp;
use bellwether_model::wire::answer::Answer;
use serde::{Deserialize, Serialize};

use super::client::{Answered, SendError};
use super::{Lane, Ship};
use crate::pure::account::{Count, Tally};
use crate::pure::ship::Standing;

/// Frames, and the samples in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Frames.
    pub frames: u64,
    /// Samples.
    pub samples: u64,
}

/// A range of numbers that will never come, declared and not yet passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// The first, as incarnation:n.
    pub first: String,
    /// The last.
    pub last: String,
    /// Why.
    pub reason: String,
}

/// One collector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollectorReport {
    /// Its URL.
    pub url: String,
    /// `unknown`, `connected`, `retrying` or `refused`.
    pub state: String,
    /// What the last attempt failed with; none if it went well.
    pub last_error: Option<String>,
    /// The last acknowledged frame, as incarnation:n.
    pub acked_seq: String,
    /// All that was collected for it.
    pub owed: Counted,
    /// What it has acknowledged.
    pub acked: Counted,
    /// What it had acknowledged and lost, and is sent again.
    pub returned: Counted,
    /// What waits in the spool.
    pub held: Counted,
    /// What it will never get, by reason.
    pub dropped: BTreeMap<String, Counted>,
    /// What is declared to it and not yet passed.
    pub declared: Vec<Declared>,
    /// Columns that it did not take since the start, by reason, each time it said so; `unnamed` are
    /// those of an answer beyond the 64 that it names.
    #[serde(default)]
    pub columns_refused: BTreeMap<String, u64>,
    /// Age of the oldest frame that it has not acknowledged.
    pub oldest_unacked_seconds: Option<f64>,
}

/// Spool, clock and collectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShipReport {
    /// The agent's id.
    pub agent: String,
    /// Which run of it this is.
    pub incarnation: u32,
    /// Collected since the spool was made.
    pub collected: Counted,
    /// Of these, written to the spool.
    pub spooled: Counted,
    /// Bytes of the spool's files.
    pub spool_bytes: u64,
    /// Bytes of frames that it may hold.
    pub spool_bytes_max: u64,
    /// Age of the oldest frame that it may hold.
    pub spool_age_max_seconds: u64,
    /// Segments held.
    pub spool_segments: usize,
    /// How far the agent's clock is ahead of the host's date.
    pub clock_ahead_seconds: f64,
    /// By collector.
    pub collectors: Vec<CollectorReport>,
}

impl From<Count> for Counted {
    fn from(count: Count) -> Counted {
        Counted { frames: count.frames, samples: count.samples }
    }
}

impl Ship {
    /// How it stands.
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub(super) fn report(&self) -> ShipReport {
        let spool = self.drive.spool();
        let now = self.clock.now().wall;
        ShipReport {
            agent: spool.agent().to_string(),
            incarnation: spool.origin().incarnation.0,
            collected: spool.account().collected.into(),
            spooled: spool.account().spooled.into(),
            spool_bytes: spool.bytes(),
            spool_bytes_max: spool.bounds().bytes_max,
            spool_age_max_seconds: spool.bounds().age_max.as_secs(),
            spool_segments: spool.backlog().segments().count(),
            clock_ahead_seconds: self.clock.stats().ahead_of_system_nanos as f64 / 1e9,
            collectors: self.lanes.iter().map(|lane| self.collector(lane, now)).collect(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn collector(&self, lane: &Lane, now: Timestamp) -> CollectorReport {
        let spool = self.drive.spool();
        let (cursor, skips) = spool.cursor(&lane.plan.url);
        let unknown = Tally::default();
        let tally = spool.account().collectors.get(&lane.plan.url).unwrap_or(&unknown);
        let dropped = tally.dropped().map(|(why, count)| (why.as_str().to_owned(), count.into()));
        let refused = lane.columns_refused.iter().map(|(why, count)| ((*why).to_owned(), *count));
        let oldest = spool.backlog().oldest_unacked(cursor, &skips);
        CollectorReport {
            url: lane.plan.url.clone(),
            state: match lane.standing {
                Standing::Unknown => "unknown",
                Standing::Connected => "connected",
                Standing::Retrying => "retrying",
                Standing::Refused(_) => "refused",
            }
            .to_owned(),
            last_error: lane.last_error.clone(),
            acked_seq: cursor.to_string(),
            owed: tally.owed.into(),
            acked: tally.acked.into(),
            returned: tally.returned.into(),
            held: spool.held(&lane.plan.url).into(),
            dropped: dropped.collect(),
            declared: skips
                .iter()
                .map(|skip| Declared {
                    first: skip.first.to_string(),
                    last: skip.last.to_string(),
                    reason: skip.reason.as_str().to_owned(),
                })
                .collect(),
            columns_refused: refused.collect(),
            oldest_unacked_seconds: oldest.map(|at| now.millis_since(at).max(0) as f64 / 1e3),
        }
    }
}

/// What an attempt failed with.
pub(super) fn problem(result: &Result<Answered, SendError>) -> Option<String> {
    match result {
        Ok(Answered { answer: Answer { case, text, .. }, .. }) if case.status() != 200 => {
            Some(format!("{}: {text}", case.as_str()))
        }
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}
