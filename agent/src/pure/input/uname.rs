//! `node_uname_info` from `/proc/sys/kernel`: what `uname` returns, as files, so that another root
//! gives another host. The labels change with the host name.

use crate::pure::columns::Column;
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{FileId, Refresh, Root};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "uname",
    about: "names and versions of the system, as uname gives them",
    files: &["sys/kernel/*"],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Uname::new(setup)),
};
const FAMILIES: &[FamilySpec] =
    &[FamilySpec::gauge("node_uname_info", "Names and versions of the system, in labels.")];
/// Label and file.
const FIELDS: [(&str, &str); 6] = [
    ("domainname", "sys/kernel/domainname"),
    ("machine", "sys/kernel/arch"),
    ("nodename", "sys/kernel/hostname"),
    ("release", "sys/kernel/osrelease"),
    ("sysname", "sys/kernel/ostype"),
    ("version", "sys/kernel/version"),
];
/// Names change by hand only.
const REFRESH: Refresh = Refresh::Every(std::time::Duration::from_secs(15));
/// Kernels before 6.1 have no such file.
const OPTIONAL: &str = "machine";

struct Uname {
    files: [FileId; FIELDS.len()],
    machine: String,
    shown: Option<([Vec<u8>; FIELDS.len()], Column)>,
}

impl Uname {
    fn new(setup: &mut Setup<'_>) -> Uname {
        let files = FIELDS.map(|(_, path)| setup.files.ask(Root::Proc, path, REFRESH));
        Uname { files, machine: setup.facts.machine.clone(), shown: None }
    }
}

impl Input for Uname {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        let mut values = [&[][..]; FIELDS.len()];
        for ((value, file), (label, _)) in values.iter_mut().zip(self.files).zip(FIELDS) {
            *value = match files.needed(file) {
                Err(_) if label == OPTIONAL => self.machine.as_bytes(),
                text => scan::trim(text?),
            };
        }
        if let Some((shown, column)) = &self.shown {
            if shown.iter().zip(values).all(|(shown, value)| shown == value) {
                row.set(*column, 1.0);
                return Ok(());
            }
            row.end(*column);
        }
        let text = values.map(String::from_utf8_lossy);
        let labels: Vec<(&str, &str)> =
            FIELDS.iter().zip(&text).map(|((label, _), value)| (*label, &**value)).collect();
        for family in FAMILIES {
            let column = row.add(Family::new(family).column(&labels)?);
            row.set(column, 1.0);
            self.shown = Some((values.map(<[u8]>::to_vec), column));
        }
        Ok(())
    }
}
