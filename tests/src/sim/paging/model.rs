//! How alerts must stand: a second reading of Prometheus' states, for conditions that follow from
//! the slot alone.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::id::Position;
use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use bellwether_rules::alert::{Alert, AlertState};

use super::super::START;
use super::{Ledger, Written};

/// Alerts that come and go by themselves; some of their rules fail at times, and some from a time
/// on. A file has other rules above them, and them in another order, for each `shape`.
pub(super) fn rules(shape: u64) -> String {
    let mut text = String::from("groups:\n");
    for (name, header) in [
        ("waves", "interval: 1s"),
        ("limited", "interval: 1s\n  limit: 1"),
        ("slow", "interval: 10s"),
    ] {
        text += &format!("- name: {name}\n  {header}\n  rules:\n");
        for n in 0..shape % 3 {
            text += &format!("  - {{alert: Quiet{n}, expr: 'vector({n}) > 9'}}\n");
        }
        if name == "slow" {
            text += "  - {record: half, expr: 'vector(time() % 100) > 50'}\n";
        }
        let mut waves: Vec<&Wave> = WAVES.iter().filter(|wave| wave.group == name).collect();
        if shape % 2 == 1 {
            waves.reverse();
        }
        waves.into_iter().for_each(|wave| text += &format!("  - {}\n", wave.rule()));
    }
    text
}

struct Wave {
    group: &'static str,
    /// The alert's name, and its severity if it has one.
    name: &'static str,
    period: f64,
    above: f64,
    hold: i64,
    keep: i64,
    /// The rule fails while the time modulo the first is above the second.
    fails: (f64, f64),
}

/// From then on some rules fail, for longer than an Alertmanager waits.
#[expect(clippy::cast_precision_loss, reason = "seconds of this era are exact")]
const BREAKS: f64 = (START / 1000) as f64 + 90.0;
const EVER: f64 = 1e12;
const NEVER: (f64, f64) = (1.0, 2.0);

const WAVES: [Wave; 7] = [
    Wave { fails: (37.0, 30.0), ..wave("waves", "Quick page", (40.0, 20.0), (0, 0)) },
    wave("waves", "Quick ticket", (33.0, 20.0), (0, 0)),
    Wave { fails: (61.0, 50.0), ..wave("waves", "Patient", (25.0, 12.0), (5000, 0)) },
    wave("waves", "Sticky", (31.0, 25.0), (0, 8000)),
    Wave { fails: (EVER, BREAKS), ..wave("waves", "Broken", (1.0, -1.0), (0, 0)) },
    Wave { fails: (EVER, BREAKS + 9.0), ..wave("limited", "Limited", (1.0, -1.0), (0, 0)) },
    wave("slow", "Slow", (100.0, 50.0), (10_000, 0)),
];

const fn wave(
    group: &'static str,
    name: &'static str,
    (period, above): (f64, f64),
    (hold, keep): (i64, i64),
) -> Wave {
    Wave { group, name, period, above, hold, keep, fails: NEVER }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Standing {
    active: Option<Timestamp>,
    fired: Option<Timestamp>,
    ended: Option<Timestamp>,
}

/// Whether the time modulo the first is above the second.
fn is_above((period, above): (f64, f64), slot: Timestamp) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era are exact")]
    let seconds = slot.0 as f64 / 1000.0;
    seconds % period > above
}

impl Wave {
    /// The rule of a file. One that fails has two series where one may be; one of a group with a
    /// limit has two series more.
    fn rule(&self) -> String {
        let Wave { period, above, fails, .. } = self;
        let more = |n: u64| {
            let one = format!("label_replace(vector(1), \"n\", \"{n}\", \"x\", \".*\")");
            format!("{one} and on() vector(time() % {}) > {}", fails.0, fails.1)
        };
        let expr = match self.group {
            "slow" => "half > 50".to_owned(),
            "limited" => {
                format!("vector(time() % {period}) > {above} or {} or {}", more(1), more(2))
            }
            _ => {
                format!("vector(time() % {period}) * on() (vector(1) or {}) > {above}", more(1))
            }
        };
        let (alert, severity) = self.name.split_once(' ').unwrap_or((self.name, ""));
        let (hold, keep) = (self.hold, self.keep);
        format!(
            "{{alert: {alert}, expr: '{expr}', for: {hold}ms, keep_firing_for: {keep}ms, \
             labels: {{severity: '{severity}'}}, annotations: {{at: '{{{{ $value }}}}'}}}}"
        )
    }

