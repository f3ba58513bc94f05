//! `/proc/loadavg`: the three load averages.

use crate::pure::columns::Column;
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{FileId, Refresh, Root};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "loadavg",
    about: "load averages over 1, 5 and 15 minutes",
    files: &[PATH],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Loadavg::new(setup)),
};
const PATH: &str = "loadavg";
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::gauge("node_load1", "Load average over 1 minute."),
    FamilySpec::gauge("node_load5", "Load average over 5 minutes."),
    FamilySpec::gauge("node_load15", "Load average over 15 minutes."),
];

struct Loadavg {
    file: FileId,
    columns: Vec<Column>,
}

impl Loadavg {
    fn new(setup: &mut Setup<'_>) -> Loadavg {
        let file = setup.files.ask(Root::Proc, PATH, Refresh::EachRow);
        Loadavg { file, columns: Vec::new() }
    }
}

impl Input for Loadavg {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let text = at.files.needed(self.file)?;
        let mut loads = [0.0; 3];
        let mut fields = scan::fields(text);
        for load in &mut loads {
            *load = fields
                .next()
                .and_then(scan::decimal)
                .ok_or_else(|| InputError::parse(PATH, 1, "three load averages expected"))?;
        }
        if self.columns.is_empty() {
            for family in FAMILIES {
                self.columns.push(at.row.add(Family::new(family).column(&[])?));
            }
        }
        self.columns.iter().zip(loads).for_each(|(column, load)| at.row.set(*column, load));
        Ok(())
    }
}
