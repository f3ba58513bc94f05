//! Tokens: their files and their hashes.

use std::fmt;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::mark::Mark;
use crate::small_file::{SmallFile, Unread};

/// Shorter ones may be guessed.
const BYTES_MIN: usize = 16;
/// Bytes of a token, and of its file but for white space at its end.
const BYTES_MAX: usize = 512;

/// A token, while it is being handed to whoever uses it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub(super) String);

impl Token {
    /// Reads a token file, which only its owner may read; white space around the token is dropped.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn read(path: &Path) -> Result<Token, TokenError> {
        read(path).map(|(token, _)| token)
    }

    /// The secret itself, for the one header it is sent in.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn checked(text: &[u8]) -> Option<Token> {
        let text = text.trim_ascii();
        let fits = (BYTES_MIN..=BYTES_MAX).contains(&text.len());
        let plain = text.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(text).ok().filter(|_| fits && plain)?;
        Some(Token(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token's bytes.
    #[must_use]
    pub fn of(token: &[u8]) -> TokenHash {
        TokenHash(Sha256::digest(token).into())
    }

    /// Compares in a time that does not depend on where the hashes differ.
    #[must_use]
    pub fn same_as(&self, other: &TokenHash) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        pairs.fold(0, |different, (a, b)| black_box(different | (a ^ b))) == 0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl FromStr for TokenHash {
    type Err = TokenError;

    /// Reads `sha256:` and 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<TokenHash, TokenError> {
        let digits = text.strip_prefix("sha256:").ok_or(TokenError::BadHash)?;
        let mut digits = digits.chars().map(|c| c.to_digit(16).ok_or(TokenError::BadHash));
        let mut hash = [0; 32];
        for byte in &mut hash {
            let mut nibble = || digits.next().unwrap_or(Err(TokenError::BadHash));
            let value = (nibble()? << 4) | nibble()?;
            *byte = u8::try_from(value).map_err(|_| TokenError::BadHash)?;
        }
        if digits.next().is_some() { Err(TokenError::BadHash) } else { Ok(TokenHash(hash)) }
    }
}

/// Where a principal's token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A file with the token, read again when it changes.
    File(PathBuf),
    /// Its hash, in the configuration.
    Hash(TokenHash),
}

/// What is wrong with a token or its file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no such file.
    #[error("{0:?} does not exist")]
    Missing(PathBuf),
    /// A token is not written over another.
    #[error("{0:?} exists already")]
    Exists(PathBuf),
    /// Others may read or change it.
    #[error("{path:?} has the mode {mode:03o}: others may use it; run chmod 600 on it")]
    OpenToOthers {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not 16 to 512 printable ASCII characters without white space.
    #[error("{0:?} does not hold one token of 16 to 512 printable ASCII characters")]
    Malformed(PathBuf),
    /// The hash is not in its form.
    #[error("a token's hash is \"sha256:\" and 64 hexadecimal digits")]
    BadHash,
    /// The operating system does not let us.
    #[error("cannot use {path:?}: {kind}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What it said.
        kind: io::ErrorKind,
    },
}

impl TokenError {
    pub(super) fn io(path: &Path, error: &io::Error) -> TokenError {
        match error.kind() {
            io::ErrorKind::NotFound => TokenError::Missing(path.to_owned()),
            kind => TokenError::Io { path: path.to_owned(), kind },
        }
    }

    /// Whether the file itself may be fine: looking at it failed.
    fn is_passing(&self) -> bool {
        use io::ErrorKind::{NotADirectory, PermissionDenied};
        let lasting = [NotADirectory, PermissionDenied];
        matches!(self, TokenError::Io { kind, .. } if !lasting.contains(kind))
    }
}

fn read(path: &Path) -> Result<(Token, Mark), TokenError> {
    let failed = |error: io::Error| TokenError::io(path, &error);
    let file = SmallFile::open(path).map_err(failed)?;
    let (mode, mark) = (file.meta().mode() & 0o777, Mark::of(file.meta()));
    if mode & 0o077 != 0 {
        return Err(TokenError::OpenToOthers { path: path.to_owned(), mode });
    }
    let token = match file.read(2 * BYTES_MAX) {
        Ok(bytes) => Token::checked(&bytes),
        Err(Unread::NotAFile | Unread::TooLarge) => None,
        Err(Unread::Io(error)) => return Err(failed(error)),
    };
    let token = token.ok_or_else(|| TokenError::Malformed(path.to_owned()))?;
    Ok((token, mark))
}

/// A token as it was when last looked at.
#[derive(Debug)]
pub(super) enum Watched {
    Hash(TokenHash),
    /// `settled` once a second reading found the same mark: one written twice within the tick of
    /// its file system's clock looks unchanged.
    File {
        path: PathBuf,
        last: Result<(TokenHash, Mark), TokenError>,
        settled: bool,
    },
}

impl Watched {
    pub(super) fn new(source: TokenSource) -> Result<Watched, TokenError> {
        Ok(match source {
            TokenSource::Hash(hash) => Watched::Hash(hash),
            TokenSource::File(path) => {
                let (token, mark) = read(&path)?;
                let last = Ok((TokenHash::of(token.expose().as_bytes()), mark));
                Watched::File { path, last, settled: false }
            }
        })
    }

    /// The hash of the token, if it has a usable one.
    pub(super) fn hash(&self) -> Option<TokenHash> {
        match self {
            Watched::Hash(hash) => Some(*hash),
            Watched::File { last, .. } => last.as_ref().ok().map(|(hash, _)| *hash),
        }
    }

    /// Looks at the file: `None` if nothing changed, else whether there is a usable token now.
    pub(super) fn look(&mut self) -> Option<Result<(), TokenError>> {
        let Watched::File { path, last, settled } = self else { return None };
        if let Ok((_, mark)) = last
            && *settled
            && std::fs::metadata(&*path).is_ok_and(|meta| Mark::of(&meta) == *mark)
        {
            return None;
        }
        let hashed =
            |(token, mark): (Token, Mark)| (TokenHash::of(token.expose().as_bytes()), mark);
        let next = read(path).map(hashed);
        let changed = match (&*last, &next) {
            (_, Err(error)) if error.is_passing() => return None,
            (Ok((old, _)), Ok((new, _))) => old != new,
            (Err(old), Err(new)) => old != new,
            _ => true,
        };
        let marks = |last: &Result<(TokenHash, Mark), _>| last.as_ref().ok().map(|(_, mark)| *mark);
        *settled = marks(last) == marks(&next);
        *last = next;
        changed.then(|| self.now())
    }

    fn now(&self) -> Result<(), TokenError> {
        match self {
            Watched::File { last: Err(error), .. } => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_trusted_once_it_was_read_twice() {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let name = format!("bellwether-token-{:016x}", u64::from_ne_bytes(random));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "0123456789abcdef").unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
        let mark = Mark::of(&std::fs::metadata(&path).unwrap());
        let old = TokenHash::of(b"what the file held a moment ago");
        let watched =
            |settled| Watched::File { path: path.clone(), last: Ok((old, mark)), settled };

        assert_eq!(watched(true).look(), None);
        let mut watched = watched(false);
        assert_eq!(watched.look(), Some(Ok(())));
        assert_eq!(watched.hash(), Some(TokenHash::of(b"0123456789abcdef")));
        assert!(matches!(watched, Watched::File { settled: true, .. }));
        assert_eq!(watched.look(), None);
        std::fs::remove_file(&path).unwrap();
    }
}
