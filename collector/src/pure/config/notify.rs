//! The section `notify`: receivers, existing Alertmanagers, the heartbeat.
//!
//! Defaults are Alertmanager's but for two. `group_wait` is nothing: a page that waits for others
//! wakes nobody sooner, and what fires a moment later follows after `group_interval`. `group_by` is
//! the alert's name: in one group of everything each alert would wait for the one before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::config::{Fields, Item, Secret, SecretSource, code};
use bellwether_model::diagnostic::{Code, Diagnostic};
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::Matcher;
use bellwether_platform::dial::{Scheme, Way};
use bellwether_platform::sign::SigningKey;
use bellwether_platform::tls::ClientFiles;

use crate::pure::notify::address::Address;
use crate::pure::notify::plan::{
    AlertmanagerPlan, Authorization, Endpoint, GroupBy, HeartbeatPlan, NAME_BYTES, NotifyPlan,
    ReceiverPlan,
};
use crate::pure::notify::select::read_matcher;

/// `col003`: whoever listens on the way gets the token or password.
pub const UNENCRYPTED: Code =
    Code { name: "col003", meaning: "a token or password would be sent without TLS" };

const RECEIVERS: usize = 1000;
const ALERTMANAGERS: usize = 64;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const GROUP_INTERVAL: Duration = Duration::from_secs(5 * 60);
const REPEAT_INTERVAL: Duration = Duration::from_secs(4 * 3600);
const DEADLINE: Duration = Duration::from_secs(5 * 60);
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ALERTS: u64 = 10_000;
/// Labels of `group_by`, and matchers.
const NAMES: usize = 64;
/// What stands for all labels.
const EACH: &str = "...";

/// The plan, but for the collector's URL.
pub(super) fn describe(f: &mut Fields<'_>, external_labels: &LabelSet) -> NotifyPlan {
    f.guard();
    let receivers = f
        .map("receivers", "Who is told of alerts, by name.", |name, item| {
            if !(1..=NAME_BYTES).contains(&name.len()) || name.chars().any(char::is_control) {
                let message = "a receiver's name needs 1 to 128 bytes without control characters";
                item.push(Diagnostic::error(code::INVALID, Some(item.place()), message));
            }
            item.fields(|f| receiver(name, f))
        })
        .check(|all| at_most(all.len(), RECEIVERS))
        .or(BTreeMap::new());
    let alertmanagers = f
        .list("alertmanagers", "Alertmanagers that are told of all alerts.", |item| {
            item.fields(alertmanager)
        })
        .check(|all| at_most(all.len(), ALERTMANAGERS))
        .or(Vec::new());
    let heartbeat = f.optional_section("heartbeat", heartbeat);
    let receivers = receivers.into_values().flatten();
    let mut names = BTreeMap::new();
    let named = |mut plan: AlertmanagerPlan| {
        let count: &mut usize = names.entry(Arc::clone(&plan.name)).or_default();
        *count += 1;
        if *count > 1 {
            plan.name = format!("{}#{count}", plan.name).into();
        }
        Arc::new(plan)
    };
    NotifyPlan {
        receivers: receivers.map(|one| (Arc::clone(&one.name), Arc::new(one))).collect(),
        alertmanagers: alertmanagers.into_iter().map(named).collect(),
        heartbeat: heartbeat.map(Arc::new),
        external_labels: external_labels.clone(),
        external_url: String::new(),
    }
}

pub(super) fn at_most(count: usize, most: usize) -> Result<(), String> {
    if count <= most { Ok(()) } else { Err(format!("must have {most} items at most")) }
}

fn receiver(name: &str, f: &mut Fields<'_>) -> Option<ReceiverPlan> {
    f.guard();
    let plan = f.optional_section("webhook", |f| webhook(name, f));
    if plan.is_none() {
        let message = "the key `webhook` is missing: it says where the receiver is";
        f.push(Diagnostic::error(code::MISSING, Some(f.place()), message));
    }
    plan
}

fn webhook(name: &str, f: &mut Fields<'_>) -> ReceiverPlan {
    let endpoint = endpoint(f, "Where alerts are posted to, in Alertmanager's form.");
    let secrets = secrets(f);
    let send_resolved =
        f.flag("send_resolved", "Whether it is told of the end of alerts.").or(true);
    let max_alerts = f
        .integer("max_alerts", "Alerts in one body; 0 for as many as 256KiB have room for.")
        .between(0, MAX_ALERTS)
        .or(0);
    let matchers = f
        .list("match", "Only alerts that meet all of these, such as `severity=\"page\"`.", matcher)
        .check(|all| at_most(all.len(), NAMES))
        .or(Vec::new());
    let group_by = f
        .list(
            "group_by",
            "Labels; alerts that share their values are told together. `...` for \
            each alert by itself. If unsaid, `alertname`.",
            Item::text,
        )
        .check(|all| at_most(all.len(), NAMES))
        .or(vec!["alertname".to_owned()]);
    let mut duration =
        |key, help, (least, most), default| f.duration(key, help).between(least, most).or(default);
    let group_wait = duration(
        "group_wait",
        "How long a group's first notification waits for more alerts.",
        (Duration::ZERO, HOUR),
        Duration::ZERO,
    );
    let group_interval = duration(
        "group_interval",
        "From one notification of a group to the next that has something new.",
        (SECOND, DAY),
        GROUP_INTERVAL,
    );
    let repeat_interval = duration(
        "repeat_interval",
        "From one notification of a group to the next that has nothing new.",
        (SECOND, DAY * 31),
        REPEAT_INTERVAL,
    );
    let deadline = duration(
        "deadline",
        "How long one notification is tried; the next of its group then tells it.",
        (SECOND, DAY),
        DEADLINE,
    );
    ReceiverPlan {
        name: name.into(),
        endpoint,
        secrets,
        send_resolved,
        max_alerts: usize::try_from(max_alerts).unwrap_or(usize::MAX),
        matchers: matchers.into_iter().flatten().collect(),
        group_by: grouping(group_by),
        group_wait,
        group_interval,
        repeat_interval,
        deadline,
    }
}

