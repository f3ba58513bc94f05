//! Files that people put there and that are small: configuration, tokens, secrets, certificates,
//! keys, lists of targets.
//!
//! They are opened without blocking, so that a pipe in a file's place is refused instead of waited
//! for, and read up to a bound.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
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

impl From<Unread> for io::Error {
    fn from(reason: Unread) -> io::Error {
        match reason {
            Unread::Io(error) => error,
            Unread::TooLarge => io::Error::new(ErrorKind::FileTooLarge, reason),
            Unread::NotAFile => io::Error::new(ErrorKind::InvalidInput, reason),
        }
    }
}

/// Opens what a path leads to, without waiting for whoever writes into a pipe.
///
/// # Errors
/// The operating system does not let us.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

impl SmallFile {
    /// Opens what a path leads to.
    ///
    /// # Errors
    /// The operating system does not let us.
    pub fn open(path: &Path) -> io::Result<SmallFile> {
        let file = open_at_once(path)?;
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

/// Reads the text of a regular file of at most `bytes_max` bytes.
///
/// # Errors
/// It cannot be read, is something else, longer, or not UTF-8.
pub fn read_text(path: &Path, bytes_max: usize) -> io::Result<String> {
    let bytes = SmallFile::open(path)?.read(bytes_max)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::tls::tests::Scratch;

    #[test]
    fn text_comes_from_regular_files_of_some_bytes_alone() {
        let scratch = Scratch::new();
        assert_eq!(read_text(&scratch.write("most", "1234"), 4).unwrap(), "1234");
        let kind = |path: &Path| read_text(path, 4).unwrap_err().kind();
        assert_eq!(kind(&scratch.write("longer", "12345")), ErrorKind::FileTooLarge);
        let pipe = scratch.path("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for odd in [&*pipe, &scratch.path("."), Path::new("/dev/zero")] {
            assert_eq!(kind(odd), ErrorKind::InvalidInput, "{odd:?}");
        }
        assert_eq!(kind(&scratch.path("gone")), ErrorKind::NotFound);
    }
}
