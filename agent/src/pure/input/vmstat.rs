//! `/proc/vmstat`: events of the memory management, under the kernel's names.
//!
//! By default those that node_exporter gives: faults, paging, swapping, processes killed for want
//! of memory. The kernel's list mixes counters and levels, hence no type.

use bellwether_model::series::MetricType;

use crate::pure::columns::Column;
use crate::pure::family::Family;
use crate::pure::files::{FileId, Refresh, Root};
use crate::pure::filter::{FilterSpec, NameFilter};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "vmstat",
    about: "fields of /proc/vmstat as node_vmstat_<field>: faults, paging, swapping",
    files: &[PATH],
    is_default: true,
    filters: &[FilterSpec::FIELDS.only("^(oom_kill|pgpg|pswp|pg.*fault).*")],
    pace: Pace::Common,
    families: &[],
    make: |setup| Box::new(Vmstat::new(setup)),
};
const PATH: &str = "vmstat";

struct Vmstat {
    file: FileId,
    filter: NameFilter,
    /// `None` for a field that is left out.
    fields: Roster<Option<Column>>,
}

impl Vmstat {
    fn new(setup: &mut Setup<'_>) -> Vmstat {
        let file = setup.files.ask(Root::Proc, PATH, Refresh::EachRow);
        Vmstat { file, filter: setup.filter(0), fields: Roster::default() }
    }
}

impl Input for Vmstat {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        self.fields.begin();
        for (number, line) in scan::lines(files.needed(self.file)?) {
            let mut words = scan::fields(line);
            let Some(name) = words.next() else { continue };
            let column = match self.fields.find(name) {
                Some(column) => *column,
                None => {
                    let column = match self.filter.takes(name) {
                        true => Some(row.add(family(name).column(&[])?)),
                        false => None,
                    };
                    *self.fields.add(name, column).ok_or(InputError::TooManyDevices)?
                }
            };
            let Some(column) = column else { continue };
            let value = words
                .next()
                .and_then(scan::signed)
                .ok_or_else(|| InputError::parse(PATH, number, "a whole number expected"))?;
            row.set(column, scan::signed_float(value));
        }
        self.fields.take_gone(|column| {
            if let Some(column) = column {
                row.end(column);
            }
        });
        Ok(())
    }
}

fn family(field: &[u8]) -> Family {
    let field = super::metric_word(field);
    let name = format!("node_vmstat_{field}");
    Family::named(&name, MetricType::Untyped, &format!("The field {field} of /proc/vmstat."))
}
