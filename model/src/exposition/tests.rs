use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::series::MetricType;
use crate::time::Timestamp;

fn printed(push: fn(&mut Vec<u8>, f64), value: f64) -> String {
    let mut out = Vec::new();
    push(&mut out, value);
    String::from_utf8(out).unwrap()
}

/// Printed by Go 1.24: bits, `FormatFloat(v, 'g', -1, 64)`, Prometheus' `jsonutil.MarshalFloat`.
const GO_FLOATS: &[(u64, &str, &str)] = &[
    (0x0000_0000_0000_0000, "0", "0"),
    (0x8000_0000_0000_0000, "-0", "-0"),
    (0x3ff0_0000_0000_0000, "1", "1"),
    (0xbff0_0000_0000_0000, "-1", "-1"),
    (0x3fb9_9999_9999_999a, "0.1", "0.1"),
    (0x3fe0_0000_0000_0000, "0.5", "0.5"),
    (0x4059_0000_0000_0000, "100", "100"),
    (0x40fe_2400_0000_0000, "123456", "123456"),
    (0x412e_847e_0000_0000, "999999", "999999"),
    (0x412e_8480_0000_0000, "1e+06", "1000000"),
    (0x4132_d687_0000_0000, "1.234567e+06", "1234567"),
    (0x41d6_5a0b_c000_0000, "1.5e+09", "1500000000"),
    (0x420f_1f2a_0000_0000, "1.6708354048e+10", "16708354048"),
    (0x4415_af1d_78b5_8c40, "1e+20", "100000000000000000000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21", "1e+21"),
    (0x437b_69b4_ba63_0f35, "1.2345678901234568e+17", "123456789012345680"),
    (0x4480_f0cf_064d_d592, "1e+22", "1e+22"),
    (0x3f1a_36e2_eb1c_432d, "0.0001", "0.0001"),
    (0x3ee4_f8b5_88e3_68f1, "1e-05", "0.00001"),
    (0x3f20_2e4b_6ce5_dc68, "0.00012345", "0.00012345"),
    (0x3e86_d127_d053_94fd, "1.7e-07", "1.7e-07"),
    (0x3eb0_c6f7_a0b5_ed8d, "1e-06", "0.000001"),
    (0x3eb0_c2ac_1dbb_e3d8, "9.99e-07", "9.99e-07"),
    (0x0000_0000_0000_0001, "5e-324", "5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308", "1.7976931348623157e+308"),
    (0x7ff0_0000_0000_0000, "+Inf", "+Inf"),
    (0xfff0_0000_0000_0000, "-Inf", "-Inf"),
    (0x7ff8_0000_0000_0001, "NaN", "NaN"),
    (0x41d9_54fc_4006_6666, "1.7000000001e+09", "1700000000.1"),
    (0x0010_0000_0000_0000, "2.2250738585072014e-308", "2.2250738585072014e-308"),
    (0x3d30_0000_0000_0000, "5.684341886080802e-14", "5.684341886080802e-14"),
    (0x4340_0000_0000_0000, "9.007199254740992e+15", "9007199254740992"),
    (0x3fd3_3333_3333_3334, "0.30000000000000004", "0.30000000000000004"),
    (0x54b2_49ad_2594_c37d, "1e+100", "1e+100"),
    (0xbdf1_2e0b_e826_d695, "-2.5e-10", "-2.5e-10"),
    (0x447c_7e83_209e_90b2, "8.41e+21", "8.41e+21"),
    (0x4012_0000_0000_0000, "4.5", "4.5"),
    (0x3e60_0000_0000_0000, "2.9802322387695312e-08", "2.9802322387695312e-08"),
    (0x3e70_0000_0000_0000, "5.960464477539063e-08", "5.960464477539063e-08"),
    (0xc307_2f1f_f941_0aca, "-8.157173545782652e+14", "-815717354578265.2"),
];

#[test]
fn floats_print_as_go_prints_them() {
    for (bits, go, json) in GO_FLOATS {
        let value = f64::from_bits(*bits);
        assert_eq!(printed(push_float, value), *go);
        assert_eq!(printed(push_json_float, value), *json);
    }
    assert_eq!(printed(push_sample_float, -0.0), "0");
}

