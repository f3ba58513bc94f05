//! The column group of one target: its results as they wait, its columns, its row.

use std::collections::VecDeque;

use bellwether_model::label::{LabelSet, METRIC_NAME};
use bellwether_model::wire::table::{ColumnIndex, Table};

use super::series::series;
use super::{Sight, TargetPlan};
use crate::pure::family::Family;

/// Results of one target that wait for their tick. A probe may end just before a tick and the next
/// one just after it; more than this wait only where ticks are missed.
pub const WAITING_MAX: usize = 4;

/// A target's group.
#[derive(Debug)]
pub struct TargetRows {
    plan: TargetPlan,
    /// The columns, each by its labels, the metric's name among them.
    columns: Vec<(LabelSet, ColumnIndex)>,
    waiting: VecDeque<Sight>,
}

impl TargetRows {
    /// Nothing is known of the target yet.
    #[must_use]
    pub fn new(plan: TargetPlan) -> TargetRows {
        TargetRows { plan, columns: Vec::new(), waiting: VecDeque::new() }
    }

    /// The labels of the target.
    #[must_use]
    pub fn labels(&self) -> &LabelSet {
        &self.plan.labels
    }

    /// A table without columns.
    #[must_use]
    pub fn table(&self) -> Table {
        Table::new(self.plan.labels.clone(), self.plan.interval)
    }

    /// Takes over from the same target under another plan: columns and results that wait go on,
    /// rows come at the new pace.
    pub fn succeed(&mut self, old: TargetRows, table: &mut Table) {
        (self.columns, self.waiting) = (old.columns, old.waiting);
        table.set_cadence(self.plan.interval);
    }

    /// How many results wait for a row.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a result. Returns how many were given up for it.
    pub fn push(&mut self, sight: Sight) -> u64 {
        self.waiting.push_back(sight);
        let too_many = self.waiting.len() > WAITING_MAX;
        u64::from(too_many && self.waiting.pop_front().is_some())
    }

    /// Whether a result waits for a row.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Fills the row that has begun with the oldest result; columns of what it does not tell end.
    pub fn fill(&mut self, table: &mut Table) {
        let Some(sight) = self.waiting.pop_front() else { return };
        let mut before = std::mem::take(&mut self.columns);
        for sample in series(&sight, self.plan.timeout) {
            let name = sample.family.name;
            let labels: Vec<(&str, &str)> =
                sample.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let (key, index) = match before.iter().position(|(key, _)| is(key, name, &labels)) {
                Some(place) => before.swap_remove(place),
                None => {
                    let spec = Family::new(sample.family).column(&labels);
                    let spec = spec.expect("invariant: what becomes a label is bounded");
                    (spec.labels.clone(), table.add(spec))
                }
            };
            table.set(index, sample.value);
            self.columns.push((key, index));
        }
        before.into_iter().for_each(|(_, index)| table.end(index));
    }
}

/// Whether a set of labels is that name with those labels; one that is empty is none.
fn is(key: &LabelSet, name: &str, labels: &[(&str, &str)]) -> bool {
    key.len() == labels.iter().filter(|(_, value)| !value.is_empty()).count() + 1
        && key.iter().all(|label| label == (METRIC_NAME, name) || labels.contains(&label))
}

#[cfg(test)]
mod tests {
    use bellwether_model::series::is_absent;

    use super::super::tests::{answered, target};
    use super::*;

    #[test]
    fn columns_come_and_go_with_what_is_told() {
        let mut rows = TargetRows::new(target("https://a/"));
        let mut table = rows.table();
        assert!(!rows.is_due());
        rows.push(answered());
        rows.fill(&mut table);
        let all = table.live();
        assert_eq!(all, 7 + 12 + 5);
        assert!(table.values().iter().all(|value| !is_absent(*value)));
        // The same again changes no column.
        rows.push(answered());
        rows.fill(&mut table);
        assert_eq!((table.live(), table.columns().len()), (all, all));
        let mut failed = answered();
        (failed.tls, failed.http) = (None, Some(super::super::HttpSight::default()));
        rows.push(failed);
        rows.fill(&mut table);
        assert_eq!(table.live(), 7 + 11);
        // Another plan of the same target goes on with its columns.
        let mut next = TargetRows::new(target("https://a/"));
        next.succeed(rows, &mut table);
        next.push(answered());
        next.fill(&mut table);
        assert_eq!(table.live(), all);
    }

    #[test]
    fn a_certificate_without_a_subject_has_one_series() {
        let mut rows = TargetRows::new(target("https://a/"));
        let mut table = rows.table();
        let mut sight = answered();
        let leaf = sight.tls.as_mut().unwrap().chain.first_mut().unwrap();
        (leaf.subject, leaf.names) = (String::new(), Vec::new());
        rows.push(sight.clone());
        rows.fill(&mut table);
        let columns = table.columns().to_vec();
        rows.push(sight);
        rows.fill(&mut table);
        assert_eq!(table.columns(), columns);
        assert_eq!(table.edits().len(), columns.len(), "each column was added once");
    }

    #[test]
    fn results_that_wait_are_bounded_and_come_in_order() {
        let mut rows = TargetRows::new(target("http://a/"));
        let given_up: u64 = (0..WAITING_MAX + 2)
            .map(|redirects| {
                let mut sight = answered();
                let http = sight.http.as_mut().unwrap();
                http.redirects = u32::try_from(redirects).unwrap();
                rows.push(sight)
            })
            .sum();
        assert_eq!(given_up, 2);
        let mut table = rows.table();
        rows.fill(&mut table);
        let redirects = table.columns().iter().zip(table.values()).find_map(|(column, value)| {
            (column.as_ref()?.labels.name() == "probe_http_redirects").then_some(*value)
        });
        assert_eq!(redirects, Some(2.0), "the oldest that is left");
    }
}
