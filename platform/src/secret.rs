//! Secrets in files of their own, read at each use.
//!
//! Whoever puts one there decides who else may read it: its mode is not looked at.

use std::io;
use std::path::Path;

use crate::small_file::{SmallFile, Unread};

/// Bytes of a file with a secret: more than any header or URL may be.
const BYTES_MAX: usize = 16 << 10;

/// Why a file has no secret. The path is the caller's to say; what the file holds is never said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The operating system does not let us.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// A pipe, a directory, a device.
    #[error("it is no regular file")]
    NotAFile,
    /// More than 16 KiB.
    #[error("it is larger than 16 KiB")]
    TooLarge,
    /// Bytes that are no text.
    #[error("it is not UTF-8")]
    NotText,
}

impl From<Unread> for SecretError {
    fn from(reason: Unread) -> SecretError {
        match reason {
            Unread::NotAFile => SecretError::NotAFile,
            Unread::TooLarge => SecretError::TooLarge,
            Unread::Io(error) => SecretError::Io(error.kind()),
        }
    }
}

/// Reads the text of a file, white space around it included. Never waits for a pipe.
///
/// # Errors
/// [`SecretError`]
pub fn read_secret(path: &Path) -> Result<String, SecretError> {
    let file = SmallFile::open(path).map_err(|error| SecretError::Io(error.kind()))?;
    String::from_utf8(file.read(BYTES_MAX)?).map_err(|_| SecretError::NotText)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::tls::tests::Scratch;

    #[test]
    fn secrets_are_read_from_small_regular_files_alone() {
        let scratch = Scratch::new();
        let file = scratch.write("secret", " s3cret\n");
        assert_eq!(read_secret(&file).as_deref(), Ok(" s3cret\n"));
        let most = "x".repeat(BYTES_MAX);
        assert_eq!(read_secret(&scratch.write("most", &most)), Ok(most.clone()));
        let larger = scratch.write("larger", &format!("{most}x"));
        assert_eq!(read_secret(&larger), Err(SecretError::TooLarge));
        std::fs::write(&file, [0xff]).unwrap();
        assert_eq!(read_secret(&file), Err(SecretError::NotText));
        let pipe = scratch.path("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for odd in [&*pipe, &scratch.path("."), Path::new("/dev/zero")] {
            assert_eq!(read_secret(odd), Err(SecretError::NotAFile), "{odd:?}");
        }
        let gone = read_secret(&scratch.path("gone"));
        assert_eq!(gone, Err(SecretError::Io(io::ErrorKind::NotFound)));
    }
}
