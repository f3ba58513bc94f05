//! A connection to an HTTP server: directly or through a proxy, with TLS for `https://`, in the
//! version that the other side speaks.
//!
//! With TLS the handshake agrees on HTTP/2 or HTTP/1.1. Without, HTTP/2 is spoken with prior
//! knowledge until a server answers in HTTP/1.1. Through a proxy `https://` goes by CONNECT, which
//! shows it no more than the address, and `http://` as requests in absolute form. Times and retries
//! are the caller's; nothing here concludes anything from an answer.

mod exchange;
mod first;
mod proxy;
mod tunnel;
mod url;

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;

use bellwether_model::config::{Fields, SecretSource};
use bytes::Bytes;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, ToSocketAddrs, lookup_host};
use tokio_rustls::TlsConnector;

use crate::tls::{ClientFiles, ClientTls, Handshake, TlsError, Trust, Wire, failed};
use exchange::Sender;
use first::{FirstByte, Watched};

pub use exchange::{AnswerBody, ExchangeError};
pub use proxy::{BadProxy, Proxy, from_environment};
pub use url::{BadUrl, Scheme, Target, host_and_port};

/// The word for going without a proxy, whatever the environment says.
const NO_PROXY: &str = "none";

/// How requests get there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Without a proxy.
    #[default]
    Direct,
    /// Through this one.
    Proxy(Proxy),
    /// Through the one whose URL is in a file, read at each connecting.
    ProxyFile(PathBuf),
}

impl Way {
    /// Reads the key `proxy` of a section that tells whom to connect to; `None` where it says
    /// nothing.
    pub fn describe(f: &mut Fields<'_>) -> Option<Way> {
        let proxy = f
            .secret(
                "proxy",
                "A proxy as `http://USER:PASSWORD@HOST:PORT`, or `none`; if unsaid, as \
                 HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.",
            )
            .check(|proxy| match proxy.reveal() {
                SecretSource::File(_) | SecretSource::Text(NO_PROXY) => Ok(()),
                SecretSource::Text(text) => Proxy::parse(text).map(drop).map_err(|e| e.to_string()),
            })
            .optional()?;
        Some(match proxy.reveal() {
            SecretSource::File(path) => Way::ProxyFile(path.to_owned()),
            SecretSource::Text(NO_PROXY) => Way::Direct,
            SecretSource::Text(text) => Proxy::parse(text).map_or(Way::Direct, Way::Proxy),
        })
    }
}

/// Where to, and how.
#[derive(Clone, Debug)]
pub struct Route {
    /// The server.
    pub target: Target,
    /// Directly or through a proxy.
    pub way: Way,
    /// Whom to trust.
    pub tls: ClientFiles,
    /// The name that the certificate must be for, if it is not the host of the URL.
    pub server_name: Option<String>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The name is not known, nobody answers, no way there.
    #[error("cannot connect to {to}: {reason}")]
    Unreachable {
        /// Host and port, of the proxy where there is one.
        to: String,
        /// What the operating system said.
        reason: String,
    },
    /// The host says that nobody listens, at each of its addresses to which there is a way.
    #[error("cannot connect to {to}: {reason}")]
    Refused {
        /// Host and port, of the proxy where there is one.
        to: String,
        /// What the operating system said.
        reason: String,
    },
    /// The handshake of TLS or what it needs.
    #[error("TLS with {to} failed: {reason}")]
    Tls {
        /// Host and port.
        to: String,
        /// In plain words.
        reason: String,
    },
    /// Certificates or keys of our own.
    #[error(transparent)]
    Files(#[from] TlsError),
    /// The proxy, or the file with its URL.
    #[error("{0}")]
    Proxy(String),
}

/// What a connection is made to first: the proxy, or else the server itself.
#[derive(Clone, Debug)]
pub struct Hop {
    proxy: Option<Proxy>,
    authority: String,
}

impl Hop {
    /// `HOST:PORT`, IPv6 in brackets.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

/// Makes connections along one route. It remembers what a server without TLS speaks.
#[derive(Debug)]
pub struct Dialer {
    route: Route,
    tls: ClientTls,
    plain: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// One connection, for one request at a time.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    target: Target,
    /// Requests name the whole URL, as plain proxies want it.
    absolute: bool,
    authorization: Option<HeaderValue>,
    first: FirstByte,
}

impl Dialer {
    /// Nothing is connected or read yet.
    #[must_use]
    pub fn new(route: Route) -> Dialer {
        let tls = ClientTls::new(route.tls.clone());
        Dialer { route, tls, plain: Version::Two }
    }

    /// For a server that may know nothing of HTTP/2: without TLS it is spoken to in HTTP/1.1.
    #[must_use]
    pub fn for_any_server(route: Route) -> Dialer {
        Dialer { plain: Version::One, ..Dialer::new(route) }
    }

    /// The same, with whom it trusts.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Dialer {
        let tls = ClientTls::trusting(self.route.tls.clone(), trust);
        Dialer { tls, ..self }
    }

    /// Connects.
    ///
    /// # Errors
    /// Says at which step it failed and why.
    pub async fn connect(&mut self) -> Result<Connection, DialError> {
        let hop = self.hop()?;
        let stream = reach(&hop.authority, hop.authority.as_str()).await?;
        self.over(stream, hop).await
    }

    /// Where the next connection goes first.
    ///
    /// # Errors
    /// The file with the proxy's URL.
    pub fn hop(&self) -> Result<Hop, DialError> {
        let proxy = self.proxy()?;
        let authority = proxy.as_ref().map(Proxy::authority);
        let authority = authority.unwrap_or_else(|| self.route.target.authority());
        Ok(Hop { proxy, authority })
    }

