//! The routes of people and programs, and what they are made of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};
use bellwether_model::exposition::Writer;
use bellwether_model::label::LabelSet;
use bellwether_platform::journal::commit::CommitQueue;
use bellwether_platform::listener::{Answers, Bodies};
use bellwether_platform::principal::Principals;
use bellwether_platform::process;
use bellwether_platform::stop::Stop;
use prometheus::{IntCounterVec, Registry, TextEncoder};
use tokio::sync::watch;

use super::Watch;
use crate::pure::api::status::About;
use crate::pure::config::QueryLimits;
use crate::pure::services::Services;
use crate::shell::api::queries::{Queries, ViewSource};
use crate::shell::control::ControlHandle;
use crate::shell::hooks::{self, SignalBoard};
use crate::shell::reload::Levers;
use crate::shell::services::Described;
use crate::shell::{
    alerts, answers, api, auth, federate, forms, metrics, push, rollouts, runbooks, services,
};

const INDEX: &str = "Bellwether collector\n\n\
    /api/v1/query?query=up      Prometheus' HTTP API\n\
    /federate?match[]=up        all series, for a Prometheus to scrape\n\
    /metrics                    the collector's own metrics\n\
    /bellwether/v1/hosts        hosts that ship here\n\
    /api/bw/v1/services         services, and which of them can be judged\n\
    /api/bw/v1/rollouts         deploys that are watched\n\
    /runbooks/                  what alerts of the packs mean, and what to do\n\
    /-/healthy  /-/ready\n";

/// What routes are made of.
pub(super) struct Parts<'a> {
    pub(super) watch: &'a Watch,
    pub(super) principals: &'a Principals,
    pub(super) queue: &'a CommitQueue,
    pub(super) bodies: &'a Bodies,
    /// The budget of answers.
    pub(super) held: &'a Answers,
    /// Where decision records lie.
    pub(super) records: PathBuf,
    pub(super) registry: Registry,
}

impl Parts<'_> {
    /// What a reload changes.
    pub(super) fn levers(
        &self,
        (scheme, address): (&'static str, SocketAddr),
        external: watch::Sender<LabelSet>,
        services: watch::Sender<Arc<Services>>,
    ) -> Levers {
        let Watch { keeper, clock, .. } = self.watch.clone();
        Levers {
            principals: self.principals.clone(),
            keeper,
            control: self.watch.control.clone(),
            external,
            services,
            scheme,
            address,
            metrics: metrics::ReloadMetrics::new(&self.registry, clock.now().wall),
            clock,
        }
    }

    /// The places of queries.
    pub(super) fn queries(&self, limits: QueryLimits) -> Arc<Queries> {
        let Watch { store, clock, .. } = self.watch.clone();
        let views: ViewSource = Arc::new(move |now| Some(Box::new(store.view(now))));
        let clock = Arc::new(move || clock.now().wall);
        Arc::new(Queries::new(views, clock, limits))
    }

    /// All that only reads.
    pub(super) fn reading(
        &self,
        queries: Arc<Queries>,
        about: About,
        external: watch::Receiver<LabelSet>,
        described: Described,
    ) -> Router {
        let (registry, board) = (self.registry.clone(), self.watch.board.clone());
        let page = move || async move { page(&registry) };
        api::router(Arc::clone(&queries), about)
            .merge(federate::router(Arc::clone(&queries), external))
            .merge(services::router(queries, described))
            .merge(api::rules::router(board))
            .merge(alerts::router(reports(&self.watch.control)))
            .merge(runbooks::router())
            .route("/metrics", get(page))
            .route("/", get(|| async { INDEX }))
    }

    /// Rollouts: what only reads, and what asks for scopes of its own, hooks' among it.
    pub(super) fn steering(&self, signals: SignalBoard, stop: Stop) -> (Router, Router) {
        let control = self.watch.control.clone();
        let (reads, steers) = rollouts::routers(rollouts::Rollouts {
            control: control.clone(),
            principals: self.principals.clone(),
            records: self.records.clone().into(),
            bodies: self.bodies.clone(),
            queue: self.queue.clone(),
        });
        let hooks = hooks::router(hooks::Hooks {
            board: signals,
            durable: self.queue.subscribe(),
            answers: Arc::new(move |said| control.heard(said)),
            principals: self.principals.clone(),
            bodies: self.bodies.clone(),
            clock: self.watch.clock.clone(),
            stop,
        });
        (reads, steers.merge(hooks))
    }

    /// What agents push to; `answers` counts.
    pub(super) fn push(&self, answers: IntCounterVec) -> Router {
        push::router(Arc::new(push::Push {
            keeper: self.watch.keeper.clone(),
            principals: self.principals.clone(),
            bodies: self.bodies.clone(),
            clock: self.watch.clock.clone(),
            answers,
        }))
    }

    /// Everything but the agents' own, each with what it takes to be let in.
    pub(super) fn routes(&self, reads: Router, administers: Router) -> Router {
        let principals = || self.principals.clone();
        let administers =
            administers.layer(middleware::from_fn_with_state(principals(), auth::administers));
        let health = Router::new()
            .route("/-/healthy", get(|| async { "Bellwether is Healthy.\n" }))
            .route("/-/ready", get(|| async { "Bellwether is Ready.\n" }));
        let budgeted = middleware::from_fn_with_state(self.bodies.clone(), forms::budgeted);
        let reads = reads.layer(budgeted);
        let held = middleware::from_fn_with_state(self.held.clone(), answers::budgeted);
        let reads = reads.layer(held);
        let reads = reads.layer(middleware::from_fn_with_state(principals(), auth::reads));
        reads.merge(administers).merge(health)
    }
}

/// Asks the control thread.
fn reports(control: &ControlHandle) -> alerts::Reports {
    let control = control.clone();
    Arc::new(move || {
        let control = control.clone();
        Box::pin(async move { control.report().await })
    })
}

/// A page with its content type.
type Page = ([(&'static str, &'static str); 1], Vec<u8>);

/// The process's metrics and the collector's own.
fn page(registry: &Registry) -> Result<Page, String> {
    let mut text = Vec::new();
    process::write(&mut Writer::new(&mut text));
    let own = TextEncoder::new().encode_to_string(&registry.gather()).map_err(|e| e.to_string())?;
    text.extend_from_slice(own.as_bytes());
    Ok(([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text))
}
