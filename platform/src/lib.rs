//! The only hands both daemons share: the clock, the disk, the journal, the listener with its
//! principals, connections going out, TLS for both, files with secrets, and the stop signal.
//! Everything here is told what to do; it decides nothing.

pub mod clock;
pub mod dial;
pub mod disk;
pub mod journal;
pub mod listener;
pub mod log;
pub mod mark;
pub mod principal;
pub mod process;
pub mod secret;
pub mod sign;
pub mod small_file;
pub mod stop;
pub mod surroundings;
pub mod tls;
pub mod watched;
