//! A handshake that is looked at: for probes, which want to know of a server's certificate also
//! where they do not trust it.
//!
//! Every handshake is a whole one. Authorities are read once for all who share this, again when
//! their file changes, and after a failure once they are old.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_model::time::Mono;
use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::client::{base, paths};
use super::files::{self, marks};
use super::{Certificate, ClientFiles, Handshake, TlsError, Wire, alpn, failed, provider};
use crate::mark::Mark;

/// The age at which a failed handshake lets authorities be read again: those of the system may be
/// new, and reading them costs milliseconds.
const STALE: Duration = Duration::from_secs(300);
/// Certificates of a server that are looked at.
const CHAIN_MAX: usize = 10;

/// Whether a server must be the one it is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Its certificate must be good for its name.
    Verified,
    /// Whoever answers will do.
    Anyone,
}

/// What is spoken behind the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/2 or HTTP/1.1, which the handshake agrees on.
    Http,
    /// Anything; the handshake does not say.
    Anything,
}

/// What was seen of the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its certificates, the leaf first, up to one that cannot be read.
    pub chain: Vec<Certificate>,
    /// SHA-256 of the leaf in hexadecimal.
    pub fingerprint: String,
    /// When the chain expires that expires last, of those that lead to an authority: in seconds
    /// since 1970. Only of a server that is trusted.
    pub chain_expiry: Option<i64>,
    /// What was agreed on, once the handshake is over.
    pub agreed: Option<Agreed>,
}

/// What a handshake has agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// `TLS 1.3`, …
    pub version: &'static str,
    /// The cipher suite by its registered name.
    pub cipher: String,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
}

/// Makes handshakes. Shared by all that trust the same.
#[derive(Debug)]
pub struct LookTls {
    files: ClientFiles,
    trust: Trust,
    held: Mutex<Option<Held>>,
}

#[derive(Clone, Debug)]
struct Held {
    marks: Vec<Option<Mark>>,
    since: Mono,
    authorities: Arc<Authorities>,
    config: Arc<ClientConfig>,
}

/// Those who may have signed.
#[derive(Debug)]
struct Authorities {
    verifier: Option<Arc<WebPkiServerVerifier>>,
    certificates: Vec<Certificate>,
}

impl LookTls {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(files: ClientFiles, trust: Trust) -> LookTls {
        LookTls { files, trust, held: Mutex::new(None) }
    }

    /// Shakes hands with the server of a name. What was seen of it is also there if that fails.
    ///
    /// # Errors
    /// In words why it failed; completes the sentence "TLS with HOST failed: …".
    pub async fn handshake(
        &self,
        now: Mono,
        stream: TcpStream,
        name: &str,
        speaks: Speaks,
    ) -> (Seen, Result<Wire, String>) {
        let none = Seen::default;
        let held = match self.held(now) {
            Ok(held) => held,
            Err(error) => return (none(), Err(error.to_string())),
        };
        let Ok(server) = ServerName::try_from(name.to_owned()) else {
            return (none(), Err(format!("{name} cannot be the name of a server")));
        };
        let seen = Arc::new(Recorder {
            authorities: Arc::clone(&held.authorities),
            trust: self.trust,
            chain: Mutex::new(Vec::new()),
        });
        let mut config = (*held.config).clone();
        let verifier: Arc<dyn ServerCertVerifier> = seen.clone();
        config.dangerous().set_certificate_verifier(verifier);
        if speaks == Speaks::Http {
            config.alpn_protocols = alpn();
        }
        let result = TlsConnector::from(Arc::new(config)).connect(server, stream).await;
        let chain = std::mem::take(&mut *seen.chain());
        let mut looked = held.authorities.look(&chain);
        match result {
            Ok(stream) => {
                let connection = stream.get_ref().1;
                looked.agreed = Some(Agreed {
                    version: version(connection.protocol_version()),
                    cipher: connection.negotiated_cipher_suite().map_or_else(
                        String::new,
                        |suite| {
                            // The library tells the suites of TLS 1.3 apart in its own way.
                            format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
                        },
                    ),
                    http2: connection.alpn_protocol() == Some(b"h2"),
                });
                if self.trust == Trust::Anyone {
                    looked.chain_expiry = None;
                }
                (looked, Ok(Wire::Tls(Box::new(stream.into()))))
            }
            Err(error) => {
                looked.chain_expiry = None;
                self.forget_old(now);
                let reason = failed(Handshake { name, ca: self.files.ca.as_deref() }, &error);
                (looked, Err(reason))
            }
        }
    }

    fn held(&self, now: Mono) -> Result<Held, TlsError> {
        let marks = marks(paths(&self.files));
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_ref().filter(|held| held.marks == marks) {
            return Ok(held.clone());
        }
        let (roots, authorities) = authorities(self.trust, self.files.ca.as_deref())?;
        let mut config = base(&self.files, roots)?;
        config.resumption = Resumption::disabled();
        let config = Arc::new(config);
        let fresh = Held { marks, since: now, authorities: Arc::new(authorities), config };
        *held = Some(fresh.clone());
        Ok(fresh)
    }

    fn forget_old(&self, now: Mono) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|held| now.since(held.since) >= STALE) {
            *held = None;
        }
    }
}

/// Who is trusted. Without verification nobody is asked for.
fn authorities(trust: Trust, ca: Option<&Path>) -> Result<(RootCertStore, Authorities), TlsError> {
    let none = || Authorities { verifier: None, certificates: Vec::new() };
    if trust == Trust::Anyone {
        return Ok((RootCertStore::empty(), none()));
    }
    let (roots, der) = match ca {
        Some(path) => files::authorities_der(path)?,
        None => files::system_authorities_der()?,
    };
    let certificates = der.iter().filter_map(|der| Certificate::read(der)).collect();
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider());
    let verifier = built.build().map_err(|_| TlsError::NoAuthorities)?;
    Ok((roots, Authorities { verifier: Some(verifier), certificates }))
}

