//! The hands of the collector: sockets, threads, files, own metrics.
mod ask;
mod auth;
pub mod blocks;
pub mod check;
pub mod cli;
pub mod hosts_cli;
pub mod judge;
pub mod keep;
pub mod key;
pub mod push;
pub mod query_cli;

pub(crate) mod api;
pub(crate) mod federate;
mod forms;
pub mod hosts;
pub mod metrics;
pub mod program;
pub mod recover;
pub mod reload;
pub mod rules_cli;
pub mod serve;
pub mod startup;
pub mod status;
mod table;
pub mod test_cli;
pub mod up;
pub mod verify;
