//! `/proc/sys/kernel/random`: the kernel's pool of entropy.

use crate::pure::family::FamilySpec;
use crate::pure::files::{FileId, Refresh, Root};
use crate::pure::input::singles::Singles;
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "entropy",
    about: "bits of entropy that the kernel has, and the size of its pool",
    files: &PATHS,
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Entropy::new(setup)),
};
/// In the order of [`FAMILIES`].
const PATHS: [&str; 2] = ["sys/kernel/random/entropy_avail", "sys/kernel/random/poolsize"];
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::gauge("node_entropy_available_bits", "Bits of entropy that the kernel has."),
    FamilySpec::gauge("node_entropy_pool_size_bits", "Bits of entropy that the pool can hold."),
];

struct Entropy {
    files: [FileId; PATHS.len()],
    series: Singles,
}

impl Entropy {
    fn new(setup: &mut Setup<'_>) -> Entropy {
        let files = PATHS.map(|path| setup.files.ask(Root::Proc, path, Refresh::EachRow));
        Entropy { files, series: Singles::new(FAMILIES) }
    }
}

impl Input for Entropy {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        for (place, (file, path)) in self.files.into_iter().zip(PATHS).enumerate() {
            let bits = scan::integer(scan::trim(files.needed(file)?))
                .ok_or_else(|| InputError::parse(path, 1, "a whole number expected"))?;
            self.series.set(place, scan::float(bits), row)?;
        }
        Ok(())
    }
}
