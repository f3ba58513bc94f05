//! The targets of probes and scrapes as the collection sees them: what comes of them, and their
//! groups.
//!
//! The results of a target become rows of its own groups, one at each tick while any wait, so that
//! one that is slow or dead holds up nothing. A target that is probed has one group; one that is
//! scraped has two, behind those of probes ([`crate::pure::scrape::rows`]). Over a reload a target
//! keeps its groups, columns and results that wait as long as its labels stay and it is read alike.

mod numbers;
mod scraped;
mod tally;

use std::collections::BTreeSet;
use std::io;
#[cfg(test)]
use std::sync::mpsc::SyncSender;

use bellwether_model::id::GroupId;
use bellwether_model::label::LabelSet;
use bellwether_platform::clock::Clock;

use crate::pure::probe::TargetPlan;
use crate::pure::probe::rows::TargetRows;
use crate::pure::scrape::ScrapePlan;
use crate::shell::collection::Group;
#[cfg(test)]
use crate::shell::probe::Probed;
use crate::shell::probe::Probing;
use crate::shell::scrape::{Numbered, Scraping};
use numbers::{first_free, free_from};
use scraped::Scraped;

pub use tally::ScrapeTally;

/// The targets of a plan, and those who ask them.
pub struct Targets {
    probes: Vec<TargetRows>,
    probing: Probing,
    scrapes: Vec<Scraped>,
    scraping: Scraping,
    /// Whether a page shows what scrapes give.
    shows_scrapes: bool,
    /// Results of probes that were given up since this was last told.
    dropped: u64,
    tally: ScrapeTally,
}

