//! The only hands both daemons share: the clock, the disk, the journal, the listener with its
//! principals, and the stop signal. Everything here is told what to do; it decides nothing.

pub mod clock;
pub mod disk;
pub mod journal;
pub mod listener;
pub mod principal;
pub mod process;
pub mod stop;
