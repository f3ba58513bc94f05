//! `status`: what a running agent tells of itself, as one JSON document.
//!
//! It is told over a Unix socket in the agent's directory, which is its owner's only, and on the
//! page. The socket takes no request: whoever connects is told, and the connection ends.

use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_platform::disk::{Disk, DiskError, RealDisk};
use bellwether_platform::stop::Stop;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::shell::collection::Report;
use crate::shell::latest::Latest;
use crate::shell::metrics::Metrics;
use crate::shell::ship::{Ask, ShipReport};

/// The socket's name in the agent's directory.
pub const SOCKET: &str = "status.sock";
/// After an error of accept, so long for the process to give files back.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Whoever asks must take the answer in this time.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// What an agent tells of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Its version.
    pub version: String,
    /// The labels that all its series share.
    pub labels: String,
    /// Address of its page.
    pub page: String,
    /// Whether the last attempt to read the configuration again went well.
    pub config_reload_successful: bool,
    /// When the configuration in use was read, in seconds since 1970.
    pub config_read_at: i64,
    /// Spool, clock and collectors.
    pub shipping: ShipReport,
    /// The inputs that run.
    pub inputs: Vec<InputStatus>,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputStatus {
    /// Its name.
    pub name: String,
    /// `ok`, `failing`, `over_limit`, or `absent` if the kernel does not offer what it reads.
    pub state: String,
    /// Why its last row is not whole.
    pub error: Option<String>,
    /// The stamp of its last whole row, in ms since 1970.
    pub last_success_ms: Option<i64>,
    /// How long its last row took.
    pub duration_seconds: f64,
    /// Series of its own.
    pub series: usize,
}

impl From<Report> for InputStatus {
    fn from(report: Report) -> InputStatus {
        use crate::pure::input::InputError;
        let state = match &report.error {
            Some(InputError::Absent) => "absent",
            Some(_) => "failing",
            None if report.left_out > 0 => "over_limit",
            None => "ok",
        };
        InputStatus {
            name: report.input.to_owned(),
            state: state.to_owned(),
            error: report.error.map(|error| error.to_string()),
            last_success_ms: report.last_success.map(|at| at.0),
            duration_seconds: report.took.as_secs_f64(),
            series: report.series,
        }
    }
}

/// Where the parts of a status come from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StatusSource {
    /// Shipping.
    pub ship: mpsc::Sender<Ask>,
    /// The sampler.
    pub latest: Arc<Latest>,
    /// The labels of all series, which a changed configuration changes.
    pub labels: watch::Receiver<String>,
    /// Address of the page.
    pub page: String,
    /// When the configuration was read.
    pub metrics: Metrics,
}

impl StatusSource {
    /// The document; `None` while the agent ends.
    pub async fn json(&self) -> Option<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        self.ship.send(Ask::Report(reply)).await.ok()?;
        let shipping = answer.await.ok()?;
        let (config_reload_successful, config_read_at) = self.metrics.config();
        let status = AgentStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            labels: self.labels.borrow().clone(),
            page: self.page.clone(),
            config_reload_successful,
            config_read_at,
            shipping,
            inputs: self.latest.reports().into_iter().map(InputStatus::from).collect(),
        };
        let mut json = serde_json::to_vec_pretty(&status).ok()?;
        json.push(b'\n');
        Some(json)
    }

    /// Tells whoever connects until stopped. A socket that cannot be had is said and done without.
    pub async fn serve(self, dir: &Path, stop: Stop) {
        let path = dir.join(SOCKET);
        let listener = match bind(&path) {
            Ok(listener) => listener,
            Err(error) => {
                warn!(path = %path.display(), %error, "no socket for `status`");
                return stop.stopped().await;
            }
        };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.stopped() => break,
            };
            let Ok((mut stream, _)) = accepted else {
                sleep(ACCEPT_REST).await;
                continue;
            };
            let answer = async {
                let json = self.json().await.unwrap_or_default();
                // Whoever has gone needs no answer.
                stream.write_all(&json).await.ok();
                stream.shutdown().await.ok();
            };
            drop(timeout(ANSWER_TIME, answer).await);
        }
        // The next start removes it otherwise.
        RealDisk.remove(&path).ok();
    }
}

/// Binds the socket for its owner alone. One that is left over is removed: its process is gone,
/// since this one holds the directory.
fn bind(path: &Path) -> io::Result<UnixListener> {
    use rustix::fs::{Mode, chmod};
    if path.exists() {
        RealDisk.remove(path).map_err(|error: DiskError| io::Error::other(error.to_string()))?;
    }
    let listener = StdListener::bind(path)?;
    chmod(path, Mode::RUSR | Mode::WUSR)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}
