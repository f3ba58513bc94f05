//! From a page to values: which series it has, under which labels, and what was refused.
//!
//! A page that is the same as the one before but for its values is followed ([`Outline`]): nothing
//! is parsed but those, and nothing allocated for each. Otherwise it is read anew; labels of lines
//! that were seen in the page before are taken over. What decides is Prometheus' scrape loop: the
//! same limits, the same labels, the first of two samples of one series.

mod labels;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::exposition::{
    Bounds, Format, Outline, ReadError, ReadProblem, Reader, SampleLine,
};
use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::limit;
use bellwether_model::series::{MetricType, ValueKind};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::table::ColumnSpec;

use super::rows::version as version_of;
use super::target::ScrapeTarget;
use super::{Failure, Reason, SAMPLES_MAX, VERSION, VersionPlan};
use crate::pure::family::Family;
use labels::{Mutated, mutated};

/// What a page's sample has no place for.
const NOWHERE: u32 = u32::MAX;
/// The time at which a process began, by the name that client libraries give it.
const PROCESS_START: &str = "process_start_time_seconds";

/// What a page may hold before relabelling; it is refused where it holds more.
const BOUNDS: Bounds = Bounds {
    page_bytes: 64 << 20,
    line_bytes: 256 << 10,
    labels: 256,
    label_bytes: 64 << 10,
    samples: SAMPLES_MAX,
};

/// A page as it came.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Its text.
    pub body: &'a [u8],
    /// In which format.
    pub format: Format,
    /// The version, where it is read beside the page.
    pub version: Option<&'a str>,
}

/// The columns of a page, in their order; shared as long as they stay the same.
pub type Layout = Arc<[Arc<ColumnSpec>]>;

/// Numbers of one scrape, under the names that Prometheus tells them by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// `scrape_samples_scraped`
    pub scraped: usize,
    /// `scrape_samples_post_metric_relabeling`
    pub kept: usize,
    /// `scrape_series_added`
    pub added: usize,
    /// Samples of a series that the page has twice.
    pub duplicates: usize,
    /// Explicit times, which give way to that of the tick.
    pub times: usize,
    /// Series with more or longer labels than series may have.
    pub refused: usize,
}

/// The version that the series had is another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionChange {
    /// And the process has begun anew: its counters count from 0.
    Restarted,
    /// Nothing tells whether it has.
    Unclear,
}

/// What a page holds.
#[derive(Clone, Debug)]
pub struct Values {
    /// Its columns.
    pub layout: Layout,
    /// Their values.
    pub values: Vec<f64>,
    /// Whether the version has changed since the page before.
    pub change: Option<VersionChange>,
}

/// What is known of a line's series.
#[derive(Clone, Debug)]
struct Known {
    kind: MetricType,
    /// `None` if it is dropped or refused.
    column: Option<Arc<ColumnSpec>>,
    is_refused: bool,
}

/// Reads the pages of one target.
#[derive(Debug)]
pub struct Scan {
    target: Arc<ScrapeTarget>,
    outline: Outline,
    layout: Layout,
    /// Where each value of the page goes.
    places: Vec<u32>,
    /// Values of `_created` samples in the outline, by their place in the page.
    created: Vec<(usize, f64)>,
    counts: Counts,
    /// By the line's series as written.
    known: BTreeMap<Box<str>, Known>,
    /// As told beside the page or by it.
    version: Option<String>,
    /// Those that the series had.
    versions: BTreeSet<String>,
    /// Those of the page, and of the columns.
    raw: Vec<f64>,
    last: Vec<f64>,
}

/// A page being read anew.
struct Fresh<'s> {
    scan: &'s mut Scan,
    old: BTreeMap<Box<str>, Known>,
    starts: BTreeMap<LabelSet, Timestamp>,
    columns: Vec<Arc<ColumnSpec>>,
    values: Vec<f64>,
    seen: BTreeSet<LabelSet>,
    over: bool,
}

