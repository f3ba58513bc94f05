//! A decision as text with its evidence drawn, and as JSON.

use std::fmt::Write as _;

use bellwether_rules::record::{Record, missing_name, verdict_name};
use bellwether_rules::verdict::{Missing, Outcome, Verdict};
use serde_json::{Value, json as value};

use crate::pure::plot::Plot;

/// Cells of the margin: labels and the name of the line.
const MARGIN: usize = 24;
const HEIGHT: usize = 10;

/// Where a text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Characters across; less than 40 counts as 40.
    pub columns: usize,
}

/// The decision for people: the verdict and its grounds in words and numbers, and the evidence over
/// time.
#[must_use]
pub fn text(record: &Record, screen: Screen) -> String {
    let outcome = &record.outcome;
    let mut out = format!("{}: {}\n", verdict_name(outcome.verdict), outcome.reason);
    let mut line = |name: &str, text: String| {
        writeln!(out, "  {name:<10}{text}").expect("invariant: a text takes all");
    };
    if let Some(second) = outcome.decision_second {
        let since = outcome.first_bad_second.filter(|_| outcome.verdict == Verdict::Fail);
        let since = since.map(|first| match second - first {
            0 => ", that of the first bad request".to_owned(),
            gap => format!(", {gap} s after that of the first bad request"),
        });
        line("decided", format!("in second {second}{}", since.unwrap_or_default()));
    }
    line("canary", arm(outcome.canary_n, outcome.canary_bad));
    line("baseline", arm(outcome.baseline_n, outcome.baseline_bad));
    let needed = -libm::log(record.config.alpha);
    let evidence = format!(
        "{} now, {} at most; {} would fail (α {})",
        power(outcome.log_e),
        power(outcome.log_e_max),
        power(needed),
        record.config.alpha
    );
    line("evidence", evidence);
    if let Some(ratio) = outcome.ratio_at_most {
        let passes = record.config.rho * (1.0 + record.config.delta);
        line("ratio", format!("at most {ratio:.2}; at most {passes:.2} would pass"));
    }
    if let Some(ratio) = outcome.smallest_ratio {
        line("visible", format!("by now a ratio of {ratio:.2} would likely have been found"));
    }
    let path: Vec<(i64, f64)> = record.path.iter().map(|step| (step.second, step.log_e)).collect();
    out + &drawn(&path, needed, screen)
}

fn arm(n: u64, bad: u64) -> String {
    let part = if n == 0 { 0.0 } else { bad as f64 / n as f64 * 100.0 };
    let decimals = if part > 0.0 && part < 1.0 { 3 } else { 1 };
    format!("{n} requests, {bad} bad ({part:.decimals$} %)")
}

/// A number given by its natural logarithm, with a power of ten where it is long.
pub(super) fn power(log: f64) -> String {
    let log10 = log / std::f64::consts::LN_10;
    if log10.abs() < 6.0 {
        let value = libm::exp(log);
        return if value >= 10.0 { format!("{value:.0}") } else { format!("{value:.3}") };
    }
    format!("10^{log10:.1}")
}

/// The evidence of each second as powers of ten, drawn. What lies further below 1 than the
/// threshold lies above it is drawn at the foot: that far down only its sign matters.
pub(super) fn drawn(path: &[(i64, f64)], needed: f64, screen: Screen) -> String {
    let tens = |log: f64| log / std::f64::consts::LN_10;
    let foot = -tens(needed);
    let curve: Vec<(f64, f64)> =
        path.iter().map(|(second, log)| (*second as f64, tens(*log).max(foot))).collect();
    if curve.is_empty() {
        return String::new();
    }
    let name = format!("1/α = {}", power(needed));
    let plot = Plot {
        series: &[&curve],
        width: screen.columns.max(40) - MARGIN,
        height: HEIGHT,
        line: Some((tens(needed), &name)),
        x_label: &|second| format!("{second:.0}"),
        // What is added makes a zero of a negative one.
        y_label: &|power| format!("10^{:.1}", (power * 10.0).round() / 10.0 + 0.0),
    };
    let mut out = "\n  evidence against the canary, by second\n".to_owned();
    plot.lines().iter().for_each(|row| out += &format!("  {row}\n"));
    out
}

/// The decision for programs: one object, keys in order.
#[must_use]
pub fn json(record: &Record) -> Value {
    let Outcome { verdict, ref reason, .. } = record.outcome;
    let outcome = &record.outcome;
    value!({
        "alpha": record.config.alpha,
        "baseline_bad": outcome.baseline_bad,
        "baseline_n": outcome.baseline_n,
        "canary_bad": outcome.canary_bad,
        "canary_n": outcome.canary_n,
        "decision_second": outcome.decision_second,
        "delta": record.config.delta,
        "first_bad_second": outcome.first_bad_second,
        "log_e": outcome.log_e,
        "log_e_max": outcome.log_e_max,
        "log_e_unguarded": outcome.log_e_unguarded,
        "missing": missing(verdict),
        "ratio_at_most": outcome.ratio_at_most,
        "reason": reason,
        "rho": record.config.rho,
        "smallest_ratio": outcome.smallest_ratio,
        "verdict": verdict_name(verdict),
        "version": record.config.version,
    })
}

fn missing(verdict: Verdict) -> Value {
    let Verdict::Inconclusive { missing } = verdict else { return Value::Null };
    let kind = missing_name(missing);
    match missing {
        Missing::WarmUp { seconds } => value!({ "kind": kind, "seconds": seconds }),
        Missing::Requests { canary } => value!({ "kind": kind, "canary": canary }),
        _ => value!({ "kind": kind }),
    }
}
