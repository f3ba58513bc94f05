//! Several tables judged together: measures of one rollout, or rollouts of which few may be failed
//! wrongly.

use std::fmt::Write as _;

use bellwether_rules::record::Record;
use bellwether_rules::verdict::Verdict;
use bellwether_rules::verdict::combine::{discoveries, mean_path};
use serde_json::{Value, json as value};

use super::show::{Screen, drawn, json as one, power};

/// Tables that are judged together, at most.
pub const TABLES_MAX: usize = 1000;

/// What the tables are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// One rollout: α bounds that it is ever failed wrongly, by whichever of its measures.
    Measures,
    /// Many: α bounds the expected part of healthy ones among those that fail.
    Rollouts,
}

/// A verdict without its grounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// The canary, or one of them, is worse.
    Fail,
    /// Neither is shown.
    Inconclusive,
    /// None is worse.
    Pass,
}

/// What tables say together.
#[derive(Clone, Debug, PartialEq)]
pub struct Together<'a> {
    of: Of,
    alpha: f64,
    tables: &'a [(String, Record)],
    /// Of each table.
    answers: Vec<Answer>,
    /// The mean evidence of measures, second by second.
    path: Vec<(i64, f64)>,
    /// The second in which it has reached 1/α.
    decision_second: Option<i64>,
}

impl Answer {
    /// That of one table.
    #[must_use]
    pub fn of(record: &Record) -> Answer {
        match record.outcome.verdict {
            Verdict::Fail => Answer::Fail,
            Verdict::Pass => Answer::Pass,
            Verdict::Inconclusive { .. } => Answer::Inconclusive,
        }
    }

    /// As records say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Answer::Fail => "fail",
            Answer::Inconclusive => "inconclusive",
            Answer::Pass => "pass",
        }
    }
}

impl<'a> Together<'a> {
    /// Combines tables, by name, that were judged one by one with this α.
    #[must_use]
    pub fn new(of: Of, alpha: f64, tables: &'a [(String, Record)]) -> Together<'a> {
        let mut answers: Vec<Answer> =
            tables.iter().map(|(_, record)| Answer::of(record)).collect();
        let (mut path, mut decision_second) = (Vec::new(), None);
        match of {
            Of::Measures => {
                let paths: Vec<_> = tables.iter().map(|(_, record)| &*record.path).collect();
                path = mean_path(&paths);
                let fails = |(_, log_e): &&(i64, f64)| *log_e >= -libm::log(alpha);
                decision_second = path.iter().find(fails).map(|(second, _)| *second);
            }
            Of::Rollouts => {
                let log_es: Vec<f64> = tables.iter().map(|(_, one)| one.outcome.log_e).collect();
                let fails = discoveries(&log_es, alpha);
                for (answer, fails) in answers.iter_mut().zip(fails) {
                    // Evidence that would fail one alone is no grounds to pass it among many.
                    *answer = match (fails, *answer) {
                        (true, _) => Answer::Fail,
                        (false, Answer::Pass) => Answer::Pass,
                        (false, _) => Answer::Inconclusive,
                    };
                }
            }
        }
        Together { of, alpha, tables, answers, path, decision_second }
    }

    /// The answer for all: measures pass if each does, and so do rollouts.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let least = self.answers.iter().copied().min().unwrap_or(Answer::Inconclusive);
        match (self.of, self.decision_second) {
            (Of::Measures, Some(_)) => Answer::Fail,
            // One measure alone has reached 1/α, all together have not.
            (Of::Measures, None) => least.max(Answer::Inconclusive),
            (Of::Rollouts, _) => least,
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self, screen: Screen) -> String {
        let (count, alpha) = (self.tables.len(), self.alpha);
        let needed = -libm::log(alpha);
        let mut out = format!("{}: ", self.answer().name());
        match (self.of, self.decision_second) {
            (Of::Measures, Some(second)) => write!(
                out,
                "the mean evidence of {count} measures has reached 1/α in second {second} (α {alpha})"
            ),
            (Of::Measures, None) => write!(
                out,
                "the mean evidence of {count} measures has not reached 1/α (α {alpha})"
            ),
            (Of::Rollouts, _) => write!(
                out,
                "{} of {count} rollouts fail; of those that fail, a part of {alpha} is expected to be \
                 healthy, at most",
                self.answers.iter().filter(|answer| **answer == Answer::Fail).count()
            ),
        }
        .expect("invariant: a text takes all");
        out.push('\n');
        let width = self.tables.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for ((name, record), answer) in self.tables.iter().zip(&self.answers) {
            let log_e = power(record.outcome.log_e);
            let answer = answer.name();
            writeln!(out, "  {name:<width$}  {answer:<12}  evidence {log_e}")
                .expect("invariant: a text takes all");
        }
        out + &drawn(&self.path, needed, screen)
    }

    /// For programs: one object, keys in order.
    #[must_use]
    pub fn json(&self) -> Value {
        let of = match self.of {
            Of::Measures => "measures",
            Of::Rollouts => "rollouts",
        };
        let tables = self.tables.iter().zip(&self.answers).map(|((name, record), answer)| {
            value!({ "alone": one(record), "table": name, "verdict": answer.name() })
        });
        value!({
            "alpha": self.alpha,
            "decision_second": self.decision_second,
            "log_e": self.path.last().map(|(_, log_e)| log_e),
            "tables": tables.collect::<Vec<_>>(),
            "together": of,
            "verdict": self.answer().name(),
        })
    }
}
