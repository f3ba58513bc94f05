use bellwether_model::config::{Secret, SecretSource};

use super::super::tests::{plan as whole, problems};
use super::*;
use crate::pure::probe::address::Family;
use crate::pure::probe::{AddressPlan, HttpPlan, HttpVersion, TlsExpected};
use bellwether_platform::tls::Trust;

fn plans(section: &str) -> Vec<TargetPlan> {
    whole(&format!("labels: {{rack: '7'}}\ninputs:\n  probe:\n{section}")).probes
}

fn http(plan: &TargetPlan) -> &HttpPlan {
    match &plan.ask {
        Ask::Http(http) => http,
        Ask::Tcp(_) => panic!("of tcp"),
    }
}

#[test]
fn nothing_is_probed_unless_it_is_said() {
    assert!(whole("").probes.is_empty());
    assert!(whole("inputs: {probe: }\n").probes.is_empty());
}

#[test]
fn a_url_alone_is_probed_as_blackbox_exporter_does() {
    let plans = plans("    targets: [{url: 'http://a/b'}, {url: 'tcp://[::1]:22'}]\n");
    let [web, ssh] = &plans[..] else { panic!() };
    let labels =
        r#"{agent="web1",environment="production",instance="http://a/b",job="blackbox",rack="7"}"#;
    assert_eq!(web.labels.to_string(), labels);
    assert_eq!(ssh.labels.get("instance"), Some("[::1]:22"));
    assert_eq!((web.interval, web.timeout), (INTERVAL, TIMEOUT));
    assert_eq!(web.address, AddressPlan { preferred: Family::V6, fallback: true });
    assert_eq!(web.tls.trust, Trust::Verified);
    let ask = http(web);
    assert_eq!((ask.method.as_str(), ask.url.path.as_str()), ("GET", "/b"));
    assert!(ask.follow_redirects && ask.headers.is_empty() && ask.expect.status.is_empty());
    assert_eq!(ask.body_bytes_max, 1 << 20);
    let Ask::Tcp(tcp) = &ssh.ask else { panic!() };
    assert_eq!(*tcp, TcpPlan { host: "::1".to_owned(), port: 22, tls: false });
}

#[test]
fn modules_are_those_of_blackbox_exporter() {
    let plans = plans(
        "    interval: 1s\n    job: web\n    modules:\n      \
         all:\n        prober: http\n        timeout: 5s\n        http:\n          \
         method: POST\n          body: '{}'\n          headers: {Host: x, X-Key: s3cret}\n          \
         header_files: {X-Other: /etc/key}\n          bearer_token_file: /etc/token\n          \
         valid_status_codes: [200, 301-303, 5xx]\n          valid_http_versions: [HTTP/1.1, HTTP/2.0]\n          \
         fail_if_not_ssl: true\n          follow_redirects: false\n          body_size_limit: 8KiB\n          \
         fail_if_body_matches_regexp: [bad, worse]\n          fail_if_body_not_matches_regexp: [good]\n          \
         fail_if_header_matches: [{header: Server, regexp: x, allow_missing: true}]\n          \
         fail_if_header_not_matches: [{header: Via, regexp: y}]\n          \
         preferred_ip_protocol: ip4\n          ip_protocol_fallback: false\n          \
         tls_config: {ca_file: /ca, server_name: n, insecure_skip_verify: true}\n      \
         tls: {prober: tcp, tcp: {tls: true}}\n      \
         quick: {timeout: 200ms}\n    \
         targets:\n      - {url: 'https://a', module: all}\n      \
         - {url: 'tcp://b:443', module: tls, interval: 30s, timeout: 20s, job: ports}\n      \
         - {url: 'http://c', module: quick, instance: c, labels: {team: x}}\n",
    );
    let [all, tls, quick] = &plans[..] else { panic!() };
    // The interval bounds the module's timeout, as a scrape's does.
    assert_eq!((all.interval, all.timeout), (Duration::from_secs(1), Duration::from_secs(1)));
    assert_eq!(all.address, AddressPlan { preferred: Family::V4, fallback: false });
    assert_eq!((all.tls.trust, all.tls.server_name.as_deref()), (Trust::Anyone, Some("n")));
    let ask = http(all);
    assert_eq!((ask.method.as_str(), ask.body.as_str(), ask.body_bytes_max), ("POST", "{}", 8192));
    let headers: Vec<_> = ask
        .headers
        .iter()
        .map(|header| (header.name.as_str(), header.prefix, header.is_private(), &header.value))
        .collect();
    let expected = [
        ("host", "", false, &Secret::text("x")),
        ("x-key", "", false, &Secret::text("s3cret")),
        ("x-other", "", true, &Secret::file("/etc/key")),
        ("authorization", "Bearer ", true, &Secret::file("/etc/token")),
    ];
    assert_eq!(headers, expected);
    assert!(!format!("{all:?}").contains("s3cret"));
    let expect = &ask.expect;
    assert_eq!(expect.status, [200..=200, 301..=303, 500..=599]);
    assert_eq!(expect.versions, [HttpVersion(11), HttpVersion(20)]);
    assert_eq!((expect.tls, ask.follow_redirects), (TlsExpected::Required, false));
    assert_eq!((expect.body_without.len(), expect.body_with.len()), (2, 1));
    assert!(expect.header_without[0].allow_missing && !expect.header_with[0].allow_missing);
    let Ask::Tcp(tcp) = &tls.ask else { panic!() };
    assert!(tcp.tls);
    assert_eq!((tls.timeout, tls.labels.get("job")), (Duration::from_secs(20), Some("ports")));
    assert_eq!(quick.timeout, Duration::from_millis(200));
    let labels = ["instance", "job", "team"].map(|name| quick.labels.get(name).unwrap());
    assert_eq!(labels, ["c", "web", "x"]);
}

