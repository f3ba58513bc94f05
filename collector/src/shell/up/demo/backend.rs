//! A backend of the demo: a small web server on loopback that can be made to fail.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bellwether_platform::listener::{BindError, Limits, Listener};
use bellwether_platform::stop;
use tracing::warn;

/// How a backend answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Well.
    Well,
    /// Every request with 500.
    Errors,
}

/// What its pages say.
#[derive(Debug)]
struct Shared {
    name: String,
    version: String,
    fails: AtomicBool,
    /// Requests answered well, and with an error.
    good: AtomicU64,
    bad: AtomicU64,
}

/// A backend.
pub(super) struct Backend {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Bound, and not serving yet.
    listener: Option<Listener>,
}

impl Backend {
    /// Binds a port; connections wait.
    pub(super) fn bind(name: &str, version: &str) -> Result<Backend, BindError> {
        let listener = Listener::bind(super::ANY)?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            version: version.to_owned(),
            fails: AtomicBool::new(false),
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
        });
        let address = listener.address();
        Ok(Backend { shared, address, listener: Some(listener) })
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn version(&self) -> &str {
        &self.shared.version
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers so from now on. The first call starts the server, which ends with the runtime.
    pub(super) fn turn(&mut self, mode: Mode) {
        self.shared.fails.store(mode == Mode::Errors, Ordering::Relaxed);
        let Some(listener) = self.listener.take() else { return };
        let router = router(Arc::clone(&self.shared));
        let limits = Limits { connections: 64, grace: Duration::ZERO, ..Limits::default() };
        // Nobody stops it.
        let (_, stop) = stop::stop();
        tokio::spawn(async move {
            if let Err(error) = listener.serve(router, limits, stop).await {
                warn!(%error, "a backend of the demo has ended");
            }
        });
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

impl Shared {
    fn status(&self) -> StatusCode {
        if self.fails.load(Ordering::Relaxed) {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::OK
        }
    }
}

async fn root(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let status = shared.status();
    let count = if status == StatusCode::OK { &shared.good } else { &shared.bad };
    count.fetch_add(1, Ordering::Relaxed);
    let text = match status {
        StatusCode::OK => format!("{} {}\n", shared.name, shared.version),
        _ => "the demo has injected a fault\n".to_owned(),
    };
    (status, [("x-version", shared.version.clone())], text)
}

async fn health(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let status = shared.status();
    (status, if status == StatusCode::OK { "ok\n" } else { "not ok\n" })
}

/// As most services do it: a status has no series before its first request.
async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut text = String::from(
        "# HELP http_requests_total Requests by version and status.\n\
         # TYPE http_requests_total counter\n",
    );
    let counts = [("200", &shared.good), ("500", &shared.bad)];
    for (code, count) in counts.map(|(code, count)| (code, count.load(Ordering::Relaxed))) {
        if code == "200" || count > 0 {
            let version = &shared.version;
            writeln!(text, "http_requests_total{{code=\"{code}\",version=\"{version}\"}} {count}")
                .ok();
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
