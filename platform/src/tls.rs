//! TLS for both ends: certificates from PEM files, looked at again when they change.
//!
//! Versions 1.2 and 1.3 with ring's ciphers, nothing to choose. A server's files that cannot be
//! used any more leave it with what it has; a client reads its files again before a connection.
//! Nothing that the daemons rely on connects without checking the certificate and its name; only a
//! probe ([`LookTls`]) may, which wants to know of it, and a scrape that is told to.

mod certificate;
mod client;
mod files;
mod look;
mod server;
mod wire;
mod words;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bellwether_model::config::Fields;
use bellwether_model::config::code;
use bellwether_model::diagnostic::Diagnostic;
use rustls::crypto::CryptoProvider;

pub use certificate::Certificate;
pub use client::ClientTls;
pub use look::{Agreed, LookTls, Seen, Speaks, Trust};
pub use server::ServerTls;
pub use wire::Wire;

pub(crate) use words::{Handshake, failed};

/// Protocols in the order of preference (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate with those it was signed by, and its key: two files in PEM form.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdentityFiles {
    /// The certificate first, then those between it and the authority's.
    pub cert: PathBuf,
    /// The key, without a passphrase, not open to everyone.
    pub key: PathBuf,
}

/// What a server needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFiles {
    /// Who it says it is.
    pub identity: IdentityFiles,
    /// The authorities one of which must have signed the client's certificate; none asks for none.
    pub client_ca: Option<PathBuf>,
}

/// What a client needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientFiles {
    /// The authorities one of which must have signed the server's certificate; none: the system's.
    pub ca: Option<PathBuf>,
    /// Who it says it is, where the server asks.
    pub identity: Option<IdentityFiles>,
}

impl IdentityFiles {
    /// Reads both files and tells when the first certificate of the chain expires, in seconds since
    /// 1970; `None` if none of them tells.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn expires(&self) -> Result<Option<i64>, TlsError> {
        let (chain, _) = files::identity(self)?;
        let read = chain.iter().filter_map(|der| Certificate::read(der));
        Ok(read.map(|certificate| certificate.not_after).min())
    }
}

impl ServerFiles {
    /// Reads the keys of a section `tls`.
    pub fn describe(f: &mut Fields<'_>) -> ServerFiles {
        let cert = f
            .text("cert_file", "The certificate in PEM form, those that signed it after it.")
            .required();
        let key = f
            .text(
                "key_file",
                "Its key, without a passphrase; both are read again when they change.",
            )
            .required();
        let client_ca = f
            .text("client_ca_file", "Authorities; clients need a certificate that one has signed.")
            .optional();
        ServerFiles {
            identity: IdentityFiles { cert: cert.into(), key: key.into() },
            client_ca: client_ca.map(PathBuf::from),
        }
    }
}

impl ClientFiles {
    /// Reads the keys of a section that tells whom to connect to.
    pub fn describe(f: &mut Fields<'_>) -> ClientFiles {
        let ca = f
            .text("ca_file", "Authorities to trust in place of the system's, in PEM form.")
            .optional();
        let cert = f
            .text("cert_file", "A client certificate in PEM form, for servers that ask for one.")
            .optional();
        let key = f.text("key_file", "The key of `cert_file`, without a passphrase.").optional();
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some(IdentityFiles { cert: cert.into(), key: key.into() }),
            (cert, key) => {
                if cert.is_some() != key.is_some() {
                    let (has, lacks) = match cert {
                        Some(_) => ("cert_file", "key_file"),
                        None => ("key_file", "cert_file"),
                    };
                    let message = format!("`{has}` needs `{lacks}`");
                    f.push(Diagnostic::error(code::MISSING, f.place_of(has), message));
                }
                None
            }
        };
        ClientFiles { ca: ca.map(PathBuf::from), identity }
    }
}

/// What is wrong with certificates or keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// There is no such file.
    #[error("{0:?} does not exist")]
    Missing(PathBuf),
    /// The operating system does not let us.
    #[error("cannot use {path:?}: {kind}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What it said.
        kind: io::ErrorKind,
    },
    /// A key that everyone on the machine may read or change.
    #[error("{path:?} has the mode {mode:03o}: everyone may use the key; run chmod 640 on it")]
    OpenToEveryone {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// More than any certificate or key needs.
    #[error("{0:?} is larger than 1 MiB")]
    TooLarge(PathBuf),
    /// Not what is needed, or not PEM.
    #[error("{path:?} holds no {wanted} in PEM form")]
    Empty {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
    },
    /// PEM that cannot be read.
    #[error("{path:?} is damaged: {reason}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// Nobody is there to type a passphrase.
    #[error("the key in {0:?} has a passphrase; keep it without one, mode 600")]
    Passphrase(PathBuf),
    /// Key and certificate are of different pairs.
    #[error("the key in {key:?} is not that of the first certificate in {cert:?}")]
    NotAPair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate or key of a kind that TLS or ring does not know.
    #[error("{path:?} cannot be used: {reason}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What rustls said.
        reason: String,
    },
    /// A system without authorities.
    #[error(
        "the system has no certificate authorities; install ca-certificates, or name a ca_file"
    )]
    NoAuthorities,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn alpn() -> Vec<Vec<u8>> {
    ALPN.iter().map(|name| name.to_vec()).collect()
}

#[cfg(test)]
pub(crate) mod tests;
