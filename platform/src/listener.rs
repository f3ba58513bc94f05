//! One HTTP listener (HTTP/1.1, and HTTP/2 with prior knowledge) for every page and interface.
//!
//! Everything a client can make large or slow has a bound here: connections, header bytes, streams,
//! the time for a head, for a request, for taking the answer, and the time a connection may idle.
//! What is over a bound is closed or refused, and counted. Handlers find a [`Peer`] in the
//! request's extensions; bodies are read through [`Bodies`], and answers that may be large are held
//! by [`Answers`]. Who may do what is `principal`'s to say, and the routes are the service's.
//!
//! Beyond loopback nothing listens without both TLS and callers who are known ([`Safeguards`]). The
//! certificate is looked at again each second, and exchanged without a pause.

mod activity;
mod answers;
mod body;
mod connection;
mod secure;
mod service;
mod stats;

use std::error::Error as StdError;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tower_service::Service;

use crate::principal::Reach;
use crate::stop::Stop;
use crate::tls::{ServerTls, Wire};

pub use answers::Answers;
pub use body::{Bodies, BodyError, BodyLimit, HeldBody};
pub use secure::SPEAKS_TLS;
pub use service::{ServiceFn, service_fn};
pub use stats::{Figure, FigureKind, ListenerStats};

/// How long accepting rests when the operating system has no file descriptor or memory left.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// From one look at the certificate's files to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a client may use of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; one more is accepted and closed.
    pub connections: usize,
    /// Bytes of one request's head; at least 8 KiB are granted.
    pub header_bytes: u32,
    /// HTTP/2 requests at once on one connection.
    pub streams: u32,
    /// From the first byte of a request (or from connecting) to the end of its head.
    pub header_time: Duration,
    /// For the service to answer; later the client is told 503.
    pub request_time: Duration,
    /// For the client to take the answer, on top of `request_time`; later it is cut off.
    pub answer_time: Duration,
    /// For the client to take any more of what waits for it; later it is cut off.
    pub stall_time: Duration,
    /// From the end of one request to the beginning of the next.
    pub idle_time: Duration,
    /// After the stop, for requests under way; later they are cut off.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1024,
            header_bytes: 32 << 10,
            streams: 64,
            header_time: Duration::from_secs(10),
            request_time: Duration::from_secs(120),
            answer_time: Duration::from_secs(60),
            stall_time: Duration::from_secs(30),
            // Longer than the one minute at which most scrape.
            idle_time: Duration::from_secs(90),
            grace: Duration::from_secs(10),
        }
    }
}

/// The other end of a connection; in the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address as the socket says, whatever proxies are between.
    pub address: SocketAddr,
}

impl Peer {
    /// Whether the peer is on this machine.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach::of(self.address.ip())
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{0} is in use by another process; stop it or choose another address")]
    InUse(SocketAddr),
    /// Ports below 1024 need a privilege.
    #[error("no permission to listen on {0}; choose a port above 1023")]
    Denied(SocketAddr),
    /// No interface has the address.
    #[error("{0} is not an address of this machine")]
    NotHere(SocketAddr),
    /// Tokens and data would be readable on the network, or for everyone on it.
    #[error(
        "{0} is reachable from other machines, which needs TLS and a principal; \
         without them listen on 127.0.0.1 or [::1]"
    )]
    BeyondLoopback(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

impl BindError {
    fn of(address: SocketAddr, source: io::Error) -> BindError {
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            io::ErrorKind::PermissionDenied => BindError::Denied(address),
            io::ErrorKind::AddrNotAvailable => BindError::NotHere(address),
            _ => BindError::Other { address, source },
        }
    }
}

/// Who is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Callers {
    /// Whoever can reach the listener may read.
    #[default]
    Anyone,
    /// The service, or the handshake of TLS, lets through those who are configured, and no one else
    /// from another machine.
    Known,
}

/// What stands between a listener and the network.
#[derive(Debug, Default)]
pub struct Safeguards {
    /// The certificate of a listener that speaks TLS, and nothing else.
    pub tls: Option<ServerTls>,
    /// Who is answered.
    pub callers: Callers,
}

impl Safeguards {
    fn suffice_beyond_loopback(&self) -> bool {
        self.tls.is_some() && self.callers == Callers::Known
    }
}

/// A bound address; connections wait in its backlog until [`Listener::serve`] runs.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    stats: Arc<ListenerStats>,
    tls: Option<Arc<ServerTls>>,
}

