//! Values that are never shown.

use std::fmt;
use std::path::{Path, PathBuf};

/// A secret as configured: in the file itself, or the path of a file that holds it, which is read
/// again at each use. Neither `Debug` nor an error shows the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Kept);

#[derive(Clone, PartialEq, Eq)]
enum Kept {
    Text(String),
    File(PathBuf),
}

/// Where the secret is to be taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SecretSource<'a> {
    /// The secret itself.
    Text(&'a str),
    /// A file that holds it; the shell reads it and cuts the last line feed.
    File(&'a Path),
}

impl Secret {
    /// A secret given in the configuration.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Secret {
        Secret(Kept::Text(text.into()))
    }

    /// A secret kept in a file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Secret {
        Secret(Kept::File(path.into()))
    }

    /// The secret or its file, at the moment of use.
    #[must_use]
    pub fn reveal(&self) -> SecretSource<'_> {
        match &self.0 {
            Kept::Text(text) => SecretSource::Text(text),
            Kept::File(path) => SecretSource::File(path),
        }
    }
}

impl Default for Secret {
    fn default() -> Secret {
        Secret::text("")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.reveal(), f)
    }
}

impl fmt::Debug for SecretSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Text(_) => f.write_str("Secret(…)"),
            SecretSource::File(path) => write!(f, "Secret(file {})", path.display()),
        }
    }
}
