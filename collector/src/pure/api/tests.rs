use std::sync::atomic::AtomicBool;

use bellwether_model::series::STALE;
use bellwether_model::time::Timestamp;

use bellwether_promql::pool::Serial;

use super::answer::{Limits, Means, answer, build_info};
use super::error::ApiError;
use super::map_view::MapView;
use super::params::Params;
use super::request::Request;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn view() -> MapView {
    let t = NOW.0;
    MapView::default()
        .with(
            &[("__name__", "up"), ("job", "node"), ("instance", "a:1")],
            &[(t - 20_000, 0.0), (t - 10_000, 1.0), (t - 1, 1.0)],
        )
        .with(&[("__name__", "up"), ("job", "api"), ("path", "\"<é>\"\n")], &[(t - 500, 1e-7)])
        .with(&[("__name__", "temp")], &[(t - 2000, f64::NAN), (t - 1000, f64::NEG_INFINITY)])
        .with(&[("__name__", "ended")], &[(t - 2000, 5.0), (t - 1000, STALE)])
}

fn ask(path: &str, query: &str) -> Result<Request, ApiError> {
    let params = Params::decode(query, b"");
    match path {
        "query" => Request::instant(&params, NOW),
        "query_range" => Request::range(&params),
        "series" => Request::series(&params),
        "labels" => Request::label_names(&params),
        "format_query" => Request::format(&params),
        "metadata" => Request::metadata(&params),
        name => Request::label_values(name, &params),
    }
}

fn with(path: &str, query: &str, limits: &Limits) -> String {
    let stop = AtomicBool::new(false);
    let body = ask(path, query)
        .and_then(|request| {
            answer(&request, &view(), &Means { limits: *limits, pool: &Serial, stop: &stop })
        })
        .unwrap_or_else(|error| error.to_json());
    String::from_utf8(body).unwrap()
}

/// What stands between the success and the closing brace; errors as `kind: message`.
fn said(path: &str, query: &str) -> String {
    let body = with(path, query, &Limits::default());
    let value: serde_json::Value = serde_json::from_str(&body).expect(&body);
    match value["status"].as_str() {
        Some("success") => {
            let inner = body.strip_prefix(r#"{"status":"success","data":"#).unwrap();
            inner.strip_suffix('}').unwrap().to_owned()
        }
        _ => {
            assert_eq!(value["status"], "error");
            format!(
                "{}: {}",
                value["errorType"].as_str().unwrap(),
                value["error"].as_str().unwrap()
            )
        }
    }
}

#[test]
fn answers_are_those_of_prometheus() {
    let mut lines = include_str!("golden.txt").lines().skip_while(|line| !line.starts_with('>'));
    let mut seen = 0;
    while let Some(asked) = lines.next() {
        let asked = asked.strip_prefix('>').unwrap().trim_start();
        let (path, query) = asked.split_once(' ').unwrap_or((asked, ""));
        assert_eq!(said(path, query), lines.next().unwrap(), "{asked}");
        assert!(lines.next().is_none_or(str::is_empty), "{asked}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
    let many = "match[]=up&".repeat(101);
    assert_eq!(
        said("series", &many),
        "bad_data: invalid parameter \"match[]\": more than 100 selectors"
    );
}

#[test]
fn limits_and_stops_are_errors() {
    let limits = Limits { samples_max: 3, series_max: 1, body_bytes_max: 200 };
    let said = |path: &str, query: &str| with(path, query, &limits);
    let execution = |message: &str| {
        format!(r#"{{"status":"error","errorType":"execution","error":"{message}"}}"#)
    };
    let samples = "query processing would load too many samples into memory in query execution";
    assert_eq!(said("query", "query=up[1h]"), execution(samples));
    let bytes = execution("answer is longer than 200 bytes");
    assert_eq!(said("query", &format!("query='{}'", "x".repeat(200))), bytes);
    let series = execution("more than 1 series match");
    assert_eq!(said("series", "match[]=up"), series);
    assert_eq!(said("series", "match[]=temp&match[]=ended"), series);
    assert!(said("series", "match[]=temp").starts_with(r#"{"status":"success""#));

    let stop = AtomicBool::new(true);
    for (path, query) in [("query", "query=up"), ("labels", "match[]=up"), ("series", "match[]=up")]
    {
        let request = ask(path, query).unwrap();
        let means = Means { limits: Limits::default(), pool: &Serial, stop: &stop };
        let error = answer(&request, &view(), &means).unwrap_err();
        assert_eq!(error.kind.status(), 503, "{path}");
        assert_eq!(error.kind.word(), "timeout");
    }
}

#[test]
fn timeouts_are_read() {
    let timeout = |query: &str| ask("query", query).unwrap().timeout();
    assert_eq!(timeout("query=up"), None);
    assert_eq!(timeout("query=up&timeout=1m"), Some(std::time::Duration::from_secs(60)));
    assert_eq!(timeout("query=up&timeout=-1"), Some(std::time::Duration::ZERO));
}

#[test]
fn build_info_has_a_version_and_no_features() {
    let info: serde_json::Value = serde_json::from_slice(&build_info("0.1.0")).unwrap();
    assert_eq!(info["status"], "success");
    assert_eq!(info["data"]["version"], "3.14.0");
    assert_eq!(info["data"]["bellwether"], "0.1.0");
    assert!(info["data"].get("features").is_none());
}
