//! `status`: what the ledger has, read from its files, whether or not a runner runs.

use std::iter;
use std::path::Path;

use bellwether_model::signal::{Signal, Status};
use bellwether_platform::disk::{LockError, RealDisk, lock};
use serde::Serialize;

use super::ledger::{LedgerError, entries};
use crate::pure::hook::Lane;
use crate::pure::hook::config::Plan;
use crate::shell::status_cli::columns;

/// The lock of a runner's directory.
pub const LOCK: &str = "lock";

/// What a ledger has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookStatus {
    /// Whether a runner holds the directory.
    pub runs: bool,
    /// The lanes of the allow-list, and those of the ledger.
    pub lanes: Vec<LaneStatus>,
    /// What was asked, the newest first.
    pub signals: Vec<SignalStatus>,
    /// Keys whose file cannot be read.
    pub unreadable: Vec<String>,
}

/// One lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneStatus {
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// The highest generation begun; 0: none.
    pub generation: u64,
    /// Whether the file still allows anything there.
    pub allowed: bool,
}

/// One signal that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignalStatus {
    /// When it was over, or begun.
    pub at: String,
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// `rollback` or `hold`.
    pub action: String,
    /// From this version.
    pub from: String,
    /// To this one.
    pub to: String,
    /// What was answered; `started` where nothing was yet.
    pub status: String,
    /// What served then.
    pub current_version: Option<String>,
    /// More, for people.
    pub detail: String,
    /// Its key.
    pub key: String,
}

fn of(signal: &Signal, at: &str, status: &str) -> SignalStatus {
    let data = signal.data.clone();
    SignalStatus {
        at: at.to_owned(),
        service: data.service,
        environment: data.environment,
        action: signal.kind.name().to_owned(),
        from: data.from,
        to: data.to,
        status: status.to_owned(),
        current_version: None,
        detail: String::new(),
        key: data.key,
    }
}

/// Reads the ledger of a plan.
///
/// # Errors
/// It cannot be read.
pub fn look(plan: &Plan) -> Result<HookStatus, LedgerError> {
    let dir = plan.state_dir.as_path();
    if !dir.exists() {
        let lanes = plan.allow.iter().map(|entry| lane(plan, &entry.lane, 0)).collect();
        return Ok(HookStatus { runs: false, lanes, signals: vec![], unreadable: vec![] });
    }
    let found = entries(&RealDisk, dir)?;
    let mut signals: Vec<SignalStatus> = found
        .done
        .iter()
        .map(|done| SignalStatus {
            current_version: done.answer.current_version.clone(),
            detail: done.answer.detail.clone(),
            ..of(&done.signal, &done.at, done.answer.status.name())
        })
        .chain(found.started.iter().map(|started| of(&started.signal, &started.at, "started")))
        .collect();
    signals.sort_by(|a, b| b.at.cmp(&a.at));
    let generation = |lane: &Lane| found.highest.get(lane).map_or(0, |highest| highest.generation);
    let allowed = plan.allow.iter().map(|entry| &entry.lane);
    let others = found.highest.keys().filter(|lane| plan.allow.iter().all(|p| p.lane != **lane));
    let lanes = allowed.chain(others).map(|one| lane(plan, one, generation(one))).collect();
    let unreadable = found.unreadable.into_iter().collect();
    Ok(HookStatus { runs: is_held(dir), lanes, signals, unreadable })
}

fn lane(plan: &Plan, lane: &Lane, generation: u64) -> LaneStatus {
    LaneStatus {
        service: lane.service.clone(),
        environment: lane.environment.clone(),
        generation,
        allowed: plan.allow.iter().any(|entry| entry.lane == *lane),
    }
}

/// Whether a runner has the directory; nothing is made to find out.
fn is_held(dir: &Path) -> bool {
    let path = dir.join(LOCK);
    path.exists() && matches!(lock(&path), Err(LockError::Held { .. }))
}

/// A table for people.
#[must_use]
pub fn table(status: &HookStatus) -> String {
    let mut out = String::from(if status.runs { "runs\n\n" } else { "does not run\n\n" });
    let head = ["SERVICE", "ENVIRONMENT", "GENERATION", ""].map(str::to_owned);
    let rows = status.lanes.iter().map(|lane| {
        let note = if lane.allowed { "" } else { "not in the allow-list" };
        let generation = lane.generation.to_string();
        [lane.service.clone(), lane.environment.clone(), generation, note.to_owned()]
    });
    out.push_str(&columns(&iter::once(head).chain(rows).collect::<Vec<_>>()));
    if !status.signals.is_empty() {
        let head = ["AT", "SERVICE", "ENVIRONMENT", "ACTION", "FROM", "TO", "STATUS", "DETAIL"];
        let rows = status.signals.iter().map(|one| {
            let lane = [&one.at, &one.service, &one.environment, &one.action];
            let [at, service, environment, action] = lane.map(String::clone);
            let rest = [&one.from, &one.to, &one.status, &one.detail];
            let [from, to, status, detail] = rest.map(String::clone);
            [at, service, environment, action, from, to, status, detail]
        });
        out.push('\n');
        let head = iter::once(head.map(str::to_owned));
        out.push_str(&columns(&head.chain(rows).collect::<Vec<_>>()));
    }
    for key in &status.unreadable {
        out.push_str(&format!("\n{key}: the ledger's entry cannot be read\n"));
    }
    out
}

/// Whether an answer is what was wished for.
#[must_use]
pub fn is_good(status: Status) -> bool {
    matches!(status, Status::Accepted | Status::Done | Status::AlreadyDone)
}
