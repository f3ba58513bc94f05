//! A changed configuration, taken up while the collector runs: all of it or nothing.
//!
//! A reload swaps the plan, never the wiring: threads, sockets and the store stay. What only a
//! start can change is told by name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bellwether_model::label::LabelSet;
use bellwether_platform::clock::Clock;
use bellwether_platform::principal::{PrincipalSpec, Principals};
use bellwether_platform::stop::Stop;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{error, info, warn};

use super::cli::Settings;
use super::control::ControlHandle;
use super::keep::KeeperHandle;
use super::metrics::ReloadMetrics;
use super::{rule_files, serve, service_files, startup};
use crate::pure::config::Plan;
use crate::pure::control::ControlPlan;
use crate::pure::guard::plan::HookPlan;
use crate::pure::notify::plan::ReceiverPlan;
use crate::pure::services::Services;

/// Requests to reload that wait.
const REQUESTS: usize = 4;

/// Keys that have changed and count from the next start on, or why nothing was changed.
type Reloaded = Result<Vec<&'static str>, String>;
type Requests = mpsc::Sender<oneshot::Sender<Reloaded>>;

/// Where a configuration comes from.
#[derive(Clone, Debug)]
pub struct ReloadSource {
    /// What the command line says.
    pub settings: Settings,
    /// The plan in use.
    pub plan: Plan,
    /// What holds beside the file.
    pub always: Always,
}

/// What the program adds to every configuration, whatever its file says.
#[derive(Clone, Debug, Default)]
pub struct Always {
    /// Who may do what.
    pub principals: Vec<PrincipalSpec>,
    /// Packs of rules.
    pub packs: Vec<String>,
    /// Who is told.
    pub receivers: Vec<Arc<ReceiverPlan>>,
    /// Files of services and environments.
    pub services: Vec<PathBuf>,
    /// Who is asked to roll back.
    pub hooks: Vec<(Arc<str>, Arc<HookPlan>)>,
}

impl Always {
    /// Adds all but principals, which go beside those of the plan.
    pub fn add_to(&self, plan: &mut Plan) {
        let packs = self.packs.iter().filter(|pack| !plan.rules.packs.contains(pack));
        let packs: Vec<String> = packs.cloned().collect();
        plan.rules.packs.extend(packs);
        let receivers = self.receivers.iter().map(|one| (Arc::clone(&one.name), Arc::clone(one)));
        plan.notify.receivers.extend(receivers);
        plan.services.files.extend(self.services.iter().cloned());
        plan.hooks.0.extend(self.hooks.iter().cloned());
    }
}

/// What a reload changes.
pub struct Levers {
    /// Who may do what.
    pub principals: Principals,
    /// Limits of sessions.
    pub keeper: KeeperHandle,
    /// Rules.
    pub control: ControlHandle,
    /// How the collector is reached.
    pub scheme: &'static str,
    /// The same.
    pub address: SocketAddr,
    /// Labels of federated series.
    pub external: watch::Sender<LabelSet>,
    /// Services and environments.
    pub services: watch::Sender<Arc<Services>>,
    /// Where it is told how it went.
    pub metrics: ReloadMetrics,
    /// For the time of it.
    pub clock: Clock,
}

/// Reads the configuration again when asked.
pub struct Reloader {
    source: ReloadSource,
    levers: Levers,
    requests: mpsc::Receiver<oneshot::Sender<Reloaded>>,
}

/// Makes the task and the route that asks it, for administrators.
pub fn reloader(source: ReloadSource, levers: Levers) -> (Reloader, Router) {
    let (asks, requests) = mpsc::channel(REQUESTS);
    let ask = move || ask(asks.clone());
    (Reloader { source, levers, requests }, Router::new().route("/-/reload", post(ask)))
}

async fn ask(asks: Requests) -> Response {
    let busy = (StatusCode::SERVICE_UNAVAILABLE, "reloads wait; try again later\n");
    let (reply, answer) = oneshot::channel();
    if asks.try_send(reply).is_err() {
        return busy.into_response();
    }
    match answer.await {
        Ok(Ok(keys)) if keys.is_empty() => "reloaded\n".into_response(),
        Ok(Ok(keys)) => format!("reloaded; needs a restart: {}\n", keys.join(", ")).into_response(),
        Ok(Err(reason)) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
        Err(_) => busy.into_response(),
    }
}

