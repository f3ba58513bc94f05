//! What is done where journals are there and nothing says whose: the identity file is gone or
//! damaged.
//!
//! A journal lies in a directory with the name of its agent, and an identity's first state goes on
//! from the one before it: the journal with the highest incarnation is that of the last one. Should
//! another machine go on under the same id, the collector tells them apart.

use std::sync::Arc;

use bellwether_model::id::AgentId;
use bellwether_platform::disk::Disk;
use tracing::{error, warn};

use super::load::{Loaded, load};
use super::{Setup, SpoolError};

/// The identity whose journal is the newest; `None` where there is no journal.
pub(super) fn newest(
    disk: &Arc<dyn Disk>,
    setup: &Setup,
) -> Result<Option<(AgentId, Loaded)>, SpoolError> {
    let mut newest: Option<(AgentId, Loaded)> = None;
    for name in disk.list(&setup.dir)? {
        let Ok(agent) = name.parse::<AgentId>() else { continue };
        if disk.list(&setup.dir.join(name))?.is_empty() {
            continue;
        }
        let loaded = load(disk, setup, agent)?;
        let incarnation = loaded.state.incarnation;
        if newest.as_ref().is_none_or(|(_, held)| held.state.incarnation < incarnation) {
            newest = Some((agent, loaded));
        }
    }
    let dir = setup.dir.display();
    match &newest {
        Some((agent, loaded)) => {
            let segments = loaded.backlog.segments().count();
            warn!(%dir, %agent, segments, "no readable identity; the newest journal is taken up");
        }
        None if disk.list(&setup.dir)?.iter().any(|name| name == super::identity::FILE) => {
            error!(%dir, "no readable identity and no journal; a new identity is taken");
        }
        None => {}
    }
    Ok(newest)
}
