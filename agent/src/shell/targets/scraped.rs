//! One target that is scraped, and its two groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::hash::fnv1a;
use bellwether_model::id::GroupId;
use bellwether_model::label::LabelSet;

use super::tally::ScrapeTally;
use super::{beside, free_from};
use crate::pure::scrape::rows::ScrapeRows;
use crate::pure::scrape::target::ScrapeTarget;
use crate::shell::collection::Group;
use crate::shell::scrape::{Event, Number, Scraping};

/// The numbers of a target's groups: of its page, and of the report.
type Ids = [GroupId; 2];

/// A target with what is known of it.
pub(super) struct Scraped {
    number: Number,
    rows: ScrapeRows,
    /// `None` until its groups are there.
    pub(super) ids: Option<Ids>,
    /// Which groups were taken over from an earlier plan.
    is_kept: [bool; 2],
}

/// What a new plan has taken over.
pub(super) struct Kept {
    pub(super) ids: Vec<GroupId>,
    pub(super) dropped: u64,
}

impl Scraped {
    pub(super) fn new((number, target): (Number, Arc<ScrapeTarget>)) -> Scraped {
        let (rows, ids) = (ScrapeRows::new(target), None);
        Scraped { number, rows, ids, is_kept: [false; 2] }
    }

    /// Seeds of the two numbers: another reading of the page is another group.
    fn seeds(&self) -> [u64; 2] {
        let target = self.rows.target();
        let labels = fnv1a(target.labels.as_bytes().iter().copied());
        let page = labels.to_le_bytes().into_iter().chain(target.mark.to_le_bytes());
        [fnv1a(page), labels]
    }

    /// Makes the groups.
    pub(super) fn open(
        &mut self,
        own: &LabelSet,
        shows: bool,
        free: &mut dyn FnMut(u64) -> GroupId,
    ) -> [Group; 2] {
        let ids = self.seeds().map(free);
        self.ids = Some(ids);
        let target = self.rows.target();
        let shown = [beside(&target.shared, own), beside(&target.shown, own)];
        let mut shown = shown.into_iter();
        let mut ids = ids.into_iter();
        self.rows.tables().map(|table| {
            let id = ids.next().unwrap_or_default();
            let shown = shown.next().unwrap_or_default();
            Group { shown, is_shown: shows, ..Group::new(id, table) }
        })
    }

    /// Gives those groups that are new numbers that are free.
    pub(super) fn renumber(
        &mut self,
        pair: &mut [Group],
        in_use: &BTreeSet<GroupId>,
        taken: &mut BTreeSet<GroupId>,
    ) {
        let seeds = self.seeds();
        let new = pair.iter_mut().zip(seeds).zip(std::mem::take(&mut self.is_kept));
        for ((group, seed), _) in new.filter(|(_, is_kept)| !is_kept) {
            group.id = free_from(seed, in_use, taken);
        }
        if let [page, report] = pair {
            self.ids = Some([page.id, report.id]);
        }
    }

    /// Marks which of the groups have a row.
    pub(super) fn mark(&self, pair: &mut [Group]) {
        let due = self.rows.due();
        if let [page, report] = pair {
            (page.due, report.due) = (due.page, due.report);
        }
    }

    /// Fills the rows; returns series for which there was no room.
    pub(super) fn fill(&mut self, pair: &mut [Group]) -> u64 {
        match pair {
            [page, report] if report.due => self.rows.fill(&mut page.table, &mut report.table),
            _ => 0,
        }
    }
}

/// Groups by the numbers of their pairs.
pub(super) fn pairs(groups: Vec<Group>) -> BTreeMap<Ids, [Group; 2]> {
    let mut groups = groups.into_iter();
    let mut pairs = BTreeMap::new();
    while let (Some(page), Some(report)) = (groups.next(), groups.next()) {
        pairs.insert([page.id, report.id], [page, report]);
    }
    pairs
}

/// Takes what scrapes have given. Returns whether targets have come or gone.
pub(super) fn take(
    scraping: &Scraping,
    scrapes: &mut Vec<Scraped>,
    tally: &mut ScrapeTally,
) -> bool {
    let mut has_turned = false;
    for event in scraping.take() {
        match event {
            Event::Scraped(number, scrape) => {
                tally.count(&scrape);
                let place = scrapes.iter_mut().find(|scraped| scraped.number == number);
                tally.dropped += place.map_or(1, |scraped| scraped.rows.push(*scrape));
            }
            Event::Targets(targets) => {
                let old = std::mem::take(scrapes);
                let mut old: BTreeMap<Number, Scraped> =
                    old.into_iter().map(|scraped| (scraped.number, scraped)).collect();
                let held = |(number, target)| {
                    old.remove(&number).unwrap_or_else(|| Scraped::new((number, target)))
                };
                *scrapes = targets.into_iter().map(held).collect();
                let gone: usize = old.values().map(|scraped| scraped.rows.waiting()).sum();
                tally.dropped += u64::try_from(gone).unwrap_or(u64::MAX);
                has_turned = true;
            }
        }
    }
    has_turned
}

/// Takes over from the targets of an earlier plan, whose groups are among `theirs`.
pub(super) fn succeed(
    new: &mut [Scraped],
    old: Vec<Scraped>,
    theirs: &mut Vec<Group>,
    groups: &mut [Group],
) -> Kept {
    let mut kept = Kept { ids: Vec::new(), dropped: 0 };
    let mut by_labels: BTreeMap<LabelSet, Scraped> = BTreeMap::new();
    for scraped in old {
        by_labels.insert(scraped.rows.target().labels.clone(), scraped);
    }
    let ids: BTreeSet<GroupId> = by_labels.values().filter_map(|s| s.ids).flatten().collect();
    let (scraped, others) = theirs.drain(..).partition(|group| ids.contains(&group.id));
    *theirs = others;
    let scraped: Vec<Group> = scraped;
    let mut tables: BTreeMap<GroupId, Group> = scraped.into_iter().map(|g| (g.id, g)).collect();
    for (scraped, pair) in new.iter_mut().zip(groups.chunks_exact_mut(2)) {
        let ([page, report], Some(old)) = (pair, by_labels.remove(&scraped.rows.target().labels))
        else {
            continue;
        };
        let Some([old_page, old_report]) = old.ids else { continue };
        let interval = scraped.rows.target().interval;
        let mut take = |group: &mut Group, id| {
            let Some(their) = tables.remove(&id) else { return false };
            (group.id, group.table) = (id, their.table);
            group.table.set_cadence(interval);
            kept.ids.push(id);
            true
        };
        let is_read_alike = scraped.rows.is_read_as(&old.rows);
        scraped.is_kept = [is_read_alike && take(page, old_page), take(report, old_report)];
        kept.dropped += scraped.rows.succeed(old.rows);
    }
    let gone: usize = by_labels.values().map(|scraped| scraped.rows.waiting()).sum();
    kept.dropped += u64::try_from(gone).unwrap_or(u64::MAX);
    kept
}