impl Reloader {
    /// Reloads at each SIGHUP and each request until stopped.
    pub async fn run(mut self, hangup: Arc<Notify>, stop: Stop) {
        loop {
            tokio::select! {
                () = hangup.notified() => drop(self.reload()),
                // Whoever has gone needs no answer.
                Some(reply) = self.requests.recv() => drop(reply.send(self.reload())),
                () = stop.stopped() => return,
            }
        }
    }

    fn reload(&mut self) -> Reloaded {
        let result = self.take_up();
        match &result {
            Ok(keys) => {
                self.levers.metrics.configured(Some(self.levers.clock.now().wall));
                info!("configuration reloaded");
                keys.iter().for_each(|key| warn!(key, "the change needs a restart"));
            }
            Err(reason) => {
                self.levers.metrics.configured(None);
                error!(reason, "configuration not reloaded; the one before stays in use");
            }
        }
        result
    }

    fn take_up(&mut self) -> Reloaded {
        let ReloadSource { settings, plan: old, always } = &self.source;
        let (mut plan, warnings) = startup::plan(settings).map_err(|error| error.to_string())?;
        let keys = keep(old, &mut plan);
        always.add_to(&mut plan);
        let specs = plan.principals.iter().chain(&always.principals).cloned().collect();
        let (groups, found) = rule_files::load(&plan.rules).map_err(|error| error.to_string())?;
        let (services, described) = service_files::load(&plan, &startup::around().environment)
            .map_err(|error| error.to_string())?;
        let guard = serve::guard_plan(&plan, &services);
        let fresh = Principals::new(specs, plan.anonymous).map_err(|errors| {
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        })?;
        for warning in &warnings {
            warn!(%warning, "configuration");
        }
        for warning in &found {
            warn!(%warning, "rules");
        }
        for warning in &described {
            warn!(%warning, "services");
        }
        // Last of what can fail, and it changes nothing if it does.
        self.levers.keeper.set_limits(plan.keeper).map_err(|error| error.to_string())?;
        let Levers { scheme, address, .. } = self.levers;
        let site = serve::site(&plan, scheme, address);
        let notify = serve::notify_plan(&plan, &site);
        let control = ControlPlan { groups, notify, guard };
        self.levers.control.plan(control, site);
        self.levers.principals.become_as(fresh);
        self.levers.external.send_replace(plan.external_labels.clone());
        self.levers.services.send_replace(Arc::new(services));
        self.source.plan = plan;
        Ok(keys)
    }
}

/// Keeps in a new plan what only a start can change; returns the keys that differ.
fn keep(old: &Plan, new: &mut Plan) -> Vec<&'static str> {
    let mut keys = Vec::new();
    if new.listen != old.listen {
        new.listen = old.listen;
        keys.push("listen");
    }
    if new.tls != old.tls {
        new.tls.clone_from(&old.tls);
        keys.push("tls");
    }
    if new.data_dir != old.data_dir {
        new.data_dir.clone_from(&old.data_dir);
        keys.push("data_dir");
    }
    if new.store != old.store {
        (new.store, new.keeper.retention) = (old.store, old.keeper.retention);
        keys.push("store");
    }
    if new.queries != old.queries {
        new.queries = old.queries;
        keys.push("limits.query…");
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::config::{Overrides, Surroundings, read};

    #[test]
    fn what_only_a_start_changes_is_named_and_kept() {
        let plan = |text: &str| {
            let around = Surroundings::default();
            read("collector.yaml", text, &around, &Overrides::default()).unwrap().0
        };
        let old = plan("");
        let mut same = plan("limits: {agents: 7}\nexternal_labels: {site: north}\n");
        assert!(keep(&old, &mut same).is_empty());
        assert_eq!(same.keeper.agents, 7);
        let mut new = plan(
            "listen: '127.0.0.1:1'\ntls: {cert_file: /c, key_file: /k}\ndata_dir: /d\n\
             store: {retention: 1h}\n",
        );
        assert_eq!(keep(&old, &mut new), ["listen", "tls", "data_dir", "store"]);
        assert_eq!((new.listen, new.tls, new.data_dir), (old.listen, old.tls, old.data_dir));
        assert_eq!((new.store, new.keeper), (old.store, old.keeper));
    }
}
