use bellwether_platform::tls::{Agreed, Certificate};

use super::*;

/// A plain request.
pub(crate) fn http(url: &str) -> HttpPlan {
    HttpPlan {
        url: Url::parse(url).unwrap(),
        method: Method::GET,
        headers: Vec::new(),
        body: String::new(),
        follow_redirects: true,
        body_bytes_max: 1 << 20,
        expect: Expect::default(),
    }
}

/// A target that is asked plainly.
pub(crate) fn target(url: &str) -> TargetPlan {
    TargetPlan {
        labels: LabelSet::new([("job", "blackbox"), ("instance", url)]).unwrap(),
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(10),
        address: AddressPlan { preferred: Family::V6, fallback: true },
        tls: TlsPlan { files: ClientFiles::default(), trust: Trust::Verified, server_name: None },
        ask: Ask::Http(Box::new(http(url))),
    }
}

fn certificate(subject: &str, not_after: i64) -> Certificate {
    let mut certificate = Certificate::default();
    certificate.subject = subject.to_owned();
    certificate.issuer = "CN=authority".to_owned();
    certificate.serial = "1f".to_owned();
    certificate.names = vec!["a".to_owned(), "b".to_owned()];
    certificate.not_after = not_after;
    certificate
}

/// A good answer over TLS.
pub(crate) fn answered() -> Sight {
    let phase = Duration::from_millis;
    Sight {
        took: phase(21),
        lookup: phase(1),
        address: Some("127.0.0.1".parse().unwrap()),
        tls: Some(Seen {
            chain: vec![certificate("CN=a", 2000), certificate("CN=b", 1000)],
            fingerprint: "00ff".to_owned(),
            chain_expiry: Some(900),
            agreed: Some(Agreed {
                version: "TLS 1.3",
                cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
                http2: false,
            }),
        }),
        failure: None,
        http: Some(HttpSight {
            phases: Phases {
                resolve: phase(1),
                connect: phase(2),
                tls: phase(3),
                processing: phase(4),
                transfer: Duration::from_nanos(5_000_900),
            },
            answer: Some(Answer {
                status: 200,
                version: HttpVersion(11),
                content_length: None,
                last_modified: Some(784_111_777),
                over_tls: true,
            }),
            redirects: 1,
            body_bytes: 5,
        }),
    }
}

/// The series as lines of a page.
fn lines(sight: &Sight) -> String {
    let samples = series::series(sight, Duration::from_secs(10));
    let line = |sample: &series::ProbeSample| {
        let labels = sample.labels.iter().map(|(name, value)| (*name, value.as_str()));
        let labels = LabelSet::new(labels).unwrap().to_string();
        format!("{}{} {}\n", sample.family.name, labels.replace("{}", ""), sample.value)
    };
    samples.iter().map(line).collect()
}

#[test]
fn series_of_an_answer_over_tls() {
    insta::assert_snapshot!(lines(&answered()));
}

#[test]
fn series_of_a_target_that_does_not_answer() {
    let plan = target("http://a/");
    let mut sight = Sight::none(&plan.ask);
    sight.failure = Some(Failure::new("connection refused"));
    insta::assert_snapshot!(lines(&sight));
}

#[test]
fn an_expiry_is_told_of_a_certificate_that_is_not_trusted() {
    let mut sight = answered();
    let tls = sight.tls.as_mut().unwrap();
    (tls.agreed, tls.chain_expiry) = (None, None);
    sight.http = Some(HttpSight::default());
    sight.failure = Some(Failure::by_pattern("x"));
    let lines = lines(&sight);
    assert!(lines.contains("probe_ssl_earliest_cert_expiry 1000\n"), "{lines}");
    assert!(lines.contains("probe_failed_due_to_regex 1\n"), "{lines}");
    assert!(!lines.contains("tls_version") && !lines.contains("chain"), "{lines}");
    // What a redirect's server has shown is not told of an answer without TLS.
    let mut plain = answered();
    plain.http.as_mut().unwrap().answer.as_mut().unwrap().over_tls = false;
    assert!(!super::tests::lines(&plain).contains("probe_tls_version_info"));
}

#[test]
fn what_a_certificate_says_is_cut_at_a_bound() {
    let mut sight = answered();
    sight.tls.as_mut().unwrap().chain[0].subject = "é".repeat(3000);
    let samples = series::series(&sight, Duration::ZERO);
    let longest = samples.iter().flat_map(|s| &s.labels).map(|(_, value)| value.len()).max();
    assert_eq!(longest, Some(1024));
}

#[test]
fn the_labels_of_a_probe_s_series_are_listed() {
    let samples = series::series(&answered(), Duration::ZERO);
    let labels = samples.iter().flat_map(|sample| &sample.labels).map(|(name, _)| *name);
    let labels: std::collections::BTreeSet<&str> = labels.collect();
    assert!(labels.into_iter().eq(series::LABELS));
}

#[test]
fn families_of_probes_are_gauges_with_help() {
    for family in series::FAMILIES {
        assert!(family.name.starts_with("probe_") && family.help.ends_with('.'), "{family:?}");
    }
}

#[test]
fn probes_of_many_targets_are_spread_over_their_interval() {
    let of = |plan: &TargetPlan| crate::pure::ticks::phase(&plan.labels, plan.interval);
    let phases: Vec<u128> =
        (1..=1000).map(|n| of(&target(&format!("http://10.0.0.1:{n}/"))).as_millis()).collect();
    for second in 0..15 {
        let within = phases.iter().filter(|phase| **phase / 1000 == second).count();
        assert!((30..110).contains(&within), "{within} of 1000 in second {second}");
    }
    let early = phases.iter().filter(|phase| **phase % 1000 < 375).count();
    assert!((400..600).contains(&early), "{early}");
    assert!(phases.iter().all(|phase| phase % 1000 < 750));
}
