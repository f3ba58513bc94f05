//! The agent's own page: the newest rows and the agent's own metrics, for a Prometheus to scrape.
//!
//! Where readers are configured, a token is asked of everyone; health is told to all. A reload is
//! for whoever has the token for it, and for nobody if there is none.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bellwether_model::exposition::Writer;
use bellwether_platform::clock::Clock;
use bellwether_platform::listener::Peer;
use bellwether_platform::principal::{
    Anonymous, PrincipalError, PrincipalSpec, Principals, Reach, Refusal, Scope,
};
use bellwether_platform::process;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{oneshot, watch};
use tower_service::Service;
use tracing::{info, warn};

use crate::pure::config::ExporterPlan;
use crate::shell::latest::Latest;
use crate::shell::metrics::Metrics;
use crate::shell::reload::Requests;
use crate::shell::status::StatusSource;

const TEXT: &str = "text/plain; charset=utf-8";
/// The text exposition format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
/// Reads the configuration again.
const RELOAD: &str = "/-/reload";
/// What `bellwether-agent status -o json` prints.
const STATUS: &str = "/bellwether/v1/status";
const HTML: &str = "text/html; charset=utf-8";
const INDEX: &str = "<!doctype html><html lang=\"en\"><head><title>Bellwether agent</title></head>\
    <body><h1>Bellwether agent</h1><ul><li><a href=\"/metrics\">Metrics</a></li>\
    <li><a href=\"/bellwether/v1/status\">Status</a></li>\
    <li><a href=\"/-/healthy\">Healthy</a></li><li><a href=\"/-/ready\">Ready</a></li></ul>\
    </body></html>\n";

/// Who may do what on the page.
#[derive(Clone, Debug)]
pub struct Readers {
    principals: Principals,
    /// Who may read without a token.
    open: OpenTo,
}

/// Who may read the page without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenTo {
    Nobody,
    /// To this machine.
    Loopback,
    /// To whoever has come through the handshake, with a certificate.
    Certified,
}

impl OpenTo {
    fn of(plan: &ExporterPlan) -> OpenTo {
        match &plan.token {
            Some(_) => OpenTo::Nobody,
            None if plan.has_readers() => OpenTo::Certified,
            None => OpenTo::Loopback,
        }
    }

    fn is_to(self, reach: Reach) -> bool {
        self == OpenTo::Certified || (self == OpenTo::Loopback && reach == Reach::Loopback)
    }
}

/// A token of the page cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct BadReaders(Vec<PrincipalError>);

impl Readers {
    /// Those of a plan.
    ///
    /// # Errors
    /// A token cannot be used.
    pub fn new(plan: &ExporterPlan) -> Result<Readers, BadReaders> {
        let reads = plan.token.clone().map(|token| ("exporter", token, vec![Scope::Read]));
        let reloads = plan.reload_token.clone();
        let reloads = reloads.map(|token| ("reload", token, vec![Scope::Admin]));
        let specs = reads.into_iter().chain(reloads).map(|(name, token, scopes)| PrincipalSpec {
            name: name.to_owned(),
            token,
            scopes: scopes.into_iter().collect(),
        });
        let principals = Principals::new(specs.collect(), Anonymous::Nothing);
        let principals = principals.map_err(BadReaders)?;
        Ok(Readers { principals, open: OpenTo::of(plan) })
    }
}

/// What serves the page. Cheap to clone: one for each connection.
#[derive(Clone, Debug)]
pub struct Page {
    /// The newest rows.
    pub latest: Arc<Latest>,
    /// The agent's own metrics.
    pub metrics: Metrics,
    /// For looking at token files.
    pub clock: Clock,
    /// Who may do what; a changed configuration changes it.
    pub readers: watch::Receiver<Readers>,
    /// What `/bellwether/v1/status` shows.
    pub status: StatusSource,
    /// Where a reload is asked for.
    pub reload: Requests,
}

impl Page {
    fn admit<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let path = request.uri().path();
        let needed = match path {
            RELOAD => Scope::Admin,
            _ => Scope::Read,
        };
        let Readers { principals, open } = self.readers.borrow().clone();
        let reach = request.extensions().get::<Peer>().map_or(Reach::Remote, Peer::reach);
        let is_health = path.starts_with("/-/") && path != RELOAD;
        if is_health || needed == Scope::Read && open.is_to(reach) {
            return Ok(());
        }
        for change in principals.refresh(self.clock.now().mono) {
            let name = change.name.as_str();
            match change.now {
                Ok(()) => info!(name, "token of the page read again"),
                Err(error) => warn!(name, %error, "token of the page unusable"),
            }
        }
        principals.authorize(needed, request.headers(), reach).map(drop)
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if let Err(refusal) = self.admit(&request) {
            return refused(&refusal);
        }
        let (method, path) = (request.method(), request.uri().path());
        match (method, path) {
            (&Method::POST, RELOAD) => self.reload().await,
            (_, RELOAD) => only("POST"),
            (&Method::GET | &Method::HEAD, STATUS) => match self.status.json().await {
                Some(json) => response(StatusCode::OK, JSON, json),
                None => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the agent is stopping\n"),
            },
            _ => self.page(method, path),
        }
    }

    async fn reload(&self) -> Response<Full<Bytes>> {
        let (reply, answer) = oneshot::channel();
        let busy =
            || response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "reloads wait; try again later\n");
        if self.reload.try_send(reply).is_err() {
            return busy();
        }
        match answer.await {
            Ok(Ok(taken)) if taken.needs_restart.is_empty() => {
                response(StatusCode::OK, TEXT, "reloaded\n")
            }
            Ok(Ok(taken)) => {
                let keys = taken.needs_restart.join(", ");
                response(StatusCode::OK, TEXT, format!("reloaded; needs a restart: {keys}\n"))
            }
            Ok(Err(reason)) => response(StatusCode::BAD_REQUEST, TEXT, format!("{reason}\n")),
            Err(_) => busy(),
        }
    }

    fn page(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return only("GET, HEAD");
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

fn only(methods: &'static str) -> Response<Full<Bytes>> {
    let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("only {methods}\n"));
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    refused
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
    type Future = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let page = self.clone();
        Box::pin(async move { Ok(page.answer(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use bellwether_platform::principal::{TokenHash, TokenSource};
    use bellwether_platform::tls::{IdentityFiles, ServerFiles};

    use super::*;

    #[test]
    fn without_a_token_this_machine_reads_and_no_other() {
        let listen = ([0, 0, 0, 0], 9100).into();
        let plan = ExporterPlan { listen, tls: None, token: None, reload_token: None };
        let token = Some(TokenSource::Hash(TokenHash::of(b"0123456789abcdef")));
        let identity = IdentityFiles { cert: "/c".into(), key: "/k".into() };
        let files = |client_ca| Some(ServerFiles { identity: identity.clone(), client_ca });
        for (plan, here, elsewhere) in [
            (plan.clone(), true, false),
            (ExporterPlan { tls: files(None), ..plan.clone() }, true, false),
            (ExporterPlan { tls: files(Some("/a".into())), ..plan.clone() }, true, true),
            (ExporterPlan { token, ..plan.clone() }, false, false),
        ] {
            let open = OpenTo::of(&plan);
            assert_eq!((open.is_to(Reach::Loopback), open.is_to(Reach::Remote)), (here, elsewhere));
        }
    }
}
