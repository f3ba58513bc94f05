//! What rules write: journalled and laid into the store as an agent's rows are.

use std::sync::Arc;

use bellwether_model::id::{GroupId, Position};
use bellwether_model::label::LabelSet;
use bellwether_model::limit;
use bellwether_model::select::Metadata;
use bellwether_model::time::Timestamp;
use bellwether_model::wire::table::ColumnIndex;
use bellwether_store::{Definition, LaneId, Source};

use super::super::control::evaluation::{Evaluation, GroupKey};
use super::super::control::held::HeldRules;
use super::super::entry::Entry;
use super::super::guard;
use super::super::guard::state::GuardState;
use super::super::notify::record::Record;
use super::super::notify::state::NotifyState;
use super::{Batch, EntryClass, JournalClosed, Keeper};

impl Keeper {
    /// Journals and applies an entry of the control machine. `None` without room: nothing is done.
    ///
    /// # Errors
    /// The journal has failed.
    ///
    /// # Panics
    /// The bytes are none of the control machine's entries.
    pub fn record(
        &mut self,
        bytes: &[u8],
        batch: &mut dyn Batch,
    ) -> Result<Option<Position>, JournalClosed> {
        if !batch.has_room(bytes.len()) {
            return Ok(None);
        }
        let entry = Entry::read(bytes).expect("invariant: what was written can be read");
        let position = batch.push(EntryClass::Control, bytes)?;
        match entry {
            Entry::Evaluation(evaluation) => self.evaluation(&evaluation, position),
            Entry::GroupEnd { group, at } => self.group_end(&group, at, position),
            Entry::Notices(records) => self.notices(&records),
            Entry::Rollouts(records) => self.rollouts(&records),
            other => panic!("invariant: an entry of the control machine, not {other:?}"),
        }
        self.writer.publish(position);
        Ok(Some(position))
    }

    /// What rules have come to.
    #[must_use]
    pub fn rules(&self) -> &HeldRules {
        &self.rules
    }

    /// What receivers were told.
    #[must_use]
    pub fn notify(&self) -> &NotifyState {
        &self.notify
    }

    /// What is known of rollouts.
    #[must_use]
    pub fn guard(&self) -> &GuardState {
        &self.guard
    }

    /// Takes changes of rollouts.
    pub(super) fn rollouts(&mut self, records: &[guard::record::Record]) {
        records.iter().for_each(|record| self.guard.apply(record));
    }

    /// Takes changes of what receivers are told.
    pub(super) fn notices(&mut self, records: &[Record]) {
        records.iter().for_each(|record| self.notify.apply(record));
    }

    /// Takes a group's slot.
    pub(super) fn evaluation(&mut self, evaluation: &Evaluation, position: Position) {
        if self.rules.apply(evaluation).is_err() {
            self.stats.lost_evaluations += 1;
            return;
        }
        let lane = self.group_lane(&evaluation.group);
        let refused = if evaluation.number == 0 {
            let mut columns: Vec<Option<Definition>> = Vec::new();
            for (place, column) in &evaluation.columns {
                let place = *place as usize;
                if place < limit::COLUMNS && place < evaluation.values.len() {
                    columns.resize(columns.len().max(place + 1), None);
                    columns.get_mut(place).into_iter().for_each(|at| *at = definition(column));
                }
            }
            self.writer.define(lane, &columns, usize::MAX).len()
        } else {
            let mut refused = 0;
            for (place, column) in &evaluation.columns {
                match definition(column) {
                    None => self.writer.end(lane, ColumnIndex(*place)),
                    Some(column) => {
                        let added = self.writer.add(lane, ColumnIndex(*place), column);
                        refused += usize::from(added.is_some());
                    }
                }
            }
            refused
        };
        self.stats.refused_series += refused as u64;
        self.writer.append(lane, position, evaluation.time, &evaluation.values);
    }

    /// Ends all series of a group that is gone.
    pub(super) fn group_end(&mut self, group: &GroupKey, at: Timestamp, position: Position) {
        let slot = self.rules.get(group).map_or(at, |held| held.slot());
        self.rules.remove(group);
        let Some(source) = self.groups.get(group).copied() else { return };
        let lane = self.group_lane(group);
        self.writer.define(lane, &[], usize::MAX);
        self.writer.append(lane, position, at.max(Timestamp(slot.0.saturating_add(1))), &[]);
        self.writer.forget(source);
        self.groups.remove(group);
    }

    fn group_lane(&mut self, group: &GroupKey) -> LaneId {
        let source: Source = match self.groups.get(group) {
            Some(source) => *source,
            None => self.new_source(),
        };
        self.groups.insert(group.clone(), source);
        // A series of a rule ends by a marker, never by silence.
        self.writer.unmarked(source);
        self.writer.lane(source, GroupId(0))
    }
}

fn definition(column: &Option<(u32, LabelSet)>) -> Option<Definition> {
    let (_, labels) = column.as_ref()?;
    Some(Definition { labels: labels.clone(), metadata: Arc::new(Metadata::default()) })
}
