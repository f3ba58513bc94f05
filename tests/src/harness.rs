//! Real processes on loopback: started, asked, waited for, killed.
//!
//! Nothing here sleeps to synchronise: a test waits for a line of a process ([`Process::line`]) or
//! for a condition that is asked again until a deadline ([`until`]). Whatever a test started ends
//! with it, also when it panics, and then the last lines of each process are shown. A peer that is
//! not installed is no failure: the test says so with [`skip`] and returns.

mod certificates;
mod http;
mod https;
mod light;
mod peer;
mod process;
mod wait;

pub use certificates::Authority;
pub use http::{Response, delete, escape, get, get_as, post};
pub use https::{get_secure, post_secure};
pub use light::{LightAgent, Pushing};
pub use peer::{Daemon, daemon, peer, skip};
pub use process::{Folder, Process, free_port};
pub use wait::{until, within};
