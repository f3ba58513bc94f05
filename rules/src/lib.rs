//! Decisions: alert rules, recording rules, SLOs, rollout policies and verdicts. Pure.
//!
//! So far there are the verdict of a rollout and its signed record. The rule files, their schedule and their states will
//! live here too. The query language they use is in `bellwether-promql`.
#![warn(missing_docs)]

pub mod record;
pub mod verdict;
