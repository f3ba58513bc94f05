//! Opening: every entry is read back, a torn tail is told from corruption and cut off, and what
//! is left is made durable. The rules are FORMAT.md's, "Reading, after any end".

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bellwether_model::id::Position;

use super::format::{Batch, HEADER_BYTES, Header, entries, is_whole, salvage};
use super::read::SegmentReader;
use super::{Class, Closed, Journal, JournalError, LOST_RANGES_MAX, Live, Loss, LostRange};
use super::{Options, Recovery, Replay, is_spare, segment_number, segment_path};
use crate::disk::{Access, Disk, File, SyncPoint, make_dir};

pub(super) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: Options,
    each: Replay<'_>,
) -> Result<(Journal, Recovery), JournalError> {
    let options = options.check()?;
    make_dir(&*disk, dir)?;
    let names = disk.list(dir)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let first = numbers.first().copied().unwrap_or(1);
    let mut replay = Replaying {
        disk: &*disk,
        dir,
        numbers: &numbers,
        options,
        each,
        expected: first,
        control: 0,
        claimed: 0,
        accepted: 0,
        horizon: None,
        control_ahead: 0,
        run: None,
        refused: None,
        ends: Vec::new(),
        recovery: Recovery { first: Position(first), ..Recovery::default() },
    };
    replay.segments()?;
    let mut found = replay.finish()?;
    let last = found.expected - 1;
    found.recovery.last = Position(last);
    let is_short = last < options.held.0;
    if is_short && options.loss == Loss::Refuse {
        let (dir, last) = (dir.to_path_buf(), Position(last));
        return Err(JournalError::Ended { dir, last, held: options.held });
    }
    for name in names.iter().filter(|name| is_spare(name)) {
        disk.remove(&dir.join(name))?;
    }
    let mut journal = Journal {
        disk,
        dir: dir.to_path_buf(),
        options,
        closed: Vec::new(),
        live: None,
        unsynced: Vec::new(),
        spares: Vec::new(),
        pending: Batch::new(),
        written: last,
        synced: last,
        control: found.control.min(last),
        accepted: found.accepted,
        dir_dirty: false,
        poisoned: false,
    };
    journal.settle(&numbers, &found.ends, found.claimed, &mut found.recovery)?;
    if is_short {
        journal.restart(options.held)?;
    }
    // Without space the journal still opens; it then has no room.
    match journal.prepare_spares() {
        Err(JournalError::Disk(error)) if !error.is_full() => return Err(error.into()),
        Ok(()) if is_short => journal.stand()?,
        _ => {}
    }
    Ok((journal, found.recovery))
}

/// What reading found, beside the entries it gave away.
struct Found {
    expected: u64,
    control: u64,
    claimed: u64,
    accepted: u64,
    /// Where the data end in each segment that is kept.
    ends: Vec<u64>,
    recovery: Recovery,
}

struct Replaying<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    numbers: &'a [u64],
    options: Options,
    each: Replay<'a>,
    /// The position that comes next.
    expected: u64,
    control: u64,
    /// The highest claim of a batch in place.
    claimed: u64,
    accepted: u64,
    /// The highest claim behind the first damage.
    horizon: Option<u64>,
    /// The last control entry that a header behind the first damage names.
    control_ahead: u64,
    /// All that was lost since the last batch in place.
    run: Option<LostRange>,
    /// The first loss of a control entry that nobody accepted.
    refused: Option<LostRange>,
    ends: Vec<u64>,
    recovery: Recovery,
}

/// Where damage lies: the segment's place in the list, and the offset.
#[derive(Clone, Copy)]
struct Spot {
    segment: usize,
    offset: u64,
}

/// Whether reading goes on; it breaks at a torn tail.
type Onward = ControlFlow<()>;

