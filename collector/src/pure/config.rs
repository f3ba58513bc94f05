//! The collector's configuration: what is written, checked into what is run.
//!
//! One function describes the file; it gives the [`Plan`], every problem at once, and the reference
//! page. Flags and environment variables ([`Overrides`]) stand over the file. `check` and `serve`
//! both come through [`read`]. Token files are named here and read at the start.

mod hooks;
mod notify;
mod principals;
mod rules;
mod services;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bellwether_model::config::{self, Environment, FieldDoc, Fields, Item, Node, Value, code};
use bellwether_model::diagnostic::{Code, Diagnostic, Diagnostics, Place, Source};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_platform::principal::{Anonymous, PrincipalSpec, Reach};
use bellwether_platform::tls::ServerFiles;
use bellwether_store::Limits as StoreLimits;

pub use self::rules::{RulesPlan, UNREADABLE};
pub use self::services::{SERVICE_UNREADABLE, ServicesPlan};
use crate::pure::guard::plan::HooksPlan;
use crate::pure::keeper::{KeeperLimits, RETENTION};
use crate::pure::notify::plan::NotifyPlan;

pub use notify::UNENCRYPTED;

/// `col001`: a section of the file that this version does not have.
pub const NOT_YET: Code = Code { name: "col001", meaning: "the key belongs to a later version" };

const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9797);
/// Shorter than two checkpoints are apart makes no sense; longer waits for the thinning of what is
/// old.
const RETENTION_MIN: Duration = Duration::from_secs(10 * 60);
const RETENTION_MAX: Duration = Duration::from_secs(48 * 3600);
const SERIES_MIN: u64 = 1000;
const SERIES_MAX: u64 = 50_000_000;
const BYTES_MIN: u64 = 16 << 20;
const BYTES_MAX: u64 = 1 << 40;
const SERIES_PER_AGENT_MAX: u64 = 1_000_000;
const AGENTS_MAX: u64 = 100_000;
const QUERY_SAMPLES_MAX: u64 = 10_000_000_000;
const QUERY_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
const QUERIES_MAX: u64 = 1000;
/// An agent that has a backlog asks as fast as it is answered.
const REQUESTS_MIN: u64 = 10;
const REQUESTS_MAX: u64 = 1_000_000;

/// Sections that are to come, and whether their value is a list.
const LATER: [(&str, bool); 2] = [("policies", false), ("calendars", false)];

/// Keys that only the collector's file has, and keys that only the agent's has.
const OURS: [&str; 12] = [
    "listen",
    "tls",
    "data_dir",
    "principals",
    "store",
    "external_labels",
    "external_url",
    "rules",
    "services",
    "environments",
    "hooks",
    "notify",
];
const THE_AGENTS: [&str; 6] = ["agent", "collectors", "exporter", "inputs", "spool", "labels"];

/// The configuration as it is run: nothing is missing, nothing is wrong.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the collector listens; port 0 takes any.
    pub listen: SocketAddr,
    /// The certificate, if TLS is spoken there.
    pub tls: Option<ServerFiles>,
    /// Directory of all state; the collector's is `collector` below it.
    pub data_dir: PathBuf,
    /// Who may do what.
    pub principals: Vec<PrincipalSpec>,
    /// What callers without a token may do.
    pub anonymous: Anonymous,
    /// Bounds of the store.
    pub store: StoreLimits,
    /// Bounds of the keeper.
    pub keeper: KeeperLimits,
    /// Bounds of queries.
    pub queries: QueryLimits,
    /// Added to federated series and to alerts that lack them.
    pub external_labels: LabelSet,
    /// Under which people reach the collector, without a slash at the end; `None` for where it
    /// listens.
    pub external_url: Option<String>,
    /// Rules.
    pub rules: RulesPlan,
    /// Where services and environments are described.
    pub services: ServicesPlan,
    /// What carries out rollbacks.
    pub hooks: HooksPlan,
    /// Who is told of alerts.
    pub notify: NotifyPlan,
}

/// Bounds of queries, as in Prometheus unless told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Samples that one query may hold.
    pub samples_max: usize,
    /// How long one may take.
    pub timeout: Duration,
    /// Queries at once, those of rules among them.
    pub at_once: usize,
}

impl Default for QueryLimits {
    fn default() -> QueryLimits {
        QueryLimits { samples_max: 50_000_000, timeout: Duration::from_secs(120), at_once: 20 }
    }
}

/// What stands over the file: flags, then environment variables.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `data_dir`
    pub data_dir: Option<PathBuf>,
    /// `listen`
    pub listen: Option<SocketAddr>,
}

