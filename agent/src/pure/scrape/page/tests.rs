use bellwether_model::relabel::Action;

use super::*;
use crate::pure::scrape::target::target;
use crate::pure::scrape::target::tests::{job, rule};
use crate::pure::scrape::{JobPlan, Limits};

/// A reader of pages of the target `a:1`.
fn scan(change: impl FnOnce(&mut JobPlan)) -> Scan {
    let mut job = job();
    change(&mut job);
    let group = [("zone".to_owned(), "z1".to_owned())];
    Scan::new(Arc::new(target(&Arc::new(job), "a:1", &group).unwrap().unwrap()))
}

fn page(body: &str) -> Page<'_> {
    Page { body: body.as_bytes(), format: Format::Text, version: None }
}

fn open(body: &str) -> Page<'_> {
    Page { format: Format::OpenMetrics, ..page(body) }
}

/// The series of a page as Prometheus would show them, in their order.
fn series(scan: &mut Scan, page: &Page<'_>) -> Vec<String> {
    let (_, result) = scan.read(page);
    let values = match result {
        Ok(values) => values,
        Err(failure) => return vec![format!("{:?}: {}", failure.reason, failure.words)],
    };
    let shared = scan.target.shared.clone();
    let shown = |(column, value): (&Arc<ColumnSpec>, &f64)| {
        let labels = shared.overlaid(&column.labels).unwrap().without("environment");
        let labels = labels.without("instance").without("job").without("zone");
        let start = column.start.map_or_else(String::new, |start| format!(" from {}", start.0));
        format!("{labels} {value} {}{start}", column.kind.as_str())
    };
    values.layout.iter().zip(&values.values).map(shown).collect()
}

fn labels(scan: &mut Scan, body: &str) -> Vec<String> {
    let (_, result) = scan.read(&page(body));
    let shared = scan.target.shared.clone();
    let all = |column: &Arc<ColumnSpec>| shared.overlaid(&column.labels).unwrap().to_string();
    result.unwrap().layout.iter().map(all).collect()
}

#[test]
fn a_page_that_differs_in_values_only_keeps_its_layout() {
    let mut scan = scan(|_| {});
    let body = "# TYPE a counter\na{b=\"1\"} 1\na{b=\"2\"} 2 77\n# TYPE g gauge\ng NaN\n";
    let (counts, first) = scan.read(&page(body));
    let expected = Counts { scraped: 3, kept: 3, added: 3, times: 1, ..Counts::default() };
    assert_eq!(counts, expected);
    let next = body.replace(" 1\n", " 5e3\n").replace("NaN", "-Inf");
    let (counts, second) = scan.read(&page(&next));
    assert_eq!(counts, Counts { added: 0, ..expected });
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(Arc::ptr_eq(&first.layout, &second.layout));
    assert_eq!(second.values, [5000.0, 2.0, f64::NEG_INFINITY]);
    // One more series: what was known is taken over.
    let (counts, third) = scan.read(&page(&format!("{next}h 1\n")));
    let third = third.unwrap();
    assert_eq!((counts.added, third.values.len()), (1, 4));
    let same = first.layout.iter().zip(third.layout.iter());
    assert!(same.into_iter().all(|(one, other)| Arc::ptr_eq(one, other)));
    // Another type or help is another column.
    let (_, other) = scan.read(&page(&next.replace("counter", "gauge")));
    assert_eq!(other.unwrap().layout[0].kind, MetricType::Gauge);
}

