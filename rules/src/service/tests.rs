use std::collections::BTreeSet;

use bellwether_model::config::Environment as Variables;
use bellwether_model::diagnostic::Diagnostics;

use super::histogram::spellings;
use super::*;

const CHECKOUT: &str = r#"service: checkout
owner: payments
runbook: https://wiki/checkout
mode: observe
hook: switch
slis:
  errors:
    total: http_requests_total{job="checkout"}
    bad: http_requests_total{job="checkout",code=~"5.."}
  latency:
    histogram: http_request_duration_seconds{job="checkout"}
    threshold: 300ms
stratum_label: route
environments:
  production: {mode: act, hook: switch-prod}
  staging: {}
cost_key: team-payments
"#;
const PRODUCTION_FILE: &str = "environment: production\nmode: advise\nrisk_floor: high\n\
                               match: {environment: production}\nalerts: {team: platform}\n";

fn file(name: &str, text: &str) -> ServiceFile {
    let (file, warnings) = read(name, text, &Variables::new()).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    file
}

fn service(text: &str) -> Arc<Service> {
    match file("s.yaml", text).described {
        Described::Service(service) => service,
        Described::Environment(_) => panic!("an environment"),
    }
}

fn hooks(names: &[&str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn shown(matchers: &[Matcher]) -> Vec<String> {
    matchers.iter().map(ToString::to_string).collect()
}

fn codes(problems: &Diagnostics) -> Vec<&'static str> {
    problems.iter().map(|problem| problem.code.name).collect()
}

#[test]
fn the_higher_the_risk_the_smaller_the_bound() {
    assert_eq!(Risk::ALL.map(Risk::alpha), [1e-2, 1e-3, 1e-3, 1e-4]);
    assert!(Risk::ALL.is_sorted());
    for (word, mode) in Mode::WORDS {
        assert_eq!(*word, mode.name());
    }
    for (word, risk) in Risk::WORDS {
        assert_eq!(*word, risk.name());
    }
}

#[test]
fn the_example_of_the_contract_is_read() {
    let service = service(CHECKOUT);
    assert_eq!((&*service.name, service.owner.as_str()), ("checkout", "payments"));
    assert_eq!(service.version_label, "version");
    assert_eq!(service.stratum_label.as_deref(), Some("route"));
    assert_eq!(service.environments["staging"], InEnvironment::default());
    let Sli::Bad { total, bad } = &service.slis["errors"] else { panic!("not counters") };
    assert_eq!(shown(total), [r#"job="checkout""#, r#"__name__="http_requests_total""#]);
    assert_eq!(shown(bad)[1], r#"code=~"5..""#);
    assert!(service.slis["errors"].buckets().is_none());
    let latency = &service.slis["latency"];
    assert_eq!(shown(latency.total())[1], r#"__name__="http_request_duration_seconds_count""#);
    let (buckets, le) = latency.buckets().unwrap();
    assert_eq!(shown(&buckets)[1], r#"__name__="http_request_duration_seconds_bucket""#);
    let texts = ["0.3", "0.30", "0.300"].map(str::to_owned);
    assert_eq!(le.set_of_values(), Some(&texts[..]));
}

#[test]
fn a_bound_is_met_as_each_exporter_writes_it() {
    for (bound, texts) in [
        (0.3, &["0.3", "0.30", "0.300"][..]),
        (0.125, &["0.125"]),
        (1.0, &["1", "1.0", "1.00", "1.000"]),
        (0.0005, &["0.0005", "5.0E-4"]),
        (0.00005, &["5e-05", "0.00005", "5.0E-5"]),
        (1e6, &["1e+06", "1000000", "1000000.0", "1000000.00", "1000000.000"]),
        (1.5e7, &["1.5e+07", "15000000", "15000000.0", "15000000.00", "15000000.000", "1.5E7"]),
        (1e22, &["1e+22", "1.0E22"]),
    ] {
        assert_eq!(spellings(bound), texts, "{bound}");
        assert!(texts.iter().all(|text| text.parse::<f64>() == Ok(bound)), "{bound}");
    }
    for (metric, threshold, le) in [
        ("x_seconds", "1m30s", "90"),
        ("x", "250ms", "0.25"),
        ("x_milliseconds", "300ms", "300"),
        ("x_ms", "2s", "2000"),
        ("x_seconds", "2.5", "2.5"),
        ("x_bytes", "1e6", "1000000"),
    ] {
        let text = format!(
            "service: s\nowner: o\nslis: {{a: {{histogram: '{metric}', threshold: {threshold}}}}}\n"
        );
        let service = service(&text);
        let (_, found) = service.slis["a"].buckets().unwrap();
        assert!(found.matches(le), "{metric} {threshold}: {found}");
        assert!(!found.matches("+Inf") && !found.matches("0x3"), "{found}");
    }
}

#[test]
fn a_place_lies_within_the_selector() {
    let text = "service: s\nowner: o\nslis:\n  a:\n    total: a_total{x=\"y\"}[5m]\n    \
                bad: a_total{version=\"1\"}\n";
    let problems = read("s.yaml", text, &Variables::new()).unwrap_err();
    let places: Vec<String> =
        problems.iter().map(|problem| problem.place.as_ref().unwrap().to_string()).collect();
    assert_eq!(codes(&problems), ["svc004", "svc006"], "{problems}");
    assert_eq!(places, ["s.yaml:5:26", "s.yaml:6:18"]);
}

#[test]
fn an_environment_bounds_what_a_service_says() {
    let files = vec![file("s.yaml", CHECKOUT), file("e.yaml", PRODUCTION_FILE)];
    let (catalogue, warnings) =
        Catalogue::build(files, Some(&hooks(&["switch", "switch-prod"]))).unwrap();
    assert_eq!(codes(&warnings), ["svc013"], "nobody describes staging: {warnings}");
    let production = catalogue.policy("checkout", "production").unwrap();
    assert_eq!((production.mode, production.risk_floor), (Mode::Advise, Risk::High));
    assert_eq!(production.hook.as_deref(), Some("switch-prod"));
    assert_eq!(shown(&production.matchers), [r#"environment="production""#]);
    assert_eq!(production.alert_labels.to_string(), r#"{team="platform"}"#);
    for other in ["staging", "elsewhere"] {
        let policy = catalogue.policy("checkout", other).unwrap();
        assert_eq!((policy.mode, policy.risk_floor), (Mode::Observe, Risk::Low));
        assert_eq!(policy.hook.as_deref(), Some("switch"));
        assert!(policy.matchers.is_empty());
    }
    assert!(catalogue.policy("check", "production").is_none());
    let service = &catalogue.services["checkout"];
    let names = catalogue.environments_of(service);
    assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["production", "staging"]);
}

#[test]
fn a_service_without_environments_is_in_those_there_are() {
    let text = "service: s\nowner: o\nslis: {a: {total: a_total, good: b_total}}\n";
    let (alone, _) = Catalogue::build(vec![file("s.yaml", text)], None).unwrap();
    let names = |catalogue: &Catalogue| {
        let names = catalogue.environments_of(&catalogue.services["s"]);
        names.iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&alone), [PRODUCTION]);
    let files = vec![file("s.yaml", text), file("e.yaml", "environment: canada\n")];
    let (beside, warnings) = Catalogue::build(files, None).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(names(&beside), ["canada"]);
}

#[test]
fn files_contradict_each_other_with_places() {
    let other = CHECKOUT.replace("version_label", "").replace("owner: payments", "owner: others");
    let fixing = "environment: production\nmatch: {route: /cart}\n";
    let files = vec![
        file("a.yaml", CHECKOUT),
        file("b.yaml", &other),
        file("e.yaml", fixing),
        file("p.yaml", PRODUCTION_FILE),
    ];
    let problems = Catalogue::build(files, Some(&hooks(&["switch-pro"]))).unwrap_err();
    insta::assert_snapshot!(problems.to_string());
}

#[test]
fn a_service_that_acts_needs_somebody_who_does() {
    let text = "service: s\nowner: o\nmode: act\nslis: {a: {total: a_total, good: b_total}}\n";
    let (_, warnings) = Catalogue::build(vec![file("s.yaml", text)], Some(&hooks(&[]))).unwrap();
    assert_eq!(codes(&warnings), ["svc014"]);
}

#[test]
fn there_are_bounds() {
    let one = |n: usize| {
        let text =
            format!("service: s{n}\nowner: o\nslis: {{a: {{total: a_total, bad: b_total}}}}\n");
        file(&format!("{n}.yaml"), &text)
    };
    let (catalogue, _) = Catalogue::build((0..SERVICES_MAX).map(one).collect(), None).unwrap();
    assert_eq!(catalogue.services.len(), SERVICES_MAX);
    let problems = Catalogue::build((0..=SERVICES_MAX).map(one).collect(), None).unwrap_err();
    assert_eq!(codes(&problems), ["svc015"]);
    let sli = |n: usize| format!("  a{n}: {{total: a_total, bad: b_total}}\n");
    let slis: String = (0..=SLIS_MAX).map(sli).collect();
    let text = format!("service: s\nowner: o\nslis:\n{slis}");
    assert_eq!(codes(&read("s", &text, &Variables::new()).unwrap_err()), ["svc015"]);
}

#[test]
fn the_reference_has_every_key() {
    let names: Vec<String> = docs().into_iter().map(|doc| doc.name).collect();
    for name in [
        "service",
        "owner",
        "slis.<name>.total",
        "slis.<name>.threshold",
        "environments.<name>.mode",
        "environment",
        "risk_floor",
        "alerts",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
}
