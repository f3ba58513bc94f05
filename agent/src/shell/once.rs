//! `once`: one page of the host, collected now.

use bellwether_model::exposition::Writer;
use bellwether_model::label::{LabelError, LabelSet};
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;

use crate::pure::config::InputPlan;
use crate::pure::input::{Facts, InputError, own};
use crate::shell::collection::Collection;
use crate::shell::host::Host;
use crate::shell::latest::Latest;

/// A page and the inputs that are missing from it, with the reasons.
#[derive(Debug)]
pub struct Once {
    /// The text exposition format.
    pub page: Vec<u8>,
    /// Inputs that failed.
    pub failed: Vec<(&'static str, InputError)>,
}

/// Collects every input once, and waits for what may hang as long as an answer may take.
///
/// # Errors
/// See [`Collection::new`].
pub fn once(
    inputs: &[InputPlan],
    host: Host,
    clock: Clock,
    facts: Facts,
) -> Result<Once, LabelError> {
    let inputs: Vec<InputPlan> =
        inputs.iter().filter(|plan| plan.spec.name != own::NAME).cloned().collect();
    let mut collection = Collection::new(&inputs, &LabelSet::default(), host, clock, facts)?;
    collection.prime();
    collection.wait_apart();
    // At zero every cadence is due.
    let collected = collection.collect(Timestamp(0));
    let latest = Latest::default();
    latest.publish(collection.groups());
    let mut page = Vec::new();
    latest.write(&mut Writer::new(&mut page));
    Ok(Once { page, failed: collected.failed })
}

#[cfg(test)]
mod tests;
