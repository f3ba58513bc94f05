//! What the notifier has journaled. The state is the fold of these records.

pub(in crate::pure) mod bytes;

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;

/// One change of the notifier's state.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A receiver is to be told something. An open notification of the same group gives way.
    Intent(Arc<Intent>),
    /// It is sent.
    Attempt {
        /// The notification's number.
        number: u64,
        /// Which attempt, from 1.
        attempt: u32,
        /// When.
        at: Timestamp,
    },
    /// What became of the attempt.
    Result {
        /// The notification's number.
        number: u64,
        /// Which attempt.
        attempt: u32,
        /// When that was known.
        at: Timestamp,
        /// What came back.
        outcome: Outcome,
        /// What follows from it.
        verdict: Verdict,
    },
    /// A notification is not tried any more.
    GaveUp {
        /// The notification's number.
        number: u64,
        /// When.
        at: Timestamp,
        /// Why.
        reason: GiveUp,
    },
    /// A group has nothing more to tell.
    Settled {
        /// Whose.
        receiver: Arc<str>,
        /// Which group.
        group: LabelSet,
        /// When.
        at: Timestamp,
        /// Alerts that fired, are over, and of which the receiver was never told.
        untold: u32,
    },
    /// A receiver is not configured any more; its open notifications end.
    ReceiverGone {
        /// Which.
        receiver: Arc<str>,
        /// When.
        at: Timestamp,
    },
    /// A receiver that had said it is gone is tried again.
    ReceiverBack {
        /// Which.
        receiver: Arc<str>,
    },
    /// The clock was found behind the state; no time in it is later than this any more.
    ClockBack {
        /// The clock.
        at: Timestamp,
    },
}

/// A notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Rises by one with each notification of this store.
    pub number: u64,
    /// What receivers know it by, the same at each attempt.
    pub id: String,
    /// Its receiver.
    pub receiver: Arc<str>,
    /// The labels of its alert group.
    pub group: LabelSet,
    /// When it was decided.
    pub at: Timestamp,
    /// When it is given up.
    pub deadline: Timestamp,
    /// Why now.
    pub reason: Why,
    /// What is sent.
    pub body: Arc<[u8]>,
    /// Alerts of the group that the body has no room for.
    pub truncated: u32,
    /// What it tells, by fingerprint.
    pub alerts: BTreeMap<u64, ToldAlert>,
}

/// An alert as a notification tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldAlert {
    /// Since when it fires.
    pub starts_at: Timestamp,
    /// When it was resolved.
    pub ends_at: Option<Timestamp>,
    /// What else is told of it; not of alerts that the body has no room for.
    pub detail: Option<Arc<Detail>>,
}

/// What does not change of an alert once it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// With external labels.
    pub labels: LabelSet,
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
    /// A page that shows the expression.
    pub generator_url: String,
}

/// Why a notification is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Alerts fire that the receiver does not know of.
    Firing,
    /// Alerts are resolved.
    Resolved,
    /// Nothing is new, and the time of repeating has come.
    Repeat,
}

impl Why {
    /// A word for metrics and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Firing => "firing",
            Why::Resolved => "resolved",
            Why::Repeat => "repeat",
        }
    }
}

impl GiveUp {
    /// A word for metrics and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GiveUp::Deadline => "deadline",
            GiveUp::Refused => "refused",
            GiveUp::Gone => "gone",
            GiveUp::Removed => "removed",
            GiveUp::Outdated => "outdated",
        }
    }
}

/// Why a notification is not tried any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// Its time is over.
    Deadline,
    /// The receiver refuses it.
    Refused,
    /// The receiver says that it is gone for good.
    Gone,
    /// The receiver is not configured any more.
    Removed,
    /// Nothing of what it tells is so any more, and its group has nothing else to tell.
    Outdated,
}

/// What follows from an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered,
    /// It is tried again, not before this time.
    Retry {
        /// When.
        at: Timestamp,
    },
    /// Trying again is of no use.
    Final,
    /// The receiver is gone: nothing is sent to it until then.
    Gone {
        /// When it is tried again.
        until: Timestamp,
    },
}

/// What came back from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Answered {
        /// Its status.
        status: u16,
        /// Its header `Retry-After`.
        retry_after: Option<RetryAfter>,
        /// The beginning of its body, or where it redirects to; without secrets.
        text: String,
    },
    /// No answer.
    Failed {
        /// How.
        failure: Failure,
        /// In words, without secrets.
        reason: String,
    },
}

/// The header `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// So many seconds.
    Seconds(u32),
    /// A date.
    At(Timestamp),
}

/// How a delivery failed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// A file with a secret, a URL or a key cannot be used: nothing was sent.
    Unusable,
    /// No connection: nothing was sent.
    Unreachable,
    /// The time was over; it may have arrived.
    TimedOut,
    /// The connection broke; it may have arrived.
    Broken,
}

impl ToldAlert {
    /// What is enough to know it again; `None` if nothing is known but its fingerprint.
    pub(super) fn named(&self) -> Option<ToldAlert> {
        let labels = self.detail.as_ref()?.labels.clone();
        let (annotations, generator_url) = (BTreeMap::new(), String::new());
        let detail = Some(Arc::new(Detail { labels, annotations, generator_url }));
        Some(ToldAlert { detail, ..*self })
    }
}

/// Bytes of a reason or of an answer's body that are kept.
pub const TEXT_BYTES: usize = 256;

impl Outcome {
    /// A word for metrics: `unusable`, `unreachable`, `timeout`, `broken`, `redirect`,
    /// `rate_limited`, `client_error`, `server_error`, or `none`.
    #[must_use]
    pub fn failure(&self) -> &'static str {
        match self {
            Outcome::Answered { status, .. } => match status {
                200..=299 => "none",
                429 => "rate_limited",
                400..=499 => "client_error",
                100..=399 => "redirect",
                _ => "server_error",
            },
            Outcome::Failed { failure, .. } => match failure {
                Failure::Unusable => "unusable",
                Failure::Unreachable => "unreachable",
                Failure::TimedOut => "timeout",
                Failure::Broken => "broken",
            },
        }
    }

    /// An answer; the text is cut to what is kept.
    #[must_use]
    pub fn answered(status: u16, retry_after: Option<RetryAfter>, text: &str) -> Outcome {
        Outcome::Answered { status, retry_after, text: short(text) }
    }

    /// A failure; the reason is cut to what is kept.
    #[must_use]
    pub fn failed(failure: Failure, reason: &str) -> Outcome {
        Outcome::Failed { failure, reason: short(reason) }
    }

    /// Whether what was sent was taken.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Answered { status: 200..=299, .. })
    }

    /// Whether the receiver may have what was sent, though it did not confirm it.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        match self {
            // A server that fails may fail after it has done its work.
            Outcome::Answered { status, .. } => *status >= 500,
            Outcome::Failed { failure, .. } => {
                matches!(failure, Failure::TimedOut | Failure::Broken)
            }
        }
    }

    /// Whether the receiver says when it is to be asked again.
    #[must_use]
    pub fn asks_to_wait(&self) -> bool {
        matches!(self, Outcome::Answered { retry_after: Some(_), .. })
    }
}

/// A text without control characters, cut at the bound.
fn short(text: &str) -> String {
    let plain = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut out = String::new();
    for c in plain {
        if out.len() + c.len_utf8() > TEXT_BYTES {
            break;
        }
        out.push(c);
    }
    out
}
