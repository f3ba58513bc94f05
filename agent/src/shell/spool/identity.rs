//! The agent's id and what binds it: a copy of the disk on another machine is another agent.

use std::path::Path;

use bellwether_model::id::AgentId;
use bellwether_platform::disk::{Disk, DiskError, read_file, replace_file};

pub(super) const FILE: &str = "identity";
const BYTES_MAX: usize = 4096;

/// What the identity file holds: two lines, `agent` and `machine`.
pub(super) struct Identity {
    pub(super) agent: AgentId,
    pub(super) machine: String,
}

/// `None` if there is no file, or nothing that can be read.
pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>, DiskError> {
    let bytes = read_file(disk, &dir.join(FILE), BYTES_MAX)?;
    Ok(bytes.and_then(|bytes| parse(&bytes)))
}

fn parse(bytes: &[u8]) -> Option<Identity> {
    let text = std::str::from_utf8(bytes).ok()?;
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Some(Identity { agent: field("agent")?.parse().ok()?, machine: field("machine")?.to_owned() })
}

pub(super) fn write(
    disk: &dyn Disk,
    dir: &Path,
    agent: AgentId,
    machine: &str,
) -> Result<(), DiskError> {
    let text = format!("agent {agent}\nmachine {machine}\n");
    replace_file(disk, &dir.join(FILE), text.as_bytes())
}

/// Empties the journals of all identities but these: one that is set aside is kept, not every one.
pub(super) fn empty_others(
    disk: &dyn Disk,
    dir: &Path,
    kept: [AgentId; 2],
) -> Result<(), DiskError> {
    for name in disk.list(dir)? {
        if !name.parse().is_ok_and(|agent: AgentId| !kept.contains(&agent)) {
            continue;
        }
        let journal = dir.join(name);
        for file in disk.list(&journal)? {
            disk.remove(&journal.join(file))?;
        }
    }
    Ok(())
}
