//! Numbers of column groups.

use std::collections::BTreeSet;

use bellwether_model::id::GroupId;
use bellwether_model::limit;

/// The first number that is neither in use nor taken.
///
/// Two reloads between two ticks may have used up all numbers: an old group then ends with the
/// first row of the new one.
pub(super) fn first_free(
    in_use: &BTreeSet<GroupId>,
    taken: &mut BTreeSet<GroupId>,
    or: GroupId,
) -> GroupId {
    let all = || (GroupId::TARGETS.0..limit::GROUPS).map(GroupId);
    let free = all().find(|id| !in_use.contains(id) && !taken.contains(id));
    let id = free.or_else(|| all().find(|id| !taken.contains(id))).unwrap_or(or);
    taken.insert(id);
    id
}

/// A free number, the same for the same seed where nobody else has it: so that a target has it
/// again after a restart, and whoever follows its series knows what was there before.
pub(super) fn free_from(
    seed: u64,
    in_use: &BTreeSet<GroupId>,
    taken: &mut BTreeSet<GroupId>,
) -> GroupId {
    let len = limit::GROUPS - GroupId::TARGETS.0;
    let start = u32::try_from(seed % u64::from(len)).unwrap_or(0);
    let mut all = (0..len).map(|step| GroupId(GroupId::TARGETS.0 + (start + step) % len));
    let id = all.find(|id| !in_use.contains(id) && !taken.contains(id));
    let id = id.unwrap_or_else(|| first_free(in_use, taken, GroupId::TARGETS));
    taken.insert(id);
    id
}