impl Authorities {
    fn look(&self, chain: &[CertificateDer<'static>]) -> Seen {
        let leaf = chain.first().map(Sha256::digest);
        let fingerprint = leaf.into_iter().flatten().map(|byte| format!("{byte:02x}")).collect();
        let chain: Vec<Certificate> =
            chain.iter().take(CHAIN_MAX).map_while(|der| Certificate::read(der)).collect();
        let chain_expiry = self.expiry(&chain);
        Seen { chain, fingerprint, chain_expiry, agreed: None }
    }

    /// Of all ways by names from the leaf to an authority, the end of the one that holds longest;
    /// each holds until the first of its certificates expires. `ends` are those of the ways from
    /// each certificate, of one more step with each round.
    fn expiry(&self, chain: &[Certificate]) -> Option<i64> {
        let mut ends: Vec<Option<i64>> = vec![None; chain.len()];
        for _ in chain {
            let round = chain.iter().map(|from| {
                let signed = |by: &&Certificate| from.is_issued_by(by);
                let known = self.certificates.iter().filter(signed).map(|by| by.not_after).max();
                let others = chain.iter().zip(&ends).filter(|(by, _)| signed(by));
                let end = known.max(others.filter_map(|(_, end)| *end).max());
                end.map(|end| end.min(from.not_after))
            });
            ends = round.collect();
        }
        ends.first().copied().flatten()
    }
}

/// Keeps a server's certificates as they are verified.
#[derive(Debug)]
struct Recorder {
    authorities: Arc<Authorities>,
    trust: Trust,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

/// Takes any certificate for good.
pub(super) fn anyone() -> Arc<dyn ServerCertVerifier> {
    let authorities = Authorities { verifier: None, certificates: Vec::new() };
    Arc::new(Recorder {
        authorities: Arc::new(authorities),
        trust: Trust::Anyone,
        chain: Mutex::new(Vec::new()),
    })
}

impl Recorder {
    fn chain(&self) -> std::sync::MutexGuard<'_, Vec<CertificateDer<'static>>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        *self.chain() = all.take(CHAIN_MAX).map(|der| der.clone().into_owned()).collect();
        match (self.trust, &self.authorities.verifier) {
            (Trust::Anyone, _) => Ok(ServerCertVerified::assertion()),
            (Trust::Verified, Some(verifier)) => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            (Trust::Verified, None) => Err(Error::General("nobody is trusted".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
    };

    use super::*;

    fn params(name: &str, until: i32) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(until, 1, 1);
        params
    }

    /// The years in which chains expire, of the certificates that a server shows.
    #[test]
    fn the_chain_that_holds_longest_counts_and_each_as_long_as_its_first_to_expire() {
        let key = || KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(params("root", 2046), key()).unwrap();
        let other = CertifiedIssuer::self_signed(params("other", 2048), key()).unwrap();
        let below = CertifiedIssuer::signed_by(params("below", 2042), key(), &root).unwrap();
        let crossed = params("below", 2044).signed_by(&key(), &other).unwrap();
        let leaf = params("leaf", 2045).signed_by(&key(), &below).unwrap();
        let root_der = root.der().clone();
        let trusted = |all: &[&CertificateDer<'_>]| Authorities {
            verifier: None,
            certificates: all.iter().map(|der| Certificate::read(der).unwrap()).collect(),
        };
        let shown = [leaf.der(), below.der(), crossed.der(), &root_der];
        let shown: Vec<_> = shown.into_iter().map(|der| der.clone().into_owned()).collect();
        let year = |authorities: &Authorities, chain: &[CertificateDer<'static>]| {
            authorities.look(chain).chain_expiry.map(|end| 1970 + end / 31_556_952)
        };
        assert_eq!(year(&trusted(&[root.der()]), &shown), Some(2042));
        assert_eq!(year(&trusted(&[root.der(), other.der()]), &shown), Some(2044));
        assert_eq!(year(&trusted(&[root.der()]), &shown[..1]), None, "no way to the root");
        assert_eq!(year(&trusted(&[below.der()]), &shown[..1]), Some(2042));
        assert_eq!(year(&trusted(&[]), &shown), None);
        let seen = trusted(&[]).look(&shown);
        assert_eq!((seen.chain.len(), seen.fingerprint.len()), (4, 64));
    }

    #[test]
    fn what_comes_after_a_certificate_that_cannot_be_read_is_not_taken_for_it() {
        let key = KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(params("root", 2046), key).unwrap();
        let root = root.der().clone();
        let known = vec![Certificate::read(&root).unwrap()];
        let authorities = Authorities { verifier: None, certificates: known };
        let odd = CertificateDer::from(vec![0x30, 0]);
        let seen = authorities.look(&[odd.clone(), root.clone()]);
        assert_eq!((seen.chain.len(), seen.chain_expiry), (0, None));
        assert_eq!(seen.fingerprint.len(), 64);
        assert_eq!(authorities.look(&[root, odd]).chain.len(), 1);
    }

    #[test]
    fn the_authorities_of_this_system_can_be_read() {
        let Ok((roots, der)) = files::system_authorities_der() else { return };
        let read = der.iter().filter(|der| Certificate::read(der).is_some()).count();
        assert!(read >= roots.len(), "{read} of {} are read", roots.len());
    }
}