#[test]
fn every_problem_of_the_section_is_named_with_its_place() {
    let found = problems(
        "inputs:\n  probe:\n    interval: 1500ms\n    modules:\n      \
         a:\n        prober: http\n        tcp: {tls: true}\n        timeout: 1h\n      \
         b:\n        http:\n          method: 'G T'\n          valid_status_codes: [20, 300-200, 9xx]\n          \
         valid_http_versions: [HTTP/3.0]\n          fail_if_ssl: true\n          fail_if_not_ssl: true\n          \
         headers: {'a b': x, Authorization: \"a\\nb\"}\n          bearer_token: t\n          \
         fail_if_body_matches_regexp: ['(']\n          fail_if_header_matches: [{header: 'x y', regexp: '['}, {}]\n          \
         body_size_limit: 1GiB\n          preferred_ip_protocol: ipv4\n          compression: gzip\n      \
         c: {prober: icmp}\n      t: {prober: tcp}\n    \
         targets:\n      - {url: 'ftp://a'}\n      - {url: 'tcp://a'}\n      - {url: 'http://u:p@a'}\n      \
         - {}\n      - {url: 'http://a', module: none}\n      - {url: 'http://a', module: t}\n      \
         - {url: 'http://a', interval: 1s, timeout: 2s}\n      - {url: 'http://b', instance: 'http://a'}\n      \
         - {url: 'http://c', interval: 10m, timeout: 1ms, labels: {job: x, 9a: y}}\n",
    );
    insta::assert_snapshot!(found);
}

#[test]
fn labels_of_the_probe_s_own_series_are_refused_where_they_stand() {
    let section = "inputs: {probe: {targets: [{url: 'http://a', labels: {phase: x, team: y}}]}}\n";
    let found = problems(&format!("labels: {{version: '7', rack: '7'}}\n{section}"));
    let help = "is a label of the series of probes (give it another name)";
    let expected = [("1:10", "version"), ("2:55", "phase")]
        .map(|(place, name)| format!("agent.yaml:{place}: error[cfg012]: `{name}` {help}"));
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    for name in LABELS {
        let target = format!("{{url: 'http://a', labels: {{{name}: x}}}}");
        let found = problems(&format!("inputs: {{probe: {{targets: [{target}]}}}}\n"));
        assert!(found.contains(help), "{name}: {found}");
    }
    assert!(whole("labels: {version: '7'}\n").probes.is_empty(), "where nothing is probed");
}

#[test]
fn a_header_s_value_is_in_no_diagnostic() {
    let text =
        "inputs: {probe: {modules: {a: {http: {headers: {X-Key: s3cret, 'b c': hidden}}}}}}\n";
    let found = problems(text);
    assert!(found.contains("`b c` is no name of a header"), "{found}");
    let around = super::super::Surroundings::default();
    let over = super::super::Overrides::default();
    let shown = super::super::read("f", text, &around, &over).unwrap_err().to_string();
    assert!(!shown.contains("s3cret") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn targets_are_bounded() {
    let many: String =
        (0..=TARGETS_MAX).map(|n| format!("{{url: 'http://a:{}'}},", n + 1)).collect();
    let found = problems(&format!("inputs: {{probe: {{targets: [{many}]}}}}\n"));
    assert!(found.contains("`targets` has more than 400 items"), "{found}");
}

#[test]
fn secrets_of_headers_may_be_read_at_each_use() {
    let plans = plans(
        "    modules: {m: {http: {bearer_token: abc}}}\n    targets: [{url: 'http://a', module: m}]\n",
    );
    let header = &http(&plans[0]).headers[0];
    assert!(header.is_private());
    assert!(matches!(header.value.reveal(), SecretSource::Text("abc")));
}
