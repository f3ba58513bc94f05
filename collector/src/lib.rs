//! The collector: receives frames, keeps them, answers queries, tells.
//!
//! `pure` decides and is driven by the simulator as well as by `shell`, which has the sockets,
//! threads and files.

pub mod pure;
pub mod shell;
