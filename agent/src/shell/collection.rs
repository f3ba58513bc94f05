//! All inputs of one agent, their files and their rows: one call collects one tick.
//!
//! Inputs of one cadence share a column group. An input that fails has no values in the row; after
//! three failures in a row its columns end and it starts anew. What an input wants read apart is
//! asked for one tick before its row, so that the answers are there when the row is filled.
//! Targets of probes and scrapes have groups of their own, with a row at the tick after each
//! result.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_model::id::GroupId;
use bellwether_model::label::{LabelError, LabelSet};
use bellwether_model::time::{Mono, Now, Timestamp};
use bellwether_model::wire::table::Table;
use bellwether_platform::clock::Clock;

use crate::pure::columns::{Column, Owned, Row};
use crate::pure::config::InputPlan;
use crate::pure::family::{Family, FamilySpec, seconds};
use crate::pure::files::{Asks, DueApart, Files};
use crate::pure::input::{Collect, Facts, INPUTS, Input, InputError, InputSpec, Pace, Setup};
use crate::shell::host::Host;
use crate::shell::targets::{ScrapeTally, Targets};

/// A column group with the row of a tick.
#[derive(Debug)]
pub struct Group {
    /// Its number, stable while the agent runs.
    pub id: GroupId,
    /// Its columns and the row.
    pub table: Table,
    /// Whether the table holds a row of this tick.
    pub due: bool,
    /// Labels of a target that are not the agent's: a page tells its series apart by them.
    pub shown: LabelSet,
    /// Whether it stands on the agent's page: what is scraped does not, or the page of an agent
    /// that scrapes itself would grow for ever.
    pub is_shown: bool,
}

/// What one tick came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Values in the rows.
    pub samples: u64,
    /// Inputs that failed, by name, with the reason.
    pub failed: Vec<(&'static str, InputError)>,
    /// Columns that an input's bound refused in this tick.
    pub refused: u64,
    /// Results of probes that were given up, since newer ones waited.
    pub probes_dropped: u64,
    /// What came of scrapes.
    pub scrapes: ScrapeTally,
}

/// How it goes with one input.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub input: &'static str,
    /// The stamp of its last whole row.
    pub last_success: Option<Timestamp>,
    /// How long its last row took.
    pub took: Duration,
    /// Why its last row is not whole.
    pub error: Option<InputError>,
    /// Series of its own.
    pub series: usize,
    /// Series that its bound keeps out.
    pub left_out: usize,
}

/// Calls of an input for one row: each may ask for files that the next one reads.
const CALLS_MAX: u32 = 4;
/// Failures in a row after which an input's columns end.
const FAILURES_MAX: u32 = 3;

/// While there are targets, ticks are at most so far apart: results wait for the next one.
const TARGETS_BASE: u64 = 1000;
/// The cadence of the group that says whose it is, where there is no input.
const ALONE: Duration = Duration::from_secs(15);

const SECONDS: FamilySpec = FamilySpec::gauge(
    "node_scrape_collector_duration_seconds",
    "Seconds that collecting an input took.",
);
const SUCCESS: FamilySpec =
    FamilySpec::gauge("node_scrape_collector_success", "Whether an input was collected whole.");

/// The inputs of a plan at work.
pub struct Collection {
    inputs: Vec<Running>,
    groups: Vec<Group>,
    files: Files,
    host: Host,
    clock: Clock,
    facts: Facts,
    base: Duration,
    row: u64,
    has_collected: bool,
    /// Their groups are behind those of the inputs.
    targets: Targets,
    /// Groups at the end that are of an earlier configuration, for one row.
    buried: usize,
}

struct Running {
    plan: InputPlan,
    /// Its place among all inputs there are, the same after a reload.
    place: usize,
    group: usize,
    input: Box<dyn Input>,
    owned: Owned,
    failures: u32,
    seconds: Column,
    success: Column,
    report: Report,
}

