use super::*;

fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::new(pairs.iter().copied()).unwrap()
}

fn expanded(text: &str) -> String {
    let answers = |query: &str| match query {
        "metric" => Ok(vec![
            (labels(&[("__name__", "metric"), ("instance", "b"), ("__value__", "shown")]), 11.0),
            (labels(&[("__name__", "metric"), ("instance", "a")]), 21.0),
        ]),
        "empty" => Ok(Vec::new()),
        other => Err(format!("no answer to {other}")),
    };
    let site = Site {
        external_labels: labels(&[("cluster", "c1")]),
        external_url: "http://example.org:9797/path".to_owned(),
    };
    let set = labels(&[("instance", "host-1.example.org:9100"), ("job", "node")]);
    let data = Data { labels: &set, value: 1234.5, now: Timestamp(1_353_755_652_000), site: &site };
    let mut answers = answers;
    Template::new("t", text).unwrap().expand("t", data, &mut answers)
}

#[test]
fn templates_give_what_prometheus_gives() {
    for (text, wanted) in [
        ("plain text", "plain text"),
        ("{{ $labels.instance }}", "host-1.example.org:9100"),
        ("{{ .Labels.job }}", "node"),
        ("[{{ $labels.missing }}]", "[]"),
        ("{{ if $labels.missing }}yes{{ else }}no{{ end }}", "no"),
        ("{{ $externalLabels.cluster }} {{ $externalURL }}", "c1 http://example.org:9797/path"),
        ("{{ $value }}", "1234.5"),
        ("{{ printf \"%.2f\" $value }}", "1234.50"),
        ("{{ $value | humanize }}", "1.234k"),
        ("{{ humanize1024 $value }}", "1.206ki"),
        ("{{ humanizeDuration $value }}", "20m 34s"),
        ("{{ humanizePercentage 0.1234 }}", "12.34%"),
        ("{{ humanizeTimestamp 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"),
        ("{{ \"1.5\" | humanize }}", "1.5"),
        ("{{ 0x10 | humanize }}", "16"),
        ("{{ toTime 0 }}", "1970-01-01 00:00:00 +0000 UTC"),
        ("{{ toDuration 90 }}", "1m30s"),
        ("{{ print 1 2 \"a\" 3.5 }}", "1 2a3.5"),
        ("{{ now }}", "1.353755652e+09"),
        ("{{ parseDuration \"1h2m10ms\" }}", "3720.01"),
        ("{{ toUpper \"aBc\" }} {{ toLower \"aBc\" }} {{ title \"aa bB\" }}", "ABC abc Aa BB"),
        ("{{ match \"a+\" \"caat\" }} {{ match \"^b\" \"ab\" }}", "true false"),
        ("{{ reReplaceAll \"(a)b\" \"x$1\" \"abcab\" }}", "xacxa"),
        ("{{ stripPort \"[::1]:90\" }} {{ stripPort \"h:90\" }}", "::1 h"),
        (
            "{{ stripDomain \"h.example.org:90\" }} {{ stripDomain \"10.0.0.1:90\" }}",
            "h:90 10.0.0.1:90",
        ),
        ("{{ urlQueryEscape \"a b&c/ä\" }}", "a+b%26c%2F%C3%A4"),
        ("{{ graphLink \"up\" }}", "/graph?g0.expr=up&g0.tab=0"),
        ("{{ tableLink \"up\" }}", "/graph?g0.expr=up&g0.tab=1"),
        ("{{ pathPrefix }} {{ externalURL }}", "/path http://example.org:9797/path"),
        ("{{ query \"metric\" | first | value }}", "11"),
        ("{{ query \"metric\" | first | label \"instance\" }}", "b"),
        ("{{ query \"metric\" | first | strvalue }}", "shown"),
        ("{{ (query \"metric\" | sortByLabel \"instance\" | first).Labels.instance }}", "a"),
        ("{{ range query \"metric\" }}{{ .Labels.instance }}={{ .Value }};{{ end }}", "b=11;a=21;"),
        ("{{ with query \"empty\" }}some{{ else }}none{{ end }}", "none"),
        ("{{ define \"x\" }}<{{ .arg0 }}>{{ end }}{{ template \"x\" (args 1 2) }}", "<1>"),
        ("{{ if gt $value 1000.0 }}high{{ end }}", "high"),
        ("{{ $labels.job | printf \"%s!\" }}", "node!"),
        ("{{- range $i, $e := query \"metric\" }}{{ $i }}{{ end }}", "01"),
    ] {
        assert_eq!(expanded(text), wanted, "{text}");
    }
}

#[test]
fn what_fails_shows_in_its_place() {
    for text in [
        "{{ query \"missing\" }}",
        "{{ query \"empty\" | first }}",
        "{{ humanize \"x\" }}",
        "{{ match \"(\" \"x\" }}",
        "{{ parseDuration \"never\" }}",
        "{{ humanize }}",
        "{{ range $a := query \"metric\" }}{{ query (printf \"%v\" .Value) }}{{ end }}",
    ] {
        let shown = expanded(text);
        assert!(shown.starts_with("<error expanding template: "), "{text}: {shown}");
    }
}

#[test]
fn a_template_that_cannot_run_is_refused() {
    for text in ["{{ $labels.a", "{{ end }}", "{{ unknown 1 }}", "{{ if }}{{ end }}"] {
        assert!(Template::new("t", text).is_err(), "{text}");
    }
    assert!(Template::new("t", &"x".repeat(TEXT_BYTES_MAX + 1)).is_err());
}

#[test]
fn what_grows_without_end_is_cut() {
    let doubled = "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}";
    assert!(expanded(doubled).starts_with("<error expanding template: "), "recursion");
    let long = format!("{}{{{{ printf \"%060d\" 1 }}}}", "x".repeat(TEXT_BYTES_MAX - 23));
    assert!(expanded(&long).starts_with("<error expanding template: "), "length");
}

#[test]
fn what_is_wrong_has_its_place_in_the_text() {
    for (text, at, message) in [
        ("a {{ $label.b }}", Some(5), "undefined variable \"$label\""),
        ("ä\n{{ humanise 1 }}", Some(6), "function \"humanise\" not defined"),
        (
            "{{ range $i, $x := query \"up\" }}{{ end }}{{ $x }}",
            Some(44),
            "undefined variable \"$x\"",
        ),
        ("{{ define \"x\" }}{{ $value }}{{ end }}", Some(19), "undefined variable \"$value\""),
        ("ok\n{{ if true }}", Some(3), "{{if}} has no {{end}}"),
        ("ok {{ end }}", Some(3), "unexpected {{end}}"),
    ] {
        let error = Template::new("t", text).unwrap_err();
        assert_eq!((error.at, error.message.as_str()), (at, message), "{text}");
    }
    for text in [
        "{{ with $x := $value }}{{ $x }}{{ else }}{{ $x }}{{ end }}",
        "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}{{ $.Value }}",
        "{{ define \"x\" }}{{ $y := . }}{{ $y }}{{ end }}{{ $labels.a }}",
        "{{ range $i, $x := query \"up\" }}{{ $i }}{{ $x.Value }}{{ end }}",
    ] {
        assert_eq!(Template::new("t", text).err(), None, "{text}");
    }
}
