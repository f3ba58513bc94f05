//! The collector's store of samples: lanes of rows, an index of series, views.
//!
//! One [`Writer`], owned by the keeper's thread, adds rows; any number of [`Store`] handles make
//! [`View`]s, which are immutable (see [`view`]) and tell what is new since an earlier one. A
//! *lane* holds the rows of one column group of one source: times once, up to 16 open rows, sealed
//! column by column into parts and merged into immutable blocks (the bytes of a column are
//! `FORMAT.md`'s). A series is a label set; lanes that hold the same label set hold the same
//! series.
//!
//! Sealed blocks go to chunk files ([`files`]) and are read there; all else is in memory, and in
//! the [`checkpoint`] that a start begins with. What came after the checkpoint is the journal's.
//! All
//! I/O goes through `platform`'s `Disk`; there is no clock and no thread here, times are arguments.
//!
//! It deliberately does not: thin out old samples, or take rows out of order.
#![warn(missing_docs)]

mod births;
mod block;
pub mod checkpoint;
pub mod chunk;
pub mod files;
mod index;
mod lane;
mod liveness;
mod stats;
mod store;
pub mod view;
mod writer;

use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use files::{Damage, FileLimits, Filer, Filing, GoneFile, Placed};
pub use lane::LaneId;
pub use liveness::{GRACE, PROMPT};
pub use stats::Stats;
pub use store::{Limits, SLACK, Store};
pub use view::View;
pub use writer::{Appended, Capture, Definition, Refusal, Refused, Restored, Restoring, Writer};

/// Who owns lanes: an agent, or the keeper itself. Numbered by the keeper, best densely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(pub u32);

const UNPOISONED: &str = "invariant: nothing panics while it changes the store";

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().expect(UNPOISONED)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().expect(UNPOISONED)
}

fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().expect(UNPOISONED)
}

#[cfg(test)]
mod tests;
