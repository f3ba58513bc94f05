//! Scrapes: exposition pages on the network that are read as Prometheus reads them.
//!
//! A job says whom to ask and how ([`JobPlan`]); its static targets and those of files become
//! [`target::ScrapeTarget`]s, once relabelled. The shell fetches a page; [`page::Scan`] turns it
//! into values, and [`rows::ScrapeRows`] those into the rows of two column groups.

pub mod discover;
pub mod page;
pub mod rows;
pub mod target;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::config::Secret;
use bellwether_model::label::LabelSet;
use bellwether_model::relabel::Rule;
use bellwether_platform::dial::{Scheme, Way};
use bellwether_platform::tls::{ClientFiles, Trust};
use hyper::header::HeaderName;

use discover::TargetGroup;

/// Targets of one agent, those of files among them; more are left out and counted.
pub const TARGETS_MAX: usize = 1000;
/// Samples of one page; more fail the scrape.
pub const SAMPLES_MAX: usize = 50_000;
/// The label that tells versions of a service apart.
pub const VERSION: &str = "version";
/// Bytes of a version.
pub const VERSION_BYTES: usize = 256;
/// The shortest time from scrape to scrape.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// The shortest time a scrape may be given.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// The section `inputs.scrape` as it is run.
#[derive(Clone, Debug, Default)]
pub struct ScrapePlan {
    /// In the order of the file.
    pub jobs: Vec<Arc<JobPlan>>,
}

/// A `scrape_config`.
#[derive(Clone, Debug)]
pub struct JobPlan {
    /// `job_name`
    pub name: String,
    /// From scrape to scrape.
    pub interval: Duration,
    /// A scrape that takes longer has failed.
    pub timeout: Duration,
    /// With TLS or without.
    pub scheme: Scheme,
    /// The path, with a query perhaps.
    pub path: String,
    /// Parameters of the query.
    pub params: BTreeMap<String, Vec<String>>,
    /// Targets that are written in the configuration.
    pub groups: Vec<TargetGroup>,
    /// Files with more.
    pub files: Vec<FilesPlan>,
    /// What becomes of a target's labels.
    pub relabel: Vec<Rule>,
    /// Targets after relabelling; more of them fail all scrapes of the job. Zero for no limit.
    pub target_limit: usize,
    /// How a page is read.
    pub reading: Reading,
    /// How it is fetched.
    pub fetch: Fetch,
}

/// Files with targets, as `file_sd_configs` has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesPlan {
    /// Paths; the name of a file may have `*`.
    pub patterns: Vec<String>,
    /// How often they are looked at, at least.
    pub refresh: Duration,
}

/// How a page becomes series.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Whether a page's labels stand over the target's.
    pub honor_labels: bool,
    /// What becomes of a sample's labels.
    pub relabel: Vec<Rule>,
    /// What a page may hold.
    pub limits: Limits,
    /// Where the version of its series is read.
    pub version: Option<VersionPlan>,
    /// Labels of series and targets that lack them: the agent's, but for job and instance.
    pub external: LabelSet,
    /// A number for what decides which series there are: another one is another reading.
    pub mark: u64,
}

/// What a page may hold after relabelling; zero for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Samples.
    pub samples: usize,
    /// Labels of a sample, its name among them.
    pub labels: usize,
    /// Bytes of a label's name.
    pub name_bytes: usize,
    /// Bytes of a label's value.
    pub value_bytes: usize,
}

/// Where the version of a target's series is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionPlan {
    /// A label that the series have.
    Label(String),
    /// A label of a metric on the same page.
    BuildInfo {
        /// The metric.
        metric: String,
        /// Its label.
        label: String,
    },
    /// The first line of a file.
    File(String),
    /// A header of the answer.
    Header(HeaderName),
}

/// How a page is fetched.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Authorities, and our own certificate.
    pub files: ClientFiles,
    /// Whether the certificate must be good.
    pub trust: Trust,
    /// The name that it must be for, if not the host of the URL.
    pub server_name: Option<String>,
    /// Directly or through a proxy.
    pub way: Way,
    /// What is sent as `Authorization`.
    pub authorization: Option<Authorization>,
    /// Whether a redirect to the same server is followed.
    pub follow_redirects: bool,
    /// Bytes of a page; a longer one fails.
    pub body_bytes_max: usize,
}

/// What is sent as `Authorization`.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// A scheme and credentials, such as `Bearer TOKEN`.
    Scheme(String, Secret),
    /// User and password.
    Basic(String, Secret),
}

/// Why a scrape failed: a word for counting, and words for the log that are the same each time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Failure {
    /// The kind.
    pub reason: Reason,
    /// The words.
    pub words: String,
}

impl Failure {
    /// One of a kind.
    #[must_use]
    pub fn new(reason: Reason, words: impl Into<String>) -> Failure {
        Failure { reason, words: words.into() }
    }
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Nobody listens: the process is gone or begins anew.
    Refused,
    /// No connection for another reason, or it broke.
    Unreachable,
    /// Not done in time.
    Timeout,
    /// Another status than 200.
    Status,
    /// Something is no page.
    Malformed,
    /// A limit of the job or of the agent.
    Limit,
    /// What is needed on this side: a file, a certificate, a version that is none.
    Local,
}

impl Reason {
    /// Each kind, and its word in the agent's own metrics.
    pub const WORDS: [(Reason, &'static str); 7] = [
        (Reason::Refused, "refused"),
        (Reason::Unreachable, "unreachable"),
        (Reason::Timeout, "timeout"),
        (Reason::Status, "status"),
        (Reason::Malformed, "malformed"),
        (Reason::Limit, "limit"),
        (Reason::Local, "local"),
    ];
}
