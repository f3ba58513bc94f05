//! How far the data of the sources that keep up is complete: their promises, in order.
//!
//! Each change of a source moves its promise; the oldest that is still prompt is looked up, so that
//! neither depends on the number of sources but by its logarithm.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_model::time::Timestamp;

use super::{Change, Marks};
use crate::Source;

/// A source whose promise is older keeps nobody waiting. A frame comes each second, and a slot
/// waits for half of one: one that has missed a frame, and the next, will hardly come in time.
pub const PROMPT: Duration = Duration::from_secs(2);

/// The marks of all sources, with their promises in order.
#[derive(Debug, Default)]
pub(crate) struct Front {
    pub(crate) marks: Marks,
    promises: BTreeSet<(Timestamp, Source)>,
}

impl Front {
    pub(crate) fn new(marks: Marks) -> Front {
        let sources = marks.0.values().flat_map(|shard| shard.iter());
        let promises =
            sources.filter_map(|(source, known)| Some((known.promise()?, *source))).collect();
        Front { marks, promises }
    }

    /// Returns whether a gap was forgotten for the bound.
    pub(crate) fn apply(&mut self, source: Source, change: Change) -> bool {
        let before = self.marks.promise(source);
        let forgotten = self.marks.apply(source, change);
        let after = self.marks.promise(source);
        if before != after {
            if let Some(before) = before {
                self.promises.remove(&(before, source));
            }
            self.promises.extend(after.map(|after| (after, source)));
        }
        forgotten
    }

    /// The oldest promise of a prompt source, or `now` if that is earlier.
    pub(crate) fn complete_through(&self, now: Timestamp) -> Timestamp {
        let late = Timestamp(now.saturating_sub(PROMPT).0.saturating_add(1));
        let prompt = self.promises.range((late, Source(0))..).next();
        prompt.map_or(now, |(promise, _)| now.min(*promise))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(front: &mut Front, source: u32, from: i64, through: i64) {
        let (from, through) = (Timestamp(from), Timestamp(through));
        front.apply(Source(source), Change::Mark { from, through });
    }

    #[test]
    fn only_sources_that_keep_up_are_waited_for() {
        let mut front = Front::default();
        let through = |front: &Front, now| front.complete_through(Timestamp(now)).0;
        assert_eq!(through(&front, 5), 5, "nobody is waited for");
        front.apply(Source(9), Change::Unmarked);
        mark(&mut front, 9, 0, 10);
        assert_eq!(through(&front, 10_050), 10_050, "it promises nothing");
        mark(&mut front, 1, 9_000, 9_999);
        mark(&mut front, 2, 10_000, 10_999);
        assert_eq!(through(&front, 10_050), 9_999, "the first is still to send what is of 10 s");
        mark(&mut front, 1, 10_000, 10_999);
        assert_eq!(through(&front, 10_060), 10_060, "nothing is promised of what is to come");
        mark(&mut front, 2, 11_000, 11_999);
        assert_eq!(through(&front, 12_998), 10_999);
        assert_eq!(through(&front, 12_999), 11_999, "two seconds behind: not waited for");
        mark(&mut front, 3, 0, 4_999);
        assert_eq!(through(&front, 12_999), 11_999, "a backlog holds nobody up");
        front.apply(Source(2), Change::End(Timestamp(11_999)));
        assert_eq!(through(&front, 12_999), 12_999, "a goodbye");
        mark(&mut front, 2, 12_000, 12_500);
        assert_eq!(through(&front, 12_999), 12_500, "and back again");
        front.apply(Source(2), Change::Forget);
        assert_eq!(through(&front, 12_999), 12_999);
        assert_eq!(front.promises.len(), 2, "of the first and of the third");
    }

    fn change() -> impl Strategy<Value = Change> {
        let at = || (0_i64..20_000).prop_map(Timestamp);
        prop_oneof![
            8 => (at(), 0_i64..3_000).prop_map(|(from, length)| Change::Mark {
                from,
                through: Timestamp(from.0 + length),
            }),
            2 => at().prop_map(Change::End),
            1 => Just(Change::Unmarked),
            1 => Just(Change::Forget),
        ]
    }

    proptest! {
        #[test]
        fn the_order_says_what_a_walk_over_all_sources_says(
            changes in prop::collection::vec((0_u32..600, change()), 0..200),
            now in 0_i64..25_000,
        ) {
            let mut front = Front::default();
            for (source, change) in changes {
                front.apply(Source(source), change);
            }
            let promises = (0..600).filter_map(|source| {
                let last = *front.marks.of(Source(source))?.kept.last()?;
                (!last.closed && last.through.0 > now - 2_000).then_some(last.through.0)
            });
            let oldest = promises.min().map_or(now, |oldest| oldest.min(now));
            prop_assert_eq!(front.complete_through(Timestamp(now)).0, oldest);
            let restored = Front::new(front.marks.clone());
            prop_assert_eq!(restored.promises, front.promises);
        }
    }
}
