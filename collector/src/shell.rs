//! The hands of the collector: sockets, threads, files, own metrics.
mod auth;
pub mod blocks;
pub mod check;
pub mod cli;
pub mod hosts_cli;
pub mod keep;
pub mod push;

pub(crate) mod api;
pub(crate) mod federate;
pub mod hosts;
pub mod metrics;
pub mod program;
pub mod recover;
pub mod serve;
pub mod startup;
pub mod status;
pub mod up;