/// What the machine gives where the file says nothing.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Where state is kept by default.
    pub data_dir: PathBuf,
    /// For `${VAR}` in texts.
    pub environment: Environment,
}

/// Whose configuration a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The agent's.
    Agent,
    /// The collector's.
    Collector,
}

/// Reads a configuration file's text into a plan; beside it come the warnings.
///
/// # Errors
/// Every problem, if one of them is an error.
pub fn read(
    file: &str,
    text: &str,
    surroundings: &Surroundings,
    overrides: &Overrides,
) -> Result<(Plan, Diagnostics), Diagnostics> {
    config::read_with_warnings(file, text, &surroundings.environment, |fields| {
        describe(fields, surroundings, overrides)
    })
}

/// The keys of the file, for the reference page.
#[must_use]
pub fn docs() -> Vec<FieldDoc> {
    let surroundings =
        Surroundings { data_dir: "/var/lib/bellwether".into(), ..Surroundings::default() };
    config::field_docs(|fields| describe(fields, &surroundings, &Overrides::default()))
}

/// Tells by its top-level keys whose file a text is. One without such keys is the agent's if its
/// name says so, else the collector's.
#[must_use]
pub fn kind(file: &str, text: &str) -> FileKind {
    let (root, _) = config::parse(Source::new(file, text));
    let entries = match &root {
        Some(Node { value: Value::Mapping(entries), .. }) => entries.as_slice(),
        _ => &[],
    };
    let is_ours = |key: &str| OURS.contains(&key) || LATER.iter().any(|(later, _)| *later == key);
    let ours = entries.iter().filter(|entry| is_ours(&entry.key)).count();
    let the_agents =
        entries.iter().filter(|entry| THE_AGENTS.contains(&entry.key.as_str())).count();
    let name = file.rsplit('/').next().unwrap_or(file);
    if the_agents > ours || the_agents == ours && name.contains("agent") {
        FileKind::Agent
    } else {
        FileKind::Collector
    }
}

fn describe(fields: &mut Fields<'_>, around: &Surroundings, over: &Overrides) -> Plan {
    let listen = fields
        .parsed("listen", "an address and port", "Address of the HTTP interface.")
        .or(LISTEN.into());
    let tls = fields.optional_section("tls", ServerFiles::describe);
    let data_dir = fields
        .text("data_dir", "Directory of all state; the collector's is `collector` below it.")
        .or(around.data_dir.display().to_string());
    let (principals, anonymous) = principals::describe(fields);
    let listen = over.listen.unwrap_or(listen);
    let is_local = Reach::of(listen.ip()) == Reach::Loopback;
    if !is_local && (tls.is_none() || principals.is_empty()) {
        beyond_loopback(fields, over);
    }
    let store = fields.section("store", store);
    let (keeper, queries) =
        fields.section("limits", |f| (limits(f, store.retention), query_limits(f)));
    let labels = fields
        .map("external_labels", "Labels added to what goes out, where it lacks them.", label)
        .or(BTreeMap::new());
    let external_labels = external_labels(fields, &labels);
    let external_url = external_url(fields);
    let rules = fields.section("rules", rules::describe);
    let services = fields.section("services", services::describe);
    services::no_environments(fields);
    let hooks = hooks::describe(fields);
    let notify = fields.section("notify", |f| notify::describe(f, &external_labels));
    LATER.iter().for_each(|(key, is_list)| later(fields, key, *is_list));
    Plan {
        listen,
        tls,
        data_dir: over.data_dir.clone().unwrap_or_else(|| data_dir.into()),
        principals,
        anonymous,
        store,
        keeper,
        queries,
        external_labels,
        external_url,
        rules,
        services,
        hooks,
        notify,
    }
}

fn beyond_loopback(fields: &Fields<'_>, over: &Overrides) {
    let (what, place) = match over.listen {
        Some(_) => ("--listen", None),
        None => ("`listen`", fields.place_of("listen")),
    };
    let message =
        format!("{what} is reachable from other machines, which needs TLS and a principal");
    let problem = Diagnostic::error(code::INVALID, place, message);
    fields.push(problem.with_help(
        "say `tls` with `cert_file` and `key_file`, and who calls in `principals`; \
         or listen on 127.0.0.1",
    ));
}

