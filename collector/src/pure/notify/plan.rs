//! Who is told, and how: what the section `notify` of the configuration becomes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::config::Secret;
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::{Matcher, matches_all};
use bellwether_platform::dial::Way;
use bellwether_platform::tls::ClientFiles;

/// Bytes of a receiver's name.
pub const NAME_BYTES: usize = 128;

/// Everything that tells. Swapped whole by a reload.
#[derive(Clone, Debug, Default)]
pub struct NotifyPlan {
    /// By name.
    pub receivers: BTreeMap<Arc<str>, Arc<ReceiverPlan>>,
    /// In the order of the file.
    pub alertmanagers: Vec<Arc<AlertmanagerPlan>>,
    /// Told that rules are evaluated.
    pub heartbeat: Option<Arc<HeartbeatPlan>>,
    /// Added to alerts that lack them.
    pub external_labels: LabelSet,
    /// Where people reach this collector; in the body of webhooks.
    pub external_url: String,
}

/// A receiver of notifications.
#[derive(Clone, Debug)]
pub struct ReceiverPlan {
    /// Its key in the file.
    pub name: Arc<str>,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Keys that sign, the first being the newest; without one nothing is signed.
    pub secrets: Vec<Secret>,
    /// Whether it is told of the end of an alert.
    pub send_resolved: bool,
    /// Alerts in one body.
    pub max_alerts: usize,
    /// An alert is for it if it meets all of these.
    pub matchers: Vec<Matcher>,
    /// Which alerts are told together.
    pub group_by: GroupBy,
    /// From the first firing of a group to its first notification.
    pub group_wait: Duration,
    /// From one notification of a group to the next one that has something new.
    pub group_interval: Duration,
    /// From one notification of a group to the next one that has nothing new.
    pub repeat_interval: Duration,
    /// How long one notification is tried.
    pub deadline: Duration,
}

/// Which alerts are told together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// Each alert by itself.
    All,
    /// Those that share the values of these labels, sorted; none of them: all alerts together.
    Labels(Vec<String>),
}

/// Something that is reached by HTTP.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The whole URL; it may hold a token.
    pub url: Secret,
    /// What it wants to know of us.
    pub authorization: Option<Authorization>,
    /// Whom to trust, and who we are.
    pub tls: ClientFiles,
    /// Directly or through a proxy; `None`: as the environment says.
    pub way: Option<Way>,
    /// For connecting, asking and answering together.
    pub timeout: Duration,
}

/// The header `Authorization`.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// A token.
    Bearer(Secret),
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// An Alertmanager that is told of all alerts.
#[derive(Clone, Debug)]
pub struct AlertmanagerPlan {
    /// How it is named in metrics and reports: scheme, host and port of its URL, or its number.
    pub name: Arc<str>,
    /// Its base, as `http://HOST:9093`; `/api/v2/alerts` is added.
    pub endpoint: Endpoint,
}

/// A dead man's switch that somebody else keeps.
#[derive(Clone, Debug)]
pub struct HeartbeatPlan {
    /// What is called.
    pub endpoint: Endpoint,
    /// How often.
    pub every: Duration,
}

impl ReceiverPlan {
    /// Whether an alert is for it.
    #[must_use]
    pub fn wants(&self, labels: &LabelSet) -> bool {
        matches_all(&self.matchers, labels)
    }

    /// The labels of the group that an alert belongs to; absent ones are absent.
    #[must_use]
    pub fn group_of(&self, labels: &LabelSet) -> LabelSet {
        let GroupBy::Labels(names) = &self.group_by else { return labels.clone() };
        let held = names.iter().filter_map(|name| Some((name.as_str(), labels.get(name)?)));
        LabelSet::new(held).expect("invariant: part of a set of labels")
    }
}