impl Targets {
    /// Begins to probe and to scrape.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        probes: &[TargetPlan],
        scrapes: &ScrapePlan,
        clock: &Clock,
    ) -> io::Result<Targets> {
        let probing = Probing::start(probes, clock)?;
        Ok(Targets::of(probes, probing, Scraping::start(scrapes, clock)?))
    }

    /// Asks each target once, and returns when all have ended.
    ///
    /// # Errors
    /// The system has no runtime to give.
    pub fn once(probes: &[TargetPlan], scrapes: &ScrapePlan, clock: &Clock) -> io::Result<Targets> {
        let probing = Probing::once(probes, clock)?;
        let targets = Targets::of(probes, probing, Scraping::once(scrapes, clock)?);
        Ok(Targets { shows_scrapes: true, ..targets })
    }

    /// None.
    #[must_use]
    pub fn none() -> Targets {
        Targets::of(&[], Probing::none(), (Scraping::none(), Vec::new()))
    }

    /// Nobody asks them: whoever has the other end hands results in.
    #[cfg(test)]
    pub(crate) fn fed(plans: &[TargetPlan]) -> (Targets, SyncSender<Probed>) {
        let (sender, probing) = Probing::fed();
        (Targets::of(plans, probing, (Scraping::none(), Vec::new())), sender)
    }

    /// The same of scrapes.
    #[cfg(test)]
    pub(crate) fn scraped_by_hand(
        targets: Numbered,
    ) -> (Targets, SyncSender<crate::shell::scrape::Event>) {
        let (sender, scraping) = Scraping::fed();
        (Targets::of(&[], Probing::none(), (scraping, targets)), sender)
    }

    fn of(
        probes: &[TargetPlan],
        probing: Probing,
        (scraping, targets): (Scraping, Numbered),
    ) -> Targets {
        Targets {
            probes: probes.iter().cloned().map(TargetRows::new).collect(),
            probing,
            scrapes: targets.into_iter().map(Scraped::new).collect(),
            scraping,
            shows_scrapes: false,
            dropped: 0,
            tally: ScrapeTally::default(),
        }
    }

    /// How many groups they have.
    #[must_use]
    pub fn groups_len(&self) -> usize {
        self.probes.len() + self.scrapes.iter().filter(|scraped| scraped.ids.is_some()).count() * 2
    }

    /// Whether results may come.
    #[must_use]
    pub fn may_come(&self) -> bool {
        !self.probes.is_empty() || self.scraping.is_at_work()
    }

    /// Their groups, in their order; `own` are the labels of the agent.
    #[must_use]
    pub fn groups(&mut self, own: &LabelSet) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut taken = BTreeSet::new();
        for (rows, id) in
            self.probes.iter().zip(GroupId::TARGETS.0..).map(|(r, id)| (r, GroupId(id)))
        {
            let shown = beside(rows.labels(), own);
            groups.push(Group { shown, ..Group::new(id, rows.table()) });
            taken.insert(id);
        }
        for scraped in &mut self.scrapes {
            groups.extend(scraped.open(own, self.shows_scrapes, &mut |seed| {
                free_from(seed, &BTreeSet::new(), &mut taken)
            }));
        }
        self.tally.targets = self.scrapes.len();
        groups
    }

    /// Takes what has come of probes.
    pub fn gather_probes(&mut self) {
        self.dropped += self.probing.take_lost();
        for (place, sight) in self.probing.take() {
            self.dropped += self.probes.get_mut(place).map_or(1, |rows| rows.push(sight));
        }
    }

    /// Takes what has come of scrapes. Returns whether the groups must be turned to other targets.
    pub fn gather_scrapes(&mut self) -> bool {
        self.tally.dropped += self.scraping.take_lost();
        scraped::take(&self.scraping, &mut self.scrapes, &mut self.tally)
    }

    /// Turns the groups, all of which are given, to the targets that there are now. Returns the
    /// numbers of those that are gone.
    #[must_use]
    pub fn turn(&mut self, theirs: &mut Vec<Group>, own: &LabelSet) -> Vec<GroupId> {
        let mut taken: BTreeSet<GroupId> = theirs.iter().map(|group| group.id).collect();
        let scraped = theirs.split_off(self.probes.len().min(theirs.len()));
        let mut pairs = scraped::pairs(scraped);
        for scraped in &mut self.scrapes {
            match scraped.ids.and_then(|ids| pairs.remove(&ids)) {
                Some(pair) => theirs.extend(pair),
                None => theirs.extend(scraped.open(own, self.shows_scrapes, &mut |seed| {
                    free_from(seed, &BTreeSet::new(), &mut taken)
                })),
            }
        }
        self.tally.targets = self.scrapes.len();
        pairs.into_keys().flatten().collect()
    }

    /// How many results of probes were given up, and what came of scrapes, since this was last
    /// asked.
    pub fn tell(&mut self) -> (u64, ScrapeTally) {
        (std::mem::take(&mut self.dropped), self.tally.take())
    }

    /// Marks the groups that have a row.
    pub fn mark(&self, groups: &mut [Group]) {
        let (probes, scrapes) = groups.split_at_mut(self.probes.len().min(groups.len()));
        for (rows, group) in self.probes.iter().zip(probes) {
            group.due = rows.is_due();
        }
        for (scraped, pair) in self.scrapes.iter().zip(scrapes.chunks_exact_mut(2)) {
            scraped.mark(pair);
        }
    }

    /// Takes the marks from the groups of scrapes: their results wait.
    pub fn hold_scrapes(&self, groups: &mut [Group]) {
        groups.iter_mut().skip(self.probes.len()).for_each(|group| group.due = false);
    }

    /// Fills the rows that are due.
    pub fn fill(&mut self, groups: &mut [Group]) {
        let (probes, scrapes) = groups.split_at_mut(self.probes.len().min(groups.len()));
        for (rows, group) in self.probes.iter_mut().zip(probes).filter(|(_, group)| group.due) {
            rows.fill(&mut group.table);
        }
        for (scraped, pair) in self.scrapes.iter_mut().zip(scrapes.chunks_exact_mut(2)) {
            self.tally.refused += scraped.fill(pair);
        }
    }

    /// Takes over from the targets of an earlier configuration, `theirs` being all their groups:
    /// those with the same labels go on, others get numbers that were not in use. Results of
    /// targets that are gone are given up.
    pub fn succeed(&mut self, mut old: Targets, mut theirs: Vec<Group>, groups: &mut [Group]) {
        old.gather_probes();
        // Which targets those were is no matter any more.
        old.gather_scrapes();
        self.dropped += old.dropped;
        self.tally.add(&old.tally);
        let in_use: BTreeSet<GroupId> = theirs.iter().map(|group| group.id).collect();
        let (probes, scrapes) = groups.split_at_mut(self.probes.len().min(groups.len()));
        let mut taken = BTreeSet::new();
        let scraped = std::mem::take(&mut old.scrapes);
        let kept = scraped::succeed(&mut self.scrapes, scraped, &mut theirs, scrapes);
        self.tally.dropped += kept.dropped;
        taken.extend(kept.ids);
        let mut old = old.probes;
        let mut is_new = vec![true; probes.len()];
        for ((rows, group), is_new) in self.probes.iter_mut().zip(&mut *probes).zip(&mut is_new) {
            let held = old.iter().position(|held| held.labels() == rows.labels());
            let their = theirs.iter().position(|their| {
                their.id >= GroupId::TARGETS && their.table.target() == rows.labels()
            });
            let (Some(held), Some(their)) = (held, their) else { continue };
            let their = theirs.swap_remove(their);
            (group.id, group.table) = (their.id, their.table);
            rows.succeed(old.swap_remove(held), &mut group.table);
            taken.insert(group.id);
            *is_new = false;
        }
        let gone: usize = old.iter().map(TargetRows::waiting).sum();
        self.dropped += u64::try_from(gone).unwrap_or(u64::MAX);
        for (group, _) in probes.iter_mut().zip(is_new).filter(|(_, is_new)| *is_new) {
            group.id = first_free(&in_use, &mut taken, group.id);
        }
        for (scraped, pair) in self.scrapes.iter_mut().zip(scrapes.chunks_exact_mut(2)) {
            scraped.renumber(pair, &in_use, &mut taken);
        }
    }
}

/// The labels of a target that are not the agent's.
fn beside(labels: &LabelSet, own: &LabelSet) -> LabelSet {
    let shown = labels.iter().filter(|(name, value)| own.get(name) != Some(value));
    LabelSet::new(shown).unwrap_or_default()
}
