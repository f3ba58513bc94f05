//! One HTTP listener (HTTP/1.1, and HTTP/2 with prior knowledge) for every page and interface.
//!
//! Everything a client can make large or slow has a bound here: connections, header bytes, streams,
//! the time for a head, for a request, for taking the answer, and the time a connection may idle.
//! What is over a bound is closed or refused, and counted. Handlers find a [`Peer`] in the
//! request's extensions; bodies are read through [`Bodies`]. Who may do what is `principal`'s to
//! say, and the routes are the service's. There is no TLS, so that addresses beyond loopback are
//! refused.

mod activity;
mod body;
mod connection;
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
use tokio::time::{sleep, timeout};
use tower_service::Service;

use crate::principal::Reach;
use crate::stop::Stop;

pub use body::{Bodies, BodyError, BodyLimit, HeldBody};
pub use service::{ServiceFn, service_fn};
pub use stats::{Figure, FigureKind, ListenerStats};

/// How long accepting rests when the operating system has no file descriptor or memory left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

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
    /// Without TLS, tokens and data would be readable on the network.
    #[error("{0} is reachable from other machines, which needs TLS; listen on 127.0.0.1 or [::1]")]
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

/// A bound address; connections wait in its backlog until [`Listener::serve`] runs.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    stats: Arc<ListenerStats>,
}

impl Listener {
    /// Binds an address of this machine's loopback.
    ///
    /// # Errors
    /// Says in plain words why not, and what to do.
    pub fn bind(address: SocketAddr) -> Result<Listener, BindError> {
        if Reach::of(address.ip()) != Reach::Loopback {
            return Err(BindError::BeyondLoopback(address));
        }
        let wrap = |source| BindError::of(address, source);
        let socket = TcpListener::bind(address).map_err(wrap)?;
        socket.set_nonblocking(true).map_err(wrap)?;
        let address = socket.local_addr().map_err(wrap)?;
        Ok(Listener { socket, address, stats: Arc::default() })
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
        let Listener { socket, stats, .. } = self;
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let places = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        loop {
            let (stream, peer) = tokio::select! {
                () = stop.stopped() => break,
                Some(ended) = connections.join_next() => {
                    rethrow(ended);
                    continue;
                }
                accepted = accept(&socket, &stats) => accepted,
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                stats.refused.add(1);
                continue;
            };
            let connection = connection::drive(
                stream,
                service.clone(),
                peer,
                limits,
                Arc::clone(&stats),
                stop.clone(),
            );
            connections.spawn(async move {
                connection.await;
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
