//! What a hook's answer means. Answers come doubled, late and out of order: what says less than is
//! known already is passed over.

use bellwether_model::signal::{Answer, DETAIL_BYTES_MAX, Kind, Status, is_name};

use super::super::record::{Close, Intent};

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it says nothing new.
    Nothing,
    /// It is remembered, and the signal stays open.
    Wait,
    /// What was asked for is there.
    Observed,
    /// The signal is over.
    Close(Close, String),
}

/// What follows from the answer to a signal, after the one that counted before.
///
/// The version that serves counts more than the word: a signal is a level. A hook that has said
/// that it is done has done it, whatever a doubled request finds then.
#[must_use]
pub(super) fn next(intent: &Intent, before: Option<&Answer>, answer: &Answer) -> Next {
    use Status::{Accepted, AlreadyDone, Done, Failed, PreconditionFailed, Refused, Unknown};
    let is_there = match intent.kind {
        Kind::Rollback => answer.current_version.as_deref() == Some(&*intent.to),
        // Of a hold there is nothing to be seen but the hook's word.
        Kind::Hold => matches!(answer.status, Accepted | Done | AlreadyDone),
    };
    if is_there {
        return Next::Observed;
    }
    let said = before.map(|before| before.status);
    let was_done = matches!(said, Some(Done | AlreadyDone));
    let or = |words: &str| {
        if answer.detail.is_empty() { words.to_owned() } else { answer.detail.clone() }
    };
    match answer.status {
        Accepted if was_done || said == Some(Accepted) => Next::Nothing,
        Done | AlreadyDone if was_done => Next::Nothing,
        Accepted | Done | AlreadyDone => Next::Wait,
        _ if was_done => Next::Nothing,
        PreconditionFailed => {
            let words = match &answer.current_version {
                Some(version) => format!("{version} serves, not {}", intent.from),
                None => format!("another version than {} serves", intent.from),
            };
            Next::Close(Close::Refused, or(&words))
        }
        Refused => Next::Close(Close::Refused, or("the hook refuses it")),
        Failed if answer.retry && before == Some(answer) => Next::Nothing,
        Failed if answer.retry => Next::Wait,
        Failed => Next::Close(Close::Failed, or("the hook tried and failed")),
        Unknown => {
            let words = "it was begun and cut off, and the hook cannot tell whether it is done";
            Next::Close(Close::Failed, or(words))
        }
    }
}

/// An answer as it is kept: its texts within their bounds, a version that can be one.
#[must_use]
pub(super) fn clean(answer: Answer) -> Answer {
    Answer {
        current_version: answer.current_version.filter(|version| is_name(version)),
        detail: plain(&answer.detail),
        ..answer
    }
}

/// The answer in a body; without one of this signal, the signal is accepted.
#[must_use]
pub(super) fn read(intent: &Intent, body: &[u8]) -> (Answer, bool) {
    match serde_json::from_slice::<Answer>(body) {
        Ok(answer) if answer.key == *intent.key => (clean(answer), true),
        _ => {
            let (key, status) = (intent.key.to_string(), Status::Accepted);
            let detail = String::new();
            (Answer { key, status, current_version: None, detail, retry: false }, false)
        }
    }
}

/// A text without control characters, cut at the bound of details.
#[must_use]
pub(super) fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > DETAIL_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out
}
