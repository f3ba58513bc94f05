//! `up`: the collector in this process and the agent beside it, on one machine, without a file.
//!
//! Start: data directory, the agent's token, the collector, then the agent. End, by a signal, after
//! `--for` or when the collector fails: the agent first, so that its goodbye arrives, then the
//! collector. With `--demo` a fault is played beside them, and its end is theirs.

mod agent;
mod backoff;
mod demo;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bellwether_platform::disk::{RealDisk, make_dir};
use bellwether_platform::log;
use bellwether_platform::principal::{PrincipalSpec, Scope, TokenError, TokenSource, make_token};
use bellwether_platform::stop::{self, Signals, Stop, Stopper};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::warn;

use self::agent::{AgentView, Beside};
use self::demo::Stage;
use super::cli::Up;
use super::serve::{Collector, Watch};
use super::status::{Reading, Status, reading, summary};
use super::{program, startup};

/// The name of the agent of `up` among the principals.
const PRINCIPAL: &str = "agent-of-up";
/// Its token, below the directory of all state.
const TOKEN: &str = "agent.token";
/// Who works on the machine of `up`, and its token: announces and steers rollouts, carries out
/// their signals, reloads. Reading needs none.
const LOCAL: (&str, &str) = ("local-of-up", "local.token");
const LOCAL_SCOPES: [Scope; 5] =
    [Scope::Silence, Scope::Announce, Scope::Rollout, Scope::Hook, Scope::Admin];
/// The examples wait this long for the address of the agent's page.
const PAGE_TIME: Duration = Duration::from_secs(5);
/// From one look at the collector to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks from one line to the next where there is no terminal to rewrite a line on.
const LOOKS_PER_LINE: u64 = 10;

