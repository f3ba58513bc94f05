//! The traffic of the demo: so many requests a second, each of a client answered before its next,
//! so that a slow server gets fewer and none are heaped up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether_platform::dial::{Connection, Dialer, Route, Target, Way};
use bellwether_platform::tls::ClientFiles;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{Request, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::pure::demo::Traffic;

/// Clients that share the requests.
const CLIENTS: u32 = 4;
/// An answer that takes longer is none.
const ANSWER_TIME: Duration = Duration::from_secs(1);
const ANSWER_BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
struct Counts {
    good: AtomicU64,
    bad: AtomicU64,
    lost: AtomicU64,
}

/// Traffic that runs until it is dropped.
pub(super) struct Load {
    counts: Arc<Counts>,
    _clients: JoinSet<()>,
}

impl Load {
    /// Starts clients of an address; `rate` requests a second in all.
    pub(super) fn start(address: SocketAddr, rate: u32) -> Load {
        let counts = Arc::new(Counts::default());
        let mut clients = JoinSet::new();
        let every = Duration::from_secs(1) * CLIENTS / rate.max(1);
        for _ in 0..CLIENTS {
            clients.spawn(client(Server::new(address), every, Arc::clone(&counts)));
        }
        Load { counts, _clients: clients }
    }

    /// What became of all requests so far.
    pub(super) fn traffic(&self) -> Traffic {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Traffic {
            good: of(&self.counts.good),
            bad: of(&self.counts.bad),
            lost: of(&self.counts.lost),
        }
    }
}

async fn client(mut server: Server, every: Duration, counts: Arc<Counts>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let count = match server.ask().await {
            Some(status) if status.is_success() => &counts.good,
            Some(_) => &counts.bad,
            None => &counts.lost,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// One server and the connection to it that is kept.
pub(super) struct Server {
    dialer: Option<Dialer>,
    kept: Option<Connection>,
}

impl Server {
    pub(super) fn new(address: SocketAddr) -> Server {
        let (way, tls) = (Way::Direct, ClientFiles { ca: None, identity: None });
        let target = Target::parse(&format!("http://{address}")).ok();
        let route = |target| Route { target, way, tls, server_name: None };
        Server { dialer: target.map(route).map(Dialer::for_any_server), kept: None }
    }

    /// The status of an answer that was read whole; `None` if there is none in time.
    pub(super) async fn ask(&mut self) -> Option<StatusCode> {
        let answered = timeout(ANSWER_TIME, self.request()).await;
        answered.ok().flatten()
    }

    async fn request(&mut self) -> Option<StatusCode> {
        // Whatever goes wrong, the connection is not kept.
        let kept = self.kept.take().filter(|connection| !connection.is_closed());
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.dialer.as_mut()?.connect().await.ok()?,
        };
        let request = Request::get("/").body(Bytes::new()).ok()?;
        let answer = connection.send(request).await.ok()?;
        let status = answer.status();
        Limited::new(answer.into_body(), ANSWER_BYTES).collect().await.ok()?;
        self.kept = Some(connection);
        Some(status)
    }
}
