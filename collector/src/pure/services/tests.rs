use bellwether_model::config::Environment as Variables;
use bellwether_rules::service::read;

use super::*;
use crate::pure::api::map_view::MapView;

const NOW: Timestamp = Timestamp(100_000);
const ERRORS: &str = "service: checkout\nowner: payments\nslis:\n  errors:\n    \
                      total: requests_total{job=\"c\"}\n    \
                      bad: requests_total{job=\"c\",code=\"500\"}\n";
const LATENCY: &str = "service: checkout\nowner: payments\nslis:\n  latency:\n    \
                       histogram: time_seconds{job=\"c\"}\n    threshold: 300ms\n";

fn services(files: &[&str], hooks: &[&str]) -> Services {
    let files = files
        .iter()
        .enumerate()
        .map(|(at, text)| read(&format!("{at}.yaml"), text, &Variables::new()).unwrap().0);
    let hooks = hooks.iter().map(|name| Arc::from(*name)).collect();
    let (catalogue, _) = Catalogue::build(files.collect(), None).unwrap();
    Services { catalogue, hooks }
}

/// A counter that rises by `each` in each of the last thirty seconds.
fn counted(each: f64) -> Vec<(i64, f64)> {
    every(1000, each)
}

fn every(millis: i64, each: f64) -> Vec<(i64, f64)> {
    let times = (0..).map(|n| NOW.0 - 30_000 + n * millis).take_while(|time| *time <= NOW.0);
    times.enumerate().map(|(n, time)| (time, n as f64 * each)).collect()
}

fn with(view: MapView, name: &str, more: &[(&str, &str)], samples: &[(i64, f64)]) -> MapView {
    let mut labels = vec![("__name__", name), ("job", "c"), ("instance", "a:1")];
    for (name, value) in more {
        labels.retain(|(known, _)| known != name);
        labels.push((name, value));
    }
    view.with(&labels, samples)
}

/// A view in which everything is as it should be.
fn healthy() -> MapView {
    let ok = |version| [("version", version), ("code", "200")];
    let bad = |version| [("version", version), ("code", "500")];
    let view = with(MapView::default(), "requests_total", &ok("2.3.9"), &counted(19.0));
    let view = with(view, "requests_total", &bad("2.3.9"), &counted(1.0));
    with(
        view,
        "requests_total",
        &[&ok("2.4.0")[..], &[("instance", "b:1")]].concat(),
        &counted(1.0),
    )
}

fn reported(text: &str, view: &MapView) -> SliReport {
    let services = services(&[text], &[]);
    let mut report = services.report(view, NOW, None, &|| false).unwrap().services;
    assert_eq!(report.len(), 1);
    let mut service = report.remove(0);
    let mut environment = service.environments.remove(0);
    assert_eq!((environment.name.as_str(), environment.slis.len()), ("production", 1));
    assert_eq!(service.judgeable, environment.slis[0].judgeable);
    environment.slis.remove(0)
}

/// Whether it can be judged, and codes with what they say.
fn said(text: &str, view: &MapView) -> (bool, Vec<String>) {
    let report = reported(text, view);
    let line = |finding: &Finding| {
        let help = finding.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
        format!("{}: {}{help}", finding.code, finding.message)
    };
    (report.judgeable, report.findings.iter().map(line).collect())
}

#[test]
fn versions_have_their_rates() {
    let report = reported(ERRORS, &healthy());
    assert!(report.judgeable && report.findings.is_empty(), "{report:?}");
    assert_eq!((report.series, report.interval_seconds), (3, Some(1.0)));
    let version = |version: &str, series, requests_per_second, bad_per_second| VersionReport {
        version: version.to_owned(),
        series,
        targets: 1,
        requests_per_second,
        bad_per_second,
    };
    assert_eq!(report.versions, [version("2.3.9", 2, 20.0, 1.0), version("2.4.0", 1, 1.0, 0.0)]);
}