impl Replaying<'_> {
    fn segments(&mut self) -> Result<(), JournalError> {
        for (segment, number) in self.numbers.iter().enumerate() {
            let next = self.numbers.get(segment + 1).copied();
            let mut reader = SegmentReader::open(self.disk, self.dir, *number, u64::MAX)?;
            let (end, onward) = self.segment(&mut reader, segment, next)?;
            self.ends.push(end);
            if onward.is_break() {
                break;
            }
            let spot = Spot { segment, offset: end };
            if let Some(next) = next.filter(|next| *next > self.expected) {
                if self.judge(spot, self.expected)?.is_break() {
                    break;
                }
                self.lose(spot, next, false);
            }
        }
        Ok(())
    }

    /// Reads one segment; gives where its data end, and whether the journal ends there.
    fn segment(
        &mut self,
        reader: &mut SegmentReader,
        segment: usize,
        next: Option<u64>,
    ) -> Result<(u64, Onward), JournalError> {
        let limit = next.unwrap_or(u64::MAX);
        let mut offset = 0;
        loop {
            let spot = Spot { segment, offset };
            let expected = self.expected;
            let in_place = |header: &Header| header.first == expected && header.end() <= limit;
            if let Some(header) = reader.header(offset)?.filter(in_place) {
                if self.batch(reader, spot, &header)?.is_break() {
                    return Ok((offset, Onward::Break(())));
                }
                offset += header.size();
                continue;
            }
            if next == Some(expected) {
                return Ok((offset, Onward::Continue(())));
            }
            let later = reader.find_header(offset, |_, header| {
                header.first > expected && header.end() <= limit
            })?;
            let Some((at, header)) = later else { return Ok((offset, Onward::Continue(()))) };
            if self.judge(spot, expected)?.is_break() {
                return Ok((offset, Onward::Break(())));
            }
            self.lose(spot, header.first, false);
            offset = at;
        }
    }

    /// Gives the entries of a batch in place.
    fn batch(
        &mut self,
        reader: &mut SegmentReader,
        spot: Spot,
        header: &Header,
    ) -> Result<Onward, JournalError> {
        let (payload, seed) = reader.payload(spot.offset, header)?;
        let whole = is_whole(header, payload, seed);
        self.end_run(header.control);
        if !whole && self.judge(spot, header.first)?.is_break() {
            return Ok(Onward::Break(()));
        }
        self.claimed = self.claimed.max(header.synced);
        self.accepted = self.accepted.max(header.accepted);
        self.control = self.control.max(header.control);
        if !whole {
            return self.salvage(payload, seed, spot, header).map(Onward::Continue);
        }
        for (position, class, bytes) in entries(header, payload) {
            self.give(position, class, bytes)?;
        }
        Ok(Onward::Continue(()))
    }

    fn salvage(
        &mut self,
        payload: &[u8],
        seed: u32,
        spot: Spot,
        header: &Header,
    ) -> Result<(), JournalError> {
        let found = salvage(header, payload, seed);
        let kept = found.iter().flatten().filter(|(class, _)| *class == Class::Control).count();
        let control = (kept as u64) < u64::from(header.controls);
        for (position, entry) in (header.first..).zip(found) {
            let Some((class, range)) = entry else { continue };
            if self.expected < position {
                self.lose(spot, position, control);
            }
            let bytes = payload.get(range).expect("invariant: salvage found it there");
            self.give(position, class, bytes)?;
        }
        if self.expected < header.end() {
            self.lose(spot, header.end(), control);
        }
        // The control entries of this batch are dealt with: the next header's claim is not about
        // a run that began here.
        self.run = None;
        if control {
            self.control = self.control.max(header.end() - 1);
        }
        Ok(())
    }

    fn give(&mut self, position: u64, class: Class, bytes: &[u8]) -> Result<(), JournalError> {
        let position = Position(position);
        (self.each)(position, bytes).map_err(|source| JournalError::Replay {
            dir: self.dir.to_path_buf(),
            position,
            source,
        })?;
        if class == Class::Control {
            self.control = position.0;
        }
        self.recovery.entries += 1;
        self.expected = position.0 + 1;
        Ok(())
    }

    /// Damage at a spot: goes on if anything behind it claims that `position` was synced.
    fn judge(&mut self, spot: Spot, position: u64) -> Result<Onward, JournalError> {
        let horizon = match self.horizon {
            Some(horizon) => horizon,
            None => self.look_ahead(spot, position)?,
        };
        self.horizon = Some(horizon);
        Ok(if horizon >= position { Onward::Continue(()) } else { Onward::Break(()) })
    }

    /// The highest claim of any good header behind the first damage, whatever its payload; learns
    /// what was accepted too.
    fn look_ahead(&mut self, spot: Spot, position: u64) -> Result<u64, JournalError> {
        let mut horizon = 0;
        for (segment, number) in self.numbers.iter().enumerate().skip(spot.segment) {
            let mut reader = SegmentReader::open(self.disk, self.dir, *number, u64::MAX)?;
            let mut at = if segment == spot.segment { spot.offset } else { 0 };
            while let Some((found, header)) =
                reader.find_header(at, |_, header| header.first >= position)?
            {
                horizon = horizon.max(header.synced);
                self.accepted = self.accepted.max(header.accepted);
                self.control_ahead = self.control_ahead.max(header.control);
                at = found + header.size();
            }
        }
        Ok(horizon)
    }

    /// Notes the loss of everything from the expected position up to `next`.
    fn lose(&mut self, spot: Spot, next: u64, control: bool) {
        let (first, last) = (Position(self.expected), Position(next - 1));
        let segment = self.numbers.get(spot.segment).copied().unwrap_or(0);
        let lost = LostRange { first, last, segment, offset: spot.offset, control };
        self.run = Some(self.run.map_or(lost, |run| LostRange { last, ..run }));
        self.recovery.lost_entries += next - self.expected;
        self.expected = next;
        if control {
            self.refuse(lost);
        }
        if self.recovery.lost.len() < LOST_RANGES_MAX {
            self.recovery.lost.push(lost);
        }
    }

    /// A good header says where the last control entry before it was: in the run of losses or not.
    fn end_run(&mut self, control: u64) {
        let Some(run) = self.run.take().filter(|run| control >= run.first.0) else { return };
        self.refuse(LostRange { control: true, ..run });
        let within = |lost: &&mut LostRange| lost.first >= run.first;
        self.recovery.lost.iter_mut().rev().take_while(within).for_each(|lost| lost.control = true);
    }

    fn refuse(&mut self, lost: LostRange) {
        if lost.last.0 > self.accepted.max(self.options.held.0) {
            self.refused.get_or_insert(lost);
        }
    }

    fn finish(mut self) -> Result<Found, JournalError> {
        // Losses that no batch in place follows.
        self.end_run(self.control_ahead);
        let mut accepted = self.accepted;
        match (self.refused, self.options.loss) {
            (Some(lost), Loss::Refuse) => {
                let path = segment_path(self.dir, lost.segment);
                return Err(JournalError::ControlLost { path, lost });
            }
            (Some(_), Loss::Accept) => accepted = self.expected - 1,
            (None, _) => {}
        }
        Ok(Found {
            expected: self.expected,
            control: self.control,
            claimed: self.claimed,
            accepted,
            ends: self.ends,
            recovery: self.recovery,
        })
    }
}

