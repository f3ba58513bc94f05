//! `doctor`: looks at the configuration and at what the collector needs of its surroundings, and
//! asks the running one. It changes nothing and sends nothing to receivers or hooks: their names
//! are looked up, that is all.

mod outside;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use bellwether_platform::clock::Clock;
use bellwether_platform::disk::{Disk, RealDisk};
use bellwether_platform::principal::Principals;
use bellwether_platform::tls::ServerTls;
use hyper::{Method, StatusCode};
use rustix::fs::{Access, access};

use super::ask::{Form, ask};
use super::cli::{Doctor, Output, Settings, Target};
use super::startup::StartError;
use super::table::{columns, printable};
use super::{rule_files, service_files, services_cli, startup};
use crate::pure::config::Plan;
use crate::pure::doctor::{self, Checkup, Status};

const FINDINGS: u8 = 1;
const HEALTHY: &str = "/-/healthy";
const METRICS: &str = "/metrics";
/// What a collector answers when it is asked whether it is well.
const OURS: &str = "Bellwether";

/// Looks at everything and shows it.
///
/// # Errors
/// The output cannot be written.
pub async fn run(asked: &Doctor) -> anyhow::Result<ExitCode> {
    let mut checkup = Checkup::default();
    let settings = Settings {
        config: asked.config.clone(),
        data_dir: asked.data_dir.clone(),
        listen: asked.listen,
        accept_loss: false,
    };
    match startup::plan(&settings) {
        Ok((plan, warnings)) => {
            checkup.problems("configuration", &warnings, "can be used".to_owned());
            here(&plan, &mut checkup);
            outside::all(&plan, &mut checkup).await;
            running(asked, Some(&plan), &mut checkup).await;
        }
        Err(error) => {
            match error {
                StartError::Wrong(problems) => {
                    checkup.problems("configuration", &problems, String::new());
                }
                StartError::Unreadable(error) => {
                    checkup.add("configuration", (Status::Fail, error.to_string()));
                }
            }
            running(asked, None, &mut checkup).await;
        }
    }
    let shown = match asked.output {
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&checkup)?),
        Output::Table => table(&checkup),
    };
    io::stdout().write_all(shown.as_bytes())?;
    Ok(if checkup.is_fine() { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

/// What lies on this machine: directories, certificates, tokens, files.
fn here(plan: &Plan, checkup: &mut Checkup) {
    data_dir(&plan.data_dir, checkup);
    if let Some(files) = &plan.tls {
        let opened = ServerTls::open(files.clone()).and_then(|_| files.identity.expires());
        let now = Clock::collector().now().wall.0.div_euclid(1000);
        match opened {
            Ok(expires) => checkup
                .add("tls", doctor::expiry(now, expires))
                .help("replace its files: they are read again when they change"),
            Err(error) => checkup
                .add("tls", (Status::Fail, error.to_string()))
                .help("see `tls` in the configuration"),
        }
    }
    match Principals::new(plan.principals.clone(), plan.anonymous) {
        Ok(_) => checkup
            .add("principals", doctor::principals(&plan.principals))
            .help("name who ships, with a token file, in `principals`"),
        Err(errors) => {
            for error in errors {
                checkup
                    .add("principals", (Status::Fail, error.to_string()))
                    .help("see `principals` in the configuration");
            }
        }
    }
    match rule_files::load(&plan.rules) {
        Ok((groups, warnings)) => {
            checkup.problems("rules", &warnings, format!("{} groups", groups.len()));
        }
        Err(problems) => checkup.problems("rules", &problems, String::new()),
    }
    match service_files::load(plan, &startup::around().environment) {
        Ok((services, warnings)) => {
            let catalogue = &services.catalogue;
            let (known, environments) = (catalogue.services.len(), catalogue.environments.len());
            let fine = format!("{known} services, {environments} environments");
            checkup.problems("service files", &warnings, fine);
        }
        Err(problems) => checkup.problems("service files", &problems, String::new()),
    }
}

/// Whether state can be kept there.
fn data_dir(dir: &Path, checkup: &mut Checkup) {
    let there = dir.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
    let shown = dir.display();
    let found = match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if there == dir => (Status::Ok, format!("{shown} can be written")),
        Ok(()) => (Status::Ok, format!("{shown} will be made at the first start")),
        Err(error) => (Status::Fail, format!("{shown} cannot be written: {error}")),
    };
    checkup.add("data directory", found).help("run as the user that the collector runs as");
    let room = match RealDisk.free_bytes(there) {
        Ok(free) => doctor::room(free),
        Err(error) => (Status::Fail, error.to_string()),
    };
    checkup.add("disk", room).help("make room, or lower `store.bytes_max` and `store.retention`");
}

/// Whether a collector runs, and what it says.
async fn running(asked: &Doctor, plan: Option<&Plan>, checkup: &mut Checkup) {
    let url = match (&asked.url, plan) {
        (Some(url), _) => url.clone(),
        (None, Some(plan)) => url_of(plan),
        (None, None) => {
            let message = "not asked: the configuration does not say where it listens".to_owned();
            checkup.add("collector", (Status::Warn, message)).help("say `--url`");
            return;
        }
    };
    let target =
        Target { url, token_file: asked.token_file.clone(), ca_file: asked.ca_file.clone() };
    let answer = ask(&target, Method::GET, HEALTHY, Form::None).await;
    let is_ours = |body: &[u8]| String::from_utf8_lossy(body).contains(OURS);
    let url = &target.url;
    let is_running = matches!(&answer, Ok((StatusCode::OK, body)) if is_ours(body));
    if let Some(plan) = plan {
        port(plan.listen, is_running, checkup);
    }
    match answer {
        Ok(_) if is_running => {
            checkup.add("collector", (Status::Ok, format!("answers at {url}")));
        }
        Ok((status, _)) => {
            let message = format!("what answers at {url} is no collector ({status})");
            checkup.add("collector", (Status::Fail, message)).help("say `--url`");
            return;
        }
        Err(error) => {
            let message = format!("none runs, or it cannot be asked: {error}");
            checkup
                .add("collector", (Status::Warn, message))
                .help("start it with `bellwether serve`; clocks and services are not looked at");
            return;
        }
    }
    let page = ask(&target, Method::GET, METRICS, Form::None).await;
    let clock = match page {
        Ok((StatusCode::OK, page)) => doctor::clock(&String::from_utf8_lossy(&page)),
        _ => None,
    };
    let unknown = || (Status::Warn, "the collector does not tell its time".to_owned());
    checkup
        .add("clock", clock.unwrap_or_else(unknown))
        .help("see whether the clock of this machine is synchronised");
    match services_cli::report(&target, None).await {
        Ok(report) => doctor::services(&report, checkup),
        Err(error) => checkup
            .add("services", (Status::Warn, format!("not known: {error}")))
            .help("say `--token-file` with a token of the scope `read`"),
    }
}

/// Where a collector with this plan is reached from here.
fn url_of(plan: &Plan) -> String {
    let ip = match plan.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if plan.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, plan.listen.port()))
}

/// Whether the address can be had.
fn port(listen: SocketAddr, is_running: bool, checkup: &mut Checkup) {
    let found = match TcpListener::bind(listen) {
        Ok(_) => (Status::Ok, format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_running => {
            (Status::Ok, format!("{listen} is the running collector's"))
        }
        Err(error) => (Status::Fail, format!("{listen} cannot be had: {error}")),
    };
    checkup.add("port", found).help("end the other program, or say another `listen`");
}

/// A line for each check, and one below for what to do.
fn table(checkup: &Checkup) -> String {
    let rows: Vec<Vec<String>> = checkup
        .0
        .iter()
        .map(|check| {
            let message = printable(&check.message);
            vec![check.status.name().to_owned(), printable(&check.check), message]
        })
        .collect();
    let shown = columns(&rows);
    let mut out = String::new();
    for (line, check) in shown.lines().zip(&checkup.0) {
        out += &format!("{line}\n");
        if let Some(help) = &check.help {
            out += &format!("      {}\n", printable(help));
        }
    }
    out
}

#[cfg(test)]
mod tests;
