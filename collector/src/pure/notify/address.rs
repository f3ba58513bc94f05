//! A URL that is called as a whole: host and port, path and query.

use bellwether_platform::dial::Target;
use hyper::Uri;

/// A URL that cannot be called; completes the sentence "… must be". The text is not in it: a URL
/// may hold a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH, without user or fragment")]
pub struct BadAddress;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The server.
    pub target: Target,
    /// Path and query, beginning with a slash.
    pub path: String,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// It is none that can be called.
    pub fn parse(url: &str) -> Result<Address, BadAddress> {
        let uri: Uri = url.parse().map_err(|_| BadAddress)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(BadAddress);
        };
        if url.contains('#') {
            return Err(BadAddress);
        }
        let server = Target::parse(&format!("{scheme}://{authority}"));
        let target = server.map_err(|_| BadAddress)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Address { target, path })
    }

    /// With a path of an interface below its own; a query is left out.
    #[must_use]
    pub fn below(self, path: &str) -> Address {
        let base = self.path.split('?').next().unwrap_or("").trim_end_matches('/');
        Address { path: format!("{base}{path}"), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_their_path_and_query() {
        for (url, target, path) in [
            ("http://h/", "http://h:80", "/"),
            ("http://h", "http://h:80", "/"),
            ("https://h:8443/a/b/?token=x%20y", "https://h:8443", "/a/b/?token=x%20y"),
            ("http://h?x=1", "http://h:80", "/?x=1"),
            ("http://[::1]:1/a", "http://[::1]:1", "/a"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.target.to_string().as_str(), &*address.path), (target, path));
        }
        for bad in
            ["", "h", "/a", "ftp://h/", "http://u:p@h/", "http://h/#a", "http:///a", "http://h:0/"]
        {
            assert_eq!(Address::parse(bad), Err(BadAddress), "{bad}");
        }
        let below = Address::parse("http://h/am/?x").unwrap().below("/api/v2/alerts");
        assert_eq!(below.path, "/am/api/v2/alerts");
        assert_eq!(Address::parse("http://h").unwrap().below("/x").path, "/x");
    }
}
