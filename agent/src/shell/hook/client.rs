//! The collector over HTTP: one connection, kept as long as it works, one request at a time.

use std::time::Duration;

use bellwether_model::config::{Secret, SecretSource};
use bellwether_platform::dial::{BadUrl, Connection, DialError, Dialer, Route, Target, causes};
use bellwether_platform::principal::{TOKEN_HEADER, Token};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use tokio::time::timeout;

use crate::pure::config::CollectorPlan;
use crate::pure::hook::output::plain;

/// To the collector, or to the proxy and through it, and the handshake of TLS.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// From a request to its answer, if nobody holds it.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// Bytes of an answer: 64 signals, escaped.
const ANSWER_BYTES: usize = 4 << 20;
/// Characters of an answer's text that are shown.
const SHOWN: usize = 200;

/// A request got no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The collector, or something on the way, refuses.
    #[error("status {status}{}{text}", if text.is_empty() { "" } else { ": " })]
    Refused {
        /// Its status.
        status: u16,
        /// What it said.
        text: String,
    },
    /// The token cannot be read.
    #[error("{0}")]
    Token(String),
}

impl AskError {
    /// Whether asking again soon is of no use: a person has to do something.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            AskError::Refused { status, .. } => {
                (400..500).contains(status) && !matches!(status, 408 | 425 | 429)
            }
            AskError::Token(_) => true,
            AskError::Unreachable(_) | AskError::TimedOut(_) => false,
        }
    }
}

impl From<DialError> for AskError {
    fn from(error: DialError) -> AskError {
        AskError::Unreachable(error.to_string())
    }
}

/// A client of the collector.
pub struct Client {
    base: String,
    token: Option<Secret>,
    dialer: Dialer,
    connection: Option<Connection>,
}

impl Client {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(plan: &CollectorPlan) -> Result<Client, BadUrl> {
        let target = Target::parse(&plan.url)?;
        let base = target.base().to_owned();
        let dialer = Dialer::for_any_server(Route {
            target,
            way: plan.way.clone(),
            tls: plan.tls.clone(),
            server_name: plan.server_name.clone(),
        });
        Ok(Client { base, token: plan.token.clone(), dialer, connection: None })
    }

    /// Gets a path, whose answer the collector holds for at most so long; the body of a 200.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn get(&mut self, path: &str, held: Duration) -> Result<Bytes, AskError> {
        self.ask(Method::GET, path, Bytes::new(), held).await
    }

    /// Posts JSON to a path; the body of a 2xx.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn post(&mut self, path: &str, body: Bytes) -> Result<Bytes, AskError> {
        self.ask(Method::POST, path, body, Duration::ZERO).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        held: Duration,
    ) -> Result<Bytes, AskError> {
        let limit = CONNECT_TIME + ANSWER_TIME + held;
        let asked = timeout(limit, self.exchange(method, path, body)).await;
        let result = asked.unwrap_or(Err(AskError::TimedOut(limit)));
        if matches!(result, Err(AskError::Unreachable(_) | AskError::TimedOut(_))) {
            self.connection = None;
        }
        result
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, AskError> {
        let token = self.token()?;
        let connection = match self.connection.take().filter(|held| !held.is_closed()) {
            Some(held) => self.connection.insert(held),
            None => {
                let fresh = timeout(CONNECT_TIME, self.dialer.connect()).await;
                let fresh = fresh.map_err(|_| AskError::TimedOut(CONNECT_TIME))??;
                self.connection.insert(fresh)
            }
        };
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{}{path}", self.base))
            .header(USER_AGENT, concat!("bellwether-hook/", env!("CARGO_PKG_VERSION")));
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = token {
            let (name, text) = match connection.is_http2() {
                true => (TOKEN_HEADER, token),
                false => (AUTHORIZATION, format!("Bearer {token}")),
            };
            let bad = |_| AskError::Token("the token is no header value".to_owned());
            let mut value = HeaderValue::from_str(&text).map_err(bad)?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let request = request.body(body);
        let request = request.map_err(|error| AskError::Unreachable(error.to_string()))?;
        let response = connection.send(request).await;
        let response = response.map_err(|error| AskError::Unreachable(causes(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| AskError::Unreachable(error.to_string()))?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let text: String = plain(&String::from_utf8_lossy(&body)).chars().take(SHOWN).collect();
        Err(AskError::Refused { status: status.as_u16(), text })
    }

    fn token(&self) -> Result<Option<String>, AskError> {
        match self.token.as_ref().map(Secret::reveal) {
            None => Ok(None),
            Some(SecretSource::Text(token)) => Ok(Some(token.to_owned())),
            Some(SecretSource::File(path)) => {
                let token = Token::read(path).map_err(|e| AskError::Token(e.to_string()))?;
                Ok(Some(token.expose().to_owned()))
            }
        }
    }
}
