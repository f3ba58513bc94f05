//! The hook's own file: which collector to ask, whose signature to believe, and what may be done.
//!
//! Everything that is started stands here; nothing of a command line ever comes over the network.

use core::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_model::config::{self, Environment, FieldDoc, Fields, Secret, SecretSource, code};
use bellwether_model::diagnostic::{Code, Diagnostic, Diagnostics, Place};
use bellwether_model::signal::{Kind, is_name};
use bellwether_platform::sign::SigningKey;
use regex_automata::meta::Regex;

use super::Lane;
use crate::pure::config::{CollectorPlan, collector};

/// `hok001`: after a crash nobody can tell what was done.
pub const BLIND: Code =
    Code { name: "hok001", meaning: "nothing tells what a program did that was cut off" };
/// `hok002`: a program of the file cannot be started.
pub const PROGRAM: Code = Code { name: "hok002", meaning: "a program cannot be started" };

const STATE_DIR: &str = "/var/lib/bellwether-hook";
const ENTRIES_MAX: usize = 64;
const ARGUMENTS_MAX: usize = 64;
const PATTERN_BYTES_MAX: usize = 1024;
const PROGRAM_BYTES_MAX: usize = 1 << 20;
/// Bytes of the names of a lane: a file is named after them.
const LANE_BYTES_MAX: usize = 200;
const TIMEOUT: Duration = Duration::from_secs(30);
const OBSERVE_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// The configuration as it is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to ask.
    pub collector: CollectorPlan,
    /// By which name.
    pub name: String,
    /// The key that signals are signed with.
    pub secret: Secret,
    /// The ledger, and the working directory of programs.
    pub state_dir: PathBuf,
    /// Where metrics are shown; none: nowhere.
    pub listen: Option<SocketAddr>,
    /// What may be done.
    pub allow: Vec<AllowPlan>,
}

/// What may be done in one lane.
#[derive(Clone, Debug)]
pub struct AllowPlan {
    /// The lane.
    pub lane: Lane,
    /// What rolls back.
    pub rollback: Option<ProgramPlan>,
    /// What holds.
    pub hold: Option<ProgramPlan>,
    /// What prints the version that serves.
    pub observe: Option<ProgramPlan>,
    /// The versions that may be named, matched as a whole.
    pub versions: Regex,
}

impl AllowPlan {
    /// The program for what is asked.
    #[must_use]
    pub fn program(&self, kind: Kind) -> Option<&ProgramPlan> {
        match kind {
            Kind::Rollback => self.rollback.as_ref(),
            Kind::Hold => self.hold.as_ref(),
        }
    }
}

/// A program to start.
#[derive(Clone, Debug)]
pub struct ProgramPlan {
    /// Its path, which is absolute, and its arguments.
    pub run: Vec<String>,
    /// After this time it is killed, with all of its process group.
    pub timeout: Duration,
    /// Where it stands in the file.
    pub place: Option<Place>,
}

/// Reads the file's text into a plan; beside it come the warnings.
///
/// # Errors
/// Every problem, if one of them is an error.
pub fn read(
    file: &str,
    text: &str,
    environment: &Environment,
) -> Result<(Plan, Diagnostics), Diagnostics> {
    config::read_with_warnings(file, text, environment, |f| describe(f, environment))
}

/// The keys of the file, for the reference page.
#[must_use]
pub fn docs() -> Vec<FieldDoc> {
    config::field_docs(|f| describe(f, &Environment::new()))
}

fn describe(f: &mut Fields<'_>, environment: &Environment) -> Plan {
    let collector = f.section("collector", |f| collector(f, environment));
    let name = f
        .text("name", "The name under which the collector's `hooks` has this one.")
        .check(|name| check_name(name))
        .required();
    let secret = f
        .secret("secret", "The key that the collector signs for this hook with: `whsec_…`.")
        .check(|secret| match secret.reveal() {
            SecretSource::Text(text) => {
                SigningKey::parse(text).map(drop).map_err(|error| error.to_string())
            }
            SecretSource::File(_) => Ok(()),
        })
        .required();
    let state_dir = f
        .text("state_dir", "The directory of the ledger, in which programs are started.")
        .or(STATE_DIR.to_owned());
    let listen = f
        .parsed("listen", "an address and port", "Where metrics are shown: `127.0.0.1:9799`.")
        .check(|address: &SocketAddr| {
            let is_here = address.ip().to_canonical().is_loopback();
            is_here.then_some(()).ok_or_else(|| "must be an address of loopback".to_owned())
        })
        .optional();
    let allow = f
        .list("allow", "What may be done, by service and environment.", |item| item.fields(entry))
        .check(|all| at_most(all.len(), ENTRIES_MAX))
        .required();
    refuse_repeats(f, &allow);
    let allow = allow.into_iter().filter_map(|(_, plan)| plan).collect();
    Plan { collector, name, secret, state_dir: state_dir.into(), listen, allow }
}

