use bellwether_platform::principal::{Scope, Scopes, TokenHash, TokenSource};

use super::*;
use crate::pure::guard::plan::HookPlan;
use crate::pure::keeper::REQUESTS_PER_AGENT;

const HASH: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn around() -> Surroundings {
    Surroundings {
        data_dir: "/var/lib/bellwether".into(),
        environment: [("SITE".to_owned(), "north".to_owned())].into(),
    }
}

fn plan(text: &str) -> Plan {
    match read("collector.yaml", text, &around(), &Overrides::default()) {
        Ok((plan, warnings)) if warnings.is_empty() => plan,
        Ok((_, warnings)) => panic!("{warnings}"),
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn an_empty_file_is_a_whole_plan() {
    let plan = plan("");
    assert_eq!(plan.listen.to_string(), "127.0.0.1:9797");
    assert_eq!(plan.data_dir, PathBuf::from("/var/lib/bellwether"));
    assert!(plan.principals.is_empty());
    assert_eq!(plan.anonymous, Anonymous::ReadsOnLoopback);
    assert_eq!(plan.store.retention, Duration::from_secs(48 * 3600));
    assert_eq!((plan.store.series_max, plan.store.bytes_max), (1_000_000, 1 << 40));
    assert_eq!(plan.keeper, KeeperLimits::default());
    assert_eq!(plan.queries, QueryLimits::default());
    assert!(plan.external_labels.is_empty());
}

#[test]
fn everything_can_be_said() {
    let plan = plan(&format!(
        "listen: '[::1]:1'\n\
         data_dir: /srv/b\n\
         principals:\n  agents: {{token_file: /etc/t, scopes: [ingest]}}\n  \
         people: {{token_hash: '{HASH}', scopes: [read, admin]}}\n\
         store: {{retention: 1h, series_max: 5000, bytes_max: 1GiB}}\n\
         limits: {{series_per_agent: 100, agents: 3, query_samples: 7, query_timeout: 5s, \
         queries: 2}}\n\
         external_labels: {{site: '${{SITE}}'}}\n"
    ));
    assert_eq!(plan.listen.to_string(), "[::1]:1");
    assert_eq!(plan.data_dir, PathBuf::from("/srv/b"));
    let found: Vec<_> = plan.principals.iter().map(|p| (p.name.as_str(), p.scopes)).collect();
    let scopes = |scopes: &[Scope]| scopes.iter().copied().collect::<Scopes>();
    let expected =
        [("agents", scopes(&[Scope::Ingest])), ("people", scopes(&[Scope::Read, Scope::Admin]))];
    assert_eq!(found, expected);
    let tokens: Vec<_> = plan.principals.into_iter().map(|p| p.token).collect();
    let hash: TokenHash = HASH.parse().unwrap();
    assert_eq!(tokens, [TokenSource::File("/etc/t".into()), TokenSource::Hash(hash)]);
    assert_eq!(plan.anonymous, Anonymous::Nothing, "somebody is named who reads");
    let hour = Duration::from_secs(3600);
    assert_eq!(
        (plan.store.retention, plan.store.series_max, plan.store.bytes_max),
        (hour, 5000, 1 << 30)
    );
    let limits = KeeperLimits {
        series_per_agent: 100,
        agents: 3,
        retention: hour,
        requests_per_agent: REQUESTS_PER_AGENT,
    };
    assert_eq!(plan.keeper, limits);
    let queries = QueryLimits { samples_max: 7, timeout: Duration::from_secs(5), at_once: 2 };
    assert_eq!(plan.queries, queries);
    assert_eq!(plan.external_labels.to_string(), r#"{site="north"}"#);
}

#[test]
fn services_and_hooks_are_named() {
    let text = "services: {files: [services.d, /etc/x/*.yaml]}\n\
                hooks:\n  \
                switch: {webhook: {url: 'https://h/x', secret_file: /k, bearer_token_file: /t, \
                timeout: 3s}}\n  \
                site: {runner: {secret_file: /k}}\n";
    let around = around();
    let (plan, _) = read("/etc/b/collector.yaml", text, &around, &Overrides::default()).unwrap();
    let files: Vec<PathBuf> = vec!["/etc/b/services.d".into(), "/etc/x/*.yaml".into()];
    assert_eq!(plan.services.files, files);
    let names: Vec<_> = plan.hooks.names().into_iter().collect();
    assert_eq!(names, ["site".into(), "switch".into()]);
    let HookPlan::Webhook { endpoint, secrets } = &**plan.hooks.get("switch").unwrap() else {
        panic!("no webhook")
    };
    assert_eq!((endpoint.timeout, secrets.len()), (Duration::from_secs(3), 1));
    assert!(matches!(&**plan.hooks.get("site").unwrap(), HookPlan::Runner { .. }));
}

#[test]
fn agents_alone_leave_reading_on_loopback() {
    let plan = plan("principals: {agents: {token_file: /t, scopes: [ingest]}}\n");
    assert_eq!(plan.anonymous, Anonymous::ReadsOnLoopback);
}

#[test]
fn beyond_loopback_there_is_tls_and_a_principal() {
    let tls = "tls: {cert_file: /c.pem, key_file: /k.pem}\n";
    let principals = "principals: {agents: {token_file: /t, scopes: [ingest]}}\n";
    let over = Overrides { listen: Some(([0, 0, 0, 0], 9797).into()), ..Overrides::default() };
    for (text, good) in [
        (String::new(), false),
        (tls.to_owned(), false),
        (principals.to_owned(), false),
        (format!("{tls}{principals}"), true),
    ] {
        let by_flag = read("f", &text, &around(), &over);
        assert_eq!(by_flag.is_ok(), good, "{text}");
        let text = format!("listen: 0.0.0.0:9797\n{text}");
        let by_file = read("f", &text, &around(), &Overrides::default());
        assert_eq!(by_file.is_ok(), good, "{text}");
        if let (Err(by_flag), Err(by_file)) = (by_flag, by_file) {
            assert!(by_flag.to_string().contains("--listen is reachable from other"), "{by_flag}");
            assert_eq!((by_flag.len(), by_file.len()), (1, 1));
        }
    }
    let files = plan(tls).tls.unwrap();
    assert_eq!(files.identity.cert, PathBuf::from("/c.pem"));
    assert_eq!((files.identity.key, files.client_ca), ("/k.pem".into(), None));
    let problems = read("f", "tls: {cert: /c}\n", &around(), &Overrides::default()).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems}");
}

#[test]
fn flags_stand_over_the_file() {
    let over = Overrides { data_dir: Some("/x".into()), listen: Some(([127, 0, 0, 1], 0).into()) };
    let text = "data_dir: /y\nlisten: '127.0.0.1:1'\n";
    let (plan, _) = read("f", text, &around(), &over).unwrap();
    assert_eq!((plan.data_dir, plan.listen.port()), ("/x".into(), 0));
}

#[test]
fn every_problem_is_shown_with_its_line() {
    let text = "listen: 0.0.0.0:9797\n\
                data_dirr: /x\n\
                principals:\n  \
                agents: {token_file: /t, token_hash: 'sha256:00', scopes: [ingest, write]}\n  \
                ops: {token: hunter2hunter2hunter2, scopes: []}\n  \
                '': {token_file: /t}\n\
                store: {retention: 90d, series_max: 1, bytes_max: 5}\n\
                limits: {agents: none}\n\
                external_labels: {9a: b, __x: y, site: '${NOWHERE}'}\n\
                rules: [rules.d/*.yaml]\n\
                services:\n  web: {owner: me}\n\
                environments: {production: {mode: act}}\n\
                policies: {a: b}\n\
                hooks:\n  \
                'a b': {runner: {secret_file: /k}}\n  \
                both: {runner: {}, webhook: {url: 'https://h/x', secret: whsec_hunter2}}\n  \
                none: {}\n\
                notify: later\n";
    let problems = read("collector.yaml", text, &around(), &Overrides::default()).unwrap_err();
    let shown = problems.to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn files_are_told_apart_by_their_keys() {
    for (file, text, expected) in [
        ("x.yaml", "listen: a\n", FileKind::Collector),
        ("x.yaml", "spool: {}\nlimits: {}\n", FileKind::Agent),
        ("x.yaml", "inputs: {}\n", FileKind::Agent),
        ("agent.yaml", "rules: []\n", FileKind::Collector),
        ("x.yaml", "limits: {}\n", FileKind::Collector),
        ("/etc/agent.yaml", "limits: {}\n", FileKind::Agent),
        ("/agent/collector.yaml", "", FileKind::Collector),
        ("x.yaml", ": : {", FileKind::Collector),
    ] {
        assert_eq!(kind(file, text), expected, "{file} {text:?}");
    }
}

#[test]
fn the_reference_has_every_key() {
    let docs = docs();
    let names: Vec<&str> = docs.iter().map(|doc| doc.name.as_str()).collect();
    for name in [
        "listen",
        "data_dir",
        "tls.cert_file",
        "tls.client_ca_file",
        "principals.<name>.token_file",
        "principals.<name>.scopes",
        "store.retention",
        "limits.series_per_agent",
        "external_labels",
        "services.files",
        "hooks.<name>.webhook.url",
        "hooks.<name>.runner.secret_file",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}
