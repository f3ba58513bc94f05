//! A store from the records of a checkpoint and its chunk files; what comes after is the journal's.
//!
//! Every record is checked as it is read: bytes of a damaged checkpoint make an error, never a
//! store
//! that breaks its invariants. Files that are gone are told; files that it does not name are
//! removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bellwether_model::id::{GroupId, Position};
use bellwether_model::limit;
use bellwether_model::select::Metadata;
use bellwether_model::series::{MetricType, SeriesRef};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::{Malformed, Reader};
use bellwether_platform::disk::{Disk, DiskError};

use super::capture::{
    DEFINED, EMPTY, FILE, HELD, LANE, METRIC, REFUSED, SERIES, SETTLED, SOURCE, STORE,
};
use super::columns::{LaneState, Place, Used};
use super::filing::{FileHeld, Files, piece};
use super::{Definition, SourceState, Writer};
use crate::births::Births;
use crate::block::open::{Layout, OPEN_ROWS, Open};
use crate::block::{Block, Names};
use crate::chunk::ROWS_MAX;
use crate::files::{FileLimits, Filer, GoneFile, Named, Opened};
use crate::index::Index;
use crate::lane::{KEPT, Lane, LaneId, Sealed};
use crate::liveness::{Front, Intervals, Marks};
use crate::store::Shared;
use crate::{Limits, Source, Store, read, write};

/// Lanes of one store, at most, so that a number alone cannot ask for memory.
const LANES_MAX: usize = 1 << 24;
/// Parts of one lane: the small ones, and those they were merged into.
const PARTS_MAX: usize = 64;

/// Builds a store; see [`Restoring::record`].
#[derive(Debug)]
pub struct Restoring {
    limits: Limits,
    cut: Position,
    index: Index,
    sources: BTreeMap<Source, SourceState>,
    marks: Marks,
    lanes: Vec<Option<LaneState>>,
    named: Vec<Named>,
}

/// A store that was built.
pub struct Restored {
    /// Its readers' handle.
    pub store: Store,
    /// Its writer.
    pub writer: Writer,
    /// The writing end of its files.
    pub filer: Filer,
    /// Files that the checkpoint names and that are gone.
    pub files_gone: Vec<GoneFile>,
    /// Files whose index is damaged, by number, with what is wrong: they were read record by
    /// record, and blocks behind a damaged one are lost.
    pub files_broken: Vec<(u32, &'static str)>,
}

impl Restoring {
    /// Nothing yet: finished at once, it is an empty store.
    #[must_use]
    pub fn new(limits: Limits) -> Restoring {
        Restoring {
            limits,
            cut: Position(0),
            index: Index::default(),
            sources: BTreeMap::new(),
            marks: Marks::default(),
            lanes: Vec::new(),
            named: Vec::new(),
        }
    }

    /// Takes a record, in the order of the checkpoint; false if it is not the store's.
    ///
    /// # Errors
    /// The bytes are no such record.
    pub fn record(&mut self, kind: u8, bytes: &[u8]) -> Result<bool, Malformed> {
        let mut reader = Reader::new(bytes);
        match kind {
            STORE => self.begin(&mut reader)?,
            SERIES => {
                let series = SeriesRef(reader.small()?);
                let labels = reader.labels()?;
                if !self.index.restore(series, &labels) {
                    return Err(reader.malformed("a series given twice"));
                }
            }
            METRIC => {
                let name = reader.text(limit::LABEL_BYTES)?;
                self.index.describe(name, &take_metadata(&mut reader)?);
            }
            SOURCE => self.source(&mut reader)?,
            LANE => self.lane(&mut reader)?,
            FILE => self.named.push(Named::take(&mut reader)?),
            _ => return Ok(false),
        }
        reader.finish()?;
        Ok(true)
    }

    fn begin(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        self.cut = Position(reader.varint()?);
        self.index.begin_at(reader.small()?);
        let lanes = usize::try_from(reader.varint()?).ok().filter(|lanes| *lanes <= LANES_MAX);
        self.lanes.resize_with(lanes.ok_or(reader.malformed("number of lanes"))?, || None);
        Ok(())
    }

