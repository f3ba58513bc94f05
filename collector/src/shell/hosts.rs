//! `/bellwether/v1/hosts`: who ships here.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use bellwether_model::id::Position;
use bellwether_platform::journal::commit::CommitQueue;
use tokio::sync::watch;

use super::keep::{KeepError, KeeperHandle};
use crate::pure::keeper::Commanded;

/// The path of the list; a host is at its id below.
pub const PATH: &str = "/bellwether/v1/hosts";

/// Behind a host's id: put to have it drained, deleted to take that back.
pub const DRAIN: &str = "/drain";

struct Hosts {
    keeper: KeeperHandle,
    queue: CommitQueue,
}

/// Listing, for those who may read; forgetting, for administrators.
pub fn routers(keeper: KeeperHandle, queue: CommitQueue) -> (Router, Router) {
    let hosts = Arc::new(Hosts { keeper, queue });
    let reads = Router::new().route(PATH, get(list)).with_state(Arc::clone(&hosts));
    let administers = Router::new()
        .route(&format!("{PATH}/{{agent}}"), delete(forget))
        .route(&format!("{PATH}/{{agent}}{DRAIN}"), put(drain).delete(undrain))
        .with_state(hosts);
    (reads, administers)
}

async fn list(State(hosts): State<Arc<Hosts>>) -> Response {
    match hosts.keeper.hosts().await {
        Ok(rows) => Json(rows).into_response(),
        Err(error) => busy(error),
    }
}

async fn forget(State(hosts): State<Arc<Hosts>>, Path(agent): Path<String>) -> Response {
    let durable = hosts.queue.subscribe();
    let Ok(agent) = agent.parse() else { return no_id() };
    settled(durable, hosts.keeper.forget(agent).await).await
}

async fn drain(State(hosts): State<Arc<Hosts>>, Path(agent): Path<String>) -> Response {
    let durable = hosts.queue.subscribe();
    let Ok(agent) = agent.parse() else { return no_id() };
    settled(durable, hosts.keeper.drain(agent, true).await).await
}

async fn undrain(State(hosts): State<Arc<Hosts>>, Path(agent): Path<String>) -> Response {
    let durable = hosts.queue.subscribe();
    let Ok(agent) = agent.parse() else { return no_id() };
    settled(durable, hosts.keeper.drain(agent, false).await).await
}

fn no_id() -> Response {
    (StatusCode::BAD_REQUEST, "an agent's id is 32 hexadecimal digits\n").into_response()
}

/// Answers once a command is durable.
async fn settled(
    mut durable: watch::Receiver<Position>,
    done: Result<Commanded, KeepError>,
) -> Response {
    match done {
        Ok(Commanded::Unknown) => (StatusCode::NOT_FOUND, "no such agent\n").into_response(),
        Ok(Commanded::NoRoom) => no_room(),
        Ok(Commanded::Done(position)) => match durable.wait_for(|synced| *synced >= position).await
        {
            Ok(_) => StatusCode::NO_CONTENT.into_response(),
            Err(_) => busy(KeepError::Ended),
        },
        Err(error) => busy(error),
    }
}

fn no_room() -> Response {
    let text = "the journal has no room: nothing is done; free the disk, and ask again\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn busy(error: KeepError) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
}
