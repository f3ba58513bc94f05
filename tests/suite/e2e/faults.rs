//! The faults of the field, one by one, against real processes: each has its exact answer, is
//! counted on both sides under its name, and disturbs no other agent.
//!
//! Elsewhere: tokens (`tokens`), kills and doubled rows (`exactly_once`), certificates (`tls`);
//! jumping clocks, power cuts and a collector that is away for longer than a spool holds need time
//! or clocks of their own and are in the simulator (`sim`).

mod answers;
mod crowds;
mod disks;
mod losses;

use bellwether_model::wire::answer::Case;
use bellwether_tests::harness::Folder;

use super::daemons::{Agent, Collector, token_file};

/// An agent that must notice nothing, whatever befalls others.
fn watched(folder: &Folder, collector: &Collector) -> Agent {
    Agent::start(folder, "watched", &collector.address, &token_file(folder, "token"), "")
}

/// Nothing has befallen it.
pub(super) fn is_undisturbed(agent: &Agent, collector: &Collector) {
    agent.goes_on();
    let cases = Case::ALL.iter().filter(|case| **case != Case::Applied).map(|case| case.as_str());
    for case in cases.chain(["no_answer", "no_token", "proxy", "tls", "unreachable"]) {
        assert_eq!(agent.answers(case), 0, "{case}");
    }
    assert!(agent.answers(Case::Applied.as_str()) > 0);
    assert_eq!(agent.figure("bellwether_agent_samples_dropped_total"), 0);
    collector.is_whole(agent.instance());
    collector.was_always_up(agent.instance());
}
