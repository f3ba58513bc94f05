//! The two column groups of a target: the series of its pages, and what is told of its scrapes.
//!
//! They are two, so that whoever follows the series of a page can tell a first error from a first
//! page: a series that comes while others of its group go on was not there before, and counts from
//! 0; one that comes with all the others, after a failure or at a start, has counted already. The
//! series of a page all end where a scrape fails; `up` and its like go on.
//!
//! With a version all series of a page change their labels at once where it changes. Then
//! `scrape_version_changes_total` goes on beside them, if it is clear that the process has begun
//! anew, and is left out of that row otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::label::LabelSet;
use bellwether_model::limit;
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec, Table};

use super::page::{Counts, Layout, Values, VersionChange};
use super::target::ScrapeTarget;
use super::{Failure, Reason, VERSION_BYTES};
use crate::pure::family::{Family, FamilySpec, seconds};
use crate::pure::probe::rows::WAITING_MAX;

/// What came of one scrape.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// How long it took.
    pub took: Duration,
    /// What was counted.
    pub counts: Counts,
    /// The page, or why there is none.
    pub result: Result<Values, Failure>,
}

const REPORT: [FamilySpec; 6] = [
    FamilySpec::gauge("up", "Whether the last scrape of the target went well."),
    FamilySpec::gauge("scrape_duration_seconds", "Seconds that the last scrape took."),
    FamilySpec::gauge("scrape_samples_scraped", "Samples on the last page."),
    FamilySpec::gauge(
        "scrape_samples_post_metric_relabeling",
        "Samples of the last page that relabelling has left.",
    ),
    FamilySpec::gauge(
        "scrape_series_added",
        "Series of the last page that the one before did not have.",
    ),
    FamilySpec::gauge("scrape_target_refused", "Whether the last scrape's connection was refused."),
];
const CHANGES: FamilySpec = FamilySpec::counter(
    "scrape_version_changes_total",
    "Changes of the target's version since the agent has begun to scrape it.",
);

/// A target's groups.
#[derive(Debug)]
pub struct ScrapeRows {
    target: Arc<ScrapeTarget>,
    waiting: VecDeque<Scrape>,
    page: PageColumns,
    /// The columns of [`REPORT`], once there is a row.
    report: Vec<ColumnIndex>,
}

/// Columns of the series of a page.
#[derive(Debug, Default)]
struct PageColumns {
    layout: Layout,
    /// Where each column of the layout is; `None` where there was no room.
    places: Vec<Option<ColumnIndex>>,
    changes: Option<ColumnIndex>,
    changed: u32,
    /// Whether a row has been told of, be it one without columns.
    is_open: bool,
}

/// Which of the two groups have a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The series of the page.
    pub page: bool,
    /// What is told of the scrape.
    pub report: bool,
}

