//! Running a script: each evaluation is made as it is written and in forms that must give the
//! same.
//!
//! An instant evaluation at t is made at t, then with every selector pinned by `@ t` at other
//! times, unless a function makes the result depend on the time; and each of these once more as
//! the middle one of three steps. Lookback, steps and limits are those that Prometheus' scripts
//! expect.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use bellwether_model::time::Timestamp;

use super::answer::{self, Given, differs};
use super::ask::{Asked, Failure, ask};
use super::load::{Loaded, TooMuch};
use super::pin::pin;
use super::read::{Answer, Command, Evaluation, Load, Span, Text, When};
use crate::annotation::Level;
use crate::parse::parse;
use crate::tree::Expr;

/// From the middle of three steps to the others.
const STEP: Duration = Duration::from_secs(60);

/// What became of one evaluation.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Where it stands in the script, from 1.
    pub line: usize,
    /// The query as written.
    pub query: String,
    /// Whether it gave what was expected.
    pub verdict: Verdict,
}

/// Whether an evaluation gave what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// In every form.
    Passed,
    /// It did not; the first difference.
    Failed(String),
    /// It selects native histograms, which are not there yet.
    Skipped,
}

/// How many evaluations passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In every form as expected.
    pub passed: usize,
    /// Not as expected.
    pub failed: usize,
    /// Selecting native histograms.
    pub skipped: usize,
}