impl Scan {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(target: Arc<ScrapeTarget>) -> Scan {
        Scan {
            target,
            outline: Outline::default(),
            layout: Layout::default(),
            places: Vec::new(),
            created: Vec::new(),
            counts: Counts::default(),
            known: BTreeMap::new(),
            version: None,
            versions: BTreeSet::new(),
            raw: Vec::new(),
            last: Vec::new(),
        }
    }

    /// Reads a page. The counts are there also where it is refused.
    pub fn read(&mut self, page: &Page<'_>) -> (Counts, Result<Values, Failure>) {
        if let Some(times) = self.follow(page) {
            let counts = Counts { added: 0, times, ..self.counts };
            let mut values = vec![0.0; self.layout.len()];
            for (place, value) in self.places.iter().zip(&self.raw) {
                if let Some(cell) = values.get_mut(*place as usize) {
                    *cell = *value;
                }
            }
            self.last.clone_from(&values);
            return (counts, Ok(Values { layout: Arc::clone(&self.layout), values, change: None }));
        }
        let told = match self.told(page) {
            Ok(told) => told,
            Err(failure) => return (Counts::default(), Err(failure)),
        };
        let result = self.anew(page, told);
        if result.is_err() {
            // What was begun is no outline of anything.
            self.outline.clear(page.format);
        }
        (self.counts, result)
    }

    fn follow(&mut self, page: &Page<'_>) -> Option<usize> {
        let plan = &self.target.job.reading.version;
        let is_beside = matches!(plan, Some(VersionPlan::File(_) | VersionPlan::Header(_)));
        if is_beside && page.version != self.version.as_deref() {
            return None;
        }
        let times = self.outline.follow(page.body, page.format, BOUNDS, &mut self.raw)?;
        let is_same = |(place, value): &(usize, f64)| {
            self.raw.get(*place).is_some_and(|now| now.to_bits() == value.to_bits())
        };
        self.created.iter().all(is_same).then_some(times)
    }

