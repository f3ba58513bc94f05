//! The server's end: its certificate, exchanged while it runs.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::WebPkiClientVerifier;
use rustls::{InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::files::{self, marks};
use super::{ServerFiles, TlsError, alpn, provider};
use crate::mark::Mark;

/// A certificate in use, and the files that it came from.
#[derive(Debug)]
pub struct ServerTls {
    files: ServerFiles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// The files as they were when last read, well or not.
    read: Vec<Option<Mark>>,
    /// The files as they were at the last look.
    seen: Vec<Option<Mark>>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Says which cannot be used, and why.
    pub fn open(files: ServerFiles) -> Result<ServerTls, TlsError> {
        let read = marks(paths(&files));
        let config = config(&files)?;
        let state = State { config, seen: read.clone(), read };
        Ok(ServerTls { files, state: Mutex::new(state) })
    }

    /// Looks whether the files have changed. They are read once they were the same in two looks,
    /// so that a certificate and a key that are replaced one after the other are read together.
    /// `None` if nothing new was read, else whether it is in use now; if not, the old one stays.
    pub fn look(&self) -> Option<Result<(), TlsError>> {
        let now = marks(paths(&self.files));
        let mut state = self.state();
        let settled = state.seen == now;
        let changed = state.read != now;
        state.seen.clone_from(&now);
        if !settled || !changed {
            return None;
        }
        state.read = now;
        Some(config(&self.files).map(|config| state.config = config))
    }

    /// What takes the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.state().config).into()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn paths(files: &ServerFiles) -> impl Iterator<Item = &Path> {
    let own = [files.identity.cert.as_path(), files.identity.key.as_path()];
    own.into_iter().chain(files.client_ca.as_deref())
}

fn config(files: &ServerFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, key) = files::identity(&files.identity)?;
    let unusable = |path: &Path, error: &dyn ToString| TlsError::Unusable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let (cert_path, key_path) = (&files.identity.cert, &files.identity.key);
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("invariant: ring has ciphers for both versions");
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(files::authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = verifier.build().map_err(|error| unusable(path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::NotAPair { cert: cert_path.clone(), key: key_path.clone() }
        }
        rustls::Error::InvalidCertificate(_) => unusable(cert_path, &error),
        _ => unusable(key_path, &error),
    });
    let mut config = config?;
    config.alpn_protocols = alpn();
    Ok(Arc::new(config))
}
