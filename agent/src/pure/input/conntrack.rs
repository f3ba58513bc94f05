//! `/proc/sys/net/netfilter` and `/proc/net/stat/nf_conntrack`: the table of tracked connections.
//!
//! A host that tracks none has no such files and no such series. The statistics are hexadecimal,
//! a line for each processor, summed here; they are gauges as node_exporter has them.

use crate::pure::family::FamilySpec;
use crate::pure::files::{FileId, ReadError, Refresh, Root};
use crate::pure::input::singles::Singles;
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "conntrack",
    about: "connections tracked, how many there may be, and what became of packets",
    files: &[COUNT, MAX, STAT],
    is_default: true,
    filters: &[],
    pace: Pace::Common,
    families: FAMILIES,
    make: |setup| Box::new(Conntrack::new(setup)),
};
const COUNT: &str = "sys/net/netfilter/nf_conntrack_count";
const MAX: &str = "sys/net/netfilter/nf_conntrack_max";
const STAT: &str = "net/stat/nf_conntrack";
/// Entries and limit, then in the order of [`WORDS`].
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::gauge("node_nf_conntrack_entries", "Connections tracked."),
    FamilySpec::gauge("node_nf_conntrack_entries_limit", "Connections that may be tracked."),
    FamilySpec::gauge("node_nf_conntrack_stat_found", "Lookups that found an entry."),
    FamilySpec::gauge("node_nf_conntrack_stat_invalid", "Packets that cannot be tracked."),
    FamilySpec::gauge("node_nf_conntrack_stat_ignore", "Packets of connections already known."),
    FamilySpec::gauge("node_nf_conntrack_stat_insert", "Entries inserted."),
    FamilySpec::gauge("node_nf_conntrack_stat_insert_failed", "Entries that were there already."),
    FamilySpec::gauge("node_nf_conntrack_stat_drop", "Packets dropped for want of an entry."),
    FamilySpec::gauge("node_nf_conntrack_stat_early_drop", "Entries dropped to make room."),
    FamilySpec::gauge(
        "node_nf_conntrack_stat_search_restart",
        "Lookups begun again because the table was resized.",
    ),
];
/// Words of the heading.
const WORDS: [&[u8]; 8] = [
    b"found",
    b"invalid",
    b"ignore",
    b"insert",
    b"insert_failed",
    b"drop",
    b"early_drop",
    b"search_restart",
];
/// Places in [`FAMILIES`] before the first word's.
const BEFORE: usize = 2;

struct Conntrack {
    count: FileId,
    max: FileId,
    stat: FileId,
    series: Singles,
}

impl Conntrack {
    fn new(setup: &mut Setup<'_>) -> Conntrack {
        let mut ask = |path| setup.files.ask(Root::Proc, path, Refresh::EachRow);
        let (count, max, stat) = (ask(COUNT), ask(MAX), ask(STAT));
        Conntrack { count, max, stat, series: Singles::new(FAMILIES) }
    }
}

impl Input for Conntrack {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        for (place, (file, path)) in [(self.count, COUNT), (self.max, MAX)].into_iter().enumerate()
        {
            let text = match files.bytes(file) {
                Err(ReadError::Missing) => return Err(InputError::Absent),
                _ => files.needed(file)?,
            };
            let value = scan::integer(scan::trim(text))
                .ok_or_else(|| InputError::parse(path, 1, "a whole number expected"))?;
            self.series.set(place, scan::float(value), row)?;
        }
        let text = match files.bytes(self.stat) {
            Err(ReadError::Missing) => return Ok(()),
            _ => files.needed(self.stat)?,
        };
        let mut sums = [None; WORDS.len()];
        let mut lines = scan::lines(text);
        let heading = lines.next().map_or(&[][..], |(_, line)| line);
        for (number, line) in lines {
            let mut values = scan::fields(line);
            for word in scan::fields(heading) {
                let value = values.next().and_then(scan::hexadecimal).ok_or_else(|| {
                    InputError::parse(STAT, number, "a hexadecimal number for each word expected")
                })?;
                if let Some(place) = WORDS.iter().position(|wanted| *wanted == word)
                    && let Some(sum) = sums.get_mut(place)
                {
                    *sum = Some(sum.unwrap_or(0_u64).saturating_add(value));
                }
            }
        }
        for (place, sum) in sums.into_iter().enumerate() {
            if let Some(sum) = sum {
                self.series.set(BEFORE + place, scan::float(sum), row)?;
            }
        }
        Ok(())
    }
}
