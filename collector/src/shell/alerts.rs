//! `/api/bw/v1/alerts`: alerts, who was told of them, and why or why not.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use crate::pure::notify::report::AlertsReport;
use crate::pure::notify::select::AlertSelector;
use crate::pure::notify::view;

/// The path of the list.
pub const PATH: &str = "/api/bw/v1/alerts";
/// The path of an explanation; `alert` chooses alerts.
pub const WHY: &str = "/api/bw/v1/alerts/why";

/// Asks for the report of now; `None` if whoever makes it has ended.
pub type Reports =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<AlertsReport>> + Send>> + Send + Sync>;

/// For those who may read.
pub fn router(reports: Reports) -> Router {
    Router::new().route(PATH, get(list)).route(WHY, get(why)).with_state(reports)
}

async fn list(State(reports): State<Reports>) -> Response {
    match reports().await {
        Some(report) => Json(view::list(&report)).into_response(),
        None => ended(),
    }
}

#[derive(Debug, Deserialize)]
struct Asked {
    alert: String,
}

async fn why(State(reports): State<Reports>, Query(asked): Query<Asked>) -> Response {
    let selector = match AlertSelector::parse(&asked.alert) {
        Ok(selector) => selector,
        Err(reason) => return (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    };
    match reports().await {
        Some(report) => Json(view::why(&report, &selector)).into_response(),
        None => ended(),
    }
}

fn ended() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "rules are not evaluated any more\n").into_response()
}
