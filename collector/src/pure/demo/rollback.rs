//! The rollout of the demo: announced once all is well, failed by the fault, rolled back.

use std::time::Duration;

use bellwether_model::time::Mono;

/// What is seen of the rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// It is watched.
    pub announced: bool,
    /// It has failed, and why.
    pub failed: Option<String>,
    /// The hook was asked.
    pub asked: bool,
    /// What the hook answered.
    pub answered: Option<String>,
    /// Only the old version serves.
    pub restored: bool,
    /// The decision record, and what is wrong with it.
    pub record: Option<(String, Result<(), String>)>,
}

/// What was told of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Rollback {
    announced: bool,
    failed: bool,
    asked: bool,
    answered: bool,
    restored: bool,
    verified: Option<bool>,
    /// From the fault to traffic that is restored.
    pub(super) took: Option<Duration>,
}

impl Rollback {
    /// Takes what is seen; gives what is new of it.
    pub(super) fn take(&mut self, now: Mono, seen: &Seen, fault: Option<Mono>) -> Vec<String> {
        let mut news = Vec::new();
        if seen.announced && !std::mem::replace(&mut self.announced, true) {
            news.push("rollout watched: both versions, second by second".to_owned());
        }
        let Some(fault) = fault else { return news };
        if let Some(reason) = &seen.failed
            && !std::mem::replace(&mut self.failed, true)
        {
            news.push(format!("rollout failed: {reason}"));
        }
        if seen.asked && !std::mem::replace(&mut self.asked, true) {
            news.push("hook asked to roll back, once the decision was on the disk".to_owned());
        }
        if let Some(answer) = &seen.answered
            && !std::mem::replace(&mut self.answered, true)
        {
            news.push(format!("hook answered: {answer}"));
        }
        if seen.restored && !std::mem::replace(&mut self.restored, true) {
            self.took = Some(now.since(fault));
            news.push("traffic restored: only the old version serves".to_owned());
        }
        if let Some((name, outcome)) = &seen.record
            && self.verified.is_none()
        {
            self.verified = Some(outcome.is_ok());
            news.push(match outcome {
                Ok(()) => {
                    format!("record {name}: signature good, judged again to the same verdict")
                }
                Err(wrong) => format!("record {name} does not verify: {wrong}"),
            });
        }
        news
    }

    /// It was announced.
    pub(super) fn is_watched(&self) -> bool {
        self.announced
    }

    /// It went as it should.
    pub(super) fn is_done(&self) -> bool {
        self.restored && self.verified == Some(true)
    }
}
