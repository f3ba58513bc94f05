use super::*;

fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::new(pairs.iter().copied()).unwrap()
}

fn expanded(text: &str) -> String {
    let set = labels(&[("instance", "host-1.example.org:9100"), ("job", "node")]);
    expanded_for(&set, 1234.5, text)
}

fn expanded_for(set: &LabelSet, value: f64, text: &str) -> String {
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
    let data = Data { labels: set, value, now: Timestamp(1_353_755_652_000), site: &site };
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

/// As `promtool test rules` of Prometheus 2.42 shows them for `x{i="0"} 1`.
#[test]
fn data_print_as_promtool_prints_them() {
    for (text, wanted) in [
        ("LABELS = {{ $labels }}", "LABELS = map[__name__:x i:0]"),
        ("{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}", "__name__=x;i=0;"),
        ("{{ len $labels }} {{ len .Labels }}{{ $labels.other }}", "2 2"),
        ("{{ . }}", "{map[__name__:x i:0] map[cluster:c1] http://example.org:9797/path 1}"),
        ("{{ $externalLabels }}", "map[cluster:c1]"),
        ("[{{ $externalLabels.no }}{{ .ExternalLabels.no }}]", "[]"),
        ("[{{ index $labels \"no\" }}]", "[]"),
        ("{{ printf \"%s\" $labels }}", "map[__name__:x i:0]"),
        ("{{ printf \"%v\" $labels }}", "map[__name__:x i:0]"),
        ("{{ printf \"%q\" $labels.no }} {{ eq .Labels.no \"\" }}", "\"\" true"),
        ("{{ with $labels }}{{ .i }}[{{ .no }}]{{ end }}", "0[]"),
        ("{{ $l := $labels }}[{{ $l.no }}{{ ($labels).no }}]", "[]"),
        ("{{ range query \"metric\" }}[{{ .Labels.no }}]{{ end }}", "[][]"),
        ("{{ query \"metric\" | first }}", "{map[__name__:metric __value__:shown instance:b] 11}"),
        ("[{{ label \"no\" (query \"metric\" | first) }}]", "[]"),
        ("{{ args \"a\" 2.5 1000000.0 }}", "map[arg0:a arg1:2.5 arg2:1e+06]"),
        ("[{{ (args \"a\").arg1 }}]", "[<no value>]"),
        ("{{ print nil }}", "<nil>"),
        ("{{ html \"a<\" \"b>\" 1 2 }}", "a&lt;b&gt;1 2"),
        ("{{ js \"a<\" }} {{ urlquery \"a b\" 1 }}", "a\\u003C a+b1"),
        ("{{ slice \"abcdef\" 1 3 }}", "bc"),
        ("{{ title \"it's a_b c-d é’x ǆ ß\" }}", "It'S A_b C-D É’x ǅ ß"),
        ("{{ toUpper \"ß\" }}{{ toLower \"ΑΣ İ\" }}", "ßασ i"),
    ] {
        let set = labels(&[("__name__", "x"), ("i", "0")]);
        assert_eq!(expanded_for(&set, 1.0, text), wanted, "{text}");
    }
}

/// As `promtool test rules` of Prometheus 2.42 shows them.
#[test]
fn printf_prints_as_promtool_does() {
    for (arguments, wanted) in [
        ("\"%v %v\" 1000000.0 1", "1e+06 1"),
        ("\"%s\" 1.5", "%!s(float64=1.5)"),
        ("\"%5.1f|%-8s|%08.3f|%x\" 1.0 \"a\" 3.14159 \"hi\"", "  1.0|a       |0003.142|6869"),
        ("\"%[2]s %[1]s\" \"a\" \"b\"", "b a"),
        ("\"%*d|%-*d|%.*f\" 4 1 4 2 1 2.55", "   1|2   |2.5"),
        ("\"%d%%\" 5", "5%"),
        ("\"%d\"", "%!d(MISSING)"),
        ("\"%[3]d\" 1", "%!d(BADINDEX)"),
        ("\"a\" 1 \"b\"", "a%!(EXTRA int=1, string=b)"),
        ("\"%\"", "%!(NOVERB)"),
        ("\"é%sü\" \"ö\"", "éöü"),
    ] {
        assert_eq!(expanded(&format!("{{{{ printf {arguments} }}}}")), wanted, "{arguments}");
    }
}

fn fault(text: &str) -> String {
    let shown = expanded(text);
    assert!(shown.starts_with("<error expanding template: "), "{text}: {shown}");
    shown
}

#[test]
fn a_field_that_no_type_has_is_an_error() {
    for (text, within) in [
        ("{{ .Foo }}", "{Labels ExternalLabels ExternalURL Value}"),
        ("{{ range query \"metric\" }}{{ .Foo }}{{ end }}", "{Labels Value}"),
        ("{{ $labels.job.Foo }}", "string"),
        ("{{ $labels.no.Foo }}", "string"),
    ] {
        let wanted = format!("can't evaluate field Foo in type {within}");
        assert!(fault(text).contains(&wanted), "{text}: {}", fault(text));
    }
}

#[test]
fn the_work_of_an_expansion_is_bounded() {
    let doubled = |at: usize| {
        let twice = format!("{{{{ template \"t{}\" }}}}", at + 1).repeat(2);
        format!("{{{{ define \"t{at}\" }}}}{twice}{{{{ end }}}}")
    };
    let calls: String = (0..100).map(doubled).collect();
    let tests = "{{ if false }}{{ end }}".repeat(2000);
    let long = "{{ $x := printf \"%060000d\" 0 }}";
    for text in [
        // A pattern of 4,000 states at each byte, and finds that each look at all that is left.
        format!("{long}{{{{ reReplaceAll \"[01]*1[01]{{1000}}\" \"\" $x }}}}"),
        format!("{long}{{{{ reReplaceAll \"0.*1|0\" \"\" $x }}}}"),
        format!("{long}{{{{ range $i := 10000 }}}}{{{{ $y := match \"1$\" $x }}}}{{{{ end }}}}"),
        format!("{long}{{{{ range $i := 10000 }}}}{{{{ $y := toUpper $x }}}}{{{{ end }}}}"),
        format!("{calls}{{{{ define \"t100\" }}}}{{{{ end }}}}{{{{ template \"t0\" }}}}"),
        format!("{{{{ range $i := 10000 }}}}{tests}{{{{ end }}}}"),
    ] {
        let shown = fault(&text);
        assert!(shown.contains("units of work"), "{text:.120}: {shown}");
    }
}

#[test]
fn the_memory_of_an_expansion_is_bounded() {
    let long = "{{ $x := printf \"%060000d\" 0 }}";
    let twice = |call: &str| {
        format!("{{{{ $x := \"a\" }}}}{{{{ range $i := 40 }}}}{{{{ $x = {call} }}}}{{{{ end }}}}")
    };
    let replaced = "$0".repeat(5000);
    let replaced = format!("{long}{{{{ $y := reReplaceAll \".+\" \"{replaced}\" $x }}}}");
    for (text, function) in [
        (twice("printf \"%s%s\" $x $x"), "printf"),
        (twice("print $x $x"), "print"),
        (twice("println $x $x"), "println"),
        (twice("reReplaceAll \"(.*)\" \"$1$1$1\" $x"), "reReplaceAll"),
        (format!("{long}{{{{ printf \"{}\" $x }}}}", "%[1]s".repeat(5000)), "printf"),
        (format!("{{{{ printf \"{}\" 1 }}}}", "%65535[1]d".repeat(5000)), "printf"),
        (format!("{long}{{{{ $y := print {} }}}}", "$x ".repeat(200)), "print"),
        (replaced, "reReplaceAll"),
        (format!("{{{{ $y := html \"{}\" }}}}", "<".repeat(20_000)), "html"),
        (format!("{{{{ $y := js \"{}\" }}}}", "<".repeat(20_000)), "js"),
        (format!("{{{{ $y := urlquery \"{}\" }}}}", "<".repeat(30_000)), "urlquery"),
    ] {
        let wanted = format!("{function} makes more than {TEXT_BYTES_MAX} bytes");
        let shown = fault(&text);
        assert!(shown.contains(&wanted), "{text:.120}: {shown}");
    }
    let nested = twice("args $x");
    assert!(fault(&format!("{nested}{{{{ $x }}}}")).contains("maps stand one in the other"));
    let wide = twice("args $x $x").replace("40", "13");
    assert!(fault(&format!("{wide}{{{{ $y := printf \"%d\" $x }}}}")).contains("makes more than"));
    let groups = "(a)".repeat(200);
    assert!(fault(&format!("{{{{ match \"{groups}\" \"a\" }}}}")).contains("groups"));
}

#[test]
fn much_that_is_sound_is_within_the_bounds() {
    let text = "{{ range $i := 5000 }}{{ if eq $i 4999 }}\
                {{ $labels.instance | reReplaceAll \"[.:]\" \"_\" }}{{ end }}{{ end }}";
    assert_eq!(expanded(text), "host-1_example_org_9100");
    let text = "{{ $x := printf \"%04000d\" 0 }}\
                {{ $y := reReplaceAll \"0{40}\" \"\\n\" $x }}{{ len $y }}";
    assert_eq!(expanded(text), "100");
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