/// Runs everything until a signal, or for as long as was asked.
///
/// # Errors
/// Something does not start, or the collector failed.
pub fn run(up: &Up) -> anyhow::Result<ExitCode> {
    log::start()?;
    let (plan, warnings) = startup::plan(&up.settings)?;
    for warning in &warnings {
        warn!(%warning, "configuration");
    }
    if plan.tls.is_some() {
        anyhow::bail!(
            "`up` is for one machine and speaks no TLS: remove `tls`, or run `bellwether serve` and \
             `bellwether-agent run`"
        );
    }
    let program = program::find(program::AGENT, up.agent_bin.as_deref())?;
    make_dir(&RealDisk, &plan.data_dir)?;
    let token_file = token(&plan.data_dir, TOKEN)?;
    let local = PrincipalSpec {
        name: LOCAL.0.to_owned(),
        token: TokenSource::File(token(&plan.data_dir, LOCAL.1)?),
        scopes: LOCAL_SCOPES.into_iter().collect(),
    };
    let stage = match up.demo {
        true => Some(Stage::bind(&plan.data_dir, plan.data_dir.join(LOCAL.1))?),
        false => None,
    };
    let config = stage.as_ref().map(Stage::write_files).transpose()?;
    let agents = PrincipalSpec {
        name: PRINCIPAL.to_owned(),
        token: TokenSource::File(token_file.clone()),
        scopes: [Scope::Ingest].into_iter().collect(),
    };
    let mut always = stage.as_ref().map(Stage::always).unwrap_or_default();
    always.principals.extend([agents, local]);
    let data_dir = plan.data_dir.clone();
    let (stopper, stop) = stop::stop();
    let collector = Collector::open(startup::serve_plan(plan, &up.settings, always), &stopper)?;
    let agent = agent::Command {
        program,
        data_dir,
        token_file,
        config,
        collector: collector.address(),
        listen: up.agent_listen,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let parts = Parts { collector, agent, stage };
    runtime.block_on(live(parts, &stopper, stop, up.run_for))
}

/// A token file, made at the first start.
fn token(data_dir: &Path, name: &str) -> Result<PathBuf, TokenError> {
    let path = data_dir.join(name);
    match make_token(&RealDisk, &path) {
        Ok(_) | Err(TokenError::Exists(_)) => Ok(path),
        Err(error) => Err(error),
    }
}

/// What runs beside each other.
struct Parts {
    collector: Collector,
    agent: agent::Command,
    stage: Option<Stage>,
}

/// From the first request that is answered to the last.
async fn live(
    parts: Parts,
    stopper: &Stopper,
    stop: Stop,
    run_for: Option<Duration>,
) -> anyhow::Result<ExitCode> {
    let Parts { collector, agent, stage } = parts;
    let (asked, ask) = stop::stop();
    let hangup = Arc::new(Notify::new());
    tokio::spawn(Signals::catch()?.run(asked.clone(), Arc::clone(&hangup)));
    tokio::spawn(ask_when_over(asked.clone(), stop.clone(), run_for));
    let (watch, address) = (collector.watch(), collector.address());
    let beside = async {
        let _collector_ends = stopper.on_return();
        beside(&watch, address, agent, ask.clone()).await
    };
    let play = async {
        let Some(stage) = stage else { return Ok(ExitCode::SUCCESS) };
        let _all_end = asked.on_return();
        stage.play(&watch, address, (Screen::new(), &ask)).await
    };
    // The collector is polled first, so that it answers once its address is told.
    let (served, (first, last), played) = tokio::join!(collector.serve(stop, hangup), beside, play);
    served?;
    if let (Some(first), Some(last)) = (first, last) {
        Screen::new().line(&format!("bellwether: {}", summary(&first, &last)));
    }
    played
}

/// Asks for the end when the time is over, or the collector has ended by itself.
async fn ask_when_over(asked: Stopper, collector: Stop, run_for: Option<Duration>) {
    match run_for {
        Some(time) => drop(timeout(time, collector.stopped()).await),
        None => collector.stopped().await,
    }
    asked.stop();
}

/// The agent and the status line; ends once the agent has. Gives the first and the last reading.
async fn beside(
    watch: &Watch,
    address: SocketAddr,
    command: agent::Command,
    ask: Stop,
) -> (Option<Reading>, Option<Reading>) {
    let screen = Screen::new();
    screen.line(&format!("bellwether: listening on http://{address}"));
    let first = reading(watch).await;
    let (view, seen) = watch::channel(AgentView::default());
    let agent = Beside::new(command, watch.clock.clone(), screen, view);
    let show = async {
        tokio::select! {
            () = show(screen, watch, address, seen) => {}
            () = ask.stopped() => {}
        }
    };
    tokio::join!(agent.run(ask.clone()), show);
    let last = reading(watch).await;
    (first, last)
}

/// Examples of what to look at, then the status line, for as long as this is polled.
async fn show(
    screen: Screen,
    watch: &Watch,
    address: SocketAddr,
    mut seen: watch::Receiver<AgentView>,
) {
    let page = timeout(PAGE_TIME, seen.wait_for(|view| view.page.is_some())).await;
    let page = page.ok().and_then(|view| view.ok()?.page.clone());
    screen.line(&examples(address, page.as_deref()));
    let mut status = Status::default();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for look in 0_u64.. {
        looks.tick().await;
        if let Some(reading) = reading(watch).await {
            status.take(reading);
        }
        let agent = seen.borrow().state;
        let Some(line) = status.line(agent) else { continue };
        if screen.is_terminal {
            screen.status(&line);
        } else if look % LOOKS_PER_LINE == LOOKS_PER_LINE - 1 {
            screen.line(&line);
        }
    }
}

fn examples(collector: SocketAddr, page: Option<&str>) -> String {
    let mut text = format!(
        "\nTo look at it, in another terminal:\n  \
         curl -sG http://{collector}/api/v1/query -d query=up\n  \
         curl -sG http://{collector}/api/v1/query -d query=node_load1\n  \
         curl -sG http://{collector}/federate --data-urlencode 'match[]={{job=\"node\"}}'\n  \
         curl -s http://{collector}/metrics\n"
    );
    if let Some(page) = page {
        text += &format!("  curl -s http://{page}/metrics\n");
    }
    text + "Ctrl-C ends it.\n"
}

/// Standard output: whole lines, and one line at its end that is rewritten. Where it is closed,
/// nothing more is shown; a daemon does not end for that.
#[derive(Clone, Copy, Debug)]
struct Screen {
    is_terminal: bool,
}

impl Screen {
    fn new() -> Screen {
        Screen { is_terminal: io::stdout().is_terminal() }
    }

    fn line(self, text: &str) {
        let clear = if self.is_terminal { "\x1b[K" } else { "" };
        let mut out = io::stdout().lock();
        writeln!(out, "{clear}{text}").and_then(|()| out.flush()).ok();
    }

    /// Leaves the cursor at the start of the line, so that whatever is logged next overwrites it.
    fn status(self, text: &str) {
        let mut out = io::stdout().lock();
        write!(out, "\x1b[K{text}\r").and_then(|()| out.flush()).ok();
    }
}

/// A pause that ends early when told to stop; true if told.
async fn rest(time: Duration, stop: &Stop) -> bool {
    tokio::select! {
        () = sleep(time) => false,
        () = stop.stopped() => true,
    }
}
