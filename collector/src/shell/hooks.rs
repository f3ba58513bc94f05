//! `/api/bw/v1/hooks`: runners ask for their signals, and say what became of them
//! (`collector/SIGNALS.md`).
//!
//! A poll waits for a signal that its runner has not seen; of each hook the newest poll is kept.
//! What is shown is durable, and a result is answered once it is.

mod board;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use bellwether_model::config::{Secret, parse_duration};
use bellwether_model::id::Position;
use bellwether_model::signal::{
    ANSWER_BYTES_MAX, Answer, Signals, Signed, WAIT_MAX, results_path, signals_path,
};
use bellwether_platform::clock::Clock;
use bellwether_platform::listener::{Bodies, BodyLimit};
use bellwether_platform::principal::Principals;
use bellwether_platform::stop::Stop;
use serde::Deserialize;
use tokio::sync::{Semaphore, oneshot, watch};
use tracing::error;

use super::auth;
use super::deliver::prepare::signing_keys;
use crate::pure::guard::lane::AnswerError;
use crate::pure::guard::record::Intent;
use bellwether_platform::sign::signatures;

pub use board::SignalBoard;
use board::{Look, Shown};

/// Stands for a hook's name in a path.
const NAME: &str = "{name}";

/// How long a poll waits where it does not say.
const WAIT: Duration = Duration::from_secs(30);
/// Polls at once, of all hooks.
const POLLS: usize = 1024;
/// A result that takes longer to come is from a broken connection.
const BODY_TIME: Duration = Duration::from_secs(30);

/// What a runner has said, for the control thread.
#[derive(Debug)]
pub struct HookAnswer {
    /// The hook.
    pub hook: Arc<str>,
    /// What it said.
    pub answer: Answer,
    /// Takes the position that must be durable before the runner is told that it was heard.
    pub reply: oneshot::Sender<Result<Position, AnswerError>>,
}

/// Takes what runners say; false if the control thread has ended.
pub type HookAnswers = Arc<dyn Fn(HookAnswer) -> bool + Send + Sync>;

/// What the routes need.
pub struct Hooks {
    /// What is shown.
    pub board: SignalBoard,
    /// How far the journal is durable.
    pub durable: watch::Receiver<Position>,
    /// Where results go.
    pub answers: HookAnswers,
    /// Who may ask.
    pub principals: Principals,
    /// The budget of all bodies.
    pub bodies: Bodies,
    /// For the stamps of signatures.
    pub clock: Clock,
    /// Ends the polls.
    pub stop: Stop,
}

struct Routes {
    hooks: Hooks,
    places: Semaphore,
    /// The number of the newest poll of each hook.
    newest: Mutex<BTreeMap<String, watch::Sender<u64>>>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    wait: Option<String>,
    #[serde(default)]
    seen: String,
}

/// The routes, for callers with the scope `hook`.
pub fn router(hooks: Hooks) -> Router {
    routed(Arc::new(Routes::new(hooks)))
}

fn routed(routes: Arc<Routes>) -> Router {
    let principals = routes.hooks.principals.clone();
    Router::new()
        .route(&signals_path(NAME), get(signals))
        .route(&results_path(NAME), post(results))
        .route_layer(middleware::from_fn_with_state(principals, auth::runs_hooks))
        .with_state(routes)
}