fn entry(f: &mut Fields<'_>) -> (Place, Option<AllowPlan>) {
    let service = f.text("service", "The service.").check(|name| check_name(name)).required();
    let environment =
        f.text("environment", "The environment.").check(|name| check_name(name)).required();
    if service.len() + environment.len() > LANE_BYTES_MAX {
        let message =
            format!("`service` and `environment` together have more than {LANE_BYTES_MAX} bytes");
        f.push(Diagnostic::error(code::INVALID, Some(f.place()), message));
    }
    let rollback = f.optional_section("rollback", |f| program(f, TIMEOUT));
    let hold = f.optional_section("hold", |f| program(f, TIMEOUT));
    let observe = f.optional_section("observe", |f| program(f, OBSERVE_TIMEOUT));
    if rollback.is_none() && hold.is_none() {
        let message = "the entry allows nothing: it has neither `rollback` nor `hold`";
        f.push(Diagnostic::error(code::MISSING, Some(f.place()), message));
    }
    if rollback.is_some() && observe.is_none() {
        let message = "without `observe` a rollback that is cut off stays unknown, and what serves \
                       is not looked at before it";
        f.push(Diagnostic::warning(BLIND, Some(f.place()), message));
    }
    let help = "A pattern of the versions that may be named, matched as a whole.";
    let versions = f.text("versions", help).check(|text| whole(text).map(drop)).required();
    let lane = Lane { service, environment };
    let versions = whole(&versions).ok();
    let plan = versions.map(|versions| AllowPlan { lane, rollback, hold, observe, versions });
    (f.place(), plan)
}

fn program(f: &mut Fields<'_>, timeout: Duration) -> ProgramPlan {
    let help = "The program, by an absolute path, and its arguments. No shell looks at them.";
    let run = f
        .list("run", help, |item| item.text())
        .check(|run: &Vec<String>| {
            at_most(run.len(), ARGUMENTS_MAX)?;
            let path = run.first().map(Path::new);
            let is_absolute = path.is_some_and(Path::is_absolute);
            is_absolute.then_some(()).ok_or_else(|| "must begin with an absolute path".to_owned())
        })
        .required();
    let place = f.place_of("run");
    let timeout = f
        .duration("timeout", "After it the program and all of its process group are killed.")
        .between(TIMEOUT_MIN, TIMEOUT_MAX)
        .or(timeout);
    ProgramPlan { run, timeout, place }
}

fn check_name(name: &str) -> Result<(), String> {
    let words = "must be 1 to 128 letters, digits, `.`, `_` and `-`, and begin with none of `.-`";
    is_name(name).then_some(()).ok_or_else(|| words.to_owned())
}

fn at_most(count: usize, most: usize) -> Result<(), String> {
    (count <= most).then_some(()).ok_or_else(|| format!("has more than {most} items"))
}

/// A pattern that matches texts as a whole.
fn whole(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("has more than {PATTERN_BYTES_MAX} bytes"));
    }
    // By itself first: `a)|(b` would be a pattern only within the parentheses.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

fn build(pattern: &str) -> Result<Regex, String> {
    let config = Regex::config()
        .nfa_size_limit(Some(PROGRAM_BYTES_MAX))
        .hybrid_cache_capacity(PROGRAM_BYTES_MAX);
    Regex::builder().configure(config).build(pattern).map_err(|error| {
        let reason = error.syntax_error().map(ToString::to_string);
        format!("is no pattern: {}", reason.unwrap_or_else(|| error.to_string()))
    })
}

fn refuse_repeats(f: &Fields<'_>, allow: &[(Place, Option<AllowPlan>)]) {
    let mut seen = std::collections::BTreeSet::new();
    for (place, plan) in allow {
        let Some(plan) = plan else { continue };
        if !seen.insert(plan.lane.clone()) {
            let message = "service and environment have an entry already";
            f.push(Diagnostic::error(code::CONFLICT, Some(place.clone()), message));
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
