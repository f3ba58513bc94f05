//! Series without labels, one for each family of a list; each begins with its first value.

use crate::pure::columns::{Column, Row};
use crate::pure::family::{Family, FamilySpec};
use crate::pure::input::InputError;

pub(super) struct Singles {
    families: &'static [FamilySpec],
    columns: Vec<Option<Column>>,
}

impl Singles {
    pub(super) fn new(families: &'static [FamilySpec]) -> Singles {
        Singles { families, columns: vec![None; families.len()] }
    }

    /// Sets the value of the family at `place` of the list.
    pub(super) fn set(
        &mut self,
        place: usize,
        value: f64,
        row: &mut Row<'_>,
    ) -> Result<(), InputError> {
        let (Some(column), Some(family)) = (self.columns.get_mut(place), self.families.get(place))
        else {
            return Ok(());
        };
        let column = match column {
            Some(column) => *column,
            None => *column.insert(row.add(Family::new(family).column(&[])?)),
        };
        row.set(column, value);
        Ok(())
    }
}