    /// The version that is read for the whole page.
    fn told(&self, page: &Page<'_>) -> Result<Option<String>, Failure> {
        let Some(VersionPlan::BuildInfo { metric, label }) = &self.target.job.reading.version
        else {
            return Ok(page.version.map(str::to_owned));
        };
        let mut reader = Reader::of(page.body, page.format, BOUNDS).map_err(|e| malformed(&e))?;
        while let Some(sample) = reader.next_sample() {
            let sample = sample.map_err(|error| malformed(&error))?;
            if sample.name.as_ref() == metric.as_str() {
                let found = sample.labels.iter().find(|(name, _)| name.as_ref() == label.as_str());
                if let Some((_, version)) = found {
                    return version_of(version).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn anew(&mut self, page: &Page<'_>, told: Option<String>) -> Result<Values, Failure> {
        let starts = match page.format {
            Format::OpenMetrics => starts(page)?,
            Format::Text => BTreeMap::new(),
        };
        let mut old = std::mem::take(&mut self.known);
        if told != self.version {
            old.clear();
        }
        let held: BTreeSet<LabelSet> = self.layout.iter().map(|c| c.labels.clone()).collect();
        self.version = told;
        self.counts = Counts::default();
        self.outline.clear(page.format);
        (self.places, self.created) = (Vec::new(), Vec::new());
        let mut fresh = Fresh {
            scan: self,
            old,
            starts,
            columns: Vec::new(),
            values: Vec::new(),
            seen: BTreeSet::new(),
            over: false,
        };
        let read = fresh.read(page);
        let Fresh { columns, values, over, .. } = fresh;
        read?;
        if over {
            let max = self.target.job.reading.limits.samples;
            let words = format!("the page has more than {max} samples after relabelling");
            return Err(Failure::new(Reason::Limit, words));
        }
        self.counts.added = columns.iter().filter(|c| !held.contains(&c.labels)).count();
        let change = self.change(&columns, &values);
        self.layout = columns.into();
        self.last.clone_from(&values);
        Ok(Values { layout: Arc::clone(&self.layout), values, change })
    }

    /// Whether the versions of the series are others than before, and whether the process that
    /// has them is another one: a counter has fallen, or a start time is later.
    fn change(&mut self, columns: &[Arc<ColumnSpec>], values: &[f64]) -> Option<VersionChange> {
        self.target.job.reading.version.as_ref()?;
        let versions = columns.iter().filter_map(|column| column.labels.get(VERSION));
        let versions: BTreeSet<String> = versions.map(str::to_owned).collect();
        let before = std::mem::replace(&mut self.versions, versions);
        if before.is_empty() || self.versions.is_empty() || !before.is_disjoint(&self.versions) {
            return None;
        }
        let held = self.layout.iter().zip(&self.last);
        let held: BTreeMap<LabelSet, (&ColumnSpec, f64)> = held
            .map(|(column, value)| (column.labels.without(VERSION), (&**column, *value)))
            .collect();
        let is_later = |(column, value): (&Arc<ColumnSpec>, &f64)| {
            let Some((old, before)) = held.get(&column.labels.without(VERSION)) else {
                return false;
            };
            let counts = matches!(column.kind, MetricType::Counter | MetricType::Histogram);
            counts && value < before
                || column.labels.name() == PROCESS_START && value > before
                || old.start.zip(column.start).is_some_and(|(old, new)| new > old)
        };
        let restarted = columns.iter().zip(values).any(is_later);
        Some(if restarted { VersionChange::Restarted } else { VersionChange::Unclear })
    }
}

impl Fresh<'_> {
    fn read(&mut self, page: &Page<'_>) -> Result<(), Failure> {
        let mut reader = Reader::of(page.body, page.format, BOUNDS).map_err(|e| malformed(&e))?;
        loop {
            match reader.next_sample() {
                None => break,
                Some(Err(error)) => return Err(malformed(&error)),
                Some(Ok(sample)) => self.take(&sample, page.format)?,
            }
            self.scan.outline.note(&reader);
        }
        self.scan.outline.finish(&reader);
        Ok(())
    }

    fn take(&mut self, sample: &SampleLine<'_, '_>, format: Format) -> Result<(), Failure> {
        self.scan.counts.scraped += 1;
        self.scan.counts.times += usize::from(sample.time.is_some());
        if format == Format::OpenMetrics && is_created(sample) {
            self.scan.created.push((self.scan.places.len(), sample.value));
        }
        let place = self.place(sample)?;
        self.scan.places.push(place);
        if place != NOWHERE {
            self.values.push(sample.value);
        }
        Ok(())
    }

    /// Where the value of a line goes.
    fn place(&mut self, sample: &SampleLine<'_, '_>) -> Result<u32, Failure> {
        if self.scan.known.contains_key(sample.series) {
            // Twice in one page; of those that are dropped, nobody counts.
            let is_kept = self.scan.known.get(sample.series).is_some_and(|k| k.column.is_some());
            self.scan.counts.kept += usize::from(is_kept);
            self.scan.counts.duplicates += usize::from(is_kept);
            return Ok(NOWHERE);
        }
        let known = match self.old.remove(sample.series) {
            Some(known) if self.goes_on(&known, sample) => known,
            _ => self.learn(sample)?,
        };
        let (column, is_refused) = (known.column.clone(), known.is_refused);
        self.scan.known.insert(sample.series.into(), known);
        self.scan.counts.kept += usize::from(column.is_some() || is_refused);
        self.scan.counts.refused += usize::from(is_refused);
        let max = self.scan.target.job.reading.limits.samples;
        self.over |= max > 0 && self.scan.counts.kept > max;
        let Some(column) = column.filter(|_| !self.over) else { return Ok(NOWHERE) };
        if !self.seen.insert(column.labels.clone()) {
            self.scan.counts.duplicates += 1;
            return Ok(NOWHERE);
        }
        let place = u32::try_from(self.columns.len()).unwrap_or(NOWHERE);
        self.columns.push(column);
        Ok(place)
    }

    fn goes_on(&self, known: &Known, sample: &SampleLine<'_, '_>) -> bool {
        let start = || self.start(sample);
        known.kind == sample.family.kind
            && known.column.as_ref().is_none_or(|column| {
                *column.help == *shortened(&sample.family.help) && column.start == start()
            })
    }

    fn start(&self, sample: &SampleLine<'_, '_>) -> Option<Timestamp> {
        if self.starts.is_empty() || is_created(sample) {
            return None;
        }
        self.starts.get(&instance_of(sample)?).copied()
    }

    fn learn(&mut self, sample: &SampleLine<'_, '_>) -> Result<Known, Failure> {
        let kind = sample.family.kind;
        let none = Known { kind, column: None, is_refused: false };
        let target = &self.scan.target;
        let labels = match mutated(target, sample, self.scan.version.as_deref())? {
            Mutated::Dropped => return Ok(none),
            Mutated::Kept(labels) => labels,
        };
        let shared = &target.shared;
        let own = labels.iter().filter(|(name, value)| shared.get(name) != Some(*value));
        let Ok(labels) = LabelSet::new(own) else {
            return Ok(Known { is_refused: true, ..none });
        };
        let family = Family::named(
            labels.get(METRIC_NAME).unwrap_or_default(),
            kind,
            shortened(&sample.family.help),
        );
        let unit: Arc<str> = match shortened(&sample.family.unit) {
            "" => family.unit(),
            unit => unit.into(),
        };
        let (help, start) = (family.help(), self.start(sample));
        let value_kind = ValueKind::Float;
        let column = Arc::new(ColumnSpec { labels, kind, value_kind, unit, help, start });
        Ok(Known { column: Some(column), ..none })
    }
}

/// What a text of a family may hold.
fn shortened(text: &str) -> &str {
    let mut end = text.len().min(limit::HELP_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn malformed(error: &ReadError) -> Failure {
    let reason = match error.problem {
        ReadProblem::Bound(..) => Reason::Limit,
        _ => Reason::Malformed,
    };
    Failure::new(reason, error.to_string())
}

fn is_created(sample: &SampleLine<'_, '_>) -> bool {
    let family = sample.family;
    let suffix = sample.name.strip_prefix(family.name.as_ref());
    suffix == Some("_created")
}

/// The labels that tell one instance of a family from another: those of a sample without what
/// tells its parts apart, and the family's name.
fn instance_of(sample: &SampleLine<'_, '_>) -> Option<LabelSet> {
    let part = match sample.family.kind {
        MetricType::Histogram => "le",
        MetricType::Summary => "quantile",
        _ => "",
    };
    let labels = sample.labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let labels = labels.filter(|(name, _)| *name != part && *name != METRIC_NAME);
    LabelSet::new(labels.chain([(METRIC_NAME, sample.family.name.as_ref())])).ok()
}

/// When the counters of a page began, by their instances.
#[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970, checked")]
fn starts(page: &Page<'_>) -> Result<BTreeMap<LabelSet, Timestamp>, Failure> {
    let mut starts = BTreeMap::new();
    if memchr::memmem::find(page.body, b"_created").is_none() {
        return Ok(starts);
    }
    let mut reader = Reader::of(page.body, page.format, BOUNDS).map_err(|e| malformed(&e))?;
    while let Some(sample) = reader.next_sample() {
        let sample = sample.map_err(|error| malformed(&error))?;
        let time = sample.value * 1000.0;
        if is_created(&sample)
            && (0.0..1e15).contains(&time)
            && let Some(labels) = instance_of(&sample)
        {
            starts.insert(labels, Timestamp(time as i64));
        }
    }
    Ok(starts)
}

#[cfg(test)]
mod tests;