async fn signals(
    State(routes): State<Arc<Routes>>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let wait = match asked.wait.as_deref().map(parse_duration) {
        None => WAIT,
        Some(Some(wait)) => wait.min(WAIT_MAX),
        Some(None) => {
            let text = "wait must be a duration such as 30s\n";
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    let Ok(_place) = routes.places.try_acquire() else {
        return unavailable("too many polls are waiting");
    };
    let mut shown = routes.hooks.board.watch();
    if !shown.borrow().has_runner(&name) {
        return no_runner(&name);
    }
    let (mine, mut newest) = routes.newest(&name);
    tokio::select! {
        // A poll that was answered by somebody's newer one would be asked again at once.
        _ = newest.wait_for(|newest| *newest != mine) => {
            (StatusCode::CONFLICT, "a newer poll of this hook took its place\n").into_response()
        }
        () = routes.hooks.stop.stopped() => unavailable("the collector is stopping"),
        response = routes.poll(&mut shown, &name, (&asked.seen, wait)) => response,
    }
}

impl Routes {
    fn new(hooks: Hooks) -> Routes {
        let (places, newest) = (Semaphore::new(POLLS), Mutex::new(BTreeMap::new()));
        Routes { hooks, places, newest }
    }

    /// The number of a new poll of a hook, and where the number of the newest stands.
    fn newest(&self, name: &str) -> (u64, watch::Receiver<u64>) {
        let mut all = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = all.entry(name.to_owned()).or_insert_with(|| watch::channel(0).0);
        sender.send_modify(|number| *number += 1);
        (*sender.borrow(), sender.subscribe())
    }

    /// Waits for signals and answers with them.
    async fn poll(
        &self,
        shown: &mut watch::Receiver<Shown>,
        name: &str,
        (seen, wait): (&str, Duration),
    ) -> Response {
        let seen: BTreeSet<String> = seen.split(',').map(str::to_owned).collect();
        let mut durable = self.hooks.durable.clone();
        let mut over = std::pin::pin!(tokio::time::sleep(wait));
        loop {
            let synced = *durable.borrow_and_update();
            let look = shown.borrow_and_update().look(name, &seen, synced);
            let later = match look {
                Look::NoRunner => return no_runner(name),
                Look::Signals(signals, secrets) => return self.signed(name, &signals, &secrets),
                Look::Nothing(later) => later,
            };
            let synced = async {
                match later {
                    Some(after) => durable.wait_for(|synced| *synced >= after).await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut over => return Json(Signals::default()).into_response(),
                is_alive = synced => if !is_alive {
                    return unavailable("the journal has failed");
                },
                changed = shown.changed() => if changed.is_err() {
                    return unavailable("the collector is stopping");
                },
            }
        }
    }

    /// Signals with their signatures of now.
    fn signed(&self, name: &str, signals: &[Arc<Intent>], secrets: &[Secret]) -> Response {
        let keys = match signing_keys(secrets, &mut Vec::new()) {
            Ok(keys) => keys,
            Err(outcome) => {
                error!(hook = name, ?outcome, "a hook's key cannot be used");
                return unavailable("the key of this hook cannot be used");
            }
        };
        let timestamp = self.hooks.clock.now().wall.0.div_euclid(1000);
        let signed = |intent: &Arc<Intent>| {
            let id = intent.id();
            let signature = signatures(&keys, &id, timestamp, &intent.body);
            let body = String::from_utf8_lossy(&intent.body).into_owned();
            Signed { id, timestamp, signature, body }
        };
        let signals = signals.iter().map(signed).collect();
        Json(Signals { signals }).into_response()
    }

    /// Has a result journalled.
    async fn result(&self, name: String, body: Body) -> Response {
        let limit = BodyLimit { bytes: ANSWER_BYTES_MAX, time: BODY_TIME };
        let held = match self.hooks.bodies.read(body, limit).await {
            Ok(held) => held,
            Err(error) => return (error.status(), format!("{error}\n")).into_response(),
        };
        let answer: Answer = match serde_json::from_slice(held.bytes()) {
            Ok(answer) => answer,
            Err(error) => {
                let text = format!("this is no answer to a signal: {error}\n");
                return (StatusCode::UNPROCESSABLE_ENTITY, text).into_response();
            }
        };
        drop(held);
        let mut durable = self.hooks.durable.clone();
        let (reply, told) = oneshot::channel();
        if !(self.hooks.answers)(HookAnswer { hook: name.into(), answer, reply }) {
            return unavailable("the collector is stopping");
        }
        let position = match told.await {
            Ok(Ok(position)) => position,
            Ok(Err(error)) => {
                let status = match error {
                    AnswerError::Unknown => StatusCode::NOT_FOUND,
                    AnswerError::OtherHook => StatusCode::FORBIDDEN,
                };
                return (status, format!("{error}\n")).into_response();
            }
            Err(_) => return unavailable("the collector is stopping"),
        };
        match durable.wait_for(|synced| *synced >= position).await {
            Ok(_) => Json(serde_json::json!({})).into_response(),
            Err(_) => unavailable("the journal has failed"),
        }
    }
}

async fn results(
    State(routes): State<Arc<Routes>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    if !routes.hooks.board.watch().borrow().has_runner(&name) {
        return no_runner(&name);
    }
    routes.result(name, request.into_body()).await
}

fn no_runner(name: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("no runner is called {name:?}\n")).into_response()
}

fn unavailable(text: &str) -> Response {
    let retry = [("retry-after", "1")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, format!("{text}\n")).into_response()
}

#[cfg(test)]
mod tests;
