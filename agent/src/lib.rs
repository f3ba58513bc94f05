//! The agent: observes a host and ships what it sees. The hook runner: does on a host what a
//! collector asks for, as far as its own file allows it.

pub mod pure;
pub mod shell;
