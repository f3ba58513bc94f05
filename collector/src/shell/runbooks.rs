//! `/runbooks/`: what an alert of the packs means, and what to do.

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::pure::runbook;

/// The pages load nothing and run nothing.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");

/// The routes, for those who may read.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/runbooks", get(|| async { Redirect::permanent("runbooks/") }))
        .route("/runbooks/", get(|| async { shown(StatusCode::OK, runbook::index(None)) }))
        .route("/runbooks/{alert}", get(page))
}

async fn page(alert: Result<Path<String>, PathRejection>) -> Response {
    let alert = alert.map(|Path(alert)| alert).unwrap_or_default();
    match runbook::page(&alert) {
        Some(page) => shown(StatusCode::OK, page),
        None => shown(StatusCode::NOT_FOUND, runbook::index(Some(&alert))),
    }
}

fn shown(status: StatusCode, page: String) -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, POLICY)];
    (status, policy, Html(page)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Method, Request};
    use tower_service::Service;

    use super::super::api::tests::send;
    use super::*;

    #[tokio::test]
    async fn pages_are_html_and_what_is_not_there_has_the_list() {
        let router = router();
        for (path, status, text) in [
            ("/runbooks/", 200, "<a href=\"HostDown\">"),
            ("/runbooks/HostDown", 200, "<h1>HostDown</h1>"),
            ("/runbooks/HostUp", 404, "<code>HostUp</code>"),
            ("/runbooks/%3Cscript%3E", 404, "<code>&lt;script&gt;</code>"),
            ("/runbooks/%FF", 404, "<a href=\"HostDown\">"),
        ] {
            let (got, kind, page) = send(&router, Method::GET, path, None).await;
            assert_eq!((got, kind.as_str()), (status, "text/html; charset=utf-8"), "{path}");
            assert!(page.contains(text), "{path}: {page}");
            assert!(!page.contains("<script"), "{path}");
        }
        let request = Request::builder().uri("/runbooks").body(Body::empty()).unwrap();
        let response = router.clone().call(request).await.unwrap();
        assert_eq!(response.headers()["location"], "runbooks/");
    }
}
