//! One collector over HTTP: a connection kept as long as it works, and what is wrong said once.
//!
//! Whatever comes without a collector's answer body (a portal's page, a proxy's, a redirect) is a
//! failed attempt and concludes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_model::config::{Secret, SecretSource};
use bellwether_model::wire::answer::{Answer, CONTENT_TYPE, Case, PUSH_CONTENT_TYPE, PUSH_PATH};
use bellwether_platform::dial::{AnswerBody, Connection, DialError, Dialer, Route, Target, causes};
use bellwether_platform::listener::SPEAKS_TLS;
use bellwether_platform::principal::{TOKEN_HEADER, Token};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE as CONTENT_TYPE_NAME, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Method, Request, Response};
use tokio::time::timeout;
use tracing::warn;

use crate::pure::config::CollectorPlan;

/// To the collector, or to the proxy and through it, and the handshake of TLS.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// An acknowledgement waits for the collector's disk.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// An answer is far smaller; a portal's page may not be.
const ANSWER_BYTES: usize = 64 << 10;
/// Different troubles told between two good answers.
const TROUBLES: usize = 16;

/// A collector's URL cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("collector {url}: expected http://HOST:PORT or https://HOST:PORT")]
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
    /// TLS: the certificate, its name, who signed it.
    #[error("{0}")]
    Tls(String),
    /// The other side speaks TLS and the URL does not.
    #[error("the collector speaks TLS: the URL must begin with https://")]
    NeedsTls,
    /// The proxy.
    #[error("{0}")]
    Proxy(String),
    /// Something answered that is no collector.
    #[error("status {status} without an answer of a collector{}", hint(*status))]
    NoAnswer {
        /// Its status.
        status: u16,
    },
    /// The token cannot be read.
    #[error("{0}")]
    Token(String),
}

/// What the status of an answer that is no collector's makes likely.
fn hint(status: u16) -> &'static str {
    match status {
        200..=299 => ": something on the way answers in its place",
        300..=399 => ": something on the way redirects elsewhere",
        404 | 405 => ": there is no collector at this URL",
        407 => ": a proxy asks for user and password",
        502..=504 => ": a proxy does not reach it",
        _ => "",
    }
}

impl SendError {
    /// The label `case` of the counter.
    #[must_use]
    pub fn case(&self) -> &'static str {
        match self {
            SendError::NoAnswer { .. } => "no_answer",
            SendError::Token(_) => "no_token",
            SendError::Tls(_) | SendError::NeedsTls => "tls",
            SendError::Proxy(_) => "proxy",
            SendError::Unreachable(_) | SendError::TimedOut(_) => "unreachable",
        }
    }
}

