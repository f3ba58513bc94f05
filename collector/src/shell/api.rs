//! `/api/v1` over HTTP: routes, methods, forms.
//!
//! What the parameters mean and what is answered is [`crate::pure::api`]'s. Here a request is read,
//! put on the pool, and its answer given a status.

pub(crate) mod queries;
pub(crate) mod rules;
mod threads;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodRouter, any, get};
use bellwether_model::time::Timestamp;

use self::queries::Queries;
use crate::pure::api::answer::{answer, build_info};
use crate::pure::api::error::{ApiError, ErrorKind};
use crate::pure::api::params::Params;
use crate::pure::api::request::Request;
use crate::pure::api::status::About;

/// Bytes of a form; queries are bounded further by the parser.
const FORM_BYTES: usize = 1 << 20;
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The routes under `/api/v1`; any other path there is a 404 in JSON.
pub(crate) fn router(queries: Arc<Queries>, about: About) -> Router {
    let about = Arc::new(about);
    let status = |page: fn(&About, Timestamp) -> Vec<u8>| {
        let about = Arc::clone(&about);
        let say = move |State(queries): State<Arc<Queries>>| async move {
            replied(StatusCode::OK, page(&about, queries.now()))
        };
        get_or_post(get(say))
    };
    Router::new()
        .route("/api/v1/query", get_or_post(get(instant).post(instant)))
        .route("/api/v1/query_range", get_or_post(get(range).post(range)))
        .route("/api/v1/series", get_or_post(get(series).post(series)))
        .route("/api/v1/labels", get_or_post(get(label_names).post(label_names)))
        .route("/api/v1/label/{name}/values", get_or_post(get(label_values)))
        .route("/api/v1/metadata", get_or_post(get(metadata)))
        .route("/api/v1/format_query", get_or_post(get(format).post(format)))
        .route("/api/v1/status/buildinfo", get_or_post(get(build)))
        .route("/api/v1/status/runtimeinfo", status(About::runtime))
        .route("/api/v1/status/flags", status(|about, _| about.flags()))
        .route("/api/v1/status/config", status(|about, _| about.config()))
        .route("/api/v1/status/tsdb", get_or_post(get(head)))
        .route("/api/v1/{*rest}", any(nowhere))
        .with_state(queries)
}

/// Refuses the methods that are not set, in JSON.
fn get_or_post(methods: MethodRouter<Arc<Queries>>) -> MethodRouter<Arc<Queries>> {
    methods.fallback(|| async { failed(&ApiError::new(ErrorKind::Method, "method not allowed")) })
}

async fn nowhere() -> Response {
    failed(&ApiError::new(ErrorKind::NotFound, "no such path"))
}

async fn instant(State(queries): State<Arc<Queries>>, request: HttpRequest) -> Response {
    let now = queries.now();
    answered(&queries, request, |params| Request::instant(params, now)).await
}

async fn range(State(queries): State<Arc<Queries>>, request: HttpRequest) -> Response {
    answered(&queries, request, Request::range).await
}

async fn series(State(queries): State<Arc<Queries>>, request: HttpRequest) -> Response {
    answered(&queries, request, Request::series).await
}

async fn label_names(State(queries): State<Arc<Queries>>, request: HttpRequest) -> Response {
    answered(&queries, request, Request::label_names).await
}

async fn label_values(
    State(queries): State<Arc<Queries>>,
    name: Result<Path<String>, PathRejection>,
    request: HttpRequest,
) -> Response {
    match name {
        Ok(Path(name)) => {
            answered(&queries, request, |params| Request::label_values(&name, params)).await
        }
        Err(_) => failed(&ApiError::new(ErrorKind::BadData, "invalid label name")),
    }
}

async fn metadata(State(queries): State<Arc<Queries>>, request: HttpRequest) -> Response {
    answered(&queries, request, Request::metadata).await
}

async fn format(State(queries): State<Arc<Queries>>, request: HttpRequest) -> Response {
    answered(&queries, request, Request::format).await
}

async fn head(State(queries): State<Arc<Queries>>, request: HttpRequest) -> Response {
    answered(&queries, request, Request::head).await
}

async fn build() -> Response {
    replied(StatusCode::OK, build_info(env!("CARGO_PKG_VERSION")))
}

/// Reads a request, answers it on the pool, and turns the outcome into a response.
async fn answered(
    queries: &Queries,
    request: HttpRequest,
    read: impl FnOnce(&Params) -> Result<Request, ApiError>,
) -> Response {
    let outcome = match params(request).await.and_then(|params| read(&params)) {
        Ok(asked) => {
            let timeout = asked.timeout();
            queries.run(timeout, move |view, _, means| answer(&asked, view, means)).await
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(body) => replied(StatusCode::OK, body),
        Err(error) => failed(&error),
    }
}

/// The parameters of the address, and of a form posted with it.
pub(crate) async fn params(request: HttpRequest) -> Result<Params, ApiError> {
    let (head, body) = request.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let is_form = kind.get(..FORM.len()).is_some_and(|k| k.eq_ignore_ascii_case(FORM.as_bytes()));
    let form = if head.method == Method::POST && is_form {
        to_bytes(body, FORM_BYTES).await.map_err(|error| {
            let message = format!("error parsing form values: {error}");
            ApiError::new(ErrorKind::BadData, message)
        })?
    } else {
        Bytes::new()
    };
    Ok(Params::decode(head.uri.query().unwrap_or(""), &form))
}

fn replied(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

fn failed(error: &ApiError) -> Response {
    let mut response = replied(status(error), error.to_json());
    retry_after(error, &mut response);
    response
}

/// The status of an error.
pub(crate) fn status(error: &ApiError) -> StatusCode {
    StatusCode::from_u16(error.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Says when to come again, where that helps.
pub(crate) fn retry_after(error: &ApiError, response: &mut Response) {
    if error.kind == ErrorKind::Unavailable {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
}

#[cfg(test)]
pub(crate) mod tests;
