//! `check config`: what is wrong with configuration files.
//!
//! The collector's files are read as `serve` reads them, the rule files they name among them. The
//! agent's are read by the agent's own program, so that `check` and `run` share one path there too.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use bellwether_model::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use bellwether_platform::log::complain;
use bellwether_platform::principal::Principals;
use bellwether_platform::surroundings::read_text;
use bellwether_platform::tls::ServerTls;
use serde_json::{Value, json};

use super::cli::{CheckConfig, Output};
use super::{program, rule_files, service_files, startup};
use crate::pure::config::{self, FileKind, Overrides, Plan, Surroundings};

const FINDINGS: u8 = 1;
const COULD_NOT_RUN: u8 = 2;

/// What the file names cannot be used.
const UNUSABLE: Code = Code { name: "col006", meaning: "a token or certificate cannot be used" };

/// What was found in one file.
struct Checked {
    path: PathBuf,
    found: Found,
}

enum Found {
    /// By this program.
    Ours(Diagnostics),
    /// By the agent's, as it shows it: empty if nothing is wrong.
    Agents(String),
}

impl Found {
    fn is_fine(&self) -> bool {
        match self {
            Found::Ours(problems) => problems.is_empty(),
            Found::Agents(shown) => shown.is_empty(),
        }
    }
}

/// Checks files and shows what is wrong with them.
///
/// # Errors
/// The output cannot be written. A file that cannot be checked is told on standard error and in the
/// exit code.
pub fn run(check: &CheckConfig) -> anyhow::Result<ExitCode> {
    let surroundings = startup::around();
    let mut checked = Vec::new();
    let mut is_whole = true;
    for path in &check.paths {
        match one(path, check, &surroundings) {
            Ok(found) => checked.push(Checked { path: path.clone(), found }),
            Err(error) => {
                complain(format_args!("bellwether: {error:#}"));
                is_whole = false;
            }
        }
    }
    io::stdout().write_all(shown(&checked, check.output)?.as_bytes())?;
    let is_fine = checked.iter().all(|file| file.found.is_fine());
    Ok(match (is_whole, is_fine) {
        (false, _) => ExitCode::from(COULD_NOT_RUN),
        (true, false) => ExitCode::from(FINDINGS),
        (true, true) => ExitCode::SUCCESS,
    })
}

fn one(path: &Path, check: &CheckConfig, around: &Surroundings) -> anyhow::Result<Found> {
    let file = path.display().to_string();
    let text = read_text(path).with_context(|| format!("cannot read {file}"))?;
    match config::kind(&file, &text) {
        FileKind::Collector => Ok(Found::Ours(collectors(&file, &text, around))),
        FileKind::Agent => agents(path, check).with_context(|| format!("cannot check {file}")),
    }
}

fn collectors(file: &str, text: &str, around: &Surroundings) -> Diagnostics {
    match config::read(file, text, around, &Overrides::default()) {
        Ok((plan, mut problems)) => {
            let (Ok((_, found)) | Err(found)) = rule_files::load(&plan.rules);
            problems.extend(found);
            let (Ok((_, found)) | Err(found)) = service_files::load(&plan, &around.environment);
            problems.extend(found);
            let found = secrets(&plan).into_iter();
            found.for_each(|what| problems.push(Diagnostic::error(UNUSABLE, None, what)));
            problems
        }
        Err(problems) => problems,
    }
}

/// What is wrong with tokens and the certificate, which are taken here as a start takes them.
fn secrets(plan: &Plan) -> Vec<String> {
    let principals = Principals::new(plan.principals.clone(), plan.anonymous);
    let wrong = principals.err().into_iter().flatten().map(|error| error.to_string());
    let tls = plan.tls.clone().and_then(|files| ServerTls::open(files).err());
    wrong.chain(tls.map(|error| format!("the certificate: {error}"))).collect()
}

/// Has the agent's program check its file.
fn agents(path: &Path, check: &CheckConfig) -> anyhow::Result<Found> {
    let done = Command::new(program::find(program::AGENT, check.agent_bin.as_deref())?)
        .args(["check", "--config"])
        .arg(path)
        .stdin(Stdio::null())
        .output()?;
    let shown = String::from_utf8_lossy(&done.stdout).into_owned();
    match done.status.code() {
        Some(0) => Ok(Found::Agents(String::new())),
        Some(1) => Ok(Found::Agents(shown)),
        _ => bail!("{}", String::from_utf8_lossy(&done.stderr).trim()),
    }
}

