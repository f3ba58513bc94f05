//! What stands before the backends of the demo: nginx where it is installed, else a small proxy.

use std::net::SocketAddr;
use std::path::Path;

use tracing::warn;

use super::hook::{self, Switch};
use super::nginx::Nginx;
use super::proxy::Proxy;

/// It passes requests on while this is held.
pub(super) enum Front {
    Nginx(Nginx),
    Own { address: SocketAddr, switch: Switch },
}

impl Front {
    /// Starts it with its files in a directory.
    ///
    /// # Errors
    /// No port is free, or the disk failed.
    pub(super) async fn start(
        dir: &Path,
        versions: &[(String, SocketAddr)],
    ) -> anyhow::Result<Front> {
        if let Some(nginx) = Nginx::find() {
            match Nginx::start(&nginx, dir, versions).await {
                Ok(nginx) => return Ok(Front::Nginx(nginx)),
                Err(error) => {
                    warn!(%error, "nginx does not start, so the demo takes its own proxy")
                }
            }
        }
        let proxy = Proxy::bind()?;
        let address = proxy.address();
        proxy.start(versions, hook::write_serving(dir, versions)?);
        Ok(Front::Own { address, switch: Switch { script: hook::SCRIPT, arguments: Vec::new() } })
    }

    /// Where users ask.
    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Front::Nginx(nginx) => nginx.address(),
            Front::Own { address, .. } => *address,
        }
    }

    /// What it is.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Front::Nginx(_) => "nginx",
            Front::Own { .. } => "a proxy",
        }
    }

    /// By what another version gets its requests.
    pub(super) fn switch(&self) -> &Switch {
        match self {
            Front::Nginx(nginx) => nginx.switch(),
            Front::Own { switch, .. } => switch,
        }
    }
}
