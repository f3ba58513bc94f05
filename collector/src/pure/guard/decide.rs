//! From seconds to what is done: verdicts and their records, and what follows from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::matcher::Matcher;
use bellwether_model::signal::{Kind, RecordRef};
use bellwether_model::time::{Now, Timestamp, date_millis};
use bellwether_rules::record::{Context, Hash, Record as DecisionRecord, SecretKey};
use bellwether_rules::service::Sli;
use bellwether_rules::verdict::{Config, Outcome, Tick, Verdict};

use super::action::{Action, Finding, action};
use super::count::CountPlan;
use super::event::{Effect, KeepJob};
use super::lane::effect::{Wanted, Wish};
use super::record::{Announced, Clause, End, Record, Word};
use super::state::{Decided, Rollout};
use super::{FORGOTTEN_MS, Guard, TICKS_MAX, watch};

/// What stands for an SLI where a canary has failed by being gone.
pub(super) const PROCESS: &str = "process";
const GONE: &str = "the new version's process is gone, the old one's is not";

impl Guard {
    /// What follows from how a rollout is now.
    pub(super) fn conclude(&mut self, now: Now, rollout: &Arc<str>, out: &mut Vec<Effect>) {
        let Some(known) = self.state.rollouts.get(rollout) else { return };
        if known.said_at(Word::Abort).is_some() {
            return self.end(now, rollout, End::Aborted, out);
        }
        if known.failure().is_none() {
            self.judge(now.wall, rollout, out);
        }
        let Some(finding) = self.finding(rollout) else { return };
        let Some(known) = self.state.rollouts.get(rollout) else { return };
        let announced = Arc::clone(&known.announced);
        let done = action(&announced, finding);
        self.show(rollout, done);
        match done {
            Action::RollBack => self.ask(now, &announced, Kind::Rollback, out),
            Action::Freeze if matches!(finding, Finding::Failed { .. }) => {
                self.ask(now, &announced, Kind::Hold, out);
            }
            _ => {}
        }
        self.observe(now, rollout, out);
        self.end_if_over(now, rollout, out);
    }

    /// What is known of an open rollout.
    pub(super) fn finding(&self, rollout: &Arc<str>) -> Option<Finding> {
        let (known, open) = (self.state.rollouts.get(rollout)?, self.open.get(rollout)?);
        if known.failure().is_some() {
            let announced = &known.announced;
            return Some(Finding::Failed {
                confirmed: known.said_at(Word::Confirm).is_some(),
                barred: self.lanes.state().was_rolled_back(&announced.lane(), &announced.from),
            });
        }
        // Once it is through, nothing of the old version need be there.
        let missing = open.watch.missing().filter(|_| known.said_at(Word::Finish).is_none());
        Some(missing.map_or(Finding::Fine, Finding::Missing))
    }

    fn show(&mut self, rollout: &Arc<str>, done: Action) {
        let Some(open) = self.open.get_mut(rollout) else { return };
        self.changed |= open.done != done;
        open.done = done;
    }

    /// Draws the verdict that the seconds ask for.
    fn judge(&mut self, now: Timestamp, rollout: &Arc<str>, out: &mut Vec<Effect>) {
        let (Some(open), Some(known)) = (self.open.get(rollout), self.state.rollouts.get(rollout))
        else {
            return;
        };
        let slis = &known.announced.measured.slis;
        let by = match open.watch.failed() {
            Some(place) => slis.get(place).map(|sli| (place, Arc::clone(&sli.name))),
            None if open.watch.is_dead() => Some((0, PROCESS.into())),
            None => None,
        };
        let Some((place, sli)) = by else { return };
        self.stats.failed += 1;
        self.seal(now, rollout, (place, sli), Verdict::Fail, out);
    }

    /// Seals how each SLI stands at the end.
    pub(super) fn decide_all(&mut self, now: Timestamp, rollout: &Arc<str>, out: &mut Vec<Effect>) {
        let (Some(open), Some(known)) = (self.open.get(rollout), self.state.rollouts.get(rollout))
        else {
            return;
        };
        if known.failure().is_some() {
            return;
        }
        let slis = known.announced.measured.slis.iter().map(|sli| Arc::clone(&sli.name));
        let outcomes: Vec<_> = slis.zip(open.watch.outcomes()).enumerate().collect();
        for (place, (sli, outcome)) in outcomes {
            self.seal(now, rollout, (place, sli), outcome.verdict, out);
        }
    }

