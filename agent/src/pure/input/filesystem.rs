//! Space and inodes of each mounted file system.
//!
//! What is mounted is read from the first process's `mountinfo`, so that the agent's own name space
//! does not hide anything, else from the agent's own. How full a file system is its server or
//! device tells, which may take for ever: the answer is learned apart. A mount without an answer
//! is marked in `node_filesystem_device_error` and in the label `device_error`, and has its other
//! series again once it answers.

mod mounts;

use std::collections::BTreeMap;

use mounts::{Mount, MountKey};

use crate::pure::columns::{Column, Row};
use crate::pure::family::{Family, FamilySpec};
use crate::pure::files::{Asks, FileId, ReadError, Refresh, Root};
use crate::pure::filter::{FilterSpec, NameFilter};
use crate::pure::input::{Collect, Input, InputError, InputSpec, Pace, Setup};
use crate::pure::roster::NAMES_MAX;
use crate::pure::scan;

pub(super) const SPEC: InputSpec = InputSpec {
    name: "filesystem",
    about: "space and inodes of each mounted file system; a mount that hangs is marked",
    files: &[FIRST, OWN],
    is_default: true,
    filters: &[
        FilterSpec {
            include_key: "mount_point_include",
            exclude_key: "mount_point_exclude",
            include: "",
            exclude: "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+\
                |var/lib/containers/storage/.+)($|/)",
        },
        FilterSpec {
            include_key: "fs_type_include",
            exclude_key: "fs_type_exclude",
            include: "",
            exclude: "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl\
                |hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs\
                |selinuxfs|squashfs|sysfs|tracefs)$",
        },
    ],
    pace: Pace::Slow,
    families: FAMILIES,
    make: |setup| Box::new(Filesystem::new(setup)),
};
const FIRST: &str = "1/mountinfo";
const OWN: &str = "self/mountinfo";
/// What every mount has, then in the order of the answer.
const FAMILIES: &[FamilySpec] = &[
    FamilySpec::gauge("node_filesystem_device_error", "Whether the mount gave no answer."),
    FamilySpec::gauge("node_filesystem_readonly", "Whether it is mounted for reading only."),
    FamilySpec::gauge("node_filesystem_size_bytes", "Size in bytes."),
    FamilySpec::gauge("node_filesystem_free_bytes", "Bytes free, those for root included."),
    FamilySpec::gauge("node_filesystem_avail_bytes", "Bytes free for users."),
    FamilySpec::gauge("node_filesystem_files", "Inodes in all."),
    FamilySpec::gauge("node_filesystem_files_free", "Inodes free."),
];
const ANSWERS: usize = 5;

struct Filesystem {
    first: FileId,
    own: Option<FileId>,
    filters: [NameFilter; 2],
    families: Vec<Family>,
    /// The list of mounts as last read.
    text: Vec<u8>,
    mounts: BTreeMap<MountKey, Followed>,
}

/// A mount that is followed.
struct Followed {
    is_readonly: bool,
    space: FileId,
    shown: Option<Shown>,
}

struct Shown {
    /// Why there is no answer; empty if there is one.
    error: String,
    columns: Vec<Column>,
}

impl Filesystem {
    fn new(setup: &mut Setup<'_>) -> Filesystem {
        Filesystem {
            first: setup.files.ask(Root::Proc, FIRST, Refresh::EachRow),
            own: None,
            filters: [setup.filter(0), setup.filter(1)],
            families: FAMILIES.iter().map(Family::new).collect(),
            text: Vec::new(),
            mounts: BTreeMap::new(),
        }
    }

    /// Follows the mounts of a list, and those no more that are not in it.
    fn follow(
        &mut self,
        mounts: Vec<Mount>,
        files: &mut Asks<'_>,
        row: &mut Row<'_>,
    ) -> Result<(), InputError> {
        let mut before = std::mem::take(&mut self.mounts);
        let [points, types] = &self.filters;
        let mut has_left_out = false;
        for Mount { key, is_readonly } in mounts {
            let is_taken = points.takes(key.point.as_bytes()) && types.takes(key.kind.as_bytes());
            // Of equal ones the first is taken: their series would be equal.
            if !is_taken || self.mounts.contains_key(&key) {
                continue;
            }
            if self.mounts.len() >= NAMES_MAX {
                has_left_out = true;
                break;
            }
            let followed = match before.remove(&key) {
                Some(followed) => Followed { is_readonly, ..followed },
                None => Followed { is_readonly, space: files.ask_space(&key.point), shown: None },
            };
            self.mounts.insert(key, followed);
        }
        for followed in before.into_values() {
            files.release(followed.space);
            followed.shown.into_iter().for_each(|shown| shown.end(row));
        }
        if has_left_out { Err(InputError::TooManyDevices) } else { Ok(()) }
    }
}