    /// Connects to one of the addresses that were found for a hop.
    ///
    /// # Errors
    /// Says at which step it failed and why.
    pub async fn connect_at(
        &mut self,
        hop: Hop,
        addresses: &[SocketAddr],
    ) -> Result<Connection, DialError> {
        let stream = reach(&hop.authority, addresses).await?;
        self.over(stream, hop).await
    }

    /// Goes on from the first hop.
    async fn over(&mut self, stream: TcpStream, hop: Hop) -> Result<Connection, DialError> {
        let target = &self.route.target;
        match (target.scheme(), hop.proxy) {
            (Scheme::Http, None) => {
                let (first, stream) = first::watch(Wire::Plain(stream));
                let sender = handshake(stream, self.plain, &hop.authority).await?;
                Ok(connection(sender, target, first))
            }
            (Scheme::Http, Some(proxy)) => {
                let (first, stream) = first::watch(Wire::Plain(stream));
                let sender = handshake(stream, Version::One, &hop.authority).await?;
                let connection = connection(sender, target, first);
                let authorization = proxy.authorization().cloned();
                Ok(Connection { absolute: true, authorization, ..connection })
            }
            (Scheme::Https, None) => self.secure(stream).await,
            (Scheme::Https, Some(proxy)) => {
                let stream = tunnel::open(stream, target, &proxy).await?;
                self.secure(stream).await
            }
        }
    }

    /// Takes note of a connection that broke before an answer: one of a server that has answered in
    /// HTTP/1.1 is made so the next time. True if that was the reason, and connecting again helps.
    pub fn broke(&mut self, connection: &Connection) -> bool {
        let is_other = connection.is_http2() && connection.first.is_of_http_one();
        if is_other {
            self.plain = Version::One;
        }
        is_other
    }

    fn proxy(&self) -> Result<Option<Proxy>, DialError> {
        match &self.route.way {
            Way::Direct => Ok(None),
            Way::Proxy(proxy) => Ok(Some(proxy.clone())),
            Way::ProxyFile(path) => {
                Proxy::read(path).map(Some).map_err(|error| DialError::Proxy(error.to_string()))
            }
        }
    }

    async fn secure(&mut self, stream: TcpStream) -> Result<Connection, DialError> {
        let target = &self.route.target;
        let name = self.route.server_name.as_deref().unwrap_or(target.host());
        let to = target.authority();
        let server = ServerName::try_from(name.to_owned()).map_err(|_| DialError::Tls {
            to: to.clone(),
            reason: format!("{name} cannot be the name of a server"),
        })?;
        let connector = TlsConnector::from(self.tls.config()?);
        let stream = match connector.connect(server, stream).await {
            Ok(stream) => stream,
            Err(error) => {
                let seen = Handshake { name, ca: self.route.tls.ca.as_deref() };
                let reason = failed(seen, &error);
                self.tls.forget();
                return Err(DialError::Tls { to, reason });
            }
        };
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Version::Two,
            _ => Version::One,
        };
        let (first, stream) = first::watch(Wire::Tls(Box::new(stream.into())));
        let sender = handshake(stream, version, &to).await?;
        Ok(connection(sender, target, first))
    }
}

fn connection(sender: Sender, target: &Target, first: FirstByte) -> Connection {
    Connection { sender, target: target.clone(), absolute: false, authorization: None, first }
}

async fn reach(to: &str, at: impl ToSocketAddrs) -> Result<TcpStream, DialError> {
    let failed =
        |error: io::Error| DialError::Unreachable { to: to.to_owned(), reason: error.to_string() };
    let mut errors = Vec::new();
    for address in lookup_host(at).await.map_err(failed)? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(failed)?;
                return Ok(stream);
            }
            Err(error) => errors.push(error),
        }
    }
    Err(unreached(to, &errors))
}

/// What the errors of all addresses come to. One to which this machine has no way, such as of IPv6,
/// says nothing of the other side.
fn unreached(to: &str, errors: &[io::Error]) -> DialError {
    let has_way = |e: &&io::Error| {
        !matches!(e.kind(), ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable)
    };
    let is_refused = |e: &io::Error| {
        matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
    };
    let last = errors.iter().rfind(has_way);
    let are_refused = last.is_some() && errors.iter().filter(has_way).all(is_refused);
    let reason = last.or(errors.last()).map_or("it has no address".to_owned(), ToString::to_string);
    let to = to.to_owned();
    match are_refused {
        true => DialError::Refused { to, reason },
        false => DialError::Unreachable { to, reason },
    }
}

async fn handshake(stream: Watched<Wire>, version: Version, to: &str) -> Result<Sender, DialError> {
    let made = match version {
        Version::One => Sender::one(stream).await,
        Version::Two => Sender::two(stream).await,
    };
    made.map_err(|error| DialError::Unreachable { to: to.to_owned(), reason: causes(&error) })
}

impl Connection {
    /// Whether another request can only be sent over another connection.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether HTTP/2 is spoken.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Two(..))
    }

    /// Sends a request to a path of the target and gives the head of the answer; over HTTP/1.1 the
    /// next one can be sent once its body was read.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn send(
        &mut self,
        mut request: Request<Bytes>,
    ) -> Result<Response<AnswerBody>, ExchangeError> {
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if self.absolute || self.is_http2() {
            *request.uri_mut() = self.target.uri(path);
        } else {
            *request.uri_mut() = Uri::from(path);
        }
        if !self.is_http2() {
            request.headers_mut().insert(HOST, self.target.host_header());
        }
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, value.clone());
        }
        self.sender.send(request).await
    }
}

/// An error with what caused it: "connection refused" says more than "client error".
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
