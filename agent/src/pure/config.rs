//! The agent's configuration: what is written, checked into what is run.
//!
//! One function describes the file; it gives the [`Plan`], every problem at once, and the reference
//! page. Flags and environment variables ([`Overrides`]) stand over the file. `check` and `run`
//! both come through [`read`].

mod inputs;
mod network;
mod probe;
mod scrape;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bellwether_model::config::{self, Choice, Environment, FieldDoc, Fields, Item, Secret, code};
use bellwether_model::diagnostic::{Diagnostic, Diagnostics, Place};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_platform::dial::Way;
use bellwether_platform::principal::TokenSource;
use bellwether_platform::tls::{ClientFiles, ServerFiles};

pub use inputs::InputPlan;
pub use network::UNENCRYPTED;
pub(crate) use network::collector;
pub use probe::TARGETS_MAX;

use crate::pure::probe::TargetPlan;
use crate::pure::scrape::ScrapePlan;

/// What stands for a name of the host in the `instance` template.
const HOST: &str = "{host}";
const SPOOL_BYTES: u64 = 512 << 20;
const SPOOL_BYTES_MIN: u64 = 4 << 20;
const SPOOL_BYTES_MAX: u64 = 1 << 40;
const SPOOL_AGE: Duration = Duration::from_secs(24 * 3600);
const SPOOL_AGE_MIN: Duration = Duration::from_secs(60);
const SPOOL_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Collectors one agent ships to; each has a cursor in the spool.
pub const COLLECTORS_MAX: usize = 8;
/// Labels that all series share and that have keys of their own.
const RESERVED: [&str; 3] = ["environment", "instance", "job"];

/// The configuration as it is run: nothing is missing, nothing is wrong.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names and place of this agent.
    pub agent: AgentPlan,
    /// Where frames go; none keeps them in the spool.
    pub collectors: Vec<CollectorPlan>,
    /// The agent's own page.
    pub exporter: ExporterPlan,
    /// The inputs that run, in the order of the static list.
    pub inputs: Vec<InputPlan>,
    /// Whom to probe.
    pub probes: Vec<TargetPlan>,
    /// Whom to scrape.
    pub scrapes: ScrapePlan,
    /// The queue on disk.
    pub spool: SpoolPlan,
    /// Labels that all series share: job, instance, environment, and those of `labels`.
    pub target: LabelSet,
}

/// What stands over the file: flags, then environment variables.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `agent.data_dir`
    pub data_dir: Option<PathBuf>,
    /// `exporter.listen`
    pub listen: Option<SocketAddr>,
    /// The only collector, in place of the file's.
    pub collector: Option<String>,
    /// The file with its token.
    pub token_file: Option<PathBuf>,
    /// The file with the authorities that its certificate is signed by.
    pub ca_file: Option<PathBuf>,
}

/// What the machine gives where the file says nothing.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The host's name.
    pub host_name: String,
    /// Where state is kept by default.
    pub data_dir: PathBuf,
    /// For `${VAR}` in texts.
    pub environment: Environment,
}

/// Names and place of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPlan {
    /// The `instance` label.
    pub instance: String,
    /// The `environment` label.
    pub environment: String,
    /// The `job` label.
    pub job: String,
    /// Where spool and identity are kept: `agent` below the directory of all state.
    pub state_dir: PathBuf,
}

/// A collector to ship to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorPlan {
    /// Scheme, host and port.
    pub url: String,
    /// What the collector knows this agent by; without one, nothing is sent along.
    pub token: Option<Secret>,
    /// Whom to trust, and the client certificate.
    pub tls: ClientFiles,
    /// The name that the collector's certificate must be for, if not the host of `url`.
    pub server_name: Option<String>,
    /// Directly or through a proxy.
    pub way: Way,
}

/// The agent's own page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExporterPlan {
    /// Address and port; port 0 takes any.
    pub listen: SocketAddr,
    /// The certificate, if the page speaks TLS.
    pub tls: Option<ServerFiles>,
    /// The token that readers must have; none: whoever reaches the page reads it.
    pub token: Option<TokenSource>,
    /// The token for `POST /-/reload`; none: only SIGHUP reloads.
    pub reload_token: Option<TokenSource>,
}

/// The queue on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolPlan {
    /// Bytes of all segments.
    pub bytes_max: u64,
    /// Age of the oldest frame.
    pub age_max: Duration,
    /// When frames are synced.
    pub sync: SpoolSync,
}

/// When frames are synced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolSync {
    /// When the oldest frame that is not acknowledged is older than 10 s, then every 5 s.
    Auto,
    /// Each one.
    Always,
}

