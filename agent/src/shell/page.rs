//! The agent's own page: the newest rows and the agent's own metrics, for a Prometheus to scrape.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bellwether_model::exposition::Writer;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tower_service::Service;

use crate::shell::latest::Latest;
use crate::shell::metrics::Metrics;
use bellwether_platform::process;

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
}

impl Page {
    /// A page of these rows and metrics.
    #[must_use]
    pub fn new(latest: Arc<Latest>, metrics: Metrics) -> Page {
        Page { latest, metrics }
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
        ready(Ok(self.answer(request.method(), request.uri().path())))
    }
}
