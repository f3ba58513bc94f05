//! The recount: what a collector has taken from one agent, to be laid beside the agent's account.
//!
//! Invariant: `samples` = `stored` + `unplaced` + `out_of_order` + `ahead`. Frames and samples are
//! those of applied frames, so that they equal what the agent counts as acknowledged.

use bellwether_model::wire::answer::RefusedReason;
use bellwether_model::wire::bytes::{Malformed, Reader, put_varint};
use bellwether_model::wire::envelope::SkipReason;

/// Counts of one stream of one agent, since its session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recount {
    /// Frames applied.
    pub frames: u64,
    /// Samples in them.
    pub samples: u64,
    /// Of these, in the store.
    pub stored: u64,
    /// Of these, of columns that were refused.
    pub unplaced: u64,
    /// Of these, not newer than the last row of their group.
    pub out_of_order: u64,
    /// Of these, stamped too far ahead of their arrival.
    pub ahead: u64,
    /// Frames that had been applied before; those since the last snapshot are forgotten by a
    /// restart.
    pub duplicates: u64,
    skipped: [u64; SkipReason::ALL.len()],
    refused: [u64; RefusedReason::ALL.len()],
}

impl Recount {
    /// Numbers that the agent declared as never to come, by reason.
    pub fn skipped(&self) -> impl Iterator<Item = (SkipReason, u64)> + '_ {
        SkipReason::ALL.into_iter().zip(self.skipped)
    }

    /// Columns refused, each time they were described, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (RefusedReason, u64)> + '_ {
        RefusedReason::ALL.into_iter().zip(self.refused)
    }

    /// Whether a column was refused.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        self.refused.iter().any(|count| *count > 0)
    }

    /// Counts declared numbers.
    pub fn skip(&mut self, reason: SkipReason, count: u64) {
        let all = SkipReason::ALL.into_iter().zip(&mut self.skipped);
        all.filter(|(this, _)| *this == reason).for_each(|(_, held)| *held += count);
    }

    /// Counts a refused column.
    pub fn refuse(&mut self, reason: RefusedReason) {
        let all = RefusedReason::ALL.into_iter().zip(&mut self.refused);
        all.filter(|(this, _)| *this == reason).for_each(|(_, held)| *held += 1);
    }

    /// Whether the parts add up.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.samples == self.stored + self.unplaced + self.out_of_order + self.ahead
    }

    /// What the journal alone says: duplicates leave no entry.
    #[must_use]
    pub fn replayable(&self) -> Recount {
        Recount { duplicates: 0, ..*self }
    }

    /// Appends it as a snapshot holds it.
    pub fn put(&self, out: &mut Vec<u8>) {
        let sums = [self.frames, self.samples, self.stored, self.unplaced, self.out_of_order];
        let all = sums.into_iter().chain([self.ahead, self.duplicates]);
        all.chain(self.skipped).chain(self.refused).for_each(|count| put_varint(out, count));
    }

    /// Reads what [`Recount::put`] wrote.
    ///
    /// # Errors
    /// Cut short.
    pub fn take(reader: &mut Reader<'_>) -> Result<Recount, Malformed> {
        let mut count = Recount {
            frames: reader.varint()?,
            samples: reader.varint()?,
            stored: reader.varint()?,
            unplaced: reader.varint()?,
            out_of_order: reader.varint()?,
            ahead: reader.varint()?,
            duplicates: reader.varint()?,
            ..Recount::default()
        };
        for held in count.skipped.iter_mut().chain(&mut count.refused) {
            *held = reader.varint()?;
        }
        Ok(count)
    }
}
