//! Asking a running collector over HTTP or HTTPS, for the commands that do.

use std::time::Duration;

use bellwether_platform::dial::{self, Dialer, Route, Way, causes, from_environment};
use bellwether_platform::principal::Token;
use bellwether_platform::tls::ClientFiles;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;

use super::cli::Target;
use super::startup;

/// For connecting, asking and answering together, where the collector only has to look.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// The same of a query: the collector's own limit of time, and some for the way.
const QUERY_TIME: Duration = Duration::from_secs(130);
/// A row of hosts has about 200 bytes; a query's answer is bounded likewise by the collector.
const ANSWER_BYTES: usize = 64 << 20;

/// Why a collector could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The address.
    #[error("{url}: expected http://HOST:PORT or https://HOST:PORT")]
    BadUrl {
        /// As given.
        url: String,
    },
    /// No collector answered.
    #[error("{url} does not answer: {reason}")]
    Unreachable {
        /// As given.
        url: String,
        /// Why.
        reason: String,
    },
    /// It answered with an error.
    #[error("{url} answered {status}: {text}")]
    Refused {
        /// As given.
        url: String,
        /// The status.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// The token file.
    #[error(transparent)]
    Token(#[from] bellwether_platform::principal::TokenError),
}

/// What is posted.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Nothing.
    None,
    /// A query's parameters, encoded.
    Query(String),
    /// A document.
    Json(String),
}

/// The error of an answer that is none.
pub(super) fn refused(target: &Target, status: StatusCode, body: &[u8]) -> AskError {
    let text = String::from_utf8_lossy(body).trim().chars().take(1000).collect();
    AskError::Refused { url: target.url.clone(), status, text }
}

/// What a collector answers to a `GET`, read.
///
/// # Errors
/// It cannot be asked, refuses, or answers something else.
pub(super) async fn answer<T: DeserializeOwned>(
    target: &Target,
    path: &str,
) -> Result<T, AskError> {
    let (status, body) = ask(target, Method::GET, path, Form::None).await?;
    if status != StatusCode::OK {
        return Err(refused(target, status, &body));
    }
    serde_json::from_slice(&body).map_err(|error| {
        let reason = format!("not an answer of a collector: {error}");
        AskError::Unreachable { url: target.url.clone(), reason }
    })
}

/// One request and its answer, within a time.
///
/// # Errors
/// The address, the token, or no answer. An answer that is an error is the caller's to read.
pub(super) async fn ask(
    target: &Target,
    method: Method,
    path: &str,
    form: Form,
) -> Result<(StatusCode, Bytes), AskError> {
    let bad = || AskError::BadUrl { url: target.url.clone() };
    let server = dial::Target::parse(&target.url).map_err(|_| bad())?;
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.base()))
        .body(Bytes::new())
        .map_err(|_| bad())?;
    let (within, body) = match form {
        Form::None => (ANSWER_TIME, None),
        Form::Query(text) => (QUERY_TIME, Some((text, "application/x-www-form-urlencoded"))),
        Form::Json(text) => (ANSWER_TIME, Some((text, "application/json"))),
    };
    if let Some((text, kind)) = body {
        *request.body_mut() = text.into();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if let Some(file) = &target.token_file {
        let token = Token::read(file)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .expect("invariant: tokens are printable ASCII");
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let unreachable = |reason| AskError::Unreachable { url: target.url.clone(), reason };
    let proxy = from_environment(&server, &startup::around().environment)
        .map_err(|name| unreachable(format!("{name} names no proxy that can be used")))?;
    let dialer = Dialer::new(Route {
        target: server,
        way: proxy.map_or(Way::Direct, Way::Proxy),
        tls: ClientFiles { ca: target.ca_file.clone(), identity: None },
        server_name: None,
    });
    match tokio::time::timeout(within, exchange(dialer, request)).await {
        Ok(answer) => answer.map_err(unreachable),
        Err(_) => Err(unreachable(format!("no answer within {} s", within.as_secs()))),
    }
}

async fn exchange(
    mut dialer: Dialer,
    request: Request<Bytes>,
) -> Result<(StatusCode, Bytes), String> {
    let mut connection = dialer.connect().await.map_err(|error| error.to_string())?;
    let answer = match connection.send(request.clone()).await {
        Err(_) if dialer.broke(&connection) => {
            let mut other = dialer.connect().await.map_err(|error| error.to_string())?;
            other.send(request).await
        }
        answer => answer,
    };
    let answer = answer.map_err(|error| causes(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
    Ok((status, body.map_err(|error| causes(&*error))?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_collector_is_said_in_words() {
        let target = |url: &str| Target { url: url.to_owned(), token_file: None, ca_file: None };
        for url in ["ftp://h:1", "h:1", "http://", "http:// x:1", ""] {
            let error = ask(&target(url), Method::GET, "/", Form::None).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{url}: expected http://HOST:PORT or https://HOST:PORT")
            );
        }
        // A port that was bound and is free again.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = ask(&target(&format!("http://{address}")), Method::GET, "/", Form::None).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("Connection refused"), "{error}");
    }
}
