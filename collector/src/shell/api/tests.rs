use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bellwether_model::select::Select;
use bellwether_model::time::Timestamp;
use tower_service::Service;

use super::queries::{Clock, ViewSource};
use super::*;
use crate::pure::api::map_view::MapView;
use crate::pure::config::QueryLimits;

pub(crate) fn clock() -> Clock {
    Arc::new(|| Timestamp(10_000))
}

pub(crate) fn views() -> ViewSource {
    let view = MapView::default()
        .with(&[("__name__", "up"), ("job", "node")], &[(9000, 1.0)])
        .with(&[("__name__", "up"), ("job", "a/b c")], &[(9000, 0.0)]);
    Arc::new(move |_| Some(Box::new(view.clone()) as Box<dyn Select + Send>))
}

/// As Prometheus has.
const PLACES: usize = 20;

/// So many places, and the one of the rules.
fn queries(views: ViewSource, places: usize) -> Arc<Queries> {
    let limits = QueryLimits { at_once: places + 1, ..QueryLimits::default() };
    Arc::new(Queries::new(views, clock(), limits))
}

fn about() -> About {
    About {
        started: Timestamp(0),
        directory: "/".to_owned(),
        host: "host".to_owned(),
        cores: 2,
        listen: "127.0.0.1:9797".to_owned(),
        retention: std::time::Duration::from_secs(3600),
        timeout: std::time::Duration::from_secs(120),
        places: PLACES,
        samples_max: 1000,
        rule_interval: Duration::from_secs(60),
        external_labels: bellwether_model::label::LabelSet::default(),
    }
}

fn router(queries: Arc<Queries>) -> Router {
    super::router(queries, about())
}

