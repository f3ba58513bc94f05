//! Decisions: alert rules, recording rules, SLOs, rollout policies and verdicts. Pure.
//!
//! So far there are rule groups and the states of alerts, the verdict of a rollout and its signed
//! record. The query language is in `bellwether-promql`.
#![warn(missing_docs)]

pub mod alert;
pub mod file;
pub mod group;
pub mod packs;
mod reading;
pub mod record;
pub mod service;
pub mod template;
pub mod unit;
pub mod verdict;
