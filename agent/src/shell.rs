//! The agent's hands: files, threads, sockets, the command line.

pub mod apart;
pub mod calls;
pub mod cli;
pub mod collection;
pub mod daemon;
pub mod hook;
pub mod host;
pub mod latest;
pub mod lone;
pub mod lookup;
pub mod metrics;
pub mod once;
pub mod pace;
pub mod page;
pub mod probe;
pub mod reader;
pub mod reload;
pub mod run;
pub mod sampler;
pub mod scrape;
pub mod ship;
pub mod spool;
pub mod startup;
pub mod status;
pub mod status_cli;
pub mod targets;
