//! What stands before the backends of the demo: a small proxy, whose file says which versions get
//! requests. Whoever switches traffic writes the file, as one would nginx' list of servers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bellwether_platform::listener::{BindError, Limits, Listener};
use bellwether_platform::stop;
use tokio::sync::Mutex;
use tracing::warn;

use super::load::Server;

/// From one look at the file to the next.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The proxy.
pub(super) struct Proxy {
    address: SocketAddr,
    listener: Listener,
}

struct Shared {
    /// By version.
    servers: Vec<(String, Mutex<Server>)>,
    /// Places of those that get requests.
    serving: std::sync::RwLock<Vec<usize>>,
    next: AtomicUsize,
}

impl Proxy {
    /// Binds a port; connections wait.
    pub(super) fn bind() -> Result<Proxy, BindError> {
        let listener = Listener::bind(super::ANY)?;
        Ok(Proxy { address: listener.address(), listener })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the runtime ends; requests go in turn to the versions that the file names.
    pub(super) fn start(self, backends: &[(String, SocketAddr)], file: PathBuf) {
        let servers = backends
            .iter()
            .map(|(version, address)| (version.clone(), Mutex::new(Server::new(*address))));
        let serving = (0..backends.len()).collect();
        let shared = Arc::new(Shared {
            servers: servers.collect(),
            serving: std::sync::RwLock::new(serving),
            next: AtomicUsize::new(0),
        });
        tokio::spawn(follow(Arc::clone(&shared), file));
        let router = Router::new().route("/", get(pass)).with_state(shared);
        let limits = Limits { connections: 64, grace: Duration::ZERO, ..Limits::default() };
        // Nobody stops it.
        let (_, stop) = stop::stop();
        tokio::spawn(async move {
            if let Err(error) = self.listener.serve(router, limits, stop).await {
                warn!(%error, "the proxy of the demo has ended");
            }
        });
    }
}

/// Takes up what the file says.
async fn follow(shared: Arc<Shared>, file: PathBuf) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let named = versions(&file);
        let places = (0..shared.servers.len()).filter(|place| {
            let server = shared.servers.get(*place);
            server.is_some_and(|(version, _)| named.contains(version))
        });
        let places: Vec<usize> = places.collect();
        if !places.is_empty() {
            let mut serving =
                shared.serving.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            *serving = places;
        }
    }
}

/// The versions that a file names; none while it cannot be read.
fn versions(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

async fn pass(State(shared): State<Arc<Shared>>) -> Response {
    let turn = shared.next.fetch_add(1, Ordering::Relaxed);
    let place = {
        let serving = shared.serving.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        serving.get(turn % serving.len().max(1)).copied()
    };
    let Some((_, server)) = place.and_then(|place| shared.servers.get(place)) else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    match server.lock().await.ask().await {
        Some(status) => status.into_response(),
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}