/// The widest cadence of which all others are multiples, from 10 ms up.
fn base_of(plans: &[InputPlan]) -> Duration {
    let divisor = plans.iter().map(|plan| millis(plan.cadence())).fold(0, greatest_divisor);
    Duration::from_millis(if divisor == 0 { 1000 } else { divisor })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn greatest_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

impl Collection {
    /// Builds the inputs of a plan. `target` is what all series share.
    ///
    /// # Errors
    /// A name of an input that is no label, which the static list rules out.
    pub fn new(
        plans: &[InputPlan],
        target: &LabelSet,
        host: Host,
        clock: Clock,
        facts: Facts,
    ) -> Result<Collection, LabelError> {
        let mut cadences: Vec<(bool, Duration)> = plans.iter().map(InputPlan::group_key).collect();
        cadences.sort_unstable();
        cadences.dedup();
        if cadences.is_empty() {
            cadences.push((false, ALONE));
        }
        let group = |(id, (_, cadence)): (u32, &(bool, Duration))| {
            Group::new(GroupId(id), Table::new(target.clone(), *cadence))
        };
        let mut groups: Vec<Group> = (0..).zip(&cadences).map(group).collect();
        let mut files = Files::default();
        let (seconds, success) = (Family::new(&SECONDS), Family::new(&SUCCESS));
        let mut inputs = Vec::new();
        for (number, plan) in plans.iter().enumerate() {
            let key = plan.group_key();
            let group = cadences.iter().position(|cadence| *cadence == key).unwrap_or_default();
            let mut own = Owned::new(usize::MAX);
            let Some(Group { table, .. }) = groups.get_mut(group) else { continue };
            let mut row = Row::new(table, &mut own);
            let label = [("collector", plan.spec.name)];
            let is_it = |spec: &InputSpec| spec.name == plan.spec.name;
            let place = INPUTS.iter().position(is_it).unwrap_or(INPUTS.len() + number);
            inputs.push(Running {
                group,
                place,
                input: make(plan, &mut files, place, &facts),
                owned: Owned::new(plan.series_max),
                failures: 0,
                seconds: row.add(seconds.column(&label)?),
                success: row.add(success.column(&label)?),
                report: Report::new(plan.spec.name),
                plan: plan.clone(),
            });
        }
        let base = base_of(plans);
        Ok(Collection {
            inputs,
            groups,
            files,
            host,
            clock,
            facts,
            base,
            row: 0,
            has_collected: false,
            targets: Targets::none(),
            buried: 0,
        })
    }

    /// The same, with targets beside the inputs.
    #[must_use]
    pub fn beside(mut self, mut targets: Targets) -> Collection {
        let own = self.groups.first().map(|group| group.table.target().clone());
        self.groups.extend(targets.groups(&own.unwrap_or_default()));
        if targets.may_come() {
            self.base = Duration::from_millis(greatest_divisor(millis(self.base), TARGETS_BASE));
        }
        self.targets = targets;
        self
    }

    /// Time from tick to tick: every input's cadence is a multiple.
    #[must_use]
    pub fn base(&self) -> Duration {
        self.base
    }

    /// The groups with the rows of the last tick.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The groups, for what takes the rows away.
    pub fn groups_mut(&mut self) -> &mut [Group] {
        &mut self.groups
    }

    /// How it goes with each input.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.inputs.iter().map(|running| &running.report)
    }

    /// Takes over from a collection of an earlier configuration: of its groups, those that this one
    /// lacks end with the next row.
    pub fn succeed(&mut self, old: Collection) {
        let Collection { targets, groups: theirs, host, .. } = old;
        self.host.succeed(host);
        let ids: Vec<GroupId> = theirs.iter().map(|group| group.id).collect();
        let target = self.groups.first().map(|group| group.table.target().clone());
        let own = self.groups.len() - self.targets.groups_len();
        let groups = self.groups.get_mut(own..).unwrap_or_default();
        self.targets.succeed(targets, theirs, groups);
        let held: BTreeSet<GroupId> = self.groups.iter().map(|group| group.id).collect();
        self.bury(ids.into_iter().filter(|id| !held.contains(id)), &target.unwrap_or_default());
    }

    /// Puts groups at the end that have one row yet, in which all of their series end.
    fn bury(&mut self, gone: impl Iterator<Item = GroupId>, target: &LabelSet) {
        let before = self.groups.len();
        self.groups
            .extend(gone.map(|id| Group::new(id, Table::new(target.clone(), Duration::ZERO))));
        self.buried = self.groups.len() - before;
    }

    /// Takes what has come of targets, and marks their groups that have a row. Where groups end
    /// with this row no scrape has one: a series that ends there may go on in another group.
    fn gather(&mut self, collected: &mut Collected) {
        let own = self.groups.len() - self.buried - self.targets.groups_len();
        self.targets.gather_probes();
        if self.buried == 0 && self.targets.gather_scrapes() {
            let mut theirs = self.groups.split_off(own);
            let target = self.groups.first().map(|group| group.table.target().clone());
            let target = target.unwrap_or_default();
            let gone = self.targets.turn(&mut theirs, &target);
            self.groups.append(&mut theirs);
            self.bury(gone.into_iter(), &target);
            self.groups.iter_mut().rev().take(self.buried).for_each(|group| group.due = true);
        }
        let end = self.groups.len() - self.buried;
        let theirs = self.groups.get_mut(own..end).unwrap_or_default();
        self.targets.mark(theirs);
        if self.buried > 0 {
            self.targets.hold_scrapes(theirs);
        }
        (collected.probes_dropped, collected.scrapes) = self.targets.tell();
    }

    /// Names of the inputs with a row of the last tick, in a failed one too.
    pub fn due_inputs(&self) -> impl Iterator<Item = &'static str> {
        let due = self.inputs.iter().filter(|running| running.is_due(&self.groups));
        due.map(|running| running.plan.spec.name)
    }

    /// Lets the slow inputs find out what they need before their first row.
    pub fn prime(&mut self) {
        self.row += 1;
        self.host.begin_tick();
        let mut now = self.clock.now();
        for number in 0..self.inputs.len() {
            let Some(input) = self.inputs.get(number) else { break };
            let place = input.place;
            if input.plan.spec.pace == Pace::Slow {
                now = self.fill(number, now, &mut Collected::default());
                self.host.ask_apart(&mut self.files, place, DueApart::New, now.mono);
            }
        }
    }

    /// Waits until what was asked apart is answered, or is stuck.
    pub fn wait_apart(&self) {
        self.host.wait_apart();
    }

    /// Collects what is due at the tick `tick`, a multiple of [`Collection::base`]. The first tick
    /// has a row of every slow input.
    pub fn collect(&mut self, tick: Timestamp) -> Collected {
        self.row += 1;
        self.host.begin_tick();
        if self.has_collected {
            self.groups.truncate(self.groups.len() - std::mem::take(&mut self.buried));
        }
        for group in &mut self.groups {
            group.due = group.is_due(tick);
        }
        let mut collected = Collected::default();
        self.gather(&mut collected);
        if !std::mem::replace(&mut self.has_collected, true) {
            // Nobody waits a slow cadence for the first row.
            for input in self.inputs.iter().filter(|input| input.plan.spec.pace == Pace::Slow) {
                if let Some(group) = self.groups.get_mut(input.group) {
                    group.due = true;
                }
            }
        }
        for group in self.groups.iter_mut().filter(|group| group.due) {
            group.table.begin_row();
        }
        let end = self.groups.len() - self.buried;
        let own = end - self.targets.groups_len();
        self.targets.fill(self.groups.get_mut(own..end).unwrap_or_default());
        self.read_ahead();
        let mut now = self.clock.now();
        for number in 0..self.inputs.len() {
            if self.inputs.get(number).is_some_and(|running| running.is_due(&self.groups)) {
                now = self.fill(number, now, &mut collected);
            }
        }
        self.ask_apart(tick, now.mono);
        self.host.close_released(&mut self.files);
        let due = self.groups.iter().filter(|group| group.due);
        let is_set = |value: &&f64| !bellwether_model::series::is_absent(**value);
        let samples: usize =
            due.map(|group| group.table.values().iter().filter(is_set).count()).sum();
        collected.samples = u64::try_from(samples).unwrap_or(u64::MAX);
        collected
    }

    /// Reads what the inputs need that are due.
    fn read_ahead(&mut self) {
        let Collection { inputs, groups, files, host, clock, row, .. } = self;
        let due = inputs.iter().filter(|running| running.is_due(groups));
        host.read_ahead(files, due.map(|running| running.place), *row, clock.now().mono);
    }

    /// Asks apart for what the next tick needs, and for what was found in this one.
    fn ask_apart(&mut self, tick: Timestamp, now: Mono) {
        let base = i64::try_from(self.base.as_millis()).unwrap_or(i64::MAX);
        let next = Timestamp(tick.0.saturating_add(base));
        let Collection { inputs, groups, files, host, .. } = self;
        for running in inputs {
            let Some(group) = groups.get(running.group) else { continue };
            let due = match (group.due, group.is_due(next)) {
                (_, true) => DueApart::All,
                (true, _) => DueApart::New,
                _ => continue,
            };
            host.take_answers(files, running.place, self.row, now);
            host.ask_apart(files, running.place, due, now);
        }
        self.host.tend(now);
    }

    /// Fills one input's part of the row; returns the time after it.
    fn fill(&mut self, number: usize, now: Now, collected: &mut Collected) -> Now {
        let Collection { inputs, groups, files, host, clock, facts, .. } = self;
        let Some(running) = inputs.get_mut(number) else { return now };
        let Some(group) = groups.get_mut(running.group) else { return now };
        let place = running.place;
        host.take_answers(files, place, self.row, now.mono);
        let refused = running.owned.refused();
        let mut result = Ok(());
        for _ in 0..CALLS_MAX {
            result = host.read(files, place, self.row, now.mono);
            if result.is_err() {
                break;
            }
            let row = Row::new(&mut group.table, &mut running.owned);
            let mut at = Collect { now, files: Asks::new(files, place), row };
            result = running.input.collect(&mut at);
            if result.is_err() || !files.has_unread(place) {
                break;
            }
        }
        collected.refused += running.owned.refused() - refused;
        let is_whole = result.is_ok() && running.owned.left_out() == 0;
        if is_whole {
            running.report.last_success = Some(now.wall);
        }
        if running.report.error.as_ref() != result.as_ref().err() {
            running.report.error = result.as_ref().err().cloned();
        }
        match result {
            Ok(()) => running.failures = 0,
            Err(error) => {
                running.fail(&mut group.table, files, facts);
                if error != InputError::Absent {
                    collected.failed.push((running.plan.spec.name, error));
                }
            }
        }
        let after = clock.now();
        let took = after.mono.since(now.mono) + host.take_took(place);
        running.report.took = took;
        (running.report.series, running.report.left_out) =
            (running.owned.live(), running.owned.left_out());
        let mut own = Owned::new(0);
        let mut row = Row::new(&mut group.table, &mut own);
        row.set(running.seconds, seconds(took));
        row.set(running.success, f64::from(u8::from(is_whole)));
        after
    }
}

