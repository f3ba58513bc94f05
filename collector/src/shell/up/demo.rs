//! `up --demo`: backends, traffic, a receiver and a fault beside the collector and its agent.
//!
//! All of it is made here and lives on loopback; everything that it makes in the store has
//! `job="demo"`. What happens is decided by `pure/demo.rs`; the alert, its page and its end come by
//! the ways of any other.

mod backend;
mod load;
mod receiver;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::config::Secret;
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::select::{Column, Select, Window};
use bellwether_model::time::Now;
use bellwether_platform::dial::Way;
use bellwether_platform::disk::{Disk, DiskError, RealDisk, make_dir};
use bellwether_platform::listener::BindError;
use bellwether_platform::stop::{self, Stop};
use bellwether_platform::tls::ClientFiles;
use bellwether_rules::alert::AlertState;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::Screen;
use crate::pure::config::Plan;
use crate::pure::demo::page::Page;
use crate::pure::demo::{ALERT, Backend as Fact, Demo, Effect, Ending, Event, Facts, JOB, Look};
use crate::pure::notify::plan::{Endpoint, GroupBy, ReceiverPlan};
use crate::pure::notify::sign::SigningKey;
use crate::shell::control::Board;
use crate::shell::serve::Watch;
use backend::{Backend, Mode};
use load::Load;
use receiver::Receiver;

/// Requests a second, over both backends.
const RATE: u32 = 100;
/// From one look at probes and alerts to the next.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A probe of each backend comes every second.
const PROBED_WITHIN: Duration = Duration::from_secs(5);
/// The rules.
const PACK: &str = "demo";
/// The receiver's name.
const PAGER: &str = "demo";
/// Where the page has not come.
const WITHOUT_PAGE: u8 = 1;
/// The agent's configuration, below the directory of all state.
const AGENT_FILE: &str = "demo/agent.yaml";

/// All that the demo needs, bound and not serving yet.
pub(super) struct Stage {
    backends: Vec<Backend>,
    receiver: Receiver,
}

impl Stage {
    /// Takes ports of loopback, and adds the demo's rules and its receiver to the plan.
    ///
    /// # Errors
    /// No port is free.
    pub(super) fn bind(plan: &mut Plan) -> Result<Stage, BindError> {
        let backends = vec![Backend::bind("stable", "1.0.0")?, Backend::bind("canary", "1.1.0")?];
        let secret = new_secret();
        let key = SigningKey::parse(&secret).expect("invariant: made as keys are");
        let receiver = Receiver::bind(key)?;
        if !plan.rules.packs.iter().any(|pack| pack == PACK) {
            plan.rules.packs.push(PACK.to_owned());
        }
        let pager = pager(&format!("http://{}/", receiver.address()), secret);
        plan.notify.receivers.insert(Arc::clone(&pager.name), Arc::new(pager));
        Ok(Stage { backends, receiver })
    }

    /// Writes the agent's configuration: the host's inputs as ever, and a probe of each backend.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn write_agent_file(&self, data_dir: &Path) -> Result<PathBuf, DiskError> {
        let path = data_dir.join(AGENT_FILE);
        if let Some(dir) = path.parent() {
            make_dir(&RealDisk, dir)?;
        }
        RealDisk.create(&path)?.write_at(agent_file(&self.backends).as_bytes(), 0)?;
        Ok(path)
    }

    /// Plays the demo to its end, or until told to stop before it. Success only if the page came,
    /// and the message of its end.
    pub(super) async fn play(
        self,
        watch: &Watch,
        screen: Screen,
        ask: &Stop,
    ) -> anyhow::Result<ExitCode> {
        let Stage { mut backends, receiver } = self;
        let facts = facts(&backends, &receiver);
        for backend in &mut backends {
            backend.turn(Mode::Well).await?;
        }
        let (stopper, stopped) = stop::stop();
        let _receiver_ends = stopper.on_return();
        let mut pages = receiver.start(watch.clock.clone(), stopped);
        let addresses: Vec<SocketAddr> = backends.iter().map(Backend::address).collect();
        let load = Load::start(&addresses, RATE);
        let mut effects = Vec::new();
        let mut demo = Demo::new(watch.clock.now().mono, facts, &mut effects);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(ending) = perform(&mut effects, &mut backends, screen).await? {
                return Ok(match ending {
                    Ending::Well => ExitCode::SUCCESS,
                    Ending::Badly => ExitCode::from(WITHOUT_PAGE),
                });
            }
            let page = tokio::select! {
                () = ask.stopped() => return Ok(ExitCode::from(WITHOUT_PAGE)),
                page = next(&mut pages) => Some(page),
                _ = looks.tick() => None,
            };
            let now = watch.clock.now();
            demo.step(now.mono, Event::Look(look(watch, &load, now)), &mut effects);
            if let Some(page) = page {
                demo.step(now.mono, Event::Page(page), &mut effects);
            }
        }
    }
}

