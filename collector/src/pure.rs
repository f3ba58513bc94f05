//! Decisions of the collector: no I/O, no clock, no threads.

pub(crate) mod api;
pub(crate) mod canvas;
pub(crate) mod chart;
pub mod config;
pub mod control;
pub mod demo;
pub mod doctor;
pub mod entry;
pub(crate) mod federate;
pub mod guard;
pub mod judge;
pub mod keeper;
pub mod notify;
pub mod pace;
pub mod plot;
pub mod presence;
pub mod recount;
pub(crate) mod runbook;
pub mod services;
pub mod session;
