//! The labels of a sample: the page's, the target's over or under them, what relabelling makes of
//! them, and the version.

use std::collections::BTreeSet;

use bellwether_model::exposition::SampleLine;
use bellwether_model::label::METRIC_NAME;
use bellwether_model::relabel::{Kept, Labels, apply};

use super::super::target::ScrapeTarget;
use super::super::{Failure, Limits, Reason, VERSION, VersionPlan};

/// What stands before a label of the page that the target has too.
const EXPORTED: &str = "exported_";

/// What became of a sample's labels.
pub(super) enum Mutated {
    Kept(Labels),
    Dropped,
}

/// The labels under which a sample is kept; `told` is the version of all that lack one.
pub(super) fn mutated(
    target: &ScrapeTarget,
    sample: &SampleLine<'_, '_>,
    told: Option<&str>,
) -> Result<Mutated, Failure> {
    let reading = &target.job.reading;
    let malformed = |words: String| Failure::new(Reason::Malformed, words);
    let mut names = BTreeSet::from([METRIC_NAME]);
    if !sample.labels.iter().all(|(name, _)| names.insert(name.as_ref())) {
        return Err(malformed(format!("{} has a label twice", sample.name)));
    }
    let own = sample.labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let mut labels: Labels = own.chain([(METRIC_NAME, sample.name.as_ref())]).collect();
    if reading.honor_labels {
        // An empty label on the page takes the target's away.
        for (name, value) in target.labels.iter().filter(|(name, _)| !names.contains(name)) {
            labels.set(name, value);
        }
    } else {
        overlay(&mut labels, target);
    }
    if apply(&reading.relabel, &mut labels) == Kept::Dropped || labels.is_empty() {
        return Ok(Mutated::Dropped);
    }
    if labels.get(METRIC_NAME).is_empty() {
        return Err(malformed(format!("relabelling has left {} without a name", sample.name)));
    }
    check(&labels, reading.limits)?;
    versioned(&mut labels, reading.version.as_ref(), told);
    Ok(Mutated::Kept(labels))
}

/// The target's labels over the page's, which are kept under other names: the shorter first.
fn overlay(labels: &mut Labels, target: &ScrapeTarget) {
    let mut conflicts = Vec::new();
    for (name, value) in target.labels.iter() {
        let exposed = labels.get(name);
        if !exposed.is_empty() {
            conflicts.push((name, exposed.to_owned()));
        }
        labels.set(name, value);
    }
    conflicts.sort_by_key(|(name, _)| name.len());
    for (name, value) in conflicts {
        let mut name = format!("{EXPORTED}{name}");
        while !labels.get(&name).is_empty() {
            name.insert_str(0, EXPORTED);
        }
        labels.set(&name, &value);
    }
}

fn check(labels: &Labels, limits: Limits) -> Result<(), Failure> {
    let name: String = labels.get(METRIC_NAME).chars().take(50).collect();
    let exceeded = |limit: &str, found: usize, max: usize| {
        let words = format!("{name} exceeds {limit}: {found}, not {max} at most");
        Err(Failure::new(Reason::Limit, words))
    };
    let is_over = |found: usize, max: usize| max > 0 && found > max;
    if is_over(labels.len(), limits.labels) {
        return exceeded("label_limit", labels.len(), limits.labels);
    }
    for (label, value) in labels.iter() {
        if is_over(label.len(), limits.name_bytes) {
            return exceeded("label_name_length_limit", label.len(), limits.name_bytes);
        }
        if is_over(value.len(), limits.value_bytes) {
            return exceeded("label_value_length_limit", value.len(), limits.value_bytes);
        }
    }
    Ok(())
}

fn versioned(labels: &mut Labels, plan: Option<&VersionPlan>, told: Option<&str>) {
    if !labels.get(VERSION).is_empty() {
        return;
    }
    match plan {
        Some(VersionPlan::Label(name)) => {
            let version = labels.get(name).to_owned();
            labels.set(name, "");
            labels.set(VERSION, &version);
        }
        Some(_) => labels.set(VERSION, told.unwrap_or_default()),
        None => {}
    }
}
