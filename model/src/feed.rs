//! Following: what rules and guards see of a store as it grows.

use crate::select::Select;
use crate::time::Timestamp;

/// A view as one in a row of views: how far its data is complete.
pub trait Feed: Select {
    /// The time, at most the view's own, up to which all samples of all *prompt* sources are in it.
    /// The view's own time if there is none.
    ///
    /// A source promises with each frame that nothing stamped at or before a time follows; it is
    /// prompt while that time is less than two seconds ago. One that is silent, is dead, has said
    /// goodbye, or drains a backlog is not: it would hold every slot up for as long as a slot may
    /// wait. Sources that promise nothing (the collector's own) never count.
    fn complete_through(&self) -> Timestamp;
}
