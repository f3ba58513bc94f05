//! Keys of decision records: `key make`, `key show`, and where the keys of other commands are.
//!
//! A signing key is a file of the kind that tokens are in: 32 random bytes as hexadecimal digits,
//! for its owner only. The public key stands beside it in `<file>.pub`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bellwether_platform::disk::{RealDisk, make_dir, replace_file};
use bellwether_platform::log::complain;
use bellwether_platform::principal::{Token, TokenError, make_token};
use bellwether_rules::record::{PublicKey, SecretKey};

use super::cli::Key;
use super::{judge, startup};

/// The signing key of this machine, in the directory of all state.
const DEFAULT: &str = "record.key";
/// Bytes of a public key's file, at most.
const PUBLIC_BYTES_MAX: usize = 1024;

/// Makes or shows a key.
///
/// # Errors
/// The file exists, or cannot be written or read, or holds no key.
pub fn run(key: &Key) -> anyhow::Result<ExitCode> {
    let public = match key {
        Key::Make(file) => make(&file.file)?.public(),
        Key::Show(file) => read(&file.file)?.public(),
    };
    io::stdout().write_all(format!("{public}\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The key that signs: the one named, or this machine's, which is made when it is first used.
///
/// # Errors
/// It cannot be read or made.
pub(super) fn signing(path: Option<&Path>, dir: Option<&Path>) -> anyhow::Result<SecretKey> {
    if let Some(path) = path {
        return read(path);
    }
    let dir = dir.map_or_else(|| startup::around().data_dir, Path::to_owned);
    let path = dir.join(DEFAULT);
    make_dir(&RealDisk, &dir).with_context(|| format!("cannot make {}", dir.display()))?;
    match make(&path) {
        Ok(key) => {
            let beside = public_path(&path);
            complain(format_args!(
                "bellwether: made the key {} to sign records with; {} checks them",
                path.display(),
                beside.display()
            ));
            Ok(key)
        }
        Err(error) if matches!(error.downcast_ref(), Some(TokenError::Exists(_))) => read(&path),
        Err(error) => Err(error),
    }
}

/// The key that checks.
///
/// # Errors
/// The file cannot be read or holds no public key.
pub(super) fn checking(path: &Path) -> anyhow::Result<PublicKey> {
    let file = path.display();
    let bytes =
        judge::read(path, PUBLIC_BYTES_MAX).with_context(|| format!("cannot read {file}"))?;
    if bytes.len() > PUBLIC_BYTES_MAX {
        bail!("{file} holds no public key: it is too large");
    }
    let text = String::from_utf8_lossy(&bytes);
    text.parse().with_context(|| format!("{file} holds no public key"))
}

fn make(path: &Path) -> anyhow::Result<SecretKey> {
    let key = parse(path, &make_token(&RealDisk, path)?)?;
    let public = format!("{}\n", key.public());
    let beside = public_path(path);
    replace_file(&RealDisk, &beside, public.as_bytes())
        .with_context(|| format!("cannot write {}", beside.display()))?;
    Ok(key)
}

fn read(path: &Path) -> anyhow::Result<SecretKey> {
    parse(path, &Token::read(path)?)
}

fn parse(path: &Path, token: &Token) -> anyhow::Result<SecretKey> {
    SecretKey::parse(token.expose())
        .with_context(|| format!("{} holds no signing key", path.display()))
}

fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}
