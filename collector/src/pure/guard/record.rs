//! What the guard has journalled (`collector/ROLLOUTS.md`). Its state is the fold of these records.

pub(in crate::pure) mod bytes;

use std::sync::Arc;

use bellwether_model::label::LabelSet;
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::signal::{Answer, Kind};
use bellwether_model::time::Timestamp;
use bellwether_rules::record::Hash;
use bellwether_rules::service::{Mode, Risk, Strategy};
use bellwether_rules::verdict::{Arm, Outcome, Verdict};

use super::lane::state::LaneKey;

/// One change of the guard's state.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A rollout is watched from now on.
    Announced(Arc<Announced>),
    /// Seconds are judged, in order.
    Judged {
        /// Of which rollout.
        rollout: Arc<str>,
        /// Strata seen for the first time; their numbers go on from the last one's.
        strata: Vec<String>,
        /// The seconds.
        seconds: Vec<Second>,
    },
    /// Somebody says something of a rollout.
    Said {
        /// Of which rollout.
        rollout: Arc<str>,
        /// What.
        word: Word,
        /// The principal.
        by: String,
        /// In their words.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// A verdict is drawn, and its record sealed.
    Decided {
        /// Of which rollout.
        rollout: Arc<str>,
        /// By which SLI.
        sli: Arc<str>,
        /// What.
        verdict: Verdict,
        /// The grounds, as the record has them.
        grounds: Arc<Outcome>,
        /// The hash of the sealed record.
        record: Hash,
        /// When.
        at: Timestamp,
    },
    /// A hook is to be asked something.
    Intended(Arc<Intent>),
    /// It is asked.
    Attempt {
        /// The signal's number.
        signal: u64,
        /// Which attempt, from 1. A poll of a runner that holds the signal is none.
        attempt: u32,
        /// When.
        at: Timestamp,
    },
    /// A hook has answered.
    Answered {
        /// The signal's number.
        signal: u64,
        /// What.
        answer: Answer,
        /// When.
        at: Timestamp,
    },
    /// What was asked for is seen.
    Observed {
        /// The signal's number.
        signal: u64,
        /// By what.
        by: Sighting,
        /// When.
        at: Timestamp,
    },
    /// A signal is over.
    Closed {
        /// The signal's number.
        signal: u64,
        /// How.
        outcome: Close,
        /// Why, in words; nothing where the outcome says it.
        detail: String,
        /// When.
        at: Timestamp,
    },
    /// A rollout is not watched any more.
    Ended {
        /// Which.
        rollout: Arc<str>,
        /// How.
        end: End,
        /// When.
        at: Timestamp,
    },
    /// The files of all decision records of a rollout that has ended are written: what they are
    /// made of is not needed any more.
    Kept {
        /// Of which rollout.
        rollout: Arc<str>,
    },
}

/// An announce with all that was settled by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Announced {
    /// The rollout, named by the announcer.
    pub rollout: Arc<str>,
    /// Its service.
    pub service: Arc<str>,
    /// Its environment.
    pub environment: Arc<str>,
    /// The version that serves.
    pub from: Arc<str>,
    /// The version that comes.
    pub to: Arc<str>,
    /// How it comes.
    pub strategy: Strategy,
    /// How much is at stake, the environment's floor being heeded.
    pub risk: Risk,
    /// What is done, the service's and the environment's being heeded.
    pub mode: Mode,
    /// The bound of false rollbacks, over all SLIs.
    pub alpha: f64,
    /// The share of requests that the canary is to get, where it was said.
    pub share: Option<f64>,
    /// How long it is watched after it is through, in milliseconds.
    pub watch_ms: u64,
    /// The hook that is asked, if one is named.
    pub hook: Option<Arc<str>>,
    /// What is counted.
    pub measured: Measured,
    /// Clauses of the canary's arm beside the version's.
    pub canary: Vec<Clause>,
    /// Clauses of the baseline's arm beside the version's.
    pub baseline: Vec<Clause>,
    /// Labels added to what people are told.
    pub labels: LabelSet,
    /// A page for whoever is told.
    pub runbook: Option<String>,
    /// It cannot be undone: never rolled back without a person.
    pub irreversible: bool,
    /// The announce's hash, by which a repetition is told from another one.
    pub digest: [u8; 32],
    /// Who announced it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What is counted, as the service's file said at the announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The label that tells versions apart.
    pub version_label: String,
    /// The label that requests are compared within.
    pub stratum_label: Option<String>,
    /// Clauses of the environment.
    pub environment: Vec<Clause>,
    /// The service's SLIs, by name.
    pub slis: Vec<MeasuredSli>,
    /// The most bad requests that come as one train; 0 if they fail alone.
    pub train_requests: u32,
}

