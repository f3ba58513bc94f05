//! `rollout start`, `status`, `list`, `finish`, `abort` and `confirm`.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::ask::{Form, answer, ask, refused};
use super::cli::{Output, Rollout, RolloutOne, RolloutSay, RolloutStart};
use super::rollouts::{PATH, Saying};
use super::table::{columns, printable};
use crate::pure::guard::view::{ListView, RolloutView, SliView};

/// The rollout has failed.
const FAILED: u8 = 1;
/// It is to wait.
const HELD: u8 = 3;

/// Does what is asked.
///
/// # Errors
/// The collector cannot be asked, or refuses; or the output cannot be written.
pub async fn run(rollout: &Rollout) -> anyhow::Result<ExitCode> {
    match rollout {
        Rollout::Start(start) => begin(start).await,
        Rollout::Status(one) => status(one).await,
        Rollout::List(list) => {
            let view: ListView = answer(&list.target, PATH).await?;
            match list.output {
                Output::Json => print(&serde_json::to_string_pretty(&view)?)?,
                Output::Table => io::stdout().write_all(table(&view).as_bytes())?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Rollout::Finish(one) => say(one, "finish").await,
        Rollout::Abort(one) => say(one, "abort").await,
        Rollout::Confirm(one) => say(one, "confirm").await,
    }
}

async fn begin(start: &RolloutStart) -> anyhow::Result<ExitCode> {
    let body = announce(start).to_string();
    let (status, body) = ask(&start.target, Method::POST, PATH, Form::Json(body)).await?;
    if status != StatusCode::CREATED && status != StatusCode::OK {
        return Err(refused(&start.target, status, &body).into());
    }
    let view: RolloutView = serde_json::from_slice(&body)?;
    match start.output {
        Output::Json => print(&serde_json::to_string_pretty(&view)?)?,
        Output::Table => io::stdout().write_all(shown(&view).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The announce as JSON: what was said, and nothing else.
fn announce(start: &RolloutStart) -> Value {
    let mut fields = Map::new();
    let mut text = |name: &str, value: &str| fields.insert(name.to_owned(), json!(value));
    text("id", start.id.as_deref().unwrap_or(&new_id(start)));
    text("service", &start.service);
    text("environment", &start.environment);
    text("from", &start.from);
    text("to", &start.to);
    let said = [
        ("strategy", &start.strategy),
        ("risk", &start.risk),
        ("mode", &start.mode),
        ("watch", &start.watch),
    ];
    for (name, value) in said.into_iter().filter_map(|(name, v)| Some((name, v.as_ref()?))) {
        text(name, value);
    }
    for (name, value) in [("alpha", start.alpha), ("share", start.share)] {
        fields.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    for (name, values) in [("canary", &start.canary), ("baseline", &start.baseline)] {
        if !values.is_empty() {
            fields.insert(name.to_owned(), json!(values));
        }
    }
    if start.irreversible {
        fields.insert("irreversible".to_owned(), json!(true));
    }
    Value::Object(fields)
}

/// A name that no other rollout has.
fn new_id(start: &RolloutStart) -> String {
    let mut random = [0; 4];
    getrandom::fill(&mut random).expect("invariant: the system has random numbers");
    format!("{}-{}-{:08x}", start.service, start.to, u32::from_le_bytes(random))
}

async fn status(one: &RolloutOne) -> anyhow::Result<ExitCode> {
    let view: RolloutView = answer(&one.target, &format!("{PATH}/{}", one.id)).await?;
    match one.output {
        Output::Json => print(&serde_json::to_string_pretty(&view)?)?,
        Output::Table => io::stdout().write_all(shown(&view).as_bytes())?,
    }
    Ok(match (view.state.as_str(), view.hold) {
        ("failed", _) => ExitCode::from(FAILED),
        (_, true) => ExitCode::from(HELD),
        _ => ExitCode::SUCCESS,
    })
}

async fn say(one: &RolloutSay, word: &str) -> anyhow::Result<ExitCode> {
    let body = serde_json::to_string(&Saying { reason: one.reason.clone().unwrap_or_default() })?;
    let path = format!("{PATH}/{}/{word}", one.id);
    let (status, body) = ask(&one.target, Method::POST, &path, Form::Json(body)).await?;
    if status != StatusCode::NO_CONTENT {
        return Err(refused(&one.target, status, &body).into());
    }
    print(&format!("{word}: {}", one.id))?;
    Ok(ExitCode::SUCCESS)
}

fn table(view: &ListView) -> String {
    let head = ["ID", "SERVICE", "ENVIRONMENT", "FROM", "TO", "MODE", "STATE", "ACTION", "SINCE"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for one in &view.rollouts {
        let cells = [
            &one.id,
            &one.service,
            &one.environment,
            &one.from,
            &one.to,
            &one.mode,
            &one.state,
            &one.action,
            one.ended_at.as_ref().unwrap_or(&one.announced_at),
        ];
        lines.push(cells.map(|cell| printable(cell)).to_vec());
    }
    columns(&lines)
}

/// A rollout, for people.
fn shown(view: &RolloutView) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&printable(&text));
        out.push('\n');
    };
    let RolloutView { id, service, environment, from, to, .. } = view;
    line(format!("{id}: {service} in {environment}, {from} to {to}"));
    let RolloutView { strategy, risk, mode, alpha, .. } = view;
    line(format!(
        "  {strategy}, risk {risk}, mode {mode}, α {alpha}; by {} at {}",
        view.by, view.announced_at
    ));
    line(format!("  {}: {}{}", view.state, view.action, if view.hold { ", hold" } else { "" }));
    if let Some(missing) = &view.missing {
        line(format!("  the {} is {} for {} s", missing.arm, missing.what, missing.seconds));
    }
    for (name, text) in [("why", &view.reason), ("what would change it", &view.would_change)] {
        if !text.is_empty() {
            line(format!("  {name}: {text}"));
        }
    }
    if let Some(at) = &view.judged_to {
        line(format!("  judged to {at}"));
    }
    for sli in &view.slis {
        line(sli_line(sli));
    }
    for one in &view.decided {
        line(format!(
            "  {} {} at {}, record {} ({})",
            one.sli, one.verdict, one.at, one.record, one.sha256
        ));
    }
    for one in &view.said {
        line(format!("  {} by {} at {} {}", one.word, one.by, one.at, one.reason));
    }
    for one in &view.signals {
        let outcome = one.outcome.as_deref().unwrap_or("open");
        line(format!(
            "  {} {} to {}: {}, {outcome}",
            one.kind, one.generation, one.hook, one.state
        ));
        for (state, at) in &one.times {
            line(format!("    {at} {state}"));
        }
        if let Some(answer) = &one.answer {
            line(format!("    {answer}"));
        }
    }
    if let Some(at) = &view.ended_at {
        line(format!("  over at {at}"));
    }
    out
}

fn sli_line(sli: &SliView) -> String {
    let ((n, bad), (of, bad_of)) = (sli.canary, sli.baseline);
    let mut text = format!(
        "  {}: {}, evidence {:.2} of {:.2}; canary {bad} bad of {n}, baseline {bad_of} of {of}",
        sli.name, sli.verdict, sli.log_e, sli.log_limit
    );
    if let Some(ratio) = sli.smallest_ratio {
        write!(text, "; a ratio of {ratio:.1} would show").ok();
    }
    text
}

fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
