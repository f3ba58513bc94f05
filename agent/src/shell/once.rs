//! `once`: one page of the host, collected now.

use std::io;

use bellwether_model::exposition::Writer;
use bellwether_model::label::{LabelError, LabelSet};
use bellwether_model::time::Timestamp;
use bellwether_platform::clock::Clock;

use crate::pure::config::InputPlan;
use crate::pure::input::{Facts, InputError, own};
use crate::pure::probe::TargetPlan;
use crate::pure::scrape::ScrapePlan;
use crate::shell::collection::Collection;
use crate::shell::host::Host;
use crate::shell::latest::Latest;
use crate::shell::targets::Targets;

/// A page and the inputs that are missing from it, with the reasons.
#[derive(Debug)]
pub struct Once {
    /// The text exposition format.
    pub page: Vec<u8>,
    /// Inputs that failed.
    pub failed: Vec<(&'static str, InputError)>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// An input's name is no label.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The system has no runtime to give.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Collects every input, and probes and scrapes every target once, and waits for what may hang as
/// long as an answer may take. `target` is what all series of the agent share, which the page
/// leaves out.
///
/// # Errors
/// See [`Collection::new`] and [`Targets::once`].
pub fn once(
    (inputs, probes, scrapes): (&[InputPlan], &[TargetPlan], &ScrapePlan),
    target: &LabelSet,
    host: Host,
    clock: Clock,
    facts: Facts,
) -> Result<Once, OnceError> {
    let inputs: Vec<InputPlan> =
        inputs.iter().filter(|plan| plan.spec.name != own::NAME).cloned().collect();
    let targets = Targets::once(probes, scrapes, &clock)?;
    let collection = Collection::new(&inputs, target, host, clock, facts)?;
    let mut collection = collection.beside(targets);
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
