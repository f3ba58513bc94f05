//! From the command line to a plan: reads the file, the environment and what the machine says.

use bellwether_model::diagnostic::Diagnostics;
use bellwether_platform::journal::Loss;
use bellwether_platform::surroundings::{self, Unreadable};

use super::cli::Settings;
use super::reload::{Always, ReloadSource};
use super::serve::ServePlan;
use crate::pure::config::{self, Plan, Surroundings};

/// Read if the command line names no other and it exists.
const CONFIG: &str = "/etc/bellwether/collector.yaml";

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The file is wrong.
    #[error("the configuration is wrong\n\n{0}")]
    Wrong(Diagnostics),
}

/// The plan, with warnings about it.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub fn plan(settings: &Settings) -> Result<(Plan, Diagnostics), StartError> {
    let (file, text) = surroundings::config_file(settings.config.as_deref(), CONFIG)?;
    config::read(&file, &text, &around(), &settings.overrides()).map_err(StartError::Wrong)
}

/// The plan as the daemon takes it, with what holds beside the file.
#[must_use]
pub fn serve_plan(mut plan: Plan, settings: &Settings, always: Always) -> ServePlan {
    always.add_to(&mut plan);
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
