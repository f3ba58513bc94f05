//! `/proc/sys/fs/file-nr`: open files of the whole host.

use crate::pure::family::FamilySpec;
use crate::pure::files::{FileId, Refresh, Root};
use crate::pure::input::singles::Singles;
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "filefd",
    about: "open files of the host, and how many there may be",
    files: &[PATH],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Filefd::new(setup)),
};
const PATH: &str = "sys/fs/file-nr";
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::gauge("node_filefd_allocated", "Open files."),
    FamilySpec::gauge("node_filefd_maximum", "Open files that there may be."),
];

struct Filefd {
    file: FileId,
    series: Singles,
}

impl Filefd {
    fn new(setup: &mut Setup<'_>) -> Filefd {
        let file = setup.files.ask(Root::Proc, PATH, Refresh::EachRow);
        Filefd { file, series: Singles::new(FAMILIES) }
    }
}

impl Input for Filefd {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        let mut fields = scan::fields(files.needed(self.file)?);
        // The second counted free places, of which kernels since 2.6 have none.
        let (Some(allocated), Some(_), Some(maximum)) =
            (fields.integer(), fields.integer(), fields.integer())
        else {
            return Err(InputError::parse(PATH, 1, "three whole numbers expected"));
        };
        self.series.set(0, scan::float(allocated), row)?;
        self.series.set(1, scan::float(maximum), row)
    }
}
