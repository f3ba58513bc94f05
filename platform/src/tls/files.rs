//! Certificates and keys from PEM files, each of a bounded size.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{IdentityFiles, TlsError};
use crate::mark::Mark;
use crate::small_file::{SmallFile, Unread};

/// All authorities of a system are about 250 KiB.
const BYTES_MAX: usize = 1 << 20;
const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";
/// Keys with a passphrase, in their two forms.
const LOCKED: [&str; 2] = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];

/// A certificate with those above it, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Authorities as they are trusted, and as they are written.
pub(super) type DerAuthorities = (RootCertStore, Vec<CertificateDer<'static>>);

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Open,
    /// From everyone but owner and group.
    Secret,
}

pub(super) fn identity(files: &IdentityFiles) -> Result<Identity, TlsError> {
    Ok((certificates(&files.cert)?, key(&files.key)?))
}

/// At least one certificate.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path, Kept::Open)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| not_pem(path, CERTIFICATE, &error))?;
    if found.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned(), wanted: CERTIFICATE });
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path, Kept::Secret)?;
    let text = String::from_utf8_lossy(&bytes);
    if LOCKED.iter().any(|mark| text.contains(mark)) {
        return Err(TlsError::Passphrase(path.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| not_pem(path, KEY, &error))
}

/// The authorities of a file, all of which must be readable.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    authorities_der(path).map(|(roots, _)| roots)
}

/// The same, with the certificates themselves: of one reading.
pub(super) fn authorities_der(path: &Path) -> Result<DerAuthorities, TlsError> {
    let mut roots = RootCertStore::empty();
    let certs = certificates(path)?;
    for certificate in &certs {
        roots.add(certificate.clone()).map_err(|error| TlsError::Unusable {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    }
    Ok((roots, certs))
}

/// The authorities that the system trusts, but for those that cannot be read: stores hold oddities.
pub(super) fn system_authorities() -> Result<RootCertStore, TlsError> {
    system_authorities_der().map(|(roots, _)| roots)
}

/// The same, with the certificates themselves.
pub(super) fn system_authorities_der() -> Result<DerAuthorities, TlsError> {
    let mut roots = RootCertStore::empty();
    let certs = rustls_native_certs::load_native_certs().certs;
    roots.add_parsable_certificates(certs.iter().cloned());
    if roots.is_empty() { Err(TlsError::NoAuthorities) } else { Ok((roots, certs)) }
}

/// The states of some files; one that is gone has none.
pub(super) fn marks<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<Option<Mark>> {
    paths.into_iter().map(Mark::at).collect()
}

fn not_pem(path: &Path, wanted: &'static str, error: &pem::Error) -> TlsError {
    let path = path.to_owned();
    match error {
        pem::Error::NoItemsFound => TlsError::Empty { path, wanted },
        // Its text would quote the file, which may be a key in the wrong place.
        pem::Error::MissingSectionEnd { .. } => {
            TlsError::Damaged { path, reason: "a part has no end".to_owned() }
        }
        pem::Error::Base64Decode(_) => {
            TlsError::Damaged { path, reason: "it is not base64".to_owned() }
        }
        _ => TlsError::Damaged { path, reason: "it is not PEM".to_owned() },
    }
}

fn read(path: &Path, kept: Kept) -> Result<Vec<u8>, TlsError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => TlsError::Missing(path.to_owned()),
        kind => TlsError::Io { path: path.to_owned(), kind },
    };
    let file = SmallFile::open(path).map_err(failed)?;
    let mode = file.meta().mode() & 0o777;
    if kept == Kept::Secret && mode & 0o007 != 0 {
        return Err(TlsError::OpenToEveryone { path: path.to_owned(), mode });
    }
    match file.read(BYTES_MAX) {
        Ok(bytes) => Ok(bytes),
        // It holds nothing, then.
        Err(Unread::NotAFile) => Ok(Vec::new()),
        Err(Unread::TooLarge) => Err(TlsError::TooLarge(path.to_owned())),
        Err(Unread::Io(error)) => Err(failed(error)),
    }
}