#[test]
fn what_is_missing_is_named() {
    let problem = |text: &str, view: &MapView, expected: &str| {
        assert_eq!(said(text, view), (false, vec![expected.to_owned()]));
    };
    let what = r#"requests_total{job="c"}"#;
    problem(
        ERRORS,
        &MapView::default(),
        &format!("no_series: no series is like {what} (no target that is read has this metric)"),
    );
    let elsewhere = with(MapView::default(), "requests_total", &[("job", "d")], &counted(1.0));
    problem(
        ERRORS,
        &elsewhere,
        &format!(
            "no_series: no series is like {what} \
             (there is requests_total{{instance=\"a:1\",job=\"d\"}})"
        ),
    );
    let old = with(MapView::default(), "requests_total", &[("version", "1")], &[(10_000, 1.0)]);
    problem(
        ERRORS,
        &old,
        &format!(
            "not_scraped: not read in the last minute: the last sample of {what} is 90 s old \
             (see whether its targets are up, and `bellwether host list`)"
        ),
    );
    let bare = with(MapView::default(), "requests_total", &[("code", "200")], &counted(1.0));
    problem(
        ERRORS,
        &bare,
        "no_version: no series has the label `version`, such as \
         requests_total{code=\"200\",instance=\"a:1\",job=\"c\"} \
         (let the scrape say the version, or name its label in `version_label`)",
    );
}

#[test]
fn some_series_without_a_version_are_a_warning() {
    let view = with(healthy(), "requests_total", &[("code", "200")], &counted(1.0));
    let (judgeable, said) = said(ERRORS, &view);
    assert!(judgeable);
    let expected = "some_without_version: 1 of 4 series lack the label `version`, such as \
                    requests_total{code=\"200\",instance=\"a:1\",job=\"c\"} \
                    (they belong to no arm)";
    assert_eq!(said, [expected]);
}

#[test]
fn a_bad_counter_stands_beside_a_total() {
    let text = ERRORS.replace("requests_total{job=\"c\",code=\"500\"}", "errors_total{job=\"c\"}");
    assert_eq!(said(&text, &healthy()), (true, vec![]), "no error has happened yet");
    let beside = with(healthy(), "errors_total", &[("version", "2.3.9")], &counted(3.0));
    assert_eq!(said(&text, &beside), (true, vec![]));
    assert_eq!(reported(&text, &beside).versions[0].bad_per_second, 3.0);
    for odd in [[("version", "2.5.0"), ("job", "c")], [("version", "2.3.9"), ("instance", "x:1")]] {
        let alone = with(healthy(), "errors_total", &odd, &counted(3.0));
        let (judgeable, said) = said(&text, &alone);
        assert!(!judgeable && said[0].starts_with("bad_without_total: errors_total{"), "{said:?}");
        assert!(said[0].contains("the same `job`, `instance` and `version`"), "{said:?}");
    }
    let routed = format!("{text}stratum_label: route\n");
    let beside =
        with(healthy(), "errors_total", &[("version", "2.3.9"), ("route", "/x")], &counted(3.0));
    assert!(!said(&routed, &beside).0, "no total has the route");
}

#[test]
fn without_good_counters_all_would_be_bad() {
    let text = ERRORS.replace("bad: requests_total{job=\"c\",code=\"500\"}", "good: good_total");
    let (judgeable, found) = said(&text, &healthy());
    assert!(!judgeable && found[0].starts_with("good_missing: requests_total{"), "{found:?}");
    let view = with(healthy(), "good_total", &[("version", "2.3.9")], &counted(15.0));
    assert!(!said(&text, &view).0, "one target lacks it");
    let more = [("version", "2.4.0"), ("instance", "b:1")];
    let view = with(view, "good_total", &more, &counted(1.0));
    let report = reported(&text, &view);
    assert!(report.judgeable, "{report:?}");
    let bad: Vec<f64> = report.versions.iter().map(|version| version.bad_per_second).collect();
    assert_eq!(bad, [5.0, 0.0]);
}