    fn seal(
        &mut self,
        now: Timestamp,
        rollout: &Arc<str>,
        (place, sli): (usize, Arc<str>),
        verdict: Verdict,
        out: &mut Vec<Effect>,
    ) {
        let Some(known) = self.state.rollouts.get(rollout) else { return };
        let how = (watch::config(&known.announced), self.state.chain);
        let (mut grounds, bytes) =
            sealed(known, known.seconds.len(), (place, &sli), how, &self.key);
        if *sli == *PROCESS {
            GONE.clone_into(&mut grounds.reason);
        }
        let name = record_name(&known.announced, known.decided.len() + 1);
        let (rollout, record, grounds) = (Arc::clone(rollout), Hash::of(&bytes), Arc::new(grounds));
        let job = KeepJob { rollout: Arc::clone(&rollout), name, bytes };
        self.record(Record::Decided { rollout, sli, verdict, grounds, record, at: now }, out);
        self.keeping.keep(job, out);
    }

    /// Makes the files of all records that may have none anew.
    pub(super) fn keep_all(&mut self, out: &mut Vec<Effect>) {
        for known in self.state.rollouts.values().filter(|known| !known.is_kept) {
            let announced = &known.announced;
            let slis = &announced.measured.slis;
            for (number, decided) in (1..).zip(&known.decided) {
                let place = slis.iter().position(|sli| sli.name == decided.sli).unwrap_or(0);
                let how = (watch::config(announced), decided.previous);
                let sli = (place, &*decided.sli);
                let (_, bytes) = sealed(known, decided.seconds, sli, how, &self.key);
                // Signed with another key it would be another file than the journal says.
                if Hash::of(&bytes) == decided.record {
                    let name = record_name(announced, number);
                    let rollout = Arc::clone(&announced.rollout);
                    self.keeping.keep(KeepJob { rollout, name, bytes }, out);
                } else {
                    self.stats.records_lost += 1;
                }
            }
        }
        let rollouts: Vec<_> = self.state.rollouts.keys().cloned().collect();
        rollouts.iter().for_each(|rollout| self.settle(rollout, out));
    }

    /// Drops what the records of a rollout are made of, once it has ended and all are written.
    pub(super) fn settle(&mut self, rollout: &Arc<str>, out: &mut Vec<Effect>) {
        let Some(known) = self.state.rollouts.get(rollout) else { return };
        if known.ended.is_some() && !known.is_kept && !self.keeping.has(rollout) {
            self.record(Record::Kept { rollout: Arc::clone(rollout) }, out);
        }
    }

    /// Has a hook asked, once.
    fn ask(&mut self, now: Now, announced: &Announced, kind: Kind, out: &mut Vec<Effect>) {
        let Some(open) = self.open.get_mut(&announced.rollout) else { return };
        if !open.asked.insert(kind) {
            return;
        }
        open.watch.expect();
        let known = self.state.rollouts.get(&announced.rollout);
        let failure = known.and_then(|known| {
            let number = known.decided.iter().position(|d| d.verdict == Verdict::Fail)? + 1;
            Some((known.failure()?, record_name(announced, number)))
        });
        let record = failure.as_ref().map(|(decided, name)| RecordRef {
            name: name.clone(),
            sha256: decided.record.to_string(),
        });
        let wish = Wish {
            rollout: Arc::clone(&announced.rollout),
            service: Arc::clone(&announced.service),
            environment: Arc::clone(&announced.environment),
            kind,
            announced_at: announced.at,
            confirmed: known.is_some_and(|known| known.said_at(Word::Confirm).is_some()),
            from: Arc::clone(&announced.to),
            to: Arc::clone(&announced.from),
            hook: announced.hook.clone(),
            reason: self.reason(&announced.rollout),
            record,
        };
        let mut signals = Vec::new();
        if self.lanes.want(now, wish, &mut signals) == Wanted::Full
            && let Some(open) = self.open.get_mut(&announced.rollout)
        {
            // Wished again with the next second.
            open.asked.remove(&kind);
        }
        self.signalled(now, &mut signals, out);
    }

    /// Why a rollout has failed, or how it stands, in one sentence.
    pub(super) fn reason(&self, rollout: &Arc<str>) -> String {
        let Some(known) = self.state.rollouts.get(rollout) else { return String::new() };
        match (known.failure(), self.open.get(rollout), known.decided.first()) {
            (Some(Decided { sli, grounds, .. }), _, _) if **sli == *PROCESS => {
                grounds.reason.clone()
            }
            (Some(Decided { sli, grounds, .. }), _, _) => format!("{sli}: {}", grounds.reason),
            (None, Some(open), _) => {
                open.watch.outcomes().next().map(|outcome| outcome.reason).unwrap_or_default()
            }
            (None, None, decided) => {
                decided.map(|decided| decided.grounds.reason.clone()).unwrap_or_default()
            }
        }
    }