/// One SLI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredSli {
    /// Its name.
    pub name: Arc<str>,
    /// All requests.
    pub total: Vec<Clause>,
    /// The bad ones, or the good ones.
    pub part: Vec<Clause>,
    /// Whether `part` are the good ones.
    pub is_good: bool,
}

/// A matcher as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// The label.
    pub name: String,
    /// How it is compared.
    pub op: MatchOp,
    /// With what.
    pub value: String,
}

/// One second of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Second {
    /// The second, since 1970.
    pub second: i64,
    /// What was seen of the canary.
    pub canary: Sight,
    /// What was seen of the baseline.
    pub baseline: Sight,
    /// Counts of each SLI (by its place among the service's, by name) and stratum; none where
    /// an arm was blind.
    pub counts: Vec<Count>,
}

/// Requests of both arms in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The SLI's place among the service's.
    pub sli: u16,
    /// The stratum.
    pub stratum: u16,
    /// The new version's.
    pub canary: Arm,
    /// The old version's.
    pub baseline: Arm,
}

/// What was seen of an arm in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// It has no series yet, or none any more.
    None,
    /// None of its targets was read.
    Blind,
    /// Its targets were read and found gone.
    Dead,
    /// It was read, all of it or a part; it may have had no request.
    Seen,
}

/// What a person or a pipeline says of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is through; the watch goes on.
    Finish,
    /// It is over; nothing is sent any more.
    Abort,
    /// What is frozen may be rolled back.
    Confirm,
}

/// A signal with all that sending it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Rises by one with each signal of this collector.
    pub number: u64,
    /// Which rollout.
    pub rollout: Arc<str>,
    /// Its service.
    pub service: Arc<str>,
    /// Its environment; with the service, its lane.
    pub environment: Arc<str>,
    /// Rises by one with each signal of the lane.
    pub generation: u64,
    /// Identity of the wish: 64 hexadecimal digits.
    pub key: Arc<str>,
    /// What is asked.
    pub kind: Kind,
    /// The version that must not serve.
    pub from: Arc<str>,
    /// The version that is to serve.
    pub to: Arc<str>,
    /// Which hook is asked; empty where the service has none.
    pub hook: Arc<str>,
    /// What is sent.
    pub body: Arc<[u8]>,
    /// When it was intended.
    pub at: Timestamp,
    /// When it is given up.
    pub deadline: Timestamp,
}

/// By what it was seen that the old version serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// The hook says so.
    Hook,
    /// The request series do.
    Series,
}

/// How a signal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Close {
    /// What was asked for was seen.
    Restored,
    /// The hook did not do it: another version served, or it is forbidden.
    Refused,
    /// The hook tried and failed, or nobody knows.
    Failed,
    /// Nothing was seen by the deadline.
    Expired,
    /// A person took it back, its rollout was aborted, or a rollback has taken the place of a hold.
    Withdrawn,
}

impl Close {
    /// A word for metrics and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Close::Restored => "restored",
            Close::Refused => "refused",
            Close::Failed => "failed",
            Close::Expired => "expired",
            Close::Withdrawn => "withdrawn",
        }
    }
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Its watch is over, and it did not fail.
    Watched,
    /// It failed, and what followed is over.
    Failed,
    /// It was aborted.
    Aborted,
    /// It was never finished, for a day.
    Forgotten,
}

impl From<&Matcher> for Clause {
    fn from(matcher: &Matcher) -> Clause {
        let (name, value) = (matcher.name().to_owned(), matcher.value().to_owned());
        Clause { name, op: matcher.op(), value }
    }
}

impl Announced {
    /// The lane of its signals.
    #[must_use]
    pub fn lane(&self) -> LaneKey {
        let (service, environment) = (Arc::clone(&self.service), Arc::clone(&self.environment));
        LaneKey { service, environment }
    }
}

impl Clause {
    /// The matcher; `None` if another version wrote a pattern that this one cannot read.
    #[must_use]
    pub fn matcher(&self) -> Option<Matcher> {
        Matcher::new(&self.name, self.op, &self.value).ok()
    }
}

impl Second {
    /// Leaves the canary out: what its version did before it was announced is not this rollout's.
    pub(super) fn keep_baseline(&mut self) {
        self.canary = Sight::None;
        self.counts.iter_mut().for_each(|count| count.canary = Arm::default());
    }
}
