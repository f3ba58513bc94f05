//! The targets of probes as the collection sees them: what comes of them, and their groups.
//!
//! The results of a target become rows of its own group, one at each tick while any wait, so that
//! one that is slow or dead holds up nothing. Over a reload a target keeps its group and columns as
//! long as its labels stay.

use std::collections::BTreeSet;
use std::io;
#[cfg(test)]
use std::sync::mpsc::SyncSender;

use bellwether_model::id::GroupId;
use bellwether_model::label::LabelSet;
use bellwether_model::limit;
use bellwether_platform::clock::Clock;

use crate::pure::probe::TargetPlan;
use crate::pure::probe::rows::TargetRows;
use crate::shell::collection::Group;
#[cfg(test)]
use crate::shell::probe::Probed;
use crate::shell::probe::Probing;

/// The targets of a plan, and those who probe them.
pub struct Targets {
    rows: Vec<TargetRows>,
    probing: Probing,
}

impl Targets {
    /// Begins to probe.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(plans: &[TargetPlan], clock: &Clock) -> io::Result<Targets> {
        Ok(Targets::of(plans, Probing::start(plans, clock)?))
    }

    /// Probes each target once, and returns when all have ended.
    ///
    /// # Errors
    /// The system has no runtime to give.
    pub fn once(plans: &[TargetPlan], clock: &Clock) -> io::Result<Targets> {
        Ok(Targets::of(plans, Probing::once(plans, clock)?))
    }

    /// None.
    #[must_use]
    pub fn none() -> Targets {
        Targets { rows: Vec::new(), probing: Probing::none() }
    }

    /// Nobody probes them: whoever has the other end hands results in.
    #[cfg(test)]
    pub(crate) fn fed(plans: &[TargetPlan]) -> (Targets, SyncSender<Probed>) {
        let (sender, probing) = Probing::fed();
        (Targets::of(plans, probing), sender)
    }

    fn of(plans: &[TargetPlan], probing: Probing) -> Targets {
        Targets { rows: plans.iter().cloned().map(TargetRows::new).collect(), probing }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Their groups, in their order; `own` are the labels of the agent.
    #[must_use]
    pub fn groups(&self, own: &LabelSet) -> Vec<Group> {
        let group = |(rows, id): (&TargetRows, u32)| {
            let labels = rows.labels();
            let shown = labels.iter().filter(|(name, value)| own.get(name) != Some(value));
            let shown = LabelSet::new(shown).unwrap_or_default();
            Group { id: GroupId(id), table: rows.table(), due: false, shown }
        };
        self.rows.iter().zip(GroupId::TARGETS.0..).map(group).collect()
    }

    /// Takes what has come; groups of targets with a result are due. Returns how many results were
    /// given up, since newer ones waited.
    pub fn take(&mut self, groups: &mut [Group]) -> u64 {
        let mut dropped = self.probing.take_lost();
        for (place, sight) in self.probing.take() {
            dropped += self.rows.get_mut(place).map_or(0, |rows| rows.push(sight));
        }
        for (rows, group) in self.rows.iter().zip(groups) {
            group.due = rows.is_due();
        }
        dropped
    }

    /// Fills the rows that are due.
    pub fn fill(&mut self, groups: &mut [Group]) {
        for (rows, group) in self.rows.iter_mut().zip(groups).filter(|(_, group)| group.due) {
            rows.fill(&mut group.table);
        }
    }

    /// Takes over from the targets of an earlier configuration, `theirs` being all their groups:
    /// those with the same labels go on, others get numbers that were not in use.
    pub fn succeed(&mut self, old: Targets, mut theirs: Vec<Group>, groups: &mut [Group]) {
        let in_use: BTreeSet<GroupId> = theirs.iter().map(|group| group.id).collect();
        let mut old: Vec<Option<TargetRows>> = old.rows.into_iter().map(Some).collect();
        let mut is_new = vec![true; groups.len()];
        for ((rows, group), is_new) in self.rows.iter_mut().zip(&mut *groups).zip(&mut is_new) {
            let is_it = |held: &Option<TargetRows>| {
                held.as_ref().is_some_and(|held| held.labels() == rows.labels())
            };
            let Some(held) = old.iter_mut().find(|held| is_it(held)).and_then(Option::take) else {
                continue;
            };
            let place = theirs.iter().position(|their| {
                their.id >= GroupId::TARGETS && their.table.target() == rows.labels()
            });
            let Some(their) = place.map(|place| theirs.swap_remove(place)) else { continue };
            rows.succeed(held);
            (group.id, group.table) = (their.id, their.table);
            *is_new = false;
        }
        let mut taken: BTreeSet<GroupId> = groups
            .iter()
            .zip(&is_new)
            .filter(|(_, is_new)| !**is_new)
            .map(|(group, _)| group.id)
            .collect();
        for (group, _) in groups.iter_mut().zip(is_new).filter(|(_, is_new)| *is_new) {
            let all = || (GroupId::TARGETS.0..limit::GROUPS).map(GroupId);
            let free = all().find(|id| !in_use.contains(id) && !taken.contains(id));
            // Two reloads between two ticks may have used up all numbers: an old group then ends
            // with the first row of the new one.
            let id = free.or_else(|| all().find(|id| !taken.contains(id)));
            group.id = id.unwrap_or(group.id);
            taken.insert(group.id);
        }
    }
}
