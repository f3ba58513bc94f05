//! A counter for verifying delivery: no two rows of one agent have the same value.
//!
//! The value is the incarnation · 2³² + n, and n is one more in each row. It is exact in a float as
//! long as the incarnation is below 2²¹.

use crate::pure::columns::Column;
use crate::pure::family::{Family, FamilySpec};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "sequence",
    about: "one more in each row, for verifying delivery; rows_per_second may be 1 to 100",
    files: &[],
    is_default: false,
    filters: &[],
    pace: Pace::Rows,
    families: FAMILIES,
    make: |setup| Box::new(Sequence::new(setup)),
};
const FAMILIES: &[FamilySpec] = &[FamilySpec::gauge(
    "bellwether_agent_sequence",
    "One more in each row; the run of the agent is in the bits above 2^32.",
)];

struct Sequence {
    value: u64,
    column: Option<Column>,
}

impl Sequence {
    fn new(setup: &mut Setup<'_>) -> Sequence {
        Sequence { value: u64::from(setup.facts.incarnation.0) << 32, column: None }
    }
}

impl Input for Sequence {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        self.value += 1;
        for family in FAMILIES {
            let column = match self.column {
                Some(column) => column,
                None => *self.column.insert(at.row.add(Family::new(family).column(&[])?)),
            };
            at.row.set(column, scan::float(self.value));
        }
        Ok(())
    }
}
