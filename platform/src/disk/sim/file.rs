//! One simulated file: what is durable, what a process sees, and the changes between them.

use std::collections::BTreeMap;

use super::SplitMix;

/// What a device writes whole or not at all.
const SECTOR: u64 = 512;

enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

#[derive(Default)]
pub(super) struct FileState {
    durable: Vec<u8>,
    pub(super) current: Vec<u8>,
    changes: Vec<Change>,
}

/// How much of a file's unsynced changes a power cut keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    Everything,
    /// All of a sector's changes this many times in eight, else some.
    Mixed(u64),
}

impl FileState {
    pub(super) fn len(&self) -> u64 {
        self.current.len() as u64
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let from = index(offset).min(self.current.len());
        let source = self.current.split_at(from).1;
        let read = buffer.len().min(source.len());
        buffer.split_at_mut(read).0.copy_from_slice(source.split_at(read).0);
        read
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let change = Change::Write { offset, bytes: bytes.to_vec() };
        change.apply(&mut self.current);
        self.changes.push(change);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.current.resize(index(len), 0);
        self.changes.push(Change::SetLen(len));
    }

    pub(super) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn alter(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.sync();
        change(&mut self.current);
        self.durable.clone_from(&self.current);
    }

    /// Leaves what a power cut leaves: a choice of versions for each sector and for the length.
    pub(super) fn power_cut(&mut self, random: &mut SplitMix) {
        let kept = match random.below(6) {
            0 => Kept::Nothing,
            1 => Kept::Everything,
            _ => Kept::Mixed(1 + random.below(7)),
        };
        let lens = self.lens();
        let touched = self.touched(&lens);
        self.durable.resize(index(lens.iter().copied().max().unwrap_or(0)), 0);
        for (sector, changes) in touched {
            let all = changes.len() as u64;
            let versions = match kept {
                Kept::Nothing => 0,
                Kept::Everything => all,
                Kept::Mixed(eighths) if random.below(8) < eighths => all,
                Kept::Mixed(_) => random.below(all + 1),
            };
            for change in changes.into_iter().take(index(versions)) {
                self.apply_to_sector(sector, change);
            }
        }
        let len = match kept {
            Kept::Nothing => lens.first(),
            Kept::Mixed(_) if random.once_in(4) => lens.get(index(random.below(lens.len() as u64))),
            Kept::Everything | Kept::Mixed(_) => lens.last(),
        };
        self.durable.resize(index(len.copied().unwrap_or(0)), 0);
        self.changes.clear();
        self.current.clone_from(&self.durable);
    }

    /// The length at the last sync, and after each change.
    fn lens(&self) -> Vec<u64> {
        let mut len = self.durable.len() as u64;
        let mut lens = vec![len];
        for change in &self.changes {
            len = match change {
                Change::Write { offset, bytes } => len.max(offset + bytes.len() as u64),
                Change::SetLen(to) => *to,
            };
            lens.push(len);
        }
        lens
    }

    /// For each sector the changes that touch it. Cutting the file touches what it cuts off.
    fn touched(&self, lens: &[u64]) -> BTreeMap<u64, Vec<usize>> {
        let mut touched: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (number, (change, before)) in self.changes.iter().zip(lens).enumerate() {
            let (from, to) = match change {
                Change::Write { offset, bytes } => (*offset, offset + bytes.len() as u64),
                Change::SetLen(to) => (*to, *before),
            };
            for sector in from / SECTOR..to.div_ceil(SECTOR) {
                touched.entry(sector).or_default().push(number);
            }
        }
        touched
    }

    fn apply_to_sector(&mut self, sector: u64, number: usize) {
        let Some(change) = self.changes.get(number) else { return };
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.durable.len() as u64);
        match change {
            Change::Write { offset, bytes } => {
                let from = start.max(*offset);
                let to = end.min(offset + bytes.len() as u64);
                let source = bytes.get(index(from - offset)..index(to - offset));
                let place = self.durable.get_mut(index(from)..index(to));
                if let (Some(source), Some(place)) = (source, place) {
                    place.copy_from_slice(source);
                }
            }
            Change::SetLen(len) => {
                if let Some(place) = self.durable.get_mut(index(start.max(*len))..index(end)) {
                    place.fill(0);
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => {
                let from = index(*offset);
                let to = from + bytes.len();
                if image.len() < to {
                    image.resize(to, 0);
                }
                let place = image.get_mut(from..to).expect("invariant: just made long enough");
                place.copy_from_slice(bytes);
            }
            Change::SetLen(len) => image.resize(index(*len), 0),
        }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("invariant: a simulated file fits in memory")
}
