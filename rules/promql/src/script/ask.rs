//! One question to the engine, as a script asks it.

use std::sync::atomic::AtomicBool;

use super::load::Loaded;
use super::read::When;
use crate::annotation::Annotations;
use crate::evaluate::{Budget, EvaluateError, Options, Steps, Value, evaluate};
use crate::parse::{ParseError, parse};
use crate::pool::Serial;

/// Samples that one evaluation may hold. Prometheus' scripts are run with 10,000 of its own
/// counting, which is none of theirs.
const SAMPLES_MAX: usize = 50_000_000;

/// How the parser begins a refusal of what a later version will have.
const UNSUPPORTED: &str = "not supported yet";

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) value: Value,
    pub(super) annotations: Annotations,
}

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The text is no query.
    #[error(transparent)]
    Parse(ParseError),
    /// It cannot be answered over these data.
    #[error("{0}")]
    Evaluate(String),
    /// It could be answered, but not by this version.
    #[error("{0}")]
    Unsupported(String),
    /// Times that are none.
    #[error("the range has no steps")]
    NoSteps,
}

/// Reads and evaluates a query.
///
/// # Errors
/// [`Failure`].
pub(super) fn ask(query: &str, when: When, loaded: &Loaded) -> Result<Asked, Failure> {
    let expr = parse(query).map_err(|error| {
        if error.message.starts_with(UNSUPPORTED) {
            Failure::Unsupported(error.to_string())
        } else {
            Failure::Parse(error)
        }
    })?;
    let steps = match when {
        When::At(at) => Steps::instant(at),
        When::Over(span) => Steps::new(span.start, span.end, span.step).ok_or(Failure::NoSteps)?,
    };
    let stop = AtomicBool::new(false);
    let budget = Budget { samples_max: SAMPLES_MAX, stop: &stop };
    let answer = evaluate(loaded, &expr, steps, &Options::default(), &Serial, budget);
    match answer {
        Ok(answer) => Ok(Asked { value: answer.value, annotations: answer.annotations }),
        Err(error @ EvaluateError::Unsupported { .. }) => {
            Err(Failure::Unsupported(error.to_string()))
        }
        Err(error) => Err(Failure::Evaluate(error.to_string())),
    }
}
