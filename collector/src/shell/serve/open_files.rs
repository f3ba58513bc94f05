//! How many files may be open, and how many connections that leaves.

use bellwether_platform::process::raise_open_files;
use tracing::warn;

use super::ServeError;

/// Connections beside those of agents: queries, scrapes, people.
const OTHER_CONNECTIONS: usize = 1024;
/// Files, pipes and sockets that are not connections: chunk files mostly. Where the limit is lower,
/// half of it, but never less than [`OWN_MIN`].
const OWN: u64 = 1024;
const OWN_MIN: u64 = 256;
/// With fewer connections there is no start.
const CONNECTIONS_MIN: u64 = 64;

/// Raises the limit of open files towards what so many agents and others need; gives how many
/// connections it allows.
///
/// # Errors
/// Not even the fewest have room.
pub(super) fn open_files(agents: usize) -> Result<usize, ServeError> {
    let wanted = agents.saturating_add(OTHER_CONNECTIONS);
    let files = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(OWN);
    let limit = raise_open_files(files);
    let connections = connections(limit, wanted)
        .ok_or(ServeError::OpenFiles { limit, least: OWN_MIN + CONNECTIONS_MIN })?;
    if connections < wanted {
        let what = "the limit of open files leaves fewer connections than agents and others may \
                    need: raise it (ulimit -Hn, LimitNOFILE)";
        warn!(limit, files, connections, wanted, "{what}");
    }
    Ok(connections)
}

/// The connections that a limit leaves room for, of those that are wanted.
fn connections(limit: u64, wanted: usize) -> Option<usize> {
    let own = OWN.min(limit / 2).max(OWN_MIN);
    let left = limit.checked_sub(own).filter(|left| *left >= CONNECTIONS_MIN)?;
    Some(usize::try_from(left).unwrap_or(usize::MAX).min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_leaves_connections_or_is_refused() {
        let table = [
            (u64::MAX, Some(3048)),
            (4072, Some(3048)),
            (2048, Some(1024)),
            (1024, Some(512)),
            (512, Some(256)),
            (320, Some(64)),
            (319, None),
            (0, None),
        ];
        for (limit, left) in table {
            assert_eq!(connections(limit, 3048), left, "{limit}");
        }
        assert_eq!(connections(1024, 100), Some(100));
    }
}
