//! Proxies: as configured, or as the environment says with the rules of curl.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::url::{Scheme, Target};
use crate::secret::{SecretError, read_secret};

/// A proxy that speaks HTTP, with what it wants to know of us. Not shown whole: it may hold a
/// password.
#[derive(Clone)]
pub struct Proxy {
    intercept: Intercept,
    authority: String,
}

/// Why there is no proxy where one is named; never quotes the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// Not the URL of a proxy.
    #[error("must be a proxy's http://[USER:PASSWORD@]HOST:PORT")]
    Malformed,
    /// Its file.
    #[error("the file {path:?} with the proxy's URL cannot be read: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: SecretError,
    },
    /// What is in its file.
    #[error("the file {0:?} must hold a proxy's http://[USER:PASSWORD@]HOST:PORT")]
    MalformedFile(PathBuf),
}

impl Proxy {
    /// Reads `http://[USER:PASSWORD@]HOST:PORT`; user and password may be percent-encoded, the
    /// scheme may be left out, the port is 80 where none is named.
    ///
    /// # Errors
    /// It is something else. SOCKS and proxies reached by TLS are not spoken.
    pub fn parse(text: &str) -> Result<Proxy, BadProxy> {
        let matcher = Matcher::builder().http(text).build();
        let any = Uri::from_static("http://a/");
        let intercept = matcher.intercept(&any).ok_or(BadProxy::Malformed)?;
        let target = Target::parse(&intercept.uri().to_string());
        let target = target.map_err(|_| BadProxy::Malformed)?;
        match target.scheme() {
            Scheme::Http => Ok(Proxy { intercept, authority: target.authority() }),
            Scheme::Https => Err(BadProxy::Malformed),
        }
    }

    /// Reads a file that holds the same, white space around it aside.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Proxy, BadProxy> {
        let text = read_secret(path)
            .map_err(|reason| BadProxy::Unreadable { path: path.to_owned(), reason })?;
        Proxy::parse(text.trim()).map_err(|_| BadProxy::MalformedFile(path.to_owned()))
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn authority(&self) -> String {
        self.authority.clone()
    }

    /// The header `Proxy-Authorization`, marked as sensitive.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.intercept.basic_auth()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.authority)
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Proxy) -> bool {
        self.authority == other.authority && self.authorization() == other.authorization()
    }
}

impl Eq for Proxy {}

/// The proxy that the environment names for a target: `HTTPS_PROXY` or `HTTP_PROXY`, else
/// `ALL_PROXY`, but for what `NO_PROXY` excepts; also in small letters. Never for this machine.
///
/// # Errors
/// The name of the variable that holds something else.
pub fn from_environment(
    target: &Target,
    environment: &BTreeMap<String, String>,
) -> Result<Option<Proxy>, &'static str> {
    if target.is_here() {
        return Ok(None);
    }
    let get = |name: &str| {
        let value = environment.get(name).or_else(|| environment.get(&name.to_lowercase()));
        value.map(String::as_str).filter(|value| !value.is_empty())
    };
    let own = match target.scheme() {
        Scheme::Http => "HTTP_PROXY",
        Scheme::Https => "HTTPS_PROXY",
    };
    let named = [own, "ALL_PROXY"].into_iter().find_map(|name| Some((name, get(name)?)));
    let Some((name, text)) = named else { return Ok(None) };
    let excepts = get("NO_PROXY").unwrap_or_default();
    let matcher = Matcher::builder().all("http://a").no(excepts).build();
    let uri = target.uri(hyper::http::uri::PathAndQuery::from_static("/"));
    if matcher.intercept(&uri).is_none() {
        return Ok(None);
    }
    Proxy::parse(text).map(Some).map_err(|_| name)
}
