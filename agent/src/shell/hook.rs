//! The hook runner's hands: its ledger on the disk, programs, the collector over HTTP, the command
//! line.

pub mod cli;
pub mod client;
pub mod daemon;
pub mod ledger;
pub mod metrics;
pub mod poll;
pub mod post;
pub mod program;
pub mod runner;
pub mod startup;
pub mod status;
