//! What the agent decides and computes: bytes of kernel files to rows, the configuration to a plan.
//! No clock, no file, no thread, no socket.

pub mod account;
pub mod columns;
pub mod config;
pub mod family;
pub mod files;
pub mod filter;
pub mod hook;
pub mod input;
pub mod probe;
pub mod roster;
pub mod scan;
pub mod scrape;
pub mod ship;
pub mod ticks;
