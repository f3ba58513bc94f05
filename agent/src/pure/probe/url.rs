//! The URL of a target, and what a redirect's `Location` means seen from there (RFC 3986, §5).

use core::fmt;

use bellwether_platform::dial::{Scheme, host_and_port};
use hyper::Uri;

/// Bytes of a URL.
pub const BYTES_MAX: usize = 2048;

/// A URL over HTTP, without a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// With TLS or without.
    pub scheme: Scheme,
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    /// The port, said or not.
    pub port: u16,
    /// Host and port as written: what the header `Host` says.
    pub authority: String,
    /// Path and query, beginning with a slash.
    pub path: String,
}

/// Why a text is no URL that can be asked; completes the sentence "… must be".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://HOST[:PORT]/PATH or https://…, without user and password")]
pub struct BadUrl;

impl Url {
    /// Reads an absolute one.
    ///
    /// # Errors
    /// It cannot be asked over HTTP.
    pub fn parse(text: &str) -> Result<Url, BadUrl> {
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        if text.len() > BYTES_MAX {
            return Err(BadUrl);
        }
        let uri: Uri = text.parse().map_err(|_| BadUrl)?;
        let scheme = Scheme::of(&uri).ok_or(BadUrl)?;
        let authority = uri.authority().ok_or(BadUrl)?;
        let (host, port) = host_and_port(authority, Some(scheme.port())).ok_or(BadUrl)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Url {
            scheme,
            host,
            port,
            authority: authority.as_str().to_owned(),
            path: format!("{slash}{path}"),
        })
    }

    /// The URL that a reference means when it is read here.
    ///
    /// # Errors
    /// It cannot be asked over HTTP.
    pub fn join(&self, reference: &str) -> Result<Url, BadUrl> {
        let reference = reference.split_once('#').map_or(reference, |(before, _)| before);
        let scheme = self.scheme;
        let here = |path: &str| Url::parse(&format!("{scheme}://{}{path}", self.authority));
        let path = self.path.split_once('?').map_or(&*self.path, |(path, _)| path);
        if has_scheme(reference) {
            return Url::parse(reference);
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return Url::parse(&format!("{scheme}://{rest}"));
        }
        if reference.is_empty() {
            return Ok(self.clone());
        }
        if reference.starts_with('?') {
            return here(&format!("{path}{reference}"));
        }
        let (to, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
        if to.starts_with('/') {
            return here(&format!("{}{query}", without_dots(to)));
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        here(&format!("{}{query}", without_dots(&format!("{folder}/{to}"))))
    }

    /// Whether both are on one server, reached in one way: what may be told there may be told here.
    #[must_use]
    pub fn is_beside(&self, other: &Url) -> bool {
        (self.scheme, self.port) == (other.scheme, other.port)
            && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

/// Whether a reference begins with `scheme:`.
fn has_scheme(reference: &str) -> bool {
    let before = reference.split_once(':').map(|(before, _)| before);
    before.is_some_and(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

/// A path without `.` and `..` segments.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for segment in path.split('/').skip(1) {
        is_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    if is_folder {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("https://[::1]:8443/a?b=c#d").unwrap();
        assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Https, "::1", 8443));
        assert_eq!((url.authority.as_str(), url.path.as_str()), ("[::1]:8443", "/a?b=c"));
        assert_eq!(Url::parse("http://a").unwrap().to_string(), "http://a/");
        assert_eq!(Url::parse("http://a?b").unwrap().path, "/?b");
        assert_eq!(Url::parse("https://a").unwrap().port, 443);
        for bad in ["a", "a:1", "ftp://a", "http://", "http://u:p@a", "http://a:0", "http://a:x"] {
            assert_eq!(Url::parse(bad), Err(BadUrl), "{bad}");
        }
        assert_eq!(Url::parse(&format!("http://a/{}", "x".repeat(BYTES_MAX))), Err(BadUrl));
    }

    #[test]
    fn references_are_read_where_they_stand() {
        let base = Url::parse("http://a:1/b/c/d?q").unwrap();
        for (reference, expected) in [
            ("g", "http://a:1/b/c/g"),
            ("./g/.", "http://a:1/b/c/g/"),
            ("/g", "http://a:1/g"),
            ("//g/x", "http://g/x"),
            ("?y", "http://a:1/b/c/d?y"),
            ("g?y/../z", "http://a:1/b/c/g?y/../z"),
            ("", "http://a:1/b/c/d?q"),
            ("#s", "http://a:1/b/c/d?q"),
            ("../../../g", "http://a:1/g"),
            ("..", "http://a:1/b/"),
            ("https://x:9/?z#t", "https://x:9/?z"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), expected, "{reference}");
        }
        for bad in ["mailto:x", "javascript:1", "//", "http://u@x"] {
            assert_eq!(base.join(bad), Err(BadUrl), "{bad}");
        }
        assert!(base.is_beside(&Url::parse("http://A:1/").unwrap()));
        assert!(!base.is_beside(&Url::parse("https://a:1/").unwrap()));
    }
}
