//! The hands of the collector: sockets, threads, files, own metrics.
mod auth;
pub mod check;
pub mod cli;
pub mod hosts_cli;
pub mod keep;
pub mod push;

pub(crate) mod api;
pub(crate) mod federate;
mod forms;
pub mod hosts;
pub mod metrics;
pub mod program;
pub mod reload;
pub mod serve;
pub mod startup;
pub mod status;
pub mod up;
