//! Signals: what the collector asks deploy hooks to do, and their answers (`collector/SIGNALS.md`).
//!
//! Both ends write and read them by these types, as JSON; the bytes of a signal are made once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes of a signal's body, at most.
pub const BODY_BYTES_MAX: usize = 16 << 10;
/// Bytes of an answer, at most.
pub const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Bytes of [`Answer::detail`] that are kept.
pub const DETAIL_BYTES_MAX: usize = 1024;
/// Digits of a key.
pub const KEY_DIGITS: usize = 64;
/// How far the time of a signature may be from the receiver's.
pub const FRESH: Duration = Duration::from_secs(300);
/// How long a poll is held where nothing is open, at most.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Bytes of a name: of a service, an environment, a rollout, a version, a hook.
pub const NAME_BYTES_MAX: usize = 128;

/// A signal as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// What is asked.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When it was decided, RFC 3339 in UTC.
    pub timestamp: String,
    /// What about.
    pub data: Data,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// [`Data::to`] is to serve alone.
    #[serde(rename = "rollback.requested")]
    Rollback,
    /// Nothing goes further until a person decides.
    #[serde(rename = "deploy.hold")]
    Hold,
}

/// What a signal is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Identity of the wish: 64 hexadecimal digits.
    pub key: String,
    /// Its number in its lane (service and environment), from 1.
    pub generation: u64,
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// The rollout.
    pub rollout: String,
    /// The version that must not serve.
    pub from: String,
    /// The version that is to serve.
    pub to: String,
    /// What must hold before anything is done.
    pub precondition: Precondition,
    /// After it nothing is to be begun; RFC 3339 in UTC.
    pub deadline: String,
    /// Why, in one sentence.
    pub reason: String,
    /// The decision record, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record: Option<RecordRef>,
}

/// What must hold before a signal is acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precondition {
    /// The version that serves.
    pub current_version: String,
}

/// A decision record by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordRef {
    /// Its file.
    pub name: String,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// What a hook says it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Of which signal.
    pub key: String,
    /// What became of it.
    pub status: Status,
    /// The version that serves now, if the hook can tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub current_version: Option<String>,
    /// More, for people.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
    /// Of [`Status::Failed`]: it may be asked again.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub retry: bool,
}

/// What became of a signal at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Begun, or will be.
    Accepted,
    /// Done now.
    Done,
    /// Done before, or there was nothing to do.
    AlreadyDone,
    /// Another version serves than the one to be replaced; nothing was done.
    PreconditionFailed,
    /// Forbidden by the hook's own file or by the generation; nothing was done.
    Refused,
    /// Tried, and failed.
    Failed,
    /// Cut off, and what it did is not known.
    Unknown,
}

/// The open signals of a runner, as its poll is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// At most one of each lane.
    pub signals: Vec<Signed>,
}

/// A signal with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// As `webhook-id`.
    pub id: String,
    /// As `webhook-timestamp`: seconds since 1970.
    pub timestamp: i64,
    /// As `webhook-signature`, over `id.timestamp.body`.
    pub signature: String,
    /// The signal's bytes.
    pub body: String,
}

impl Kind {
    /// All. Journals and ledgers write them by their place.
    pub const ALL: [Kind; 2] = [Kind::Rollback, Kind::Hold];

    /// A word for people and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Rollback => "rollback",
            Kind::Hold => "hold",
        }
    }
}

impl Status {
    /// All. Journals write them by their place.
    pub const ALL: [Status; 7] = [
        Status::Accepted,
        Status::Done,
        Status::AlreadyDone,
        Status::PreconditionFailed,
        Status::Refused,
        Status::Failed,
        Status::Unknown,
    ];

    /// Its word in answers and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Accepted => "accepted",
            Status::Done => "done",
            Status::AlreadyDone => "already_done",
            Status::PreconditionFailed => "precondition_failed",
            Status::Refused => "refused",
            Status::Failed => "failed",
            Status::Unknown => "unknown",
        }
    }
}

/// Whether a text is a [`Data::key`]: 64 hexadecimal digits, letters small.
#[must_use]
pub fn is_key(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == KEY_DIGITS && text.bytes().all(is_digit)
}

/// The `webhook-id` of a signal, from its key.
#[must_use]
pub fn id_of(key: &str) -> String {
    format!("rb_{}", key.get(..32).unwrap_or(key))
}

/// The path of a runner's polls; the query follows.
#[must_use]
pub fn signals_path(hook: &str) -> String {
    format!("/api/bw/v1/hooks/{hook}/signals")
}

/// The path of a runner's answers.
#[must_use]
pub fn results_path(hook: &str) -> String {
    format!("/api/bw/v1/hooks/{hook}/results")
}

/// Whether a text can name a service, an environment, a rollout, a version or a hook: letters,
/// digits, `.`, `_` and `-`, 1 to [`NAME_BYTES_MAX`] bytes, not beginning with `.` or `-`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(is_plain)
        && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_sixty_four_small_digits() {
        assert!(is_key(&"0f".repeat(32)));
        for bad in ["0F".repeat(32), "0f".repeat(31), "0g".repeat(32), String::new()] {
            assert!(!is_key(&bad), "{bad}");
        }
        assert_eq!(id_of(&"0f".repeat(32)), format!("rb_{}", "0f".repeat(16)));
    }

    #[test]
    fn a_name_holds_nothing_that_a_program_could_take_for_more() {
        for good in ["checkout", "2.4.0-rc.1", "gh_9931", "v1"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for bad in ["", "-rf", "..", "a b", "a/b", "a;b", "a\n", "ä", "$(x)", long.as_str()] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
