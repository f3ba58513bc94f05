//! The section `hooks`: what carries out the rollbacks that the collector asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::config::{Fields, Secret, code};
use bellwether_model::diagnostic::Diagnostic;
use bellwether_model::signal::is_name;

use super::notify::{at_most, endpoint, secrets};
use crate::pure::guard::plan::{HookPlan, HooksPlan};

const HOOKS: usize = 1000;
const NAMES: &str =
    "letters, digits, `.`, `_` and `-`, at most 128 bytes, not beginning with `.` or `-`";

pub(super) fn describe(f: &mut Fields<'_>) -> HooksPlan {
    let hooks = f
        .map("hooks", "What carries out rollbacks, by name.", |name, item| {
            if !is_name(name) {
                let message = format!("`{name}` cannot be a hook's name");
                let problem = Diagnostic::error(code::INVALID, Some(item.place()), message);
                item.push(problem.with_help(NAMES));
            }
            item.fields(hook)
        })
        .check(|all| at_most(all.len(), HOOKS))
        .or(BTreeMap::new());
    let named = hooks.into_iter().filter_map(|(name, plan)| Some((name.into(), Arc::new(plan?))));
    HooksPlan(named.collect())
}

fn hook(f: &mut Fields<'_>) -> Option<HookPlan> {
    f.guard();
    let webhook = f.optional_section("webhook", |f| {
        let endpoint = endpoint(f, "Where signals are posted to.");
        HookPlan::Webhook { endpoint: Box::new(endpoint), secrets: keys(f) }
    });
    let runner = f.optional_section("runner", |f| HookPlan::Runner { secrets: keys(f) });
    match (webhook, runner) {
        (Some(_), Some(_)) => {
            let message = "`webhook` and `runner` exclude each other";
            f.push(Diagnostic::error(code::CONFLICT, f.place_of("runner"), message));
            None
        }
        (None, None) => {
            let message = "one of the keys `webhook` and `runner` is missing: it says how signals \
                           reach the hook";
            f.push(Diagnostic::error(code::MISSING, Some(f.place()), message));
            None
        }
        (webhook, runner) => webhook.or(runner),
    }
}

/// Unlike a page, a signal is never sent without a signature.
fn keys(f: &mut Fields<'_>) -> Vec<Secret> {
    let keys = secrets(f);
    if !["secret", "secret_file", "secrets"].iter().any(|key| f.has(key)) {
        let message = "one of the keys `secret`, `secret_file` and `secrets` is missing: signals \
                       are always signed";
        f.push(Diagnostic::error(code::MISSING, Some(f.place()), message));
    }
    keys
}
