//! What the files of an identity hold, read when the spool is opened.

use std::sync::Arc;

use bellwether_model::id::{AgentId, Position};
use bellwether_model::wire::frame::{Frame, Header};
use bellwether_platform::disk::Disk;
use bellwether_platform::journal::{Journal, Loss, Options};

use super::state::{self, State};
use super::{FILE_BYTES, FILE_BYTES_MIN, Setup, SpoolError};
use crate::pure::account::Count;
use crate::pure::ship::backlog::{Backlog, Held, Segment};

/// What the journal of an identity held.
pub(super) struct Loaded {
    pub(super) journal: Journal,
    pub(super) backlog: Backlog,
    pub(super) state: State,
}

/// Opens the journal of an identity and reads what it holds.
pub(super) fn load(
    disk: &Arc<dyn Disk>,
    setup: &Setup,
    agent: AgentId,
) -> Result<Loaded, SpoolError> {
    let segment_bytes = (setup.bounds.bytes_max / 3).clamp(FILE_BYTES_MIN, FILE_BYTES) >> 12 << 12;
    let options = Options { segment_bytes, loss: Loss::Accept, ..Options::default() };
    let (mut backlog, mut state) = (Backlog::default(), State::default());
    let mut foreign = None;
    let mut replay = |position: Position, entry: &[u8]| {
        // A frame that its own CRC does not vouch for is lost; its number shows as a gap.
        if let Some((frame, samples)) = state::frame(entry) {
            let header = frame.header();
            state.incarnation = state.incarnation.max(header.seq.incarnation());
            // The end of a segment whose beginning has gone with its file: it was dropped whole.
            if backlog.first().is_none() && !header.opens_segment {
                return Ok(());
            }
            state.account.collect(Count::frame(samples));
            state.account.spooled += Count::frame(samples);
            backlog.push(segment(&frame, samples, position), header.opens_segment);
        } else if let Ok(read) = State::read(entry) {
            state = read;
        } else if let Some(version) = state::foreign(entry) {
            foreign = Some(version);
        }
        Ok(())
    };
    let path = setup.dir.join(agent.to_string());
    let (journal, _) = Journal::open(Arc::clone(disk), &path, options, &mut replay)?;
    if let Some(version) = foreign {
        return Err(SpoolError::Version { dir: path, version });
    }
    // Gone before, but still in the files: such frames are in no collector's account any more.
    let is_gone = |oldest: &Segment| oldest.last < state.first || state.is_done(oldest);
    while backlog.segments().next().is_some_and(is_gone) {
        backlog.pop_done();
    }
    Ok(Loaded { journal, backlog, state })
}

/// A segment of one frame.
pub(super) fn segment(frame: &Frame<'_>, samples: u32, position: Position) -> Segment {
    let Header { seq, complete_through, .. } = *frame.header();
    Segment {
        first: seq,
        last: seq,
        position,
        bytes: frame.bytes().len() as u64,
        newest: complete_through,
        frames: vec![Held { samples, through: complete_through }],
    }
}
