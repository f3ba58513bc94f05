//! What `doctor` makes of what it sees: fine, to be looked at, or wrong, and what to do.

use bellwether_model::diagnostic::{Diagnostics, Severity as Found};
use bellwether_platform::principal::{PrincipalSpec, Scope};
use serde::Serialize;

use super::services::{ServicesReport, Severity};

/// Less than the two spare segments of the journal need, and something for chunk files.
const ROOM_LEAST: u64 = 64 << 20;
const ROOM_SMALL: u64 = 1 << 30;
const DAY: i64 = 24 * 3600;
/// A certificate that expires so soon is to be looked after.
const EXPIRY_SOON: i64 = 14 * DAY;
/// The collector steps to its system's clock beyond it (DESIGN §4).
const CLOCK_APART: f64 = 1.0;
const CLOCK: &str = "bellwether_collector_clock_ahead_of_system_seconds";

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Somebody should look.
    Warn,
    /// It does not work so.
    Fail,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub check: String,
    /// How it stands.
    pub status: Status,
    /// In words.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Everything looked at, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Checkup(pub Vec<Check>);

impl Status {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "fail",
        }
    }
}

impl Checkup {
    /// Takes note of how something stands.
    pub fn add(&mut self, check: &str, (status, message): (Status, String)) -> &mut Check {
        self.0.push(Check { check: check.to_owned(), status, message, help: None });
        self.0.last_mut().expect("invariant: one was just added")
    }

    /// Takes note of the problems of files, each by itself; `fine` is said where there is none.
    pub fn problems(&mut self, check: &str, problems: &Diagnostics, fine: String) {
        for problem in problems {
            let status = match problem.severity {
                Found::Error => Status::Fail,
                Found::Warning => Status::Warn,
            };
            let place =
                problem.place.as_ref().map_or_else(String::new, |place| format!("{place}: "));
            let message = format!("{place}{} [{}]", problem.message, problem.code.name);
            self.add(check, (status, message)).help.clone_from(&problem.help);
        }
        if problems.is_empty() {
            self.add(check, (Status::Ok, fine));
        }
    }

    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.0.iter().all(|check| check.status == Status::Ok)
    }
}

impl Check {
    /// Says what to do, unless nothing is to be done.
    pub fn help(&mut self, help: impl Into<String>) {
        if self.status != Status::Ok {
            self.help = Some(help.into());
        }
    }
}

/// Room for state.
#[must_use]
pub fn room(free: u64) -> (Status, String) {
    let status = match free {
        0..ROOM_LEAST => Status::Fail,
        ROOM_LEAST..ROOM_SMALL => Status::Warn,
        _ => Status::Ok,
    };
    (status, format!("{} MiB are free", free >> 20))
}

/// A certificate's last second, in seconds since 1970; `None` if it tells none.
#[must_use]
pub fn expiry(now: i64, expires: Option<i64>) -> (Status, String) {
    let Some(expires) = expires else {
        return (Status::Warn, "the certificate does not tell when it expires".to_owned());
    };
    let left = expires.saturating_sub(now);
    let days = left.div_euclid(DAY);
    match left {
        ..0 => (Status::Fail, format!("the certificate expired {} days ago", -days - 1)),
        0..EXPIRY_SOON => (Status::Warn, format!("the certificate expires in {days} days")),
        _ => (Status::Ok, format!("the certificate is valid for {days} days")),
    }
}

/// Whether anybody may ship and announce.
#[must_use]
pub fn principals(specs: &[PrincipalSpec]) -> (Status, String) {
    let with = |scope| specs.iter().filter(|spec| spec.scopes.has(scope)).count();
    if with(Scope::Ingest) == 0 {
        let message = "nobody has the scope `ingest`: no agent can ship here";
        return (Status::Warn, message.to_owned());
    }
    let (all, read) = (specs.len(), with(Scope::Read));
    let reading =
        if read == 0 { "reading needs no token on this machine" } else { "reading needs a token" };
    (Status::Ok, format!("{all} principals, their tokens can be used; {reading}"))
}

/// The collector's clock beside its system's, from the collector's own page.
#[must_use]
pub fn clock(page: &str) -> Option<(Status, String)> {
    let value = page.lines().find_map(|line| line.strip_prefix(CLOCK)?.strip_prefix(' '))?;
    let ahead: f64 = value.trim().parse().ok()?;
    let apart = ahead.abs();
    let status = if apart > CLOCK_APART { Status::Warn } else { Status::Ok };
    let which = if ahead < 0.0 { "behind" } else { "ahead of" };
    Some((status, format!("the collector's clock is {apart:.3} s {which} its system's")))
}