impl Tally {
    /// Counts outcomes.
    #[must_use]
    pub fn of(outcomes: &[Outcome]) -> Tally {
        let mut tally = Tally::default();
        for outcome in outcomes {
            match outcome.verdict {
                Verdict::Passed => tally.passed += 1,
                Verdict::Failed(_) => tally.failed += 1,
                Verdict::Skipped => tally.skipped += 1,
            }
        }
        tally
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Runs a script; a failure does not end it.
///
/// # Errors
/// More is loaded than fits.
pub fn run(commands: &[Command]) -> Result<Vec<Outcome>, TooMuch> {
    let mut loaded = Loaded::default();
    let mut outcomes = Vec::new();
    for command in commands {
        match command {
            Command::Clear => loaded.clear(),
            Command::Load(load) => add(&mut loaded, load)?,
            Command::Evaluate(evaluation) => outcomes.push(Outcome {
                line: evaluation.line,
                query: evaluation.query.clone(),
                verdict: verdict(evaluation, &loaded),
            }),
        }
    }
    Ok(outcomes)
}

fn add(loaded: &mut Loaded, load: &Load) -> Result<(), TooMuch> {
    loaded.add(Timestamp(0), load.step, &load.series)?;
    if load.with_custom_buckets {
        loaded.add_custom_buckets(&load.series);
    }
    Ok(())
}

fn verdict(evaluation: &Evaluation, loaded: &Loaded) -> Verdict {
    let parsed = parse(&evaluation.query);
    if needs_histograms(&evaluation.query, parsed.as_ref().ok(), loaded) {
        return Verdict::Skipped;
    }
    let outcome = match parsed {
        Ok(expr) => every_form(evaluation, &expr, loaded),
        Err(_) => check(evaluation, &evaluation.query, evaluation.when, loaded).map(drop),
    };
    outcome.map_or_else(Verdict::Failed, |()| Verdict::Passed)
}

fn needs_histograms(query: &str, parsed: Option<&Expr>, loaded: &Loaded) -> bool {
    let Some(expr) = parsed else { return loaded.names_histogram(query) };
    let mut needs = false;
    expr.each_selector(&mut |selector| needs |= loaded.finds_histograms(&selector.matchers));
    needs
}

fn every_form(evaluation: &Evaluation, expr: &Expr, loaded: &Loaded) -> Result<(), String> {
    let at = match (evaluation.when, &evaluation.answer) {
        (When::Over(span), _) => {
            return check(evaluation, &evaluation.query, When::Over(span), loaded).map(drop);
        }
        (When::At(_), Answer::Matrix(span, _)) => span.end,
        (When::At(at), _) => at,
    };
    instant(evaluation, &evaluation.query, at, loaded)?;
    let mut pinned = expr.clone();
    if !pin(&mut pinned, at) {
        return Ok(());
    }
    let pinned = pinned.to_string();
    let others = match at.0 {
        0 => vec![-1000, 0, 1000],
        t => vec![t.saturating_mul(-10), 0, t / 5, t, t.saturating_mul(10)],
    };
    for other in others {
        let differs = |difference| format!("at {}: {pinned}: {difference}", Timestamp(other));
        instant(evaluation, &pinned, Timestamp(other), loaded).map_err(differs)?;
    }
    Ok(())
}

/// One instant form, and the same as the middle of three steps.
fn instant(
    evaluation: &Evaluation,
    query: &str,
    at: Timestamp,
    loaded: &Loaded,
) -> Result<(), String> {
    let Some(given) = check(evaluation, query, When::At(at), loaded)? else { return Ok(()) };
    if !matches!(evaluation.answer, Answer::Series(_) | Answer::Number(_))
        || ["start()", "end()", "range()", "step()"].iter().any(|call| query.contains(call))
    {
        return Ok(());
    }
    let span = Span { start: at.saturating_sub(STEP), end: at.saturating_add(STEP), step: STEP };
    let over =
        ask(query, When::Over(span), loaded).map_err(|failure| format!("as a range: {failure}"))?;
    if evaluation.expect.ordered {
        // Ranges are in the order of their labels.
        return Ok(());
    }
    let middle = answer::middle(&over.value, at, &given);
    differs(&evaluation.answer, &middle, false)
        .map_or(Ok(()), |difference| Err(format!("as a range: {difference}")))
}

/// Asks once and compares; gives the value, `None` if a failure was expected and came.
fn check(
    evaluation: &Evaluation,
    query: &str,
    when: When,
    loaded: &Loaded,
) -> Result<Option<Given>, String> {
    let expect = &evaluation.expect;
    let asked = match (ask(query, when, loaded), &expect.fail) {
        (Ok(asked), None) => asked,
        (Ok(_), Some(_)) => return Err("expected an error, got an answer".to_owned()),
        (Err(failure), None) => return Err(failure.to_string()),
        (Err(Failure::Unsupported(message)), Some(_)) => return Err(message),
        (Err(failure), Some(text)) => {
            let message = failure.to_string();
            return if text.meets(&message) {
                Ok(None)
            } else {
                Err(format!("expected the error {:?}, got {message:?}", text.as_str()))
            };
        }
    };
    annotations(&expect.warn, expect.no_warn, &asked, Level::Warning, query)?;
    annotations(&expect.info, expect.no_info, &asked, Level::Info, query)?;
    let span = match (&evaluation.answer, &when) {
        (Answer::Matrix(span, _), _) | (_, When::Over(span)) => Some(*span),
        _ => None,
    };
    let given = Given { value: asked.value, span };
    match differs(&evaluation.answer, &given, expect.ordered) {
        Some(difference) => Err(difference),
        None => Ok(Some(given)),
    }
}

fn annotations(
    expected: &[Text],
    none: bool,
    asked: &Asked,
    level: Level,
    query: &str,
) -> Result<(), String> {
    let word = if level == Level::Warning { "warning" } else { "info" };
    let found = asked.annotations.rendered(level, query);
    if none && !found.is_empty() {
        return Err(format!("expected no {word}, got {found:?}"));
    }
    if let Some(missing) = expected.iter().find(|e| !found.iter().any(|text| e.meets(text))) {
        return Err(format!("expected the {word} {:?}, got {found:?}", missing.as_str()));
    }
    let more = found.iter().find(|text| !expected.iter().any(|e| e.meets(text)));
    match more {
        Some(more) if !expected.is_empty() => Err(format!("did not expect the {word} {more:?}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
