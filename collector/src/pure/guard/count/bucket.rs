//! Requests by second, SLI and stratum.

use std::collections::VecDeque;

use super::{Arms, Side};

/// Which of an SLI's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// All requests.
    All,
    /// The bad ones, or the good ones.
    Some,
}

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) sli: u16,
    pub(super) stratum: u16,
}

/// Increases of the counters of an SLI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) all: u64,
    pub(super) part: u64,
}

/// What both arms counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) key: Key,
    pub(super) arms: Arms<Sum>,
}

/// Cells in the order of their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells(Vec<Cell>);

/// Cells of consecutive seconds.
#[derive(Debug)]
pub(super) struct Buckets {
    first: i64,
    seconds: VecDeque<Cells>,
    /// Kept for their memory.
    spare: Vec<Cells>,
}

impl Cells {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Cell> {
        self.0.iter()
    }

    pub(super) fn get(&self, key: Key) -> Arms<Sum> {
        let found = self.0.binary_search_by_key(&key, |cell| cell.key).ok();
        found.and_then(|at| self.0.get(at)).map(|cell| cell.arms).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn at(&mut self, key: Key) -> Option<&mut Arms<Sum>> {
        let found = self.0.binary_search_by_key(&key, |cell| cell.key);
        let at = found.unwrap_or_else(|at| {
            self.0.insert(at, Cell { key, arms: Arms::default() });
            at
        });
        self.0.get_mut(at).map(|cell| &mut cell.arms)
    }
}

impl Buckets {
    /// Holds what is counted from a minute before the second after `after` on.
    pub(super) fn after(after: i64) -> Buckets {
        let first = after.saturating_sub(super::INTERVAL_SECONDS);
        Buckets { first, seconds: VecDeque::new(), spare: Vec::new() }
    }

    /// Adds to a second, unless it is forgotten. Callers bound how far ahead it lies.
    pub(super) fn add(&mut self, second: i64, key: Key, side: Side, part: Part, by: u64) {
        let Ok(at) = usize::try_from(second.saturating_sub(self.first)) else { return };
        while self.seconds.len() <= at {
            self.seconds.push_back(self.spare.pop().unwrap_or_default());
        }
        let Some(arms) = self.seconds.get_mut(at).and_then(|cells| cells.at(key)) else { return };
        let sum = arms.of_mut(side);
        let to = match part {
            Part::All => &mut sum.all,
            Part::Some => &mut sum.part,
        };
        *to = to.saturating_add(by);
    }

    /// Puts the sums of the seconds from `start` to before `end` in place of what `out` held.
    pub(super) fn sum(&self, start: i64, end: i64, out: &mut Cells) {
        out.clear();
        let place = |second: i64| {
            let at = usize::try_from(second.saturating_sub(self.first)).unwrap_or(0);
            at.min(self.seconds.len())
        };
        for cells in self.seconds.range(place(start)..place(end).max(place(start))) {
            for cell in cells.iter() {
                let Some(arms) = out.at(cell.key) else { continue };
                for side in Side::ALL {
                    let (sum, more) = (arms.of_mut(side), cell.arms.of(side));
                    sum.all = sum.all.saturating_add(more.all);
                    sum.part = sum.part.saturating_add(more.part);
                }
            }
        }
    }

    /// Forgets what lies more than a minute before a second.
    pub(super) fn forget_before(&mut self, second: i64) {
        let first = second.saturating_sub(super::INTERVAL_SECONDS);
        while self.first < first {
            let Some(mut cells) = self.seconds.pop_front() else {
                self.first = first;
                return;
            };
            cells.clear();
            if self.spare.len() < 4 {
                self.spare.push(cells);
            }
            self.first += 1;
        }
    }
}
