//! Where both daemons' logs go and how much is in them: standard error, up to the level that the
//! environment variable `BELLWETHER_LOG` says.

use std::fmt::Display;
use std::io::Write as _;
use std::{env, io};

use tracing::level_filters::LevelFilter;

/// How much is logged: `error`, `warn`, `info` (the default), `debug`, `trace` or `off`.
const LEVEL: &str = "BELLWETHER_LOG";

/// The environment variable for the log is no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{LEVEL} must be one of off, error, warn, info, debug, trace")]
pub struct BadLevel;

/// Tells whoever reads standard error; where it cannot be written, nobody does, and the exit code
/// says it alone.
pub fn complain(text: impl Display) {
    writeln!(io::stderr(), "{text}").ok();
}

/// Logs to standard error from now on.
///
/// # Errors
/// [`BadLevel`].
///
/// # Panics
/// It was called before in this process.
pub fn start() -> Result<(), BadLevel> {
    let level = env::var_os(LEVEL).filter(|level| !level.is_empty());
    let level = level.map_or(Some(LevelFilter::INFO), |level| level.to_str()?.parse().ok());
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(level.ok_or(BadLevel)?)
        .init();
    Ok(())
}