    fn source(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let source = Source(reader.small()?);
        let series_max = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        let forgotten = reader.byte()? != 0;
        self.sources.insert(source, SourceState { columns: 0, series_max, forgotten });
        if reader.byte()? != 0 {
            self.marks.restore(source, Intervals::take(reader)?);
        }
        Ok(())
    }

    fn lane(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let id = LaneId(reader.small()?);
        let (source, group) = (Source(reader.small()?), GroupId(reader.small()?));
        let slot = self.lanes.get_mut(id.0 as usize).filter(|slot| slot.is_none());
        let slot = slot.ok_or(reader.malformed("a lane given twice, or of no number"))?;
        let mut lane = LaneState::new(id, source, group, Arc::new(Lane::new(source)));
        lane.take(reader, &mut self.index)?;
        lane.take_unborn(reader, &mut self.index)?;
        let known = self.sources.get_mut(&source).ok_or(reader.malformed("an unknown source"))?;
        known.columns += lane.held().len();
        *slot = Some(lane);
        Ok(())
    }

    /// The store with its files.
    ///
    /// # Errors
    /// The disk failed.
    pub fn finish(
        self,
        disk: Arc<dyn Disk>,
        dir: &Path,
        limits: FileLimits,
    ) -> Result<Restored, DiskError> {
        let (filer, opened) = Filer::open(disk, dir, limits, self.named)?;
        let shared = Shared::new(self.limits);
        *write(&shared.index) = self.index;
        shared.damages.set(filer.damages()).ok();
        let shared = Arc::new(shared);
        let mut writer = Writer::new(Arc::clone(&shared));
        (writer.sources, writer.lanes) = (self.sources, self.lanes);
        let files = Files {
            pending: Vec::new(),
            held: BTreeMap::new(),
            live: filer.live(),
            gone: Vec::new(),
            damages: filer.damages(),
        };
        writer.files = Some(files);
        let (files_gone, mut files_broken) = (GoneFile::all(&opened), Vec::new());
        for file in opened {
            files_broken.extend(file.broken.map(|what| (file.number, what)));
            writer.take_file(file);
        }
        writer.settle_restored();
        write(&shared.published).front = Front::new(self.marks);
        *write(&shared.births) = Births::after(self.cut);
        writer.publish(self.cut);
        let store = Store::of(&shared);
        Ok(Restored { store, writer, filer, files_gone, files_broken })
    }
}

impl Writer {
    /// Puts the blocks of a file behind those that their lanes have.
    fn take_file(&mut self, opened: Opened) {
        let (Some(file), Some(files)) = (opened.file, &mut self.files) else { return };
        let mut held = FileHeld::default();
        for entry in &opened.entries {
            let lane = self.lanes.get_mut(entry.lane.0 as usize).and_then(Option::as_mut);
            let used = lane.and_then(|lane| {
                let used = lane.used.iter_mut().find(|used| used.id == entry.names)?;
                used.blocks += 1;
                Some((Arc::clone(&used.names), Arc::clone(&lane.shared)))
            });
            // Of a lane that is gone: the file stays for the others.
            let Some((names, lane)) = used else { continue };
            let piece = piece(Arc::clone(&file), entry, names);
            write(&lane.rows).sealed.push_back(Sealed { piece, dropped: KEPT });
            self.stats.sealed_bytes += held.add(entry);
            self.stats.blocks += 1;
        }
        files.held.insert(opened.number, held);
        self.stats.files = files.held.len();
    }