impl Report {
    /// That of an input before its first row.
    pub(crate) fn new(input: &'static str) -> Report {
        let took = Duration::ZERO;
        Report { input, last_success: None, took, error: None, series: 0, left_out: 0 }
    }
}

impl Group {
    /// A group whose labels are the agent's.
    #[must_use]
    pub fn new(id: GroupId, table: Table) -> Group {
        Group { id, table, due: false, shown: LabelSet::default(), is_shown: true }
    }

    /// Whether the tick is one of its cadence.
    fn is_due(&self, tick: Timestamp) -> bool {
        let cadence = i64::try_from(self.table.cadence().as_millis()).unwrap_or(i64::MAX);
        tick.0.rem_euclid(cadence.max(1)) == 0
    }
}

impl Running {
    /// Whether it has a row of this tick.
    fn is_due(&self, groups: &[Group]) -> bool {
        groups.get(self.group).is_some_and(|group| group.due)
    }

    fn fail(&mut self, table: &mut Table, files: &mut Files, facts: &Facts) {
        self.owned.blank(table);
        self.failures += 1;
        if self.failures == FAILURES_MAX {
            self.owned.end_all(table);
            files.release_all(self.place);
            self.input = make(&self.plan, files, self.place, facts);
        }
    }
}

fn make(plan: &InputPlan, files: &mut Files, place: usize, facts: &Facts) -> Box<dyn Input> {
    let files = Asks::new(files, place);
    let mut setup = Setup { files, filters: plan.filters.clone(), facts: facts.clone() };
    (plan.spec.make)(&mut setup)
}

#[cfg(test)]
mod tests;
