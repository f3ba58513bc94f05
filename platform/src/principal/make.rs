//! Making a token.

use std::path::Path;

use super::token::{Token, TokenError};
use crate::disk::{Disk, DiskError, replace_file};

/// Random bytes of a token.
const RANDOM_BYTES: usize = 32;

/// Makes a token of 32 random bytes and its file: mode 0600, whole and durable once this returns.
///
/// # Errors
/// The file exists, which keeps its token, or cannot be written.
///
/// # Panics
/// The operating system has no random numbers.
pub fn make_token(disk: &dyn Disk, path: &Path) -> Result<Token, TokenError> {
    let failed = |error: DiskError| TokenError::io(path, &error.source);
    if disk.exists(path).map_err(failed)? {
        return Err(TokenError::Exists(path.to_owned()));
    }
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).expect("invariant: the operating system has random numbers");
    let nibbles = random.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let text: String =
        nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect();
    replace_file(disk, path, format!("{text}\n").as_bytes()).map_err(failed)?;
    Ok(Token(text))
}
