//! What the runners of hooks may see: the open signals, each with the position that must be durable
//! before. Written by the control thread, read by polls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::config::Secret;
use bellwether_model::id::Position;
use tokio::sync::watch;

use crate::pure::guard::plan::{HookPlan, HooksPlan};
use crate::pure::guard::record::Intent;

/// The board; clones are the same.
#[derive(Clone, Debug)]
pub struct SignalBoard {
    shown: Arc<watch::Sender<Shown>>,
}

/// What stands on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    hooks: HooksPlan,
    /// By number.
    open: BTreeMap<u64, (Arc<Intent>, Position)>,
}

/// What a poll finds.
pub(super) enum Look {
    /// No runner is called so.
    NoRunner,
    /// Signals, and the keys that sign.
    Signals(Vec<Arc<Intent>>, Vec<Secret>),
    /// Nothing yet; perhaps once the journal is durable up to here.
    Nothing(Option<Position>),
}

impl SignalBoard {
    /// A board without signals.
    #[must_use]
    pub fn new(hooks: HooksPlan) -> SignalBoard {
        let (shown, _) = watch::channel(Shown { hooks, open: BTreeMap::new() });
        SignalBoard { shown: Arc::new(shown) }
    }

    /// Swaps the hooks.
    pub fn set_plan(&self, hooks: HooksPlan) {
        self.shown.send_modify(|shown| shown.hooks = hooks);
    }

    /// Shows a signal to its runner once the journal is durable up to a position. A signal that is
    /// shown already stays as it is.
    pub fn post(&self, intent: Arc<Intent>, after: Position) {
        self.shown.send_if_modified(|shown| {
            let is_new = !shown.open.contains_key(&intent.number);
            shown.open.entry(intent.number).or_insert((intent, after));
            is_new
        });
    }

    /// Shows a signal no more.
    pub fn take_down(&self, signal: u64) {
        self.shown.send_if_modified(|shown| shown.open.remove(&signal).is_some());
    }

    pub(super) fn watch(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }
}

impl Shown {
    /// Whether a hook calls.
    pub(super) fn has_runner(&self, hook: &str) -> bool {
        let plan = self.hooks.get(hook).map(AsRef::as_ref);
        matches!(plan, Some(HookPlan::Runner { .. }))
    }

    /// The signals of a hook that are durable and that its runner has not seen.
    pub(super) fn look(&self, hook: &str, seen: &BTreeSet<String>, durable: Position) -> Look {
        let Some(HookPlan::Runner { secrets }) = self.hooks.get(hook).map(AsRef::as_ref) else {
            return Look::NoRunner;
        };
        let of_it = self
            .open
            .values()
            .filter(|(intent, _)| *intent.hook == *hook && !seen.contains(&*intent.key));
        let (now, later): (Vec<_>, Vec<_>) = of_it.partition(|(_, after)| *after <= durable);
        if now.is_empty() {
            return Look::Nothing(later.iter().map(|(_, after)| *after).min());
        }
        let now = now.into_iter().map(|(intent, _)| Arc::clone(intent)).collect();
        Look::Signals(now, secrets.clone())
    }
}
