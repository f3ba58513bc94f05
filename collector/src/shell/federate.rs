//! `/federate` over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use bellwether_model::label::LabelSet;

use super::api::queries::Queries;
use super::api::{params, retry_after, status};
use crate::pure::api::error::ApiError;
use crate::pure::federate::{CONTENT_TYPE, Federation};

/// The route; `external` labels are added to the series that lack them.
pub(crate) fn router(queries: Arc<Queries>, external: LabelSet) -> Router {
    let page = move |request| federate(Arc::clone(&queries), external.clone(), request);
    Router::new().route("/federate", get(page))
}

async fn federate(queries: Arc<Queries>, external: LabelSet, request: Request) -> Response {
    match page(&queries, external, request).await {
        Ok(page) => {
            let mut response = Response::new(Body::from(page));
            let kind = HeaderValue::from_static(CONTENT_TYPE);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(error) => {
            let mut response = Response::new(Body::from(format!("{}\n", error.message)));
            *response.status_mut() = status(&error);
            let kind = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            retry_after(&error, &mut response);
            response
        }
    }
}

async fn page(
    queries: &Queries,
    external: LabelSet,
    request: Request,
) -> Result<Vec<u8>, ApiError> {
    let federation = Federation::read(&params(request).await?)?;
    queries
        .run(None, move |view, now, means| {
            federation.page(&external, view, now, &means.limits, means.stop)
        })
        .await
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::super::api::tests::{clock, send, views};
    use super::*;
    use crate::pure::config::QueryLimits;

    #[tokio::test]
    async fn pages_are_text() {
        let queries = Queries::new(views(), clock(), QueryLimits::default());
        let external = LabelSet::new([("site", "north")]).unwrap();
        let router = router(Arc::new(queries), external);
        let path = "/federate?match[]=up&match[]={job=%22node%22}";
        let (status, kind, page) = send(&router, Method::GET, path, None).await;
        assert_eq!((status, kind.as_str()), (200, CONTENT_TYPE));
        assert_eq!(
            page,
            "# TYPE up untyped\n\
             up{job=\"a/b c\",instance=\"\",site=\"north\"} 0 9000\n\
             up{job=\"node\",instance=\"\",site=\"north\"} 1 9000\n"
        );
        let (status, kind, page) = send(&router, Method::GET, "/federate?match[]=-", None).await;
        assert_eq!((status, kind.as_str()), (400, "text/plain; charset=utf-8"));
        assert!(page.contains("parse error"), "{page}");
    }
}