/// What a running collector says of its services.
pub fn services(report: &ServicesReport, checkup: &mut Checkup) {
    if report.services.is_empty() {
        let message = "no service is described: no rollout can be announced";
        checkup.add("services", (Status::Ok, message.to_owned()));
    }
    for service in &report.services {
        let mut is_fine = true;
        for environment in &service.environments {
            let own = environment.findings.iter().map(|finding| (None, finding));
            let slis = environment.slis.iter();
            let theirs = slis
                .flat_map(|sli| sli.findings.iter().map(move |finding| (Some(&sli.name), finding)));
            for (sli, finding) in own.chain(theirs) {
                is_fine = false;
                let status = match finding.severity {
                    Severity::Problem => Status::Fail,
                    Severity::Warning => Status::Warn,
                };
                let sli = sli.map_or_else(String::new, |sli| format!(", {sli}"));
                let message = format!("{}{sli}: {}", environment.name, finding.message);
                let name = format!("service {}", service.name);
                checkup.add(&name, (status, message)).help.clone_from(&finding.help);
            }
        }
        if is_fine {
            let name = format!("service {}", service.name);
            checkup.add(&name, (Status::Ok, "can be judged".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use bellwether_platform::principal::{Scopes, TokenSource};

    use super::*;
    use crate::pure::services::{EnvironmentReport, Finding, ServiceReport, SliReport};

    #[test]
    fn room_and_time_run_out_by_degrees() {
        let statuses = [0, 63 << 20, 64 << 20, 1 << 30].map(|free| room(free).0);
        assert_eq!(statuses, [Status::Fail, Status::Fail, Status::Warn, Status::Ok]);
        let said = |expires| expiry(1_000_000, Some(1_000_000 + expires));
        assert_eq!(said(-1), (Status::Fail, "the certificate expired 0 days ago".to_owned()));
        assert_eq!(said(-DAY - 1), (Status::Fail, "the certificate expired 1 days ago".to_owned()));
        assert_eq!(said(DAY), (Status::Warn, "the certificate expires in 1 days".to_owned()));
        assert_eq!(said(14 * DAY).0, Status::Ok);
        assert_eq!(expiry(0, None).0, Status::Warn);
    }

    #[test]
    fn a_clock_is_read_from_the_page() {
        let page =
            |value: &str| format!("# HELP {CLOCK} x\n# TYPE {CLOCK} gauge\n{CLOCK} {value}\n");
        let (status, message) = clock(&page("-2.5")).unwrap();
        assert_eq!(status, Status::Warn);
        assert_eq!(message, "the collector's clock is 2.500 s behind its system's");
        assert_eq!(clock(&page("0.25")).unwrap().0, Status::Ok);
        assert_eq!(clock("up 1\n"), None);
    }

    #[test]
    fn somebody_must_be_able_to_ship() {
        let spec = |scopes: &[Scope]| PrincipalSpec {
            name: "x".to_owned(),
            token: TokenSource::File("/t".into()),
            scopes: scopes.iter().copied().collect::<Scopes>(),
        };
        assert_eq!(principals(&[]).0, Status::Warn);
        assert_eq!(principals(&[spec(&[Scope::Read])]).0, Status::Warn);
        let (status, message) = principals(&[spec(&[Scope::Ingest])]);
        assert!(status == Status::Ok && message.contains("needs no token"), "{message}");
    }

    #[test]
    fn each_finding_of_a_service_is_told() {
        let finding = |severity, message: &str| Finding {
            severity,
            code: "x".to_owned(),
            message: message.to_owned(),
            help: Some("help".to_owned()),
        };
        let sli = SliReport {
            name: "errors".to_owned(),
            judgeable: false,
            series: 0,
            interval_seconds: None,
            versions: Vec::new(),
            findings: vec![finding(Severity::Problem, "no series")],
        };
        let environment = EnvironmentReport {
            name: "production".to_owned(),
            mode: "act".to_owned(),
            risk_floor: "low".to_owned(),
            hook: None,
            judgeable: false,
            findings: vec![finding(Severity::Warning, "no hook")],
            slis: vec![sli],
        };
        let service = |environments: Vec<EnvironmentReport>| ServiceReport {
            name: "s".to_owned(),
            owner: "o".to_owned(),
            runbook: None,
            cost_key: None,
            version_label: "version".to_owned(),
            judgeable: environments.is_empty(),
            environments,
        };
        let mut checkup = Checkup::default();
        let services = vec![service(vec![environment]), service(Vec::new())];
        super::services(&ServicesReport { services }, &mut checkup);
        let lines: Vec<_> = checkup.0.iter().map(|c| (c.status, c.message.as_str())).collect();
        assert_eq!(
            lines,
            [
                (Status::Warn, "production: no hook"),
                (Status::Fail, "production, errors: no series"),
                (Status::Ok, "can be judged"),
            ]
        );
        assert!(!checkup.is_fine());
        let mut none = Checkup::default();
        super::services(&ServicesReport::default(), &mut none);
        assert!(none.is_fine() && none.0.len() == 1);
    }
}
