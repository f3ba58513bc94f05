//! The columns of one input within the table it shares with others of the same cadence.
//!
//! An input has a bound; what does not fit is counted, the rest is kept, and the input is unhealthy
//! as long as something is left out.

use bellwether_model::limit;
use bellwether_model::series::ABSENT;
use bellwether_model::wire::table::{ColumnIndex, ColumnSpec, Table};

/// A column, or the lack of one where the input's bound was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Column(Option<ColumnIndex>);

/// Which columns of a table are one input's.
#[derive(Debug)]
pub struct Owned {
    columns: Vec<ColumnIndex>,
    max: usize,
    left_out: usize,
    refused: u64,
}

impl Owned {
    /// No columns yet, at most `max`.
    #[must_use]
    pub fn new(max: usize) -> Owned {
        Owned { columns: Vec::new(), max, left_out: 0, refused: 0 }
    }

    /// Columns that the bound keeps out now.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Columns refused since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Columns now.
    #[must_use]
    pub fn live(&self) -> usize {
        self.columns.len()
    }

    /// Leaves the input out of the current row.
    pub fn blank(&self, table: &mut Table) {
        self.columns.iter().for_each(|column| table.set(*column, ABSENT));
    }

    /// Ends all columns.
    pub fn end_all(&mut self, table: &mut Table) {
        self.columns.drain(..).for_each(|column| table.end(column));
        self.left_out = 0;
    }
}

/// The current row as one input sees it.
#[derive(Debug)]
pub struct Row<'a> {
    table: &'a mut Table,
    owned: &'a mut Owned,
}

impl<'a> Row<'a> {
    /// The row of `table` for the owner of `owned`.
    pub fn new(table: &'a mut Table, owned: &'a mut Owned) -> Row<'a> {
        Row { table, owned }
    }

    /// Adds a column, if the bounds of the input and of the table allow.
    pub fn add(&mut self, spec: ColumnSpec) -> Column {
        let is_full = self.table.columns().len() >= limit::COLUMNS;
        if is_full || self.owned.columns.len() >= self.owned.max {
            self.owned.left_out += 1;
            self.owned.refused += 1;
            return Column(None);
        }
        let index = self.table.add(spec);
        self.owned.columns.push(index);
        Column(Some(index))
    }

    /// Ends a column.
    pub fn end(&mut self, column: Column) {
        match column.0 {
            None => self.owned.left_out = self.owned.left_out.saturating_sub(1),
            Some(index) => {
                self.owned.columns.retain(|other| *other != index);
                self.table.end(index);
            }
        }
    }

    /// Sets a value of the row.
    pub fn set(&mut self, column: Column, value: f64) {
        if let Some(index) = column.0 {
            self.table.set(index, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bellwether_model::label::LabelSet;
    use bellwether_model::series::{MetricType, is_absent};

    use super::*;
    use crate::pure::family::Family;

    #[test]
    fn a_bound_leaves_out_counts_and_lets_in_again() {
        let mut table = Table::new(LabelSet::default(), Duration::from_secs(1));
        let mut owned = Owned::new(2);
        let family = Family::named("x", MetricType::Gauge, "");
        let mut row = Row::new(&mut table, &mut owned);
        let columns: Vec<Column> = ["a", "b", "c"]
            .into_iter()
            .map(|device| row.add(family.column(&[("device", device)]).unwrap()))
            .collect();
        columns.iter().for_each(|column| row.set(*column, 1.0));
        assert_eq!((owned.live(), owned.left_out(), owned.refused()), (2, 1, 1));
        owned.blank(&mut table);
        assert!(table.values().iter().all(|value| is_absent(*value)));
        let mut row = Row::new(&mut table, &mut owned);
        row.end(columns[0]);
        row.end(columns[2]);
        assert_eq!((owned.live(), owned.left_out()), (1, 0));
        owned.end_all(&mut table);
        assert_eq!((owned.live(), table.live()), (0, 0));
    }
}
