//! A backend of the demo: a small web server on loopback that can be made to fail.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bellwether_platform::listener::{BindError, Limits, Listener};
use bellwether_platform::stop::{self, Stopper};
use tokio::task::JoinHandle;
use tracing::warn;

/// Any free port of this machine's loopback.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// How a backend answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Well.
    Well,
    /// Every request with 500.
    Errors,
    /// Not at all: connections are refused.
    Refuses,
}

/// What its pages say and count.
#[derive(Debug)]
struct Shared {
    name: String,
    version: String,
    fails: AtomicBool,
    good: AtomicU64,
    bad: AtomicU64,
}

/// The server of one backend while it takes connections.
struct Running {
    stopper: Stopper,
    task: JoinHandle<()>,
}

/// A backend.
pub(super) struct Backend {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Bound, and not serving yet.
    listener: Option<Listener>,
    running: Option<Running>,
}

impl Backend {
    /// Binds a port; connections wait.
    pub(super) fn bind(name: &str, version: &str) -> Result<Backend, BindError> {
        let listener = Listener::bind(ANY)?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            version: version.to_owned(),
            fails: AtomicBool::new(false),
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
        });
        let address = listener.address();
        Ok(Backend { shared, address, listener: Some(listener), running: None })
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

    /// Answers so from now on. The first call starts the server.
    ///
    /// # Errors
    /// Somebody else has taken the port since connections were refused.
    pub(super) async fn turn(&mut self, mode: Mode) -> Result<(), BindError> {
        self.shared.fails.store(mode == Mode::Errors, Ordering::Relaxed);
        if mode == Mode::Refuses {
            self.listener = None;
            if let Some(running) = self.running.take() {
                running.stopper.stop();
                running.task.await.ok();
            }
            return Ok(());
        }
        if self.running.is_none() {
            let listener = match self.listener.take() {
                Some(listener) => listener,
                None => Listener::bind(self.address)?,
            };
            self.running = Some(run(listener, router(Arc::clone(&self.shared))));
        }
        Ok(())
    }
}

fn run(listener: Listener, router: Router) -> Running {
    let (stopper, stop) = stop::stop();
    let limits = Limits { connections: 64, grace: std::time::Duration::ZERO, ..Limits::default() };
    let task = tokio::spawn(async move {
        if let Err(error) = listener.serve(router, limits, stop).await {
            warn!(%error, "a backend of the demo has ended");
        }
    });
    Running { stopper, task }
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

    /// As a service exports its requests: a code has no series before it was answered once.
    fn page(&self) -> String {
        let mut page = "# HELP http_requests_total Requests by version and status.\n\
                        # TYPE http_requests_total counter\n"
            .to_owned();
        for (code, count) in [("200", &self.good), ("500", &self.bad)] {
            let (version, count) = (&self.version, count.load(Ordering::Relaxed));
            if count > 0 {
                let labels = format!("version=\"{version}\",code=\"{code}\"");
                writeln!(page, "http_requests_total{{{labels}}} {count}").ok();
            }
        }
        page
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
    (status, text)
}

async fn health(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let status = shared.status();
    (status, if status == StatusCode::OK { "ok\n" } else { "not ok\n" })
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.page())
}