impl Journal {
    /// Goes on behind a position that is held elsewhere, without the segments, which end before it:
    /// a person has accepted the loss of what was between.
    fn restart(&mut self, held: Position) -> Result<(), JournalError> {
        let live = self.live.take().map(|live| live.number);
        let closed = self.closed.drain(..).map(|segment| segment.number);
        for number in closed.chain(live).collect::<Vec<_>>() {
            self.disk.remove(&segment_path(&self.dir, number))?;
            self.disk.sync_dir(&self.dir, SyncPoint::JournalRemove)?;
        }
        (self.written, self.synced) = (held.0, held.0);
        Ok(())
    }

    /// Takes over the segments that were read, cuts off what lies behind them, and syncs what no
    /// batch claims as synced.
    fn settle(
        &mut self,
        numbers: &[u64],
        ends: &[u64],
        claimed: u64,
        recovery: &mut Recovery,
    ) -> Result<(), JournalError> {
        let torn = numbers.get(ends.len()..).unwrap_or(&[]);
        for number in torn.iter().rev() {
            let mut reader = SegmentReader::open(&*self.disk, &self.dir, *number, u64::MAX)?;
            recovery.torn_bytes += torn_bytes(&mut reader, 0)?;
            self.disk.remove(&segment_path(&self.dir, *number))?;
        }
        let point =
            if torn.is_empty() { SyncPoint::JournalOpen } else { SyncPoint::JournalTruncate };
        self.disk.sync_dir(&self.dir, point)?;
        for (place, (number, end)) in numbers.iter().zip(ends).enumerate() {
            let (number, end) = (*number, *end);
            let next = numbers.get(place + 1).filter(|_| place + 1 < ends.len()).copied();
            let mut file = self.disk.open(&segment_path(&self.dir, number), Access::ReadWrite)?;
            let size = file.len()?;
            if let Some(next) = next {
                if next - 1 > claimed {
                    file.sync(SyncPoint::JournalOpen)?;
                }
                self.closed.push(Closed { number, end, size });
                continue;
            }
            let mut reader = SegmentReader::open(&*self.disk, &self.dir, number, u64::MAX)?;
            recovery.torn_bytes += torn_bytes(&mut reader, end)?;
            match erase_headers(&mut reader, &mut *file, end)? {
                0 => file.sync(SyncPoint::JournalOpen)?,
                _ => file.sync(SyncPoint::JournalTruncate)?,
            }
            self.live = Some(Live { number, file, end, size });
        }
        Ok(())
    }
}

/// Bytes from an offset to the end of the last batch that begins behind it.
fn torn_bytes(reader: &mut SegmentReader, from: u64) -> Result<u64, JournalError> {
    let (mut at, len) = (from, reader.len());
    while let Some((found, header)) = reader.find_header(at, |_, _| true)? {
        at = (found + header.size()).min(len);
    }
    Ok(at - from)
}

/// Overwrites every good header from an offset on; gives their number.
fn erase_headers(
    reader: &mut SegmentReader,
    file: &mut dyn File,
    from: u64,
) -> Result<u64, JournalError> {
    let (mut at, mut erased) = (from, 0);
    while let Some((found, _)) = reader.find_header(at, |_, _| true)? {
        file.write_at(&[0; HEADER_BYTES], found)?;
        at = found + HEADER_BYTES as u64;
        erased += 1;
    }
    Ok(erased)
}
