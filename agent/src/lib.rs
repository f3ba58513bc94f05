//! The agent: observes a host and ships what it sees.

pub mod pure;
pub mod shell;
