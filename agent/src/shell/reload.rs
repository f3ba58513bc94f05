//! A changed configuration, taken up while the agent runs: all of it or nothing.
//!
//! A reload swaps the plan, never the wiring: threads, sockets and channels stay. Everything that
//! can fail is built before anything is swapped. What only a start can change is told by name.

use std::sync::Arc;

use bellwether_model::diagnostic::Diagnostics;
use bellwether_platform::clock::Clock;
use bellwether_platform::stop::Stop;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{error, info, warn};

use crate::pure::config::{CollectorPlan, Plan};
use crate::pure::input::Facts;
use crate::pure::ship::backlog::Bounds;
use crate::shell::calls::Calls;
use crate::shell::cli::Settings;
use crate::shell::collection::Collection;
use crate::shell::host::Host;
use crate::shell::metrics::Metrics;
use crate::shell::page::Readers;
use crate::shell::sampler::Handover;
use crate::shell::ship::{Ask, BadUrl, Changed, Client};
use crate::shell::startup;
use crate::shell::targets::Targets;

/// Requests to reload that wait.
const REQUESTS: usize = 4;

/// What came of a reload.
pub type Reloaded = Result<Taken, Refused>;

/// It was taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Keys that have changed and count from the next start on.
    pub needs_restart: Vec<&'static str>,
}

/// Nothing was changed; why, for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Where others ask for a reload.
pub type Requests = mpsc::Sender<oneshot::Sender<Reloaded>>;

/// Reads the configuration again when asked.
pub struct Reloader {
    /// What the command line says.
    pub settings: Settings,
    /// The plan in use.
    pub plan: Plan,
    /// For the new inputs.
    pub clock: Clock,
    /// The same.
    pub facts: Facts,
    /// The sampler, between whose ticks inputs change.
    pub inputs: Handover,
    /// Shipping.
    pub ship: mpsc::Sender<Ask>,
    /// Who may read the page.
    pub readers: watch::Sender<Readers>,
    /// The labels that `status` shows.
    pub labels: watch::Sender<String>,
    /// Where it is told how it went.
    pub metrics: Metrics,
    /// Those who ask, beside SIGHUP.
    pub requests: mpsc::Receiver<oneshot::Sender<Reloaded>>,
}

/// Makes the two ends of asking for a reload.
#[must_use]
pub fn requests() -> (Requests, mpsc::Receiver<oneshot::Sender<Reloaded>>) {
    mpsc::channel(REQUESTS)
}

/// A plan's parts, built and not in use.
struct Built {
    collection: Collection,
    readers: Readers,
    collectors: Vec<(CollectorPlan, Client)>,
}

impl Reloader {
    /// Reloads at each SIGHUP and each request until stopped.
    pub async fn run(mut self, hangup: Arc<Notify>, stop: Stop) {
        loop {
            tokio::select! {
                () = hangup.notified() => drop(self.reload().await),
                // Whoever has gone needs no answer.
                Some(reply) = self.requests.recv() => drop(reply.send(self.reload().await)),
                () = stop.stopped() => return,
            }
        }
    }

    async fn reload(&mut self) -> Reloaded {
        let result = self.take_up().await;
        match &result {
            Ok(taken) => {
                self.metrics.configured(Some(self.clock.now().wall));
                info!("configuration reloaded");
                for key in &taken.needs_restart {
                    warn!(key, "the change needs a restart");
                }
            }
            Err(reason) => {
                self.metrics.configured(None);
                error!(%reason, "configuration not reloaded; the one before stays in use");
            }
        }
        result
    }

    async fn take_up(&mut self) -> Reloaded {
        let refused = |error: String| Refused(error);
        let (mut plan, warnings) =
            startup::plan(&self.settings).map_err(|error| refused(error.to_string()))?;
        let needs_restart = keep(&self.plan, &mut plan);
        stays_guarded(&plan).map_err(refused)?;
        let built = self.build(&plan).map_err(refused)?;
        warn_of(&warnings);
        let ended = |_| refused("the agent is stopping".to_owned());
        let ship = self.ship.reserve().await.map_err(ended)?;
        self.inputs.put(built.collection);
        let bounds = Bounds { bytes_max: plan.spool.bytes_max, age_max: plan.spool.age_max };
        let (collectors, sync) = (built.collectors, plan.spool.sync);
        ship.send(Ask::Change(Changed { collectors, bounds, sync }));
        self.readers.send_replace(built.readers);
        self.labels.send_replace(plan.target.to_string());
        self.plan = plan;
        Ok(Taken { needs_restart })
    }