fn store(f: &mut Fields<'_>) -> StoreLimits {
    let default = StoreLimits::default();
    let series = f
        .integer("series_max", "Series held; new ones beyond it are refused, old ones kept.")
        .between(SERIES_MIN, SERIES_MAX)
        .or(wide(default.series_max));
    let bytes = f
        .size(
            "bytes_max",
            "Bytes of samples on the disk, at most 80 % of it; beyond it the oldest go.",
        )
        .between(BYTES_MIN, BYTES_MAX)
        .or(wide(default.bytes_max));
    let retention = f
        .duration("retention", "How long samples are kept.")
        .between(RETENTION_MIN, RETENTION_MAX)
        .or(RETENTION);
    StoreLimits { series_max: narrow(series), bytes_max: narrow(bytes), retention, ..default }
}

fn limits(f: &mut Fields<'_>, retention: Duration) -> KeeperLimits {
    let default = KeeperLimits::default();
    let series = f
        .integer("series_per_agent", "Series of one agent; more of its columns are refused.")
        .between(1, SERIES_PER_AGENT_MAX)
        .or(wide(default.series_per_agent));
    let agents = f
        .integer("agents", "Agents known at a time; new ones beyond it are refused.")
        .between(1, AGENTS_MAX)
        .or(wide(default.agents));
    let requests = f
        .integer("requests_per_agent", "Requests of one agent in a second; more are refused.")
        .between(REQUESTS_MIN, REQUESTS_MAX)
        .or(u64::from(default.requests_per_agent));
    KeeperLimits {
        series_per_agent: narrow(series),
        agents: narrow(agents),
        retention,
        requests_per_agent: u32::try_from(requests).unwrap_or(u32::MAX),
    }
}

fn query_limits(f: &mut Fields<'_>) -> QueryLimits {
    let default = QueryLimits::default();
    let samples = f
        .integer("query_samples", "Samples that one query may hold; 16 bytes each.")
        .between(1, QUERY_SAMPLES_MAX)
        .or(wide(default.samples_max));
    let timeout = f
        .duration("query_timeout", "How long one query may take; a client may say less.")
        .between(Duration::from_secs(1), QUERY_TIMEOUT_MAX)
        .or(default.timeout);
    let at_once = f
        .integer("queries", "Queries at once; more are refused. One place is kept for rules.")
        .between(2, QUERIES_MAX)
        .or(wide(default.at_once));
    QueryLimits { samples_max: narrow(samples), timeout, at_once: narrow(at_once) }
}

fn label(name: &str, item: &mut Item<'_>) -> (Place, String) {
    if !is_label(name) {
        let message = format!("`{name}` cannot be an external label");
        let problem = Diagnostic::error(code::INVALID, Some(item.place()), message);
        item.push(problem.with_help("letters, digits and `_`, not beginning with a digit or `__`"));
    }
    (item.place(), item.text())
}

fn is_label(name: &str) -> bool {
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let begins = !name.starts_with("__") && !name.starts_with(|c: char| c.is_ascii_digit());
    is_name && begins && !name.is_empty() && name != METRIC_NAME
}

fn external_labels(fields: &Fields<'_>, labels: &BTreeMap<String, (Place, String)>) -> LabelSet {
    let good = labels.iter().filter(|(name, _)| is_label(name));
    LabelSet::new(good.map(|(name, (_, value))| (name.as_str(), value.as_str()))).unwrap_or_else(
        |error| {
            let place = labels.values().next().map(|(place, _)| place.clone());
            fields.push(Diagnostic::error(code::INVALID, place, error.to_string()));
            LabelSet::default()
        },
    )
}

fn external_url(fields: &mut Fields<'_>) -> Option<String> {
    let text = fields
        .text("external_url", "Under which people reach the collector, for links in messages.")
        .or(String::new());
    let url = text.trim_end_matches('/');
    let is_url = ["http://", "https://"].iter().any(|scheme| {
        let rest = url.strip_prefix(scheme);
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains([' ', '?', '#']))
    });
    if text.is_empty() {
        return None;
    }
    if !is_url {
        let message = format!("`{text}` is no address under which people reach a page");
        let problem = Diagnostic::error(code::INVALID, fields.place_of("external_url"), message);
        fields.push(problem.with_help("such as https://bellwether.example.org/metrics"));
    }
    Some(url.to_owned())
}

/// Refuses a section that is to come.
fn later(fields: &mut Fields<'_>, key: &str, is_list: bool) {
    // Named, so that it is not unknown besides; what stands in it is not looked at.
    if is_list {
        drop(fields.list(key, "", |_| ()));
    } else {
        drop(fields.map(key, "", |_, _| ()));
    }
    if fields.has(key) {
        let message = format!("`{key}` is not there yet: a later version will have it");
        let problem = Diagnostic::error(NOT_YET, fields.place_of(key), message);
        fields.push(problem.with_help("remove it"));
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
