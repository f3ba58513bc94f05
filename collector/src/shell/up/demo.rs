//! `up --demo`: backends behind nginx or a proxy, traffic, a receiver, a hook, a deploy and a fault
//! beside the collector and its agent.
//!
//! All of it is made here and lives on loopback; everything that it makes in the store has
//! `job="demo"`. What happens is decided by `pure/demo.rs`; the alert, its page and its end, the
//! verdict and the rollback come by the ways of any other.

mod backend;
mod front;
mod hook;
mod load;
mod nginx;
mod proxy;
mod receiver;
mod rollout;

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
use bellwether_platform::disk::{DiskError, RealDisk, make_dir, replace_file};
use bellwether_platform::sign::SigningKey;
use bellwether_platform::stop::{self, Stop};
use bellwether_platform::tls::ClientFiles;
use bellwether_rules::alert::AlertState;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::Screen;
use crate::pure::demo::page::Page;
use crate::pure::demo::{ALERT, Backend as Fact, Demo, Effect, Ending, Event, Facts, JOB, Look};
use crate::pure::guard::plan::HookPlan;
use crate::pure::notify::plan::{Endpoint, GroupBy, ReceiverPlan};
use crate::shell::control::Board;
use crate::shell::program;
use crate::shell::reload::Always;
use crate::shell::serve::Watch;
use backend::{Backend, Mode};
use front::Front;
use load::Load;
use receiver::Receiver;
use rollout::Rollout;

