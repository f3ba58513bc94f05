//! The agent's own page: the newest rows and the agent's own metrics, for a Prometheus to scrape.
//!
//! Where readers are configured, a token is asked of everyone; health is told to all.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bellwether_model::exposition::Writer;
use bellwether_platform::clock::Clock;
use bellwether_platform::listener::Peer;
use bellwether_platform::principal::{Principals, Reach, Refusal, Scope};
use bellwether_platform::process;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use tower_service::Service;
use tracing::{info, warn};

use crate::shell::latest::Latest;
use crate::shell::metrics::Metrics;

const TEXT: &str = "text/plain; charset=utf-8";
/// The text exposition format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const INDEX: &str = "<!doctype html><html lang=\"en\"><head><title>Bellwether agent</title></head>\
    <body><h1>Bellwether agent</h1><ul><li><a href=\"/metrics\">Metrics</a></li>\
    <li><a href=\"/-/healthy\">Healthy</a></li><li><a href=\"/-/ready\">Ready</a></li></ul>\
    </body></html>\n";

/// What serves the page. Cheap to clone: one for each connection.
#[derive(Clone, Debug)]
pub struct Page {
    latest: Arc<Latest>,
    metrics: Metrics,
    clock: Clock,
    readers: Option<Principals>,
}

impl Page {
    /// A page of these rows and metrics; without `readers` it is for everyone.
    #[must_use]
    pub fn new(
        latest: Arc<Latest>,
        metrics: Metrics,
        clock: Clock,
        readers: Option<Principals>,
    ) -> Page {
        Page { latest, metrics, clock, readers }
    }

    fn admit<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let is_health = request.uri().path().starts_with("/-/");
        let Some(readers) = self.readers.as_ref().filter(|_| !is_health) else { return Ok(()) };
        for change in readers.refresh(self.clock.now().mono) {
            match change.now {
                Ok(()) => info!("token of the page's readers read again"),
                Err(error) => warn!(%error, "token of the page's readers unusable"),
            }
        }
        let reach = request.extensions().get::<Peer>().map_or(Reach::Remote, Peer::reach);
        readers.authorize(Scope::Read, request.headers(), reach).map(drop)
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/metrics" => self.exposition(),
            "/-/healthy" => response(StatusCode::OK, TEXT, "healthy\n"),
            "/-/ready" if self.latest.is_filled() => response(StatusCode::OK, TEXT, "ready\n"),
            "/-/ready" => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "no row was taken yet\n"),
            "/" => response(StatusCode::OK, HTML, INDEX),
            _ => response(StatusCode::NOT_FOUND, TEXT, "no such page\n"),
        }
    }

    fn exposition(&self) -> Response<Full<Bytes>> {
        let mut page = Vec::with_capacity(32 << 10);
        let mut writer = Writer::new(&mut page);
        self.latest.write(&mut writer);
        process::write(&mut writer);
        match self.metrics.write(&mut page) {
            Ok(()) => response(StatusCode::OK, EXPOSITION, page),
            Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        }
    }
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let mut response = response(refusal.status(), TEXT, format!("{refusal}\n"));
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn response(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

impl Service<Request<Incoming>> for Page {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        ready(Ok(match self.admit(&request) {
            Ok(()) => self.answer(request.method(), request.uri().path()),
            Err(refusal) => refused(&refusal),
        }))
    }
}
