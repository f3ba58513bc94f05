//! A client over HTTPS.

use std::io::{Error, Result};
use std::path::Path;

use bellwether_platform::dial::{Dialer, Route, Target, Way};
use bellwether_platform::tls::ClientFiles;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Builder;

use super::Response;

/// Asks `base` (`https://localhost:9797`) for `path`, trusting the authorities in the file `ca`.
///
/// # Errors
/// If the connection or its handshake fails.
///
/// # Panics
/// If `base` is no URL.
pub fn get_secure(base: &str, path: &str, ca: &Path, token: Option<&str>) -> Result<Response> {
    ask(Request::get(path), base, ca, token)
}

/// The same, by `POST` with nothing in it.
///
/// # Errors
/// If the connection or its handshake fails.
///
/// # Panics
/// If `base` is no URL.
pub fn post_secure(base: &str, path: &str, ca: &Path, token: Option<&str>) -> Result<Response> {
    ask(Request::post(path), base, ca, token)
}

fn ask(mut request: Builder, base: &str, ca: &Path, token: Option<&str>) -> Result<Response> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut dialer = Dialer::new(Route {
            target: Target::parse(base).expect("a URL"),
            way: Way::Direct,
            tls: ClientFiles { ca: Some(ca.to_owned()), identity: None },
            server_name: None,
        });
        let mut connection = dialer.connect().await.map_err(Error::other)?;
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Bytes::new()).map_err(Error::other)?;
        let answer = connection.send(request).await.map_err(Error::other)?;
        let status = answer.status().as_u16();
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        let headers = answer.headers().iter().map(header).collect();
        let body = answer.into_body().collect().await.map_err(Error::other)?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Response { status, headers, body })
    })
}
