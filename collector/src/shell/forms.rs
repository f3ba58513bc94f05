//! Forms of queries, read within the budget of all bodies before anything else looks at them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use bellwether_platform::listener::{Bodies, BodyLimit};
use serde_json::json;

/// Bytes of a form, as the query interface takes.
const FORM_BYTES: usize = 1 << 20;
/// A form of this size that takes longer comes from a broken connection.
const FORM_TIME: Duration = Duration::from_secs(30);

/// Reads the body of a POST, and hands on the request with it; its part of the budget is given back
/// with the answer.
pub(super) async fn budgeted(
    State(bodies): State<Bodies>,
    request: Request,
    next: Next,
) -> Response<Body> {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let held = match bodies.read(body, BodyLimit { bytes: FORM_BYTES, time: FORM_TIME }).await {
        Ok(held) => held,
        Err(error) => {
            let document = json!({
                "status": "error",
                "errorType": if error.is_retryable() { "unavailable" } else { "bad_data" },
                "error": error.to_string(),
            });
            let mut response = (error.status(), axum::Json(document)).into_response();
            if let Some(seconds) = error.retry_after_seconds() {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            return response;
        }
    };
    let answer = next.run(Request::from_parts(parts, Body::from(held.bytes().clone()))).await;
    drop(held);
    answer
}
