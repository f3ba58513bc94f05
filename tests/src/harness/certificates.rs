//! Authorities and certificates for tests of TLS, made when they are needed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::Folder;

/// An authority that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one with a key of its own.
    ///
    /// # Panics
    /// If no key can be made.
    #[must_use]
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its certificate in PEM form.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name` and its key, as the files `server.pem` and `server.key`, each put
    /// in place whole.
    ///
    /// # Panics
    /// If they cannot be made or written.
    pub fn issue(&self, name: &str, folder: &Folder) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        let place = |name: &str, text: &str| {
            let (new, path) = (folder.write("new", text), folder.join(name));
            replace(&new, &path);
            path
        };
        (place("server.pem", &cert.pem()), place("server.key", &key.serialize_pem()))
    }
}

fn replace(new: &Path, path: &Path) {
    fs::set_permissions(new, Permissions::from_mode(0o600)).expect("a file of our own");
    fs::rename(new, path).expect("a temporary folder");
}
