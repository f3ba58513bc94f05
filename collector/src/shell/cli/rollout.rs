//! The arguments of `rollout`.

use clap::{Args, Subcommand};

use super::{Output, Target};

/// The commands of `rollout`.
#[derive(Clone, Debug, Subcommand)]
pub enum Rollout {
    /// Announce a deploy: from now on its canary is judged against its baseline
    Start(Box<RolloutStart>),
    /// Show a rollout with its evidence; exit with 1 if it failed, 3 if it is to wait
    Status(RolloutOne),
    /// Show open rollouts, and those that have ended within a week
    List(RolloutList),
    /// Say that a deploy is through; it is watched on
    Finish(RolloutSay),
    /// End the watch; nothing is sent any more
    Abort(RolloutSay),
    /// Let a rollback that is frozen go
    Confirm(RolloutSay),
}

/// The arguments of `rollout start`.
#[derive(Clone, Debug, Args)]
pub struct RolloutStart {
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// The service
    #[arg(long, value_name = "NAME")]
    pub service: String,
    /// Where it is deployed
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub environment: String,
    /// The version that serves, and is to serve again if the new one is bad
    #[arg(long, value_name = "VERSION")]
    pub from: String,
    /// The version that comes
    #[arg(long, value_name = "VERSION")]
    pub to: String,
    /// A name for the rollout, the same at each try; made up if unsaid
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// `rolling`, `canary`, `blue-green` or `staged`
    #[arg(long, value_name = "STRATEGY")]
    pub strategy: Option<String>,
    /// `low`, `medium`, `high` or `critical`
    #[arg(long, value_name = "RISK")]
    pub risk: Option<String>,
    /// `observe`, `advise` or `act`, at most what service and environment allow
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// How long it is watched after it is through
    #[arg(long, value_name = "DURATION")]
    pub watch: Option<String>,
    /// The bound of false rollbacks, at most the risk's
    #[arg(long, value_name = "PROBABILITY")]
    pub alpha: Option<f64>,
    /// The share of requests that the canary is to get
    #[arg(long, value_name = "SHARE")]
    pub share: Option<f64>,
    /// A matcher of the canary's series beside its version; may be repeated
    #[arg(long, value_name = "MATCHER")]
    pub canary: Vec<String>,
    /// A matcher of the baseline's series beside its version; may be repeated
    #[arg(long, value_name = "MATCHER")]
    pub baseline: Vec<String>,
    /// It cannot be undone: nothing is rolled back without a person
    #[arg(long)]
    pub irreversible: bool,
    /// How it is shown
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// The arguments of `rollout status`.
#[derive(Clone, Debug, Args)]
pub struct RolloutOne {
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// The rollout
    #[arg(value_name = "ID")]
    pub id: String,
    /// How it is shown
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// The arguments of `rollout list`.
#[derive(Clone, Debug, Args)]
pub struct RolloutList {
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// How they are shown
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// The arguments of `rollout finish`, `abort` and `confirm`.
#[derive(Clone, Debug, Args)]
pub struct RolloutSay {
    /// Which collector.
    #[command(flatten)]
    pub target: Target,
    /// The rollout
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}
