use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::*;

/// A folder of its own, removed when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let name = format!("bellwether-tls-{:016x}", u64::from_ne_bytes(random));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A new file in the place of an old one, as tools that renew certificates do.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let (path, new) = (self.path(name), self.path("new"));
        fs::write(&new, content).unwrap();
        fs::set_permissions(&new, Permissions::from_mode(0o640)).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// When an issued certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Valid {
    Now,
    Formerly,
    Later,
}

/// An authority of a test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Authority {
        Authority::named("an authority")
    }

    pub(crate) fn named(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key for a name or address, for servers and clients.
    pub(crate) fn issue(&self, name: &str, valid: Valid) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        match valid {
            Valid::Now => {}
            Valid::Formerly => params.not_after = date_time_ymd(2001, 2, 3),
            Valid::Later => params.not_before = date_time_ymd(4001, 2, 3),
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// The authority's own certificate and key, as a server misuses them.
    pub(crate) fn as_identity(&self, scratch: &Scratch) -> IdentityFiles {
        IdentityFiles {
            cert: scratch.write("ca.pem", &self.pem()),
            key: scratch.write("ca.key", &self.0.key().serialize_pem()),
        }
    }

    /// [`Authority::issue`] into the files `NAME.pem` and `NAME.key`.
    pub(crate) fn issue_into(&self, scratch: &Scratch, file: &str, name: &str) -> IdentityFiles {
        let (cert, key) = self.issue(name, Valid::Now);
        IdentityFiles {
            cert: scratch.write(&format!("{file}.pem"), &cert),
            key: scratch.write(&format!("{file}.key"), &key),
        }
    }
}

fn server(identity: &IdentityFiles) -> ServerFiles {
    ServerFiles { identity: identity.clone(), client_ca: None }
}

/// What opening says with one of the files replaced.
fn words(scratch: &Scratch, files: &ServerFiles) -> String {
    let words = ServerTls::open(files.clone()).unwrap_err().to_string();
    words.replace(scratch.0.to_str().unwrap(), "")
}

#[test]
fn files_that_cannot_be_used_are_told_in_words() {
    let scratch = Scratch::new();
    let authority = Authority::new();
    let good = authority.issue_into(&scratch, "a", "localhost");
    let other = authority.issue_into(&scratch, "b", "localhost");
    ServerTls::open(server(&good)).unwrap();

    let with_key = |key: PathBuf| server(&IdentityFiles { key, ..good.clone() });
    let with_cert = |cert: PathBuf| server(&IdentityFiles { cert, ..good.clone() });
    assert_eq!(
        words(&scratch, &with_key(other.key)),
        "the key in \"/b.key\" is not that of the first certificate in \"/a.pem\""
    );
    assert_eq!(words(&scratch, &with_key(scratch.path("c"))), "\"/c\" does not exist");
    assert_eq!(
        words(&scratch, &with_key(good.cert.clone())),
        "\"/a.pem\" holds no private key in PEM form"
    );
    assert_eq!(
        words(&scratch, &with_cert(good.key.clone())),
        "\"/a.key\" holds no certificate in PEM form"
    );
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(
        words(&scratch, &with_key(scratch.write("locked", locked))),
        "the key in \"/locked\" has a passphrase; keep it without one, mode 600"
    );
    let (cert, key) = authority.issue("localhost", Valid::Now);
    let half = &cert[..cert.len() / 2];
    assert_eq!(
        words(&scratch, &with_cert(scratch.write("half", half))),
        "\"/half\" is damaged: a part has no end"
    );
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let text = words(&scratch, &with_cert(scratch.write("odd", odd)));
    assert!(text.starts_with("\"/odd\" cannot be used: invalid peer certificate"), "{text}");
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(
        words(&scratch, &with_cert(scratch.write("large", &large))),
        "\"/large\" is larger than 1 MiB"
    );
    let open = scratch.write("open", &key);
    fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        words(&scratch, &with_key(open)),
        "\"/open\" has the mode 644: everyone may use the key; run chmod 640 on it"
    );
    let client_ca = Some(scratch.write("empty", ""));
    assert_eq!(
        words(&scratch, &ServerFiles { client_ca, ..server(&good) }),
        "\"/empty\" holds no certificate in PEM form"
    );
}

#[test]
fn changed_files_are_read_once_they_have_settled() {
    let scratch = Scratch::new();
    let authority = Authority::new();
    let files = authority.issue_into(&scratch, "a", "localhost");
    let tls = ServerTls::open(server(&files)).unwrap();
    let first = Arc::as_ptr(tls.acceptor().config());
    let in_use = |tls: &ServerTls| Arc::as_ptr(tls.acceptor().config());
    assert_eq!((tls.look(), tls.look()), (None, None));

    // One file after the other, a look between them.
    let (cert, key) = authority.issue("localhost", Valid::Now);
    scratch.write("a.pem", &cert);
    assert_eq!(tls.look(), None);
    scratch.write("a.key", &key);
    assert_eq!(tls.look(), None);
    assert_eq!(in_use(&tls), first);
    assert_eq!(tls.look(), Some(Ok(())));
    let second = in_use(&tls);
    assert_ne!(second, first);

    // What cannot be used is said once, and changes nothing.
    scratch.write("a.pem", "nothing");
    let empty = TlsError::Empty { path: files.cert.clone(), wanted: "certificate" };
    assert_eq!((tls.look(), tls.look(), tls.look()), (None, Some(Err(empty)), None));
    fs::remove_file(&files.key).unwrap();
    assert_eq!(tls.look(), None);
    assert!(tls.look().unwrap().is_err());
    assert_eq!(in_use(&tls), second);

    authority.issue_into(&scratch, "a", "localhost");
    assert_eq!((tls.look(), tls.look()), (None, Some(Ok(()))));
    assert_ne!(in_use(&tls), second);
}

#[test]
fn a_client_reads_its_files_when_they_change() {
    let scratch = Scratch::new();
    let ca = scratch.write("ca", &Authority::new().pem());
    let mut tls = ClientTls::new(ClientFiles { ca: Some(ca.clone()), identity: None });
    let first = tls.config().unwrap();
    assert!(Arc::ptr_eq(&first, &tls.config().unwrap()));
    scratch.write("ca", &Authority::new().pem());
    let second = tls.config().unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    tls.forget();
    assert!(!Arc::ptr_eq(&second, &tls.config().unwrap()));
    fs::remove_file(&ca).unwrap();
    assert_eq!(tls.config().unwrap_err(), TlsError::Missing(ca));
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let scratch = Scratch::new();
    let pipe = scratch.path("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let identity = IdentityFiles { cert: pipe.clone(), key: pipe };
    assert!(words(&scratch, &server(&identity)).contains("holds no certificate"));
    let directory = IdentityFiles { cert: scratch.0.clone(), key: scratch.0.clone() };
    assert!(ServerTls::open(server(&directory)).is_err());
}
