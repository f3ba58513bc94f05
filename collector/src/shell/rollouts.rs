//! `/api/bw/v1/rollouts`: announcing, seeing and steering rollouts.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use bellwether_platform::disk::{RealDisk, read_file};
use bellwether_platform::journal::commit::CommitQueue;
use bellwether_platform::listener::{Bodies, BodyLimit};
use bellwether_platform::principal::{Principals, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::auth::{reach, refused};
use super::control::ControlHandle;
use crate::pure::guard::announce::{Announce, BYTES_MAX};
use crate::pure::guard::event::{Ask, Reply};
use crate::pure::guard::record::Word;
use crate::pure::guard::report::RolloutRow;
use crate::pure::guard::view;

/// The path of the list; a rollout is at its id below.
pub(super) const PATH: &str = "/api/bw/v1/rollouts";
/// A journal without room is waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is longer or takes longer is no announce.
const BODY: BodyLimit = BodyLimit { bytes: BYTES_MAX, time: Duration::from_secs(10) };

/// What the routes need.
#[derive(Clone)]
pub(super) struct Rollouts {
    /// Who decides.
    pub control: ControlHandle,
    /// Who may ask.
    pub principals: Principals,
    /// Where decision records lie.
    pub records: Arc<std::path::Path>,
    /// The budget of all bodies.
    pub bodies: Bodies,
    /// What is durable.
    pub queue: CommitQueue,
}

/// What is said of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saying {
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Seeing, for those who may read; and the routes that ask for scopes of their own.
pub(super) fn routers(rollouts: Rollouts) -> (Router, Router) {
    let reads = Router::new()
        .route(PATH, get(list))
        .route(&format!("{PATH}/{{rollout}}"), get(one))
        .route(&format!("{PATH}/{{rollout}}/report"), get(report))
        .route(&format!("{PATH}/{{rollout}}/records/{{name}}"), get(record))
        .with_state(rollouts.clone());
    let steers = Router::new()
        .route(PATH, post(announce))
        .route(&format!("{PATH}/{{rollout}}/{{word}}"), post(say))
        .with_state(rollouts);
    (reads, steers)
}

async fn list(State(rollouts): State<Rollouts>) -> Response<Body> {
    match rollouts.control.rollouts().await {
        Some(report) => Json(view::list(&report)).into_response(),
        None => ended(),
    }
}

async fn one(State(rollouts): State<Rollouts>, Path(id): Path<String>) -> Response<Body> {
    rollouts.row(&id, |row| Json(view::rollout(row)).into_response()).await
}

async fn report(State(rollouts): State<Rollouts>, Path(id): Path<String>) -> Response<Body> {
    let markdown = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    rollouts.row(&id, |row| (markdown, view::markdown(row)).into_response()).await
}

async fn record(
    State(rollouts): State<Rollouts>,
    Path((id, name)): Path<(String, String)>,
) -> Response<Body> {
    let records = Arc::clone(&rollouts.records);
    let found = rollouts.control.rollout(&id).await.flatten().and_then(|row| {
        view::rollout(&row).decided.into_iter().find(|decided| decided.record == name)
    });
    // Only names that are known of are looked for on the disk.
    let Some(found) = found else { return absent(&format!("no record `{name}` of `{id}`")) };
    let read = tokio::task::spawn_blocking(move || {
        read_file(&RealDisk, &records.join(&found.record), usize::MAX).ok()?
    });
    match read.await {
        Ok(Some(bytes)) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        _ => absent(&format!("there is no file of `{name}`")),
    }
}

async fn announce(State(rollouts): State<Rollouts>, request: Request) -> Response<Body> {
    let (by, bytes) = match rollouts.read(Scope::Announce, request).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let announce = match Announce::read(&bytes) {
        Ok(announce) => announce,
        Err(problems) => return wrong(&problems),
    };
    rollouts.ask(by, Ask::Announce(Box::new(announce))).await
}

async fn say(
    State(rollouts): State<Rollouts>,
    Path((id, word)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    let word = match word.as_str() {
        "finish" => Word::Finish,
        "abort" => Word::Abort,
        "confirm" => Word::Confirm,
        other => return absent(&format!("nothing is called `{other}` here")),
    };
    let (by, bytes) = match rollouts.read(Scope::Rollout, request).await {
        Ok(read) => read,
        Err(response) => return response,
    };
    let saying =
        if bytes.is_empty() { Ok(Saying::default()) } else { serde_json::from_slice(&bytes) };
    match saying {
        Ok(Saying { reason }) => {
            rollouts.ask(by, Ask::Say { rollout: id.into(), word, reason }).await
        }
        Err(error) => wrong(&[error.to_string()]),
    }
}

impl Rollouts {
    /// Who asks, if they may, and the body.
    async fn read(
        &self,
        scope: Scope,
        request: Request,
    ) -> Result<(String, Bytes), Response<Body>> {
        let caller = self.principals.authorize(scope, request.headers(), reach(&request));
        let by = caller.map_err(|refusal| refused(&refusal))?.to_string();
        let bytes = self.bodies.read(request.into_body(), BODY).await;
        let held = bytes.map_err(|error| (error.status(), format!("{error}\n")).into_response())?;
        Ok((by, held.bytes().clone()))
    }

    async fn ask(&self, by: String, ask: Ask) -> Response<Body> {
        let mut durable = self.queue.subscribe();
        let settled = async {
            let (reply, after) = self.control.ask(by, ask).await?;
            durable.wait_for(|synced| *synced >= after).await.ok()?;
            Some(reply)
        };
        match tokio::time::timeout(PATIENCE, settled).await {
            Ok(Some(reply)) => self.answer(reply).await,
            Ok(None) => ended(),
            Err(_) => {
                let text = "the journal has no room; what was asked may still be done\n";
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
            }
        }
    }

    async fn answer(&self, reply: Reply) -> Response<Body> {
        let (status, announced) = match reply {
            Reply::Begun(announced) => (StatusCode::CREATED, announced),
            Reply::Known(announced) => (StatusCode::OK, announced),
            Reply::Done | Reply::Heard(_) => return StatusCode::NO_CONTENT.into_response(),
            Reply::Absent(text) => return absent(&text),
            Reply::Conflict(text) => return (StatusCode::CONFLICT, text + "\n").into_response(),
            Reply::Wrong(problems) => return wrong(&problems),
            Reply::Full(text) => {
                return (StatusCode::SERVICE_UNAVAILABLE, text + "\n").into_response();
            }
        };
        self.row(&announced.rollout, |row| (status, Json(view::rollout(row))).into_response()).await
    }

    async fn row(
        &self,
        id: &str,
        show: impl FnOnce(&RolloutRow) -> Response<Body>,
    ) -> Response<Body> {
        match self.control.rollout(id).await {
            Some(Some(row)) => show(&row),
            Some(None) => absent(&format!("there is no rollout `{id}`")),
            None => ended(),
        }
    }
}

fn absent(text: &str) -> Response<Body> {
    (StatusCode::NOT_FOUND, format!("{text}\n")).into_response()
}

fn wrong(problems: &[String]) -> Response<Body> {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"problems": problems}))).into_response()
}

fn ended() -> Response<Body> {
    (StatusCode::SERVICE_UNAVAILABLE, "rollouts are not watched any more\n").into_response()
}