/// A key for this run.
fn new_secret() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("invariant: the system has random numbers");
    SigningKey::encode(&bytes)
}

/// The receiver as the notifier has it: what concerns the demo, at once.
fn pager(url: &str, secret: String) -> ReceiverPlan {
    let job = Matcher::new("job", MatchOp::Equal, JOB).into_iter();
    ReceiverPlan {
        name: PAGER.into(),
        endpoint: Endpoint {
            url: Secret::text(url),
            authorization: None,
            tls: ClientFiles { ca: None, identity: None },
            way: Some(Way::Direct),
            timeout: Duration::from_secs(5),
        },
        secrets: vec![Secret::text(secret)],
        send_resolved: true,
        max_alerts: 0,
        matchers: job.collect(),
        group_by: GroupBy::All,
        group_wait: Duration::ZERO,
        group_interval: Duration::from_secs(1),
        repeat_interval: Duration::from_secs(3600),
        deadline: Duration::from_secs(60),
    }
}

/// The next page; waits for ever where the receiver has ended.
async fn next(pages: &mut mpsc::Receiver<Page>) -> Page {
    match pages.recv().await {
        Some(page) => page,
        None => std::future::pending().await,
    }
}

async fn perform(
    effects: &mut Vec<Effect>,
    backends: &mut [Backend],
    screen: Screen,
) -> anyhow::Result<Option<Ending>> {
    for effect in effects.drain(..) {
        let mode = match effect {
            Effect::Say(line) => {
                screen.line(&line);
                continue;
            }
            Effect::Inject => Mode::Errors,
            Effect::Mend => Mode::Well,
            Effect::End(ending) => return Ok(Some(ending)),
        };
        if let Some(broken) = backends.last_mut() {
            broken.turn(mode).await?;
        }
    }
    Ok(None)
}

fn facts(backends: &[Backend], receiver: &Receiver) -> Facts {
    let backends = backends.iter().map(|backend| Fact {
        name: backend.name().to_owned(),
        version: backend.version().to_owned(),
        address: backend.address().to_string(),
    });
    Facts { backends: backends.collect(), receiver: receiver.address().to_string(), rate: RATE }
}

fn agent_file(backends: &[Backend]) -> String {
    let mut text = format!(
        "# Written anew by each `bellwether up --demo`.\n\
         inputs:\n  probe:\n    interval: 1s\n    job: {JOB}\n    targets:\n"
    );
    for backend in backends {
        let (name, address) = (backend.name(), backend.address());
        writeln!(text, "    - url: http://{address}/healthz").ok();
        writeln!(text, "      instance: {name}").ok();
        writeln!(text, "      labels: {{demo: 'true', version: '{}'}}", backend.version()).ok();
    }
    text
}

fn look(watch: &Watch, load: &Load, now: Now) -> Look {
    let (pending, firing) = alert(&watch.board);
    Look { healthy: healthy(watch, now), pending, firing, traffic: load.traffic() }
}

/// Backends whose newest probe was a success.
fn healthy(watch: &Watch, now: Now) -> usize {
    let matchers = [("__name__", "probe_success"), ("job", JOB)];
    let matchers = matchers.map(|(name, value)| Matcher::new(name, MatchOp::Equal, value));
    let matchers: Vec<Matcher> = matchers.into_iter().flatten().collect();
    let window = Window::ending(now.wall, PROBED_WITHIN);
    let view = watch.store.view(now.wall);
    let mut column = Column::default();
    let found = view.series(&matchers, window, 100).into_iter();
    let healthy = found.filter(|series| {
        view.samples(*series, window, &mut column);
        column.values.last() == Some(&1.0)
    });
    healthy.count()
}

/// Whether the demo's alert is pending somewhere, and whether it fires.
fn alert(board: &Board) -> (bool, bool) {
    let mut states = Vec::new();
    for group in board.groups() {
        let rules = group.rules.rules.iter().zip(&group.state.rules);
        let ours = rules.filter(|(rule, _)| rule.name() == ALERT);
        states.extend(ours.flat_map(|(_, state)| state.alerts.active().map(|(_, a)| a.state)));
    }
    (states.contains(&AlertState::Pending), states.contains(&AlertState::Firing))
}

#[cfg(test)]
mod tests;