fn page(write: impl FnOnce(&mut Writer<'_>)) -> String {
    let mut out = Vec::new();
    write(&mut Writer::new(&mut out));
    String::from_utf8(out).unwrap()
}

#[test]
fn a_page_is_written_as_prometheus_expects() {
    let written = page(|w| {
        w.family("node_load1", MetricType::Gauge, "1m load\\average\n\"x\".");
        w.sample("node_load1", [], 0.25, None);
        w.family("node_load1", MetricType::Gauge, "1m load\\average\n\"x\".");
        w.sample("node_load1", [("a", "q\"b\\c\nd"), ("é", "ü")], 1.5e9, Some(Timestamp(-5)));
        w.family("my.metric", MetricType::Counter, "");
        w.sample("my.metric", [], 1.0, None);
        w.family("my.metric", MetricType::Counter, "");
        w.sample("my.metric", [("a", "b")], f64::INFINITY, None);
    });
    let expected = r##"# HELP node_load1 1m load\\average\n"x".
# TYPE node_load1 gauge
node_load1 0.25
node_load1{a="q\"b\\c\nd","é"="ü"} 1.5e+09 -5
# TYPE "my.metric" counter
{"my.metric"} 1
{"my.metric",a="b"} +Inf
"##;
    assert_eq!(written, expected);
}

/// One line per sample: family/type/help name{labels} value @time; or the error.
fn described(text: &str) -> String {
    let families = match read(text.as_bytes(), Bounds::default()) {
        Ok(families) => families,
        Err(error) => return error.to_string(),
    };
    let mut lines = Vec::new();
    for family in families {
        let head = &family.head;
        for s in &family.samples {
            lines.push(format!(
                "{}/{}/{} {} {:?} {} {:?}",
                head.name,
                head.kind.as_str(),
                head.help,
                s.name,
                s.labels,
                s.value,
                s.time.map(|t| t.0)
            ));
        }
    }
    lines.join("\n")
}

#[test]
fn reads_what_prometheus_reads() {
    let cases = [
        ("", ""),
        ("\n\n# EOF\n#\n# just text\n#HELP x y\n# HELPx y\n", ""),
        ("a 1", r#"a/untyped/ a [] 1 None"#),
        (" \ta \t 1 \t 5 \n", r#"a/untyped/ a [] 1 Some(5)"#),
        ("a{} 1\n", r#"a/untyped/ a [] 1 None"#),
        ("a { b = \"c\" , } 1\n", r#"a/untyped/ a [("b", "c")] 1 None"#),
        ("a{b=\"c\"}1\n", r#"a/untyped/ a [("b", "c")] 1 None"#),
        ("a{b=\"\"} .5\n", r#"a/untyped/ a [("b", "")] 0.5 None"#),
        ("{\"my.m\", \"l.l\"=\"v\"} 1 -7", r#"my.m/untyped/ my.m [("l.l", "v")] 1 Some(-7)"#),
        ("{a=\"b\",\"m\"} 1", r#"m/untyped/ m [("a", "b")] 1 None"#),
        ("a{b=\"x\\\\y\\n\\\"\\d\"} 1", r#"a/untyped/ a [("b", "x\\y\n\"\\d")] 1 None"#),
        ("a{b=\"\\é\"} 1", r#"a/untyped/ a [("b", "\\é")] 1 None"#),
        (
            "a +Inf\na -inf\na infinity",
            "a/untyped/ a [] inf None\na/untyped/ a [] -inf None\na/untyped/ a [] inf None",
        ),
        ("a nAn\n", "a/untyped/ a [] NaN None"),
        ("a:b 1e+06\n", "a:b/untyped/ a:b [] 1000000 None"),
        (
            "# HELP h \t some \\\\ text\\n\n#  TYPE\th   histogram \nh_bucket{le=\"1\"} 2\nh_sum 3\nh_other 4",
            "h/histogram/some \\ text\n h_bucket [(\"le\", \"1\")] 2 None\n\
             h/histogram/some \\ text\n h_sum [] 3 None\nh_other/untyped/ h_other [] 4 None",
        ),
        ("# TYPE \"q.q\" counter\n{\"q.q\"} 1", "q.q/counter/ q.q [] 1 None"),
        ("# TYPE u unknown\nu 1", "u/untyped/ u [] 1 None"),
        ("# HELP a\na 1", "a/untyped/ a [] 1 None"),
    ];
    for (text, expected) in cases {
        assert_eq!(described(text), expected, "{text:?}");
    }
}

#[test]
fn problems_have_a_place() {
    let cases = [
        ("ok 1\na", "line 2, column 2: expected a blank or \"{\""),
        ("a ", "line 1, column 3: expected a value"),
        ("a{", "line 1, column 3: expected a label name or \"}\""),
        ("a{b", "line 1, column 4: expected \"=\""),
        ("a{b=c} 1", "line 1, column 5: expected a label value in quotes"),
        ("a{b=\"c} 1\n", "line 1, column 5: expected a closing quote"),
        ("a{b=\"c\\", "line 1, column 5: expected a closing quote"),
        ("a{b=\"c\" d=\"e\"} 1", "line 1, column 9: expected \",\" or \"}\""),
        ("a{\"b\"} 1", "line 1, column 6: expected \"=\""),
        ("{a=\"b\"} 1", "line 1, column 9: expected a metric name in the braces"),
        ("a{,} 1", "line 1, column 3: expected a label name or \"}\""),
        ("1a 1", "line 1, column 1: expected a metric name"),
        ("a 1_0", "line 1, column 3: \"1_0\" is not a number"),
        ("a 0x1p2", "line 1, column 3: \"0x1p2\" is not a number"),
        ("a 1e999", "line 1, column 3: \"1e999\" is not a number"),
        ("a +nan", "line 1, column 3: \"+nan\" is not a number"),
        ("a 1 2.5", "line 1, column 5: \"2.5\" is not a number"),
        ("a 1 2 3", "line 1, column 7: expected the end of the line"),
        ("a 1\r\n", "line 1, column 3: \"1\\r\" is not a number"),
        ("# TYPE a gauges\n", "line 1, column 10: \"gauges\" is not a metric type"),
        ("# TYPE 1 gauge\n", "line 1, column 8: expected a metric name"),
        ("# TYPE \"a\nb\" gauge\n", "line 2, column 3: expected a metric name on one line"),
    ];
    for (text, expected) in cases {
        assert_eq!(described(text), expected, "{text:?}");
    }
    let broken = read(b"a 1\nb\xff 1", Bounds::default()).unwrap_err();
    assert_eq!(broken.to_string(), "line 2, column 2: not UTF-8");
}

#[test]
fn bounds_hold() {
    let bounds = Bounds { page_bytes: 60, line_bytes: 20, labels: 1, label_bytes: 4, samples: 2 };
    let error = |text: &str| read(text.as_bytes(), bounds).unwrap_err().to_string();
    assert!(read(b"abcd{abcd=\"abcd\"} 12\na 1", bounds).is_ok());
    assert_eq!(error(&"\n".repeat(61)), "line 1, column 1: more than 60 bytes in the page");
    assert_eq!(error("#45678901234567890123"), "line 1, column 1: more than 20 bytes in a line");
    assert_eq!(error("a{a=\"\",b=\"\"} 1"), "line 1, column 10: more than 1 labels on a sample");
    assert_eq!(error("abcde 1"), "line 1, column 1: more than 4 bytes in a name or value");
    assert_eq!(error("a{a=\"12345\"} 1"), "line 1, column 5: more than 4 bytes in a name or value");
    assert_eq!(error("a 1\na 1\na 1"), "line 3, column 1: more than 2 samples in the page");
}

fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<u64>().prop_map(f64::from_bits),
        (-1_000_000_000_i64..1_000_000_000).prop_map(|n| n as f64),
        (-1_000_000_i32..1_000_000, 0_i32..9).prop_map(|(n, e)| f64::from(n) / 10_f64.powi(e)),
    ]
}

fn families() -> impl Strategy<Value = Vec<Family<'static>>> {
    let name = prop_oneof!["[a-zA-Z_:][a-z0-9_:]{0,6}", "\\PC{1,6}", "[a\"\\\\\n{} ]{1,5}"];
    let label = prop_oneof!["[a-zA-Z_][a-z0-9_]{0,6}", "[a\"\\\\\n{}=é ]{1,5}"];
    let value = prop_oneof!["[a-z]{0,5}", "[a\"\\\\\n{},=é ]{0,8}"];
    let labels = prop::collection::vec((label, value.clone()), 0..4);
    let time = prop::option::of(any::<i64>().prop_map(Timestamp));
    let samples = prop::collection::vec((labels, floats(), time), 1..4);
    let help = value.prop_map(|text| text.trim_start().to_owned());
    let family = (name, 0_usize..5, help, samples);
    prop::collection::vec(family, 0..4).prop_map(|families| {
        let mut built: Vec<Family<'static>> = Vec::new();
        for (name, kind, help, samples) in families {
            if built.iter().any(|f| f.head.name == name) {
                continue;
            }
            let owned = |text: String| Cow::<'static, str>::Owned(text);
            let samples = samples.into_iter().map(|(labels, value, time)| FamilySample {
                name: owned(name.clone()),
                labels: labels.into_iter().map(|(n, v)| (owned(n), owned(v))).collect(),
                value,
                time,
            });
            let samples = samples.collect();
            let kind = MetricType::ALL[kind];
            built.push(Family {
                head: FamilyHead {
                    name: owned(name),
                    kind,
                    help: owned(help),
                    unit: Cow::Borrowed(""),
                },
                samples,
            });
        }
        built
    })
}

fn same(read: f64, written: f64) -> bool {
    if written.is_nan() {
        return read.to_bits() == NORMAL_NAN.to_bits();
    }
    // A negative zero is written as `0`.
    read.to_bits() == (written + 0.0).to_bits()
}

proptest! {
    #[test]
    fn floats_read_back_to_the_same_bits(value in floats()) {
        for push in [push_float, push_json_float] {
            let text = printed(push, value);
            let back: f64 = text.parse().unwrap();
            prop_assert!(back.to_bits() == value.to_bits() || (back.is_nan() && value.is_nan()));
        }
    }

    #[test]
    fn pages_read_back(families in families()) {
        let text = page(|w| {
            for family in &families {
                w.family(&family.head.name, family.head.kind, &family.head.help);
                for s in &family.samples {
                    let labels = s.labels.iter().map(|(n, v)| (n.as_ref(), v.as_ref()));
                    w.sample(&s.name, labels, s.value, s.time);
                }
            }
        });
        let back = read(text.as_bytes(), Bounds::default()).unwrap();
        prop_assert_eq!(back.len(), families.len());
        for (back, family) in back.iter().zip(&families) {
            prop_assert_eq!(&back.head, &family.head);
            prop_assert_eq!(back.samples.len(), family.samples.len());
            for (back, sample) in back.samples.iter().zip(&family.samples) {
                prop_assert_eq!(&back.labels, &sample.labels);
                prop_assert_eq!(&back.name, &sample.name);
                prop_assert_eq!(back.time, sample.time);
                prop_assert!(same(back.value, sample.value));
            }
        }
    }
}

/// As [`described`], of OpenMetrics.
fn described_open(text: &str) -> String {
    let families = match read_as(text.as_bytes(), Format::OpenMetrics, Bounds::default()) {
        Ok(families) => families,
        Err(error) => return error.to_string(),
    };
    let mut lines = Vec::new();
    for family in families {
        let head = &family.head;
        for s in &family.samples {
            let time = s.time.map(|t| t.0);
            let kind = head.kind.as_str();
            let about = format!("{}/{kind}/{}/{}", head.name, head.help, head.unit);
            lines.push(format!("{about} {} {:?} {} {time:?}", s.name, s.labels, s.value));
        }
    }
    lines.join("\n")
}

#[test]
fn open_metrics_is_read() {
    let page = r##"# HELP http_requests Requests \"served\".
# TYPE http_requests counter
# UNIT http_requests requests
http_requests_total{code="200"} 5 1700000000.123 # {trace="a}b"} 0.5 1.6e9
http_requests_created{code="200"} 1.7e9
# TYPE took histogram
took_bucket{le="+Inf"} 2 # {} 1
took_sum 3
took_count 2
took_created 5
# TYPE build info
build_info{v="1"} 1
# TYPE mode stateset
mode{mode="a"} 1
# TYPE g gaugehistogram
g_bucket{le="1"} 1
g_gcount 1
g_gsum 1
# TYPE some unknown
some NaN
# EOF
"##;
    let expected = r##"http_requests/counter/Requests "served"./requests http_requests_total [("code", "200")] 5 Some(1700000000123)
http_requests/counter/Requests "served"./requests http_requests_created [("code", "200")] 1700000000 None
took/histogram// took_bucket [("le", "+Inf")] 2 None
took/histogram// took_sum [] 3 None
took/histogram// took_count [] 2 None
took/histogram// took_created [] 5 None
build/gauge// build_info [("v", "1")] 1 None
mode/gauge// mode [("mode", "a")] 1 None
g/gauge// g_bucket [("le", "1")] 1 None
g/gauge// g_gcount [] 1 None
g/gauge// g_gsum [] 1 None
some/untyped// some [] NaN None"##;
    assert_eq!(described_open(page), expected);
    assert_eq!(described_open("# EOF"), "");
    for (text, error) in [
        ("a 1\n", "line 2, column 1: expected \"# EOF\" at the end of the page"),
        ("a 1\n# EOF\nb 1\n", "line 3, column 1: expected nothing after \"# EOF\""),
        ("# TYPE a strange\n# EOF\n", "line 1, column 10: \"strange\" is not a metric type"),
        ("a 1 nan\n# EOF\n", "line 1, column 5: \"nan\" is not a number"),
        ("a 1 # 3\n# EOF\n", "line 1, column 7: expected the labels of an exemplar"),
        ("a 1 # {\"x\"} 3\n# EOF\n", "line 1, column 11: expected \"=\""),
        ("a 1 # {} x\n# EOF\n", "line 1, column 10: \"x\" is not a number"),
        ("a 1 2 # {} 1 2 3\n# EOF\n", "line 1, column 16: expected the end of the line"),
    ] {
        assert_eq!(described_open(text), error, "{text:?}");
    }
    // The text format knows nothing of all that.
    assert_eq!(described("a 1 # {} 1\n"), "line 1, column 5: \"#\" is not a number");
    assert_eq!(described("a 1 1.5\n"), "line 1, column 5: \"1.5\" is not a number");
}

/// Reads a page in either way, and says what the outline of another makes of it.
fn followed(first: &str, second: &str, format: Format) -> Option<(Vec<f64>, usize)> {
    let mut reader = Reader::of(first.as_bytes(), format, Bounds::default()).unwrap();
    let mut outline = Outline::default();
    outline.clear(format);
    while let Some(sample) = reader.next_sample() {
        sample.unwrap();
        outline.note(&reader);
    }
    outline.finish(&reader);
    let mut values = vec![7.0];
    let times = outline.follow(second.as_bytes(), format, Bounds::default(), &mut values);
    assert!(times.is_some() || values.is_empty());
    times.map(|times| (values, times))
}

#[test]
fn a_page_is_followed_where_only_values_differ() {
    let page = "# TYPE a counter\na{b=\"c d\"} 1\na  2 5\n\n# x\nb{} +Inf\n# the end\n";
    let same = "# TYPE a counter\na{b=\"c d\"} 1e3\na  0 -77\n\n# x\nb{} 3\n# the end\n";
    let expected = Some((vec![1000.0, 0.0, 3.0], 1));
    assert_eq!(followed(page, same, Format::Text), expected);
    for (from, to) in [
        ("counter", "gauge"),
        ("c d", "c e"),
        ("1e3", ""),
        ("1e3", "x"),
        ("-77", "soon"),
        ("-77", "1 1"),
        ("b{}", "b{},"),
        ("the end", "an end"),
        ("the end\n", "the end\nb 1\n"),
        ("b{} 3\n# the end\n", ""),
    ] {
        assert_eq!(followed(page, &same.replace(from, to), Format::Text), None, "{from} {to}");
    }
    assert_eq!(followed("", "", Format::Text), None);
    let open = "a 1 # {x=\"1\"} 2 3\nb 2 1.5\nc 3\n# EOF\n";
    let other = "a 5\nb 6\nc 7 2.5 # {y=\"\"} 1\n# EOF\n";
    assert_eq!(followed(open, other, Format::OpenMetrics), Some((vec![5.0, 6.0, 7.0], 1)));
    assert_eq!(followed(open, "a 5\nb 6\nc 7\n", Format::OpenMetrics), None);
}

proptest! {
    /// What is followed is what reading gives.
    #[test]
    fn following_is_reading(
        names in prop::collection::vec("[a-c]{1,2}", 1..6),
        first in prop::collection::vec(any::<f64>(), 6),
        second in prop::collection::vec(any::<f64>(), 6),
        drop in prop::option::of(0_usize..6),
    ) {
        let write = |values: &[f64], drop: Option<usize>| {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out);
            for (place, (name, value)) in names.iter().zip(values).enumerate() {
                if drop != Some(place) {
                    writer.sample(name, [("l", "v")], *value, None);
                }
            }
            String::from_utf8(out).unwrap()
        };
        let (first, second) = (write(&first, None), write(&second, drop));
        let families = read(second.as_bytes(), Bounds::default()).unwrap();
        let samples = families.iter().flat_map(|family| &family.samples);
        let values: Vec<u64> = samples.map(|sample| sample.value.to_bits()).collect();
        if let Some((found, times)) = followed(&first, &second, Format::Text) {
            prop_assert_eq!(found.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), values);
            prop_assert_eq!(times, 0);
        } else {
            prop_assert!(drop.is_some_and(|drop| drop < names.len()));
        }
    }
}