impl Choice for SpoolSync {
    const WORDS: &'static [(&'static str, SpoolSync)] =
        &[("auto", SpoolSync::Auto), ("always", SpoolSync::Always)];
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

fn describe(fields: &mut Fields<'_>, around: &Surroundings, over: &Overrides) -> Plan {
    let agent = fields.section("agent", |f| agent(f, around, over));
    let collectors = fields
        .list("collectors", "Where frames are shipped to; each gets all of them.", |item| {
            item.fields(|f| collector(f, &around.environment))
        })
        .check(|list| {
            let is_few = list.len() <= COLLECTORS_MAX;
            is_few.then_some(()).ok_or_else(|| format!("has more than {COLLECTORS_MAX} items"))
        })
        .or(Vec::new());
    let collectors = match &over.collector {
        None => collectors,
        Some(url) => vec![network::overriding(fields, url, over, &around.environment)],
    };
    let exporter = fields.section("exporter", |f| network::exporter(f, over));
    let series_max = fields.section("limits", |f| {
        f.integer("series_per_input", "Series that one input may have; more are left out.")
            .between(100, inputs::SERIES_MAX)
            .or(inputs::SERIES_PER_INPUT)
    });
    let (inputs, probes, scrapes) = fields.section("inputs", |f| inputs::describe(f, series_max));
    let spool = fields.section("spool", spool);
    let labels = fields
        .map("labels", "Labels that all series of this agent share.", label)
        .or(BTreeMap::new());
    let target = target(fields, &agent, &labels);
    let shared = probe::Around { agent: &agent, labels: &labels };
    let probes = probe::plans(fields, probes, &shared);
    let scrapes = scrape::plan(fields, scrapes, &shared);
    Plan { agent, collectors, exporter, inputs, probes, scrapes, spool, target }
}

fn agent(f: &mut Fields<'_>, around: &Surroundings, over: &Overrides) -> AgentPlan {
    let data_dir = f
        .text("data_dir", "Directory of all state; the agent's is `agent` below it.")
        .or(around.data_dir.display().to_string());
    let data_dir = over.data_dir.clone().unwrap_or_else(|| data_dir.into());
    let instance = f
        .text("instance", "The label `instance`; `{host}` stands for the name of the host.")
        .or(HOST.to_owned());
    AgentPlan {
        instance: instance.replace(HOST, &around.host_name),
        environment: f
            .text("environment", "The label `environment`: development, staging, production, …")
            .or("production".to_owned()),
        job: f.text("job", "The label `job`.").or("node".to_owned()),
        state_dir: data_dir.join("agent"),
    }
}

fn spool(f: &mut Fields<'_>) -> SpoolPlan {
    let sync = "When frames are synced: `auto` once they are 10 s old, or `always`.";
    SpoolPlan {
        bytes_max: f
            .size("bytes_max", "Bytes of frames kept for a collector that is away.")
            .between(SPOOL_BYTES_MIN, SPOOL_BYTES_MAX)
            .or(SPOOL_BYTES),
        age_max: f
            .duration("age_max", "Age of the oldest frame kept.")
            .between(SPOOL_AGE_MIN, SPOOL_AGE_MAX)
            .or(SPOOL_AGE),
        sync: f.choice("sync", sync).or(SpoolSync::Auto),
    }
}

fn label(name: &str, item: &mut Item<'_>) -> (Place, String) {
    check_label(name, item, "job, instance and environment are keys of `agent`");
    (item.place(), item.text())
}

/// Refuses what cannot be the name of a label of the user's choice.
fn check_label(name: &str, item: &Item<'_>, others: &str) {
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if !is_name || name.starts_with("__") || name == METRIC_NAME || RESERVED.contains(&name) {
        let message = format!("`{name}` cannot be a label here");
        let problem = Diagnostic::error(code::INVALID, Some(item.place()), message);
        item.push(problem.with_help(format!("letters, digits and `_`; {others}")));
    }
}

/// The labels of all series.
fn target(
    fields: &Fields<'_>,
    agent: &AgentPlan,
    labels: &BTreeMap<String, (Place, String)>,
) -> LabelSet {
    let own = [
        ("environment", agent.environment.as_str()),
        ("instance", agent.instance.as_str()),
        ("job", agent.job.as_str()),
    ];
    let free = labels.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    let free = free.map(|(name, (_, value))| (name.as_str(), value.as_str()));
    LabelSet::new(own.into_iter().chain(free)).unwrap_or_else(|error| {
        fields.push(Diagnostic::error(code::INVALID, Some(fields.place()), error.to_string()));
        LabelSet::default()
    })
}
