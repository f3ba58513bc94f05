//! `/api/v1/rules` and `/api/v1/alerts` over HTTP.

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::super::control::Board;
use super::{failed, params, replied};
use crate::pure::api::error::{ApiError, ErrorKind};
use crate::pure::api::rules;

/// The two routes.
pub(crate) fn router(board: Board) -> Router {
    let other = || async { failed(&ApiError::new(ErrorKind::Method, "method not allowed")) };
    Router::new()
        .route("/api/v1/rules", get(all).fallback(other))
        .route("/api/v1/alerts", get(alerts).fallback(other))
        .with_state(board)
}

async fn all(State(board): State<Board>, request: HttpRequest) -> Response {
    let params = params(request).await;
    match params.and_then(|params| rules::rules(&params, &board.groups())) {
        Ok(body) => replied(StatusCode::OK, body),
        Err(error) => failed(&error),
    }
}

async fn alerts(State(board): State<Board>) -> Response {
    replied(StatusCode::OK, rules::alerts(&board.groups()))
}
