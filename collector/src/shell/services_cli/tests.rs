use super::*;

fn report() -> ServicesReport {
    let version = |version: &str, requests_per_second| VersionReport {
        version: version.to_owned(),
        series: 4,
        targets: 2,
        requests_per_second,
        bad_per_second: 0.25,
    };
    let finding = |severity, code: &str, message: &str, help: Option<&str>| Finding {
        severity,
        code: code.to_owned(),
        message: message.to_owned(),
        help: help.map(str::to_owned),
    };
    let slow =
        finding(Severity::Warning, "slow", "read every 15 s", Some("scrape it every second"));
    let none = finding(Severity::Problem, "no_series", "no series is like x\u{1b}[2J", None);
    let hook = finding(Severity::Warning, "no_hook", "no hook is named", None);
    let sli = |name: &str, versions, findings: Vec<Finding>| SliReport {
        name: name.to_owned(),
        judgeable: findings.iter().all(|finding| finding.severity == Severity::Warning),
        series: 8,
        interval_seconds: Some(15.0),
        versions,
        findings,
    };
    let errors = sli("errors", vec![version("2.3.9", 180.04), version("2.4.0", 9.0)], vec![slow]);
    let latency =
        SliReport { interval_seconds: None, series: 0, ..sli("latency", vec![], vec![none]) };
    let environment = |name: &str, hook: Option<&str>, findings, slis| EnvironmentReport {
        name: name.to_owned(),
        mode: "act".to_owned(),
        risk_floor: "low".to_owned(),
        hook: hook.map(str::to_owned),
        judgeable: false,
        findings,
        slis,
    };
    let environments = vec![
        environment("production", Some("switch"), vec![], vec![errors, latency.clone()]),
        environment(
            "staging",
            None,
            vec![hook],
            vec![sli("errors", vec![version("3", 1.0)], vec![])],
        ),
    ];
    ServicesReport {
        services: vec![ServiceReport {
            name: "checkout".to_owned(),
            owner: "payments".to_owned(),
            runbook: Some("https://wiki/checkout".to_owned()),
            cost_key: None,
            version_label: "version".to_owned(),
            judgeable: false,
            environments,
        }],
    }
}

#[test]
fn services_stand_in_columns() {
    insta::assert_snapshot!(table(&report()));
    assert_eq!(table(&ServicesReport::default()).lines().count(), 1);
}

#[test]
fn a_service_is_shown_whole() {
    insta::assert_snapshot!(whole(&report().services[0]));
}