    /// Lets go of what no block, place or row holds, and counts the rest.
    fn settle_restored(&mut self) {
        let mut lanes = write(&self.shared.lanes);
        for state in self.lanes.iter_mut().flatten() {
            lanes.insert(state.id, Arc::clone(&state.shared));
            self.by_group.insert((state.source, state.group), state.id);
            self.stats.lanes += 1;
            state.used.retain(|used| used.blocks > 0);
            let names: usize = state.used.iter().map(|used| size_of_val(&*used.names)).sum();
            let rows = read(&state.shared.rows);
            let parts: usize = rows.parts.iter().map(|part| part.bytes()).sum();
            self.stats.parts += rows.parts.len();
            self.stats.open_bytes += names + parts + state.open_bytes;
        }
        drop(lanes);
        let mut index = write(&self.shared.index);
        for state in self.lanes.iter().flatten() {
            let held = state.places.iter().flatten().filter_map(|place| place.series);
            let used = state.used.iter().flat_map(|used| used.names.iter().copied());
            let named = state.layout.names.iter().copied().chain(state.fresh.iter().copied());
            for series in named.chain(held).chain(used) {
                index.locate(series, state.id, &state.alone);
            }
        }
        index.drop_homeless();
    }
}

impl LaneState {
    fn take(&mut self, reader: &mut Reader<'_>, index: &mut Index) -> Result<(), Malformed> {
        let flags = reader.byte()?;
        (self.asleep, self.unsettled) = (flags & 1 != 0, flags & 2 != 0);
        self.width = reader.count(usize::MAX)?;
        self.next_names = reader.small()?;
        let known = reader.byte()?;
        if known & 1 != 0 {
            self.last = Some((Timestamp(reader.zigzag()?), Position(reader.varint()?)));
        }
        if known & 2 != 0 {
            self.seen = Some(Timestamp(reader.zigzag()?));
        }
        let mut series = Taking { index, before: 0 };
        let places = reader.count(limit::COLUMNS)?;
        let mut taken = BTreeSet::new();
        for _ in 0..places {
            let place = series.place(reader)?;
            let held = place.as_ref().and_then(|place| place.series);
            if held.is_some_and(|held| !taken.insert(held)) {
                return Err(reader.malformed("a series at two places"));
            }
            self.places.push(place);
        }
        let places = self.places.iter().flatten();
        let refused = places.filter(|place| place.series.is_none()).count();
        self.refused = if self.asleep { 0 } else { refused };
        self.ending = series.list(reader)?;
        self.ended = series.list(reader)?;
        self.fresh = series.list(reader)?;
        for _ in 0..reader.count(usize::MAX)? {
            let ended = series.known(reader)?;
            self.marking.push((ended, reader.count(usize::MAX)?));
        }
        for _ in 0..reader.count(usize::MAX)? {
            let id = reader.small()?;
            let names: Names = series.list(reader)?.into();
            if !names.is_sorted_by(|a, b| a < b) || self.used.iter().any(|used| used.id == id) {
                return Err(reader.malformed("names of a block"));
            }
            self.used.push(Used { id, names, blocks: 0 });
        }
        self.take_open(reader, &mut series)?;
        self.take_parts(reader)
    }

    fn take_open(
        &mut self,
        reader: &mut Reader<'_>,
        series: &mut Taking<'_>,
    ) -> Result<(), Malformed> {
        let count = reader.count(limit::COLUMNS * 2)?;
        let (mut columns, mut taken) = (Vec::with_capacity(count), BTreeSet::new());
        series.before = 0;
        for _ in 0..count {
            let column = if reader.byte()? == 0 { None } else { Some(series.take(reader)?) };
            if column.is_some_and(|column| !taken.insert(column)) {
                return Err(reader.malformed("a series in two columns"));
            }
            columns.push(column);
        }
        let known = self.used.last().map_or(&self.layout.names, |used| &used.names);
        let layout = Arc::new(Layout::new(columns, known));
        let mut open = Open { layout: Arc::clone(&layout), ..Open::default() };
        for _ in 0..reader.count(OPEN_ROWS - 1)? {
            open.stamps.times.push(Timestamp(reader.zigzag()?));
            open.stamps.positions.push(Position(reader.varint()?));
        }
        let times = &open.stamps.times;
        if !times.is_sorted_by(|a, b| a < b) || !open.stamps.positions.is_sorted() {
            return Err(reader.malformed("open rows out of order"));
        }
        self.open_rows = times.len();
        let cells = count * times.len();
        if cells > reader.left() / size_of::<f64>() {
            return Err(reader.malformed("open rows end early"));
        }
        // As an append leaves it: room for all rows that are to come.
        open.values.reserve_exact(if times.is_empty() { 0 } else { count * OPEN_ROWS });
        for _ in 0..cells {
            open.values.push(f64::from_bits(reader.u64()?));
        }
        // As the newest row has it, which knows nothing of what came and went since.
        let mut newest = self.held();
        newest.retain(|_, settled| *settled);
        newest.extend(self.ending.iter().map(|series| (*series, true)));
        self.enliven(layout.columns(), &newest);
        self.open_bytes = open.bytes();
        self.layout = layout;
        write(&self.shared.rows).open = open;
        Ok(())
    }

