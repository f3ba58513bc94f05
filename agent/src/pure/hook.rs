//! The hook runner: what it is asked for, what its file allows, what it decides
//! (`collector/SIGNALS.md`).
//!
//! Signals come over the network and are believed only as far as their signature and the runner's
//! own file go. What was begun is in a ledger before it begins; nothing here begins twice.

pub mod config;
pub mod decide;
pub mod ledger;
pub mod output;
pub mod pause;
pub mod verify;

use std::fmt;

use bellwether_model::signal::Signal;

/// What one program at a time works on: a service in an environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
}

impl Lane {
    /// The lane of a signal.
    #[must_use]
    pub fn of(signal: &Signal) -> Lane {
        let data = &signal.data;
        Lane { service: data.service.clone(), environment: data.environment.clone() }
    }
}

/// Service and environment with a character between that neither may have.
impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.service, self.environment)
    }
}

#[cfg(test)]
pub(crate) mod testing;