fn grouping(mut names: Vec<String>) -> GroupBy {
    if names.iter().any(|name| name == EACH) {
        return GroupBy::All;
    }
    names.sort();
    names.dedup();
    GroupBy::Labels(names)
}

/// One key, or several while receivers change from one to another.
pub(super) fn secrets(f: &mut Fields<'_>) -> Vec<Secret> {
    const KEY: &str = "Signs what is sent, as Standard Webhooks say: `whsec_` and base64.";
    let check = |secret: &Secret| match secret.reveal() {
        SecretSource::File(_) => Ok(()),
        SecretSource::Text(text) => {
            SigningKey::parse(text).map(drop).map_err(|error| error.to_string())
        }
    };
    let one = f.secret("secret", KEY).check(check).optional();
    let both = (f.has("secret") || f.has("secret_file")) && f.has("secrets");
    let several = f
        .list("secrets", "Several keys, the newest first, while it changes.", |item| {
            item.fields(|f| f.secret("secret", KEY).check(check).required())
        })
        .check(|all| at_most(all.len(), 4))
        .or(Vec::new());
    if both {
        let message = "`secret` and `secrets` exclude each other";
        f.push(Diagnostic::error(code::CONFLICT, f.place_of("secrets"), message));
    }
    one.into_iter().chain(several).collect()
}

fn alertmanager(f: &mut Fields<'_>) -> AlertmanagerPlan {
    let url = f
        .text("url", "Its base, such as `http://alertmanager:9093`; behind a path if it is.")
        .check(|url| Address::parse(url).map(drop).map_err(|error| error.to_string()))
        .required();
    let address = Address::parse(&url);
    let name = address.as_ref().map_or_else(
        |_| String::new(),
        |address| address.target.to_string() + address.path.trim_end_matches('/'),
    );
    let endpoint = reached(f, Secret::text(url), address.ok());
    AlertmanagerPlan { name: name.into(), endpoint }
}

fn heartbeat(f: &mut Fields<'_>) -> HeartbeatPlan {
    let endpoint = endpoint(f, "Called by GET while rules are evaluated.");
    let every = f.duration("every", "How often.").between(SECOND, DAY).or(SECOND * 60);
    HeartbeatPlan { endpoint, every }
}

/// Something that a URL names.
pub(super) fn endpoint(f: &mut Fields<'_>, help: &'static str) -> Endpoint {
    let url = f
        .secret("url", help)
        .check(|url| match url.reveal() {
            SecretSource::File(_) => Ok(()),
            SecretSource::Text(text) => {
                Address::parse(text).map(drop).map_err(|error| error.to_string())
            }
        })
        .required();
    let address = match url.reveal() {
        SecretSource::Text(text) => Address::parse(text).ok(),
        SecretSource::File(_) => None,
    };
    reached(f, url, address)
}

/// What all requests have.
fn reached(f: &mut Fields<'_>, url: Secret, address: Option<Address>) -> Endpoint {
    let authorization = authorization(f);
    let tls = ClientFiles::describe(f);
    let way = Way::describe(f);
    let timeout = f
        .duration("timeout", "For connecting, asking and answering together.")
        .between(Duration::from_millis(100), SECOND * 60)
        .or(TIMEOUT);
    let is_open =
        address.is_some_and(|to| to.target.scheme() == Scheme::Http && !to.target.is_here());
    if is_open && authorization.is_some() {
        let message = "the token or password is sent over the network without TLS";
        let problem = Diagnostic::warning(UNENCRYPTED, f.place_of("url"), message);
        f.push(problem.with_help("use `https://`, and `ca_file` for a private authority"));
    }
    Endpoint { url, authorization, tls, way, timeout }
}

fn authorization(f: &mut Fields<'_>) -> Option<Authorization> {
    let token = f.secret("bearer_token", "Sent in the header `Authorization`.").optional();
    let basic = f.optional_section("basic_auth", |f| Authorization::Basic {
        username: f.text("username", "The name.").required(),
        password: f.secret("password", "The password.").required(),
    });
    if token.is_some() && basic.is_some() {
        let message = "`bearer_token` and `basic_auth` exclude each other";
        f.push(Diagnostic::error(code::CONFLICT, f.place_of("basic_auth"), message));
    }
    token.map(Authorization::Bearer).or(basic)
}

fn matcher(item: &mut Item<'_>) -> Option<Matcher> {
    let text = item.text();
    if text.is_empty() {
        return None;
    }
    read_matcher(&text)
        .map_err(|reason| {
            let problem = Diagnostic::error(code::INVALID, Some(item.place()), reason);
            item.push(problem.with_help("such as `severity=\"page\"` or `team=~\"db|web\"`"));
        })
        .ok()
}

#[cfg(test)]
mod tests;
