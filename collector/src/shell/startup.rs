//! From the command line to a plan: reads the file, the environment and what the machine says.

use std::env;
use std::io;

use bellwether_model::diagnostic::Diagnostics;
use bellwether_platform::journal::Loss;
use bellwether_platform::principal::PrincipalSpec;
use bellwether_platform::surroundings::{self, Unreadable};
use tracing::level_filters::LevelFilter;

use super::cli::Settings;
use super::reload::ReloadSource;
use super::serve::ServePlan;
use crate::pure::config::{self, Plan, Surroundings};

/// Read if the command line names no other and it exists.
const CONFIG: &str = "/etc/bellwether/collector.yaml";
/// How much is logged: `error`, `warn`, `info` (the default), `debug`, `trace` or `off`.
const LOG: &str = "BELLWETHER_LOG";

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The file is wrong.
    #[error("the configuration is wrong\n\n{0}")]
    Wrong(Diagnostics),
    /// The environment variable for the log is no level.
    #[error("{LOG} must be one of off, error, warn, info, debug, trace")]
    Level,
}

/// The plan, with warnings about it.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub fn plan(settings: &Settings) -> Result<(Plan, Diagnostics), StartError> {
    let (file, text) = surroundings::config_file(settings.config.as_deref(), CONFIG)?;
    config::read(&file, &text, &around(), &settings.overrides()).map_err(StartError::Wrong)
}

/// The plan as the daemon takes it, with principals beside those of the file.
#[must_use]
pub fn serve_plan(plan: Plan, settings: &Settings, always: Vec<PrincipalSpec>) -> ServePlan {
    ServePlan {
        data_dir: plan.data_dir.join("collector"),
        loss: if settings.accept_loss { Loss::Accept } else { Loss::Refuse },
        source: ReloadSource { settings: settings.clone(), plan, always },
    }
}

/// What this machine gives where the file says nothing.
#[must_use]
pub fn around() -> Surroundings {
    let data_dir = surroundings::state_dir();
    Surroundings { data_dir, environment: surroundings::environment() }
}

/// Logs to standard error from now on.
///
/// # Errors
/// [`StartError::Level`].
pub fn log() -> Result<(), StartError> {
    let level = env::var_os(LOG).filter(|level| !level.is_empty());
    let level = level.map_or(Some(LevelFilter::INFO), |level| level.to_str()?.parse().ok());
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(level.ok_or(StartError::Level)?)
        .init();
    Ok(())
}
