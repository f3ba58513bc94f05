//! How alerts must stand: a second reading of Prometheus' states, for conditions that follow from
//! the slot alone.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_collector::pure::entry::Entry;
use bellwether_model::id::Position;
use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use bellwether_rules::alert::{Alert, AlertState};

/// Alerts that come and go by themselves.
pub(super) const RULES: &str = "\
groups:
- name: waves
  interval: 1s
  rules:
  - {alert: Quick, expr: 'vector(time() % 40) > 20', labels: {severity: page}}
  - {alert: Patient, expr: 'vector(time() % 25) > 12', for: 5s, annotations: {at: '{{ $value }}'}}
  - {alert: Sticky, expr: 'vector(time() % 31) > 25', keep_firing_for: 8s}
- name: slow
  interval: 10s
  rules:
  - {record: half, expr: 'vector(time() % 100) > 50'}
  - {alert: Slow, expr: 'half > 50', for: 10s}
";

struct Wave {
    name: &'static str,
    period: f64,
    above: f64,
    hold: i64,
    keep: i64,
}

const WAVES: [Wave; 4] = [
    Wave { name: "Quick", period: 40.0, above: 20.0, hold: 0, keep: 0 },
    Wave { name: "Patient", period: 25.0, above: 12.0, hold: 5000, keep: 0 },
    Wave { name: "Sticky", period: 31.0, above: 25.0, hold: 0, keep: 8000 },
    Wave { name: "Slow", period: 100.0, above: 50.0, hold: 10_000, keep: 0 },
];

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Standing {
    active: Option<Timestamp>,
    fired: Option<Timestamp>,
    ended: Option<Timestamp>,
}

impl Wave {
    fn holds(&self, slot: Timestamp) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era are exact")]
        let seconds = slot.0 as f64 / 1000.0;
        seconds % self.period > self.above
    }

    fn step(&self, slot: Timestamp, at: &mut Standing) {
        if self.holds(slot) {
            let active = *at.active.get_or_insert(slot);
            at.ended = None;
            if slot.0 - active.0 >= self.hold {
                at.fired.get_or_insert(slot);
            }
            return;
        }
        let ended = *at.ended.get_or_insert(slot);
        if at.fired.is_none() || slot.0 - ended.0 >= self.keep {
            *at = Standing::default();
        }
    }
}

/// A slot that was evaluated.
pub(super) struct Slot {
    group: String,
    slot: Timestamp,
    life: u64,
    /// Where it stands in the journal.
    position: Position,
}

impl Slot {
    /// The slot of an entry, if it is an evaluation.
    pub(super) fn of(bytes: &[u8], life: u64, position: Position) -> Option<Slot> {
        let Ok(Entry::Evaluation(evaluation)) = Entry::read(bytes) else { return None };
        let (group, slot) = (evaluation.group.name.to_string(), evaluation.slot);
        Some(Slot { group, slot, life, position })
    }
}

/// The process has ended: what was not durable never was.
pub(super) fn forget(slots: &mut Vec<Slot>, last: Position) {
    slots.retain(|slot| slot.position <= last);
}

/// Compares every evaluation in the journal with what it must be.
///
/// # Errors
/// The first difference.
pub(super) fn check(ledger: &BTreeMap<Position, Vec<u8>>, slots: &[Slot]) -> Result<(), String> {
    let mut expected = [Standing::default(); WAVES.len()];
    let mut found: BTreeMap<String, Alert> = BTreeMap::new();
    let mut last: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for Slot { group, slot, position, .. } in slots {
        if last.insert(group, *slot).is_some_and(|last| last >= *slot) {
            return Err(format!("{group} was evaluated twice at {slot}"));
        }
        let of_group = |wave: &&Wave| (wave.name == "Slow") == (group == "slow");
        for (wave, standing) in WAVES.iter().zip(&mut expected).filter(|(w, _)| of_group(w)) {
            wave.step(*slot, standing);
        }
        let entry = ledger.get(position).map(|bytes| Entry::read(bytes));
        let Some(Ok(Entry::Evaluation(evaluation))) = entry else {
            return Err(format!("{position} is no evaluation"));
        };
        if evaluation.number == 0 {
            WAVES.iter().filter(of_group).for_each(|wave| drop(found.remove(wave.name)));
        }
        for change in evaluation.alerts {
            let name = change.labels.get("alertname").unwrap_or_default().to_owned();
            match change.to {
                Some(alert) => drop(found.insert(name, alert)),
                None => drop(found.remove(&name)),
            }
        }
        for (wave, standing) in WAVES.iter().zip(&expected).filter(|(w, _)| of_group(w)) {
            let active = found.get(wave.name).filter(|alert| alert.state != AlertState::Inactive);
            let shown = active.map_or(Standing::default(), |alert| Standing {
                active: Some(alert.active_at),
                fired: alert.fired_at,
                ended: alert.keep_firing_since,
            });
            if shown != *standing {
                let name = wave.name;
                return Err(format!("{position}: {name} at {slot} is {shown:?}, not {standing:?}"));
            }
        }
    }
    Ok(())
}

/// Alerts by labels and a time.
type Times = BTreeSet<(LabelSet, Timestamp)>;

/// What every receiver must be told.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Alerts and their beginnings: they fired while one process evaluated their group, slot after
    /// slot, for longer than a notification may wait. One that fires and ends between two
    /// notifications of its group is not told, as with Alertmanager.
    pub(super) fired: Times,
    /// Alerts and their ends, after which nothing of them was for as long.
    pub(super) ended: Times,
}

/// What must be told of all slots in the journal.
pub(super) fn owed(ledger: &BTreeMap<Position, Vec<u8>>, slots: &[Slot]) -> Owed {
    /// The group's interval between notifications and its wait, and a second more.
    const LONG: i64 = 7000;
    let mut found: BTreeMap<(String, LabelSet), Alert> = BTreeMap::new();
    let mut runs: BTreeMap<(bool, LabelSet, Timestamp), (u64, Timestamp, Timestamp)> =
        BTreeMap::new();
    let mut owed = Owed::default();
    for Slot { group, slot, life, position } in slots {
        let entry = ledger.get(position).map(|bytes| Entry::read(bytes));
        let Some(Ok(Entry::Evaluation(evaluation))) = entry else { continue };
        if evaluation.number == 0 {
            found.retain(|(of, _), _| of != group);
        }
        for change in evaluation.alerts {
            let key = (group.clone(), change.labels);
            match change.to {
                Some(alert) => drop(found.insert(key, alert)),
                None => drop(found.remove(&key)),
            }
        }
        let interval = if group == "slow" { 10_000 } else { 1000 };
        for ((_, labels), alert) in found.iter().filter(|((of, _), _)| of == group) {
            let (fires, at) = match alert.state {
                AlertState::Firing => (true, alert.fired_at),
                AlertState::Inactive => (false, alert.resolved_at),
                AlertState::Pending => continue,
            };
            let Some(at) = at else { continue };
            let run = runs.entry((fires, labels.clone(), at)).or_insert((*life, *slot, *slot));
            if run.0 != *life || slot.0 - run.2.0 > interval {
                *run = (*life, *slot, *slot);
            }
            run.2 = *slot;
            if run.2.0 - run.1.0 >= LONG {
                let owed = if fires { &mut owed.fired } else { &mut owed.ended };
                owed.insert((labels.clone(), at));
            }
        }
    }
    owed
}
