//! The account: what became of every sample that was collected, in frames and samples, collector by
//! collector.
//!
//! Invariant: for each collector, `owed` = `acked` + held + `dropped`, at all times; what is held
//! is not counted here but looked up in the spool's [`Backlog`](super::ship::backlog::Backlog), so
//! that the sum is a check. The account is written with the spool's state and goes on after a
//! restart; it begins with the spool.

use std::collections::BTreeMap;
use std::ops::{AddAssign, SubAssign};

use bellwether_model::wire::bytes::{Malformed, Reader, put_text, put_varint};
use bellwether_model::wire::envelope::SkipReason;

/// Bytes of a collector's name.
const NAME_BYTES: usize = 4096;

/// Frames, and the samples in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Frames; one for each tick. Of rows that were left out of a frame none is counted.
    pub frames: u64,
    /// Samples: values that are there.
    pub samples: u64,
}

/// Why samples never reach a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The spool did not take them in time: its queue was full.
    Queue,
    /// Their rows did not fit a frame.
    Unencodable,
    /// Their frame was declared as skipped.
    Skipped(SkipReason),
}

impl DropReason {
    /// All reasons, in the order in which they are written.
    pub const ALL: [DropReason; 9] = [
        DropReason::Queue,
        DropReason::Unencodable,
        DropReason::Skipped(SkipReason::SpoolFull),
        DropReason::Skipped(SkipReason::SpoolAge),
        DropReason::Skipped(SkipReason::Refused),
        DropReason::Skipped(SkipReason::Corrupt),
        DropReason::Skipped(SkipReason::Disk),
        DropReason::Skipped(SkipReason::Clone),
        DropReason::Skipped(SkipReason::Store),
    ];

    /// The word of labels and of `status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DropReason::Queue => "queue",
            DropReason::Unencodable => "unencodable",
            DropReason::Skipped(reason) => reason.as_str(),
        }
    }
}

/// What became of the samples that one collector is owed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that was collected for it.
    pub owed: Count,
    /// What it has acknowledged, less what it lost again.
    pub acked: Count,
    /// What it had acknowledged, lost, and was held still: it is sent again.
    pub returned: Count,
    dropped: [Count; DropReason::ALL.len()],
}

/// What became of all samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Collected since the spool was made.
    pub collected: Count,
    /// Of these, written to the spool.
    pub spooled: Count,
    /// By collector.
    pub collectors: BTreeMap<String, Tally>,
}

impl Count {
    /// One frame.
    #[must_use]
    pub fn frame(samples: u32) -> Count {
        Count { frames: 1, samples: u64::from(samples) }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Count::default()
    }

    /// What is left of it without another; never below zero.
    #[must_use]
    pub fn less(self, other: Count) -> Count {
        Count {
            frames: self.frames.saturating_sub(other.frames),
            samples: self.samples.saturating_sub(other.samples),
        }
    }

    fn put(self, out: &mut Vec<u8>) {
        put_varint(out, self.frames);
        put_varint(out, self.samples);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Count, Malformed> {
        Ok(Count { frames: reader.varint()?, samples: reader.varint()? })
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.frames = self.frames.saturating_add(other.frames);
        self.samples = self.samples.saturating_add(other.samples);
    }
}

impl SubAssign for Count {
    fn sub_assign(&mut self, other: Count) {
        *self = self.less(other);
    }
}

impl Tally {
    /// A collector that is owed what is held.
    #[must_use]
    pub fn owed(held: Count) -> Tally {
        Tally { owed: held, ..Tally::default() }
    }

    /// By reason what it will never get; reasons without any are left out.
    pub fn dropped(&self) -> impl Iterator<Item = (DropReason, Count)> + '_ {
        let all = DropReason::ALL.into_iter().zip(self.dropped);
        all.filter(|(_, count)| !count.is_zero())
    }

    /// All that it will never get.
    #[must_use]
    pub fn dropped_total(&self) -> Count {
        let mut total = Count::default();
        self.dropped.iter().for_each(|count| total += *count);
        total
    }

    /// What must be held for it, if nothing is lost uncounted.
    #[must_use]
    pub fn outstanding(&self) -> Count {
        self.owed.less(self.acked).less(self.dropped_total())
    }

    /// Counts what it will never get.
    pub fn drop(&mut self, reason: DropReason, count: Count) {
        let all = DropReason::ALL.iter().zip(&mut self.dropped);
        for (_, held) in all.filter(|(this, _)| **this == reason) {
            *held += count;
        }
    }

    /// Takes back what was dropped: it is held, and will be sent after all.
    pub fn take_back(&mut self, reason: DropReason, count: Count) {
        let all = DropReason::ALL.iter().zip(&mut self.dropped);
        for (_, held) in all.filter(|(this, _)| **this == reason) {
            *held -= count;
        }
    }
}

impl Account {
    /// Counts rows that were collected: every collector is owed them.
    pub fn collect(&mut self, count: Count) {
        self.collected += count;
        self.collectors.values_mut().for_each(|tally| tally.owed += count);
    }

    /// Counts what no collector will get.
    pub fn drop(&mut self, reason: DropReason, count: Count) {
        self.collectors.values_mut().for_each(|tally| tally.drop(reason, count));
    }

    /// Appends the account as the spool's state holds it.
    pub fn put(&self, out: &mut Vec<u8>) {
        self.collected.put(out);
        self.spooled.put(out);
        put_varint(out, self.collectors.len() as u64);
        for (name, tally) in &self.collectors {
            put_text(out, name);
            let counts = [tally.owed, tally.acked, tally.returned];
            counts.iter().chain(&tally.dropped).for_each(|count| count.put(out));
        }
    }

    /// Reads what [`Account::put`] wrote.
    ///
    /// # Errors
    /// Cut short.
    pub fn take(reader: &mut Reader<'_>) -> Result<Account, Malformed> {
        let mut account = Account {
            collected: Count::take(reader)?,
            spooled: Count::take(reader)?,
            ..Account::default()
        };
        for _ in 0..reader.count(NAME_BYTES)? {
            let name = reader.text(NAME_BYTES)?.to_owned();
            let mut tally = Tally {
                owed: Count::take(reader)?,
                acked: Count::take(reader)?,
                returned: Count::take(reader)?,
                ..Tally::default()
            };
            for count in &mut tally.dropped {
                *count = Count::take(reader)?;
            }
            account.collectors.insert(name, tally);
        }
        Ok(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_hold_and_are_written_whole() {
        let mut account = Account::default();
        account.collectors.insert("a".to_owned(), Tally::owed(Count { frames: 2, samples: 20 }));
        account.collect(Count::frame(7));
        account.drop(DropReason::Skipped(SkipReason::Disk), Count::frame(7));
        let tally = account.collectors.get_mut("a").unwrap();
        tally.acked += Count::frame(9);
        assert_eq!(tally.owed, Count { frames: 3, samples: 27 });
        assert_eq!(tally.outstanding(), Count { frames: 1, samples: 11 });
        let dropped: Vec<_> = tally.dropped().map(|(why, count)| (why.as_str(), count)).collect();
        assert_eq!(dropped, [("disk", Count::frame(7))]);
        let mut out = Vec::new();
        account.put(&mut out);
        assert_eq!(Account::take(&mut Reader::new(&out)), Ok(account));
        for cut in 0..out.len() {
            assert!(Account::take(&mut Reader::new(&out[..cut])).is_err());
        }
    }

    #[test]
    fn every_skip_reason_has_its_place() {
        for reason in SkipReason::ALL {
            assert!(DropReason::ALL.contains(&DropReason::Skipped(reason)));
        }
    }
}
