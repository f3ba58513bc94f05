//! `/proc/net/arp`: neighbours known on each interface.

use crate::pure::columns::Column;
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{FileId, Refresh, Root};
use crate::pure::filter::{FilterSpec, NameFilter};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::Roster;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "arp",
    about: "neighbours known on each network interface",
    files: &[PATH],
    is_default: true,
    filters: &[FilterSpec::DEVICES],
    pace: Pace::Slow,
    families: FAMILIES,
    make: |setup| Box::new(Arp::new(setup)),
};
const PATH: &str = "net/arp";
const FAMILIES: &[FamilySpec] = &[ENTRIES];
const ENTRIES: FamilySpec = FamilySpec::gauge("node_arp_entries", "Neighbours known.");

struct Arp {
    file: FileId,
    filter: NameFilter,
    /// `None` for a device that is left out.
    devices: Roster<Option<(Column, u64)>>,
}

impl Arp {
    fn new(setup: &mut Setup<'_>) -> Arp {
        let file = setup.files.ask(Root::Proc, PATH, Refresh::EachRow);
        Arp { file, filter: setup.filter(0), devices: Roster::default() }
    }
}

impl Input for Arp {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        self.devices.begin();
        self.devices.iter_mut().for_each(|(_, kept)| {
            if let Some((_, entries)) = kept {
                *entries = 0;
            }
        });
        // One line of headings.
        for (_, line) in scan::lines(files.needed(self.file)?).skip(1) {
            let Some(device) = scan::fields(line).last() else { continue };
            let kept = match self.devices.find(device) {
                Some(kept) => kept,
                None => {
                    let kept = match self.filter.takes(device) {
                        true => {
                            let name = String::from_utf8_lossy(device);
                            let family = Family::new(&ENTRIES);
                            Some((row.add(family.column(&[("device", &name)])?), 0))
                        }
                        false => None,
                    };
                    self.devices.add(device, kept).ok_or(InputError::TooManyDevices)?
                }
            };
            if let Some((_, entries)) = kept {
                *entries += 1;
            }
        }
        self.devices.take_gone(|kept| {
            if let Some((column, _)) = kept {
                row.end(column);
            }
        });
        for (_, kept) in self.devices.iter_mut() {
            if let Some((column, entries)) = kept {
                row.set(*column, scan::float(*entries));
            }
        }
        Ok(())
    }
}