impl Listener {
    /// Binds an address of this machine's loopback, without TLS.
    ///
    /// # Errors
    /// Says in plain words why not, and what to do.
    pub fn bind(address: SocketAddr) -> Result<Listener, BindError> {
        Listener::bind_guarded(address, Safeguards::default())
    }

    /// Binds an address; one beyond loopback only if the safeguards suffice.
    ///
    /// # Errors
    /// Says in plain words why not, and what to do.
    pub fn bind_guarded(
        address: SocketAddr,
        safeguards: Safeguards,
    ) -> Result<Listener, BindError> {
        let is_local = Reach::of(address.ip()) == Reach::Loopback;
        if !is_local && !safeguards.suffice_beyond_loopback() {
            return Err(BindError::BeyondLoopback(address));
        }
        let wrap = |source| BindError::of(address, source);
        let socket = TcpListener::bind(address).map_err(wrap)?;
        socket.set_nonblocking(true).map_err(wrap)?;
        let address = socket.local_addr().map_err(wrap)?;
        let tls = safeguards.tls.map(Arc::new);
        Ok(Listener { socket, address, stats: Arc::default(), tls })
    }

    /// `https` if it speaks TLS, else `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The address it got: the port is the real one where port 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counters, to be registered by the daemon.
    #[must_use]
    pub fn stats(&self) -> Arc<ListenerStats> {
        Arc::clone(&self.stats)
    }

    /// Serves until `stop` fires, then stops accepting, lets requests under way end within
    /// `limits.grace`, and closes. Called inside a tokio runtime, whose threads it uses.
    ///
    /// # Errors
    /// The runtime cannot take the socket.
    ///
    /// # Panics
    /// Goes on with a panic of the service.
    pub async fn serve<S, B>(self, service: S, limits: Limits, stop: Stop) -> io::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn StdError + Send + Sync>>,
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Listener { socket, stats, tls, .. } = self;
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let places = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (stream, peer) = tokio::select! {
                () = stop.stopped() => break,
                Some(ended) = connections.join_next() => {
                    rethrow(ended);
                    continue;
                }
                _ = looks.tick(), if tls.is_some() => {
                    tls.iter().for_each(|tls| look(tls, &stats));
                    continue;
                }
                accepted = accept(&socket, &stats) => accepted,
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                stats.refused.add(1);
                continue;
            };
            let (service, stats, stop) = (service.clone(), Arc::clone(&stats), stop.clone());
            let acceptor = tls.as_ref().map(|tls| tls.acceptor());
            connections.spawn(async move {
                let wire = match acceptor {
                    None => Some(Wire::Plain(stream)),
                    Some(acceptor) => {
                        let time = limits.header_time;
                        secure::secure(stream, acceptor, time, &stats, &stop).await
                    }
                };
                if let Some(wire) = wire {
                    connection::drive(wire, service, peer, limits, stats, stop).await;
                }
                drop(place);
            });
        }
        drop(socket);
        drain(connections, limits.grace, &stats).await;
        Ok(())
    }
}

/// The next connection; errors are counted and outlived.
async fn accept(socket: &tokio::net::TcpListener, stats: &ListenerStats) -> (TcpStream, Peer) {
    loop {
        match socket.accept().await {
            Ok((stream, address)) => {
                stats.accepted.add(1);
                // Without it small answers wait for the client's delayed acknowledgement; where the
                // socket is already gone, the connection says so itself.
                if stream.set_nodelay(true).is_ok() {
                    return (stream, Peer { address });
                }
            }
            Err(error) => {
                stats.accept_errors.add(1);
                // These concern the one connection that was given up; others ask for patience.
                use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
                if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
                    sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

/// Takes a changed certificate into use, or says why not.
fn look(tls: &ServerTls, stats: &ListenerStats) {
    match tls.look() {
        None => {}
        Some(Ok(())) => {
            stats.certificates_read.add(1);
            tracing::info!("changed certificate read");
        }
        Some(Err(error)) => {
            stats.certificates_unusable.add(1);
            tracing::warn!(%error, "changed certificate unusable; the old one stays in use");
        }
    }
}

/// Waits for the connections to end by themselves, at most for the grace period.
async fn drain(mut connections: JoinSet<()>, grace: Duration, stats: &ListenerStats) {
    let ending = async {
        while let Some(ended) = connections.join_next().await {
            rethrow(ended);
        }
    };
    if timeout(grace, ending).await.is_err() {
        stats.cut_at_stop.add(u64::try_from(connections.len()).unwrap_or(u64::MAX));
        connections.shutdown().await;
    }
}

/// A panic of a connection's task is a broken invariant of the service: it is not swallowed.
fn rethrow(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests;
