//! `service` and `check rollout`.

use std::io::{self, Write};
use std::process::ExitCode;

use bellwether_platform::log::complain;
use form_urlencoded::Serializer;

use super::ask::{AskError, answer};
use super::cli::{CheckRollout, Output, Service, Target};
use super::files::collect_within;
use super::services::PATH;
use super::table::{columns, printable};
use super::{service_files, startup};
use crate::pure::services::{
    EnvironmentReport, Finding, ServiceReport, ServicesReport, Severity, SliReport, VersionReport,
};

const FINDINGS: u8 = 1;
const COULD_NOT_RUN: u8 = 2;

/// Asks which services can be judged and shows it; with a name, everything that is known of one.
///
/// # Errors
/// The collector cannot be asked, or knows no such service; the output cannot be written.
pub async fn run(asked: &Service) -> anyhow::Result<ExitCode> {
    let report = report(&asked.target, asked.name.as_deref()).await?;
    let shown = match (asked.output, &asked.name) {
        (Output::Json, _) => format!("{}\n", serde_json::to_string_pretty(&report)?),
        (Output::Table, None) => table(&report),
        (Output::Table, Some(_)) => report.services.iter().map(whole).collect(),
    };
    io::stdout().write_all(shown.as_bytes())?;
    let (_, cannot) = report.counts();
    Ok(if cannot == 0 { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

/// What a collector says of its services.
///
/// # Errors
/// It cannot be asked, or refuses.
pub(super) async fn report(
    target: &Target,
    name: Option<&str>,
) -> Result<ServicesReport, AskError> {
    let path = name.map_or_else(
        || PATH.to_owned(),
        |name| {
            let query = Serializer::new(String::new()).append_pair("name", name).finish();
            format!("{PATH}?{query}")
        },
    );
    answer(target, &path).await
}

/// Checks files of services and environments, all of them together.
///
/// # Errors
/// The output cannot be written. A path that leads nowhere is told on standard error and in the
/// exit code.
pub fn check(arguments: &CheckRollout) -> anyhow::Result<ExitCode> {
    let mut paths = Vec::new();
    let mut is_whole = true;
    for path in &arguments.paths {
        collect_within(path, &mut paths).unwrap_or_else(|error| {
            complain(format_args!("bellwether: {error:#}"));
            is_whole = false;
        });
    }
    let found = service_files::together(&paths, None, &startup::around().environment);
    let is_fine = found.as_ref().is_ok_and(|(_, warnings)| warnings.is_empty());
    match found {
        Ok((catalogue, warnings)) => {
            let (services, environments) = (catalogue.services.len(), catalogue.environments.len());
            writeln!(
                io::stdout(),
                "{} files: {services} services, {environments} environments\n{warnings}",
                paths.len()
            )?;
        }
        Err(problems) => writeln!(io::stdout(), "{problems}")?,
    }
    Ok(match (is_whole, is_fine) {
        (false, _) => ExitCode::from(COULD_NOT_RUN),
        (true, false) => ExitCode::from(FINDINGS),
        (true, true) => ExitCode::SUCCESS,
    })
}

/// A line for each SLI.
fn table(report: &ServicesReport) -> String {
    let head = ["SERVICE", "OWNER", "ENVIRONMENT", "MODE", "HOOK", "SLI", "VERSIONS", "JUDGEABLE"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for service in &report.services {
        for environment in &service.environments {
            lines.extend(environment.slis.iter().map(|sli| line(service, environment, sli)));
        }
    }
    columns(&lines)
}

fn line(service: &ServiceReport, environment: &EnvironmentReport, sli: &SliReport) -> Vec<String> {
    let rate = |version: &VersionReport| {
        format!("{} {:.1}/s", printable(&version.version), version.requests_per_second)
    };
    let versions: Vec<String> = sli.versions.iter().map(rate).collect();
    let judged = if sli.judgeable { "yes" } else { "no" };
    let all = sli.findings.iter().chain(&environment.findings);
    let first = all.min_by_key(|finding| finding.severity == Severity::Warning);
    let why =
        first.map_or_else(String::new, |finding| format!(": {}", printable(&finding.message)));
    let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    vec![
        printable(&service.name),
        printable(&service.owner),
        printable(&environment.name),
        environment.mode.clone(),
        dash(printable(environment.hook.as_deref().unwrap_or(""))),
        printable(&sli.name),
        dash(versions.join(", ")),
        format!("{judged}{why}"),
    ]
}

/// Everything of one service.
fn whole(service: &ServiceReport) -> String {
    let mut out = format!("{}, {}\n", printable(&service.name), printable(&service.owner));
    let more = [("runbook", &service.runbook), ("costs", &service.cost_key)];
    for (word, text) in more.into_iter().filter_map(|(word, text)| Some((word, text.as_ref()?))) {
        out += &format!("{word}: {}\n", printable(text));
    }
    for environment in &service.environments {
        let hook = environment
            .hook
            .as_deref()
            .map_or("no hook".to_owned(), |hook| format!("hook {}", printable(hook)));
        let (mode, floor) = (&environment.mode, &environment.risk_floor);
        let name = printable(&environment.name);
        out += &format!("\n{name}: {mode}, {hook}, risk at least {floor}\n");
        out += &findings(&environment.findings, "  ");
        for sli in &environment.slis {
            let judged = if sli.judgeable { "can be judged" } else { "cannot be judged" };
            let read = sli
                .interval_seconds
                .map_or_else(String::new, |seconds| format!(", read every {seconds:.1} s"));
            out += &format!("  {} {judged}, {} series{read}\n", printable(&sli.name), sli.series);
            let rows = sli.versions.iter().map(|version| {
                vec![
                    format!("    version {}", printable(&version.version)),
                    format!("{:.1} requests/s", version.requests_per_second),
                    format!("{:.1} bad/s", version.bad_per_second),
                    format!("{} series", version.series),
                    format!("{} targets", version.targets),
                ]
            });
            out += &columns(&rows.collect::<Vec<_>>());
            out += &findings(&sli.findings, "    ");
        }
    }
    out
}

fn findings(findings: &[Finding], indent: &str) -> String {
    let line = |finding: &Finding| {
        let word = match finding.severity {
            Severity::Problem => "problem",
            Severity::Warning => "warning",
        };
        let help = finding
            .help
            .as_ref()
            .map_or_else(String::new, |help| format!("\n{indent}  {}", printable(help)));
        format!("{indent}{word}: {}{help}\n", printable(&finding.message))
    };
    findings.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