impl ScrapeRows {
    /// Nothing is known of the target yet.
    #[must_use]
    pub fn new(target: Arc<ScrapeTarget>) -> ScrapeRows {
        let (waiting, report) = (VecDeque::new(), Vec::new());
        ScrapeRows { target, waiting, page: PageColumns::default(), report }
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &Arc<ScrapeTarget> {
        &self.target
    }

    /// Tables without columns: of the page, and of the report.
    #[must_use]
    pub fn tables(&self) -> [Table; 2] {
        let interval = self.target.interval;
        let table = |labels: &LabelSet| Table::new(labels.clone(), interval);
        [table(&self.target.shared), table(&self.target.shown)]
    }

    /// Whether a page of the one is read as a page of the other.
    #[must_use]
    pub fn is_read_as(&self, other: &ScrapeRows) -> bool {
        let (mine, theirs) = (&self.target, &other.target);
        mine.mark == theirs.mark && mine.shared == theirs.shared
    }

    /// Takes over from the same target under another plan, whose reports go on, and whose series
    /// and waiting results do too if its page is read alike. Returns how many results were given
    /// up.
    pub fn succeed(&mut self, old: ScrapeRows) -> u64 {
        let is_alike = self.is_read_as(&old);
        self.report = old.report;
        if is_alike {
            (self.page, self.waiting) = (old.page, old.waiting);
            return 0;
        }
        u64::try_from(old.waiting.len()).unwrap_or(u64::MAX)
    }

    /// How many results wait for a row.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a result. Returns how many were given up for it.
    pub fn push(&mut self, scrape: Scrape) -> u64 {
        self.waiting.push_back(scrape);
        let too_many = self.waiting.len() > WAITING_MAX;
        u64::from(too_many && self.waiting.pop_front().is_some())
    }

    /// Which groups the next row is for.
    #[must_use]
    pub fn due(&self) -> Due {
        let page = self.waiting.front().is_some_and(|scrape| match &scrape.result {
            Ok(_) => true,
            // Also where nothing is open yet: what an agent before this one has left ends.
            Err(_) => !self.page.is_open || !self.page.layout.is_empty(),
        });
        Due { page, report: !self.waiting.is_empty() }
    }

    /// Fills the rows, which have begun, with the oldest result. Returns series for which there was
    /// no room.
    pub fn fill(&mut self, page: &mut Table, report: &mut Table) -> u64 {
        let Some(scrape) = self.waiting.pop_front() else { return 0 };
        if self.report.is_empty() {
            let column = |spec| {
                let spec = Family::new(spec).column(&[]);
                report.add(spec.expect("invariant: a name is a label"))
            };
            self.report = REPORT.iter().map(column).collect();
        }
        let counts = scrape.counts;
        let flag = |is: bool| f64::from(u8::from(is));
        let is_refused = |failure: &Failure| failure.reason == Reason::Refused;
        let values = [
            flag(scrape.result.is_ok()),
            seconds(scrape.took),
            number(counts.scraped),
            number(counts.kept),
            number(counts.added),
            flag(scrape.result.as_ref().is_err_and(is_refused)),
        ];
        self.report.iter().zip(values).for_each(|(index, value)| report.set(*index, value));
        let has_version = self.target.job.reading.version.is_some();
        self.page.is_open = true;
        match scrape.result {
            Err(_) => {
                self.page.turn(Arc::from([]), page);
                self.page.changes.take().into_iter().for_each(|index| page.end(index));
                0
            }
            Ok(values) => self.page.set(&values, has_version, page),
        }
    }
}

impl PageColumns {
    fn set(&mut self, values: &Values, has_version: bool, table: &mut Table) -> u64 {
        if values.change.is_some() {
            self.changed += 1;
        }
        if values.change == Some(VersionChange::Unclear) || !has_version {
            self.changes.take().into_iter().for_each(|index| table.end(index));
        }
        if !Arc::ptr_eq(&self.layout, &values.layout) {
            self.turn(Arc::clone(&values.layout), table);
        }
        for (index, value) in self.places.iter().zip(&values.values) {
            if let Some(index) = index {
                table.set(*index, *value);
            }
        }
        if has_version && values.change != Some(VersionChange::Unclear) {
            let index = *self.changes.get_or_insert_with(|| {
                let spec = Family::new(&CHANGES).column(&[]);
                table.add(spec.expect("invariant: a name is a label"))
            });
            table.set(index, f64::from(self.changed));
        }
        let left_out = self.places.iter().filter(|index| index.is_none()).count();
        u64::try_from(left_out).unwrap_or(u64::MAX)
    }

    /// Turns the columns into those of another layout: what both have goes on.
    fn turn(&mut self, layout: Layout, table: &mut Table) {
        let before = std::mem::replace(&mut self.layout, layout);
        let mut held: BTreeMap<&LabelSet, (&Arc<ColumnSpec>, ColumnIndex)> = before
            .iter()
            .zip(&self.places)
            .filter_map(|(column, index)| Some((&column.labels, (column, (*index)?))))
            .collect();
        let goes_on = |column: &Arc<ColumnSpec>| {
            let (old, index) = held.get(&column.labels)?;
            (Arc::ptr_eq(old, column) || old == &column).then_some(*index)
        };
        let kept: Vec<Option<ColumnIndex>> = self.layout.iter().map(goes_on).collect();
        for (column, index) in self.layout.iter().zip(&kept) {
            if index.is_some() {
                held.remove(&column.labels);
            }
        }
        held.into_values().for_each(|(_, index)| table.end(index));
        let place = |(column, index): (&Arc<ColumnSpec>, Option<ColumnIndex>)| {
            let has_room = table.columns().len() < limit::COLUMNS;
            index.or_else(|| has_room.then(|| table.add((**column).clone())))
        };
        self.places = self.layout.iter().zip(kept).map(place).collect();
    }
}

/// A version as it is told, without blanks around it.
///
/// # Errors
/// It is no value of a label, or longer than [`VERSION_BYTES`].
pub fn version(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    if text.len() > VERSION_BYTES || text.chars().any(char::is_control) {
        let words = format!("the version is no label of {VERSION_BYTES} bytes at most");
        return Err(Failure::new(Reason::Local, words));
    }
    Ok(text.to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "a bounded count")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
