//! The host pack over a day that is stretched from a recording.
//!
//! `BELLWETHER_HOST_DAYS` sets over how many days of different kinds, instead of one; they are then
//! evaluated each 15 s instead of each minute.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use bellwether_rules::file::{self, RuleGroup, RuleKind};
use bellwether_rules::packs;
use bellwether_tests::host_day::{Day, FAULTS, Fault, HostDay, fired};

/// From an hour before the fault to two hours after.
const FAULT_HOURS: (usize, usize) = (9, 12);
/// The step at ten o'clock.
const FAULT_STEP: usize = 10 * 240;

fn groups() -> Vec<RuleGroup> {
    file::read("host.yaml", packs::HOST).unwrap().0.groups
}

/// How many days are asked for, if any are.
fn asked() -> Option<usize> {
    std::env::var("BELLWETHER_HOST_DAYS").ok().map(|days| days.parse().unwrap())
}

/// Between evaluations.
fn slot() -> Duration {
    Duration::from_secs(if asked().is_some() { 15 } else { 60 })
}

/// Days that differ in how busy the host is, and when its backup runs; the first is the usual one.
fn days() -> Vec<Day> {
    let other = |number: usize| {
        let tenths = |count: usize| f64::from(u32::try_from(count).unwrap()) / 10.0;
        let quiet = tenths(number * 3 % 10);
        let busy = (quiet + tenths(number * 7 % 12)).min(1.5);
        Day { quiet, busy, backup: number * 5 % 24 }
    };
    let others = (1..asked().unwrap_or(1)).map(other);
    std::iter::once(Day::USUAL).chain(others).collect()
}

#[test]
fn no_alert_of_the_host_pack_fires_over_a_healthy_day() {
    for day in days() {
        let host = HostDay::stretched(day);
        let all = groups();
        let told: BTreeMap<String, Duration> = thread::scope(|scope| {
            let run = |half: &[RuleGroup]| fired(&host, half, (0, 24), slot());
            let (left, right) = all.split_at(all.len() / 2);
            let other = scope.spawn(move || run(right));
            let mut told = run(left);
            told.extend(other.join().unwrap());
            told
        });
        assert!(told.is_empty(), "{day:?}: {told:?}");
    }
}

/// What keeps the pack silent at night is patience: were there none, the backup would be heard.
#[test]
fn the_backup_hour_looks_like_a_fault_for_a_while() {
    let host = HostDay::stretched(Day::USUAL);
    let mut groups = groups();
    for rule in groups.iter_mut().flat_map(|group| &mut group.rules) {
        if let RuleKind::Alert(alert) = &mut rule.kind {
            alert.hold = Duration::ZERO;
        }
    }
    let hours = (Day::USUAL.backup, Day::USUAL.backup + 1);
    let told = fired(&host, &groups, hours, slot());
    let heard: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(heard, ["HostIoStalled"]);
}

#[test]
fn every_family_of_faults_is_heard_and_nothing_else() {
    let groups = groups();
    let names: BTreeSet<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    let covered: BTreeSet<&str> = FAULTS.iter().map(|fault| fault.group).collect();
    assert_eq!(names, covered, "a fault for each group");
    let healthy = HostDay::stretched(Day::USUAL);
    for fault in FAULTS {
        let Fault { about, group, alerts, .. } = fault;
        let mut host = healthy.clone();
        fault.put(&mut host, FAULT_STEP);
        let group: Vec<RuleGroup> = groups.iter().filter(|g| g.name == *group).cloned().collect();
        let told = fired(&host, &group, FAULT_HOURS, slot());
        let heard: Vec<&str> = told.keys().map(String::as_str).collect();
        assert_eq!(heard, *alerts, "{about}: {told:?}");
        let early: Vec<_> = told.values().filter(|at| at.as_secs() < 10 * 3600).collect();
        assert!(early.is_empty(), "{about}: {told:?}");
    }
}

#[test]
fn the_recording_has_what_the_pack_looks_at() {
    let host = HostDay::stretched(Day::USUAL);
    let there: BTreeSet<&str> = host.metrics().into_iter().collect();
    let mut missing = BTreeSet::new();
    for rule in groups().iter().flat_map(|group| &group.rules) {
        rule.expr.each_selector(&mut |selector| {
            let name = selector.name.clone().unwrap();
            if !there.contains(name.as_str()) {
                missing.insert(name);
            }
        });
    }
    // Nothing was ever lost there, so that there is no series of it.
    let missing: Vec<_> = missing.into_iter().collect();
    assert_eq!(missing, ["bellwether_agent_samples_dropped_total"]);
}