#[test]
fn a_threshold_is_a_bound_of_the_buckets() {
    let count = with(MapView::default(), "time_seconds_count", &[("version", "1")], &counted(9.0));
    let (judgeable, found) = said(LATENCY, &count);
    assert!(!judgeable && found[0].starts_with("no_bucket: time_seconds_count{"), "{found:?}");
    assert!(found[0].contains("has no buckets (native histograms"), "{found:?}");
    let bucket = |view, le, each| {
        with(view, "time_seconds_bucket", &[("version", "1"), ("le", le)], &counted(each))
    };
    let others = bucket(bucket(bucket(count.clone(), "0.25", 1.0), "1", 2.0), "+Inf", 9.0);
    let (judgeable, found) = said(LATENCY, &others);
    assert!(!judgeable && found[0].contains("have no bound 0.3 (the nearest is le=\"0.25\")"));
    for le in ["0.3", "0.30"] {
        let report = reported(LATENCY, &bucket(others.clone(), le, 6.0));
        assert!(report.judgeable, "{le}: {report:?}");
        assert_eq!(report.versions[0].bad_per_second, 3.0, "{le}");
    }
    let (_, found) = said(LATENCY, &bucket(count, "+Inf", 9.0));
    assert!(found[0].ends_with("(there is no other than +Inf)"), "{found:?}");
}

#[test]
fn a_slow_or_idle_service_is_told() {
    let ok = [("version", "1"), ("code", "200")];
    let view = |samples: &[(i64, f64)]| with(MapView::default(), "requests_total", &ok, samples);
    let (judgeable, found) = said(ERRORS, &view(&every(15_000, 3.0)));
    assert!(judgeable);
    let slow = "slow: read every 15 s: a verdict takes as much longer (scrape it every second)";
    assert_eq!(found, [slow]);
    assert!(said(ERRORS, &view(&every(2000, 3.0))).1.is_empty());
    let idle = "idle: no request in the last minute: a rollout would have no baseline";
    assert_eq!(said(ERRORS, &view(&counted(0.0))), (true, vec![idle.to_owned()]));
    let (judgeable, found) = said(ERRORS, &view(&[(99_000, 3.0)]));
    assert!(judgeable && found[0].starts_with("slow: read only once"), "{found:?}");
}

#[test]
fn a_counter_that_falls_began_anew() {
    let ok = [("version", "1"), ("code", "200")];
    let samples = [(90_000, 100.0), (91_000, 110.0), (92_000, 4.0), (94_000, 14.0)];
    let view = with(MapView::default(), "requests_total", &ok, &samples);
    assert_eq!(reported(ERRORS, &view).versions[0].requests_per_second, 6.0);
}

#[test]
fn an_environment_has_its_series_mode_and_hook() {
    let text = format!(
        "{ERRORS}mode: act\nhook: switch\nenvironments: {{production: {{}}, staging: {{hook: none}}}}\n"
    );
    let production = "environment: production\nmode: advise\nrisk_floor: high\n\
                      match: {env: production}\n";
    let services = services(&[&text, production], &["switch"]);
    let report = services.report(&healthy(), NOW, Some("checkout"), &|| false).unwrap();
    assert_eq!(report.counts(), (0, 1));
    let [production, staging] = &report.services[0].environments[..] else { panic!("not two") };
    assert_eq!((production.mode.as_str(), production.risk_floor.as_str()), ("advise", "high"));
    assert!(production.slis[0].findings[0].message.contains("env=\"production\""));
    assert!(production.findings.is_empty());
    assert_eq!((staging.mode.as_str(), staging.hook.as_deref()), ("act", Some("none")));
    assert!(staging.slis[0].judgeable && !staging.judgeable, "the hook is not there");
    assert_eq!(staging.findings[0].code, "no_hook");
    assert!(services.report(&healthy(), NOW, Some("x"), &|| false).unwrap().services.is_empty());
    assert!(services.report(&healthy(), NOW, None, &|| true).is_none(), "nobody waits");
}
