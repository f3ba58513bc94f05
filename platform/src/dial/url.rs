//! The URL of a server: scheme, host and port, and the path that its interface is below.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, PathAndQuery, Scheme as UriScheme};

/// A URL that cannot be connected to; completes the sentence "… must be".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://HOST:PORT or https://HOST:PORT, without user, query or fragment")]
pub struct BadUrl;

/// With TLS or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without.
    Http,
    /// With.
    Https,
}

impl Scheme {
    /// The scheme of a URL, if it is one of these.
    #[must_use]
    pub fn of(uri: &Uri) -> Option<Scheme> {
        match uri.scheme_str() {
            Some("http") => Some(Scheme::Http),
            Some("https") => Some(Scheme::Https),
            _ => None,
        }
    }

    /// The port where none is said.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        })
    }
}

/// Host, IPv6 without brackets, and port, which is `default` where none is written. `None` for what
/// cannot be connected to, and for an authority with a user.
#[must_use]
pub fn host_and_port(authority: &Authority, default: Option<u16>) -> Option<(String, u16)> {
    let written = authority.as_str();
    let host = authority.host();
    let is_odd = host.is_empty() || written.contains('@');
    let after = written.strip_prefix(host)?;
    let port = match after.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit())),
        None => default,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    port.filter(|port| *port != 0 && !is_odd).map(|port| (host.to_owned(), port))
}

/// A server, and a path on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    /// Without the brackets of IPv6.
    host: String,
    port: u16,
    /// Empty, or beginning with a slash and not ending with one.
    base: String,
    /// As `HOST:PORT`.
    authority: Authority,
}

impl Target {
    /// Reads a URL. The scheme's port stands for none.
    ///
    /// # Errors
    /// It is none that can be connected to.
    pub fn parse(url: &str) -> Result<Target, BadUrl> {
        let uri: Uri = url.parse().map_err(|_| BadUrl)?;
        let scheme = Scheme::of(&uri).ok_or(BadUrl)?;
        let written = uri.authority().ok_or(BadUrl)?;
        let (host, port) = host_and_port(written, Some(scheme.port())).ok_or(BadUrl)?;
        if uri.query().is_some() || url.contains('#') {
            return Err(BadUrl);
        }
        let authority = format!("{}:{port}", written.host()).parse().map_err(|_| BadUrl)?;
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Target { scheme, host, port, base, authority })
    }

    /// With TLS or without.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host's name or address, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is this machine, by an address of loopback or as `localhost`.
    #[must_use]
    pub fn is_here(&self) -> bool {
        let address: Option<IpAddr> = self.host.parse().ok();
        let is_loopback = address.is_some_and(|address| address.to_canonical().is_loopback());
        is_loopback || self.host.eq_ignore_ascii_case("localhost")
    }

    /// What comes before each path of the interface: empty, or `/a/b`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `HOST:PORT`, IPv6 in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        self.authority.to_string()
    }

    pub(super) fn host_header(&self) -> HeaderValue {
        HeaderValue::from_str(self.authority.as_str())
            .expect("invariant: an authority is visible ASCII")
    }

    pub(super) fn uri(&self, path: PathAndQuery) -> Uri {
        let scheme = match self.scheme {
            Scheme::Http => UriScheme::HTTP,
            Scheme::Https => UriScheme::HTTPS,
        };
        let builder = Uri::builder().scheme(scheme).authority(self.authority.clone());
        builder.path_and_query(path).build().expect("invariant: all three parts are there")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.base)
    }
}
