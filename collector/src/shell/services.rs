//! `/api/bw/v1/services`: which services can be judged; and how many of them, as a metric.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{IntGaugeVec, Opts, Registry};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::api::queries::Queries;
use super::api::{params, retry_after, status};
use crate::pure::api::answer::stopped;
use crate::pure::api::error::{ApiError, ErrorKind};
use crate::pure::services::{Services, ServicesReport};

/// The path of the list; `name` chooses one service.
pub const PATH: &str = "/api/bw/v1/services";

/// From one count for the metric to the next.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// What is described now; a reload sends another.
pub(crate) type Described = watch::Receiver<Arc<Services>>;

#[derive(Clone)]
struct Looking {
    queries: Arc<Queries>,
    described: Described,
}

/// For those who may read.
pub(crate) fn router(queries: Arc<Queries>, described: Described) -> Router {
    Router::new().route(PATH, get(list)).with_state(Looking { queries, described })
}

async fn list(State(looking): State<Looking>, request: Request) -> Response {
    match asked(&looking, request).await {
        Ok(report) => Json(report).into_response(),
        Err(error) => {
            let mut response = (status(&error), format!("{}\n", error.message)).into_response();
            retry_after(&error, &mut response);
            response
        }
    }
}

async fn asked(looking: &Looking, request: Request) -> Result<ServicesReport, ApiError> {
    let name = params(request).await?.first("name").to_owned();
    let services = Arc::clone(&looking.described.borrow());
    let only = (!name.is_empty()).then_some(name);
    if let Some(name) = &only
        && !services.catalogue.services.contains_key(name.as_str())
    {
        return Err(ApiError::new(ErrorKind::NotFound, format!("there is no service {name:?}")));
    }
    report(&looking.queries, services, only).await
}

async fn report(
    queries: &Queries,
    services: Arc<Services>,
    only: Option<String>,
) -> Result<ServicesReport, ApiError> {
    let look = queries.run(None, move |view, now, means| {
        let is_stopped = || means.stop.load(Ordering::Relaxed);
        services.report(view, now, only.as_deref(), &is_stopped).ok_or_else(stopped)
    });
    look.await
}

/// Counts services for the metric from time to time.
pub(crate) struct Counting {
    looking: Looking,
    judgeable: IntGaugeVec,
}

impl Counting {
    /// Registers the metric.
    ///
    /// # Panics
    /// It is registered already.
    pub(crate) fn new(
        queries: Arc<Queries>,
        described: Described,
        registry: &Registry,
    ) -> Counting {
        let help = "Services, by whether they can be judged in each of their environments.";
        let judgeable = IntGaugeVec::new(Opts::new("bellwether_services", help), &["judgeable"])
            .expect("invariant: the name is valid");
        registry.register(Box::new(judgeable.clone())).expect("invariant: names differ");
        let counting = Counting { looking: Looking { queries, described }, judgeable };
        counting.show(0, 0);
        counting
    }

    /// Counts until dropped. While no place for a query is free, the last count stands.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(COUNT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = self.looking.described.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            let services = Arc::clone(&self.looking.described.borrow_and_update());
            if services.catalogue.services.is_empty() {
                self.show(0, 0);
            } else if let Ok(report) = report(&self.looking.queries, services, None).await {
                let (can, cannot) = report.counts();
                self.show(can, cannot);
            }
        }
    }

    fn show(&self, can: usize, cannot: usize) {
        for (word, count) in [("true", can), ("false", cannot)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.judgeable.with_label_values(&[word]).set(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use bellwether_model::config::Environment;
    use bellwether_rules::service::{Catalogue, read};

    use super::super::api::tests::{clock, send, views};
    use super::*;
    use crate::pure::config::QueryLimits;

    fn described() -> (watch::Sender<Arc<Services>>, Described) {
        let text = "service: s\nowner: o\nslis: {a: {total: 'up{job=\"node\"}', bad: down}}\n";
        let (file, _) = read("s.yaml", text, &Environment::new()).unwrap();
        let (catalogue, _) = Catalogue::build(vec![file], None).unwrap();
        watch::channel(Arc::new(Services { catalogue, ..Services::default() }))
    }

    #[tokio::test]
    async fn services_are_listed_and_chosen() {
        let queries = Arc::new(Queries::new(views(), clock(), QueryLimits::default()));
        let (_sender, described) = described();
        let router = router(queries, described);
        for path in [PATH.to_owned(), format!("{PATH}?name=s")] {
            let (status, kind, body) = send(&router, Method::GET, &path, None).await;
            assert_eq!((status, kind.as_str()), (200, "application/json"), "{body}");
            let report: ServicesReport = serde_json::from_str(&body).unwrap();
            assert_eq!(report.counts(), (0, 1));
            let sli = &report.services[0].environments[0].slis[0];
            assert_eq!(sli.findings[0].code, "no_version");
        }
        let (status, _, body) = send(&router, Method::GET, &format!("{PATH}?name=x"), None).await;
        assert_eq!((status, body.as_str()), (404, "there is no service \"x\"\n"));
    }

    #[tokio::test]
    async fn services_are_counted_again_when_they_change() {
        let queries = Arc::new(Queries::new(views(), clock(), QueryLimits::default()));
        let (sender, described) = described();
        let counting = Counting::new(queries, described, &Registry::new());
        let gauge = counting.judgeable.clone();
        let read = || ["true", "false"].map(|word| gauge.with_label_values(&[word]).get());
        assert_eq!(read(), [0, 0]);
        let watched = async {
            while read() != [0, 1] {
                tokio::task::yield_now().await;
            }
            sender.send_replace(Arc::new(Services::default()));
            while read() != [0, 0] {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = counting.run() => panic!("it ended"),
            () = watched => {}
        }
    }
}
