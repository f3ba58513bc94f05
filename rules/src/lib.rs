//! Decisions: alert rules, recording rules, SLOs, rollout policies and verdicts. Pure.
//!
//! Rule files, their schedule and their states live here; the query language they use is in
//! `bellwether-promql`.
#![warn(missing_docs)]

pub mod alert;
pub mod file;
pub mod group;
mod reading;
pub mod template;
pub mod unit;
