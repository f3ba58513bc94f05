//! What the lanes are asked, and what they have others do.

use std::sync::Arc;

use bellwether_model::signal::{Kind, RecordRef, id_of};
use bellwether_model::time::Timestamp;

use super::super::plan::HookPlan;
use super::super::record::{Close, Intent, Record};

/// Something that a hook is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which rollout.
    pub rollout: Arc<str>,
    /// Its service.
    pub service: Arc<str>,
    /// Its environment.
    pub environment: Arc<str>,
    /// When it was announced: a name may come again once it is forgotten.
    pub announced_at: Timestamp,
    /// What.
    pub kind: Kind,
    /// A person has said so: it may be rolled back to a version that was rolled back itself.
    pub confirmed: bool,
    /// The version that must not serve.
    pub from: Arc<str>,
    /// The version that is to serve.
    pub to: Arc<str>,
    /// The service's hook there, if it has one.
    pub hook: Option<Arc<str>>,
    /// Why, in one sentence.
    pub reason: String,
    /// The decision record, where there is one.
    pub record: Option<RecordRef>,
}

/// What becomes of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It is a signal now.
    Intended,
    /// Its lane has an open signal. It is not journalled yet: whoever wishes it wishes it again
    /// after a start.
    Waits,
    /// It was wished before, or says nothing that its rollout's rollback does not say.
    Known,
    /// A bound is reached: nothing follows, and whoever wishes it must tell people.
    Full,
    /// A name is none: nothing follows.
    Unfit,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// To be journalled, in order.
    Record(Record),
    /// To be sent once all records before it are synced, if [`super::Lanes::is_wanted`] where
    /// they are journalled.
    Send(SignalDelivery),
    /// To be shown to its runner's polls once all records before it are synced, until it is closed;
    /// it may come more than once.
    Post(Arc<Intent>),
    /// A signal is over: no poll is shown it any more, and people are told.
    Closed {
        /// Which.
        signal: Arc<Intent>,
        /// How.
        outcome: Close,
    },
}

/// One attempt at a webhook.
#[derive(Clone, Debug)]
pub struct SignalDelivery {
    /// The signal's number.
    pub signal: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Where.
    pub to: Arc<HookPlan>,
    /// What receivers know it by, the same at each attempt.
    pub id: String,
    /// The same at each attempt.
    pub body: Arc<[u8]>,
    /// Whether an earlier attempt may have arrived.
    pub repeated: bool,
    /// It is not sent after this.
    pub deadline: Timestamp,
}

impl Intent {
    /// What receivers know it by: `rb_` and the first 32 digits of the key.
    #[must_use]
    pub fn id(&self) -> String {
        id_of(&self.key)
    }
}
