//! Hooks: what the section `hooks` of the configuration becomes (`collector/SIGNALS.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::config::Secret;

use crate::pure::notify::plan::Endpoint;

/// All hooks by name. Swapped whole by a reload.
#[derive(Clone, Debug, Default)]
pub struct HooksPlan(pub BTreeMap<Arc<str>, Arc<HookPlan>>);

/// How signals reach a hook. Either has at least one key.
#[derive(Clone, Debug)]
pub enum HookPlan {
    /// The collector calls.
    Webhook {
        /// Where it is.
        endpoint: Box<Endpoint>,
        /// Keys that sign, the first being the newest.
        secrets: Vec<Secret>,
    },
    /// A runner asks, with a token of the scope `hook`.
    Runner {
        /// Keys that sign, the first being the newest.
        secrets: Vec<Secret>,
    },
}

impl HooksPlan {
    /// A hook by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<HookPlan>> {
        self.0.get(name)
    }

    /// The names of all.
    #[must_use]
    pub fn names(&self) -> BTreeSet<Arc<str>> {
        self.0.keys().cloned().collect()
    }
}

impl HookPlan {
    /// Keys that sign, the first being the newest.
    #[must_use]
    pub fn secrets(&self) -> &[Secret] {
        match self {
            HookPlan::Webhook { secrets, .. } | HookPlan::Runner { secrets } => secrets,
        }
    }
}
