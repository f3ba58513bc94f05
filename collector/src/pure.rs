//! Decisions of the collector: no I/O, no clock, no threads.

pub(crate) mod api;
pub(crate) mod chart;
pub mod config;
pub mod entry;
pub(crate) mod federate;
pub mod keeper;
pub mod presence;
pub mod session;