/// Status, type and body.
pub(crate) async fn send(
    router: &Router,
    method: Method,
    path: &str,
    form: Option<&str>,
) -> (u16, String, String) {
    let mut request = HttpRequest::builder().method(method).uri(path);
    if form.is_some() {
        request = request.header("content-type", "application/x-www-form-urlencoded;charset=utf-8");
    }
    let body = Body::from(form.unwrap_or("query=ignored").to_owned());
    let response = router.clone().call(request.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn routes_take_their_methods() {
    let router = router(queries(views(), PLACES));
    let both = [
        ("query", "query=up"),
        ("query_range", "query=up&start=9&end=10&step=1"),
        ("series", "match[]=up"),
        ("labels", ""),
        ("format_query", "query=up"),
    ];
    for (path, query) in both {
        let path = format!("/api/v1/{path}");
        let (status, kind, got) =
            send(&router, Method::GET, &format!("{path}?{query}"), None).await;
        assert_eq!((status, kind.as_str()), (200, "application/json"), "{path}: {got}");
        let (status, _, posted) = send(&router, Method::POST, &path, Some(query)).await;
        assert_eq!((status, posted), (200, got), "{path}");
        let (status, kind, body) = send(&router, Method::PUT, &path, None).await;
        assert_eq!((status, kind.as_str()), (405, "application/json"), "{path}: {body}");
    }
    let reading = [
        "label/job/values",
        "metadata",
        "status/buildinfo",
        "status/runtimeinfo",
        "status/flags",
        "status/config",
        "status/tsdb",
    ];
    for path in reading {
        let path = format!("/api/v1/{path}");
        assert_eq!(send(&router, Method::GET, &path, None).await.0, 200, "{path}");
        assert_eq!(send(&router, Method::POST, &path, Some("")).await.0, 405, "{path}");
    }
    for path in ["/api/v1/none", "/api/v1/label/job", "/api/v1/query/more"] {
        let (status, _, body) = send(&router, Method::GET, path, None).await;
        assert_eq!(status, 404);
        assert_eq!(body, r#"{"status":"error","errorType":"not_found","error":"no such path"}"#);
    }
}

#[tokio::test]
async fn errors_have_their_status() {
    let router = router(queries(views(), PLACES));
    let status = async |path: &str| send(&router, Method::GET, path, None).await.0;
    assert_eq!(status("/api/v1/query?query=up{").await, 400);
    assert_eq!(status("/api/v1/query?query=rate(up)").await, 400);
    assert_eq!(status("/api/v1/query?query=up*on()up").await, 422);
    assert_eq!(status("/api/v1/series").await, 400);
    assert_eq!(status("/api/v1/label/%ff/values").await, 400);
    assert_eq!(status("/api/v1/query?query=up&timeout=0").await, 503);
    let long = format!("query={}", "x".repeat(FORM_BYTES));
    let (code, _, body) = send(&router, Method::POST, "/api/v1/query", Some(&long)).await;
    assert_eq!(code, 400);
    assert!(body.contains("error parsing form values"), "{body}");
}

#[tokio::test]
async fn names_in_paths_are_decoded() {
    let router = router(queries(views(), PLACES));
    let (_, _, body) = send(&router, Method::GET, "/api/v1/label/job/values", None).await;
    assert_eq!(body, r#"{"status":"success","data":["a/b c","node"]}"#);
    let (status, _, body) =
        send(&router, Method::GET, "/api/v1/label/a%20b%2Fc/values", None).await;
    assert_eq!((status, body.as_str()), (200, r#"{"status":"success","data":[]}"#));
}

#[tokio::test]
async fn a_post_without_a_form_has_no_parameters() {
    let router = router(queries(views(), PLACES));
    let (status, _, body) = send(&router, Method::POST, "/api/v1/query", None).await;
    assert_eq!(status, 400);
    assert!(body.contains("no expression found"), "{body}");
}

#[tokio::test]
async fn a_store_that_is_not_ready_is_unavailable() {
    let router = router(queries(Arc::new(|_| None), PLACES));
    let (status, _, body) = send(&router, Method::GET, "/api/v1/query?query=up", None).await;
    assert_eq!(status, 503);
    assert!(body.contains("unavailable"), "{body}");
}

/// A source whose views open when the other end says so, and its two ends: opening, go on.
fn held() -> (ViewSource, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (opening, opened) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let inner = views();
    let source: ViewSource = Arc::new(move |at| {
        opening.send(()).unwrap();
        gate.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap();
        inner(at)
    });
    (source, opened, go)
}

#[tokio::test]
async fn without_a_place_a_query_is_refused() {
    let (source, opened, go) = held();
    let router = router(queries(source, 1));
    let first = tokio::spawn({
        let router = router.clone();
        async move { send(&router, Method::GET, "/api/v1/query?query=up", None).await }
    });
    let _opened = tokio::task::spawn_blocking(move || {
        opened.recv().unwrap();
        opened
    })
    .await
    .unwrap();
    let (status, _, body) = send(&router, Method::GET, "/api/v1/labels", None).await;
    assert_eq!(status, 503);
    assert!(body.contains("too many queries at once"), "{body}");
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().0, 200);
    go.send(()).unwrap();
    assert_eq!(send(&router, Method::GET, "/api/v1/labels", None).await.0, 200);
}

#[tokio::test]
async fn a_query_out_of_time_is_told_to_stop() {
    let (source, opened, go) = held();
    let queries = queries(source, 1);
    let (told, tells) = mpsc::channel();
    let outcome = queries
        .run(Some(std::time::Duration::from_millis(1)), move |_, _, means| {
            told.send(means.stop.load(std::sync::atomic::Ordering::Relaxed)).unwrap();
            Ok(())
        })
        .await;
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Timeout);
    go.send(()).unwrap();
    tokio::task::spawn_blocking(move || opened.recv().unwrap()).await.unwrap();
    assert!(tokio::task::spawn_blocking(move || tells.recv().unwrap()).await.unwrap());
}

#[tokio::test]
async fn a_query_whose_client_goes_away_is_told_to_stop() {
    let queries = queries(views(), 1);
    let (begun, begins) = mpsc::channel();
    let (told, tells) = mpsc::channel();
    let running = tokio::spawn(async move {
        let wait = move |_: &dyn Select, _, means: &crate::pure::api::answer::Means<'_>| {
            begun.send(()).unwrap();
            while !means.stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::yield_now();
            }
            told.send(()).unwrap();
            Ok(())
        };
        queries.run(None, wait).await
    });
    tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
    // As the listener does with the future of a connection that is gone.
    running.abort();
    tokio::task::spawn_blocking(move || tells.recv().unwrap()).await.unwrap();
}