/// Any free port of this machine's loopback.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Requests a second.
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
/// The demo's files, below the directory of all state.
const DIR: &str = "demo";
/// The version that serves, and the one that comes.
const OLD: &str = "1.0.0";
const NEW: &str = "1.1.0";
/// What is deployed.
const SERVICE: &str = "\
# Written anew by each `bellwether up --demo`.
service: demo
owner: demo
mode: act
hook: demo
slis:
  errors:
    total: http_requests_total{job=\"demo\"}
    bad: http_requests_total{job=\"demo\",code=~\"5..\"}
";
/// Where to.
const ENVIRONMENT: &str = "\
# Written anew by each `bellwether up --demo`.
environment: demo
alerts: {job: demo}
";

/// All that the demo needs, bound and not serving yet.
pub(super) struct Stage {
    backends: Vec<Backend>,
    receiver: Receiver,
    /// The receiver as the notifier has it.
    pager: Arc<ReceiverPlan>,
    /// The hook's program, its key, and a token that it may ask with.
    hook: (PathBuf, String, PathBuf),
    data_dir: PathBuf,
}

impl Stage {
    /// Takes ports of loopback.
    ///
    /// # Errors
    /// No port is free, or the hook's program is not there.
    pub(super) fn bind(data_dir: &Path, token_file: PathBuf) -> anyhow::Result<Stage> {
        let program = program::find(program::HOOK, None)?;
        let backends = vec![Backend::bind("stable", OLD)?, Backend::bind("canary", NEW)?];
        let secret = new_secret();
        let key = SigningKey::parse(&secret).expect("invariant: made as keys are");
        let receiver = Receiver::bind(key)?;
        let pager = Arc::new(pager(&format!("http://{}/", receiver.address()), secret));
        let hook = (program, new_secret(), token_file);
        Ok(Stage { backends, receiver, pager, hook, data_dir: data_dir.to_owned() })
    }

    /// What the demo adds to the configuration, which stays through every reload.
    pub(super) fn always(&self) -> Always {
        let dir = self.data_dir.join(DIR);
        let secrets = vec![Secret::text(self.hook.1.clone())];
        Always {
            packs: vec![PACK.to_owned()],
            receivers: vec![Arc::clone(&self.pager)],
            services: vec![dir.join("service.yaml"), dir.join("environment.yaml")],
            hooks: vec![(hook::NAME.into(), Arc::new(HookPlan::Runner { secrets }))],
            ..Always::default()
        }
    }

    /// Writes the service, its environment, and the agent's configuration: the host's inputs as
    /// ever, a probe and a scrape of each backend. Gives the agent's.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn write_files(&self) -> Result<PathBuf, DiskError> {
        let dir = self.data_dir.join(DIR);
        make_dir(&RealDisk, &dir)?;
        replace_file(&RealDisk, &dir.join("service.yaml"), SERVICE.as_bytes())?;
        replace_file(&RealDisk, &dir.join("environment.yaml"), ENVIRONMENT.as_bytes())?;
        let path = dir.join("agent.yaml");
        replace_file(&RealDisk, &path, agent_file(&self.backends).as_bytes())?;
        Ok(path)
    }

    /// Plays the demo to its end, or until told to stop before it. Success only if the page came,
    /// the message of its end, and traffic was switched back.
    pub(super) async fn play(
        self,
        watch: &Watch,
        collector: SocketAddr,
        (screen, ask): (Screen, &Stop),
    ) -> anyhow::Result<ExitCode> {
        let Stage { mut backends, receiver, hook, data_dir, .. } = self;
        for backend in &mut backends {
            backend.turn(Mode::Well);
        }
        let (stopper, stopped) = stop::stop();
        let _receiver_ends = stopper.on_return();
        let pager = receiver.address();
        let mut pages = receiver.start(watch.clock.clone(), stopped);
        let (program, secret, token) = hook;
        let dir = data_dir.join(DIR);
        let versions: Vec<(String, SocketAddr)> =
            backends.iter().map(|one| (one.version().to_owned(), one.address())).collect();
        let front = Front::start(&dir, &versions).await?;
        let config = hook::write(&dir, collector, (&token, &secret), front.switch())?;
        let _hook_ends = hook::start(&program, &config)?;
        let load = Load::start(front.address(), RATE);
        let facts = facts(&backends, pager, &front);
        let mut rollout = Rollout::new(watch, &data_dir);
        let mut effects = Vec::new();
        let mut demo = Demo::new(watch.clock.now().mono, facts, &mut effects);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for effect in effects.drain(..) {
                match effect {
                    Effect::Say(line) => screen.line(&line),
                    Effect::Announce => rollout.announce(OLD, NEW).await?,
                    Effect::Inject => turn_last(&mut backends, Mode::Errors),
                    Effect::Mend => turn_last(&mut backends, Mode::Well),
                    Effect::End(Ending::Well) => return Ok(ExitCode::SUCCESS),
                    Effect::End(Ending::Badly) => return Ok(ExitCode::from(WITHOUT_PAGE)),
                }
            }
            let page = tokio::select! {
                () = ask.stopped() => return Ok(ExitCode::from(WITHOUT_PAGE)),
                page = next(&mut pages) => Some(page),
                _ = looks.tick() => None,
            };
            let now = watch.clock.now();
            let look = Look { rollout: rollout.look().await, ..look(watch, &load, now) };
            demo.step(now.mono, Event::Look(look), &mut effects);
            if let Some(page) = page {
                demo.step(now.mono, Event::Page(page), &mut effects);
            }
        }
    }
}

/// Has the last backend answer so.
fn turn_last(backends: &mut [Backend], mode: Mode) {
    if let Some(last) = backends.last_mut() {
        last.turn(mode);
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

fn facts(backends: &[Backend], receiver: SocketAddr, front: &Front) -> Facts {
    let backends = backends.iter().map(|backend| Fact {
        name: backend.name().to_owned(),
        version: backend.version().to_owned(),
        address: backend.address().to_string(),
    });
    Facts {
        backends: backends.collect(),
        front: front.name(),
        receiver: receiver.to_string(),
        rate: RATE,
    }
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
        writeln!(text, "      labels: {{demo: 'true'}}").ok();
    }
    writeln!(text, "  scrape:\n    scrape_configs:\n    - job_name: {JOB}").ok();
    writeln!(text, "      scrape_interval: 1s\n      static_configs:").ok();
    for backend in backends {
        let (name, address) = (backend.name(), backend.address());
        writeln!(text, "      - targets: ['{address}']").ok();
        writeln!(text, "        labels: {{demo: 'true', instance: {name}}}").ok();
    }
    text
}

fn look(watch: &Watch, load: &Load, now: Now) -> Look {
    let (pending, firing) = alert(&watch.board);
    let (healthy, traffic) = (healthy(watch, now), load.traffic());
    Look { healthy, pending, firing, traffic, ..Look::default() }
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
