//! Decisions: alert rules, recording rules, SLOs, rollout policies and verdicts. Pure.
//!
//! Nothing is decided yet: the rule files, their schedule and their states will live here. The
//! query language they use is in `bellwether-promql`.
#![warn(missing_docs)]
