//! The section `inputs`: which run, how often, over which devices.

use std::time::Duration;

use bellwether_model::config::{Fields, code};
use bellwether_model::diagnostic::Diagnostic;
use regex_automata::meta::{BuildError, Regex};

use super::{probe, scrape};
use crate::pure::filter::{FilterSpec, NameFilter};
use crate::pure::input::{INPUTS, InputSpec, Pace};

/// Time from row to row by default.
const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The same for slow inputs.
const SLOW_INTERVAL: Duration = Duration::from_secs(15);
/// Series of one input by default, and at most: all inputs of a cadence share a column group.
pub(super) const SERIES_PER_INPUT: u64 = 10_000;
pub(super) const SERIES_MAX: u64 = 10_000;
/// Rows in a second at most, of an input with a cadence of its own.
const ROWS_MAX: u64 = 100;

/// An input that runs.
#[derive(Clone, Debug)]
pub struct InputPlan {
    /// Which.
    pub spec: &'static InputSpec,
    /// Time from row to row; for an input with a cadence of its own see [`InputPlan::cadence`].
    pub interval: Duration,
    /// Rows in a second, of an input with a cadence of its own.
    pub rows_per_second: u32,
    /// Which names it takes, in the order of the spec's filters.
    pub filters: Vec<NameFilter>,
    /// Series it may have.
    pub series_max: usize,
}

impl InputPlan {
    /// An input as it is by default.
    #[must_use]
    pub fn new(spec: &'static InputSpec) -> InputPlan {
        InputPlan {
            spec,
            interval: default_interval(spec, INTERVAL),
            rows_per_second: 1,
            filters: spec.filters.iter().map(FilterSpec::default_filter).collect(),
            series_max: usize::try_from(SERIES_PER_INPUT).unwrap_or(usize::MAX),
        }
    }

    /// Time from row to row.
    #[must_use]
    pub fn cadence(&self) -> Duration {
        if self.spec.pace == Pace::Rows {
            Duration::from_secs(1) / self.rows_per_second.max(1)
        } else {
            self.interval
        }
    }

    /// Inputs with equal keys share a column group; those with their own cadence stay apart.
    #[must_use]
    pub fn group_key(&self) -> (bool, Duration) {
        (self.spec.pace == Pace::Rows, self.cadence())
    }
}

/// The inputs that run, whom to probe and whom to scrape.
pub(super) fn describe(
    f: &mut Fields<'_>,
    series_max: u64,
) -> (Vec<InputPlan>, probe::Section, scrape::Section) {
    let interval = interval(f, "Time from row to row of all inputs.", INTERVAL);
    let mut plans = Vec::new();
    for spec in INPUTS {
        let plan = f.section(spec.name, |f| input(f, spec, interval));
        let series_max = usize::try_from(series_max).unwrap_or(usize::MAX);
        plans.extend(plan.map(|plan| InputPlan { series_max, ..plan }));
    }
    (plans, f.section("probe", probe::describe), f.section("scrape", scrape::describe))
}

/// One input; `None` if it is off.
fn input(f: &mut Fields<'_>, spec: &'static InputSpec, every: Duration) -> Option<InputPlan> {
    let is_on = f.flag("enabled", spec.about).or(spec.is_default);
    let every = default_interval(spec, every);
    let mut plan = InputPlan { interval: every, ..InputPlan::new(spec) };
    if spec.pace == Pace::Rows {
        let rows = f
            .integer("rows_per_second", "Rows in a second; a divisor of 1000.")
            .between(1, ROWS_MAX)
            .check(|rows| match 1000 % rows {
                0 => Ok(()),
                _ => Err("must divide 1000".to_owned()),
            })
            .or(1);
        plan.rows_per_second = u32::try_from(rows).unwrap_or(1);
    } else {
        plan.interval = interval(f, "Time from row to row of this input.", every);
    }
    for (spec, filter) in spec.filters.iter().zip(&mut plan.filters) {
        let include = pattern(f, spec.include_key, "Only names that match are taken.");
        let exclude = pattern(f, spec.exclude_key, "Names that match are left out.");
        if include.is_some() && exclude.is_some() {
            let message =
                format!("`{}` and `{}` exclude each other", spec.include_key, spec.exclude_key);
            let place = f.place_of(spec.include_key);
            f.push(Diagnostic::error(code::CONFLICT, place, message));
        }
        if include.is_some() || exclude.is_some() {
            *filter = NameFilter { exclude, include };
        }
    }
    is_on.then_some(plan)
}

/// What an input's interval is unless it has one of its own, given that of all.
fn default_interval(spec: &InputSpec, every: Duration) -> Duration {
    if spec.pace == Pace::Slow { every.max(SLOW_INTERVAL) } else { every }
}

/// Whole seconds, so that rows of all inputs fall together and Prometheus' rates divide evenly.
fn interval(f: &mut Fields<'_>, help: &'static str, default: Duration) -> Duration {
    f.duration("interval", help)
        .between(INTERVAL, INTERVAL_MAX)
        .check(|interval| match interval.subsec_millis() {
            0 => Ok(()),
            _ => Err("must be whole seconds".to_owned()),
        })
        .or(default)
}

fn pattern(f: &mut Fields<'_>, key: &'static str, help: &'static str) -> Option<Regex> {
    let text = f.text(key, help).check(|text| match Regex::new(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("is no regular expression: {}", reason(&error))),
    });
    text.optional().and_then(|text| Regex::new(&text).ok())
}

/// The last line of what the parser says; those before draw the pattern.
pub(super) fn reason(error: &BuildError) -> String {
    let text = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}