    fn end_if_over(&mut self, now: Now, rollout: &Arc<str>, out: &mut Vec<Effect>) {
        let (Some(open), Some(known)) = (self.open.get(rollout), self.state.rollouts.get(rollout))
        else {
            return;
        };
        let announced = &known.announced;
        let since = |at: Timestamp| now.wall.millis_since(at);
        let watch = i64::try_from(announced.watch_ms).unwrap_or(i64::MAX);
        let is_watched = known.said_at(Word::Finish).is_some_and(|at| since(at) >= watch);
        let is_failed = known.failure().is_some();
        // One that has failed is somebody's to end, for a day.
        let end = if is_failed && since(announced.at) >= FORGOTTEN_MS {
            End::Failed
        } else if is_failed {
            return;
        } else if is_watched {
            End::Watched
        } else if since(announced.at) >= FORGOTTEN_MS.saturating_add(watch)
            || open.watch.ticks() >= TICKS_MAX
        {
            End::Forgotten
        } else {
            return;
        };
        self.end(now, rollout, end, out);
    }
}

/// The file of a rollout's record, by its number from 1. It has the time of the announce, since a
/// name may come again once it is forgotten.
pub(super) fn record_name(announced: &Announced, number: usize) -> String {
    let at: String = date_millis(announced.at).chars().filter(char::is_ascii_digit).collect();
    format!("{}-{at}-{number}.json", announced.rollout)
}

/// The decision record of one SLI: its grounds, and its file, signed.
fn sealed(
    known: &Rollout,
    seconds: usize,
    (place, sli): (usize, &str),
    (config, previous): (Config, Option<Hash>),
    key: &SecretKey,
) -> (Outcome, Vec<u8>) {
    let announced = &known.announced;
    let cause = if sli == PROCESS { "dead" } else { "counts" };
    let subject = [
        ("cause", cause),
        ("environment", &announced.environment),
        ("from", &announced.from),
        ("mode", announced.mode.name()),
        ("risk", announced.risk.name()),
        ("rollout", &announced.rollout),
        ("service", &announced.service),
        ("sli", sli),
        ("strategy", announced.strategy.name()),
        ("to", &announced.to),
    ];
    let subject: BTreeMap<String, String> =
        subject.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let ticks = known.seconds.iter().take(seconds).flat_map(|second| {
        let counts = second.counts.iter().filter(|count| usize::from(count.sli) == place);
        counts.map(|count| Tick {
            second: second.second,
            stratum: count.stratum,
            canary: count.canary,
            baseline: count.baseline,
        })
    });
    let context = Context { previous, subject, strata: strata(known, seconds) };
    let record = DecisionRecord::judge(config, ticks.collect(), context);
    let record = record.expect("invariant: seconds are counted and bounded as a record holds them");
    let file = record.seal(key);
    (record.outcome, file)
}

/// What is to be counted of a rollout.
pub(super) fn count_plan(announced: &Announced) -> Arc<CountPlan> {
    let matchers = |clauses: &[Clause]| -> Vec<Matcher> {
        clauses.iter().filter_map(Clause::matcher).collect()
    };
    let measured = &announced.measured;
    let slis = measured.slis.iter().map(|sli| {
        let (total, part) = (matchers(&sli.total), matchers(&sli.part));
        if sli.is_good { Sli::Good { total, good: part } } else { Sli::Bad { total, bad: part } }
    });
    Arc::new(CountPlan {
        slis: slis.collect(),
        version_label: measured.version_label.clone(),
        stratum_label: measured.stratum_label.clone(),
        environment: matchers(&measured.environment),
        from: Arc::clone(&announced.from),
        to: Arc::clone(&announced.to),
        canary: matchers(&announced.canary),
        baseline: matchers(&announced.baseline),
    })
}

/// The names of the strata that the first seconds have: one without a name is left out.
fn strata(known: &Rollout, seconds: usize) -> Vec<String> {
    let counts = known.seconds.iter().take(seconds).flat_map(|second| &second.counts);
    let most = counts.map(|count| usize::from(count.stratum) + 1).max().unwrap_or(0);
    if most <= 1 && known.announced.measured.stratum_label.is_none() {
        return Vec::new();
    }
    known.strata.iter().take(most).cloned().collect()
}
