//! The traffic of the demo: so many requests a second to each backend, each answered before the
//! next, so that a slow backend gets fewer and none are heaped up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether_platform::dial::{Connection, Dialer, Route, Target, Way};
use bellwether_platform::tls::ClientFiles;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::pure::demo::Traffic;

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
    /// Starts a client of each backend; `rate` requests a second in all, at least one to each.
    pub(super) fn start(backends: &[SocketAddr], rate: u32) -> Load {
        let counts = Arc::new(Counts::default());
        let mut clients = JoinSet::new();
        let each = rate.checked_div(u32::try_from(backends.len()).unwrap_or(u32::MAX));
        let every = Duration::from_secs(1) / each.unwrap_or_default().max(1);
        for backend in backends {
            let Ok(target) = Target::parse(&format!("http://{backend}")) else { continue };
            let (way, tls) = (Way::Direct, ClientFiles { ca: None, identity: None });
            let dialer = Dialer::new(Route { target, way, tls, server_name: None });
            clients.spawn(client(dialer, every, Arc::clone(&counts)));
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

async fn client(mut dialer: Dialer, every: Duration, counts: Arc<Counts>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut connection = None;
    loop {
        ticks.tick().await;
        let answered = timeout(ANSWER_TIME, request(&mut dialer, &mut connection)).await;
        let count = match answered.ok().flatten() {
            Some(status) if status.is_success() => &counts.good,
            Some(_) => &counts.bad,
            None => {
                connection = None;
                &counts.lost
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The status of an answer that was read whole; `None` if there is none.
async fn request(dialer: &mut Dialer, kept: &mut Option<Connection>) -> Option<StatusCode> {
    let mut connection = match kept.take().filter(|connection| !connection.is_closed()) {
        Some(connection) => connection,
        None => dialer.connect().await.ok()?,
    };
    let request = Request::get("/").body(Full::<Bytes>::default()).ok()?;
    let answer = connection.send(request).await.ok()?;
    let status = answer.status();
    Limited::new(answer.into_body(), ANSWER_BYTES).collect().await.ok()?;
    *kept = Some(connection);
    Some(status)
}
