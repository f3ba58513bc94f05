//! Following: what rules and guards see of a store as it grows.
//!
//! Whoever follows takes a view from time to time and reads what came since the view before, by the
//! order in which samples came, not by their stamps: a backlog is new when it comes. Start with
//! [`Select::series`] and [`Select::samples`] of a view, keep its [`Feed::cursor`]; then, with each
//! later view, [`Feed::births`] for the series that are new and [`Feed::news`] for the samples. On
//! [`Unknown`] start again.

use crate::id::Position;
use crate::matcher::Matcher;
use crate::select::{Column, Select};
use crate::series::SeriesRef;
use crate::time::Timestamp;

/// Where a view ends in the order in which samples came: the position of its last journal entry.
/// It means the same after a restart, and nothing in another store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(pub Position);

/// What came after a cursor is not known: read by time instead, and go on from this view's cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Births are kept for a while, and not over a restart.
    #[error("births are known since position {} only", since.0)]
    Past {
        /// The oldest cursor that can be answered.
        since: Cursor,
    },
    /// The cursor is of a later view, or of another store.
    #[error("the cursor lies past this view, which ends at position {}", end.0)]
    Ahead {
        /// Where the view ends.
        end: Cursor,
    },
}

/// A series has its first sample: ever, or since it ended, or in a second source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Which.
    pub series: SeriesRef,
    /// The sample's time.
    pub time: Timestamp,
    /// What was there before.
    pub origin: Origin,
}

/// What was there before a series' first sample. A counter may be counted from 0 only where its
/// target had been read without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Its target (column group) had its last row at this time, with other series that go on, and
    /// without this one: a counter was 0 then, or was not exported yet.
    After(Timestamp),
    /// It came with the first row of its target that is known here, or with the first after a gap
    /// in which all of the target's series ended: what it has counted before is not known.
    First,
    /// Another source that lives holds the series: nothing begins.
    Elsewhere,
}

/// Whether a series goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its newest sample is no stale marker, and is at most five minutes old.
    Lives,
    /// It ended then: by a stale marker, the goodbye of its source, or its silence.
    Ended(Timestamp),
    /// It has no sample in the last five minutes, and has not ended in them.
    Absent,
}

/// A view as one in a row of views.
pub trait Feed: Select {
    /// The time, at most the view's own, up to which all samples of all *prompt* sources are in it.
    /// The view's own time if there is none.
    ///
    /// A source promises with each frame that nothing stamped at or before a time follows; it is
    /// prompt while that time is less than two seconds ago. One that is silent, is dead, has said
    /// goodbye, or drains a backlog is not: it would hold every slot up for as long as a slot may
    /// wait. Sources that promise nothing (the collector's own) never count.
    fn complete_through(&self) -> Timestamp;

    /// Where this view ends.
    fn cursor(&self) -> Cursor;

    /// The births after the cursor of series that meet every matcher, in the order in which they
    /// came. A series may be born more than once.
    ///
    /// # Errors
    /// They are not known.
    fn births(&self, matchers: &[Matcher], since: Cursor) -> Result<Vec<Birth>, Unknown>;

    /// The samples of a series that came after the cursor, times rising, put in place of what `out`
    /// held: over the views of a follower each sample once. Stale markers that were sent are among
    /// them; what ends a series without one is only in [`Feed::standing`]. Where two sources have a
    /// sample of one time, the one that came first is given ([`Select::samples`] gives the other,
    /// which may have come after the first was given). Samples past retention are not given. Times
    /// lie before those of an earlier call where a backlog came.
    ///
    /// # Errors
    /// The cursor lies past this view.
    fn news(&self, series: SeriesRef, since: Cursor, out: &mut Column) -> Result<(), Unknown>;

    /// Whether a series goes on, as this view's time has it.
    fn standing(&self, series: SeriesRef) -> Standing;
}