#[test]
fn labels_of_the_page_give_way_or_stand() {
    let body = "a{instance=\"i\",job=\"\",exported_instance=\"e\",x=\"\"} 1\n";
    assert_eq!(
        labels(&mut scan(|_| {}), body),
        [
            r#"a{environment="production",exported_exported_instance="i",exported_instance="e",instance="a:1",job="j",zone="z1"}"#
        ]
    );
    let mut honoring = scan(|job| job.reading.honor_labels = true);
    assert_eq!(
        labels(&mut honoring, body),
        [r#"a{environment="production",exported_instance="e",instance="i",zone="z1"}"#]
    );
    let body = "a{environment=\"staging\",zone=\"z1\"} 1\n";
    assert_eq!(
        labels(&mut scan(|_| {}), body),
        [r#"a{environment="staging",exported_zone="z1",instance="a:1",job="j",zone="z1"}"#]
    );
}

#[test]
fn rules_drop_and_rename_and_what_they_drop_is_counted() {
    let mut scan = scan(|job| {
        job.reading.relabel = vec![
            rule(Action::Drop, &[("from", "__name__"), ("re", "go_.*")]),
            rule(Action::Replace, &[("from", "path"), ("re", "/v1/(.*)"), ("to", "call")]),
            rule(Action::LabelDrop, &[("re", "path|instance")]),
        ];
    });
    let body = "go_a 1\nhits{path=\"/v1/buy\"} 2\ngo_b 3\nhits{path=\"/v2\"} 4\n";
    assert_eq!(
        labels(&mut scan, body),
        [
            r#"hits{call="buy",environment="production",job="j",zone="z1"}"#,
            r#"hits{environment="production",job="j",zone="z1"}"#
        ]
    );
    let (counts, values) = scan.read(&page(&body.replace(" 3", " 9").replace(" 4", " 7")));
    assert_eq!((counts.scraped, counts.kept, counts.added), (4, 2, 0));
    assert_eq!(values.unwrap().values, [2.0, 7.0]);
}

#[test]
fn the_first_of_two_samples_counts() {
    let mut scan = scan(|job| {
        job.reading.relabel = vec![rule(Action::LabelDrop, &[("re", "n")])];
    });
    let body = "a{n=\"1\"} 1\nb 2\na{n=\"2\"} 3\nb 4\nb 5\n";
    for _ in 0..2 {
        let (counts, values) = scan.read(&page(body));
        assert_eq!((counts.scraped, counts.kept, counts.duplicates), (5, 5, 3));
        assert_eq!(values.unwrap().values, [1.0, 2.0]);
    }
}

#[test]
fn what_is_no_page_or_exceeds_a_limit_fails_whole() {
    let limits = Limits { samples: 2, labels: 5, name_bytes: 8, value_bytes: 6 };
    let mut scan = scan(|job| {
        job.reading.limits = limits;
        job.reading.relabel = vec![rule(Action::Drop, &[("from", "__name__"), ("re", "drop")])];
    });
    for (body, words) in [
        ("a 1\nb 2\nc 3\ndrop 1\n", "Limit: the page has more than 2 samples after relabelling"),
        ("a{b=\"\",c=\"1\",d=\"2\"} 1\n", "Limit: a exceeds label_limit: 6, not 5 at most"),
        ("a{b23456789=\"\"} 1\n", "a 1 untyped"),
        ("a{b23456789=\"x\"} 1\n", "Limit: a exceeds label_name_length_limit: 9, not 8 at most"),
        ("a{b=\"1234567\"} 1\n", "Limit: a exceeds label_value_length_limit: 7, not 6 at most"),
        ("<html>\n", "Malformed: line 1, column 1: expected a metric name"),
        ("a{b=\"1\",b=\"2\"} 1\n", "Malformed: a has a label twice"),
        ("a{__name__=\"2\"} 1\n", "Malformed: a has a label twice"),
    ] {
        assert_eq!(series(&mut scan, &page(body)), [words], "{body}");
    }
    let (counts, _) = scan.read(&page("a 1\nb 2\nc 3\ndrop 1\n"));
    assert_eq!((counts.scraped, counts.kept), (4, 3), "as Prometheus tells it");
    assert_eq!(series(&mut scan, &page("a 1\ndrop 2\n")), ["a 1 untyped"], "and then it goes on");
    let unnamed = rule(Action::Replace, &[("to", "__name__"), ("by", "")]);
    let mut scan = self::scan(|job| job.reading.relabel = vec![unnamed]);
    let words = "Malformed: relabelling has left a without a name";
    assert_eq!(series(&mut scan, &page("a 1\n")), [words]);
    let long = "x".repeat(5000);
    let mut scan = self::scan(|_| {});
    let (counts, values) = scan.read(&page(&format!("a{{b=\"{long}\"}} 1\nb 2\n")));
    assert_eq!((counts.kept, counts.refused, values.unwrap().values), (2, 1, vec![2.0]));
}

#[test]
fn created_samples_are_the_start_of_their_counters() {
    let mut scan = scan(|_| {});
    let body = "# TYPE a counter\na_total{x=\"1\"} 5\na_created{x=\"1\"} 1000.5\na_total{x=\"2\"} 6\n\
                # TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\nh_created 7\n# EOF\n";
    let first = [
        r#"a_total{x="1"} 5 counter from 1000500"#,
        r#"a_created{x="1"} 1000.5 counter"#,
        r#"a_total{x="2"} 6 counter"#,
        r#"h_bucket{le="+Inf"} 1 histogram from 7000"#,
        "h_sum 2 histogram from 7000",
        "h_count 1 histogram from 7000",
        "h_created 7 histogram",
    ];
    assert_eq!(series(&mut scan, &open(body)), first);
    let (_, same) = scan.read(&open(&body.replace(" 5\n", " 8\n")));
    let later = body.replace("1000.5", "2000");
    assert_eq!(series(&mut scan, &open(&later))[0], r#"a_total{x="1"} 5 counter from 2000000"#);
    let (_, after) = scan.read(&open(&later));
    assert!(!Arc::ptr_eq(&same.unwrap().layout, &after.unwrap().layout));
}

/// The change of version that a page makes, and the version of its first series.
fn changed(scan: &mut Scan, page: &Page<'_>) -> (Option<VersionChange>, Option<String>) {
    let values = scan.read(page).1.unwrap();
    (values.change, values.layout[0].labels.get(VERSION).map(str::to_owned))
}

#[test]
fn a_version_is_put_on_what_has_none() {
    let build = VersionPlan::BuildInfo { metric: "build".into(), label: "v".into() };
    let mut scan = scan(|job| job.reading.version = Some(build));
    let body = "hits_total{version=\"own\"} 1\nhits_total 2\nbuild{v=\" 1.2 \"} 1\n";
    let found = [
        r#"hits_total{version="own"} 1 untyped"#,
        r#"hits_total{version="1.2"} 2 untyped"#,
        r#"build{v=" 1.2 ",version="1.2"} 1 untyped"#,
    ];
    assert_eq!(series(&mut scan, &page(body)), found);
    assert_eq!(series(&mut scan, &page("a 1\n")), ["a 1 untyped"]);
    let bad = format!("build{{v=\"{}\"}} 1\n", "x".repeat(300));
    let words = "Local: the version is no label of 256 bytes at most";
    assert_eq!(series(&mut scan, &page(&bad)), [words]);

    let label = VersionPlan::Label("release".into());
    let mut scan = self::scan(|job| job.reading.version = Some(label));
    let found = [r#"a{version="7"} 1 untyped"#, r#"b{release="8",version="9"} 1 untyped"#];
    let body = "a{release=\"7\"} 1\nb{release=\"8\",version=\"9\"} 1\n";
    assert_eq!(series(&mut scan, &page(body)), found);
}

#[test]
fn a_change_of_version_is_told_from_a_restart() {
    let header = || VersionPlan::Header("x-version".parse().unwrap());
    let mut scan = scan(|job| job.reading.version = Some(header()));
    let body = "# TYPE hits_total counter\nhits_total 50\nprocess_start_time_seconds 7\n";
    let at = |body, version| Page { version, ..page(body) };
    let version = |version: &str| Some(version.to_owned());
    assert_eq!(changed(&mut scan, &at(body, Some("1"))), (None, version("1")));
    assert_eq!(changed(&mut scan, &at(body, Some("1"))), (None, version("1")));
    let unclear = (Some(VersionChange::Unclear), version("2"));
    assert_eq!(changed(&mut scan, &at(body, Some("2"))), unclear, "the same process, it seems");
    let fell = body.replace("50", "3");
    let restarted = |v| (Some(VersionChange::Restarted), version(v));
    assert_eq!(changed(&mut scan, &at(&fell, Some("3"))), restarted("3"));
    let later = body.replace(" 7\n", " 8\n");
    assert_eq!(changed(&mut scan, &at(&later, Some("4"))), restarted("4"));
    assert_eq!(changed(&mut scan, &at(&later, None)), (None, None), "it tells none any more");
    assert_eq!(changed(&mut scan, &at(&later, Some("5"))), (None, version("5")));

    let mut scan = self::scan(|job| job.reading.version = Some(VersionPlan::Label("v".into())));
    let body = "# TYPE hits_total counter\nhits_total{v=\"1\"} 50\n";
    assert_eq!(changed(&mut scan, &page(body)).0, None);
    let next = body.replace("\"1\"} 50", "\"2\"} 1");
    assert_eq!(changed(&mut scan, &page(&next)).0, Some(VersionChange::Restarted));
    let both = format!("{next}hits_total{{v=\"3\"}} 1\n");
    assert_eq!(changed(&mut scan, &page(&both)).0, None, "one of two goes on");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is followed gives what a new reader gives.
        #[test]
        fn following_pages_is_reading_each_anew(
            pages in prop::collection::vec(
                prop::collection::vec(("[ab]", "[xy]?", 0_u8..5), 0..6), 1..6,
            ),
        ) {
            let mut one = scan(|_| {});
            for lines in pages {
                let line = |(name, label, value): &(String, String, u8)| {
                    format!("{name}{{l=\"{label}\"}} {value}\n")
                };
                let body: String = lines.iter().map(line).collect();
                let (counts, followed) = one.read(&page(&body));
                let (anew, fresh) = scan(|_| {}).read(&page(&body));
                let (followed, fresh) = (followed.unwrap(), fresh.unwrap());
                prop_assert_eq!(&followed.values, &fresh.values);
                prop_assert_eq!(&followed.layout[..], &fresh.layout[..]);
                prop_assert_eq!(Counts { added: anew.added, ..counts }, anew);
            }
        }
    }
}
