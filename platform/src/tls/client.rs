//! The client's end: whom it trusts, read again when files change or a handshake fails.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};

use super::files::{self, marks};
use super::look::{self, Trust};
use super::{ClientFiles, TlsError, alpn, provider};
use crate::mark::Mark;

/// One server is connected to, and a session or two can be taken up again.
const SESSIONS: usize = 4;

/// Authorities and identity of a client, and the files that they came from.
#[derive(Debug)]
pub struct ClientTls {
    files: ClientFiles,
    trust: Trust,
    held: Option<(Vec<Option<Mark>>, Arc<ClientConfig>)>,
}

impl ClientTls {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(files: ClientFiles) -> ClientTls {
        ClientTls::trusting(files, Trust::Verified)
    }

    /// The same, with whom it trusts.
    #[must_use]
    pub fn trusting(files: ClientFiles, trust: Trust) -> ClientTls {
        ClientTls { files, trust, held: None }
    }

    /// What a connection is made with: as held, or read now if there is none or a file has changed.
    ///
    /// # Errors
    /// Says which file cannot be used, and why.
    pub(crate) fn config(&mut self) -> Result<Arc<ClientConfig>, TlsError> {
        let now = marks(paths(&self.files));
        if let Some((marks, config)) = &self.held
            && *marks == now
        {
            return Ok(Arc::clone(config));
        }
        let config = read(&self.files, self.trust)?;
        self.held = Some((now, Arc::clone(&config)));
        Ok(config)
    }

    /// After a failed handshake everything is read again: the system's authorities may be new.
    pub(crate) fn forget(&mut self) {
        self.held = None;
    }
}

pub(super) fn paths(files: &ClientFiles) -> impl Iterator<Item = &Path> {
    let own = files.identity.iter().flat_map(|own| [own.cert.as_path(), own.key.as_path()]);
    own.chain(files.ca.as_deref())
}

fn read(files: &ClientFiles, trust: Trust) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match (trust, &files.ca) {
        (Trust::Anyone, _) => RootCertStore::empty(),
        (Trust::Verified, Some(path)) => files::authorities(path)?,
        (Trust::Verified, None) => files::system_authorities()?,
    };
    let mut config = base(files, roots)?;
    if trust == Trust::Anyone {
        config.dangerous().set_certificate_verifier(look::anyone());
    }
    config.alpn_protocols = alpn();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

/// Whom to trust and who we are; no protocol is said.
pub(super) fn base(files: &ClientFiles, roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("invariant: ring has ciphers for both versions")
        .with_root_certificates(roots);
    match &files.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(own) => {
            let (chain, key) = files::identity(own)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    TlsError::NotAPair { cert: own.cert.clone(), key: own.key.clone() }
                }
                _ => TlsError::Unusable { path: own.key.clone(), reason: error.to_string() },
            })
        }
    }
}