    fn take_unborn(&mut self, reader: &mut Reader<'_>, index: &mut Index) -> Result<(), Malformed> {
        let unborn = Taking { index, before: 0 }.list(reader)?;
        if !unborn.is_sorted_by(|a, b| a < b) {
            return Err(reader.malformed("series that have no value yet"));
        }
        self.expect(unborn);
        Ok(())
    }

    fn take_parts(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        for _ in 0..reader.count(PARTS_MAX)? {
            let id = reader.small()?;
            let used = self.used.iter_mut().find(|used| used.id == id);
            let used = used.ok_or(reader.malformed("a part of unknown names"))?;
            let rows = usize::try_from(reader.varint()?).ok().filter(|rows| *rows <= ROWS_MAX);
            let rows = rows.ok_or(reader.malformed("rows of a part"))?;
            let count = used.names.len() + 1;
            let lengths = (0..count).map(|_| reader.count(usize::MAX)).collect::<Result<_, _>>();
            let lengths: Vec<usize> = lengths?;
            let len = reader.count(usize::MAX)?;
            let bytes = reader.take(len)?;
            let part = Block::restore(Arc::clone(&used.names), rows, &lengths, bytes);
            let part = part.ok_or(reader.malformed("a part"))?;
            used.blocks += 1;
            write(&self.shared.rows).parts.push(Arc::new(part));
        }
        Ok(())
    }
}

/// Reads series, each as the difference to the one before.
struct Taking<'a> {
    index: &'a mut Index,
    before: u32,
}

impl Taking<'_> {
    fn take(&mut self, reader: &mut Reader<'_>) -> Result<SeriesRef, Malformed> {
        let series = i64::from(self.before).checked_add(reader.zigzag()?);
        let series = series.and_then(|series| u32::try_from(series).ok()).map(SeriesRef);
        let series = series.filter(|series| self.index.get(*series).is_some());
        let series = series.ok_or(reader.malformed("an unknown series"))?;
        self.before = series.0;
        Ok(series)
    }

    fn known(&mut self, reader: &mut Reader<'_>) -> Result<SeriesRef, Malformed> {
        let series = SeriesRef(reader.small()?);
        let known = self.index.get(series).is_some();
        known.then_some(series).ok_or(reader.malformed("an unknown series"))
    }

    fn list(&mut self, reader: &mut Reader<'_>) -> Result<Vec<SeriesRef>, Malformed> {
        self.before = 0;
        let count = reader.count(usize::MAX)?;
        (0..count).map(|_| self.take(reader)).collect()
    }

    fn place(&mut self, reader: &mut Reader<'_>) -> Result<Option<Place>, Malformed> {
        let tag = reader.byte()?;
        Ok(match tag {
            EMPTY => None,
            HELD | SETTLED => {
                let series = self.take(reader)?;
                let entry = self.index.get(series).ok_or(reader.malformed("series"))?;
                let labels = entry.labels.clone();
                let metadata = self.index.metadata(labels.name()).cloned().unwrap_or_default();
                let definition = Some(Definition { labels, metadata });
                Some(Place { definition, series: Some(series), settled: tag == SETTLED })
            }
            REFUSED => Some(Place { definition: None, series: None, settled: false }),
            DEFINED => {
                let labels = reader.labels()?;
                let metadata = take_metadata(reader)?;
                let definition = Some(Definition { labels, metadata });
                Some(Place { definition, series: None, settled: false })
            }
            _ => return Err(reader.malformed("no such place")),
        })
    }
}

fn take_metadata(reader: &mut Reader<'_>) -> Result<Arc<Metadata>, Malformed> {
    let kind = MetricType::ALL.get(usize::from(reader.byte()?)).copied();
    let kind = kind.ok_or(reader.malformed("no such type"))?;
    let help = reader.text(limit::HELP_BYTES)?.into();
    let unit = reader.text(limit::HELP_BYTES)?.into();
    Ok(Arc::new(Metadata { kind, help, unit }))
}