    fn step(&self, slot: Timestamp, at: &mut Standing) {
        if is_above(self.fails, slot) {
            return;
        }
        if is_above((self.period, self.above), slot) {
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
    pub(super) fn of(ledger: &Ledger, position: Position, life: u64) -> Option<Slot> {
        let Written::Evaluation(evaluation) = ledger.get(&position)? else { return None };
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
pub(super) fn check(ledger: &Ledger, slots: &[Slot]) -> Result<(), String> {
    let mut expected = [Standing::default(); WAVES.len()];
    let mut found: BTreeMap<String, Alert> = BTreeMap::new();
    let mut last: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for Slot { group, slot, position, .. } in slots {
        if last.insert(group, *slot).is_some_and(|last| last >= *slot) {
            return Err(format!("{group} was evaluated twice at {slot}"));
        }
        let of_group = |wave: &&Wave| wave.group == group;
        for (wave, standing) in WAVES.iter().zip(&mut expected).filter(|(w, _)| of_group(w)) {
            wave.step(*slot, standing);
        }
        let Some(Written::Evaluation(evaluation)) = ledger.get(position) else {
            return Err(format!("{position} is no evaluation"));
        };
        if evaluation.number == 0 {
            WAVES.iter().filter(of_group).for_each(|wave| drop(found.remove(wave.name)));
        }
        for change in &evaluation.alerts {
            let label = |name| change.labels.get(name).unwrap_or_default();
            let name = format!("{} {}", label("alertname"), label("severity")).trim().to_owned();
            match &change.to {
                Some(alert) => drop(found.insert(name, alert.clone())),
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
    /// All runs of all alerts: when they began to fire, and when they ended.
    runs: BTreeMap<LabelSet, BTreeMap<Timestamp, Option<Timestamp>>>,
}

impl Owed {
    /// Whether an alert fired at a time, and had for longer than a step and its sending take.
    pub(super) fn fires(&self, labels: &LabelSet, at: Timestamp) -> bool {
        const LATE: i64 = 2000;
        let mut runs = self.runs.get(labels).into_iter().flatten();
        runs.any(|(since, until)| {
            at.millis_since(*since) > LATE && until.is_none_or(|until| until > at)
        })
    }

    /// Alerts that fire at the end of all, and since when.
    pub(super) fn firing(&self) -> impl Iterator<Item = (&LabelSet, Timestamp)> {
        self.runs.iter().filter_map(|(labels, runs)| {
            let (since, until) = runs.last_key_value()?;
            until.is_none().then_some((labels, *since))
        })
    }
}

/// What must be told of all slots in the journal.
pub(super) fn owed(ledger: &Ledger, slots: &[Slot]) -> Owed {
    /// The group's interval between notifications and its wait, and a second more.
    const LONG: i64 = 7000;
    let mut found: BTreeMap<(String, LabelSet), Alert> = BTreeMap::new();
    let mut runs: BTreeMap<(bool, LabelSet, Timestamp), (u64, Timestamp, Timestamp)> =
        BTreeMap::new();
    let mut owed = Owed::default();
    for Slot { group, slot, life, position } in slots {
        let Some(Written::Evaluation(evaluation)) = ledger.get(position) else { continue };
        if evaluation.number == 0 {
            found.retain(|(of, _), _| of != group);
        }
        for change in &evaluation.alerts {
            let key = (group.clone(), change.labels.clone());
            match &change.to {
                Some(alert) => drop(found.insert(key, alert.clone())),
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
            let since = alert.fired_at.unwrap_or(at);
            owed.runs.entry(labels.clone()).or_default().insert(since, alert.resolved_at);
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
