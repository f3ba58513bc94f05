//! Answers that may be large, within the budget of all of them, until their clients have taken
//! them.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use bellwether_platform::listener::Answers;

/// Hands an answer on with its part of the budget. Those behind this layer make their bodies whole.
pub(super) async fn budgeted(
    State(answers): State<Answers>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let (head, body) = next.run(request).await.into_parts();
    let whole = to_bytes(body, usize::MAX).await.ok();
    match whole.and_then(|bytes| answers.hold(bytes)) {
        Some(bytes) => Response::from_parts(head, Body::from(bytes)),
        None => full(),
    }
}

fn full() -> Response<Body> {
    let text = "too many answers wait for their clients to take them; try again\n";
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Router, middleware};
    use tower_service::Service;

    use super::*;

    #[tokio::test]
    async fn an_answer_holds_its_bytes_until_it_is_dropped() {
        let answers = Answers::new(100);
        let held = middleware::from_fn_with_state(answers.clone(), budgeted);
        let mut router = Router::new().route("/", get(|| async { "x".repeat(60) })).layer(held);
        let request = || Request::builder().uri("/").body(Body::empty()).unwrap();
        let first = router.call(request()).await.unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_LENGTH], "60");
        let second = router.call(request()).await.unwrap();
        assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(second.headers()[header::RETRY_AFTER], "1");
        let body = to_bytes(first.into_body(), usize::MAX).await.unwrap();
        assert_eq!((body.len(), answers.figures()[0].value), (60, 60));
        drop(body);
        assert_eq!(answers.figures().map(|figure| figure.value), [0, 1]);
        assert_eq!(router.call(request()).await.unwrap().status(), StatusCode::OK);
    }
}
