//! What fires now, as rules tell it. It is not journaled: rules tell it again after a start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;

use super::body::prefix;
use super::event::{AlertNow, RuleRef};
use super::fingerprint::fingerprint;
use super::record::Detail;
use super::record::bytes::{ANNOTATION_BYTES, ANNOTATIONS};

/// Alerts that fire or are remembered, of all rules; more are refused and counted.
pub const ALERTS: usize = 20_000;

/// All alerts.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    by_rule: BTreeMap<RuleRef, BTreeMap<u64, Held>>,
    /// The rules whose alert of this fingerprint fires; two rules may yield one.
    firing: BTreeMap<u64, BTreeSet<RuleRef>>,
    /// Alerts that were resolved and are remembered by a rule.
    resolved: BTreeMap<u64, RuleRef>,
    count: usize,
}

/// An alert of a rule.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) alert: Arc<Fed>,
    /// The slot at which it was last pushed.
    pub(super) pushed_at: Option<Timestamp>,
}

/// An alert as it came, and as it is told.
#[derive(Clone, Debug)]
pub(super) struct Fed {
    pub(super) original: AlertNow,
    pub(super) detail: Arc<Detail>,
    /// Texts of it that are cut.
    cut: u64,
}

/// What a rule's turn has changed.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Alerts that begin or cease to fire, with their labels.
    pub(super) alerts: Vec<(u64, LabelSet)>,
    /// Alerts that fired, which the rule has no more and no other fires.
    pub(super) gone: Vec<Arc<Fed>>,
    /// Alerts refused.
    pub(super) refused: u64,
    /// Texts cut that were not cut before.
    pub(super) cut: u64,
}

impl Alerts {
    /// Takes all alerts of a rule at a slot.
    pub(super) fn feed(
        &mut self,
        rule: &RuleRef,
        alerts: Vec<AlertNow>,
        external: &LabelSet,
    ) -> Changed {
        let mut changed = Changed::default();
        let mut before = self.by_rule.remove(rule).unwrap_or_default();
        let identified = alerts.into_iter().map(|original| {
            let labels = with_external(&original.labels, external);
            (fingerprint(&labels), labels, original)
        });
        let identified: Vec<_> = identified.collect();
        self.count -= before.len();
        let stays: BTreeSet<u64> = identified
            .iter()
            .map(|(key, ..)| *key)
            .filter(|key| before.contains_key(key))
            .collect();
        // What was there stays; what is new has the room that is left.
        let mut room = ALERTS.saturating_sub(self.count + stays.len());
        let mut after = BTreeMap::new();
        for (key, labels, original) in identified {
            if !stays.contains(&key) && !after.contains_key(&key) {
                if room == 0 {
                    changed.refused += 1;
                    continue;
                }
                room -= 1;
            }
            let is_firing = original.ends_at.is_none();
            let old = before.remove(&key);
            let was_firing = old.as_ref().is_some_and(|old| old.alert.is_firing());
            // One that fires anew is a new one.
            let same = old.filter(|old| old.alert.original.starts_at == original.starts_at);
            let alert = Arc::new(Fed::new(original, labels, same.as_ref().map(|old| &*old.alert)));
            let cut_before = same.as_ref().map_or(0, |old| old.alert.cut);
            changed.cut += alert.cut.saturating_sub(cut_before);
            if is_firing != was_firing {
                changed.alerts.push((key, alert.detail.labels.clone()));
            }
            self.mark(rule, key, is_firing);
            after.insert(key, Held { alert, pushed_at: same.and_then(|old| old.pushed_at) });
        }
        self.count += after.len();
        for (key, Held { alert, .. }) in before {
            self.unmark(rule, key);
            if alert.is_firing() {
                changed.alerts.push((key, alert.detail.labels.clone()));
                changed.gone.extend(Some(alert).filter(|_| !self.fires(key)));
            }
        }
        if !after.is_empty() {
            self.by_rule.insert(rule.clone(), after);
        }
        changed
    }

    /// Whether a rule has any.
    pub(super) fn has(&self, rule: &RuleRef) -> bool {
        self.by_rule.contains_key(rule)
    }