    fn build(&self, plan: &Plan) -> Result<Built, String> {
        let clients = plan.collectors.iter().map(|plan| Ok((plan.clone(), Client::new(plan)?)));
        let collectors = clients.collect::<Result<_, BadUrl>>().map_err(|e| e.to_string())?;
        let readers = Readers::new(&plan.exporter).map_err(|error| error.to_string())?;
        let host = Host::new(self.settings.roots(), Calls::system(), self.clock.clone());
        let (clock, facts) = (self.clock.clone(), self.facts.clone());
        let collection = Collection::new(&plan.inputs, &plan.target, host, clock, facts);
        let collection = collection.map_err(|error| error.to_string())?;
        let targets = Targets::start(&plan.probes, &plan.scrapes, &self.clock);
        let targets = targets.map_err(|error| format!("no thread for targets: {error}"))?;
        let collection = collection.beside(targets);
        Ok(Built { collection, readers, collectors })
    }
}

/// Keeps in a new plan what only a start can change; returns the keys that differ.
fn keep(old: &Plan, new: &mut Plan) -> Vec<&'static str> {
    let mut keys = Vec::new();
    if new.agent.state_dir != old.agent.state_dir {
        new.agent.state_dir.clone_from(&old.agent.state_dir);
        keys.push("agent.data_dir");
    }
    if new.exporter.listen != old.exporter.listen {
        new.exporter.listen = old.exporter.listen;
        keys.push("exporter.listen");
    }
    if new.exporter.tls != old.exporter.tls {
        new.exporter.tls.clone_from(&old.exporter.tls);
        keys.push("exporter.tls");
    }
    keys
}

/// Refuses a plan that is sound by itself, and not with the address and TLS that are in use.
fn stays_guarded(plan: &Plan) -> Result<(), String> {
    let listen = plan.exporter.listen;
    let open = || {
        format!(
            "until a restart the page listens on {listen}, which is reachable from other machines: \
             it needs `exporter.token_file` as long"
        )
    };
    if plan.exporter.is_open_to_the_network() { Err(open()) } else { Ok(()) }
}

fn warn_of(warnings: &Diagnostics) {
    for warning in warnings {
        warn!(%warning, "configuration");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::config::{Overrides, Surroundings, read};

    #[test]
    fn what_only_a_start_changes_is_named_and_kept() {
        let plan = |text: &str| {
            let around = Surroundings { host_name: "h".to_owned(), ..Surroundings::default() };
            read("agent.yaml", text, &around, &Overrides::default()).unwrap().0
        };
        let old = plan("labels: {a: '1'}\n");
        let mut same = plan("labels: {a: '2'}\n");
        assert!(keep(&old, &mut same).is_empty());
        let mut new = plan(
            "agent: {data_dir: /elsewhere}\n\
             exporter: {listen: '127.0.0.1:1', tls: {cert_file: /c, key_file: /k}}\n",
        );
        let keys = keep(&old, &mut new);
        assert_eq!(keys, ["agent.data_dir", "exporter.listen", "exporter.tls"]);
        assert_eq!((new.agent, new.exporter), (old.agent, old.exporter));
    }

    #[test]
    fn a_page_that_the_network_reaches_keeps_its_token_until_a_restart() {
        let plan = |text: &str| {
            let around = Surroundings { host_name: "h".to_owned(), ..Surroundings::default() };
            read("agent.yaml", text, &around, &Overrides::default()).unwrap().0
        };
        let token = "token: 0123456789abcdef0123456789abcdef";
        let tls = "tls: {cert_file: /c, key_file: /k}";
        let old = plan(&format!("exporter: {{listen: '0.0.0.0:9100', {tls}, {token}}}\n"));
        for (text, is_taken) in [
            ("exporter: {listen: '127.0.0.1:9100'}\n".to_owned(), false),
            (format!("exporter: {{listen: '127.0.0.1:9100', {tls}}}\n"), false),
            (format!("exporter: {{listen: '127.0.0.1:9100', {token}}}\n"), true),
        ] {
            let mut new = plan(&text);
            keep(&old, &mut new);
            let stays = stays_guarded(&new);
            assert_eq!(stays.is_ok(), is_taken, "{text}");
            assert!(stays.err().is_none_or(|reason| reason.contains("0.0.0.0:9100")), "{text}");
        }
    }
}
