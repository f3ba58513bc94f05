//! Rule groups over a day, slot by slot, as the collector evaluates them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bellwether_model::time::Timestamp;
use bellwether_promql::evaluate::{Budget, LOOKBACK, Options};
use bellwether_promql::pool::Serial;
use bellwether_rules::alert::AlertState;
use bellwether_rules::file::RuleGroup;
use bellwether_rules::group::{GroupState, Means, Overlay};
use bellwether_rules::template::Site;

use super::{HostDay, MIDNIGHT};

const SAMPLES_MAX: usize = 50_000_000;

/// The alerts of some groups that fire in the hours from `first` to `last`, and after how much of
/// the day each fires first. Groups are evaluated each `slot`.
///
/// # Panics
/// A rule fails.
#[must_use]
pub fn fired(
    day: &HostDay,
    groups: &[RuleGroup],
    hours: (usize, usize),
    slot: Duration,
) -> BTreeMap<String, Duration> {
    let view = day.view();
    let stop = AtomicBool::new(false);
    let site = Site::default();
    let means = Means {
        options: Options { lookback: LOOKBACK, subquery_step: slot },
        pool: &Serial,
        budget: Budget { samples_max: SAMPLES_MAX, stop: &stop },
        site: &site,
    };
    let mut states: Vec<GroupState> = groups.iter().map(GroupState::new).collect();
    let mut fired = BTreeMap::new();
    let hour = |hour: usize| Duration::from_secs(hour as u64 * 3600);
    let mut at = hour(hours.0);
    while at < hour(hours.1) {
        let now: Timestamp = MIDNIGHT.saturating_add(at);
        for (group, state) in groups.iter().zip(&mut states) {
            let mut overlay = Overlay::of_group(&view, now, group);
            let outcome = state.evaluate(group, now, &mut overlay, means);
            assert!(outcome.failures.is_empty(), "{}: {:?}", group.name, outcome.failures);
            for (rule, change) in outcome.transitions {
                if change.to == Some(AlertState::Firing) {
                    fired.entry(group.rules[rule].name().to_owned()).or_insert(at);
                }
            }
        }
        at += slot;
    }
    fired
}
