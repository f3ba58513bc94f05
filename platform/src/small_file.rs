//! Files that people put there and that are small: tokens, secrets, certificates, keys, lists of
//! targets.
//!
//! They are opened without blocking, so that a pipe in a file's place is refused instead of waited
//! for, and read up to a bound.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// An open file, of whatever kind.
#[derive(Debug)]
pub struct SmallFile {
    file: File,
    meta: Metadata,
}

/// Why an open file's content cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// A pipe, a directory, a device.
    #[error("it is no regular file")]
    NotAFile,
    /// More than the bound.
    #[error("it is too large")]
    TooLarge,
    /// The operating system does not let us.
    #[error("{0}")]
    Io(io::Error),
}

impl SmallFile {
    /// Opens what a path leads to.
    ///
    /// # Errors
    /// The operating system does not let us.
    pub fn open(path: &Path) -> io::Result<SmallFile> {
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let meta = file.metadata()?;
        Ok(SmallFile { file, meta })
    }

    /// What the system says of the file that is open.
    #[must_use]
    pub fn meta(&self) -> &Metadata {
        &self.meta
    }

    /// Reads all of a regular file of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`Unread`]
    pub fn read(self, bytes_max: usize) -> Result<Vec<u8>, Unread> {
        if !self.meta.is_file() {
            return Err(Unread::NotAFile);
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        self.file.take(most).read_to_end(&mut bytes).map_err(Unread::Io)?;
        if bytes.len() > bytes_max { Err(Unread::TooLarge) } else { Ok(bytes) }
    }
}
