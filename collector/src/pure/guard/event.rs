//! What the guard is told, and what it has others do.

use std::sync::Arc;

use bellwether_model::feed::Feed;
use bellwether_model::signal::Answer;
use bellwether_model::time::Timestamp;
use bellwether_rules::service::Catalogue;

use super::announce::{Announce, Problems};
use super::count::{Counting, Read};
use super::lane::AnswerError;
use super::lane::effect::SignalDelivery;
use super::plan::HooksPlan;
use super::record::{Announced, Intent, Record, Word};
use crate::pure::notify::record::Outcome;

/// Services, environments and hooks as they are configured.
#[derive(Clone, Debug, Default)]
pub struct GuardPlan {
    /// Services and environments.
    pub catalogue: Arc<Catalogue>,
    /// Who is asked.
    pub hooks: HooksPlan,
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// Somebody asks something; the answer has the same ticket.
    Asked {
        /// Which question.
        ticket: u64,
        /// The principal.
        by: String,
        /// What.
        ask: Ask,
    },
    /// A rollout's seconds are counted.
    Counted(Box<Counted>),
    /// A decision record's file is written, or cannot be.
    Kept {
        /// The job.
        job: KeepJob,
        /// It is written.
        is_written: bool,
    },
    /// A webhook has answered, or not.
    Delivered {
        /// The signal's number.
        signal: u64,
        /// Which attempt.
        attempt: u32,
        /// What came back.
        outcome: Outcome,
        /// The body of a 2xx.
        body: Vec<u8>,
    },
    /// Something may be due.
    Tick {
        /// Data is complete up to this time.
        complete: Timestamp,
    },
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A rollout is to be watched.
    Announce(Box<Announce>),
    /// Something is said of a rollout.
    Say {
        /// Which.
        rollout: Arc<str>,
        /// What.
        word: Word,
        /// In their words.
        reason: String,
    },
    /// A runner answers.
    Answer {
        /// Which hook.
        hook: Arc<str>,
        /// What.
        answer: Answer,
    },
}

/// The answer to what was asked.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It is watched from now on.
    Begun(Arc<Announced>),
    /// The same was announced before.
    Known(Arc<Announced>),
    /// It is done.
    Done,
    /// A runner's word is taken, or not.
    Heard(Result<(), AnswerError>),
    /// There is no such rollout.
    Absent(String),
    /// It cannot be as things are.
    Conflict(String),
    /// It is wrong.
    Wrong(Problems),
    /// There is no room for more.
    Full(String),
}

/// What is to be done. [`Effect::Send`], [`Effect::Post`], [`Effect::Reply`] and [`Effect::Keep`]
/// wait until all records before them are journalled.
#[derive(Debug)]
pub enum Effect {
    /// To be journalled, in order.
    Record(Record),
    /// To be sent.
    Send(SignalDelivery),
    /// To be shown to its runner until it is closed.
    Post(Arc<Intent>),
    /// No runner is shown it any more.
    Closed(Arc<Intent>),
    /// To be answered.
    Reply {
        /// Which question.
        ticket: u64,
        /// The answer.
        reply: Reply,
    },
    /// A rollout's seconds are to be counted.
    Count(CountJob),
    /// A decision record is to be written, if it is not there.
    Keep(KeepJob),
}

/// A decision record that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepJob {
    /// Of which rollout.
    pub rollout: Arc<str>,
    /// The file's name.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Seconds of a rollout that are to be counted.
#[derive(Debug)]
pub struct CountJob {
    /// Which rollout.
    pub rollout: Arc<str>,
    /// What was counted so far.
    pub counting: Box<Counting>,
}

/// A job that is done.
#[derive(Debug)]
pub struct Counted {
    /// The job.
    pub job: CountJob,
    /// What came.
    pub read: Read,
}

impl CountJob {
    /// Counts over a view.
    #[must_use]
    pub fn run(mut self, view: &dyn Feed, now: Timestamp) -> Counted {
        let read = self.counting.read(view, now);
        Counted { job: self, read }
    }
}
