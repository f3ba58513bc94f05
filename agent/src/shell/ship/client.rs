//! One collector over HTTP/2 without TLS: a connection kept as long as it works.

use std::error::Error;
use std::time::Duration;

use bellwether_model::config::{Secret, SecretSource};
use bellwether_model::wire::answer::{Answer, CONTENT_TYPE, PUSH_CONTENT_TYPE, PUSH_PATH};
use bellwether_platform::principal::Token;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE as CONTENT_TYPE_NAME, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::pure::config::CollectorPlan;

const CONNECT_TIME: Duration = Duration::from_secs(5);
/// An acknowledgement waits for the collector's disk.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// An answer is far smaller; a portal's page may not be.
const ANSWER_BYTES: usize = 64 << 10;

/// A collector's URL cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("collector {url}: expected http://HOST:PORT")]
pub struct BadUrl {
    /// As configured.
    pub url: String,
}

/// No answer of a collector came.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// Something answered that is no collector.
    #[error("status {status} without an answer of a collector")]
    NoAnswer {
        /// Its status.
        status: u16,
    },
    /// The token cannot be read.
    #[error("{0}")]
    Token(String),
}

impl SendError {
    /// The label `case` of the counter.
    #[must_use]
    pub fn case(&self) -> &'static str {
        match self {
            SendError::NoAnswer { .. } => "no_answer",
            SendError::Token(_) => "no_token",
            _ => "unreachable",
        }
    }
}

/// A collector's answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The body.
    pub answer: Answer,
    /// The header `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// The client of one collector.
pub struct Client {
    /// With the path of a prefix, without the final slash.
    base: String,
    authority: String,
    token: Option<Secret>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// The URL is not `http://HOST:PORT`, with a path if the collector is behind one.
    pub fn new(plan: &CollectorPlan) -> Result<Client, BadUrl> {
        let bad = || BadUrl { url: plan.url.clone() };
        let uri: Uri = plan.url.parse().map_err(|_| bad())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
        let authority = authority.ok_or_else(bad)?;
        let port = authority.port_u16().unwrap_or(80);
        Ok(Client {
            base: plan.url.trim_end_matches('/').to_owned(),
            authority: format!("{}:{port}", authority.host()),
            token: plan.token.clone(),
            connection: None,
        })
    }

    /// Posts a body and reads the answer.
    ///
    /// # Errors
    /// No answer of a collector came; the connection is given up where it may be broken.
    pub async fn post(&mut self, body: Bytes) -> Result<Answered, SendError> {
        let request = self.request(body)?;
        let result = match timeout(CONNECT_TIME + ANSWER_TIME, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(SendError::TimedOut(CONNECT_TIME + ANSWER_TIME)),
        };
        if result.is_err() {
            self.connection = None;
        }
        result
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, SendError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{PUSH_PATH}", self.base))
            .header(CONTENT_TYPE_NAME, PUSH_CONTENT_TYPE);
        let token = match self.token.as_ref().map(Secret::reveal) {
            None => None,
            Some(SecretSource::Text(token)) => Some(token.to_owned()),
            Some(SecretSource::File(path)) => {
                let token = Token::read(path).map_err(|e| SendError::Token(e.to_string()))?;
                Some(token.expose().to_owned())
            }
        };
        let bad = |_| SendError::Token("the token is no header value".to_owned());
        let request = match token {
            None => request,
            Some(token) => {
                // Not marked as sensitive, which would send it whole with every request: nobody
                // else writes headers on this connection: the shared table betrays nothing.
                let value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(bad)?;
                request.header(AUTHORIZATION, value)
            }
        };
        request.body(Full::new(body)).map_err(|error| SendError::Unreachable(error.to_string()))
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answered, SendError> {
        let connection = match self.connection.as_mut().filter(|held| !held.is_closed()) {
            Some(held) => held,
            None => {
                let fresh = timeout(CONNECT_TIME, connect(&self.authority)).await;
                let fresh = fresh.map_err(|_| SendError::TimedOut(CONNECT_TIME))??;
                self.connection.insert(fresh)
            }
        };
        connection.ready().await.map_err(unreachable)?;
        let response = connection.send_request(request).await.map_err(unreachable)?;
        read(response).await
    }
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, SendError> {
    let stream = TcpStream::connect(authority).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(unreachable)?;
    tokio::spawn(async move {
        // The request in flight reports the same error.
        connection.await.ok();
    });
    Ok(sender)
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Answered, SendError> {
    let status = response.status().as_u16();
    let headers = response.headers();
    let is_answer = headers
        .get(CONTENT_TYPE_NAME)
        .is_some_and(|kind| kind.as_bytes() == CONTENT_TYPE.as_bytes());
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    if !is_answer {
        return Err(SendError::NoAnswer { status });
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| SendError::Unreachable(error.to_string()))?.to_bytes();
    let answer = Answer::read(&body).map_err(|_| SendError::NoAnswer { status })?;
    if answer.case.status() != status {
        return Err(SendError::NoAnswer { status });
    }
    Ok(Answered { answer, retry_after: seconds.map(Duration::from_secs) })
}

/// The error with what caused it: "connection refused" says more than "client error".
fn unreachable(error: impl Error) -> SendError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    SendError::Unreachable(text)
}