impl From<DialError> for SendError {
    fn from(error: DialError) -> SendError {
        let text = error.to_string();
        match error {
            DialError::Unreachable { .. } | DialError::Refused { .. } => {
                SendError::Unreachable(text)
            }
            DialError::Tls { .. } | DialError::Files(_) => SendError::Tls(text),
            DialError::Proxy(_) => SendError::Proxy(text),
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
    name: String,
    /// The path of the interface, behind that of a prefix.
    path: String,
    token: Option<Secret>,
    dialer: Dialer,
    connection: Option<Connection>,
    troubles: Troubles,
}

impl Client {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// The URL is not `http://HOST:PORT` or `https://HOST:PORT`, with a path if the collector is
    /// behind one.
    pub fn new(plan: &CollectorPlan) -> Result<Client, BadUrl> {
        let target = Target::parse(&plan.url).map_err(|_| BadUrl { url: plan.url.clone() })?;
        let path = format!("{}{PUSH_PATH}", target.base());
        let dialer = Dialer::new(Route {
            target,
            way: plan.way.clone(),
            tls: plan.tls.clone(),
            server_name: plan.server_name.clone(),
        });
        Ok(Client {
            name: plan.url.clone(),
            path,
            token: plan.token.clone(),
            dialer,
            connection: None,
            troubles: Troubles::default(),
        })
    }

    /// Posts a body and reads the answer.
    ///
    /// # Errors
    /// No answer of a collector came; the connection is given up where it may be broken.
    pub async fn post(&mut self, body: Bytes) -> Result<Answered, SendError> {
        let result = match timeout(CONNECT_TIME + ANSWER_TIME, self.exchange(body)).await {
            Ok(result) => result,
            Err(_) => Err(SendError::TimedOut(CONNECT_TIME + ANSWER_TIME)),
        };
        if result.is_err() {
            self.connection = None;
        }
        if let Some(trouble) = self.troubles.news(&result) {
            warn!(collector = self.name, reason = %trouble, "frames are not taken");
        }
        result
    }

    fn request(&self, body: Bytes) -> Result<Request<Bytes>, SendError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(CONTENT_TYPE_NAME, PUSH_CONTENT_TYPE)
            .body(body);
        request.map_err(|error| SendError::Unreachable(error.to_string()))
    }

    fn token(&self) -> Result<Option<String>, SendError> {
        Ok(match self.token.as_ref().map(Secret::reveal) {
            None => None,
            Some(SecretSource::Text(token)) => Some(token.to_owned()),
            Some(SecretSource::File(path)) => {
                let token = Token::read(path).map_err(|e| SendError::Token(e.to_string()))?;
                Some(token.expose().to_owned())
            }
        })
    }

    /// Sends once more at once where it turns out that the server speaks HTTP/1.1.
    async fn exchange(&mut self, body: Bytes) -> Result<Answered, SendError> {
        if let Some(answered) = self.attempt(body.clone()).await? {
            return Ok(answered);
        }
        self.connection = None;
        let confused = || "it answers HTTP/2 in HTTP/1.1".to_owned();
        self.attempt(body).await?.ok_or_else(|| SendError::Unreachable(confused()))
    }

    /// `None` if the server does not speak the version of HTTP in which it was asked.
    async fn attempt(&mut self, body: Bytes) -> Result<Option<Answered>, SendError> {
        let (mut request, token) = (self.request(body)?, self.token()?);
        let connection = match self.connection.take().filter(|held| !held.is_closed()) {
            Some(held) => self.connection.insert(held),
            None => {
                let fresh = timeout(CONNECT_TIME, self.dialer.connect()).await;
                let fresh = fresh.map_err(|_| SendError::TimedOut(CONNECT_TIME))??;
                self.connection.insert(fresh)
            }
        };
        if let Some(token) = token {
            let (name, value) = authorization(token, connection)?;
            request.headers_mut().insert(name, value);
        }
        match connection.send(request).await {
            Ok(response) => read(response).await.map(Some),
            Err(_) if self.dialer.broke(connection) => Ok(None),
            Err(error) => Err(SendError::Unreachable(causes(&error))),
        }
    }
}

/// The header with the token. Over HTTP/2 it is one that goes into the table of the connection:
/// nobody else writes headers on it, so that the table betrays nothing.
fn authorization(
    token: String,
    connection: &Connection,
) -> Result<(HeaderName, HeaderValue), SendError> {
    let (name, text) = match connection.is_http2() {
        true => (TOKEN_HEADER, token),
        false => (AUTHORIZATION, format!("Bearer {token}")),
    };
    let value = HeaderValue::try_from(text);
    let bad = |_| SendError::Token("the token is no header value".to_owned());
    Ok((name, value.map_err(bad)?))
}

async fn read(response: Response<AnswerBody>) -> Result<Answered, SendError> {
    let status = response.status().as_u16();
    let headers = response.headers();
    let is_answer = headers
        .get(CONTENT_TYPE_NAME)
        .is_some_and(|kind| kind.as_bytes() == CONTENT_TYPE.as_bytes());
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    if !is_answer && status != 400 {
        return Err(SendError::NoAnswer { status });
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
    if !is_answer {
        let is_tls = body.is_ok_and(|body| body.to_bytes() == SPEAKS_TLS.as_bytes());
        return Err(if is_tls { SendError::NeedsTls } else { SendError::NoAnswer { status } });
    }
    let body = body.map_err(|error| SendError::Unreachable(error.to_string()))?.to_bytes();
    let answer = Answer::read(&body).map_err(|_| SendError::NoAnswer { status })?;
    if answer.case.status() != status {
        return Err(SendError::NoAnswer { status });
    }
    Ok(Answered { answer, retry_after: seconds.map(Duration::from_secs) })
}

/// What was said of a collector since it last took something: each reason is told once.
#[derive(Debug, Default)]
struct Troubles(BTreeSet<String>);

impl Troubles {
    /// What has not been said yet of an outcome.
    fn news(&mut self, result: &Result<Answered, SendError>) -> Option<String> {
        let text = match result {
            Err(error) => error.to_string(),
            Ok(Answered { answer, .. }) => match answer.case {
                Case::Unauthorized | Case::Forbidden | Case::Version => {
                    format!("{}: {}", answer.case.as_str(), answer.text)
                }
                _ => {
                    self.0.clear();
                    return None;
                }
            },
        };
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        let is_news = self.0.len() < TROUBLES && self.0.insert(text.clone());
        is_news.then_some(text)
    }
}

#[cfg(test)]
mod tests;
