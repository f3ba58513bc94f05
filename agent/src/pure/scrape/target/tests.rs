use std::collections::BTreeMap;

use bellwether_model::relabel::{Action, Rule, RuleSpec};
use bellwether_platform::dial::{Scheme, Way};
use bellwether_platform::tls::{ClientFiles, Trust};

use super::*;
use crate::pure::scrape::{Fetch, Limits, Reading};

/// A job of which nothing is said.
pub(crate) fn job() -> JobPlan {
    JobPlan {
        name: "j".to_owned(),
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(10),
        scheme: Scheme::Http,
        path: "/metrics".to_owned(),
        params: BTreeMap::new(),
        groups: Vec::new(),
        files: Vec::new(),
        relabel: Vec::new(),
        target_limit: 0,
        reading: Reading {
            honor_labels: false,
            relabel: Vec::new(),
            limits: Limits::default(),
            version: None,
            external: LabelSet::new([("environment", "production")]).unwrap(),
            mark: 0,
        },
        fetch: Fetch {
            files: ClientFiles::default(),
            trust: Trust::Verified,
            server_name: None,
            way: Way::Direct,
            authorization: None,
            follow_redirects: true,
            body_bytes_max: 1 << 20,
        },
    }
}

/// A rule, as `key=value` after its action.
pub(crate) fn rule(action: Action, keys: &[(&str, &str)]) -> Rule {
    let get = |key: &str| {
        let found = keys.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| (*value).to_owned())
    };
    let sources = get("from").unwrap_or_default();
    let spec = RuleSpec {
        action,
        source_labels: sources.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
        separator: None,
        regex: get("re"),
        target_label: get("to"),
        replacement: get("by"),
        modulus: None,
    };
    Rule::new(&spec).unwrap()
}

fn found(job: JobPlan, address: &str, labels: &[(&str, &str)]) -> Result<ScrapeTarget, String> {
    let labels: Vec<(String, String)> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let target = target(&Arc::new(job), address, &labels)?;
    Ok(target.expect("relabelling drops it"))
}

#[test]
fn a_target_has_the_labels_and_the_url_that_prometheus_gives_it() {
    let plain = found(job(), "a:9100", &[("team", "x")]).unwrap();
    assert_eq!(plain.labels.to_string(), r#"{instance="a:9100",job="j",team="x"}"#);
    assert_eq!(plain.url.to_string(), "http://a:9100/metrics");
    assert_eq!((plain.interval.as_secs(), plain.timeout.as_secs()), (15, 10));
    let all = r#"{environment="production",instance="a:9100",job="j",team="x"}"#;
    assert_eq!((plain.shown.to_string(), plain.shared.to_string()), (all.into(), all.into()));

    let params = [("module", vec!["http_2xx", "b c"]), ("x", vec!["1"])];
    let params = params
        .map(|(key, values)| (key.to_owned(), values.into_iter().map(str::to_owned).collect()));
    let relabel = vec![
        rule(Action::Replace, &[("from", "__address__"), ("to", "__param_target")]),
        rule(Action::Replace, &[("from", "__param_target"), ("to", "instance")]),
        rule(Action::Replace, &[("to", "__address__"), ("by", "prober:9115")]),
        rule(Action::Replace, &[("to", "__scheme__"), ("by", "https")]),
        rule(Action::Replace, &[("to", "__metrics_path__"), ("by", "probe")]),
        rule(Action::Replace, &[("to", "__scrape_interval__"), ("by", "1m")]),
        rule(Action::Replace, &[("to", "__tmp"), ("by", "gone")]),
        rule(Action::LabelMap, &[("re", "__meta_(file)path"), ("by", "$1")]),
    ];
    let probing = JobPlan { params: BTreeMap::from(params), relabel, ..job() };
    let probed = found(probing, "shop.example", &[("__meta_filepath", "t.yml")]).unwrap();
    assert_eq!(probed.labels.to_string(), r#"{file="t.yml",instance="shop.example",job="j"}"#);
    assert_eq!(
        probed.url.to_string(),
        "https://prober:9115/probe?module=http_2xx&module=b+c&target=shop.example&x=1"
    );
    assert_eq!(probed.interval.as_secs(), 60);
    // A group's labels stand over the job's.
    let own = found(job(), "a:1", &[("job", "mine"), ("__metrics_path__", "/m?a=b")]).unwrap();
    assert_eq!(own.labels.get("job"), Some("mine"));
    assert_eq!(own.url.to_string(), "http://a:1/m?a=b");
}

#[test]
fn what_cannot_be_scraped_says_why() {
    let set = |name: &str, value: &str| JobPlan {
        relabel: vec![rule(Action::Replace, &[("to", name), ("by", value)])],
        ..job()
    };
    for (job, words) in [
        (set("__address__", ""), "it has no address"),
        (set("__address__", "http://a/b"), "\"http://a/b\" is not HOST:PORT"),
        (set("__address__", "a b"), "\"http://a b/metrics\" is no URL that can be asked"),
        (set("__scheme__", "ftp"), "\"ftp://a:1/metrics\" is no URL that can be asked"),
        (set("__scrape_interval__", "soon"), "__scrape_interval__ is \"soon\""),
        (set("__scrape_interval__", "1500ms"), "its interval must be whole seconds"),
        (set("__scrape_timeout__", "20s"), "its timeout is longer than its interval"),
        (set("long", &"x".repeat(5000)), "longer than 4096 bytes"),
    ] {
        let error = found(job, "a:1", &[]).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let drops = JobPlan { relabel: vec![rule(Action::Drop, &[])], ..job() };
    assert!(target(&Arc::new(drops), "a:1", &[]).unwrap().is_none());
    let twice =
        TargetGroup { targets: vec!["a:1".into(), "a:1".into(), "b:1".into()], labels: Vec::new() };
    let all = targets(&Arc::new(job()), [&twice, &twice]);
    assert_eq!((all.targets.len(), all.wrong.len()), (2, 0));
}

#[test]
fn a_group_shares_what_no_rule_can_take_away() {
    let shared = |change: fn(&mut Reading)| {
        let mut job = job();
        change(&mut job.reading);
        found(job, "a:1", &[]).unwrap().shared.to_string()
    };
    let all = r#"{environment="production",instance="a:1",job="j"}"#;
    let few = r#"{environment="production"}"#;
    assert_eq!(shared(|_| {}), all);
    let drop = |r: &mut Reading| r.relabel.push(rule(Action::LabelDrop, &[("re", "go_.*")]));
    assert_eq!(shared(drop), all);
    let drop = |r: &mut Reading| r.relabel.push(rule(Action::LabelDrop, &[("re", "inst.*")]));
    assert_eq!(shared(drop), few);
    assert_eq!(shared(|r| r.honor_labels = true), few);
}