/// All findings; as a table those of one file after the other, as JSON one list.
fn shown(checked: &[Checked], output: Output) -> anyhow::Result<String> {
    if output == Output::Json {
        let mut all = Vec::new();
        for file in checked {
            match &file.found {
                Found::Ours(problems) => all.extend(problems.iter().map(as_json)),
                found if found.is_fine() => {}
                // The agent's program shows its findings as text only: they are one here.
                Found::Agents(text) => all.push(finding(&file.path.display().to_string(), text)),
            }
        }
        return Ok(format!("{}\n", serde_json::to_string_pretty(&all)?));
    }
    let mut out = String::new();
    for file in checked {
        match &file.found {
            found if found.is_fine() => out += &format!("{}: fine\n", file.path.display()),
            Found::Ours(problems) => out += &format!("{problems}\n"),
            Found::Agents(shown) => out += &format!("{}\n", shown.trim_end()),
        }
    }
    Ok(out)
}

fn finding(file: &str, text: &str) -> Value {
    json!({
        "file": file,
        "line": null,
        "column": null,
        "severity": "error",
        "code": null,
        "message": text.trim_end(),
        "help": null,
    })
}

fn as_json(problem: &Diagnostic) -> Value {
    let place = problem.place.as_ref();
    json!({
        "file": place.map(|place| place.file.as_ref()),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "severity": match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "code": problem.code.name,
        "message": problem.message,
        "help": problem.help,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked() -> Vec<Checked> {
        let of = |file: &str, text: &str| Checked {
            path: file.into(),
            found: Found::Ours(collectors(file, text, &Surroundings::default())),
        };
        let text = "listn: '127.0.0.1:9797'\nstore: {retention: 3}\n";
        vec![of("good.yaml", "listen: '127.0.0.1:9797'\n"), of("bad.yaml", text)]
    }

    #[test]
    fn findings_are_shown_with_their_lines() {
        insta::assert_snapshot!(shown(&checked(), Output::Table).unwrap());
    }

    #[test]
    fn tokens_are_read_as_a_start_reads_them() {
        use std::os::unix::fs::PermissionsExt;
        let dir = std::env::temp_dir().join(format!("bellwether-check-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("directory")).unwrap();
        for (name, mode) in [("good", 0o600), ("open", 0o644)] {
            let file = dir.join(name);
            std::fs::write(&file, format!("{name}-0123456789abcdef0123456789abcdef")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let found = |name: &str| {
            let file = dir.join(name).display().to_string();
            let text = format!("principals: {{a: {{token_file: {file}, scopes: [ingest]}}}}\n");
            let problems = collectors("a.yaml", &text, &Surroundings::default());
            problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>()
        };
        assert_eq!(found("good"), Vec::<String>::new());
        for name in ["open", "directory", "missing"] {
            let [problem] = &*found(name) else { panic!("{name}: {:?}", found(name)) };
            assert!(problem.starts_with("the token of the principal \"a\": "), "{problem}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn findings_are_a_list_for_programs() {
        insta::assert_snapshot!(shown(&checked(), Output::Json).unwrap());
        assert_eq!(shown(&[], Output::Json).unwrap(), "[]\n");
    }

    #[test]
    fn findings_of_the_agent_join_the_list() {
        let mut both = checked();
        let agents = "error[cfg001]: unknown key\n".to_owned();
        both.push(Checked { path: "agent.yaml".into(), found: Found::Agents(agents) });
        let list: Vec<Value> = serde_json::from_str(&shown(&both, Output::Json).unwrap()).unwrap();
        let files: Vec<_> = list.iter().map(|finding| finding["file"].as_str().unwrap()).collect();
        assert_eq!(files, ["bad.yaml", "bad.yaml", "agent.yaml"]);
        assert_eq!(list[2]["message"], "error[cfg001]: unknown key");
        let fine = Checked { path: "agent.yaml".into(), found: Found::Agents(String::new()) };
        assert_eq!(shown(&[fine], Output::Table).unwrap(), "agent.yaml: fine\n");
    }
}