impl Input for Filesystem {
    fn collect(&mut self, at: &mut Collect<'_>) -> Result<(), InputError> {
        let Collect { files, row, .. } = at;
        let (file, path) = match (files.bytes(self.first), self.own) {
            (Ok(_), _) => (self.first, FIRST),
            (Err(_), Some(own)) => (own, OWN),
            (Err(_), None) => {
                self.own = Some(files.ask(Root::Proc, OWN, Refresh::EachRow));
                return Ok(());
            }
        };
        if files.needed(file)? != self.text {
            let mounts = mounts::list(files.needed(file)?, path)?;
            self.follow(mounts, files, row)?;
            self.text.clear();
            self.text.extend_from_slice(files.needed(file)?);
        }
        for (key, followed) in &mut self.mounts {
            followed.show(key, &self.families, files, row)?;
        }
        Ok(())
    }
}

impl Followed {
    fn show(
        &mut self,
        key: &MountKey,
        families: &[Family],
        files: &Asks<'_>,
        row: &mut Row<'_>,
    ) -> Result<(), InputError> {
        let (error, answer) = match files.bytes(self.space) {
            Ok(text) => (String::new(), Some(answer(text)?)),
            // Nobody has answered yet.
            Err(ReadError::Missing) if files.readings(self.space) == 0 => return Ok(()),
            Err(error) => (error_text(error), None),
        };
        if self.shown.as_ref().is_none_or(|shown| shown.error != error) {
            self.shown.take().into_iter().for_each(|shown| shown.end(row));
            self.shown = Some(Shown::new(key, error, families, row)?);
        }
        let Some(shown) = &self.shown else { return Ok(()) };
        let states = [answer.is_none(), self.is_readonly].map(|state| f64::from(u8::from(state)));
        let values = states.into_iter().chain(answer.into_iter().flatten());
        shown.columns.iter().zip(values).for_each(|(column, value)| row.set(*column, value));
        Ok(())
    }
}

impl Shown {
    fn new(
        key: &MountKey,
        error: String,
        families: &[Family],
        row: &mut Row<'_>,
    ) -> Result<Shown, InputError> {
        let labels = [
            ("device", &*key.device),
            ("device_error", &*error),
            ("fstype", &*key.kind),
            ("mountpoint", &*key.point),
        ];
        let count = if error.is_empty() { families.len() } else { families.len() - ANSWERS };
        let mut columns = Vec::with_capacity(count);
        for family in families.iter().take(count) {
            columns.push(row.add(family.column(&labels)?));
        }
        Ok(Shown { error, columns })
    }

    fn end(self, row: &mut Row<'_>) {
        self.columns.into_iter().for_each(|column| row.end(column));
    }
}

fn answer(text: &[u8]) -> Result<[f64; ANSWERS], InputError> {
    let mut answer = [0.0; ANSWERS];
    let mut fields = scan::fields(text);
    for place in &mut answer {
        let value = fields.integer();
        *place = scan::float(
            value.ok_or_else(|| InputError::parse("statfs", 1, "five whole numbers expected"))?,
        );
    }
    Ok(answer)
}

/// Why a mount gave no answer, in node_exporter's words where it has any.
fn error_text(error: ReadError) -> String {
    match error {
        ReadError::Stuck => "mountpoint timeout".to_owned(),
        ReadError::Missing => "no such file or directory".to_owned(),
        ReadError::System(5) => "input/output error".to_owned(),
        ReadError::System(107) => "transport endpoint is not connected".to_owned(),
        ReadError::System(116) => "stale NFS file handle".to_owned(),
        error => error.to_string(),
    }
}
