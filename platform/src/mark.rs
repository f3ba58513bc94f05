//! What tells one state of a file from another without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where a file is and when it was last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    /// The time of the last change is in it because the mode is: chmod moves no other.
    #[must_use]
    pub fn of(meta: &Metadata) -> Mark {
        Mark {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// The mark of what a path leads to; `None` where it cannot be looked at.
    #[must_use]
    pub fn at(path: &Path) -> Option<Mark> {
        std::fs::metadata(path).ok().as_ref().map(Mark::of)
    }
}
