//! The grounds of a verdict in one plain sentence.

use super::config::Config;
use super::outcome::{Missing, Outcome, Verdict};

/// The sentence for an outcome whose own is not written yet.
pub(super) fn reason(config: &Config, outcome: &Outcome) -> String {
    match outcome.verdict {
        Verdict::Fail => fail(config, outcome),
        Verdict::Pass => format!(
            "the canary's share of bad requests is at most {} times the baseline's, with \
             confidence {} %; {}",
            short(outcome.ratio_at_most.unwrap_or_default()),
            short((1.0 - config.alpha) * 100.0),
            counts(outcome),
        ),
        Verdict::Inconclusive { missing } => inconclusive(outcome, missing),
    }
}

fn fail(config: &Config, outcome: &Outcome) -> String {
    let canary = share(outcome.canary_bad, outcome.canary_n);
    let baseline = share(outcome.baseline_bad, outcome.baseline_n);
    let times = if outcome.baseline_bad > 0 {
        format!("{} times as often as the baseline", short(canary / baseline))
    } else {
        "and the baseline does not".to_owned()
    };
    let guard = if config.guard.is_on() {
        format!(
            ", even if one train of up to {} bad requests within {} s is left out",
            config.guard.train_requests, config.guard.train_seconds
        )
    } else {
        String::new()
    };
    format!(
        "the canary fails {times} ({}); so much comes by chance in at most 1 of {} rollouts that \
         are no worse than {} times the baseline{guard}",
        counts(outcome),
        short(1.0 / config.alpha),
        short(config.rho),
    )
}

fn inconclusive(outcome: &Outcome, missing: Missing) -> String {
    match missing {
        Missing::Canary => "no request has reached the canary".to_owned(),
        Missing::Baseline if outcome.baseline_n > 0 => format!(
            "the canary serves requests beside which the baseline serves none (a route of its own, \
             or the baseline is gone), so that they cannot be compared ({})",
            counts(outcome),
        ),
        Missing::Baseline => {
            "no request has reached the baseline beside the canary's, so there is nothing to \
             compare with"
                .to_owned()
        }
        Missing::WarmUp { seconds } => {
            format!("the warm-up lasts {seconds} s more, and its requests are not judged")
        }
        Missing::Share => format!(
            "the canary got {} of {} requests, which is not its share, so that the arms may not be \
             alike in other ways either",
            outcome.canary_n,
            outcome.canary_n.saturating_add(outcome.baseline_n),
        ),
        Missing::Burst => format!(
            "bad requests have come together in the canary, and one client or one host could \
             explain them; more that come apart from these would fail it ({})",
            counts(outcome),
        ),
        Missing::Requests { canary } => {
            let reach = outcome.smallest_ratio.map_or_else(
                || {
                    "not even a canary that fails every request would have been found yet"
                        .to_owned()
                },
                |ratio| {
                    format!(
                        "{} times as many bad requests would have been found by now",
                        short(ratio)
                    )
                },
            );
            let more = if canary == 0 && outcome.baseline_bad == 0 {
                "and a pass takes bad requests of the baseline to compare with".to_owned()
            } else if canary == 0 {
                "at these ratios it will not pass".to_owned()
            } else {
                format!("about {canary} more requests to the canary would show that it is well")
            };
            format!("too few requests to tell: {reach}, {more} ({})", counts(outcome))
        }
    }
}

fn counts(outcome: &Outcome) -> String {
    format!(
        "{} bad of {} against {} of {}",
        outcome.canary_bad, outcome.canary_n, outcome.baseline_bad, outcome.baseline_n
    )
}

fn share(bad: u64, n: u64) -> f64 {
    if n == 0 { 0.0 } else { bad as f64 / n as f64 }
}

/// Two digits after the point below 10, one below 100 or where it matters, none above.
fn short(value: f64) -> String {
    let digits = if value < 10.0 {
        2
    } else if value < 100.0 {
        1
    } else {
        0
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