    /// The alerts of a rule, but for those that it has resolved and another fires.
    pub(super) fn of(&mut self, rule: &RuleRef) -> impl Iterator<Item = &mut Held> {
        let Alerts { by_rule, firing, .. } = self;
        let all = by_rule.get_mut(rule).into_iter().flatten();
        let is_told =
            |(key, held): &(&u64, &mut Held)| held.alert.is_firing() || !firing.contains_key(*key);
        all.filter(is_told).map(|(_, held)| held)
    }

    fn mark(&mut self, rule: &RuleRef, key: u64, is_firing: bool) {
        if is_firing {
            self.firing.entry(key).or_default().insert(rule.clone());
            if self.resolved.get(&key) == Some(rule) {
                self.resolved.remove(&key);
            }
        } else {
            self.unmark(rule, key);
            self.resolved.insert(key, rule.clone());
        }
    }

    fn unmark(&mut self, rule: &RuleRef, key: u64) {
        if let Some(rules) = self.firing.get_mut(&key) {
            rules.remove(rule);
            if rules.is_empty() {
                self.firing.remove(&key);
            }
        }
        if self.resolved.get(&key) == Some(rule) {
            self.resolved.remove(&key);
        }
    }

    /// Whether an alert fires.
    pub(super) fn fires(&self, key: u64) -> bool {
        self.firing.contains_key(&key)
    }

    /// A firing alert; of two rules that which fires longer.
    pub(super) fn firing(&self, key: u64) -> Option<&Arc<Fed>> {
        let rules = self.firing.get(&key)?.iter();
        let held = rules.filter_map(|rule| self.by_rule.get(rule)?.get(&key));
        held.map(|held| &held.alert).min_by_key(|alert| alert.original.starts_at)
    }

    /// A resolved alert that a rule remembers.
    pub(super) fn resolved(&self, key: u64) -> Option<&Arc<Fed>> {
        Some(&self.by_rule.get(self.resolved.get(&key)?)?.get(&key)?.alert)
    }

    /// All that fire, with their labels.
    pub(super) fn all_firing(&self) -> impl Iterator<Item = (u64, &LabelSet)> {
        self.firing.keys().filter_map(|key| Some((*key, &self.firing(*key)?.detail.labels)))
    }

    /// Everything again, with other external labels.
    pub(super) fn relabeled(&self, external: &LabelSet) -> Alerts {
        let mut fresh = Alerts::default();
        for (rule, held) in &self.by_rule {
            let alerts = held.values().map(|held| held.alert.original.clone()).collect();
            fresh.feed(rule, alerts, external);
        }
        fresh
    }
}

impl Fed {
    /// What is told of an alert stays the same value for as long as its words do.
    fn new(original: AlertNow, labels: LabelSet, before: Option<&Fed>) -> Fed {
        let is_same = |before: &&Fed| {
            let AlertNow { annotations, generator_url, .. } = &before.original;
            before.detail.labels == labels
                && *annotations == original.annotations
                && *generator_url == original.generator_url
        };
        if let Some(before) = before.filter(is_same) {
            return Fed { original, detail: Arc::clone(&before.detail), cut: before.cut };
        }
        let mut cut = 0;
        let detail = Arc::new(detail(&original, labels, &mut cut));
        Fed { original, detail, cut }
    }

    fn is_firing(&self) -> bool {
        self.original.ends_at.is_none()
    }
}

/// Labels with those of the collector that they lack. A set that has no room for more stays.
pub(super) fn with_external(labels: &LabelSet, external: &LabelSet) -> LabelSet {
    if external.is_empty() {
        return labels.clone();
    }
    external.overlaid(labels).unwrap_or_else(|_| labels.clone())
}

/// The words of an alert. Where they have no room values are cut, and names stay whole.
fn detail(alert: &AlertNow, labels: LabelSet, cut: &mut u64) -> Detail {
    let mut room = ANNOTATION_BYTES;
    let named = alert.annotations.iter().take(ANNOTATIONS).filter(|(name, _)| {
        let left = room.checked_sub(name.len());
        *cut += u64::from(left.is_none());
        room = left.unwrap_or(room);
        left.is_some()
    });
    let named: Vec<_> = named.collect();
    let mut text = |text: &str| {
        let kept = prefix(text, room);
        *cut += u64::from(kept.len() < text.len());
        room -= kept.len();
        kept.to_owned()
    };
    let generator_url = text(&alert.generator_url);
    let annotations = named.into_iter().map(|(name, value)| (name.clone(), text(value)));
    Detail { annotations: annotations.collect(), labels, generator_url }
}
