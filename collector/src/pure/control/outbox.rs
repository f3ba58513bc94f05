//! Records on their way to the journal, and what waits for them.
//!
//! One entry is on its way at a time, so that their order is the journal's also where it has no
//! room for a while.

use std::collections::VecDeque;

use bellwether_model::id::Position;
use bellwether_model::time::Mono;

use super::FULL_PAUSE;

/// Bytes of records in one entry, but for the last of them.
pub(super) const ENTRY_BYTES: usize = 1 << 20;

/// What is wanted, in order.
enum Wanted<R, S> {
    Record(R),
    After(S),
}

/// Records of one kind of entry.
pub(super) struct Outbox<R, S> {
    wanted: VecDeque<Wanted<R, S>>,
    /// The entry on its way, and what may be done once it has a position.
    noting: Option<(Vec<u8>, Vec<S>)>,
    /// The journal had no room for it: when it goes again.
    again: Option<Mono>,
    /// The newest position of anything recorded.
    latest: Position,
}

/// What is to be done.
pub(super) struct Flushed<S> {
    /// An entry to be recorded.
    pub(super) entry: Option<Vec<u8>>,
    /// What waits for nothing but a position.
    pub(super) after: Vec<(S, Position)>,
}

impl<R, S> Outbox<R, S> {
    pub(super) fn new() -> Outbox<R, S> {
        Outbox { wanted: VecDeque::new(), noting: None, again: None, latest: Position(0) }
    }

    /// Has something journalled.
    pub(super) fn record(&mut self, record: R) {
        self.wanted.push_back(Wanted::Record(record));
    }

    /// Has something done once all records before it have a position.
    pub(super) fn after(&mut self, what: S) {
        self.wanted.push_back(Wanted::After(what));
    }

    /// What is wanted from now on follows from this position too.
    pub(super) fn follows(&mut self, position: Position) {
        self.latest = self.latest.max(position);
    }

    /// The entry on its way is answered; gives what may be done now.
    pub(super) fn recorded(&mut self, now: Mono, position: Option<Position>) -> Vec<(S, Position)> {
        let Some(position) = position else {
            self.again = Some(now + FULL_PAUSE);
            return Vec::new();
        };
        self.follows(position);
        let after = self.noting.take().into_iter().flat_map(|(_, after)| after);
        after.map(|what| (what, position)).collect()
    }

    /// Has what is wanted done as far as it may be. `put` appends a record, `seal` makes an entry
    /// of so many of them.
    pub(super) fn flush(
        &mut self,
        now: Mono,
        put: impl Fn(&R, &mut Vec<u8>),
        seal: impl Fn(&mut Vec<u8>, usize, &[u8]),
    ) -> Flushed<S> {
        let mut flushed = Flushed { entry: None, after: Vec::new() };
        if let Some((entry, _)) = &self.noting {
            let goes = self.again.take_if(|again| *again <= now).is_some();
            flushed.entry = goes.then(|| entry.clone());
            return flushed;
        }
        let (mut records, mut count) = (Vec::new(), 0);
        let mut waiting = Vec::new();
        while let Some(wanted) = self.next(records.len() > ENTRY_BYTES) {
            match wanted {
                Wanted::Record(record) => {
                    put(&record, &mut records);
                    count += 1;
                }
                Wanted::After(what) if count == 0 => flushed.after.push((what, self.latest)),
                Wanted::After(what) => waiting.push(what),
            }
        }
        if count > 0 {
            let mut entry = Vec::new();
            seal(&mut entry, count, &records);
            flushed.entry = Some(entry.clone());
            self.noting = Some((entry, waiting));
        }
        flushed
    }

    /// The next thing wanted; of a full entry only what waits for it.
    fn next(&mut self, is_full: bool) -> Option<Wanted<R, S>> {
        match self.wanted.front()? {
            Wanted::Record(_) if is_full => None,
            _ => self.wanted.pop_front(),
        }
    }
}
